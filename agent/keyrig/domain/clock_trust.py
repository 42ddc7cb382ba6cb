"""Plausibility of the rig's clock: against the last recorded instant and a monotonic clock.

Deadlines, counters and evidence all take their time from it. A clock that was never set, or that
has run far ahead, is refused before anything is sent, since a counter taken from it cannot be
taken back; one that is merely behind is used, and said.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from keyrig.base.clock import second_text
from keyrig.base.events import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

CLOCK_FLOOR: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""An earlier clock has not been set: keyrig is younger."""
TOLERANCE: Final = timedelta(seconds=2)
"""How far a clock may be off without a finding; time services slew by less."""
LONGEST_PAUSE: Final = timedelta(days=400)
"""A clock further ahead of the record than this needs a person's confirmation."""


class ClockFault(enum.Enum):
    """What is wrong with a clock."""

    UNSET = "unset"
    BEHIND = "behind"
    """It shows less than what an earlier run wrote down."""
    FAR_AHEAD = "far-ahead"
    STEPPED = "stepped"
    """It was set while a run went on."""

    @property
    def is_refused(self) -> bool:
        """True if nothing may be sent by such a clock."""
        return self in {ClockFault.UNSET, ClockFault.FAR_AHEAD}


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """A fault of the clock: by how much (forward is positive), and what to do about it."""

    fault: ClockFault
    by: timedelta
    reason: str
    mend: str = ""

    @property
    def detail(self) -> str:
        """What is wrong and what to do, in one line."""
        return f"{self.reason}; {self.mend}" if self.mend else self.reason

    def event(self) -> Clock:
        """Return the event that reports it."""
        return Clock(fault=self.fault.value, by_s=self.by.total_seconds(), detail=self.detail)


def judge_clock(now: datetime, last_recorded: datetime | None) -> ClockFinding | None:
    """Compare the clock with the last instant on record; None where nothing is wrong.

    Args:
        now: What the clock shows.
        last_recorded: The greatest instant that any run wrote down, or None before the first.
    """
    if now < CLOCK_FLOOR:
        return ClockFinding(
            ClockFault.UNSET,
            now - CLOCK_FLOOR,
            f"the clock shows {second_text(now)}, before keyrig was made",
            "set it",
        )
    if last_recorded is None:
        return None
    by = now - last_recorded
    if by < -TOLERANCE:
        return ClockFinding(
            ClockFault.BEHIND,
            by,
            f"the clock is {spoken(-by)} behind the last thing on record "
            f"({second_text(last_recorded)})",
            "set it",
        )
    if by > LONGEST_PAUSE:
        return ClockFinding(
            ClockFault.FAR_AHEAD,
            by,
            f"the clock is {spoken(by)} ahead of the last thing on record "
            f"({second_text(last_recorded)})",
            "set it, or run with --accept-clock if the rig was idle so long",
        )
    return None


def spoken(span: timedelta) -> str:
    """Return a span in the largest suitable unit, such as "3 days" or "12 s"."""
    seconds = span.total_seconds()
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class WatchedClock:
    """A clock that is compared at each reading with one that cannot be set.

    Args:
        now: Returns the present instant.
        monotonic: Returns monotonic seconds.
        told: Called once for each step that is found, with the instant after it.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        told: Callable[[ClockFinding, datetime], None],
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._told = told
        self._last = (now(), monotonic())

    def __call__(self) -> datetime:
        """Return the present instant, after reporting a step since the last reading."""
        instant, seconds = self._now(), self._monotonic()
        last_instant, last_seconds = self._last
        self._last = (instant, seconds)
        by = instant - last_instant - timedelta(seconds=seconds - last_seconds)
        if abs(by) > TOLERANCE:
            direction = "forward" if by > timedelta(0) else "back"
            self._told(
                ClockFinding(
                    ClockFault.STEPPED,
                    by,
                    f"the clock was set {direction} by {spoken(abs(by))} during the run",
                ),
                instant,
            )
        return instant
