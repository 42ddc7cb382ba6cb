"""HDLC frames of format type 3: header, control field, information and check sequences."""

from __future__ import annotations

import enum
import io
import struct
from dataclasses import dataclass
from typing import Any, Final

from construct import (
    Byte,
    Bytes,
    ConstructError,
    If,
    Int16ub,
    Int16ul,
    RepeatUntil,
    Struct,
    Terminated,
    len_,
    obj_,
    this,
)

from gbcs.protocol_errors import ChecksumError, DecodeError, FramingError
from meterlink.hdlc.fcs import fcs16
from meterlink.hdlc.hdlc_address import HDLCAddress

FLAG: Final = 0x7E
FORMAT_TYPE: Final = 0xA000
FORMAT_TYPE_MASK: Final = 0xF000
SEGMENTATION_BIT: Final = 0x0800
LENGTH_MASK: Final = 0x07FF
POLL_FINAL_BIT: Final = 0x10
MODULUS: Final = 8
FRAME_OCTETS_LEAST: Final = 7
"""Format field, two one-octet addresses, control field and FCS."""
FRAME_OCTETS_LIMIT: Final = LENGTH_MASK
"""Longest frame, flags not counted: what 11 bits can say."""
LAYER: Final = "HDLC"

_ADDRESS: Final = RepeatUntil((obj_ & 1) == 1, Byte)
_HEADER: Final = Struct(
    "format" / Int16ub,
    "destination" / _ADDRESS,
    "source" / _ADDRESS,
    "control" / Byte,
).compile()
_FRAME: Final = Struct(
    "format" / Int16ub,
    "destination" / _ADDRESS,
    "source" / _ADDRESS,
    "control" / Byte,
    "body"
    / If(
        (this.format & LENGTH_MASK) > 5 + len_(this.destination) + len_(this.source),
        Struct(
            "hcs" / Int16ul,
            "information"
            / Bytes(
                (this._.format & LENGTH_MASK) - 7 - len_(this._.destination) - len_(this._.source)
            ),
        ),
    ),
    "fcs" / Int16ul,
    Terminated,
).compile()


class FrameKind(enum.IntEnum):
    """Kinds of frame; the value is the control field without sequence numbers and P/F bit.

    Source: IEC 62056-46, 6.4.3.1; ISO/IEC 13239, table 5.
    """

    I = 0x00  # noqa: E741 - the standard's name
    RR = 0x01
    UI = 0x03
    RNR = 0x05
    REJ = 0x09
    DM = 0x0F
    DISC = 0x43
    UA = 0x63
    SNRM = 0x83
    FRMR = 0x87


SUPERVISORY: Final = frozenset({FrameKind.RR, FrameKind.RNR, FrameKind.REJ})
NUMBERED: Final = SUPERVISORY | {FrameKind.I}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame between its flags.

    Args:
        destination: To whom.
        source: From whom.
        kind: What it is.
        poll_final: The P bit of a command, the F bit of a response.
        send_sequence: N(S) of an I frame, 0 to 7.
        receive_sequence: N(R) of an I, RR, RNR or REJ frame, 0 to 7.
        segmented: More segments of the same message follow.
        information: The information field; it is not shown, as it may hold anything.
    """

    destination: HDLCAddress
    source: HDLCAddress
    kind: FrameKind
    poll_final: bool = True
    send_sequence: int = 0
    receive_sequence: int = 0
    segmented: bool = False
    information: bytes = b""

    @property
    def control(self) -> int:
        """The control field."""
        octet = int(self.kind) | (POLL_FINAL_BIT if self.poll_final else 0)
        if self.kind in NUMBERED:
            octet |= self.receive_sequence << 5
        if self.kind is FrameKind.I:
            octet |= self.send_sequence << 1
        return octet


def frame_kind(control: int) -> FrameKind:
    """Return the kind of frame that a control field states.

    Raises:
        DecodeError: The control field is undefined or not implemented.

    Source: IEC 62056-46, 6.4.3.1.
    """
    if control & 1 == 0:
        return FrameKind.I
    bare = control & 0x0F if control & 3 == 1 else control & ~POLL_FINAL_BIT
    try:
        return FrameKind(bare)
    except ValueError:
        raise DecodeError(
            f"control field 0x{control:02X} is of no known frame",
            layer=LAYER,
            field="control",
            clause="IEC 62056-46, 6.4.3.1",
        ) from None


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame with its two flags.

    Raises:
        ValueError: It is longer than 11 bits can say.

    Source: IEC 62056-46, 6.4.2.
    """
    destination, source = frame.destination.encode(), frame.source.encode()
    length = 5 + len(destination) + len(source)
    if frame.information:
        length += 2 + len(frame.information)
    if length > FRAME_OCTETS_LIMIT:
        msg = f"a frame of {length} octets is longer than {FRAME_OCTETS_LIMIT}"
        raise ValueError(msg)
    fields: dict[str, Any] = {
        "format": FORMAT_TYPE | (SEGMENTATION_BIT if frame.segmented else 0) | length,
        "destination": list(destination),
        "source": list(source),
        "control": frame.control,
        "body": None,
    }
    check = fcs16(_HEADER.build(fields))
    if frame.information:
        fields["body"] = {"hcs": check, "information": frame.information}
        octets = bytes(_FRAME.build(fields | {"fcs": 0})[:-2])
        octets += fcs16(octets).to_bytes(2, "little")
    else:
        octets = _FRAME.build(fields | {"fcs": check})
    return b"\x7e" + octets + b"\x7e"


def decode_frame(octets: bytes) -> Frame:
    """Decode what stands between two flags.

    Raises:
        FramingError: The format type or the length is wrong.
        ChecksumError: The HCS or the FCS does not match.
        DecodeError: The check sequences match and a field makes no sense.

    Source: IEC 62056-46, 6.4.2.
    """
    verify_format(octets)
    stated = int.from_bytes(octets[:2], "big") & LENGTH_MASK
    if stated != len(octets):
        raise FramingError(
            f"{stated} octets are stated and {len(octets)} stand between the flags",
            layer=LAYER,
            offset=0,
            field="frame length",
            excerpt=octets,
        )
    stream = io.BytesIO(octets)
    try:
        parsed = _FRAME.parse_stream(stream)
    except (ConstructError, struct.error, IndexError) as error:
        raise FramingError(
            "the fields do not fit the frame's length",
            layer=LAYER,
            offset=stream.tell(),
            excerpt=octets,
        ) from error
    information = b""
    if parsed.body is not None:
        information = parsed.body.information
        header = octets[: len(octets) - len(information) - 4]
        verify_check_sequence(header, parsed.body.hcs, field="HCS")
    verify_check_sequence(octets[:-2], parsed.fcs, field="FCS")
    kind = frame_kind(parsed.control)
    return Frame(
        destination=HDLCAddress.decode(bytes(parsed.destination)),
        source=HDLCAddress.decode(bytes(parsed.source)),
        kind=kind,
        poll_final=bool(parsed.control & POLL_FINAL_BIT),
        send_sequence=parsed.control >> 1 & 7 if kind is FrameKind.I else 0,
        receive_sequence=parsed.control >> 5 if kind in NUMBERED else 0,
        segmented=bool(parsed.format & SEGMENTATION_BIT),
        information=information,
    )


def verify_format(octets: bytes | bytearray) -> None:
    """Check the two octets of the format field.

    Raises:
        FramingError: They are missing, or the format type or the length is wrong.

    Source: IEC 62056-46, 6.4.2.1.
    """
    value = int.from_bytes(octets[:2], "big")
    if len(octets) < 2 or value & FORMAT_TYPE_MASK != FORMAT_TYPE:
        raise FramingError(
            "not a frame of format type 3",
            layer=LAYER,
            offset=0,
            field="format",
            clause="IEC 62056-46, 6.4.2.1",
            excerpt=bytes(octets[:8]),
        )
    if value & LENGTH_MASK < FRAME_OCTETS_LEAST:
        raise FramingError(
            f"a frame of {value & LENGTH_MASK} octets is shorter than {FRAME_OCTETS_LEAST}",
            layer=LAYER,
            offset=0,
            field="frame length",
            excerpt=bytes(octets[:8]),
        )


def verify_check_sequence(octets: bytes | bytearray, sequence: int, *, field: str) -> None:
    """Check an HCS or FCS.

    Args:
        octets: What it covers.
        sequence: What was received.
        field: Its name.

    Raises:
        ChecksumError: It is not the one of `octets`.

    Source: IEC 62056-46, 6.4.2.5.
    """
    expected = fcs16(bytes(octets))
    if sequence != expected:
        raise ChecksumError(
            f"0x{sequence:04X} does not match 0x{expected:04X}",
            layer=LAYER,
            offset=len(octets),
            field=field,
        )


class Rejection(enum.IntFlag):
    """Why a frame was rejected: the last octet of an FRMR's information field.

    Source: ISO/IEC 13239, 5.5.3.4.2.
    """

    CONTROL_UNDEFINED = 0x01
    INFORMATION_NOT_PERMITTED = 0x02
    INFORMATION_TOO_LONG = 0x04
    RECEIVE_SEQUENCE_INVALID = 0x08


def encode_rejection(
    control: int, *, send_state: int, receive_state: int, reason: Rejection
) -> bytes:
    """Encode the information field of an FRMR that rejects a command.

    Args:
        control: The control field of the rejected frame.
        send_state: V(S), 0 to 7.
        receive_state: V(R), 0 to 7.
        reason: Why.

    Source: ISO/IEC 13239, 5.5.3.4.2.
    """
    return bytes((control, receive_state << 5 | send_state << 1, reason))
