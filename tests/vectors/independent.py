"""Reads and verifies messages without any code of the project's own.

It shares with `gbcs` only the facts: offsets of the fixed fields, hashlib for the key
derivation, and the primitives of cryptography called directly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


@dataclass(frozen=True)
class Parts:
    """The parts of a message that has minimal lengths."""

    cra_flag: int
    counter: int
    originator: bytes
    recipient: bytes
    date_time: bytes
    other_information: bytes
    content: bytes
    signature: bytes
    mac: bytes
    signed: bytes
    grouping_and_signature: bytes


def _counted(octets: bytes, offset: int) -> tuple[bytes, int]:
    length = octets[offset]
    offset += 1
    if length > 0x80:
        size = length - 0x80
        length = int.from_bytes(octets[offset : offset + size])
        offset += size
    return octets[offset : offset + length], offset + length


def split(message: bytes) -> Parts:
    """Cut a message into its parts."""
    start, mac = 0, b""
    if message[0] == 0xDD:
        service, end = _counted(message, 7)
        assert end == len(message)
        assert service[:5] == bytes.fromhex("1100000000")
        start = len(message) - len(service) + 5
        mac = message[-12:]
    body = message[start : len(message) - len(mac)]
    assert body[:2] == b"\xdf\x09"
    date_time, at = _counted(body, 29)
    other, at = _counted(body, at)
    content, at = _counted(body, at)
    signature = b""
    if at < len(body):
        signature, end = _counted(body, at)
        assert end == len(body)
    return Parts(
        cra_flag=body[2],
        counter=int.from_bytes(body[3:11]),
        originator=body[12:20],
        recipient=body[21:29],
        date_time=date_time,
        other_information=other,
        content=content,
        signature=signature,
        mac=mac,
        signed=body[1:at],
        grouping_and_signature=body,
    )


def other_info(parts: Parts) -> bytes:
    """Give the OtherInfo of the key derivation."""
    return b"".join(
        (
            bytes.fromhex("60857406080300"),
            parts.originator,
            b"\x09",
            bytes((parts.cra_flag,)),
            parts.counter.to_bytes(8),
            parts.recipient,
        )
    )


def key(shared_secret: bytes, info: bytes) -> bytes:
    """Derive the 16 octets of an AES key."""
    return hashlib.sha256(b"\x00\x00\x00\x01" + shared_secret + info).digest()[:16]


def mac(parts: Parts, shared_secret: bytes) -> bytes:
    """Compute the 12 octets of the MAC that a message should have."""
    encryptor = Cipher(
        algorithms.AES(key(shared_secret, other_info(parts))),
        modes.GCM(parts.originator + bytes(4)),
    ).encryptor()
    encryptor.authenticate_additional_data(
        bytes.fromhex("110000000000") + parts.grouping_and_signature
    )
    encryptor.finalize()
    return encryptor.tag[:12]


def verify_signature(parts: Parts, public_key: ec.EllipticCurvePublicKey) -> None:
    """Verify the signature; raises `InvalidSignature`."""
    r, s = parts.signature[:32], parts.signature[32:]
    public_key.verify(
        encode_dss_signature(int.from_bytes(r), int.from_bytes(s)),
        hashlib.sha256(parts.signed).digest(),
        ec.ECDSA(Prehashed(hashes.SHA256())),
    )


def public_key_of(point: str) -> ec.EllipticCurvePublicKey:
    """Make a public key of the hexadecimal x and y of its point."""
    return ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), b"\x04" + bytes.fromhex(point)
    )
