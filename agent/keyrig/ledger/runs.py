"""Runs, and their attempts at duties."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from gbcs.printable import printable
from keyrig.base.errors import LedgerRefused, SettingsError
from keyrig.domain.device_facts import Outcome
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import ExchangeOutcome
from keyrig.duties.plan import duty_id
from keyrig.ledger.schema import attempts, exchanges, run_contexts, runs

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database

LAST: Final = "last"
"""The name of the newest run that was made for duties."""
_SHOWN_RUNS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a rig; `finished_at` and `outcome` are None while it is under way."""

    id: str
    rig_name: str
    started_at: datetime
    finished_at: datetime | None
    outcome: RunResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at one duty."""

    id: int
    run_id: str
    duty_id: str
    device: EntityIdentifier
    requirement: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome | None
    detail: str
    evidence: str


class Runs:
    """Records runs and attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start_run(self, run_id: str, rig_name: str, now: datetime) -> None:
        """Record that a run begins.

        Args:
            run_id: A UUID of version 4 as 32 hexadecimal digits.
            rig_name: The rig.
            now: When it begins.

        Raises:
            LedgerRefused: There is a run of that id.
        """
        with self._database.transaction() as connection:
            connection.execute(insert(runs).values(id=run_id, rig_name=rig_name, started_at=now))

    def finish_run(self, run_id: str, outcome: RunResult, now: datetime) -> None:
        """Record how a run ended.

        Raises:
            LedgerRefused: There is no such run, or it has ended otherwise than by interruption.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(runs)
                .where(runs.c.id == run_id, _open_or_interrupted(runs, RunResult.INTERRUPTED))
                .values(finished_at=now, outcome=outcome)
            )
            if not changed.rowcount:
                raise LedgerRefused(f"run {run_id}", "it is not under way")

    def run(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            LedgerRefused: There is none of that id.
        """
        with self._database.reading() as connection:
            query = select(runs).where(runs.c.id == run_id)
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise LedgerRefused(f"run {run_id}", "there is no such run")
        return Run(**row)

    def of(self, ids: Collection[str]) -> dict[str, Run]:
        """Return the existing runs among some ids."""
        query = select(runs).where(runs.c.id.in_(list(ids)))
        with self._database.reading() as connection:
            return {row["id"]: Run(**row) for row in connection.execute(query).mappings()}

    def named(self, name: str) -> Run:
        """Return a run by its id, by the beginning of its id, or the newest by "last".

        The newest is one that was made for duties; one that only identified devices is named
        by its id.

        Raises:
            SettingsError: No run is called so, or several are.
        """
        newest = self.runs()
        if name == LAST:
            found = tuple(islice((run for run in newest if not self._only_asked(run.id)), 1))
        else:
            found = tuple(run for run in newest if name and run.id.startswith(name.lower()))
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{run.id} of {run.rig_name}" for run in (found or newest)[:_SHOWN_RUNS])
        reason = f"{len(found)} runs begin so" if found else "the ledger has no such run"
        mend = f"name one, such as {known}" if known else "run a rig first"
        raise SettingsError(f"run {printable(name, 40)}", reason, mend)

    def _only_asked(self, run_id: str) -> bool:
        """Return True if a run was made for no party's duties."""
        table = run_contexts
        query = select(table.c.parties).where(table.c.run_id == run_id)
        with self._database.reading() as connection:
            parties = connection.execute(query).scalar_one_or_none()
        return parties is not None and json.loads(parties).get("carried_out") == []

    def runs(self, rig_name: str | None = None) -> tuple[Run, ...]:
        """Return the runs, of one rig or of all, newest first."""
        query = select(runs).order_by(runs.c.started_at.desc(), runs.c.id)
        if rig_name is not None:
            query = query.where(runs.c.rig_name == rig_name)
        with self._database.reading() as connection:
            return tuple(Run(**row) for row in connection.execute(query).mappings())

    def start_attempt(
        self, run_id: str, device: EntityIdentifier, requirement: str, now: datetime
    ) -> int:
        """Record that an attempt at a duty begins; return its id."""
        with self._database.transaction() as connection:
            inserted = connection.execute(
                insert(attempts).values(
                    run_id=run_id,
                    duty_id=duty_id(device, requirement),
                    device=device,
                    requirement=requirement,
                    started_at=now,
                )
            )
            assert inserted.inserted_primary_key is not None
            return int(inserted.inserted_primary_key[0])

    def finish_attempt(
        self, attempt_id: int, outcome: Outcome, now: datetime, *, detail: str, evidence: str = ""
    ) -> None:
        """Record how an attempt ended, and nothing else.

        The outcome of a duty goes through `Ledger.finish_duty`, which records its
        consequences in the same transaction. An attempt that another process took for
        interrupted may still be finished by the one that makes it.

        Raises:
            LedgerRefused: It has ended already, or there is none.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(attempts)
                .where(
                    attempts.c.id == attempt_id,
                    _open_or_interrupted(attempts, Outcome.INTERRUPTED),
                )
                .values(finished_at=now, outcome=outcome, detail=detail, evidence=evidence)
            )
            if not changed.rowcount:
                raise LedgerRefused(f"attempt {attempt_id}", "it is not under way")

    def attempt(self, attempt_id: int) -> Attempt:
        """Return an attempt.

        Raises:
            LedgerRefused: There is none of that id.
        """
        with self._database.reading() as connection:
            query = select(attempts).where(attempts.c.id == attempt_id)
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise LedgerRefused(f"attempt {attempt_id}", "there is no such attempt")
        return Attempt(**row)

    def attempts(self, run_id: str) -> tuple[Attempt, ...]:
        """Return the attempts of a run, oldest first."""
        query = select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.id)
        with self._database.reading() as connection:
            return tuple(Attempt(**row) for row in connection.execute(query).mappings())

    def attempts_on(self, device: EntityIdentifier) -> tuple[Attempt, ...]:
        """Return the attempts at the duties of a device in all runs, oldest first."""
        query = select(attempts).where(attempts.c.device == device).order_by(attempts.c.id)
        with self._database.reading() as connection:
            return tuple(Attempt(**row) for row in connection.execute(query).mappings())

    def close_interrupted(self, rig_name: str, now: datetime) -> tuple[Attempt, ...]:
        """Close the runs and attempts of a rig that were interrupted, as by a crash.

        To be called before `start_run`, once nothing else drives that rig.

        Returns:
            The attempts that were closed; each is neither done nor failed.
        """
        of_rig = select(runs.c.id).where(runs.c.rig_name == rig_name)
        with self._database.transaction() as connection:
            left_open = attempts.c.run_id.in_(of_rig) & attempts.c.outcome.is_(None)
            ids = connection.execute(select(attempts.c.id).where(left_open)).scalars().all()
            connection.execute(
                update(attempts)
                .where(attempts.c.id.in_(ids))
                .values(finished_at=now, outcome=Outcome.INTERRUPTED, detail="the agent ended")
            )
            connection.execute(
                update(exchanges)
                .where(exchanges.c.run_id.in_(of_rig), exchanges.c.outcome.is_(None))
                .values(finished_at=now, outcome=ExchangeOutcome.INTERRUPTED)
            )
            connection.execute(
                update(runs)
                .where(runs.c.rig_name == rig_name, runs.c.outcome.is_(None))
                .values(finished_at=now, outcome=RunResult.INTERRUPTED)
            )
            return tuple(self.attempt(i) for i in ids)


def _open_or_interrupted(table: Any, interrupted: Any) -> Any:
    return table.c.outcome.is_(None) | (table.c.outcome == interrupted)
