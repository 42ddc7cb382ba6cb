"""A block of a long message: Message Routing Header, security header and GBT APDU.

Source: GBCS 7.2.11; DLMS UA 1000-2 (General-Block-Transfer APDU).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from construct import Byte, Const, Int16ub, Int64ub

from gbcs.entity import EntityIdentifier
from gbcs.errors import DecodeError, LocalProtocolError
from gbcs.headers import GENERAL_CIPHERING, SECURITY_HEADER, Format
from gbcs.message import CRAFlag, Message
from gbcs.octet_fields import CountedOctets, End, ExactOctets, FlatStruct

GENERAL_BLOCK_TRANSFER: Final = 0xE0
WINDOW_MAXIMUM: Final = 0x3F
NUMBER_MAXIMUM: Final = 0xFFFF
_LAST: Final = 0x80
_STREAMING: Final = 0x40
_TRANSACTION_ID_OCTETS: Final = 9

_ROUTING: Final = Format(
    "Message Routing Header",
    FlatStruct(
        "general_ciphering" / Const(bytes((GENERAL_CIPHERING,))),
        "transaction_id_length" / Const(bytes((_TRANSACTION_ID_OCTETS,))),
        "cra_flag" / Byte,
        "originator_counter" / Int64ub,
        "originator_length" / Const(b"\x08"),
        "business_originator_id" / ExactOctets(8),
        "recipient_length" / Const(b"\x08"),
        "business_target_id" / ExactOctets(8),
        "date_time" / Const(b"\x00"),
        "other_information_length" / Const(b"\x02"),
        "message_code" / Int16ub,
        "key_info" / Const(b"\x00"),
        "ciphered_service" / CountedOctets(),
        "end" / End(),
    ),
)

_BLOCK: Final = Format(
    "General-Block-Transfer",
    FlatStruct(
        "general_block_transfer" / Const(bytes((GENERAL_BLOCK_TRANSFER,))),
        "block_control" / Byte,
        "block_number" / Int16ub,
        "block_number_acknowledged" / Int16ub,
        "block_data" / CountedOctets(),
        "end" / End(),
    ),
)


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
        """Whether it carries nothing but an acknowledgement. Source: GBCS 7.2.11."""
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
    return _BLOCK.build(
        {
            "block_control": block.is_last * _LAST | block.streaming * _STREAMING | block.window,
            "block_number": block.number,
            "block_number_acknowledged": block.acknowledged,
            "block_data": block.data,
        }
    )


def decode_block(octets: bytes) -> Block:
    """Read one APDU, nothing behind it.

    Raises:
        DecodeError: It has another form.
    """
    values = _BLOCK.parse(octets)
    control = values["block_control"]
    return Block(
        number=values["block_number"],
        acknowledged=values["block_number_acknowledged"],
        data=values["block_data"],
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
        """Give the header with originator and recipient in each other's place."""
        return RoutingHeader(
            self.cra_flag,
            self.originator_counter,
            self.recipient,
            self.originator,
            self.message_code,
        )

    @classmethod
    def of_message(cls, octets: bytes) -> RoutingHeader:
        """Give the header that the blocks of a whole message have.

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
    """Say whether these are a block, and not a whole message. Source: GBCS 7.2.11."""
    return octets[:2] == bytes((GENERAL_CIPHERING, _TRANSACTION_ID_OCTETS))


def encode_routed_block(routing: RoutingHeader, block: Block) -> bytes:
    """Write a block as it travels.

    Raises:
        LocalProtocolError: A number does not fit.

    Source: GBCS 7.2.11.
    """
    return _ROUTING.build(
        {
            "cra_flag": routing.cra_flag,
            "originator_counter": routing.originator_counter,
            "business_originator_id": routing.originator,
            "business_target_id": routing.recipient,
            "message_code": routing.message_code,
            "ciphered_service": SECURITY_HEADER + encode_block(block),
        }
    )


def decode_routed_block(octets: bytes) -> tuple[RoutingHeader, Block]:
    """Read a block as it travelled.

    Raises:
        DecodeError: It has another form.

    Source: GBCS 7.2.11.
    """
    values = _ROUTING.parse(octets)
    service: bytes = values["ciphered_service"]
    if not service.startswith(SECURITY_HEADER):
        raise DecodeError(
            "the security header is not that of a block",
            layer=_ROUTING.layer,
            field="security header",
            offset=len(octets) - len(service),
            excerpt=service,
        )
    try:
        cra_flag = CRAFlag(values["cra_flag"])
    except ValueError:
        raise DecodeError(
            f"{values['cra_flag']} is no CRA flag", layer=_ROUTING.layer, field="cra_flag", offset=2
        ) from None
    routing = RoutingHeader(
        cra_flag,
        values["originator_counter"],
        EntityIdentifier(values["business_originator_id"]),
        EntityIdentifier(values["business_target_id"]),
        values["message_code"],
    )
    return routing, decode_block(service[len(SECURITY_HEADER) :])
