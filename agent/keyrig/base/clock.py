"""The clocks of the system; everything else has the time passed in."""

from __future__ import annotations

import time  # noqa: TID251 - the one place where the agent reads a clock
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present instant, aware and in UTC."""
    return datetime.now(UTC)


def instant_text(at: datetime) -> str:
    """Return an instant as every document and event has it, such as "2026-11-20T09:00:00.000Z".

    RFC 3339 in UTC, always with milliseconds; finer parts are cut off.

    Raises:
        ValueError: The instant has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"an instant must have a time zone, not {at.isoformat()}")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def second_text(at: datetime) -> str:
    """Return an instant in UTC as sentences for people have it: "2026-11-20T09:00:00Z"."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def monotonic() -> float:
    """Return monotonic seconds, from an arbitrary start."""
    return time.monotonic()


def elapsed() -> float:
    """Return monotonic seconds that go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def pause(seconds: float) -> None:
    """Sleep for `seconds`."""
    time.sleep(seconds)
