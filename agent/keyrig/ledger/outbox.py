"""Events for upstream, written in the transaction of the fact that they tell."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select

from keyrig.duties.facts import aware_utc
from keyrig.errors import LedgerRefused
from keyrig.ledger.schema import deliveries, events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import RowMapping

    from gbcs.entity import EntityIdentifier
    from keyrig.ledger.database import Database
    from keyrig.ledger.states import EventType

EVENT_NAMESPACE: Final = uuid.UUID("6a2f6f0e-53a4-5d0c-9a55-6c1c9b0e7d11")
"""The namespace of event ids; part of what upstreams see, so it never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing to tell upstream; `number` gives the order, `id` is the same wherever told."""

    number: int
    id: uuid.UUID
    type: EventType
    device: EntityIdentifier
    at: datetime
    body: Mapping[str, Any]


class Outbox:
    """Keeps events until each upstream has acknowledged them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, kind: EventType, device: EntityIdentifier, at: datetime, body: Mapping[str, Any]
    ) -> uuid.UUID:
        """Add an event, unless the same one stands already, and give its id."""
        text = _canonical(dict(body))
        event_id = event_identifier(kind, device, at, body)
        with self._database.transaction() as connection:
            stands = connection.execute(
                select(events.c.number).where(events.c.id == str(event_id))
            ).one_or_none()
            if stands is None:
                connection.execute(
                    insert(events).values(
                        id=str(event_id), type=kind, device=device, at=at, body=text
                    )
                )
        return event_id

    def undelivered(self, upstream: str, limit: int = 100) -> tuple[Event, ...]:
        """Give the oldest events that `upstream` has not acknowledged, in order."""
        acknowledged = select(deliveries.c.event_id).where(deliveries.c.upstream == upstream)
        query = select(events).where(events.c.id.not_in(acknowledged))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.number).limit(limit)).mappings()
            return tuple(_event(row) for row in rows)

    def all(self, device: EntityIdentifier | None = None) -> tuple[Event, ...]:
        """Give every event, of one device or of all, in order."""
        query = select(events).order_by(events.c.number)
        if device is not None:
            query = query.where(events.c.device == device)
        with self._database.reading() as connection:
            return tuple(_event(row) for row in connection.execute(query).mappings())

    def mark_delivered(self, event_id: uuid.UUID, upstream: str, now: datetime) -> None:
        """Record that `upstream` acknowledged an event; again does nothing.

        Raises:
            LedgerRefused: There is no such event.
        """
        key = (deliveries.c.event_id == str(event_id)) & (deliveries.c.upstream == upstream)
        with self._database.transaction() as connection:
            known = select(events.c.number).where(events.c.id == str(event_id))
            if connection.execute(known).one_or_none() is None:
                raise LedgerRefused(f"there is no event {event_id}")
            if connection.execute(select(deliveries.c.event_id).where(key)).one_or_none() is None:
                connection.execute(
                    insert(deliveries).values(
                        event_id=str(event_id), upstream=upstream, delivered_at=now
                    )
                )


def event_identifier(
    kind: EventType, device: EntityIdentifier, at: datetime, body: Mapping[str, Any]
) -> uuid.UUID:
    """Derive an event's id from what it tells, so that it is told under no other."""
    told = [kind.value, device.stem, aware_utc(at).isoformat(timespec="microseconds"), dict(body)]
    return uuid.uuid5(EVENT_NAMESPACE, _canonical(told))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _event(row: RowMapping) -> Event:
    values = dict(row)
    return Event(**values | {"id": uuid.UUID(row["id"]), "body": json.loads(row["body"])})
