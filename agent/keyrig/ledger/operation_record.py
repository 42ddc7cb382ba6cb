"""Operations: runs requested over the API, and their events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, or_, select, union_all, update

from keyrig.base.errors import LedgerRefused
from keyrig.ledger.schema import local_sittings, operation_events, operations, runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import RowMapping

    from keyrig.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A requested run; `finished_at` and `result` are None while it is under way.

    Args:
        id: The operation's id; also the run's, once that has begun.
        rig_name: The rig.
        requested_by: The name of the token, or "schedule".
        requested_at: When it was requested.
        request: The request, plain JSON.
        finished_at: When it ended.
        result: How it ended.
        problem: Why it failed, plain JSON, or None.
    """

    id: str
    rig_name: str
    requested_by: str
    requested_at: datetime
    request: Mapping[str, Any]
    finished_at: datetime | None = None
    result: str | None = None
    problem: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEvent:
    """One event of an operation; `number` counts from 1."""

    number: int
    type: str
    at: datetime
    body: Mapping[str, Any]


class Operations:
    """Records operations and their events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, operation: Operation) -> None:
        """Record that an operation begins.

        Raises:
            LedgerRefused: There is one of its id.
        """
        with self._database.transaction() as connection:
            connection.execute(
                insert(operations).values(
                    id=operation.id,
                    rig_name=operation.rig_name,
                    requested_by=operation.requested_by,
                    requested_at=operation.requested_at,
                    request=json.dumps(dict(operation.request)),
                )
            )

    def finish(
        self, operation_id: str, result: str, now: datetime, problem: Mapping[str, Any] | None
    ) -> None:
        """Record how an operation ended.

        Raises:
            LedgerRefused: It has ended already, or there is none.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(operations)
                .where(operations.c.id == operation_id, operations.c.result.is_(None))
                .values(
                    finished_at=now,
                    result=result,
                    problem=None if problem is None else json.dumps(dict(problem)),
                )
            )
            if not changed.rowcount:
                raise LedgerRefused(f"operation {operation_id}", "it is not under way")

    def operation(self, operation_id: str) -> Operation | None:
        """Return an operation, or None where there is none of that id."""
        return self.of([operation_id]).get(operation_id)

    def of(self, ids: Collection[str]) -> dict[str, Operation]:
        """Return the existing operations among some ids."""
        query = select(operations).where(operations.c.id.in_(list(ids)))
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings()
            return {row["id"]: _operation(row) for row in rows}

    def under_way(self) -> tuple[Operation, ...]:
        """Return the operations that have not ended, oldest first."""
        query = select(operations).where(operations.c.result.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(operations.c.requested_at)).mappings()
            return tuple(_operation(row) for row in rows)

    def record(self, operation_id: str, told: Iterable[OperationEvent]) -> None:
        """Add events to an operation."""
        rows = [
            {
                "operation_id": operation_id,
                "number": event.number,
                "type": event.type,
                "at": event.at,
                "body": json.dumps(dict(event.body)),
            }
            for event in told
        ]
        if rows:
            with self._database.transaction() as connection:
                connection.execute(insert(operation_events), rows)

    def events(
        self, operation_id: str, after: int = 0, limit: int = 500
    ) -> tuple[OperationEvent, ...]:
        """Return the events of an operation after the one of a number, in order."""
        table = operation_events
        query = (
            select(table)
            .where(table.c.operation_id == operation_id, table.c.number > after)
            .order_by(table.c.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return tuple(
                OperationEvent(
                    number=row.number, type=row.type, at=row.at, body=json.loads(row.body)
                )
                for row in connection.execute(query)
            )

    def last_number(self, operation_id: str) -> int:
        """Return the number of an operation's last event; 0 where it has none."""
        table = operation_events
        query = select(func.max(table.c.number)).where(table.c.operation_id == operation_id)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one() or 0

    def page(
        self, limit: int, *, before: str | None = None, rig_name: str | None = None
    ) -> tuple[str, ...]:
        """Return the ids of runs and of operations that never began one, newest first.

        Operations that deliver other parties' commands are left out.

        Args:
            limit: How many.
            before: Only those older than this one.
            rig_name: Only those of this rig.

        Raises:
            LedgerRefused: There is none of the id `before`.
        """
        began = func.coalesce(operations.c.requested_at, runs.c.started_at)
        begun = select(runs.c.id, began.label("began"), runs.c.rig_name).select_from(
            runs.outerjoin(operations, operations.c.id == runs.c.id)
        )
        never = select(
            operations.c.id, operations.c.requested_at.label("began"), operations.c.rig_name
        ).where(
            operations.c.id.not_in(select(runs.c.id)),
            operations.c.id.not_in(select(local_sittings.c.operation_id)),
        )
        table = union_all(begun, never).subquery()
        query = select(table.c.id).order_by(table.c.began.desc(), table.c.id.desc()).limit(limit)
        if rig_name is not None:
            query = query.where(table.c.rig_name == rig_name)
        with self._database.reading() as connection:
            if before is not None:
                of_it = select(table.c.began).where(table.c.id == before)
                mark = connection.execute(of_it).scalar_one_or_none()
                if mark is None:
                    raise LedgerRefused(f"run {before}", "there is no such run")
                query = query.where(
                    or_(table.c.began < mark, and_(table.c.began == mark, table.c.id < before))
                )
            return tuple(connection.execute(query).scalars())


def _operation(row: RowMapping) -> Operation:
    values = dict(row)
    values["request"] = json.loads(values["request"])
    if values["problem"] is not None:
        values["problem"] = json.loads(values["problem"])
    return Operation(**values)
