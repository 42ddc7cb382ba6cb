"""How an instant leaves the agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from keyrig.base.clock import instant_text

NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (NINE, "2026-11-20T09:00:00.000Z"),
        (NINE.replace(microsecond=250_999), "2026-11-20T09:00:00.250Z"),
        (NINE.astimezone(timezone(timedelta(hours=1))), "2026-11-20T09:00:00.000Z"),
        (NINE.astimezone(timezone(timedelta(hours=-10))), "2026-11-20T09:00:00.000Z"),
    ],
)
def test_instant_is_in_utc_with_milliseconds_whatever_its_time_zone(
    at: datetime, text: str
) -> None:
    assert instant_text(at) == text
    assert datetime.fromisoformat(text).utcoffset() == timedelta(0)


def test_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        instant_text(NINE.replace(tzinfo=None))
