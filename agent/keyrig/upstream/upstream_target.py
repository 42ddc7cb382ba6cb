"""The interface of an upstream's target, and its answers to a batch of events."""

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
    """A retry may succeed later."""
    STOPPED = "stopped"
    """A person must mend something: an address, a credential, a certificate."""
    REFUSED_WHOLE = "refused-whole"
    """The batch is refused, without saying which of the events is at fault."""
    TOO_LARGE = "too-large"
    """A smaller batch may be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a batch.

    Args:
        accepted: The numbers of the events that were acknowledged.
        refused: The numbers of those that were refused for their content, and why.
        trouble: Why the other events are neither; None where there are none.
        reason: The trouble in one line; safe to print, without secrets.
        retry_after_s: The wait that the target asks for, in seconds.
    """

    accepted: frozenset[int] = frozenset()
    refused: Mapping[int, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    reason: str = ""
    retry_after_s: float | None = None


class Target(Protocol):
    """Publishes events, one batch at a time; used by one thread."""

    @property
    def batch_maximum(self) -> int:
        """The most events in a batch."""
        ...

    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        """Publish the events of a batch, those of each device in order.

        An event is accepted or refused only after every earlier one of its device in the
        batch was accepted. Faults of the other side and of the settings are answers, not errors.

        Args:
            batch: The events, at least one.
            within_s: How long it may take at most; a time-out of its own may be shorter.
        """
        ...

    def close(self) -> None:
        """Close connections and files; the target may be used again."""
        ...
