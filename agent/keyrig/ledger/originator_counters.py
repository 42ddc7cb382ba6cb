"""Originator counters, reserved before the octets that use them leave.

Theory of operation. A device refuses a command whose counter is not above those that it has
executed from the originator, and a response repeats the counter of its command. A counter that is
used twice is therefore a command that is refused, or a response that fits two commands; one that is
far too great cannot be taken back, since the device refuses everything below it from then on.

A counter is the UTC time in milliseconds, or the last one plus one if that is greater. The time
keeps counters above those of a ledger that was lost or restored from an older copy; the last one
keeps them ascending when the clock is set back, and within one millisecond. A clock that is far
ahead is refused before a run begins (`keyrig.domain.clock_trust`).

Reservation is a writing transaction, which serialises the processes on one ledger, and is committed
before the command is sent. A crash in between leaves a gap, which is harmless. The same transaction
advances the latest recorded instant, so that the clock of the next run is compared with the newest
counter. The ledger also refuses to record another command under a used counter.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from keyrig.domain.device_facts import aware_utc
from keyrig.ledger.schema import originator_counters

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.clock_record import ClockRecord
    from keyrig.ledger.database import Database

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
_MILLISECOND: Final = timedelta(milliseconds=1)
_BURST: Final = timedelta(seconds=1)
"""How far a burst of reservations may run ahead of the clock before that is logged."""


class Counters:
    """Reserves originator counters, which never repeat and never go back."""

    def __init__(self, database: Database, clock: ClockRecord) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, originator: EntityIdentifier, now: datetime) -> int:
        """Reserve the next counter of `originator`.

        It is the greater of the UTC milliseconds and the last one plus one, and is on the
        disk when this returns, unless the caller holds a transaction of its own: then it is
        when that is committed, and nothing that uses it may leave before.

        Raises:
            LedgerError: It could not be written; no counter was reserved.

        Source: GBCS, 4.3.1.5 and 9.2 (one strictly increasing counter per organisation).
        """
        milliseconds = _milliseconds(now)
        table = originator_counters
        with self._database.transaction() as connection:
            self._clock.advance(now)
            last = connection.execute(
                select(table.c.counter).where(table.c.originator == originator).with_for_update()
            ).scalar_one_or_none()
            if last is None:
                counter = milliseconds
                statement = insert(table).values(originator=originator)
                connection.execute(statement.values(counter=counter, reserved_at=now))
            else:
                counter = max(last + 1, milliseconds)
                connection.execute(
                    update(table)
                    .where(table.c.originator == originator)
                    .values(counter=counter, reserved_at=now)
                )
        behind = (counter - milliseconds) * _MILLISECOND
        if behind > _BURST:
            # It takes 30 ms to load, which whoever only reads the ledger is spared.
            import structlog  # noqa: PLC0415 - slow to load

            structlog.get_logger(__name__).warning(
                "clock behind the last counter",
                originator=str(originator),
                behind_s=behind.total_seconds(),
            )
        return counter

    def last(self, originator: EntityIdentifier) -> int | None:
        """Return the last counter reserved for `originator`, or None."""
        table = originator_counters
        with self._database.reading() as connection:
            return connection.execute(
                select(table.c.counter).where(table.c.originator == originator)
            ).scalar_one_or_none()


def _milliseconds(now: datetime) -> int:
    return (aware_utc(now) - _EPOCH) // _MILLISECOND
