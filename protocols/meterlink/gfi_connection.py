r"""GFI text lines: GBCS messages as hexadecimal text, the format of the DCC's bench tool.

`GBCS:DATA#<n>:<octets in decimal>:<message in upper-case hexadecimal>\r\n`, in both directions,
without acknowledgement: a damaged line is lost, and only the owner can ask for the message again.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from gbcs.protocol_errors import FramingError, LocalProtocolError, RemoteProtocolError
from meterlink.link_events import (
    MESSAGE_OCTETS_LIMIT,
    NEED_DATA,
    SEND_QUEUE_LIMIT,
    Damaged,
    Event,
    MessageAcknowledged,
    MessageReceived,
    NeedData,
    Statistics,
)

PREFIX: Final = b"GBCS:DATA#"
LAYER: Final = "GFI line"
HEADER_OCTETS_LIMIT: Final = 64
"""Octets that the prefix and the two decimal numbers may take."""
LINE_OCTETS_LIMIT: Final = HEADER_OCTETS_LIMIT + 2 * MESSAGE_OCTETS_LIMIT
"""Longest line that is collected; a longer one is thrown away up to its end."""

_LINE: Final = re.compile(rb"GBCS:DATA#([0-9]{1,10}):([0-9]{1,10}):([0-9A-Fa-f]*)")


def encode_line(octets: bytes, *, number: int = 0) -> bytes:
    """Encode one message as a line, with its line end.

    Args:
        octets: The message, 1 to `MESSAGE_OCTETS_LIMIT` octets.
        number: The `<n>` of the line.

    Raises:
        LocalProtocolError: The message is empty or too long, or `number` is negative.

    Source: the line format of the DCC's GFI tool.
    """
    _check_message(octets)
    if number < 0:
        raise LocalProtocolError(f"a GFI line's number is 0 or more, not {number}")
    return b"%s%d:%d:%s\r\n" % (PREFIX, number, len(octets), octets.hex().upper().encode())


def decode_line(line: bytes) -> bytes:
    """Decode one line, given without its line end.

    Any decimal number and digits of either case are accepted.

    Raises:
        FramingError: The line has another form, or its length does not match its digits.

    Source: the line format of the DCC's GFI tool.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise FramingError(
            "not of the form GBCS:DATA#<n>:<octets>:<hexadecimal>",
            layer=LAYER,
            offset=0,
            excerpt=line,
        )
    stated = int(match[2])
    digits = match[3]
    if stated == 0:
        raise FramingError("the message is empty", layer=LAYER, offset=match.start(2))
    if len(digits) != 2 * stated:
        raise FramingError(
            f"{stated} octets are stated and {len(digits)} hexadecimal digits follow",
            layer=LAYER,
            offset=match.start(3),
            field="length",
        )
    return bytes.fromhex(digits.decode("ascii"))


def _check_message(octets: bytes) -> None:
    if not 0 < len(octets) <= MESSAGE_OCTETS_LIMIT:
        raise LocalProtocolError(
            f"a message has 1 to {MESSAGE_OCTETS_LIMIT} octets, not {len(octets)}"
        )


class GFIConnection:
    """One end of a line that speaks GFI text; both ends are alike.

    Args:
        number: The `<n>` that sent lines carry.
    """

    def __init__(self, *, number: int = 0) -> None:
        self._number = number
        self._line = bytearray()
        self._overlong = False
        self._events: deque[Event] = deque()
        self._queue: deque[bytes] = deque()
        self._statistics = Statistics()

    @property
    def statistics(self) -> Statistics:
        """Counts so far; the object is live."""
        return self._statistics

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """Messages not yet handed to the line, oldest first."""
        return tuple(self._queue)

    def receive_data(self, data: bytes, now: float) -> None:
        """Receive octets as they were read; `now` changes nothing, as lines have no time-outs."""
        del now
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._collect(part)
            self._end_line()
        self._collect(rest)

    def next_event(self) -> Event | NeedData:
        """Return the next event; a damaged line is an event, nothing is raised."""
        return self._events.popleft() if self._events else NEED_DATA

    def send_message(self, octets: bytes) -> None:
        """Queue one message.

        Raises:
            LocalProtocolError: It is empty or too long, or the queue is full.
        """
        _check_message(octets)
        if len(self._queue) >= SEND_QUEUE_LIMIT:
            raise LocalProtocolError(f"{SEND_QUEUE_LIMIT} messages wait already")
        self._queue.append(bytes(octets))

    def data_to_send(self, now: float) -> bytes:
        """Return every queued message as a line; each counts as acknowledged then."""
        del now
        lines = [encode_line(octets, number=self._number) for octets in self._queue]
        self._events.extend(MessageAcknowledged() for _ in lines)
        self._queue.clear()
        self._statistics.frames_sent += len(lines)
        return b"".join(lines)

    def next_deadline(self) -> float | None:
        """Return None: lines have no time-outs."""
        return None

    def handle_deadline(self, now: float) -> None:
        """Do nothing: lines have no time-outs."""

    def _collect(self, part: bytes) -> None:
        if self._overlong:
            return
        if len(self._line) + len(part) > LINE_OCTETS_LIMIT:
            self._overlong = True
            self._damaged(
                FramingError(
                    f"the line has more than {LINE_OCTETS_LIMIT} octets",
                    layer=LAYER,
                    offset=LINE_OCTETS_LIMIT,
                    excerpt=bytes(self._line),
                )
            )
            self._line.clear()
            return
        self._line += part

    def _end_line(self) -> None:
        if self._overlong:
            self._overlong = False
            return
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        if not line:
            return
        # A line that lost its end runs into the next one, which is whole and worth keeping.
        start = max(line.rfind(PREFIX), 0)
        if start:
            self._damaged(
                FramingError(
                    f"{start} octets stand before the line's beginning",
                    layer=LAYER,
                    offset=0,
                    excerpt=line[:start],
                )
            )
        try:
            octets = decode_line(line[start:])
        except RemoteProtocolError as error:
            self._damaged(error)
            return
        self._statistics.frames_received += 1
        self._events.append(MessageReceived(octets))

    def _damaged(self, error: RemoteProtocolError) -> None:
        self._statistics.damaged += 1
        self._events.append(Damaged(error))
