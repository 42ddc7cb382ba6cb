"""Where the agent meets time; everything else has it passed in."""

from __future__ import annotations

import time  # noqa: TID251 - the one place where the agent reads a clock
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Give the present instant, aware and in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Give seconds that never go back, from an arbitrary start."""
    return time.monotonic()


def elapsed() -> float:
    """Give seconds that never go back and go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def pause(seconds: float) -> None:
    """Let `seconds` pass."""
    time.sleep(seconds)
