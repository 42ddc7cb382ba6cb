"""Statements about devices: an append-only history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from keyrig.domain.known_facts import FactName, KnownFact, decode_value, encode_value
from keyrig.ledger.schema import device_facts, facts_to_come

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import RowMapping

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database


class DeviceFactRecord:
    """Records every statement about a device, with its source and time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, device: EntityIdentifier, said: Iterable[KnownFact]) -> None:
        """Append statements about a device."""
        table = device_facts
        with self._database.transaction() as connection:
            for fact in said:
                connection.execute(
                    insert(table).values(
                        device=device,
                        name=fact.name.value,
                        value=encode_value(fact.value),
                        at=fact.at,
                        source=fact.source,
                        recorded_at=fact.recorded_at,
                    )
                )
                if fact.at is not None and fact.at > fact.recorded_at:
                    self.await_instant(device, fact.at)

    def await_instant(self, device: EntityIdentifier, at: datetime) -> None:
        """Record that a device has to be planned again at `at`."""
        table = facts_to_come
        with self._database.transaction() as connection:
            mine = (table.c.device == device) & (table.c.at == at)
            if connection.execute(select(table.c.at).where(mine)).one_or_none() is None:
                connection.execute(insert(table).values(device=device, at=at))

    def history(self, device: EntityIdentifier) -> tuple[KnownFact, ...]:
        """Return all statements about a device, in the order of recording."""
        return self.known([device])[device]

    def known(
        self, devices: Collection[EntityIdentifier]
    ) -> Mapping[EntityIdentifier, tuple[KnownFact, ...]]:
        """Return all statements about each of `devices`, in the order of recording."""
        query = select(device_facts).where(device_facts.c.device.in_(list(devices)))
        said: dict[EntityIdentifier, list[KnownFact]] = defaultdict(list)
        with self._database.reading() as connection:
            for row in connection.execute(query.order_by(device_facts.c.id)).mappings():
                said[row["device"]].append(_fact(row))
        return {device: tuple(said[device]) for device in devices}

    def devices(self) -> tuple[EntityIdentifier, ...]:
        """Return the devices about which there is a statement, by identifier."""
        query = select(device_facts.c.device).distinct().order_by(device_facts.c.device)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())


def _fact(row: RowMapping) -> KnownFact:
    name = FactName(row["name"])
    return KnownFact(
        name=name,
        value=decode_value(name, row["value"]),
        at=row["at"],
        source=row["source"],
        recorded_at=row["recorded_at"],
    )
