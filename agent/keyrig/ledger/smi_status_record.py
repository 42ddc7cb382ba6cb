"""SMI Status: its history per device, and suspensions with the status held before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from keyrig.base.clock import second_text
from keyrig.base.errors import LedgerRefused
from keyrig.domain.smi_status import SMIStatus, Standing, StatusInstruction, Suspension
from keyrig.domain.states import EventType, InstructionEnd, SuspensionEnd
from keyrig.ledger.schema import failed_steps, smi_statuses, suspensions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.duties.rules import Permission
    from keyrig.ledger.database import Database
    from keyrig.ledger.outbox import Outbox
    from keyrig.ledger.status_instructions import StatusInstructions


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRecord:
    """One status in a device's history, with its time, cause and clause."""

    status: SMIStatus
    at: datetime
    cause: str
    clause: str
    recorded_at: datetime


class SMIStatuses:
    """Records each device's SMI Status; every change is published through the outbox."""

    def __init__(
        self, database: Database, outbox: Outbox, instructions: StatusInstructions
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._instructions = instructions

    def record(
        self,
        device: EntityIdentifier,
        status: SMIStatus,
        *,
        at: datetime,
        cause: str,
        now: datetime,
        is_snapshot: bool = False,
    ) -> bool:
        """Record a status that was set from outside, such as read in the inventory.

        It confirms a pending instruction of ours for that status. A suspension of ours in force
        is superseded by any other status than Suspended; but a snapshot that shows the status
        from before our instruction means only that this is still pending.

        Args:
            device: The device.
            status: The status that it holds.
            at: Since when.
            cause: The source.
            now: The present instant.
            is_snapshot: Whether the status was read, rather than reported as set.

        Returns:
            True if it is new.

        Raises:
            LedgerRefused: A later status is on record.
        """
        with self._database.transaction() as connection:
            standing = self.standing(device)
            waits = standing.instruction
            if waits is not None and status is waits.status:
                return self._confirm(waits, at=at, cause=cause, now=now)
            if is_snapshot and waits is not None and status is waits.instead_of:
                return False
            if standing.status is status:
                return False
            if standing.status_since is not None and at < standing.status_since:
                raise LedgerRefused(
                    f"device {device}",
                    f"{status.value} at {second_text(at)} is older than "
                    f"{standing.status.value if standing.status else ''} at "
                    f"{second_text(standing.status_since)}, which it holds",
                )
            if standing.suspension is not None:
                self._end(connection, device, SuspensionEnd.SUPERSEDED, now)
            self._instructions.end(device, InstructionEnd.SUPERSEDED, cause, now)
            self._set(connection, device, status, at=at, cause=cause, clause="", now=now)
        return True

    def suspend(
        self,
        device: EntityIdentifier,
        clause: str,
        reason: str,
        now: datetime,
        *,
        failed: Iterable[str] = (),
        permission: Permission | None = None,
    ) -> Suspension:
        """Set a device's status to Suspended, keeping the status held immediately before.

        Args:
            device: The device.
            clause: The clause under which it is suspended, such as "H5.34(a)".
            reason: Why, in one line.
            now: The present instant.
            failed: Ids of the requirements whose steps failed.
            permission: The permission to replace the Communications Hub that follows; published
                with the change.

        Raises:
            LedgerRefused: It is Suspended already, so that the status held before is not
                defined.
        """
        with self._database.transaction() as connection:
            standing = self.standing(device)
            if standing.suspension is not None or standing.status is SMIStatus.SUSPENDED:
                why = standing.suspension.clause if standing.suspension else "another reason"
                raise LedgerRefused(
                    f"device {device}",
                    f"it is Suspended already, for {why}",
                    f"what to restore after {clause} is not defined, and a person must decide",
                )
            connection.execute(
                insert(suspensions).values(
                    device=device,
                    clause=clause,
                    held_before=standing.status,
                    reason=reason,
                    since=now,
                )
            )
            for requirement in failed:
                self.step_failed(device, requirement, now)
            self._instruct(
                connection,
                device,
                SMIStatus.SUSPENDED,
                clause=clause,
                reason=reason,
                now=now,
                permission=permission,
            )
            suspension = self.standing(device).suspension
            assert suspension is not None
            return suspension

    def restore(
        self, device: EntityIdentifier, clause: str, reason: str, now: datetime
    ) -> SMIStatus:
        """Set a device's status back to exactly the one held before our suspension.

        Raises:
            LedgerRefused: No suspension of ours is in force, or the status before is not known.
        """
        with self._database.transaction() as connection:
            standing = self.standing(device)
            if standing.suspension is None or standing.status is not SMIStatus.SUSPENDED:
                raise LedgerRefused(f"device {device}", "no suspension of ours stands")
            before = standing.suspension.held_before
            if before is None:
                raise LedgerRefused(
                    f"device {device}",
                    "the status held before its suspension is not known",
                    "record the one that it is to have",
                )
            self._end(connection, device, SuspensionEnd.RESTORED, now)
            self._instruct(connection, device, before, clause=clause, reason=reason, now=now)
            return before

    def step_failed(self, device: EntityIdentifier, requirement: str, now: datetime) -> None:
        """Add a requirement to the failed steps of the open suspension."""
        with self._database.transaction() as connection:
            suspension_id = self._open_id(connection, device)
            known = failed_steps.c.suspension_id == suspension_id
            known &= failed_steps.c.requirement == requirement
            again = connection.execute(
                update(failed_steps).where(known).values(failed_at=now, completed_at=None)
            )
            if not again.rowcount:
                connection.execute(
                    insert(failed_steps).values(
                        suspension_id=suspension_id, requirement=requirement, failed_at=now
                    )
                )

    def step_completed(self, device: EntityIdentifier, requirement: str, now: datetime) -> None:
        """Remove a requirement from the failed steps of the open suspension."""
        with self._database.transaction() as connection:
            connection.execute(
                update(failed_steps)
                .where(
                    failed_steps.c.suspension_id == self._open_id(connection, device),
                    failed_steps.c.requirement == requirement,
                )
                .values(completed_at=now)
            )

    def current(self, device: EntityIdentifier) -> SMIStatus | None:
        """Return the status that a device holds, or None where none is known."""
        return self.standing(device).status

    def standing(self, device: EntityIdentifier) -> Standing:
        """Return a device's status, and the suspension of ours in force."""
        newest = (
            select(smi_statuses.c.status, smi_statuses.c.at)
            .where(smi_statuses.c.device == device)
            .order_by(smi_statuses.c.id.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(newest).one_or_none()
            return Standing(
                status=row.status if row else None,
                status_since=row.at if row else None,
                suspension=self._suspension(connection, device),
                instruction=self._instructions.waiting_for(connection, device),
            )

    def history(self, device: EntityIdentifier) -> tuple[StatusRecord, ...]:
        """Return the history of a device's status, oldest first."""
        table = smi_statuses
        query = (
            select(table.c.status, table.c.at, table.c.cause, table.c.clause, table.c.recorded_at)
            .where(table.c.device == device)
            .order_by(table.c.id)
        )
        with self._database.reading() as connection:
            return tuple(StatusRecord(**row) for row in connection.execute(query).mappings())

    def _suspension(self, connection: Connection, device: EntityIdentifier) -> Suspension | None:
        table = suspensions
        row = connection.execute(
            select(table).where(table.c.device == device, table.c.until.is_(None))
        ).one_or_none()
        if row is None:
            return None
        steps = connection.execute(
            select(failed_steps.c.requirement).where(
                failed_steps.c.suspension_id == row.id, failed_steps.c.completed_at.is_(None)
            )
        ).scalars()
        return Suspension(
            clause=row.clause,
            held_before=row.held_before,
            since=row.since,
            failed_steps=frozenset(steps),
        )

    def _open_id(self, connection: Connection, device: EntityIdentifier) -> int:
        table = suspensions
        found = connection.execute(
            select(table.c.id).where(table.c.device == device, table.c.until.is_(None))
        ).scalar_one_or_none()
        if found is None:
            raise LedgerRefused(f"device {device}", "no suspension of ours stands")
        return int(found)

    def _end(
        self, connection: Connection, device: EntityIdentifier, end: SuspensionEnd, now: datetime
    ) -> None:
        connection.execute(
            update(suspensions)
            .where(suspensions.c.id == self._open_id(connection, device))
            .values(until=now, ended_by=end)
        )

    def _confirm(
        self, waits: StatusInstruction, *, at: datetime, cause: str, now: datetime
    ) -> bool:
        """Record an instruction as carried out, unless the source is older than it."""
        if at < waits.since:
            return False
        self._instructions.end(waits.device, InstructionEnd.CONFIRMED, cause, now)
        told = waits.to_json() | {"state": InstructionEnd.CONFIRMED.value}
        self._outbox.append(
            EventType.SMI_STATUS_CHANGED,
            waits.device,
            at,
            {
                "status": waits.status.value,
                "before": waits.instead_of.value if waits.instead_of else None,
                "cause": cause,
                "clause": waits.clause,
                "instruction": told,
            },
        )
        return True

    def _instruct(
        self,
        connection: Connection,
        device: EntityIdentifier,
        status: SMIStatus,
        *,
        clause: str,
        reason: str,
        now: datetime,
        permission: Permission | None = None,
    ) -> None:
        """Record and publish an instruction that a device is to have a status."""
        before = self.current(device)
        self._instructions.instruct(
            device, status, instead_of=before, clause=clause, reason=reason, now=now
        )
        self._set(
            connection,
            device,
            status,
            at=now,
            cause=reason,
            clause=clause,
            now=now,
            permission=permission,
        )

    def _set(
        self,
        connection: Connection,
        device: EntityIdentifier,
        status: SMIStatus,
        *,
        at: datetime,
        cause: str,
        clause: str,
        now: datetime,
        permission: Permission | None = None,
    ) -> None:
        before = self.current(device)
        waits = self._instructions.waiting_for(connection, device)
        told: dict[str, Any] = {
            "status": status.value,
            "before": before.value if before else None,
            "cause": cause,
            "clause": clause or None,
            "instruction": waits.to_json() if waits else None,
        }
        if permission is not None:
            told["permission"] = {"clause": permission.clause, "reason": permission.reason}
        connection.execute(
            insert(smi_statuses).values(
                device=device, status=status, at=at, cause=cause, clause=clause, recorded_at=now
            )
        )
        self._outbox.append(EventType.SMI_STATUS_CHANGED, device, at, told)
