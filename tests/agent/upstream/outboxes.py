"""Outboxes with events in them, a clock that is set by hand, and a target that does as told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gbcs.entity_identifier import EntityIdentifier
from keyrig.domain.states import EventType
from keyrig.ledger.outbox import Event, event_identifier
from keyrig.upstream.cloud_events import outgoing
from keyrig.upstream.upstream_target import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyrig.ledger.ledger import Ledger
    from keyrig.upstream.cloud_events import Outgoing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def device(n: int) -> EntityIdentifier:
    return EntityIdentifier(bytes.fromhex("00db12") + n.to_bytes(5))


def _body(n: int) -> dict[str, str]:
    return {"flag": f"flag-{n}", "reason": "reason", "requirement": "R33a"}


def batch_of(*devices: int) -> list[Outgoing]:
    """Make a batch with an event of each device, without a ledger."""
    batch = []
    for n, each in enumerate(devices, 1):
        kind, entity = EventType.FLAG, device(each)
        known = event_identifier(kind, entity, NOON, _body(n))
        event = Event(number=n, id=known, type=kind, device=entity, at=NOON, body=_body(n))
        batch.append(outgoing(event, "urn:uuid:0f0e7d30-8d5c-4b7e-9a5f-000000000001"))
    return batch


def fill(ledger: Ledger, *devices: int, at: datetime = NOON) -> list[Event]:
    """Add an event of each device, in order."""
    before = len(ledger.outbox.all())
    with ledger.transaction():
        for n, each in enumerate(devices, before):
            ledger.outbox.append(EventType.FLAG, device(each), at, _body(n))
    return list(ledger.outbox.all()[before:])


@dataclass
class HandClock:
    """An instant and seconds that move when they are moved."""

    now: datetime = NOON
    seconds: float = 1000.0

    def instant(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class FakeTarget:
    """Takes everything, unless it was told what to answer next or how to judge."""

    batch_maximum: int = 100
    answers: deque[Answer] = field(default_factory=deque)
    judge: Callable[[Sequence[Outgoing]], Answer | None] = lambda _: None
    asked: list[list[int]] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        assert within_s > 0
        self.asked.append([each.event.number for each in batch])
        answer = self.answers.popleft() if self.answers else self.judge(batch)
        if answer is None:
            answer = Answer(accepted=frozenset(each.event.number for each in batch))
        self.told += [each.event for each in batch if each.event.number in answer.accepted]
        return answer

    def close(self) -> None:
        pass

    def numbers(self, of: int | None = None) -> list[int]:
        """Give the numbers of what it was told, of a device or of all, in order."""
        return [e.number for e in self.told if of is None or e.device == device(of)]
