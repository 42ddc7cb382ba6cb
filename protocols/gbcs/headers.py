"""The MAC Header, the Grouping Header and what follows the content.

A message without a MAC is Grouping Header, content and signature. One with a MAC has all that,
and the MAC behind it, as the ciphered service of a MAC Header:

    DD 00 00 00 00 00 00 | length | 11 00000000 | Grouping Header … | signature | MAC

Each length takes as few octets as it needs in what is written; a reader of what devices send
decides by `OctetCursor.not_minimal`.

Source: GBCS v0.8.1, 7.2.5 (MAC Header) and 7.2.7 (Grouping Header); octets as in RTDS 4.5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.errors import DecodeError
from gbcs.octet_cursor import with_length

if TYPE_CHECKING:
    from gbcs.octet_cursor import OctetCursor

MAC_OCTETS: Final = 12
SIGNATURE_OCTETS: Final = 64
DATE_TIME_OCTETS: Final = 12
MESSAGE_MAXIMUM_OCTETS: Final = 65_535
"""The longest message that is read; RTDS's longest has 3,986 octets."""

GENERAL_SIGNING: Final = 0xDF
GENERAL_CIPHERING: Final = 0xDD
SECURITY_HEADER: Final = bytes.fromhex("1100000000")
"""Security control octet (authenticated, suite 0) and an invocation counter of zero."""

_MAC_HEADER_EMPTY_FIELDS: Final = (
    "transaction_id",
    "originator_system_title",
    "recipient_system_title",
    "date_time",
    "other_information",
    "key_info",
)


def read_mac_header(cursor: OctetCursor) -> None:
    """Read a MAC Header and its security header; what it protects is the rest of the octets.

    Raises:
        DecodeError: It has another form.

    Source: GBCS v0.8.1, 7.2.5.
    """
    cursor.layer = "MAC Header"
    cursor.constant(bytes((GENERAL_CIPHERING,)), "general_ciphering")
    for field in _MAC_HEADER_EMPTY_FIELDS:
        cursor.constant(b"\x00", field)
    service = cursor.counted("ciphered_service")
    cursor.end()
    cursor.offset -= len(service)
    if not service.startswith(SECURITY_HEADER):
        raise DecodeError(
            "the security header is not 11 00 00 00 00",
            layer=cursor.layer,
            field="security_header",
            offset=cursor.offset,
            excerpt=service[: len(SECURITY_HEADER)],
        )
    cursor.offset += len(SECURITY_HEADER)


def write_mac_header(protected: bytes) -> bytes:
    """Write a MAC Header and its security header before what they protect.

    Source: GBCS v0.8.1, 7.2.5.
    """
    empty = bytes(len(_MAC_HEADER_EMPTY_FIELDS))
    return bytes((GENERAL_CIPHERING,)) + empty + with_length(SECURITY_HEADER + protected)


def read_trailer(cursor: OctetCursor, *, has_mac: bool) -> tuple[bytes, bytes | None]:
    """Read the signature and, where there is one, the MAC; nothing may be behind them.

    Returns:
        The signature, 64 octets or none; the MAC, 12 octets, or None.

    Raises:
        DecodeError: It has another form.

    Source: GBCS v0.8.1, 7.2.5 and 13.3.3.1.
    """
    cursor.layer = "signature and MAC" if has_mac else "signature"
    start = cursor.offset
    signature = cursor.counted("signature")
    mac = cursor.exactly(MAC_OCTETS, "mac") if has_mac else None
    cursor.end()
    if len(signature) not in (0, SIGNATURE_OCTETS):
        raise DecodeError(
            f"a signature of {len(signature)} octets, where 0 or {SIGNATURE_OCTETS} belong",
            layer="signature",
            offset=start,
        )
    return signature, mac
