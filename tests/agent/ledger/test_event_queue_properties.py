from __future__ import annotations

import random  # noqa: TID251 - seeded
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from gbcs.entity_identifier import EntityIdentifier
from keyrig.domain.states import EventType
from keyrig.ledger.event_queue import EventState
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.schema import event_queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyrig.ledger.outbox import Event

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICES = [EntityIdentifier.parse(f"00db1234567890a{n}") for n in range(3)]
STEPS = 60
CHECKED_EVERY = 7


class History:
    """Random moves of an upstream, and the plain statement of what is owed to it."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.told: dict[EntityIdentifier, list[int]] = defaultdict(list)
        self.discarded: set[int] = set()
        ledger.event_queue.register(["a"])

    def add(self) -> None:
        before = len(self.ledger.outbox.all())
        for n, device in enumerate(self.dice.choices(DEVICES, k=self.dice.randint(1, 4))):
            self.ledger.outbox.append(EventType.FLAG, device, NOON, {"n": before + n})

    def tell(self, share: float = 0.7) -> int:
        batch = self.ledger.event_queue.batch("a", self.dice.randint(1, 5))
        accepted: set[int] = set()
        refused: dict[int, str] = {}
        ended: set[EntityIdentifier] = set()
        for event in batch.events:
            if event.device in ended:
                continue
            if self.dice.random() < share:
                accepted.add(event.number)
                self.told[event.device].append(event.number)
                continue
            ended.add(event.device)
            if self.dice.random() < 0.5:
                refused[event.number] = "bad"
        self.ledger.event_queue.settle("a", batch, accepted=accepted, refused=refused, now=NOON)
        return len(batch.events)

    def park(self) -> None:
        waiting = self.of_state(EventState.WAITING, EventState.HELD_BACK)
        if waiting:
            self.ledger.event_queue.park("a", self.dice.choice(waiting), "r", NOON)

    def put_back(self) -> None:
        parked = self.ledger.event_queue.parked("a")
        if not parked:
            return
        each = self.dice.choice(parked).event
        if self.dice.random() < 0.3:
            self.ledger.event_queue.discard("a", each, "r", NOON)
            self.discarded.add(each.number)
        else:
            self.ledger.event_queue.unpark("a", each)

    def of_state(self, *states: EventState) -> list[Event]:
        return [
            event
            for event in self.ledger.outbox.all()
            if self.ledger.event_queue.state_of("a", event) in states
        ]

    def owed(self, device: EntityIdentifier) -> list[int]:
        numbers = [event.number for event in self.ledger.outbox.all(device)]
        return [number for number in numbers if number not in self.discarded]

    def rows(self) -> int:
        with self.ledger.reading() as connection:
            return int(
                connection.execute(select(func.count()).select_from(event_queue)).scalar_one()
            )

    def check_counts(self) -> None:
        standing = self.ledger.event_queue.standing("a")
        left = [n for d in DEVICES for n in self.owed(d) if n not in self.told[d]]
        assert standing.waiting == len(left)
        assert standing.parked == len(self.of_state(EventState.PARKED))
        assert standing.held_back == len(self.of_state(EventState.HELD_BACK))


@pytest.mark.parametrize("seed", range(6))
def test_every_history_tells_each_device_everything_in_order(path: Path, seed: int) -> None:
    with Ledger(path) as ledger:
        history = History(ledger, seed)
        moves: list[Callable[[], object]] = [
            history.add,
            history.tell,
            history.tell,
            history.park,
            history.put_back,
        ]
        for step in range(STEPS):
            history.dice.choice(moves)()
            if step % CHECKED_EVERY == 0:
                history.check_counts()
        ledger.event_queue.unpark("a")
        while history.tell(1.0):
            pass
        history.check_counts()
        assert ledger.event_queue.standing("a").waiting == 0
        assert {device: history.told[device] for device in DEVICES} == {
            device: history.owed(device) for device in DEVICES
        }
        assert history.rows() == 0
