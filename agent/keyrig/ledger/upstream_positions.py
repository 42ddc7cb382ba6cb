"""The rows behind `keyrig.ledger.upstreams`: what comes next, and moving positions on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from gbcs.printable import printable
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from gbcs.entity import EntityIdentifier

LAGGING_AT_ONCE: Final = 32
"""How many lagging devices one batch takes events of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """How the telling of one upstream stands.

    Args:
        name: Its name in the settings.
        position: Up to which event it was told, apart from lagging devices.
        reads_deliveries: Whether what an older keyrig noted as delivered to it counts.
        first_seen_at: When it was first in the settings.
        last_told_at: When it last acknowledged an event.
        failures: How often in a row it did not.
        stopped: Whether a person must set something right first.
        retry_at: Before when it is not tried again.
        retry_asked: Whether the upstream asked for that.
        last_error: What went wrong last, until it is told something.
        last_error_at: When.
    """

    name: str
    position: int
    reads_deliveries: bool
    first_seen_at: datetime
    last_told_at: datetime | None
    failures: int
    stopped: bool
    retry_at: datetime | None
    retry_asked: bool
    last_error: str | None
    last_error_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The events to tell next, in order, and where that brings the upstream.

    Args:
        events: The events.
        position: Where the upstream stood when the batch was made.
        through: Where it stands once all of them are settled.
        lagging: Where the lagging devices stood that the events are of; empty where they are
            not of lagging devices.
    """

    events: tuple[Event, ...]
    position: int
    through: int
    lagging: Mapping[EntityIdentifier, int]


def upstream_row(connection: Connection, name: str) -> Upstream:
    """Give how the telling of an upstream stands.

    Raises:
        LedgerRefused: It was never registered.
    """
    row = connection.execute(select(upstreams).where(upstreams.c.name == name)).mappings().first()
    if row is None:
        raise LedgerRefused(f"upstream {printable(name)}", "nothing was ever told to it")
    return Upstream(**row)


def to_tell(upstream: Upstream, since: datetime | None) -> ColumnElement[bool]:
    """Give the condition of an event that is not to be passed over for an upstream."""
    discarded = exists().where(
        discarded_events.c.upstream == upstream.name,
        discarded_events.c.number == events.c.number,
    )
    condition: ColumnElement[bool] = ~discarded
    if upstream.reads_deliveries:
        condition &= ~exists().where(
            deliveries.c.event_id == events.c.id, deliveries.c.upstream == upstream.name
        )
    if since is not None:
        condition &= events.c.at >= since
    return condition


def batch_of_lagging(
    connection: Connection, upstream: Upstream, limit: int, since: datetime | None
) -> tuple[Batch | None, dict[EntityIdentifier, tuple[int, int]]]:
    """Give events of lagging devices, and from where to where those move that have none."""
    lagging = lagging_devices.c
    rows = connection.execute(
        select(lagging_devices)
        .where(
            lagging.upstream == upstream.name,
            or_(lagging.parked_number.is_(None), lagging.position < lagging.parked_number - 1),
        )
        .order_by(lagging.position)
        .limit(LAGGING_AT_ONCE)
    ).all()
    taken: list[Event] = []
    positions: dict[EntityIdentifier, int] = {}
    idle: dict[EntityIdentifier, tuple[int, int]] = {}
    for row in rows:
        last = upstream.position
        if row.parked_number is not None:
            last = min(last, row.parked_number - 1)
        query = (
            select(events)
            .where(events.c.device == row.device, events.c.number > row.position)
            .where(events.c.number <= last, to_tell(upstream, since))
            .order_by(events.c.number)
            .limit(limit - len(taken))
        )
        found = [event_of(each) for each in connection.execute(query).mappings()]
        if found:
            positions[row.device] = row.position
            taken += found
        elif row.position < last or row.parked_number is None:
            idle[row.device] = (row.position, last)
        if len(taken) == limit:
            break
    if not taken:
        return None, idle
    batch = Batch(
        events=tuple(sorted(taken, key=lambda event: event.number)),
        position=upstream.position,
        through=upstream.position,
        lagging=positions,
    )
    return batch, idle


def batch_of_the_rest(
    connection: Connection, upstream: Upstream, limit: int, since: datetime | None
) -> Batch:
    """Give the next events of the devices that do not lag."""
    lagging = select(lagging_devices.c.device).where(lagging_devices.c.upstream == upstream.name)
    query = (
        select(events)
        .where(events.c.number > upstream.position, to_tell(upstream, since))
        .where(events.c.device.not_in(lagging))
        .order_by(events.c.number)
        .limit(limit)
    )
    found = tuple(event_of(row) for row in connection.execute(query).mappings())
    if len(found) == limit:
        through = found[-1].number
    else:
        newest = connection.execute(select(func.max(events.c.number))).scalar_one() or 0
        through = max(newest, upstream.position)
    return Batch(events=found, position=upstream.position, through=through, lagging={})


def first_unaccepted(
    batch: Iterable[Event], accepted: Collection[int]
) -> dict[EntityIdentifier, Event]:
    """Give of each device the first event that was not acknowledged."""
    first: dict[EntityIdentifier, Event] = {}
    for event in batch:
        if event.number not in accepted:
            first.setdefault(event.device, event)
    return first


def settle_in_order(
    connection: Connection,
    name: str,
    batch: Batch,
    first: Mapping[EntityIdentifier, Event],
    parked: Mapping[EntityIdentifier, Event],
) -> None:
    """Move an upstream on, and leave devices behind of which not all was settled."""
    to = batch.through
    if len(parked) < len(first):
        # What was neither acknowledged nor parked waits; it is found anew above the position.
        settled = [
            event.number
            for event in batch.events
            if event.device not in first or event.number < first[event.device].number
        ]
        settled += [event.number for event in parked.values()]
        to = max(settled, default=batch.position)
    move(connection, name, batch.position, to)
    for device, event in first.items():
        if event.number <= to and position_of_lagging(connection, name, device) is None:
            connection.execute(
                insert(lagging_devices).values(
                    upstream=name, device=device, position=event.number - 1
                )
            )
            take_first_parked(connection, name, device)


def move(connection: Connection, name: str, position: int, to: int) -> None:
    """Move an upstream on, if it still is where it was."""
    connection.execute(
        update(upstreams)
        .where(upstreams.c.name == name, upstreams.c.position == position)
        .values(position=to)
    )


def stands_as(connection: Connection, upstream: Upstream, batch: Batch) -> bool:
    """Say whether nobody has moved the positions that a batch was made from."""
    return upstream.position == batch.position and all(
        position_of_lagging(connection, upstream.name, device) == position
        for device, position in batch.lagging.items()
    )


def move_device(
    connection: Connection,
    upstream: Upstream,
    device: EntityIdentifier,
    position: int,
    to: int,
    since: datetime | None,
) -> None:
    """Move a lagging device on; it lags no more once it is where the upstream is."""
    lagging = lagging_devices.c
    this = and_(
        lagging.upstream == upstream.name, lagging.device == device, lagging.position == position
    )
    connection.execute(update(lagging_devices).where(this).values(position=to))
    left = exists().where(
        events.c.device == device,
        events.c.number > to,
        events.c.number <= upstream.position,
        to_tell(upstream, since),
    )
    if not connection.execute(select(left)).scalar_one():
        connection.execute(
            delete(lagging_devices).where(
                lagging.upstream == upstream.name,
                lagging.device == device,
                lagging.position == to,
                lagging.parked_number.is_(None),
            )
        )


def position_of_lagging(connection: Connection, name: str, device: EntityIdentifier) -> int | None:
    """Give the position of a lagging device; None for one that does not lag."""
    lagging = lagging_devices.c
    query = select(lagging.position).where(lagging.upstream == name, lagging.device == device)
    return connection.execute(query).scalar_one_or_none()


def note_parked(
    connection: Connection, name: str, event: Event, reason: str, *, by_person: bool, now: datetime
) -> None:
    """Note that an event is parked; again does nothing."""
    if not is_parked(connection, name, event.number):
        connection.execute(
            insert(parked_events).values(
                upstream=name,
                number=event.number,
                device=event.device,
                reason=reason,
                by_person=by_person,
                at=now,
            )
        )


def is_parked(connection: Connection, name: str, number: int) -> bool:
    """Say whether an event is parked for an upstream."""
    parked = parked_events.c
    query = select(exists().where(parked.upstream == name, parked.number == number))
    return bool(connection.execute(query).scalar_one())


def take_first_parked(connection: Connection, name: str, device: EntityIdentifier) -> None:
    """Note at a lagging device which of its events is the first that is parked."""
    parked, lagging = parked_events.c, lagging_devices.c
    first = select(func.min(parked.number)).where(parked.upstream == name, parked.device == device)
    connection.execute(
        update(lagging_devices)
        .where(lagging.upstream == name, lagging.device == device)
        .values(parked_number=first.scalar_subquery())
    )
