"""Segmentation, windows and reassembly: the numbered frames of one connection, each way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from gbcs.protocol_errors import FramingError, SequenceError
from meterlink.hdlc.hdlc_frames import LAYER, MODULUS
from meterlink.link_events import MESSAGE_OCTETS_LIMIT

LLC_OCTETS: Final = 3
REASSEMBLY_LIMIT: Final = MESSAGE_OCTETS_LIMIT + LLC_OCTETS
"""Octets of one message, LLC octets counted, that are put together."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What one I frame carries.

    Args:
        information: Its information field.
        is_last: No further segment of the message follows.
    """

    information: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class NumberedSegment:
    """A segment on its way.

    Args:
        send_sequence: Its N(S).
        segment: What it carries.
        is_repeated: It was sent before.
    """

    send_sequence: int
    segment: Segment
    is_repeated: bool


# Theory of operation.
#
# Sequence numbers count modulo 8. The send window keeps them as distances from V(A), the oldest
# frame that is not acknowledged:
#
#     V(A)                    V(S) = V(A) + sent         V(A) + ever_sent      V(A) + size
#     |  out in this turn     |  out in an earlier turn  |  not out yet        |
#
# `sent` is never more than `ever_sent`, that never more than `size`, and that never more than 7.
# As fewer than eight frames are ever outstanding, an N(R) names one place in that row and no
# other; one beyond `ever_sent` acknowledges what was never sent and breaks the protocol.
#
# Turns make recovery simple. When the peer passes the turn it has seen all of ours, so whatever
# its N(R) leaves open is lost. `rewind` sets `sent` to 0 at the end of each turn of the peer, and
# the next turn begins at V(A) again; a REJ does the same earlier. `ever_sent` stays: the frames
# may have arrived and only their acknowledgement been lost, and an N(R) for them is still right.
# A number that goes out again carries the same octets, so the receiver drops a repetition by its
# number alone.
#
# Messages outlive segments. How a message is cut depends on what the connection negotiated, so
# `reset` drops the segments and keeps the messages, and a message that was not acknowledged to
# its last segment starts again from its first.
#
# The receive window takes V(R) and nothing else. What is out of sequence is dropped and noted as
# a gap; the sender repeats from there, so one buffer and one number are the whole of its state.
# While it holds part of a message, this station starts none of its own.


class SendWindow:
    """Messages on their way to the peer.

    Segments wait in order from the oldest that is not acknowledged. `rewind` starts again at
    that one, which is how checkpointing, REJ and time-outs all recover.

    Source: ISO/IEC 13239, 5.6.2.1 (checkpointing) and 6.11.4.
    """

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._segments: deque[Segment] = deque()
        self._segmented = 0
        self._sent = 0
        self._ever_sent = 0
        self._oldest = 0
        self._acknowledged_of_first = 0
        self._information_octets = 0
        self._size = 1

    @property
    def messages(self) -> tuple[bytes, ...]:
        """Messages not wholly acknowledged, LLC octets included, oldest first."""
        return tuple(self._messages)

    @property
    def send_state(self) -> int:
        """V(S): the N(S) of the next frame."""
        return (self._oldest + self._sent) % MODULUS

    @property
    def has_outstanding(self) -> bool:
        """True if frames were sent and not acknowledged."""
        return self._sent > 0

    @property
    def is_within_message(self) -> bool:
        """True if the oldest message is partly sent."""
        return self._ever_sent > 0 or self._acknowledged_of_first > 0

    def reset(self, *, information_octets: int, size: int) -> None:
        """Begin a connection; messages not wholly acknowledged start from their beginning.

        Args:
            information_octets: Longest information field.
            size: The window, 1 to 7.
        """
        self._segments.clear()
        self._segmented = self._sent = self._ever_sent = self._oldest = 0
        self._acknowledged_of_first = 0
        self._information_octets = information_octets
        self._size = size

    def clear(self) -> None:
        """Discard every message."""
        self._messages.clear()
        self.reset(information_octets=self._information_octets, size=self._size)

    def push(self, octets: bytes) -> None:
        """Queue a message, LLC octets included."""
        self._messages.append(octets)

    def take(self) -> list[NumberedSegment]:
        """Return the segments that fit the window now; they count as sent."""
        taken = []
        while self._sent < self._size and self._fill():
            taken.append(
                NumberedSegment(
                    self.send_state, self._segments[self._sent], self._sent < self._ever_sent
                )
            )
            self._sent += 1
            self._ever_sent = max(self._ever_sent, self._sent)
        return taken

    def acknowledge(self, receive_sequence: int) -> tuple[int, int]:
        """Process an N(R).

        Returns:
            How many frames, and how many whole messages, it acknowledges.

        Raises:
            SequenceError: It acknowledges what was not sent.
        """
        frames = (receive_sequence - self._oldest) % MODULUS
        if frames > self._ever_sent:
            raise SequenceError(
                f"N(R) {receive_sequence} acknowledges what was not sent "
                f"(V(A) {self._oldest}, {self._ever_sent} outstanding)",
                layer=LAYER,
                field="N(R)",
                clause="ISO/IEC 13239, 5.5.3.4.2",
            )
        messages = 0
        for _ in range(frames):
            if self._segments.popleft().is_last:
                self._messages.popleft()
                self._segmented -= 1
                self._acknowledged_of_first = 0
                messages += 1
            else:
                self._acknowledged_of_first += 1
        self._oldest = receive_sequence
        self._sent = max(self._sent - frames, 0)
        self._ever_sent -= frames
        return frames, messages

    def rewind(self) -> None:
        """Send again everything that is not acknowledged."""
        self._sent = 0

    def _fill(self) -> bool:
        """Segment the next message if no segment waits; return whether one does."""
        if self._sent < len(self._segments):
            return True
        if self._segmented == len(self._messages):
            return False
        octets = self._messages[self._segmented]
        size = self._information_octets
        starts = range(0, len(octets), size)
        self._segments.extend(
            Segment(octets[start : start + size], start == starts[-1]) for start in starts
        )
        self._segmented += 1
        return True


class ReceiveWindow:
    """Segments coming from the peer.

    Source: IEC 62056-46, 6.4.4.4.5 (segmentation); ISO/IEC 13239, 6.11.4.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._expected = 0
        self._has_gap = False
        self._is_whole = False

    @property
    def receive_state(self) -> int:
        """V(R): the N(S) that is expected next, sent as N(R)."""
        return self._expected

    @property
    def is_within_message(self) -> bool:
        """True if segments of an unfinished message are held."""
        return len(self._received) > 0

    @property
    def has_gap(self) -> bool:
        """True if a frame out of sequence came since the last one in sequence."""
        return self._has_gap

    def reset(self) -> None:
        """Begin a connection; an unfinished message is dropped."""
        self._received.clear()
        self._expected = 0
        self._has_gap = False
        self._is_whole = False

    def forget_gap(self) -> None:
        """Mark the gap as reported, so that it is reported once."""
        self._has_gap = False

    def accept(self, send_sequence: int, information: bytes, *, is_last: bool) -> bool:
        """Process one I frame; what is out of sequence is dropped.

        Returns:
            Whether it was in sequence.

        Raises:
            FramingError: The message grows beyond `REASSEMBLY_LIMIT`.
        """
        if send_sequence != self._expected:
            self._has_gap = True
            return False
        if len(self._received) + len(information) > REASSEMBLY_LIMIT:
            raise FramingError(
                f"the message has more than {REASSEMBLY_LIMIT} octets",
                layer=LAYER,
                offset=REASSEMBLY_LIMIT,
                field="information",
            )
        self._expected = (self._expected + 1) % MODULUS
        self._has_gap = False
        self._received += information
        self._is_whole = is_last
        return True

    def take_message(self) -> bytes | None:
        """Return the message that the last accepted frame completed, LLC octets included."""
        if not self._is_whole:
            return None
        octets = bytes(self._received)
        self._received.clear()
        self._is_whole = False
        return octets
