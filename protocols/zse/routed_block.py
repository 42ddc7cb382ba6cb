"""A block of a long message: Message Routing Header, security header and GBT APDU.

Source: GBCS 7.2.11; DLMS UA 1000-2 (General-Block-Transfer APDU).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gbcs.message import TRANSACTION_ID_OCTETS, CRAFlag, Message, read_parties, write_parties
from gbcs.message_headers import GENERAL_CIPHERING, SECURITY_HEADER
from gbcs.octet_cursor import OctetCursor, with_length
from gbcs.protocol_errors import LocalProtocolError

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier

GENERAL_BLOCK_TRANSFER: Final = 0xE0
WINDOW_MAXIMUM: Final = 0x3F
NUMBER_MAXIMUM: Final = 0xFFFF
_LAST: Final = 0x80
_STREAMING: Final = 0x40
_BLOCK_LAYER: Final = "General-Block-Transfer"
_BLOCK_TAG: Final = bytes((GENERAL_BLOCK_TRANSFER,))
_ROUTING_TAG: Final = bytes((GENERAL_CIPHERING,))
_MESSAGE_CODE_LENGTH: Final = b"\x02"
_NO_DATE_TIME: Final = b"\x00"
_NO_KEY_INFO: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Block:
    """One General-Block-Transfer APDU.

    Args:
        number: Its block number, from 1 for data.
        acknowledged: The highest number up to which the sender has all of the peer's blocks.
        data: A part of the message; none in an acknowledgement.
        is_last: It is the last of the message.
        streaming: Another follows before the peer is to speak.
        window: Blocks that the sender takes before it acknowledges, 0 to 63.

    Source: DLMS UA 1000-2 (General-Block-Transfer APDU).
    """

    number: int
    acknowledged: int
    data: bytes = field(repr=False)
    is_last: bool
    streaming: bool
    window: int

    @property
    def is_acknowledgement(self) -> bool:
        """True if it carries nothing but an acknowledgement. Source: GBCS 7.2.11."""
        return not self.data


def encode_block(block: Block) -> bytes:
    """Write the APDU.

    Raises:
        LocalProtocolError: A number does not fit.
    """
    if not 0 <= block.window <= WINDOW_MAXIMUM:
        raise LocalProtocolError(f"a window is 0 to {WINDOW_MAXIMUM}, not {block.window}")
    for number in (block.number, block.acknowledged, len(block.data)):
        if not 0 <= number <= NUMBER_MAXIMUM:
            raise LocalProtocolError(f"{number} is no 16-bit number")
    control = block.is_last * _LAST | block.streaming * _STREAMING | block.window
    return (
        _BLOCK_TAG
        + bytes((control,))
        + block.number.to_bytes(2)
        + block.acknowledged.to_bytes(2)
        + with_length(block.data)
    )


def decode_block(octets: bytes) -> Block:
    """Read one APDU, nothing behind it.

    Raises:
        DecodeError: It has another form.
    """
    return _read_block(OctetCursor(octets, _BLOCK_LAYER))


def _read_block(cursor: OctetCursor) -> Block:
    cursor.constant(_BLOCK_TAG, "general_block_transfer")
    control = cursor.number(1, "block_control")
    number = cursor.number(2, "block_number")
    acknowledged = cursor.number(2, "block_number_acknowledged")
    data = cursor.counted("block_data")
    cursor.end()
    return Block(
        number=number,
        acknowledged=acknowledged,
        data=data,
        is_last=bool(control & _LAST),
        streaming=bool(control & _STREAMING),
        window=control & WINDOW_MAXIMUM,
    )


@dataclass(frozen=True, slots=True)
class RoutingHeader:
    """Which message a block belongs to.

    Args:
        cra_flag: Command, response or alert.
        originator_counter: 0..2^64-1.
        originator: Business Originator ID.
        recipient: Business Target ID.
        message_code: Which use case.

    Source: GBCS 7.2.11.
    """

    cra_flag: CRAFlag
    originator_counter: int
    originator: EntityIdentifier
    recipient: EntityIdentifier
    message_code: int

    def swapped(self) -> RoutingHeader:
        """Return the header with originator and recipient exchanged."""
        return RoutingHeader(
            self.cra_flag,
            self.originator_counter,
            self.recipient,
            self.originator,
            self.message_code,
        )

    @classmethod
    def of_message(cls, octets: bytes) -> RoutingHeader:
        """Return the header that the blocks of a whole message have.

        Raises:
            DecodeError: `octets` are no GBCS message.
        """
        header = Message.parse(octets, lenient_lengths=True).header
        return cls(
            header.cra_flag,
            header.originator_counter,
            header.originator,
            header.recipient,
            header.message_code,
        )


def is_block(octets: bytes) -> bool:
    """True if these are a block, and not a whole message. Source: GBCS 7.2.11."""
    return octets[:2] == _ROUTING_TAG + bytes((TRANSACTION_ID_OCTETS,))


def encode_routed_block(routing: RoutingHeader, block: Block) -> bytes:
    """Write a block as it travels.

    Raises:
        LocalProtocolError: A number does not fit.

    Source: GBCS 7.2.11.
    """
    parties = write_parties(
        routing.cra_flag,
        routing.originator_counter,
        originator=routing.originator,
        recipient=routing.recipient,
    )
    return (
        _ROUTING_TAG
        + parties
        + _NO_DATE_TIME
        + with_length(routing.message_code.to_bytes(2))
        + _NO_KEY_INFO
        + with_length(SECURITY_HEADER + encode_block(block))
    )


def decode_routed_block(octets: bytes) -> tuple[RoutingHeader, Block]:
    """Read a block as it travelled.

    Raises:
        DecodeError: It has another form.

    Source: GBCS 7.2.11.
    """
    cursor = OctetCursor(octets, "Message Routing Header")
    cursor.constant(_ROUTING_TAG, "general_ciphering")
    cra_flag, originator_counter, originator, recipient = read_parties(cursor)
    cursor.constant(_NO_DATE_TIME, "date_time")
    cursor.constant(_MESSAGE_CODE_LENGTH, "other_information_length")
    message_code = cursor.number(2, "message_code")
    cursor.constant(_NO_KEY_INFO, "key_info")
    service = cursor.counted("ciphered_service")
    cursor.end()
    cursor.offset -= len(service)
    cursor.constant(SECURITY_HEADER, "security_header")
    routing = RoutingHeader(cra_flag, originator_counter, originator, recipient, message_code)
    cursor.layer = _BLOCK_LAYER
    return routing, _read_block(cursor)
