from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gbcs.entity_identifier import EntityIdentifier
from keyrig.ledger.ledger import Ledger
from patience import HANG_S

WRITER = Path(__file__).with_name("writer.py")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOON_MS = 1_795_176_000_000
BROKER = EntityIdentifier.parse("90b3d51f30000002")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")


def test_counter_starts_from_the_utc_milliseconds_and_never_repeats(ledger: Ledger) -> None:
    reserve = ledger.counters.reserve
    assert reserve(BROKER, NOON) == NOON_MS
    assert reserve(BROKER, NOON) == NOON_MS + 1
    assert reserve(BROKER, NOON + timedelta(microseconds=999)) == NOON_MS + 2
    assert reserve(BROKER, NOON + timedelta(seconds=1)) == NOON_MS + 1000
    assert reserve(BROKER, NOON - timedelta(days=1)) == NOON_MS + 1001


def test_each_originator_has_its_own_counter(ledger: Ledger) -> None:
    assert ledger.counters.reserve(BROKER, NOON + timedelta(days=1)) == NOON_MS + 86_400_000
    assert ledger.counters.reserve(SUPPLIER, NOON) == NOON_MS


def test_counter_goes_on_after_the_ledger_is_opened_again(path: Path) -> None:
    for expected in (NOON_MS, NOON_MS + 1):
        with Ledger(path) as ledger:
            assert ledger.counters.reserve(BROKER, NOON) == expected


def test_clock_behind_the_last_counter_is_logged(ledger: Ledger) -> None:
    counters = ledger.counters
    counters.reserve(BROKER, NOON)
    with capture_logs() as quiet:
        counters.reserve(BROKER, NOON)
    assert not quiet
    earlier = NOON - timedelta(hours=1)
    with capture_logs() as told:
        counters.reserve(BROKER, earlier)
    assert [(entry["log_level"], entry["event"]) for entry in told] == [
        ("warning", "clock behind the last counter")
    ]


def test_clock_that_is_not_utc_reserves_nothing(ledger: Ledger) -> None:
    for wrong in (NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=1)))):
        with pytest.raises(ValueError, match="UTC"):
            ledger.counters.reserve(BROKER, wrong)
    assert ledger.counters.last(BROKER) is None


def test_counter_reserved_in_a_transaction_that_fails_is_free_again(ledger: Ledger) -> None:
    with contextlib.suppress(ZeroDivisionError), ledger.transaction():
        ledger.counters.reserve(BROKER, NOON)
        _ = 1 // 0
    assert ledger.counters.last(BROKER) is None
    assert ledger.counters.reserve(BROKER, NOON) == NOON_MS


def test_two_processes_on_one_file_never_share_a_counter(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, str(WRITER), "reserve", str(path), "150"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=HANG_S)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    reserved = [[int(word) for word in words if word != "finished"] for words in printed]
    assert all(counters == sorted(counters) for counters in reserved)
    assert sorted(reserved[0] + reserved[1]) == list(range(NOON_MS, NOON_MS + 300))


def test_counter_that_a_killed_process_reserved_is_not_given_again(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(WRITER), "reserve", str(path), "1000000"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        given_out = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        given_out += [int(line) for line in process.stdout if line.endswith("\n")]
    with Ledger(path) as ledger:
        assert ledger.counters.reserve(BROKER, NOON) > max(given_out)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(steps=st.lists(st.integers(-100_000, 100_000), max_size=12))
def test_counters_strictly_increase_whatever_the_clock_does(
    ledger: Ledger, steps: list[int]
) -> None:
    last = ledger.counters.last(SUPPLIER) or 0
    for step in steps:
        counter = ledger.counters.reserve(SUPPLIER, NOON + timedelta(milliseconds=step))
        assert counter > last
        last = counter
