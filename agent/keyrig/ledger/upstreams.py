"""Who was told which event: a position for each upstream, and the devices that lag behind it.

An event is told to an upstream where its number is not above the position of its device: the
device's own where it lags, the upstream's otherwise. So neither what was told nor what waits
makes it slower to find the next.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exists, func, insert, select, update

from keyrig.base.errors import LedgerRefused
from keyrig.ledger.outbox import Event, event_of
from keyrig.ledger.schema import (
    deliveries,
    discarded_events,
    events,
    lagging_devices,
    parked_events,
    upstreams,
)
from keyrig.ledger.upstream_positions import (
    batch_of_lagging,
    batch_of_the_rest,
    first_unaccepted,
    is_parked,
    move,
    move_device,
    note_parked,
    position_of_lagging,
    settle_in_order,
    stands_as,
    take_first_parked,
    upstream_row,
)
from keyrig.ledger.upstream_standing import EventState, UpstreamStanding, standing, state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from keyrig.ledger.database import Database
    from keyrig.ledger.upstream_positions import Batch, Upstream

_EVENT_COLUMNS: Final = tuple(column.name for column in events.columns)
_DUE: Final = {"failures": 0, "stopped": False, "retry_at": None, "retry_asked": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An event that an upstream is not told until a person says so."""

    event: Event
    reason: str
    by_person: bool
    at: datetime


class Upstreams:
    """Keeps how far each upstream was told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, names: Iterable[str], now: datetime) -> None:
        """Take up the upstreams that are not known yet; they are owed every event."""
        wanted = list(names)
        known = select(upstreams.c.name).where(upstreams.c.name.in_(wanted))
        with self._database.reading() as connection:
            found = set(connection.execute(known).scalars())
        if found.issuperset(wanted):
            return
        with self._database.transaction() as connection:
            found = set(connection.execute(known).scalars())
            for name in sorted(set(wanted) - found):
                told = select(exists().where(deliveries.c.upstream == name))
                connection.execute(
                    insert(upstreams).values(
                        name=name,
                        position=0,
                        reads_deliveries=bool(connection.execute(told).scalar_one()),
                        first_seen_at=now,
                        failures=0,
                        stopped=False,
                        retry_asked=False,
                    )
                )

    def get(self, name: str) -> Upstream:
        """Give how the telling of an upstream stands.

        Raises:
            LedgerRefused: It was never registered.
        """
        with self._database.reading() as connection:
            return upstream_row(connection, name)

    def batch(self, name: str, limit: int, since: datetime | None = None) -> Batch:
        """Give up to `limit` events to tell next: lagging devices' first, then the rest in order.

        What is found to be settled already is noted on the way.

        Args:
            name: The upstream.
            limit: How many events.
            since: Events before it are not told.
        """
        while True:
            with self._database.reading() as connection:
                upstream = upstream_row(connection, name)
                found, idle = batch_of_lagging(connection, upstream, limit, since)
                if found is None and not idle:
                    found = batch_of_the_rest(connection, upstream, limit, since)
            with self._database.transaction() if idle else nullcontext() as writing:
                for device, (position, to) in idle.items():
                    assert writing is not None
                    move_device(writing, upstream, device, position, to, since)
            if found is None:
                continue
            if found.events or found.through == upstream.position:
                return found
            with self._database.transaction() as connection:
                move(connection, name, upstream.position, found.through)

    def settle(
        self,
        name: str,
        batch: Batch,
        *,
        accepted: Collection[int],
        refused: Mapping[int, str],
        now: datetime,
        since: datetime | None = None,
    ) -> None:
        """Record what came of a batch.

        Nothing is recorded where a person moved the upstream's position meanwhile; the events
        are then told again.

        Args:
            name: The upstream.
            batch: The batch.
            accepted: The numbers of the events that it acknowledged.
            refused: The numbers of those that it refused, and why; they are parked. Later
                events of the same device are not in `accepted`.
            now: The present instant.
            since: As for `batch`.
        """
        first = first_unaccepted(batch.events, accepted)
        parked = {device: event for device, event in first.items() if event.number in refused}
        with self._database.transaction() as connection:
            upstream = upstream_row(connection, name)
            if accepted:
                self._change(name, last_told_at=now, **_DUE, last_error=None, last_error_at=None)
            if not stands_as(connection, upstream, batch):
                return
            for event in parked.values():
                note_parked(
                    connection, name, event, refused[event.number], by_person=False, now=now
                )
            if not batch.lagging:
                settle_in_order(connection, name, batch, first, parked)
            for device, position in batch.lagging.items():
                to = max(e.number for e in batch.events if e.device == device)
                if device in first:
                    to = first[device].number - 1
                move_device(connection, upstream, device, position, to, since)
                take_first_parked(connection, name, device)

    def set_back(
        self,
        name: str,
        error: str,
        *,
        retry_at: datetime,
        asked: bool,
        stopped: bool,
        now: datetime,
    ) -> None:
        """Record that an upstream could not be told, and when it is tried again.

        Args:
            name: The upstream.
            error: Why, in one line; safe to print.
            retry_at: When it is tried again.
            asked: Whether the upstream asked for that.
            stopped: Whether a person must set something right first.
            now: The present instant.
        """
        self._change(
            name,
            failures=upstreams.c.failures + 1,
            stopped=stopped,
            retry_at=retry_at,
            retry_asked=asked,
            last_error=error,
            last_error_at=now,
        )

    def make_due(self, name: str) -> None:
        """Have an upstream tried again at once."""
        self._change(name, **_DUE)

    def park(self, name: str, event: Event, reason: str, now: datetime) -> None:
        """Hold back an event, and with it the later ones of its device, for a person's reason.

        Raises:
            LedgerRefused: It was told already, or is parked.
        """
        with self._database.transaction() as connection:
            upstream = upstream_row(connection, name)
            lag = position_of_lagging(connection, name, event.device)
            if event.number <= (upstream.position if lag is None else lag):
                raise LedgerRefused(f"event {event.id}", f"{name} was told it already")
            if is_parked(connection, name, event.number):
                raise LedgerRefused(f"event {event.id}", f"it is parked for {name} already")
            if lag is None:
                connection.execute(
                    insert(lagging_devices).values(
                        upstream=name, device=event.device, position=upstream.position
                    )
                )
            note_parked(connection, name, event, reason, by_person=True, now=now)
            take_first_parked(connection, name, event.device)

    def unpark(self, name: str, event: Event | None = None) -> int:
        """Put a parked event back into line, or all of them; gives how many."""
        where = parked_events.c.upstream == name
        if event is not None:
            where &= parked_events.c.number == event.number
        with self._database.transaction() as connection:
            rows = connection.execute(
                select(parked_events.c.number, parked_events.c.device).where(where)
            ).all()
            connection.execute(delete(parked_events).where(where))
            for device in {row.device for row in rows}:
                take_first_parked(connection, name, device)
        return len(rows)

    def discard(self, name: str, event: Event, reason: str, now: datetime) -> None:
        """Have an upstream never told a parked event; the reason is kept.

        Raises:
            LedgerRefused: It is not parked.
        """
        with self._database.transaction() as connection:
            if not self.unpark(name, event):
                raise LedgerRefused(
                    f"event {event.id}",
                    f"it is not parked for {name}",
                    "see `keyrig outbox`; only parked events can be discarded",
                )
            connection.execute(
                insert(discarded_events).values(
                    upstream=name, number=event.number, reason=reason, at=now
                )
            )

    def replay(self, name: str, since: datetime | None = None) -> None:
        """Have an upstream told every event anew, or those since an instant; not the discarded."""
        first = select(func.min(events.c.number))
        if since is not None:
            first = first.where(events.c.at >= since)
        with self._database.transaction() as connection:
            upstream_row(connection, name)
            number = connection.execute(first).scalar_one()
            if number is None:
                return
            for table in (lagging_devices, parked_events):
                connection.execute(delete(table).where(table.c.upstream == name))
            self._change(name, position=number - 1, reads_deliveries=False)
            self.make_due(name)

    def parked(self, name: str) -> tuple[Parked, ...]:
        """Give the events that are parked for an upstream, in order."""
        query = (
            select(
                events,
                parked_events.c.reason,
                parked_events.c.by_person,
                parked_events.c.at.label("parked_at"),
            )
            .join(parked_events, parked_events.c.number == events.c.number)
            .where(parked_events.c.upstream == name)
            .order_by(events.c.number)
        )
        with self._database.reading() as connection:
            return tuple(
                Parked(
                    event=event_of({key: row[key] for key in _EVENT_COLUMNS}),
                    reason=row["reason"],
                    by_person=row["by_person"],
                    at=row["parked_at"],
                )
                for row in connection.execute(query).mappings()
            )

    def refused_since_told(self, name: str) -> int:
        """Give how many events an upstream refused since it last acknowledged one."""
        told_at = self.get(name).last_told_at
        query = select(func.count()).where(
            parked_events.c.upstream == name, parked_events.c.by_person.is_(False)
        )
        if told_at is not None:
            query = query.where(parked_events.c.at > told_at)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def standing(self, name: str, since: datetime | None = None) -> UpstreamStanding:
        """Give what an upstream was not told yet, and why."""
        with self._database.reading() as connection:
            return standing(connection, upstream_row(connection, name), since)

    def state_of(self, name: str, event: Event, since: datetime | None = None) -> EventState:
        """Give what came of an event at an upstream."""
        with self._database.reading() as connection:
            return state_of(connection, upstream_row(connection, name), event, since)

    def _change(self, name: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            upstream_row(connection, name)
            connection.execute(update(upstreams).where(upstreams.c.name == name).values(**values))
