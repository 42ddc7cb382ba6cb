"""Random ledgers of version 5, whose upstreams had positions, and what each is told afterwards."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from agent.ledger.kept_ledgers import write_kept_ledger
from keyrig.ledger.event_queue import EventState
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AT = "2026-11-20T12:00:00.000000Z"
DEVICES = [f"00db1234567890a{n}" for n in range(4)]
NAMES = ["a", "b", "c"]
TABLES = "lagging_devices parked_events discarded_events deliveries upstreams events"
STEPS = 50


class Positions:
    """The upstream tables of version 5, moved as it moved them, and a plain list of what was told.

    An event was told where its number is not above the position of its device: the device's
    own where it lags, the upstream's otherwise. Which is which is never read from the tables by
    what the test expects: that comes from `told`, `parked` and `discarded` alone.
    """

    def __init__(self, connection: sqlite3.Connection, seed: int) -> None:
        self.sql = connection.execute
        self.dice = random.Random(seed)
        self.events: list[tuple[int, str]] = []
        self.told: dict[str, set[int]] = defaultdict(set)
        self.parked: dict[str, set[int]] = defaultdict(set)
        self.discarded: dict[str, set[int]] = defaultdict(set)
        for table in TABLES.split():
            self.sql(f"DELETE FROM {table}")

    def add(self) -> None:
        for device in self.dice.choices(DEVICES, k=self.dice.randint(1, 6)):
            number = len(self.events) + 1
            self.events.append((number, device))
            self.sql(
                "INSERT INTO events VALUES (?, ?, 'flag', ?, ?, '{}')",
                (number, f"00000000-0000-4000-8000-{number:012d}", device, AT),
            )

    def deliver_as_version_3(self) -> None:
        """Acknowledge events one by one, by upstreams that are known or come later."""
        for name in NAMES:
            for number, _ in self.events[: self.dice.randint(0, len(self.events))]:
                if self.dice.random() < 0.5:
                    self.told[name].add(number)
                    event = f"00000000-0000-4000-8000-{number:012d}"
                    self.sql("INSERT INTO deliveries VALUES (?, ?, ?)", (event, name, AT))

    def register(self) -> None:
        name = self.dice.choice(NAMES)
        if not self._known(name):
            reads = bool(self.told[name])
            self.sql(
                "INSERT INTO upstreams VALUES (?, 0, ?, ?, NULL, 0, 0, NULL, 0, NULL, NULL)",
                (name, reads, AT),
            )

    def publish(self) -> None:
        """Settle a batch of the devices that do not lag."""
        name = self.dice.choice(NAMES)
        if not self._known(name):
            return
        position, lagging = self._position(name), self._lagging(name)
        limit = self.dice.randint(1, 6)
        batch = [e for e in self._owed(name) if e[0] > position and e[1] not in lagging][:limit]
        newest = self.events[-1][0] if self.events else 0
        through = batch[-1][0] if len(batch) == limit else max(newest, position)
        first, refused, settled = self._answer(name, batch)
        to = through
        if len(refused) < len(first):
            to = max(settled + list(refused.values()), default=position)
        self.sql("UPDATE upstreams SET position = ? WHERE name = ?", (to, name))
        for device, number in first.items():
            if number <= to:
                self._lag(name, device, number - 1)

    def publish_lagging(self) -> None:
        """Settle a batch of one lagging device."""
        name = self.dice.choice(NAMES)
        lagging = self._lagging(name) if self._known(name) else {}
        if not lagging:
            return
        device = self.dice.choice(sorted(lagging))
        last = min([self._position(name), *(n - 1 for n in self._parked_of(name, device))])
        batch = [e for e in self._owed(name) if e[1] == device and lagging[device] < e[0] <= last][
            : self.dice.randint(1, 4)
        ]
        first, _, _ = self._answer(name, batch)
        to = first[device] - 1 if device in first else (batch[-1][0] if batch else last)
        self._lag(name, device, max(to, lagging[device]))
        left = [e for e in self._owed(name) if e[1] == device and to < e[0] <= self._position(name)]
        if not left and not self._parked_of(name, device):
            self.sql("DELETE FROM lagging_devices WHERE upstream=? AND device=?", (name, device))

    def park(self) -> None:
        name = self.dice.choice(NAMES)
        waiting = [
            e for e in self._owed(name) if self._known(name) and e[0] not in self.parked[name]
        ]
        if not waiting:
            return
        number, device = self.dice.choice(waiting)
        if device not in self._lagging(name):
            self._lag(name, device, self._position(name))
        self._note_parked(name, number, device, by_person=True)

    def put_back(self) -> None:
        name = self.dice.choice(NAMES)
        if not self.parked[name]:
            return
        number = self.dice.choice(sorted(self.parked[name]))
        self.parked[name].remove(number)
        self.sql("DELETE FROM parked_events WHERE upstream=? AND number=?", (name, number))
        self._note_first(name, dict(self.events)[number])
        if self.dice.random() < 0.3:
            self.discarded[name].add(number)
            self.sql("INSERT INTO discarded_events VALUES (?, ?, 'r', ?)", (name, number, AT))

    def replay(self) -> None:
        name = self.dice.choice(NAMES)
        if self._known(name) and self.dice.random() < 0.2:
            for table in ("lagging_devices", "parked_events"):
                self.sql(f"DELETE FROM {table} WHERE upstream = ?", (name,))
            self.sql(
                "UPDATE upstreams SET position = 0, reads_deliveries = 0 WHERE name = ?", (name,)
            )
            self.told[name].clear()
            self.parked[name].clear()

    def _answer(
        self, name: str, batch: list[tuple[int, str]]
    ) -> tuple[dict[str, int], dict[str, int], list[int]]:
        """Acknowledge some, up to the first of each device that is not, and refuse some."""
        first: dict[str, int] = {}
        refused: dict[str, int] = {}
        settled: list[int] = []
        for number, device in batch:
            if device in first:
                continue
            if self.dice.random() < 0.7:
                self.told[name].add(number)
                settled.append(number)
                continue
            first[device] = number
            if self.dice.random() < 0.5:
                refused[device] = number
                self._note_parked(name, number, device, by_person=False)
        return first, refused, settled

    def _owed(self, name: str) -> list[tuple[int, str]]:
        return [e for e in self.events if e[0] not in self.told[name] | self.discarded[name]]

    def _known(self, name: str) -> bool:
        return bool(self.sql("SELECT 1 FROM upstreams WHERE name = ?", (name,)).fetchall())

    def _position(self, name: str) -> int:
        found = self.sql("SELECT position FROM upstreams WHERE name = ?", (name,))
        return int(found.fetchone()[0])

    def _lagging(self, name: str) -> dict[str, int]:
        rows = self.sql("SELECT device, position FROM lagging_devices WHERE upstream = ?", (name,))
        return dict(rows.fetchall())

    def _lag(self, name: str, device: str, position: int) -> None:
        self.sql(
            "INSERT INTO lagging_devices VALUES (?, ?, ?, NULL) "
            "ON CONFLICT DO UPDATE SET position = excluded.position",
            (name, device, position),
        )
        self._note_first(name, device)

    def _note_first(self, name: str, device: str) -> None:
        first: Any = min(self._parked_of(name, device), default=None)
        self.sql(
            "UPDATE lagging_devices SET parked_number = ? WHERE upstream = ? AND device = ?",
            (first, name, device),
        )

    def _note_parked(self, name: str, number: int, device: str, *, by_person: bool) -> None:
        self.parked[name].add(number)
        self.sql(
            "INSERT INTO parked_events VALUES (?, ?, ?, 'r', ?, ?)",
            (name, number, device, by_person, AT),
        )
        self._note_first(name, device)

    def _parked_of(self, name: str, device: str) -> list[int]:
        devices = dict(self.events)
        return [number for number in self.parked[name] if devices[number] == device]


@pytest.mark.parametrize("seed", range(24))
def test_each_upstream_is_told_the_same_in_the_same_order_as_by_its_positions(
    path: Path, seed: int
) -> None:
    write_kept_ledger(5, path)
    with closing(sqlite3.connect(path)) as connection:
        old = Positions(connection, seed)
        old.add()
        if old.dice.random() < 0.5:
            old.deliver_as_version_3()
        moves: list[Callable[[], None]] = [
            *(old.add, old.publish, old.publish, old.publish, old.publish_lagging),
            *(old.register, old.park, old.put_back, old.replay),
        ]
        for _ in range(STEPS):
            old.dice.choice(moves)()
        connection.commit()
    with Ledger(path) as ledger:
        queue = ledger.event_queue
        queue.register(NAMES)
        events = {event.number: event for event in ledger.outbox.all()}
        assert list(events) == [number for number, _ in old.events]
        for name in NAMES:
            owed = [n for n, _ in old.events if n not in old.told[name] | old.discarded[name]]
            parked = sorted(old.parked[name])
            assert [each.event.number for each in queue.parked(name)] == parked
            now = [
                number
                for number in owed
                if not any(
                    p <= number and events[p].device == events[number].device for p in parked
                )
            ]
            assert [event.number for event in queue.batch(name, 1000).events] == now
            states = {number: queue.state_of(name, event) for number, event in events.items()}
            of = {state: {n for n in states if states[n] is state} for state in EventState}
            assert of[EventState.DISCARDED] == old.discarded[name]
            assert of[EventState.TOLD] == old.told[name] - old.discarded[name]
            queue.unpark(name)
            assert [event.number for event in queue.batch(name, 1000).events] == owed
