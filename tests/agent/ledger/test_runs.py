from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import Outcome
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import ExchangeOutcome

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
METER = EntityIdentifier.parse("00db1234567890a0")
ONE, TWO = "1" * 32, "2" * 32


def test_run_and_attempt_are_kept_with_how_they_ended(ledger: Ledger) -> None:
    ledger.runs.start_run(ONE, "bench", NOON)
    attempt_id = ledger.runs.start_attempt(ONE, METER, "R37a", NOON)
    standing = ledger.runs.attempt(attempt_id)
    assert (standing.duty_id, standing.outcome) == ("00db1234567890a0/R37a", None)
    ledger.runs.finish_attempt(attempt_id, Outcome.DONE, LATER, detail="", evidence="exchange 1")
    ledger.runs.finish_run(ONE, RunResult.DONE, LATER)
    (attempt,) = ledger.runs.attempts(ONE)
    assert (attempt.outcome, attempt.finished_at, attempt.evidence) == (
        Outcome.DONE,
        LATER,
        "exchange 1",
    )
    run = ledger.runs.run(ONE)
    assert (run.rig_name, run.started_at, run.finished_at, run.outcome) == (
        "bench",
        NOON,
        LATER,
        RunResult.DONE,
    )


def test_nothing_is_finished_twice_or_out_of_nothing(ledger: Ledger) -> None:
    ledger.runs.start_run(ONE, "bench", NOON)
    attempt_id = ledger.runs.start_attempt(ONE, METER, "R37a", NOON)
    ledger.runs.finish_attempt(attempt_id, Outcome.FAILED, NOON, detail="")
    ledger.runs.finish_run(ONE, RunResult.FAILED, NOON)
    with pytest.raises(LedgerRefused, match="not under way"):
        ledger.runs.finish_attempt(attempt_id, Outcome.DONE, LATER, detail="")
    with pytest.raises(LedgerRefused, match="not under way"):
        ledger.runs.finish_run(ONE, RunResult.DONE, LATER)
    with pytest.raises(LedgerRefused, match="attempt 99: there is no such attempt"):
        ledger.runs.attempt(99)
    with pytest.raises(LedgerRefused, match="there is no such run"):
        ledger.runs.run(TWO)
    with pytest.raises(LedgerRefused):
        ledger.runs.start_run(ONE, "bench", LATER)
    with pytest.raises(LedgerRefused):
        ledger.runs.start_attempt(TWO, METER, "R37a", NOON)
    assert ledger.runs.attempt(attempt_id).outcome is Outcome.FAILED


def test_what_a_crash_left_open_is_closed_as_interrupted_on_its_own_rig_only(
    ledger: Ledger,
) -> None:
    ledger.runs.start_run(ONE, "bench", NOON)
    ledger.runs.start_run(TWO, "other bench", NOON)
    left_open = ledger.runs.start_attempt(ONE, METER, "R37c", NOON)
    elsewhere = ledger.runs.start_attempt(TWO, METER, "R37c", NOON)
    exchange = ledger.exchanges.record_command(
        b"command",
        run_id=ONE,
        attempt_id=left_open,
        device=METER,
        originator=METER,
        counter=1,
        message_code=0x000A,
        now=NOON,
    )
    closed = ledger.runs.close_interrupted("bench", LATER)
    assert [(a.id, a.outcome, a.finished_at) for a in closed] == [
        (left_open, Outcome.INTERRUPTED, LATER)
    ]
    assert ledger.runs.run(ONE).outcome is RunResult.INTERRUPTED
    (seen,) = ledger.exchanges.of_attempt(left_open)
    assert (seen.id, seen.outcome) == (exchange, ExchangeOutcome.INTERRUPTED)
    assert ledger.runs.attempt(elsewhere).outcome is None
    assert ledger.runs.run(TWO).outcome is None
    assert ledger.runs.close_interrupted("bench", LATER) == ()


def test_attempt_taken_for_interrupted_is_still_finished_by_who_makes_it(ledger: Ledger) -> None:
    ledger.runs.start_run(ONE, "bench", NOON)
    attempt_id = ledger.runs.start_attempt(ONE, METER, "R37c", NOON)
    ledger.runs.close_interrupted("bench", NOON)
    ledger.runs.finish_attempt(attempt_id, Outcome.DONE, LATER, detail="", evidence="x")
    ledger.runs.finish_run(ONE, RunResult.DONE, LATER)
    assert ledger.runs.attempt(attempt_id).outcome is Outcome.DONE


def test_runs_are_listed_newest_first_by_rig(ledger: Ledger) -> None:
    ledger.runs.start_run(ONE, "bench", NOON)
    ledger.runs.start_run(TWO, "other bench", LATER)
    assert [run.id for run in ledger.runs.runs()] == [TWO, ONE]
    assert [run.id for run in ledger.runs.runs("bench")] == [ONE]
