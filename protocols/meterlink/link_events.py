"""What a message connection tells its owner, whichever framing it speaks."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gbcs.protocol_errors import RemoteProtocolError

MESSAGE_OCTETS_LIMIT: Final = 65_536
"""Longest message that is sent or reassembled; the longest reference message has 3,986 octets."""

SEND_QUEUE_LIMIT: Final = 256
"""Messages that may wait to be sent."""


class NeedData(enum.Enum):
    """The answer of `next_event` when nothing more can be told yet."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message arrived.

    Args:
        octets: The message, without framing.
        unnumbered: True where it came in an unacknowledged HDLC frame.
    """

    octets: bytes
    unnumbered: bool = False


@dataclass(frozen=True, slots=True)
class MessageAcknowledged:
    """The oldest message not yet acknowledged is with the peer.

    With a framing that has no acknowledgements it says that the message was handed to the line.
    """


@dataclass(frozen=True, slots=True)
class Damaged:
    """Octets were thrown away because the line damaged them; the connection goes on.

    Args:
        error: What was wrong with them.
    """

    error: RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Refused:
    """An undamaged frame was not acted upon; the connection goes on.

    Args:
        error: Why not.
    """

    error: RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Connected:
    """Both ends agree that they are connected.

    Args:
        information_octets_tx: Longest information field that may be sent.
        information_octets_rx: Longest information field that the peer sends.
        window_tx: Frames that may be sent before the peer must speak.
        window_rx: Frames that the peer sends before it must be acknowledged.
    """

    information_octets_tx: int
    information_octets_rx: int
    window_tx: int
    window_rx: int


class DisconnectReason(enum.Enum):
    """Why a connection ended."""

    REQUESTED = "disconnected as asked"
    BY_PEER = "the peer disconnected"
    REFUSED = "the peer refuses connections"
    NO_RESPONSE = "the peer stopped answering"
    INACTIVE = "nothing came for the inactivity time-out"
    PROTOCOL = "the peer broke the protocol"


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended, or could not be made.

    Args:
        reason: Why.
        unacknowledged: Messages given to `send_message` that the peer has not acknowledged.
    """

    reason: DisconnectReason
    unacknowledged: int = 0


Event = MessageReceived | MessageAcknowledged | Damaged | Refused | Connected | Disconnected


@dataclass(slots=True)
class Statistics:
    """Counts over a connection's life.

    Args:
        frames_sent: Frames or lines handed to the line.
        frames_received: Undamaged frames or lines addressed to this end.
        retransmissions: Frames sent again.
        timeouts: Times that the peer did not answer in time.
        damaged: Stretches of octets thrown away.
    """

    frames_sent: int = 0
    frames_received: int = 0
    retransmissions: int = 0
    timeouts: int = 0
    damaged: int = 0


class MessageConnection(Protocol):
    """What HDLC and GFI connections share: one end of a line that carries whole messages.

    The owner passes in what it read, drains `next_event`, writes what `data_to_send` gives, and
    calls `handle_deadline` no later than `next_deadline`. `now` is monotonic seconds.
    """

    @property
    def statistics(self) -> Statistics:
        """Counts so far; the object is live."""
        ...

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """Messages given to `send_message` and not yet acknowledged, oldest first."""
        ...

    def receive_data(self, data: bytes, now: float) -> None:
        """Receive octets as they were read."""
        ...

    def next_event(self) -> Event | NeedData:
        """Return the next event.

        Raises:
            RemoteProtocolError: The peer broke the protocol; whatever the peer sends, nothing
                else is raised.
        """
        ...

    def send_message(self, octets: bytes) -> None:
        """Queue one message.

        Raises:
            LocalProtocolError: It is empty or too long, the queue is full, or the state
                allows no sending.
        """
        ...

    def data_to_send(self, now: float) -> bytes:
        """Return the octets to write now, or none; the call counts as having written them."""
        ...

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        ...

    def handle_deadline(self, now: float) -> None:
        """Handle whatever is due at `now`."""
        ...
