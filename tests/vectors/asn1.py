"""The payloads as asn1tools reads and writes them from the module text `gbcs.asn`."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asn1tools

from gbcs.roles import KeyUsage
from gbcs.security_credentials import StatusCode

_DOCUMENTS = {"replacement_certificate", "certification_path_certificates"}
_CHOICES = {
    "IssueCredentialsResponse": ("certificationRequest", "issueCredentialsResponseCode"),
    "ProvideDeviceCertificateResponse": ("certificate", "responseCode"),
}
_NAMES = {
    (0x0008, 1): "ProvideCredentialsCommand",
    (0x0008, 2): "ProvideCredentialsResponse",
    (0x000A, 1): "IssueCredentialsCommand",
    (0x000A, 2): "IssueCredentialsResponse",
    (0x000B, 1): "UpdateDeviceCertificateCommand",
    (0x000B, 2): "UpdateDeviceCertificateResponse",
    (0x000C, 1): "ProvideDeviceCertificateCommand",
    (0x000C, 2): "ProvideDeviceCertificateResponse",
    (0x00CB, 3): "UpdateCredentialsAlert",
    **{(0x0100 + mode, 1): "UpdateCredentialsCommand" for mode in range(10)},
    **{(0x0100 + mode, 2): "UpdateCredentialsResponse" for mode in range(10)},
}


@functools.cache
def module() -> Any:
    """Compile the module text for DER."""
    return asn1tools.compile_files(str(Path(__file__).with_name("gbcs.asn")), "der")


def type_name(message_code: int, cra_flag: int) -> str:
    """Name the type of a message's payload."""
    return _NAMES[message_code, cra_flag]


def encode(name: str, value: Any) -> bytes:
    """Write a value of `gbcs.security_credentials` with asn1tools."""
    octets: bytes = module().encode(name, as_asn1tools(name, value))
    return octets


def decode(name: str, octets: bytes) -> Any:
    """Read octets with asn1tools, as `as_asn1tools` would give their value."""
    return module().decode(name, octets)


def as_asn1tools(name: str, value: Any) -> Any:
    """Turn a value of `gbcs.security_credentials` into what asn1tools works with."""
    if name in _CHOICES:
        document, code = _CHOICES[name]
        return (document, _document(value)) if isinstance(value, bytes) else (code, int(value))
    if name == "UpdateDeviceCertificateCommand":
        return _document(value)
    return _plain(value)


def _document(octets: bytes) -> Any:
    return module().decode("SignedDocument", octets)


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    return re.sub("(Ta|Cpv|Id)(?=[A-Z]|$)", lambda match: match[0].upper(), camel)


def _plain(value: Any) -> Any:
    if isinstance(value, StatusCode):
        return _camel(value.name)
    if isinstance(value, KeyUsage):
        width = int(value).bit_length()
        digits = format(int(value), f"0{width}b")[::-1].ljust(-(-width // 8) * 8, "0")
        return int(digits, 2).to_bytes(len(digits) // 8), width
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return dict(_members(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return int(value) if isinstance(value, enum.IntEnum) else value


def _members(value: Any) -> Any:
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name == "command_accepted":
            yield "commandAccepted", None
        elif isinstance(item, bytes) and field.name in _DOCUMENTS:
            yield _camel(field.name), _document(item)
        elif isinstance(item, tuple) and field.name in _DOCUMENTS:
            yield _camel(field.name), [_document(octets) for octets in item]
        elif item is not None:
            yield _camel(field.name), _plain(item)
