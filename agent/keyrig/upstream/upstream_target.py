"""What an upstream target does, and what it can say to a batch of events."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyrig.upstream.cloud_events import Outgoing


class Trouble(enum.Enum):
    """Why events are neither acknowledged nor refused one by one."""

    AGAIN = "again"
    """It may go better later by itself."""
    STOPPED = "stopped"
    """A person must set something right: an address, a credential, a certificate."""
    REFUSED_WHOLE = "refused-whole"
    """It does not take the batch, without saying which of the events is at fault."""
    TOO_LARGE = "too-large"
    """It may take fewer at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch.

    Args:
        accepted: The numbers of the events that were acknowledged.
        refused: The numbers of those that were refused for what they are, and why.
        trouble: Why there are others; None where there are none.
        reason: The trouble in one line; safe to print, without secrets.
        retry_after_s: How long the target asks to be left alone.
    """

    accepted: frozenset[int] = frozenset()
    refused: Mapping[int, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    reason: str = ""
    retry_after_s: float | None = None


class Target(Protocol):
    """Takes events, one batch at a time; used by one thread."""

    @property
    def batch_maximum(self) -> int:
        """How many events it takes at once."""
        ...

    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        """Tell it the events of a batch, those of each device in order.

        An event is accepted or refused only after every earlier one of its device in the
        batch was accepted. What the other side does, and what the settings lack, is an answer
        and raises nothing.

        Args:
            batch: The events, at least one.
            within_s: How long it may take at most; a time-out of its own may be shorter.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files; it may be used again."""
        ...
