"""The latest instant on record, and the faults of clocks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from keyrig.base.errors import ClockWrong
from keyrig.domain.clock_trust import ClockFault, ClockFinding, judge_clock
from keyrig.ledger.schema import clock_findings, clock_marks

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.ledger.database import Database

_THE_MARK: Final = 1
_MILLISECOND: Final = timedelta(milliseconds=1)


class ClockRecord:
    """Records the latest instant of any run, and the faults of clocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self) -> datetime | None:
        """Return the latest instant that a run recorded, or None before the first."""
        query = select(clock_marks.c.latest).where(clock_marks.c.id == _THE_MARK)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def advance(self, now: datetime) -> None:
        """Record an instant, unless a later one is on record."""
        with self._database.transaction():
            latest = self.latest()
            if latest is None or latest < now:
                self.accept(now)

    def accept(self, now: datetime) -> None:
        """Record `now` as the latest instant, whatever is on record; a person vouches for it."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(clock_marks).where(clock_marks.c.id == _THE_MARK).values(latest=now)
            )
            if not changed.rowcount:
                connection.execute(insert(clock_marks).values(id=_THE_MARK, latest=now))

    def record(self, run_id: str, finding: ClockFinding, now: datetime) -> None:
        """Record a fault of the clock that a run found."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(clock_findings).values(
                    run_id=run_id,
                    fault=finding.fault,
                    by_ms=finding.by // _MILLISECOND,
                    detail=finding.detail,
                    at=now,
                )
            )

    def findings(self, run_id: str) -> tuple[tuple[datetime, ClockFinding], ...]:
        """Return the faults that a run found, with the time, oldest first."""
        table = clock_findings
        query = select(table).where(table.c.run_id == run_id).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(
                (row.at, ClockFinding(row.fault, row.by_ms * _MILLISECOND, row.detail))
                for row in connection.execute(query)
            )


def check_clock(record: ClockRecord, now: datetime, *, accept: bool) -> ClockFinding | None:
    """Return the fault of the clock, if any; raise for one by which nothing may be sent.

    Args:
        record: Has the latest instant on record; `now` is recorded in it.
        now: What the clock shows.
        accept: A person vouches for the clock, whatever is on record.

    Raises:
        ClockWrong: The clock was never set, or has run far ahead of what is on record.
    """
    finding = judge_clock(now, record.latest())
    if finding is not None and finding.fault is not ClockFault.UNSET and accept:
        record.accept(now)
        return None
    if finding is not None and finding.fault.is_refused:
        raise ClockWrong("this machine", finding.reason, finding.mend)
    record.advance(now)
    return finding
