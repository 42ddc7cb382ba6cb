"""Instructions to set SMI Statuses, pending until the inventory shows them.

No request of DUIS 5.4 lets a User set Suspended, and keyrig sets no status in the inventory
itself: what H5.34 and H5.38 make of an outcome is an instruction, reported upstream, that waits
until the Smart Metering Inventory is seen to hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from keyrig.domain.smi_status import SMIStatus, StatusInstruction
from keyrig.domain.states import InstructionEnd
from keyrig.ledger.schema import status_instructions

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database

_TABLE: Final = status_instructions
_READ: Final = select(
    _TABLE.c.device,
    _TABLE.c.status,
    _TABLE.c.instead_of,
    _TABLE.c.clause,
    _TABLE.c.reason,
    _TABLE.c.since,
)


class StatusInstructions:
    """Records instructions and their ends."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def instruct(
        self,
        device: EntityIdentifier,
        status: SMIStatus,
        *,
        instead_of: SMIStatus | None,
        clause: str,
        reason: str,
        now: datetime,
    ) -> None:
        """Record that a device is to have a status; a pending instruction is withdrawn.

        Args:
            device: The device.
            status: The status that it is to have.
            instead_of: The one that it has now, or None where that is not known.
            clause: The clause that demands it.
            reason: Why, in one line.
            now: The present instant.
        """
        with self._database.transaction() as connection:
            self.end(device, InstructionEnd.WITHDRAWN, f"{status.value} under {clause}", now)
            connection.execute(
                insert(_TABLE).values(
                    device=device,
                    status=status,
                    instead_of=instead_of,
                    clause=clause,
                    reason=reason,
                    since=now,
                )
            )

    def end(self, device: EntityIdentifier, end: InstructionEnd, by: str, now: datetime) -> None:
        """Record the end of the pending instruction, where there is one.

        Args:
            device: The device.
            end: How it ended.
            by: The source.
            now: The present instant.
        """
        with self._database.transaction() as connection:
            connection.execute(
                update(_TABLE)
                .where(_TABLE.c.device == device, _TABLE.c.ended_at.is_(None))
                .values(ended_at=now, ended_by=end, detail=by)
            )

    def waiting_for(
        self, connection: Connection, device: EntityIdentifier
    ) -> StatusInstruction | None:
        """Return the pending instruction for a device, or None."""
        query = _READ.where(_TABLE.c.device == device, _TABLE.c.ended_at.is_(None))
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else StatusInstruction(**row)

    def waiting(self) -> tuple[StatusInstruction, ...]:
        """Return the pending instructions over all devices, oldest first."""
        query = _READ.where(_TABLE.c.ended_at.is_(None)).order_by(_TABLE.c.since, _TABLE.c.id)
        with self._database.reading() as connection:
            return tuple(StatusInstruction(**row) for row in connection.execute(query).mappings())
