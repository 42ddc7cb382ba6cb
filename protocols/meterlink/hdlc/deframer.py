"""Finds frames in octets as they are read, and finds the next one after damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import DecodeError, FramingError, LocalProtocolError, RemoteProtocolError
from meterlink.hdlc.hdlc_address import address_octets
from meterlink.hdlc.hdlc_frames import (
    FLAG,
    FRAME_OCTETS_LIMIT,
    LAYER,
    LENGTH_MASK,
    decode_frame,
    verify_check_sequence,
    verify_format,
)

if TYPE_CHECKING:
    from meterlink.hdlc.hdlc_frames import Frame

RECEIVE_BUFFER_LIMIT: Final = 4 * (FRAME_OCTETS_LIMIT + 2)
"""Octets held at most; an incomplete frame needs a quarter of it."""

_FLAGS: Final = bytes((FLAG,))
_TWO_FLAGS: Final = bytes((FLAG, FLAG))


class Deframer:
    """A receive buffer that gives frames, damage, or nothing yet.

    A frame of format type 3 states its length, so flags may stand inside it. Its header is checked
    as soon as it is there, so that a false flag holds up no more than the octets of a header.
    After damage the search goes on at the next flag within the damaged octets; what is thrown
    away until an undamaged frame is found is reported once.

    Source: IEC 62056-46, 6.4.2.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._resynchronising = False

    @property
    def is_within_frame(self) -> bool:
        """True if more octets are needed to complete a frame that has begun."""
        return len(self._buffer.lstrip(_FLAGS)) > 0

    def receive_data(self, data: bytes) -> None:
        """Receive octets as they were read.

        Raises:
            LocalProtocolError: `next_frame` was not called until None, and the buffer is full.
        """
        if len(self._buffer) + len(data) > RECEIVE_BUFFER_LIMIT:
            raise LocalProtocolError(
                f"more than {RECEIVE_BUFFER_LIMIT} octets would wait; take the frames out first"
            )
        self._buffer += data

    def next_frame(self) -> Frame | RemoteProtocolError | None:
        """Return the next frame, the error of octets that were discarded, or None for not yet.

        The errors are returned: FramingError and ChecksumError for damage, DecodeError for an
        undamaged frame that makes no sense.
        """
        while self._buffer:
            error = self._drop_noise()
            if error is not None:
                return error
            try:
                octets = self._whole_frame()
                frame = None if octets is None else decode_frame(octets)
            except DecodeError as nonsense:
                self._drop_frame()
                return nonsense
            except RemoteProtocolError as damage:
                if self._drop_flag():
                    return damage
                continue
            if frame is not None:
                self._drop_frame()
            return frame
        return None

    def time_out(self) -> list[Frame | RemoteProtocolError]:
        """Discard what is incomplete, after the inter-octet time-out.

        Returns:
            What was wrong, and any whole frame found behind a false flag.
        """
        found: list[Frame | RemoteProtocolError] = []
        while self.is_within_frame:
            held = len(self._buffer)
            excerpt = bytes(self._buffer[:32])
            if self._drop_flag():
                found.append(
                    FramingError(
                        f"the line fell silent after {held} octets of a frame",
                        layer=LAYER,
                        offset=held,
                        clause="IEC 62056-46, 6.4.4.3.3",
                        excerpt=excerpt,
                    )
                )
            while (item := self.next_frame()) is not None:
                found.append(item)
        self._resynchronising = False
        return found

    def reset(self) -> None:
        """Discard everything held."""
        self._buffer.clear()
        self._resynchronising = False

    def _drop_noise(self) -> FramingError | None:
        """Drop octets before a flag, and all but the last of a row of flags."""
        start = self._buffer.find(_FLAGS)
        noise = bytes(self._buffer if start < 0 else self._buffer[:start])
        del self._buffer[: len(noise)]
        while self._buffer.startswith(_TWO_FLAGS):
            del self._buffer[:1]
        if not noise or self._resynchronising:
            return None
        self._resynchronising = True
        return FramingError(
            f"{len(noise)} octets stand outside any frame", layer=LAYER, offset=0, excerpt=noise
        )

    def _drop_frame(self) -> None:
        """Drop a whole frame; its closing flag stays, as it may open the next one."""
        del self._buffer[: 1 + (int.from_bytes(self._buffer[1:3], "big") & LENGTH_MASK)]
        self._resynchronising = False

    def _drop_flag(self) -> bool:
        """Drop the flag that began no good frame; return whether this damage is a new one."""
        del self._buffer[:1]
        is_new = not self._resynchronising
        self._resynchronising = True
        return is_new

    def _whole_frame(self) -> bytes | None:
        """Return the octets between the flags, or None if they are not all there.

        Raises:
            RemoteProtocolError: What follows the flag is not, or no more, a frame.
        """
        buffer = self._buffer
        if len(buffer) < 3:
            return None
        verify_format(buffer[1:3])
        length = int.from_bytes(buffer[1:3], "big") & LENGTH_MASK
        destination = address_octets(buffer, 3)
        if destination is None:
            return None
        source = address_octets(buffer, 3 + destination)
        header_end = 1 + 2 + destination + (source or 0) + 1
        if source is None or len(buffer) < header_end + 2:
            return None
        verify_check_sequence(
            buffer[1:header_end],
            int.from_bytes(buffer[header_end : header_end + 2], "little"),
            field="HCS",
        )
        if len(buffer) < length + 2:
            return None
        if buffer[length + 1] != FLAG:
            raise FramingError(
                f"no flag follows the {length} octets of the frame",
                layer=LAYER,
                offset=length,
                field="closing flag",
                excerpt=bytes(buffer[length + 1 : length + 2]),
            )
        return bytes(buffer[1 : length + 1])
