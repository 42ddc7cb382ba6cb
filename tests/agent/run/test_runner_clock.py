from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from keyrig.base import events
from keyrig.base.errors import ClockWrong
from keyrig.config.rig_file import load_rig
from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.run_results import RunResult
from keyrig.ledger.ledger import Ledger
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled

if TYPE_CHECKING:
    from pathlib import Path

HCALCS = EntityIdentifier.parse("00-DB-12-34-56-78-90-A4")
PPMID = EntityIdentifier.parse("00-DB-12-34-56-78-90-A5")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """A clock that a test sets; it advances by a millisecond at each reading."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


def carry_out(
    clock: Clock,
    device: EntityIdentifier,
    *,
    accept: bool = False,
    set_by: timedelta = timedelta(0),
) -> tuple[RunResult, str, list[events.Clock]]:
    told = Observed()

    def observe(event: events.Event) -> None:
        told(event)
        if isinstance(event, events.DutyStarted):
            clock.now += set_by

    run_id = uuid.uuid4().hex
    with assembled(load_rig(None), clock=clock, only=[device], observe=observe) as ready:
        result = run(ready.bench, ready.devices, run_id=run_id, accept_clock=accept)
    return result, run_id, told.of(events.Clock)


def counters(home: Path) -> list[tuple[EntityIdentifier, int]]:
    """Give originator and counter of every command, in the order of sending."""
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        sent = [
            exchange
            for record in ledger.runs.runs()
            for exchange in ledger.exchanges.of_run(record.id)
        ]
    sent.sort(key=lambda exchange: exchange.id)
    return [(exchange.originator, exchange.counter) for exchange in sent]


def assert_counters_only_grow(home: Path) -> None:
    last: dict[EntityIdentifier, int] = {}
    sent = counters(home)
    assert sent
    for originator, counter in sent:
        assert counter > last.get(originator, 0)
        last[originator] = counter


def test_clock_set_back_between_runs_is_told_and_repeats_no_counter(home: Path) -> None:
    clock = Clock()
    result, _, told = carry_out(clock, HCALCS)
    assert (result, told) == (RunResult.DONE, [])
    clock.now -= timedelta(hours=3)
    result, run_id, told = carry_out(clock, PPMID)
    assert [event.fault for event in told] == ["behind"]
    assert told[0].detail.startswith("the clock is 3 h behind the last thing on record")
    assert_counters_only_grow(home)
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        ((_, finding),) = ledger.clock.findings(run_id)
    assert finding.fault is ClockFault.BEHIND


def test_clock_set_back_during_a_run_is_told_and_repeats_no_counter(home: Path) -> None:
    clock = Clock()
    carry_out(Clock(), HCALCS)
    _, run_id, told = carry_out(clock, PPMID, set_by=-DAY)
    assert [event.fault for event in told] == ["stepped"]
    assert_counters_only_grow(home)
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        assert len(ledger.clock.findings(run_id)) == 1


@pytest.mark.parametrize("now", [datetime(1970, 1, 1, tzinfo=UTC), NOON + 1000 * DAY])
def test_clock_by_which_nothing_may_be_sent_stops_the_run_before_it_begins(
    home: Path, now: datetime
) -> None:
    clock = Clock()
    carry_out(clock, HCALCS)
    before = counters(home)
    clock.now = now
    with pytest.raises(ClockWrong, match="set it"):
        carry_out(clock, PPMID)
    assert counters(home) == before
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        assert len(ledger.runs.runs()) == 1


def test_clock_far_ahead_is_used_on_a_persons_word_and_never_one_that_was_not_set(
    home: Path,
) -> None:
    clock = Clock()
    carry_out(clock, HCALCS)
    clock.now = NOON + 500 * DAY
    carry_out(clock, PPMID, accept=True)
    _, _, told = carry_out(clock, PPMID)
    assert told == []
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        latest = ledger.clock.latest()
    assert latest is not None
    assert latest > NOON + 500 * DAY
    clock.now = datetime(1999, 1, 1, tzinfo=UTC)
    with pytest.raises(ClockWrong, match="before keyrig was made"):
        carry_out(clock, PPMID, accept=True)
