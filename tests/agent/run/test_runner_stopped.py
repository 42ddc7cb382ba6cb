"""A run that somebody stops: wherever that is, the next run completes what is left."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from campaigns.homes import NEXT_RUN_AT, RUN_AT, Home, carry_out
from campaigns.interruptions import quick_directory
from campaigns.invariants import broken_after_interruption, broken_after_recovery
from campaigns.lines import WireLog
from campaigns.points import Trip
from gbcs.entity import EntityIdentifier
from keyrig.base import events
from keyrig.run.bench import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture(name="directory", scope="module")
def fixture_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="keyrig-stopped-", dir=quick_directory()))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(name="made", scope="module")
def fixture_made(directory: Path) -> Home:
    home = Home(directory / "made", directory / "made-disk")
    home.make(prepared=True)
    return home


def run_of(home: Home, stop: StopAt, told: Observed, *, number: int = 0) -> RunResult:
    start = NEXT_RUN_AT if number else RUN_AT
    return carry_out(
        home,
        Trip(home.agent),
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


def test_run_that_is_stopped_anywhere_is_closed_and_completed_by_the_next(
    made: Home, directory: Path
) -> None:
    home = Home(directory / "home", directory / "disk")
    made.copy(home)
    whole = StopAt(0)
    assert run_of(home, whole, Observed()) is RunResult.DONE
    home.remove()
    assert whole.asked > 20
    stopped_in_key_change = 0
    for number in range(1, whole.asked + 1):
        made.copy(home)
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
