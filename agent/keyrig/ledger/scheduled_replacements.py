"""Future dated replacements: those that devices hold until an instant, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from keyrig.base.clock import second_text
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import SCHEDULED_GRACE, Outcome
from keyrig.domain.states import ScheduledState
from keyrig.ledger.schema import attempts, exchanges, scheduled_replacements

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database
    from keyrig.ledger.open_duties import OpenDuties
    from keyrig.ledger.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledReplacement:
    """A replacement that a device is to carry out at `execution_at`."""

    id: int
    attempt_id: int
    exchange_id: int
    device: EntityIdentifier
    requirement: str
    originator: EntityIdentifier
    counter: int
    execution_at: datetime
    state: ScheduledState
    settled_at: datetime | None
    detail: str

    def waits_at(self, instant: datetime) -> bool:
        """Return True if it had no outcome yet at an instant."""
        return self.settled_at is None or self.settled_at > instant


class ScheduledReplacements:
    """Records replacements from the device's answer until its alert."""

    def __init__(self, database: Database, runs: Runs, open_duties: OpenDuties) -> None:
        self._database = database
        self._runs = runs
        self._open_duties = open_duties

    def record(self, attempt_id: int, exchange_id: int, at: datetime, now: datetime) -> None:
        """Record that a device holds a replacement until `at`, and close the attempt over it.

        The attempt has neither succeeded nor failed; the device's alert begins another.

        Raises:
            LedgerRefused: The attempt has ended already.
        """
        table = scheduled_replacements
        with self._database.transaction() as connection:
            attempt = self._runs.attempt(attempt_id)
            exchange = connection.execute(
                select(exchanges.c.originator, exchanges.c.counter).where(
                    exchanges.c.id == exchange_id
                )
            ).one()
            connection.execute(
                insert(table).values(
                    attempt_id=attempt_id,
                    exchange_id=exchange_id,
                    device=attempt.device,
                    requirement=attempt.requirement,
                    originator=exchange.originator,
                    counter=exchange.counter,
                    execution_at=at,
                    state=ScheduledState.WAITING,
                )
            )
            self._runs.finish_attempt(
                attempt_id,
                Outcome.INTERRUPTED,
                now,
                detail=f"the device holds it until {second_text(at)}",
            )
            self._open_duties.refresh(attempt.device, now)

    def waiting(self, device: EntityIdentifier) -> tuple[ScheduledReplacement, ...]:
        """Return the replacements that a device still holds by the record, oldest first."""
        return tuple(each for each in self.history(device) if each.state is ScheduledState.WAITING)

    def history(self, device: EntityIdentifier) -> tuple[ScheduledReplacement, ...]:
        """Return every future dated replacement of a device, oldest first."""
        table = scheduled_replacements
        columns = [column for column in table.c if column.name != "alert_id"]
        query = select(*columns).where(table.c.device == device).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(
                ScheduledReplacement(**row) for row in connection.execute(query).mappings()
            )

    def requirement_of(
        self, device: EntityIdentifier, originator: EntityIdentifier, counter: int
    ) -> tuple[str, int] | None:
        """Return the requirement and the exchange of a command, by its originator and counter.

        A command counts even if the agent ended before it could record that the device holds it.
        """
        query = (
            select(attempts.c.requirement, exchanges.c.id)
            .join(attempts, attempts.c.id == exchanges.c.attempt_id)
            .where(
                exchanges.c.device == device,
                exchanges.c.originator == originator,
                exchanges.c.counter == counter,
            )
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.requirement, row.id)

    def settle(
        self,
        exchange_id: int,
        state: ScheduledState,
        now: datetime,
        *,
        detail: str = "",
    ) -> bool:
        """Record the outcome of a replacement that an exchange scheduled, without an alert.

        Returns:
            True if it was waiting.
        """
        table = scheduled_replacements
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(table)
                .where(table.c.exchange_id == exchange_id, table.c.state == ScheduledState.WAITING)
                .values(state=state, settled_at=now, detail=detail)
            )
            device = connection.execute(
                select(exchanges.c.device).where(exchanges.c.id == exchange_id)
            ).scalar_one_or_none()
            if device is None:
                raise LedgerRefused(f"exchange {exchange_id}", "there is no such exchange")
            self._open_duties.refresh(device, now)
            return changed.rowcount > 0

    def settle_by_alert(
        self, exchange_id: int, state: ScheduledState, now: datetime, *, alert_id: int, at: datetime
    ) -> bool:
        """Record what a device's alert tells of the replacement that an exchange scheduled.

        It counts too where nothing was waiting for it any more, or the agent ended before it
        could record that the device holds the replacement.

        Args:
            exchange_id: The exchange; one of `requirement_of`.
            state: What became of it.
            now: When the alert was received.
            alert_id: The alert.
            at: The instant at which the device says that it carried it out.

        Returns:
            Whether no earlier alert told of it.
        """
        table = scheduled_replacements
        told = {"state": state, "alert_id": alert_id, "detail": ""}
        with self._database.transaction() as connection:
            known = connection.execute(
                select(table.c.id, table.c.alert_id, table.c.settled_at).where(
                    table.c.exchange_id == exchange_id
                )
            ).one_or_none()
            if known is not None and known.alert_id is not None:
                return False
            asked = connection.execute(
                select(exchanges, attempts.c.requirement)
                .join(attempts, attempts.c.id == exchanges.c.attempt_id)
                .where(exchanges.c.id == exchange_id)
            ).one()
            if known is None:
                connection.execute(
                    insert(table).values(
                        attempt_id=asked.attempt_id,
                        exchange_id=exchange_id,
                        device=asked.device,
                        requirement=asked.requirement,
                        originator=asked.originator,
                        counter=asked.counter,
                        execution_at=at,
                        settled_at=now,
                        **told,
                    )
                )
            else:
                connection.execute(
                    update(table)
                    .where(table.c.id == known.id)
                    .values(settled_at=known.settled_at or now, **told)
                )
            self._open_duties.refresh(asked.device, now)
            return True

    def lapse(
        self, devices: Iterable[EntityIdentifier], now: datetime
    ) -> tuple[ScheduledReplacement, ...]:
        """Record and return as lapsed those without an alert by the end of the grace."""
        lapsed = [
            each
            for device in devices
            for each in self.waiting(device)
            if each.execution_at + SCHEDULED_GRACE < now
        ]
        for each in lapsed:
            detail = "no alert came"
            self.settle(each.exchange_id, ScheduledState.LAPSED, now, detail=detail)
        return tuple(lapsed)
