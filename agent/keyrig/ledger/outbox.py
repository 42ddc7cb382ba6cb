"""Events to publish, written in the transaction of the fact that they report."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, literal, select

from gbcs.printable import printable
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import aware_utc
from keyrig.ledger.columns import Entity
from keyrig.ledger.schema import event_queue, events, ledger_identity, upstreams

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.states import EventType
    from keyrig.ledger.database import Database

EVENT_NAMESPACE: Final = uuid.UUID("6a2f6f0e-53a4-5d0c-9a55-6c1c9b0e7d11")
"""The namespace of event ids; part of what upstreams see, so it never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event to publish; `number` is its order, `id` is the same at every upstream."""

    number: int
    id: uuid.UUID
    type: EventType
    device: EntityIdentifier
    at: datetime
    body: Mapping[str, Any]


class Outbox:
    """Records every event; `keyrig.ledger.event_queue` has what is still to be published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, kind: EventType, device: EntityIdentifier, at: datetime, body: Mapping[str, Any]
    ) -> uuid.UUID:
        """Record and queue an event, unless it is recorded already; return its id."""
        text = _canonical(dict(body))
        event_id = event_identifier(kind, device, at, body)
        with self._database.transaction() as connection:
            stands = connection.execute(
                select(events.c.number).where(events.c.id == str(event_id))
            ).one_or_none()
            if stands is None:
                added = connection.execute(
                    insert(events).values(
                        id=str(event_id), type=kind, device=device, at=at, body=text
                    )
                )
                (number,) = added.inserted_primary_key or (None,)
                for_each = select(upstreams.c.name, literal(number), literal(device, Entity))
                connection.execute(
                    insert(event_queue).from_select(["upstream", "number", "device"], for_each)
                )
        return event_id

    def all(self, device: EntityIdentifier | None = None) -> tuple[Event, ...]:
        """Return every event, of one device or of all, in order."""
        query = select(events).order_by(events.c.number)
        if device is not None:
            query = query.where(events.c.device == device)
        with self._database.reading() as connection:
            return tuple(event_of(row) for row in connection.execute(query).mappings())

    def find(self, beginning: str) -> Event:
        """Return the one event whose id has that beginning.

        Raises:
            LedgerRefused: There is none, or several.
        """
        text = beginning.strip().lower()
        query = select(events).where(events.c.id.startswith(text, autoescape=True)).limit(2)
        with self._database.reading() as connection:
            found = connection.execute(query).mappings().all() if text else []
        if len(found) != 1:
            many = "several begin" if found else "none begins"
            raise LedgerRefused(
                f"no event {printable(beginning)!r}", f"{many} so", "see `keyrig outbox`"
            )
        return event_of(found[0])

    def identity(self) -> uuid.UUID:
        """Return this ledger's identity at upstreams; it is drawn once and never changes."""
        known = select(ledger_identity.c.uuid)
        with self._database.reading() as connection:
            found = connection.execute(known).scalar_one_or_none()
        if found is None:
            with self._database.transaction() as connection:
                found = connection.execute(known).scalar_one_or_none()
                if found is None:
                    found = str(uuid.uuid4())
                    connection.execute(insert(ledger_identity).values(id=1, uuid=found))
        return uuid.UUID(found)


def event_identifier(
    kind: EventType, device: EntityIdentifier, at: datetime, body: Mapping[str, Any]
) -> uuid.UUID:
    """Derive an event's id from its content, so that recording it again yields the same."""
    told = [kind.value, device.stem, aware_utc(at).isoformat(timespec="microseconds"), dict(body)]
    return uuid.uuid5(EVENT_NAMESPACE, _canonical(told))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def event_of(row: Mapping[Any, Any]) -> Event:
    """Return the event in a row of `events`."""
    values = dict(row)
    return Event(**values | {"id": uuid.UUID(row["id"]), "body": json.loads(row["body"])})
