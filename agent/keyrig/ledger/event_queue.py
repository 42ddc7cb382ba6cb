"""The events still to be published: one row for each event and upstream.

Theory of operation. A row is written in the transaction of its event, for every upstream that the
ledger knows; an upstream that is new gets a row for every event there is. A row goes when its event
was acknowledged, when a person discards it, or when it is older than what the upstream is to be
sent. So an event was published exactly if its upstream is known and it has no row, and a crash
between the acknowledgement and the commit leaves the row: published at least once.

Events of one device are published in the order of their numbers; between devices, order is not
promised. `settle` takes off the events of a device up to the first that was not acknowledged, even
if later ones were: these are published again. A batch notes how often the queue was replayed, and
one that was under way during a replay takes nothing off. A failure of the upstream itself marks no
event: it moves `retry_at`, and the whole queue waits.

Rows are read in the events' order. A parked row is not read, nor is any later row of its device;
both follow from the rows alone, so that putting an event back is to clear its marks, and nothing
else has to be set right.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, exists, func, insert, literal, select, update

from gbcs.printable import printable
from keyrig.base.errors import LedgerRefused
from keyrig.ledger.outbox import Event, event_of
from keyrig.ledger.schema import discarded_events, event_queue, events, upstreams

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database

_ROW: Final = event_queue.c
_EVENT_COLUMNS: Final = tuple(column.name for column in events.columns)
_DUE: Final = {"failures": 0, "stopped": False, "retry_at": None, "retry_asked": False}
_NOT_PARKED: Final = {"parked_at": None, "parked_reason": None, "parked_by_person": None}

_earlier = event_queue.alias("earlier")
_IS_HELD_BACK: Final = exists().where(
    _earlier.c.upstream == _ROW.upstream,
    _earlier.c.device == _ROW.device,
    _earlier.c.number < _ROW.number,
    _earlier.c.parked_at.is_not(None),
)
"""Whether an earlier event of a row's device is parked."""


class EventState(enum.Enum):
    """The state of an event at an upstream."""

    TOLD = "told"
    WAITING = "waiting"
    PARKED = "parked"
    HELD_BACK = "held-back"
    """It waits behind a parked event of its device."""
    DISCARDED = "discarded"
    PASSED_OVER = "passed-over"
    """It is older than the events to be published to the upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """How the publishing to one upstream stands.

    Args:
        name: Its name in the settings.
        replays: How often a person had it begin anew.
        last_told_at: When it last acknowledged an event.
        failures: How often in a row it did not.
        stopped: Whether a person must set something right first.
        retry_at: Before when it is not tried again.
        retry_asked: Whether the upstream asked for that.
        last_error: What went wrong last, until it acknowledges something.
        last_error_at: When.
    """

    name: str
    replays: int
    last_told_at: datetime | None
    failures: int
    stopped: bool
    retry_at: datetime | None
    retry_asked: bool
    last_error: str | None
    last_error_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The events to publish next, in order, and after how many replays."""

    events: tuple[Event, ...]
    replays: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An event that is not published to an upstream until a person decides."""

    event: Event
    reason: str
    by_person: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStanding:
    """The backlog of an upstream.

    Args:
        upstream: How the publishing to it stands.
        waiting: How many events it has not acknowledged, with the parked and held back ones.
        parked: How many of them are parked.
        held_back: How many wait behind a parked event of their device.
        oldest_waiting_at: The instant of the first in order; None where none waits.
    """

    upstream: Upstream
    waiting: int
    parked: int
    held_back: int
    oldest_waiting_at: datetime | None


class EventQueue:
    """The queue of each upstream, and when it is tried next."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, names: Iterable[str]) -> None:
        """Queue every event for the upstreams that are not known yet."""
        wanted = set(names)
        known = select(upstreams.c.name).where(upstreams.c.name.in_(wanted))
        with self._database.reading() as connection:
            if wanted.issubset(connection.execute(known).scalars()):
                return
        with self._database.transaction() as connection:
            for name in sorted(wanted.difference(connection.execute(known).scalars())):
                connection.execute(
                    insert(upstreams).values(
                        name=name, replays=0, failures=0, stopped=False, retry_asked=False
                    )
                )
                _queue(connection, name)

    def get(self, name: str) -> Upstream:
        """Return how the publishing to an upstream stands.

        Raises:
            LedgerRefused: It was never registered.
        """
        with self._database.reading() as connection:
            return _upstream(connection, name)

    def batch(self, name: str, limit: int, since: datetime | None = None) -> Batch:
        """Return up to `limit` events to publish next; remove those older than `since`.

        Args:
            name: The upstream.
            limit: How many events.
            since: Events before it are not published.
        """
        query = (
            select(events)
            .join(event_queue, _ROW.number == events.c.number)
            .where(_ROW.upstream == name, _ROW.parked_at.is_(None), ~_IS_HELD_BACK)
            .order_by(_ROW.number)
            .limit(limit)
        )
        while True:
            with self._database.reading() as connection:
                replays = _upstream(connection, name).replays
                found = tuple(event_of(row) for row in connection.execute(query).mappings())
            older = [event.number for event in found if since is not None and event.at < since]
            if not older:
                return Batch(events=found, replays=replays)
            with self._database.transaction() as connection:
                _take_off(connection, name, older)

    def settle(
        self,
        name: str,
        batch: Batch,
        *,
        accepted: Collection[int],
        refused: Mapping[int, str],
        now: datetime,
    ) -> None:
        """Record what came of a batch.

        Of each device it counts up to the first event that was not acknowledged. Nothing is
        recorded where a person had the upstream begin anew meanwhile.

        Args:
            name: The upstream.
            batch: The batch.
            accepted: The numbers of the events that it acknowledged.
            refused: The numbers of those that it refused, and why; they are parked.
            now: The present instant.
        """
        first: dict[EntityIdentifier, Event] = {}
        for event in batch.events:
            if event.number not in accepted:
                first.setdefault(event.device, event)
        done = [
            event.number
            for event in batch.events
            if event.device not in first or event.number < first[event.device].number
        ]
        with self._database.transaction() as connection:
            if accepted:
                self._change(name, last_told_at=now, **_DUE, last_error=None, last_error_at=None)
            if _upstream(connection, name).replays != batch.replays:
                return
            _take_off(connection, name, done)
            for event in first.values():
                if event.number in refused:
                    _park(connection, name, event, refused[event.number], by_person=False, now=now)

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
        """Record a failed attempt to publish, and when it is retried.

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
        """Make an upstream due to be tried at once."""
        self._change(name, **_DUE)

    def park(self, name: str, event: Event, reason: str, now: datetime) -> None:
        """Hold back an event, and with it the later ones of its device, for a person's reason.

        Raises:
            LedgerRefused: It is not in the queue, or is parked.
        """
        with self._database.transaction() as connection:
            if not _park(connection, name, event, reason, by_person=True, now=now):
                state = self.state_of(name, event)
                why = f"it is {state.value} for {name} already"
                if state is EventState.TOLD:
                    why = f"{name} was told it already"
                raise LedgerRefused(f"event {event.id}", why)

    def unpark(self, name: str, event: Event | None = None) -> int:
        """Return a parked event, or all of them, to the queue; return how many."""
        where = and_(_ROW.upstream == name, _ROW.parked_at.is_not(None))
        if event is not None:
            where &= _ROW.number == event.number
        with self._database.transaction() as connection:
            return connection.execute(update(event_queue).where(where).values(_NOT_PARKED)).rowcount

    def discard(self, name: str, event: Event, reason: str, now: datetime) -> None:
        """Discard a parked event, so that it is never published; the reason is kept.

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
            _take_off(connection, name, [event.number])
            connection.execute(
                insert(discarded_events).values(
                    upstream=name, number=event.number, reason=reason, at=now
                )
            )

    def replay(self, name: str, since: datetime | None = None) -> None:
        """Queue every event again, or those since an instant; not the discarded ones.

        What waits or is parked from before that instant stays as it is.
        """
        first = select(func.min(events.c.number))
        if since is not None:
            first = first.where(events.c.at >= since)
        with self._database.transaction() as connection:
            _upstream(connection, name)
            number = connection.execute(first).scalar_one()
            if number is None:
                return
            connection.execute(
                delete(event_queue).where(_ROW.upstream == name, _ROW.number >= number)
            )
            _queue(connection, name, number)
            self._change(name, replays=upstreams.c.replays + 1, **_DUE)

    def parked(self, name: str) -> tuple[Parked, ...]:
        """Return the events that are parked for an upstream, in order."""
        query = (
            select(events, _ROW.parked_reason, _ROW.parked_by_person, _ROW.parked_at)
            .join(event_queue, _ROW.number == events.c.number)
            .where(_ROW.upstream == name, _ROW.parked_at.is_not(None))
            .order_by(_ROW.number)
        )
        with self._database.reading() as connection:
            return tuple(
                Parked(
                    event=event_of({key: row[key] for key in _EVENT_COLUMNS}),
                    reason=row["parked_reason"],
                    by_person=row["parked_by_person"],
                    at=row["parked_at"],
                )
                for row in connection.execute(query).mappings()
            )

    def refused_since_told(self, name: str) -> int:
        """Return how many events an upstream refused since it last acknowledged one."""
        told_at = self.get(name).last_told_at
        query = select(func.count()).where(
            _ROW.upstream == name, _ROW.parked_at.is_not(None), _ROW.parked_by_person.is_(False)
        )
        if told_at is not None:
            query = query.where(_ROW.parked_at > told_at)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def standing(self, name: str, since: datetime | None = None) -> UpstreamStanding:
        """Return the backlog of an upstream."""
        rows = select(func.count(), func.min(_ROW.number)).where(_ROW.upstream == name)
        parked = rows.where(_ROW.parked_at.is_not(None))
        if since is not None:
            rows = rows.join_from(event_queue, events).where(events.c.at >= since)
        with self._database.reading() as connection:
            upstream = _upstream(connection, name)
            waiting, first = connection.execute(rows).one()
            parked_count = connection.execute(parked).one()[0]
            held_back, oldest = 0, None
            if parked_count:
                held = rows.where(_ROW.parked_at.is_(None), _IS_HELD_BACK)
                held_back = connection.execute(held).one()[0]
            if waiting:
                instant = select(events.c.at).where(events.c.number == first)
                oldest = connection.execute(instant).scalar_one()
        return UpstreamStanding(
            upstream=upstream,
            waiting=waiting,
            parked=parked_count,
            held_back=held_back,
            oldest_waiting_at=oldest,
        )

    def state_of(self, name: str, event: Event, since: datetime | None = None) -> EventState:
        """Return the state of an event at an upstream."""
        discarded = exists().where(
            discarded_events.c.upstream == name, discarded_events.c.number == event.number
        )
        query = select(_ROW.parked_at, _IS_HELD_BACK.label("held_back")).where(
            _ROW.upstream == name, _ROW.number == event.number
        )
        with self._database.reading() as connection:
            _upstream(connection, name)
            row = connection.execute(query).one_or_none()
            if row is None and connection.execute(select(discarded)).scalar_one():
                return EventState.DISCARDED
        if row is not None and row.parked_at is not None:
            return EventState.PARKED
        if since is not None and event.at < since:
            return EventState.PASSED_OVER
        if row is None:
            return EventState.TOLD
        return EventState.HELD_BACK if row.held_back else EventState.WAITING

    def _change(self, name: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            _upstream(connection, name)
            connection.execute(update(upstreams).where(upstreams.c.name == name).values(**values))


def _upstream(connection: Connection, name: str) -> Upstream:
    row = connection.execute(select(upstreams).where(upstreams.c.name == name)).mappings().first()
    if row is None:
        raise LedgerRefused(f"upstream {printable(name)}", "nothing was ever told to it")
    return Upstream(**row)


def _queue(connection: Connection, name: str, first: int = 0) -> None:
    """Queue the events from a number on, other than those discarded."""
    discarded = select(discarded_events.c.number).where(discarded_events.c.upstream == name)
    owed = select(literal(name), events.c.number, events.c.device).where(
        events.c.number >= first, events.c.number.not_in(discarded)
    )
    connection.execute(insert(event_queue).from_select(["upstream", "number", "device"], owed))


def _take_off(connection: Connection, name: str, numbers: Collection[int]) -> None:
    if numbers:
        this = and_(_ROW.upstream == name, _ROW.number == bindparam("this"))
        connection.execute(delete(event_queue).where(this), [{"this": each} for each in numbers])


def _park(
    connection: Connection, name: str, event: Event, reason: str, *, by_person: bool, now: datetime
) -> bool:
    """Park an event that is in the queue and not parked; return True if it was."""
    done = connection.execute(
        update(event_queue)
        .where(_ROW.upstream == name, _ROW.number == event.number, _ROW.parked_at.is_(None))
        .values(parked_at=now, parked_reason=reason, parked_by_person=by_person)
    )
    return done.rowcount == 1
