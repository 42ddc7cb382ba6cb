"""Showing what GBCS messages say: header, payload by the names of the ASN.1, protections."""

from __future__ import annotations

import dataclasses
import enum
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.cosem_time import decode_date_time
from gbcs.message import CRAFlag, Message
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.use_cases import MessageCode, decode_payload, use_case_name
from keyrig.base.clock import instant_text
from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import text_of
from keyrig.session.conformance import ProtectionState, check_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gbcs.message import Header, OtherInformation
    from keyrig.session.conformance import Verifier

SCHEMA: Final = 1
"""Version of the descriptions' form; raised when a field changes its meaning or goes."""

INPUT_MAXIMUM_OCTETS: Final = 16 << 20
_GFI_LINE: Final = re.compile(r"GBCS:DATA#\d+:\d+:([0-9A-Fa-f]+)")
_RAW_STARTS: Final = (b"\xdd", b"\xdf")
_SPELLINGS: Final = {"ta": "TA", "cpv": "CPV", "acb": "ACB", "cos": "CoS"}
_SECRET: Final = "plaintext_symmetric_key"  # noqa: S105 - the name of an element
_CERTIFICATES: Final = frozenset({"replacement_certificate", "certification_path_certificates"})
_CONTENT_SHOWN_OCTETS: Final = 64


def messages_in(data: bytes) -> list[bytes]:
    """Find the messages in what a person gives: raw octets, or hexadecimal text.

    Text may hold one message over several lines, one message on each line, or GFI lines.

    Raises:
        SettingsError: `data` is neither, or too long.
    """
    if len(data) > INPUT_MAXIMUM_OCTETS:
        raise SettingsError(
            "the input", f"more than {INPUT_MAXIMUM_OCTETS} octets", "give fewer messages at once"
        )
    if data.startswith(_RAW_STARTS):
        return [data]
    try:
        lines = [line.strip() for line in text_of(data).split("\n")]
        found = [_octets_of_line(line) for line in lines if line]
    except ValueError:
        raise SettingsError(
            "the input", "neither a GBCS message's octets nor hexadecimal digits", "give it as hex"
        ) from None
    if not found:
        raise SettingsError("the input", "empty", "give a GBCS message")
    if len(found) > 1 and not all(_is_message(octets) for octets in found):
        joined = b"".join(found)
        # Lines that together are one message are one; otherwise each is shown, or its error.
        if _is_message(joined) or not any(_is_message(octets) for octets in found):
            return [joined]
    return found


def _octets_of_line(line: str) -> bytes:
    gfi = _GFI_LINE.fullmatch(line)
    return bytes.fromhex(gfi[1] if gfi else line.replace(":", " "))


def _is_message(octets: bytes) -> bool:
    try:
        Message.parse(octets)
    except DecodeError:
        return False
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What one message says, ready for JSON and for people.

    Args:
        fields: By name, nested; every text in it is safe to print.
        error: Why the message or its payload cannot be read, in one line, or "".
        is_invalid: Whether one of its protections does not verify.
    """

    fields: dict[str, Any]
    error: str
    is_invalid: bool


def describe_message(octets: bytes, verifier: Verifier | None = None) -> Description:
    """Decode one message, and verify it where `verifier` has the keys."""
    try:
        message = Message.parse(octets)
    except DecodeError as error:
        line = printable(str(error), 400)
        return Description({"octets": len(octets), "error": line}, line, is_invalid=False)
    fields: dict[str, Any] = {
        "octets": len(octets),
        **_described_header(message),
        **_described_protections(message, verifier),
    }
    try:
        payload, padded = _described_payload(message)
        error_line = ""
    except DecodeError as error:
        error_line = printable(str(error), 400)
        payload, padded = {"error": error_line}, ()
    fields["lengths_not_minimal"] = {
        "headers": message.lengths_not_minimal,
        "payload_offsets": list(padded),
    }
    fields["payload"] = payload
    if error_line:
        fields["error"] = error_line
    states = (fields["signature"]["state"], fields["mac"]["state"])
    return Description(fields, error_line, is_invalid=ProtectionState.INVALID.value in states)


def _described_header(message: Message) -> dict[str, Any]:
    header = message.header
    kind = "pre-command" if message.is_pre_command else header.cra_flag.name.lower()
    return {
        "kind": kind,
        "message_code": f"{header.message_code:04X}",
        "use_case": use_case_name(header.message_code),
        "originator": str(header.originator),
        "recipient": str(header.recipient),
        "originator_counter": header.originator_counter,
        "date_time": _described_date_time(header),
        "other_information": _described_other_information(header.other_information),
    }


def _described_date_time(header: Header) -> str | None:
    if not header.date_time:
        return None
    try:
        return instant_text(decode_date_time(header.date_time))
    except DecodeError:
        return f"{header.date_time.hex().upper()} (names no moment)"


def _described_other_information(other: OtherInformation) -> dict[str, Any]:
    fields: dict[str, Any] = {"messageCode": f"{other.message_code:04X}"}
    if other.supplementary_remote_party_id is not None:
        fields["supplementaryRemotePartyID"] = str(other.supplementary_remote_party_id)
    if other.supplementary_remote_party_counter is not None:
        fields["supplementaryRemotePartyCounter"] = other.supplementary_remote_party_counter
    if other.supplementary_originator_counter is not None:
        fields["supplementaryOriginatorCounter"] = other.supplementary_originator_counter
    if other.key_agreement_certificate:
        fields["keyAgreementCertificate"] = _described_certificate(other.key_agreement_certificate)
    return fields


def _described_protections(message: Message, verifier: Verifier | None) -> dict[str, Any]:
    signature = {"octets": (message.signature or b"").hex().upper()}
    mac = {"octets": (message.mac or b"").hex().upper()}
    if verifier is None:
        signature["state"] = "not checked" if message.signature else "absent"
        mac["state"] = "not checked" if message.mac is not None else "absent"
        return {"signature": signature, "mac": mac}
    result = check_message(message, verifier)
    signature["state"], mac["state"] = result.signature.value, result.mac.value
    return {"signature": signature, "mac": mac, "remarks": list(result.reasons)}


def _described_payload(message: Message) -> tuple[Any, tuple[int, ...]]:
    """Describe the payload; give also where its lengths were longer than needed.

    Raises:
        DecodeError: It is not what its use case has.
    """
    decoded = decode_payload(message)
    if decoded is None:
        content = message.content
        cut = "…" if len(content) > _CONTENT_SHOWN_OCTETS else ""
        shown = content[:_CONTENT_SHOWN_OCTETS].hex().upper() + cut
        return {"opaque": shown, "octets": len(content)}, ()
    start = message.content_end - len(message.content)
    padded = tuple(start + offset for offset in decoded.lengths_not_minimal)
    value = decoded.value
    if not isinstance(value, bytes):
        return _described(value), padded
    header = message.header
    if header.message_code == MessageCode.ISSUE_CREDENTIALS and (
        header.cra_flag is CRAFlag.RESPONSE
    ):
        return {"certificationRequest": _described_request(value)}, padded
    return {"certificate": _described_certificate(value)}, padded


def _described(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dict(_described_members(value))
    if isinstance(value, tuple):
        return [_described(item) for item in value]
    if isinstance(value, KeyUsage):
        return value.gbcs_name
    if isinstance(value, enum.IntEnum):
        return f"{_value_name(value)}({value.value})"
    if isinstance(value, datetime):
        return instant_text(value)
    return value.hex().upper() if isinstance(value, bytes) else value


def _described_members(value: Any) -> Iterator[tuple[str, Any]]:
    for member in dataclasses.fields(value):
        item = getattr(value, member.name)
        name = _spelled(member.name)
        if member.name == "command_accepted":
            yield name, "NULL"
        elif item is None:
            continue
        elif member.name == _SECRET:
            yield name, f"{len(item)} octets, not shown"
        elif member.name not in _CERTIFICATES:
            yield name, _described(item)
        elif isinstance(item, bytes):
            yield name, _described_certificate(item)
        else:
            yield name, [_described_certificate(der) for der in item]


def _value_name(value: enum.IntEnum) -> str:
    if isinstance(value, (RemotePartyRole, CellUsage)):
        return value.gbcs_name
    if value.name.startswith("CR_"):
        return "cR" + _spelled(value.name)[2:]
    return _spelled(value.name)


def _spelled(name: str) -> str:
    """Spell a Python name as the ASN.1 module does, such as `applyTimeBasedCPVChecks`."""
    first, *rest = name.lower().split("_")
    words = [_SPELLINGS.get(word, word.capitalize()) for word in rest]
    if words and words[-1] == "Id":
        words[-1] = "ID"
    return first + "".join(words)


def _described_certificate(der: bytes) -> dict[str, Any]:
    try:
        certificate = GBCSCertificate.from_der(der)
        identifier = certificate.subject_key_identifier
        role = certificate.role
        name = certificate.business_name
        return {
            "octets": len(der),
            "subject": printable(str(certificate)),
            "profile": certificate.profile.value,
            "role": None if role is None else role.gbcs_name,
            "entity_id": None if certificate.entity_id is None else str(certificate.entity_id),
            "name": None if name is None else printable(name, 80),
            "key_usage": certificate.key_usage.gbcs_name,
            "issuer": printable(certificate.issuer.rfc4514_string(), 80),
            "serial": f"{certificate.serial:X}",
            "not_before": instant_text(certificate.not_before),
            "not_after": instant_text(certificate.not_after),
            "subject_key_identifier": None if identifier is None else identifier.hex().upper(),
        }
    except (DecodeError, CertificateRejected) as error:
        return {"octets": len(der), "error": printable(str(error), 400)}


def _described_request(der: bytes) -> dict[str, Any]:
    try:
        request = CertificationRequest.from_der(der)
        return {
            "octets": len(der),
            "entity_id": str(request.entity_id),
            "key_usage": request.key_usage.gbcs_name,
        }
    except (DecodeError, CertificateRejected) as error:
        return {"octets": len(der), "error": printable(str(error), 400)}


def as_lines(fields: dict[str, Any], indent: int = 0) -> Iterator[str]:
    """Write a description's fields as indented lines for people; leave out what says nothing."""
    margin = "  " * indent
    for name, value in fields.items():
        if isinstance(value, dict | list):
            lines = list(
                as_lines(value, indent + 1)
                if isinstance(value, dict)
                else _listed(value, indent + 1)
            )
            if lines:
                yield f"{margin}{name}:"
                yield from lines
        elif value is True:
            yield f"{margin}{name}: yes"
        elif value is not None and value is not False and value != "":
            yield f"{margin}{name}: {value}"


def _listed(items: list[Any], indent: int) -> Iterator[str]:
    margin = "  " * indent
    for item in items:
        if not isinstance(item, dict):
            yield f"{margin}- {item}"
            continue
        lines = list(as_lines(item, indent + 1))
        first = lines[0].lstrip() if lines else "(empty)"
        yield f"{margin}- {first}"
        yield from lines[1:]
