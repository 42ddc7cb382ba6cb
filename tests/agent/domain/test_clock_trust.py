from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyrig.domain.clock_trust import (
    CLOCK_FLOOR,
    LONGEST_PAUSE,
    TOLERANCE,
    ClockFault,
    ClockFinding,
    WatchedClock,
    judge_clock,
    spoken,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def fault(now: datetime, last: datetime | None) -> ClockFault | None:
    finding = judge_clock(now, last)
    return None if finding is None else finding.fault


def test_clock_that_goes_on_from_the_record_is_believed() -> None:
    assert judge_clock(NOW, None) is None
    assert judge_clock(NOW, NOW) is None
    assert judge_clock(NOW, NOW - LONGEST_PAUSE) is None
    assert judge_clock(NOW, NOW + TOLERANCE) is None


def test_each_fault_begins_where_its_limit_ends() -> None:
    assert fault(CLOCK_FLOOR - SECOND, None) is ClockFault.UNSET
    assert fault(CLOCK_FLOOR, None) is None
    assert fault(NOW, NOW + TOLERANCE + SECOND) is ClockFault.BEHIND
    assert fault(NOW, NOW - LONGEST_PAUSE - SECOND) is ClockFault.FAR_AHEAD


def test_clock_never_set_is_named_so_even_where_a_record_stands() -> None:
    assert fault(datetime(1970, 1, 1, tzinfo=UTC), NOW) is ClockFault.UNSET


@pytest.mark.parametrize(
    ("which", "refused"),
    [
        (ClockFault.UNSET, True),
        (ClockFault.FAR_AHEAD, True),
        (ClockFault.BEHIND, False),
        (ClockFault.STEPPED, False),
    ],
)
def test_only_a_clock_whose_counters_could_not_be_taken_back_is_refused(
    which: ClockFault, *, refused: bool
) -> None:
    assert which.is_refused is refused


def test_finding_says_by_how_much_and_what_to_do() -> None:
    finding = judge_clock(NOW, NOW + timedelta(days=3))
    assert finding is not None
    assert finding.by == timedelta(days=-3)
    assert finding.detail == (
        "the clock is 3 days behind the last thing on record (2026-11-27T12:00:00Z); set it"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (86_400 * 5, "5 days")],
)
def test_spans_are_spoken_in_the_largest_unit_that_tells_them(seconds: int, text: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == text


class Rig:
    """Two clocks, one of which somebody sets."""

    def __init__(self) -> None:
        self.now, self.seconds = NOW, 100.0
        self.told: list[tuple[ClockFinding, datetime]] = []
        self.watched = WatchedClock(
            lambda: self.now, lambda: self.seconds, lambda *found: self.told.append(found)
        )

    def after(self, seconds: float, *, set_by: float = 0) -> datetime:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds + set_by)
        return self.watched()


def test_step_in_either_direction_is_told_once() -> None:
    rig = Rig()
    assert rig.after(5) == NOW + 5 * SECOND
    assert rig.told == []
    rig.after(5, set_by=-3600)
    rig.after(5)
    rig.after(5, set_by=90)
    rig.after(5)
    (back, at), (forward, _) = rig.told
    assert (back.fault, back.by) == (ClockFault.STEPPED, timedelta(seconds=-3600))
    assert (forward.fault, forward.by) == (ClockFault.STEPPED, timedelta(seconds=90))
    assert at == NOW + 10 * SECOND - timedelta(hours=1)
    assert back.detail == "the clock was set back by 60 min during the run"
    assert forward.detail == "the clock was set forward by 90 s during the run"


def test_slewing_of_a_time_service_is_no_step() -> None:
    rig = Rig()
    for _ in range(100):
        rig.after(1, set_by=0.05)
    assert rig.told == []


def test_what_was_found_before_is_told_once_and_first() -> None:
    found = judge_clock(NOW, NOW + timedelta(hours=1))
    assert found is not None
    told: list[tuple[ClockFinding, datetime]] = []
    watched = WatchedClock(lambda: NOW, lambda: 0.0, lambda *each: told.append(each), found)
    assert told == [(found, NOW)]
    assert watched() == NOW
    assert told == [(found, NOW)]
