"""ASH as a network co-processor speaks it: the framing between an EZSP radio and its host.

Source: Silicon Labs UG101 (UART gateway protocol reference), sections 2 to 5.
"""

from __future__ import annotations

import binascii
import enum
from collections import deque
from dataclasses import dataclass
from typing import Final

FLAG: Final = 0x7E
ESCAPE: Final = 0x7D
XON: Final = 0x11
XOFF: Final = 0x13
SUBSTITUTE: Final = 0x18
CANCEL: Final = 0x1A
RESERVED: Final = frozenset({FLAG, ESCAPE, XON, XOFF, SUBSTITUTE, CANCEL})
ESCAPE_BIT: Final = 0x20
VERSION: Final = 2
RST: Final = 0xC0
RSTACK: Final = 0xC1
ERROR: Final = 0xC2
SEQUENCES: Final = 8
DATA_OCTETS_MINIMUM: Final = 3
DATA_OCTETS_MAXIMUM: Final = 220
"""The longest EZSP frame; the reference gives 128, firmware for EZSP 8 and later takes more."""
FRAME_OCTETS_LIMIT: Final = 2 * (DATA_OCTETS_MAXIMUM + 3)
ACK_TIMEOUT_S: Final = 1.6
ACK_TIMEOUTS: Final = 4
"""How often a frame goes out anew before the radio reports an error."""
WINDOW: Final = 3
"""Frames that may wait for their acknowledgement."""


class ResetCode(enum.IntEnum):
    """Why a radio started anew, or stopped."""

    UNKNOWN = 0x00
    EXTERNAL = 0x01
    POWER_ON = 0x02
    WATCHDOG = 0x03
    ASSERT = 0x06
    BOOTLOADER = 0x09
    SOFTWARE = 0x0B
    EXCEEDED_ACK_TIMEOUTS = 0x51


def randomise(octets: bytes) -> bytes:
    """Combine octets with the pseudo-random sequence; doing it twice changes nothing.

    Source: UG101, 4.3.
    """
    found = bytearray()
    value = 0x42
    for octet in octets:
        found.append(octet ^ value)
        value = (value >> 1) ^ (0xB8 if value & 1 else 0)
    return bytes(found)


def encode_frame(body: bytes) -> bytes:
    """Add the check sum, the escapes and the flag. Source: UG101, 2.2 and 2.3."""
    checked = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    found = bytearray()
    for octet in checked:
        found += bytes((ESCAPE, octet ^ ESCAPE_BIT)) if octet in RESERVED else bytes((octet,))
    return bytes(found) + bytes((FLAG,))


def decode_frame(octets: bytes) -> bytes | None:
    """Return a frame without escapes and check sum; None where it is damaged."""
    found = bytearray()
    is_escaped = False
    for octet in octets:
        if octet == ESCAPE:
            is_escaped = True
            continue
        found.append(octet ^ ESCAPE_BIT if is_escaped else octet)
        is_escaped = False
    body, check = bytes(found[:-2]), bytes(found[-2:])
    if len(body) < 1 or binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big") != check:
        return None
    return body


@dataclass(frozen=True, slots=True)
class HostReset:
    """The host asks the radio to start anew."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """An EZSP frame came from the host."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class HostLost:
    """The host stopped acknowledging; the radio has said so and waits for a reset."""


ASHEvent = HostReset | FrameReceived | HostLost


@dataclass(slots=True)
class _Sent:
    octets: bytes
    number: int
    attempts: int
    due: float


class ASHConnection:
    """The radio's end of ASH; it says nothing until the host resets it.

    What `data_to_send` gives goes to the line; `now` is monotonic seconds.
    """

    def __init__(self) -> None:
        self.is_connected = False
        self.retransmissions = 0
        self.damaged = 0
        self._buffer = bytearray()
        self._discards = False
        self._output = bytearray()
        self._events: deque[ASHEvent] = deque()
        self._waiting: deque[bytes] = deque()
        self._sent: deque[_Sent] = deque()
        self._next_number = 0
        self._expected = 0
        self._rejects = False

    def reset(self, code: ResetCode = ResetCode.SOFTWARE) -> None:
        """Start anew, and send the host why."""
        self._begin()
        self._output += encode_frame(bytes((RSTACK, VERSION, code)))

    def fail(self, code: ResetCode) -> None:
        """Stop, and send the host why."""
        self.is_connected = False
        self._waiting.clear()
        self._sent.clear()
        self._output += encode_frame(bytes((ERROR, VERSION, code)))

    def disconnect(self) -> None:
        """Reset the connection, as when the line goes away."""
        self.is_connected = False
        self._buffer.clear()
        self._output.clear()
        self._waiting.clear()
        self._sent.clear()

    def send(self, octets: bytes) -> None:
        """Queue an EZSP frame; it is dropped where no host is connected."""
        if self.is_connected:
            self._waiting.append(octets)

    def receive_data(self, octets: bytes, now: float) -> None:
        """Process octets from the line."""
        for octet in octets:
            if octet == FLAG:
                frame, self._buffer = bytes(self._buffer), bytearray()
                is_discarded, self._discards = self._discards, False
                if frame and not is_discarded:
                    self._receive_frame(frame, now)
            elif octet == CANCEL:
                self._buffer.clear()
                self._discards = False
            elif octet == SUBSTITUTE:
                self._discards = True
            elif octet not in {XON, XOFF}:
                self._buffer.append(octet)
                if len(self._buffer) > FRAME_OCTETS_LIMIT:
                    self._buffer.clear()
                    self._discards = True

    def next_event(self) -> ASHEvent | None:
        """Return what happened next, or None."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now: float) -> bytes:
        """Return what goes to the line now; it counts as sent."""
        while self._waiting and len(self._sent) < WINDOW:
            sent = _Sent(self._waiting.popleft(), self._next_number, 0, now + ACK_TIMEOUT_S)
            self._next_number = (self._next_number + 1) % SEQUENCES
            self._sent.append(sent)
            self._write(sent, is_again=False)
        found = bytes(self._output)
        self._output.clear()
        return found

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        return self._sent[0].due if self._sent else None

    def handle_deadline(self, now: float) -> None:
        """Send again what was not acknowledged by `now`, or give the host up."""
        if not self._sent or now < self._sent[0].due:
            return
        if self._sent[0].attempts >= ACK_TIMEOUTS:
            self.fail(ResetCode.EXCEEDED_ACK_TIMEOUTS)
            self._events.append(HostLost())
            return
        self._repeat(now)

    def _begin(self) -> None:
        self.disconnect()
        self.is_connected = True
        self._next_number = self._expected = 0
        self._rejects = False

    def _repeat(self, now: float) -> None:
        for sent in self._sent:
            sent.attempts += 1
            sent.due = now + ACK_TIMEOUT_S
            self.retransmissions += 1
            self._write(sent, is_again=True)

    def _write(self, sent: _Sent, *, is_again: bool) -> None:
        control = sent.number << 4 | is_again << 3 | self._expected
        self._output += encode_frame(bytes((control,)) + randomise(sent.octets))

    def _receive_frame(self, octets: bytes, now: float) -> None:
        body = decode_frame(octets)
        if body is None:
            self.damaged += 1
            self._reject()
            return
        control = body[0]
        if control == RST:
            self._events.append(HostReset())
        elif not self.is_connected:
            return
        elif not control & 0x80:
            self._acknowledged(control & 0x07)
            self._receive_data_frame(control, body[1:])
        elif control & 0xE0 == 0x80:
            self._acknowledged(control & 0x07)
        elif control & 0xE0 == 0xA0:
            self._acknowledged(control & 0x07)
            self._repeat(now)

    def _receive_data_frame(self, control: int, data: bytes) -> None:
        number = control >> 4
        if number == self._expected and len(data) >= DATA_OCTETS_MINIMUM:
            self._expected = (self._expected + 1) % SEQUENCES
            self._rejects = False
            self._acknowledge()
            self._events.append(FrameReceived(randomise(data)))
        elif control & 0x08:
            self._acknowledge()
        else:
            self._reject()

    def _acknowledge(self) -> None:
        self._output += encode_frame(bytes((0x80 | self._expected,)))

    def _reject(self) -> None:
        if self.is_connected and not self._rejects:
            self._rejects = True
            self._output += encode_frame(bytes((0xA0 | self._expected,)))

    def _acknowledged(self, expected: int) -> None:
        """Drop what the host has: everything before the number that it expects next."""
        numbers = [sent.number for sent in self._sent]
        if expected == self._next_number:
            self._sent.clear()
        elif expected in numbers:
            for _ in range(numbers.index(expected)):
                self._sent.popleft()
