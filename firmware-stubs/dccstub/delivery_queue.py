"""Documents on their way to the users' receive address, in order, until they are taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from dccstub.stand_in_options import StandInOptions


@dataclass(slots=True)
class Delivery:
    """One document.

    Args:
        octets: The signed document.
        due: When it is to be sent, next.
        attempts: How often it was sent.
    """

    octets: bytes = field(repr=False)
    due: datetime
    attempts: int = 0


class Deliveries:
    """The queue; whoever posts its documents says what became of each attempt."""

    def __init__(self, options: StandInOptions) -> None:
        self._options = options
        self._waiting: deque[Delivery] = deque()
        self.given_up: list[Delivery] = []
        """Documents that were not taken at any attempt."""
        self.taken: list[Delivery] = []
        """Documents that were taken."""

    def put(self, octets: bytes, due: datetime) -> None:
        """Append a document."""
        self._waiting.append(Delivery(octets, due))

    def next_due(self, now: datetime) -> Delivery | None:
        """Remove and return the first document whose time has come, or None."""
        for delivery in self._waiting:
            if delivery.due <= now:
                self._waiting.remove(delivery)
                return delivery
        return None

    def done(self, delivery: Delivery, *, taken: bool, now: datetime) -> None:
        """Record the outcome of an attempt; one that failed is retried later, not for ever."""
        delivery.attempts += 1
        if taken:
            self.taken.append(delivery)
        elif delivery.attempts >= self._options.attempts_maximum:
            self.given_up.append(delivery)
        else:
            delivery.due = now + self._options.retry_interval
            self._waiting.append(delivery)

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"Deliveries({len(self._waiting)} waiting, {len(self.given_up)} given up)"
