"""The open duties, kept so that the next due are found without planning every device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from keyrig.domain.device_facts import SCHEDULED_GRACE
from keyrig.domain.known_facts import fold
from keyrig.duties.plan import NO_DEADLINE, plan
from keyrig.duties.rules import Actor
from keyrig.ledger.schema import facts_to_come, open_duties, planned_devices

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.device_facts import DeviceFacts, LedgerFacts
    from keyrig.duties.plan import Plan
    from keyrig.duties.rules import Rules
    from keyrig.ledger.attempt_facts import Facts
    from keyrig.ledger.database import Database
    from keyrig.ledger.known_fact_record import DeviceFactRecord
    from keyrig.ledger.rule_sets import RuleSets

_MICROSECOND: Final = timedelta(microseconds=1)
_BATCH: Final = 500
"""How many devices whose facts came into force are planned again in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDuty:
    """A duty still to be done; `due_by` is None where no days run."""

    device: EntityIdentifier
    requirement: str
    due_by: datetime | None
    rig_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineCounts:
    """How many duties are overdue, and the nearest deadline that has not passed, if any."""

    overdue: int
    next_deadline: datetime | None


class OpenDuties:
    """The open duties of every device, updated whenever facts about it change."""

    def __init__(
        self, database: Database, device_facts: DeviceFactRecord, facts: Facts, rule_sets: RuleSets
    ) -> None:
        self._database = database
        self._device_facts = device_facts
        self._facts = facts
        self._rule_sets = rule_sets

    def adopt(
        self,
        device: EntityIdentifier,
        *,
        rig_name: str,
        rules: Rules,
        actors: Collection[Actor],
        now: datetime,
    ) -> None:
        """Set the rules and the actors by which the duties of a device are kept from now on.

        Args:
            device: The device, whose type is known.
            rig_name: The rig that carries its duties out, or "".
            rules: The rule set.
            actors: The parties whose duties are carried out.
            now: The present instant.
        """
        table = planned_devices
        with self._database.transaction() as connection:
            values = {
                "rig_name": rig_name,
                "rule_set": self._rule_sets.keep(rules, now),
                "actors": " ".join(sorted(actor.value for actor in actors)),
            }
            changed = connection.execute(
                update(table).where(table.c.device == device).values(values)
            )
            if not changed.rowcount:
                connection.execute(insert(table).values(device=device, **values))
            self.refresh(device, now)

    def is_adopted(self, device: EntityIdentifier) -> bool:
        """Return True if the duties of a device are kept."""
        query = select(planned_devices.c.device).where(planned_devices.c.device == device)
        with self._database.reading() as connection:
            return connection.execute(query).one_or_none() is not None

    def refresh(self, device: EntityIdentifier, now: datetime) -> None:
        """Plan one device again; to be called in the transaction of the change.

        A device that was not adopted has no duties here.
        """
        with self._database.transaction() as connection:
            found = self._plan(connection, device, now)
            if found is None:
                return
            planned, facts, known = found
            due = {duty.requirement: duty.deadline or NO_DEADLINE for duty in planned.open()}
            table = open_duties
            stand = connection.execute(
                select(table.c.requirement, table.c.due_by).where(table.c.device == device)
            )
            if {row.requirement: row.due_by for row in stand} != due:
                connection.execute(delete(table).where(table.c.device == device))
                for requirement, due_by in due.items():
                    connection.execute(
                        insert(table).values(device=device, requirement=requirement, due_by=due_by)
                    )
            awaited = {at + SCHEDULED_GRACE + _MICROSECOND for at in known.scheduled.values()}
            if facts.commissioned_from is not None:
                awaited.add(facts.commissioned_from)
            for at in awaited:
                if at > now:
                    self._device_facts.await_instant(device, at)

    def planned(self, device: EntityIdentifier, now: datetime) -> Plan | None:
        """Plan one device from the ledger alone; return None where it was not adopted."""
        with self._database.reading() as connection:
            found = self._plan(connection, device, now)
        return None if found is None else found[0]

    def facts(self, device: EntityIdentifier, now: datetime) -> DeviceFacts:
        """Return the facts that hold of a device, from the ledger alone.

        Raises:
            ValueError: Its type is not known.
        """
        return fold(device, self._device_facts.history(device), now).facts

    def next_due(self, now: datetime, limit: int) -> tuple[OpenDuty, ...]:
        """Return the open duties that are due next over all devices, the nearest first.

        Facts that came into force since a device was planned are counted first.
        """
        while self._catch_up(now):
            pass
        table = open_duties
        query = (
            select(table.c.device, table.c.requirement, table.c.due_by, planned_devices.c.rig_name)
            .join(planned_devices, planned_devices.c.device == table.c.device)
            .order_by(table.c.due_by, table.c.device, table.c.requirement)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return tuple(
                OpenDuty(
                    device=row.device,
                    requirement=row.requirement,
                    due_by=None if row.due_by == NO_DEADLINE else row.due_by,
                    rig_name=row.rig_name,
                )
                for row in connection.execute(query)
            )

    def count(self) -> int:
        """Return the number of open duties."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(open_duties)).scalar_one()

    def deadline_counts(self, now: datetime) -> DeadlineCounts:
        """Count the open duties by their deadlines, over all devices.

        Facts that came into force since a device was planned are counted first.
        """
        while self._catch_up(now):
            pass
        due_by = open_duties.c.due_by
        overdue = select(func.count()).where(due_by < now)
        ahead = select(due_by).where(due_by >= now, due_by < NO_DEADLINE)
        with self._database.reading() as connection:
            return DeadlineCounts(
                overdue=connection.execute(overdue).scalar_one(),
                next_deadline=connection.execute(ahead.order_by(due_by).limit(1)).scalar(),
            )

    def _catch_up(self, now: datetime) -> bool:
        table = facts_to_come
        has_come = table.c.at <= now
        query = select(table.c.device).distinct().where(has_come).limit(_BATCH)
        with self._database.reading() as connection:
            devices = connection.execute(query).scalars().all()
        if not devices:
            return False
        with self._database.transaction() as connection:
            for device in devices:
                self.refresh(device, now)
            connection.execute(delete(table).where(has_come, table.c.device.in_(devices)))
        return True

    def _plan(
        self, connection: Connection, device: EntityIdentifier, now: datetime
    ) -> tuple[Plan, DeviceFacts, LedgerFacts] | None:
        """Plan one device; return the plan with the facts that it was made from."""
        table = planned_devices
        row = connection.execute(select(table).where(table.c.device == device)).one_or_none()
        if row is None:
            return None
        rules = self._rule_sets.rules(row.rule_set)
        actors = frozenset(Actor(name) for name in row.actors.split())
        facts, known = self.facts(device, now), self._facts.ledger_facts([device])
        return plan(rules, [facts], known, now, actors), facts, known
