"""The planner's facts from the ledger, and the trust anchor cells that were read back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select

from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.domain.device_facts import AttemptFact, Cause, LedgerFacts, NotBegun
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.states import ScheduledState
from keyrig.domain.trust_anchor import Cell
from keyrig.ledger.schema import (
    attempts,
    cell_snapshots,
    duties_not_begun,
    key_changes,
    open_duties,
    scheduled_replacements,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A duty that a run did not begin, and why."""

    run_id: str
    requirement: str
    why: NotBegun


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSnapshot:
    """The content of a cell as read back, with the time and the run."""

    run_id: str
    at: datetime
    cell: Cell


class Facts:
    """Records facts about devices, and gathers them for the planner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ledger_facts(self, devices: Collection[EntityIdentifier]) -> LedgerFacts:
        """Return the attempts at the duties of `devices`, what waits, and what held them back."""
        query = (
            select(
                attempts.c.device,
                attempts.c.requirement,
                attempts.c.started_at,
                attempts.c.finished_at,
                attempts.c.outcome,
                attempts.c.detail,
            )
            .where(attempts.c.device.in_(list(devices)))
            .order_by(attempts.c.id)
        )
        gathered: dict[tuple[EntityIdentifier, str], list[AttemptFact]] = defaultdict(list)
        with self._database.reading() as connection:
            for row in connection.execute(query):
                gathered[row.device, row.requirement].append(
                    AttemptFact(
                        started_at=row.started_at,
                        finished_at=row.finished_at,
                        outcome=row.outcome,
                        detail=row.detail,
                    )
                )
            held = select(
                scheduled_replacements.c.device,
                scheduled_replacements.c.requirement,
                scheduled_replacements.c.execution_at,
            ).where(
                scheduled_replacements.c.device.in_(list(devices)),
                scheduled_replacements.c.state == ScheduledState.WAITING,
            )
            scheduled = {
                (row.device, row.requirement): row.execution_at for row in connection.execute(held)
            }
            asked = (
                select(key_changes.c.device, func.min(key_changes.c.changed_at).label("since"))
                .where(
                    key_changes.c.device.in_(list(devices)),
                    key_changes.c.state == KeyChangeState.WAITING_FOR_AUTHORITY,
                )
                .group_by(key_changes.c.device)
            )
            waiting = {row.device: row.since for row in connection.execute(asked)}
            table = duties_not_begun
            back = select(table).where(table.c.device.in_(list(devices))).order_by(table.c.id)
            not_begun = {
                (row.device, row.requirement): NotBegun(
                    at=row.at, cause=row.cause, reason=row.reason, mend=row.mend
                )
                for row in connection.execute(back)
            }
        return LedgerFacts(
            {duty: tuple(tried) for duty, tried in gathered.items()}, scheduled, waiting, not_begun
        )

    def record_not_begun(
        self, device: EntityIdentifier, requirement: str, run_id: str, why: NotBegun
    ) -> None:
        """Record why a run did not begin a due duty; it is no attempt and has no consequence."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(duties_not_begun).values(
                    run_id=run_id,
                    device=device,
                    requirement=requirement,
                    at=why.at,
                    cause=why.cause,
                    reason=why.reason,
                    mend=why.mend,
                )
            )

    def not_begun_in(self, run_id: str) -> tuple[tuple[EntityIdentifier, str, NotBegun], ...]:
        """Return the due duties that a run did not begin: device, requirement, reason; in order."""
        table = duties_not_begun
        query = select(table).where(table.c.run_id == run_id).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(
                (
                    row.device,
                    row.requirement,
                    NotBegun(at=row.at, cause=row.cause, reason=row.reason, mend=row.mend),
                )
                for row in connection.execute(query)
            )

    def held_back(self, device: EntityIdentifier) -> tuple[HeldBack, ...]:
        """Return which duties of a device were not begun by which runs, oldest first."""
        table = duties_not_begun
        query = select(table).where(table.c.device == device).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(
                HeldBack(
                    run_id=row.run_id,
                    requirement=row.requirement,
                    why=NotBegun(at=row.at, cause=row.cause, reason=row.reason, mend=row.mend),
                )
                for row in connection.execute(query)
            )

    def held_back_counts(self) -> dict[Cause, int]:
        """Count the duties still to be done that were held back and not tried since, by cause."""
        table = duties_not_begun
        last = select(func.max(table.c.id)).group_by(table.c.device, table.c.requirement)
        tried_since = (
            select(attempts.c.id)
            .where(
                attempts.c.device == table.c.device,
                attempts.c.requirement == table.c.requirement,
                attempts.c.started_at >= table.c.at,
            )
            .exists()
        )
        query = (
            select(table.c.cause, func.count().label("duties"))
            .join(
                open_duties,
                (open_duties.c.device == table.c.device)
                & (open_duties.c.requirement == table.c.requirement),
            )
            .where(table.c.id.in_(last), ~tried_since)
            .group_by(table.c.cause)
        )
        with self._database.reading() as connection:
            counted = {row.cause: row.duties for row in connection.execute(query)}
        return {cause: counted.get(cause, 0) for cause in Cause}

    def record_cells(
        self, device: EntityIdentifier, cells: Iterable[Cell], run_id: str, now: datetime
    ) -> None:
        """Record the cells of one CS02a response."""
        rows = [
            {
                "run_id": run_id,
                "device": device,
                "role": int(cell.role),
                "key_usage": int(cell.key_usage),
                "cell_usage": int(cell.cell_usage),
                "entity_id": cell.entity_id,
                "subject_key_identifier": cell.subject_key_identifier,
                "at": now,
            }
            for cell in cells
        ]
        if rows:
            with self._database.transaction() as connection:
                connection.execute(insert(cell_snapshots), rows)

    def cells(self, device: EntityIdentifier) -> tuple[tuple[datetime, Cell], ...]:
        """Return every cell that was read back from a device, with the time, oldest first."""
        return tuple((seen.at, seen.cell) for seen in self.cell_history(device))

    def cell_history(self, device: EntityIdentifier) -> tuple[CellSnapshot, ...]:
        """Return the content of a device's cells as read back in all runs, oldest first."""
        table = cell_snapshots
        query = select(table).where(table.c.device == device).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(
                CellSnapshot(
                    run_id=row.run_id,
                    at=row.at,
                    cell=Cell(
                        role=RemotePartyRole(row.role),
                        key_usage=KeyUsage(row.key_usage),
                        cell_usage=CellUsage(row.cell_usage),
                        entity_id=row.entity_id,
                        subject_key_identifier=row.subject_key_identifier,
                    ),
                )
                for row in connection.execute(query)
            )
