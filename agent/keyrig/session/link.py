"""What every link offers, whatever it runs over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Counts since the link was opened.

    Args:
        frames: Frames or lines, both ways.
        retransmissions: Frames that this end sent again.
        damaged: Stretches of octets thrown away because the line damaged them.
    """

    frames: int = 0
    retransmissions: int = 0
    damaged: int = 0


class Link(Protocol):
    """Carries whole GBCS messages to one device and back.

    It knows nothing of what is inside them. Messages that come unasked wait, in order, until
    `receive` takes them.
    """

    @property
    def name(self) -> str:
        """What errors and reports call it."""
        ...

    @property
    def statistics(self) -> LinkStatistics:
        """Counts since the link was opened."""
        ...

    def open(self) -> None:
        """Make the link ready.

        Raises:
            RigError: The port is missing, busy or unusable.
            LinkError: The device does not answer, or refuses.
        """
        ...

    def close(self) -> None:
        """Close the port; a link that is not open stays so."""
        ...

    def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            LinkTimeout: The device did not acknowledge it; it may still have it.
            LinkClosed: The link is not open any more; the device may still have the message.
            LocalProtocolError: The message is empty or too long.
        """
        ...

    def receive(self, timeout_s: float) -> bytes:
        """Return the next message from the device.

        Args:
            timeout_s: How long to wait, in seconds.

        Raises:
            LinkTimeout: None came in time.
            LinkClosed: None waits, and the link is not open any more.
        """
        ...
