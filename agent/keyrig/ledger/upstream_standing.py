"""What upstreams were not told yet, counted."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from keyrig.ledger.schema import discarded_events, events, lagging_devices, parked_events
from keyrig.ledger.upstream_positions import is_parked, position_of_lagging, to_tell

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from keyrig.ledger.outbox import Event
    from keyrig.ledger.upstream_positions import Upstream


class EventState(enum.Enum):
    """What came of an event at an upstream."""

    TOLD = "told"
    WAITING = "waiting"
    PARKED = "parked"
    HELD_BACK = "held-back"
    """It waits behind a parked event of its device."""
    DISCARDED = "discarded"
    PASSED_OVER = "passed-over"
    """It is older than what the upstream is to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStanding:
    """How much an upstream was not told yet.

    Args:
        upstream: How the telling of it stands.
        waiting: How many events it was not told, parked and held back ones among them.
        parked: How many of them are parked.
        held_back: How many wait behind a parked event of their device.
        oldest_waiting_at: The instant of the first in order; None where none waits.
    """

    upstream: Upstream
    waiting: int
    parked: int
    held_back: int
    oldest_waiting_at: datetime | None


def standing(
    connection: Connection, upstream: Upstream, since: datetime | None
) -> UpstreamStanding:
    """Count what an upstream was not told yet."""
    lagging = lagging_devices.c
    ours = lagging.upstream == upstream.name
    lags = select(lagging.device).where(ours)
    rest = and_(
        events.c.number > upstream.position,
        events.c.device.not_in(lags),
        to_tell(upstream, since),
    )
    of_lagging = (
        select(func.count(), func.min(events.c.number))
        .select_from(lagging_devices)
        .join(events, and_(events.c.device == lagging.device, events.c.number > lagging.position))
        .where(ours, to_tell(upstream, since))
    )
    waiting, first = connection.execute(
        select(func.count(), func.min(events.c.number)).where(rest)
    ).one()
    lagging_count, lagging_first = connection.execute(of_lagging).one()
    held_count, _ = connection.execute(
        of_lagging.where(events.c.number > lagging.parked_number)
    ).one()
    parked = connection.execute(
        select(func.count()).where(parked_events.c.upstream == upstream.name)
    ).scalar_one()
    parked_behind = connection.execute(
        select(func.count())
        .select_from(parked_events)
        .join(
            lagging_devices,
            and_(ours, lagging.device == parked_events.c.device),
        )
        .where(
            parked_events.c.upstream == upstream.name,
            parked_events.c.number > lagging.parked_number,
        )
    ).scalar_one()
    numbers = [number for number in (first, lagging_first) if number is not None]
    oldest = (
        connection.execute(select(events.c.at).where(events.c.number == min(numbers))).scalar_one()
        if numbers
        else None
    )
    return UpstreamStanding(
        upstream=upstream,
        waiting=waiting + lagging_count,
        parked=parked,
        held_back=held_count - parked_behind,
        oldest_waiting_at=oldest,
    )


def state_of(
    connection: Connection, upstream: Upstream, event: Event, since: datetime | None
) -> EventState:
    """Give what came of an event at an upstream."""
    discarded = discarded_events.c
    if connection.execute(
        select(discarded.number).where(
            discarded.upstream == upstream.name, discarded.number == event.number
        )
    ).all():
        return EventState.DISCARDED
    if is_parked(connection, upstream.name, event.number):
        return EventState.PARKED
    lag = position_of_lagging(connection, upstream.name, event.device)
    if event.number <= (upstream.position if lag is None else lag):
        is_older = since is not None and event.at < since
        return EventState.PASSED_OVER if is_older else EventState.TOLD
    owed = select(events.c.number).where(events.c.number == event.number, to_tell(upstream, since))
    if not connection.execute(owed).all():
        is_older = since is not None and event.at < since
        return EventState.PASSED_OVER if is_older else EventState.TOLD
    first = select(lagging_devices.c.parked_number).where(
        lagging_devices.c.upstream == upstream.name, lagging_devices.c.device == event.device
    )
    parked_number = connection.execute(first).scalar_one_or_none()
    if parked_number is not None and event.number > parked_number:
        return EventState.HELD_BACK
    return EventState.WAITING
