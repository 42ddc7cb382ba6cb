"""Deadlines of duties."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from keyrig.duties.rules import DateOnly, DayCounting

if TYPE_CHECKING:
    from keyrig.duties.rules import Readings, Requirement, Rules


def deadline(commissioned_at: datetime | date, days: int, readings: Readings) -> datetime:
    """Compute the last instant at which a duty of `days` days is in time.

    Args:
        commissioned_at: The instant of Commissioning in UTC, or its date.
        days: The days that the requirement gives.
        readings: How days are counted.

    Returns:
        An instant in UTC that is itself still in time; the last microsecond of the day
        where the end of a day is meant.

    Source: SEC H5.33, H5.37 and H5.40, consultation draft; counting by reading A5.
    """
    if isinstance(commissioned_at, datetime):
        if readings.day_counting.choice is DayCounting.ELAPSED:
            return commissioned_at + timedelta(days=days)
        return _end_of(commissioned_at.date() + timedelta(days=days))
    if readings.date_only.choice is DateOnly.END_OF_NTH_DAY:
        return _end_of(commissioned_at + timedelta(days=days))
    return datetime.combine(commissioned_at, time.min, UTC) + timedelta(days=days)


def duty_deadline(
    rules: Rules, requirement: Requirement, commissioned_at: datetime | date | None
) -> datetime | None:
    """Return the last instant at which a duty is in time, as `deadline` counts it.

    None before Commissioning, and where the days never begin to run by the rules' readings.
    """
    days = rules.days(requirement)
    if commissioned_at is None or days is None:
        return None
    return deadline(commissioned_at, days, rules.readings)


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)
