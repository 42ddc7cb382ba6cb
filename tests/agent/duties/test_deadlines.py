from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from keyrig.duties.deadlines import deadline
from keyrig.duties.rules import DateOnly, DayCounting, Readings, built_in_rules

INSTANT = datetime(2026, 11, 20, 9, 0, 0, 1, UTC)
LAST_MICROSECOND = timedelta(microseconds=1)


def reading(*, days: DayCounting, date_only: DateOnly = DateOnly.END_OF_NTH_DAY) -> Readings:
    built_in = built_in_rules().readings
    return built_in.model_copy(
        update={
            "day_counting": built_in.day_counting.model_copy(update={"choice": days}),
            "date_only": built_in.date_only.model_copy(update={"choice": date_only}),
        }
    )


@pytest.mark.parametrize(
    ("commissioned_at", "days", "readings", "expected"),
    [
        (INSTANT, 7, reading(days=DayCounting.ELAPSED), datetime(2026, 11, 27, 9, 0, 0, 1, UTC)),
        (INSTANT, 14, reading(days=DayCounting.ELAPSED), datetime(2026, 12, 4, 9, 0, 0, 1, UTC)),
        (
            INSTANT,
            7,
            reading(days=DayCounting.CALENDAR),
            datetime(2026, 11, 28, tzinfo=UTC) - LAST_MICROSECOND,
        ),
        (
            date(2026, 11, 20),
            7,
            reading(days=DayCounting.ELAPSED),
            datetime(2026, 11, 28, tzinfo=UTC) - LAST_MICROSECOND,
        ),
        (
            date(2026, 11, 20),
            7,
            reading(days=DayCounting.ELAPSED, date_only=DateOnly.START_OF_COMMISSIONING_DAY),
            datetime(2026, 11, 27, tzinfo=UTC),
        ),
        (
            date(2028, 2, 25),
            7,
            reading(days=DayCounting.ELAPSED),
            datetime(2028, 3, 4, tzinfo=UTC) - LAST_MICROSECOND,
        ),
    ],
    ids=["7-days", "14-days", "calendar", "date-only", "date-only-strict", "leap-day"],
)
def test_deadline_is_the_last_instant_in_time(
    commissioned_at: datetime | date, days: int, readings: Readings, expected: datetime
) -> None:
    assert deadline(commissioned_at, days, readings) == expected


def test_default_readings_are_24_hours_and_the_end_of_the_day() -> None:
    readings = built_in_rules().readings
    assert deadline(INSTANT, 7, readings) - INSTANT == timedelta(hours=168)
    assert deadline(date(2026, 11, 20), 7, readings).date() == date(2026, 11, 27)
