"""Certificates and requests whose extensions are written otherwise, octet by octet.

What is made here is DER but for what a test changes; signatures of requests are made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CRITICAL = bytes.fromhex("0101FF")
NOT_CRITICAL = b""
KEY_USAGE = bytes.fromhex("0603551D0F")
SUBJECT_KEY_IDENTIFIER = bytes.fromhex("0603551D0E")
AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551D23")
POLICIES = bytes.fromhex("0603551D20")
BASIC_CONSTRAINTS = bytes.fromhex("0603551D13")
ALTERNATIVE_NAME = bytes.fromhex("0603551D11")
EXTENSION_REQUEST = bytes.fromhex("06092A864886F70D01090E")
MICROSOFT_EXTENSION_REQUEST = bytes.fromhex("060A2B06010401823702010E")
CHALLENGE_PASSWORD = bytes.fromhex("06092A864886F70D010907")


def tlv(tag: int, contents: bytes) -> bytes:
    length = len(contents)
    if length < 0x80:
        return bytes([tag, length]) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + contents


def parts(octets: bytes) -> list[bytes]:
    """Split a run of elements of short tags into the octets of each."""
    found = []
    while octets:
        start, length = 2, octets[1]
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[2:start])
        found.append(octets[: start + length])
        octets = octets[start + length :]
    return found


def contents(element: bytes) -> bytes:
    return element[2 + (element[1] & 0x7F if element[1] >= 0x80 else 0) :]


def extension(kind: bytes, value: bytes, critical: bytes = CRITICAL) -> bytes:
    return tlv(0x30, kind + critical + tlv(0x04, value))


def attribute(kind: bytes, *values: bytes) -> bytes:
    return tlv(0x30, kind + tlv(0x31, b"".join(values)))


def with_extension(der: bytes, written: bytes) -> bytes:
    """Put an extension in the place of the certificate's own of that kind, or add it."""
    kind = parts(contents(written))[0]

    def change(extensions: list[bytes]) -> list[bytes]:
        others = [each for each in extensions if parts(contents(each))[0] != kind]
        return [*others, written]

    return with_extensions(der, change)


def with_extensions(der: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    to_be_signed, *rest = parts(contents(der))
    *fields, extensions = parts(contents(to_be_signed))
    listed = parts(contents(contents(extensions)))
    fields.append(tlv(0xA3, tlv(0x30, b"".join(change(listed)))))
    return tlv(0x30, tlv(0x30, b"".join(fields)) + b"".join(rest))


def with_null_parameters(der: bytes) -> bytes:
    """Write both AlgorithmIdentifiers of ecdsa-with-SHA256 with NULL parameters, as Java 11."""
    absent, null = bytes.fromhex("06082A8648CE3D040302"), bytes.fromhex("06082A8648CE3D0403020500")
    to_be_signed, algorithm, signature = parts(contents(der))
    fields = [
        tlv(0x30, null) if each == tlv(0x30, absent) else each
        for each in parts(contents(to_be_signed))
    ]
    assert algorithm == tlv(0x30, absent)
    return tlv(0x30, tlv(0x30, b"".join(fields)) + tlv(0x30, null) + signature)


def requested_extensions(der: bytes) -> list[bytes]:
    information = parts(contents(der))[0]
    (one,) = parts(contents(parts(contents(information))[-1]))
    _, values = parts(contents(one))
    return parts(contents(contents(values)))


def with_attributes(
    der: bytes, key: ec.EllipticCurvePrivateKey, attributes: Sequence[bytes] | None
) -> bytes:
    """Put other attributes into a request, or leave the field out, and sign it again."""
    information, algorithm, _ = parts(contents(der))
    fields = parts(contents(information))[:-1]
    if attributes is not None:
        fields.append(tlv(0xA0, b"".join(attributes)))
    information = tlv(0x30, b"".join(fields))
    signature = key.sign(information, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, information + algorithm + tlv(0x03, b"\x00" + signature))
