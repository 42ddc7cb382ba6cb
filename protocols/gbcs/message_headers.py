"""The MAC Header, the Grouping Header and what follows the content.

A message without a MAC is Grouping Header, content and signature. One with a MAC has all that,
and the MAC behind it, as the ciphered service of a MAC Header:

    DD 00 00 00 00 00 00 | length | 11 00000000 | Grouping Header … | signature | MAC

Each length takes as few octets as it needs in what is written; a reader of what devices send
decides by `OctetCursor.not_minimal`.

Source: GBCS v0.8.1, 7.2.5 (MAC Header) and 7.2.7 (Grouping Header); octets as in RTDS 4.5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from construct import Bytes, Const, Construct, ConstructError, Int8ub, Int64ub, Struct

from gbcs.entity_identifier import ENTITY_IDENTIFIER_OCTETS
from gbcs.octet_cursor import with_length
from gbcs.protocol_errors import DecodeError

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


class FixedLayout:
    """Fields of fixed size, declared in construct and read in its compiled form.

    The compiled form takes fewer octets than there should be, so their number is seen to first.
    Where anything is wrong, the fields are read one by one to name the one at fault.
    """

    def __init__(self, *fields: Construct) -> None:
        layout = Struct(*fields)
        self.size_octets: int = layout.sizeof()
        self._fields = fields
        self._compiled = layout.compile()

    def read(self, cursor: OctetCursor) -> Any:
        """Read the fields; return their values by name.

        Raises:
            DecodeError: A field is not there, or not as it should be.
        """
        start = cursor.offset
        octets = cursor.octets[start : start + self.size_octets]
        if len(octets) == self.size_octets:
            try:
                values = self._compiled.parse(octets)
            except ConstructError:
                pass
            else:
                cursor.offset += self.size_octets
                return values
        raise self._fault(cursor)

    def write(self, **values: Any) -> bytes:
        """Write the fields; constants need no value."""
        octets: bytes = self._compiled.build(values)
        return octets

    def _fault(self, cursor: OctetCursor) -> DecodeError:
        for field in self._fields:
            size = field.sizeof()
            octets = cursor.octets[cursor.offset : cursor.offset + size]
            if len(octets) < size:
                there = f"cut short: {len(octets)} octets of {size} are there"
                return cursor.error(there if octets else "missing or cut short", field.name)
            try:
                field.parse(octets)
            except ConstructError:
                expected = field.subcon.value.hex().upper()
                return cursor.error(f"{octets.hex().upper()} where {expected} belongs", field.name)
            cursor.offset += size
        raise AssertionError("each field reads, and all of them do not")


PARTIES: Final = FixedLayout(
    "transaction_id_length" / Const(b"\x09"),
    "cra_flag" / Int8ub,
    "originator_counter" / Int64ub,
    "originator_length" / Const(b"\x08"),
    "business_originator_id" / Bytes(ENTITY_IDENTIFIER_OCTETS),
    "recipient_length" / Const(b"\x08"),
    "business_target_id" / Bytes(ENTITY_IDENTIFIER_OCTETS),
)
"""Transaction id and system titles, as the Grouping and the Message Routing Header begin.

Source: GBCS v0.8.1, 7.2.7 and 7.2.11.
"""

MAC_HEADER: Final = FixedLayout(
    "general_ciphering" / Const(bytes((GENERAL_CIPHERING,))),
    "transaction_id" / Const(b"\x00"),
    "originator_system_title" / Const(b"\x00"),
    "recipient_system_title" / Const(b"\x00"),
    "date_time" / Const(b"\x00"),
    "other_information" / Const(b"\x00"),
    "key_info" / Const(b"\x00"),
)
"""What is before the length of the ciphered service: everything that it could hold is empty.

Source: GBCS v0.8.1, 7.2.5.
"""


def read_mac_header(cursor: OctetCursor) -> None:
    """Read a MAC Header and its security header; what it protects is the rest of the octets.

    Raises:
        DecodeError: It has another form.

    Source: GBCS v0.8.1, 7.2.5.
    """
    cursor.layer = "MAC Header"
    MAC_HEADER.read(cursor)
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
    return MAC_HEADER.write() + with_length(SECURITY_HEADER + protected)


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
