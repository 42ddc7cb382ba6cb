"""A run that somebody stops: wherever that is, the next run completes what is left."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from campaigns.invariants import broken_after_interruption, broken_after_recovery
from gbcs.entity_identifier import EntityIdentifier
from homes.virtual_home import NEXT_RUN_AT, RUN_AT, Home, carry_out
from homes.virtual_lines import WireLog
from keyrig.base import events
from keyrig.domain.run_results import RunResult

if TYPE_CHECKING:
    from pathlib import Path

METER = EntityIdentifier.parse("00db1234567890a0")
LEFT_OPEN = "SELECT count(*) FROM {} WHERE outcome IS NULL"


class StopAt:
    """Asks a run to stop at its n-th question whether it should; never for 0."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.asked = 0

    def __call__(self) -> str | None:
        self.asked += 1
        return "a test" if self.asked == self._number else None


def run_of(home: Home, stop: StopAt, told: Observed, *, number: int = 0) -> RunResult:
    start = NEXT_RUN_AT if number else RUN_AT
    return carry_out(
        home,
        number=number,
        start=start,
        only=[METER],
        observe=told,
        should_stop=stop,
    )


def left_open(home: Home) -> dict[str, int]:
    with sqlite3.connect(home.ledger) as ledger:
        found = {
            table: ledger.execute(LEFT_OPEN.format(table)).fetchone()[0]
            for table in ("runs", "attempts", "exchanges")
        }
    ledger.close()
    return found


@pytest.mark.sweep
def test_run_that_is_stopped_anywhere_is_closed_and_completed_by_the_next(
    factory: Home, quick: Path
) -> None:
    home = Home.below(quick / "stopped")
    factory.copy(home)
    whole = StopAt(0)
    assert run_of(home, whole, Observed()) is RunResult.DONE
    home.remove()
    assert whole.asked > 20
    stopped_in_key_change = 0
    for number in range(1, whole.asked + 1):
        factory.copy(home)
        told = Observed()
        assert run_of(home, StopAt(number), told) is RunResult.INTERRUPTED
        stopped, finished = told.all[-2:]
        assert isinstance(stopped, events.RunStopped)
        assert isinstance(finished, events.RunFinished)
        assert finished.result == "interrupted"
        assert left_open(home) == {"runs": 0, "attempts": 0, "exchanges": 0}, number
        assert broken_after_interruption(home, WireLog(home.log, 0).read()) == [], number
        with sqlite3.connect(home.ledger) as ledger:
            query = "SELECT count(*) FROM key_changes WHERE NOT ended"
            stopped_in_key_change += ledger.execute(query).fetchone()[0]
        ledger.close()
        assert run_of(home, StopAt(0), Observed(), number=1) is RunResult.DONE, number
        passed = WireLog(home.log, 0).read()
        assert broken_after_recovery(home, passed, frozenset({METER.stem})) == [], number
        home.remove()
    assert stopped_in_key_change >= 4
