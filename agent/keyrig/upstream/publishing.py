"""Telling one upstream: what next, what came of it, when again. It never waits by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyrig.upstream.cloud_events import cloud_event_source, outgoing
from keyrig.upstream.upstream_target import Answer, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from keyrig.ledger.ledger import Ledger
    from keyrig.upstream.cloud_events import Outgoing
    from keyrig.upstream.upstream_target import Target

BACK_OFF_FIRST_S: Final = 1.0
BACK_OFF_MAXIMUM_S: Final = 15 * 60.0
BACK_OFF_LEAST_SHARE: Final = 0.1
"""The least share of a back-off that the dice may leave of it."""
STOPPED_RETRY_S: Final = 15 * 60.0
"""How often an upstream is tried that a person must set right first."""
RETRY_AFTER_MAXIMUM_S: Final = 24 * 3600.0
"""The longest that an upstream can ask to be left alone."""
REFUSED_IN_A_ROW_MAXIMUM: Final = 10
"""So many refusals with nothing accepted between them are the upstream's fault, not the events'."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something was told, and there may be more."""

    events: int


@dataclass(frozen=True, slots=True)
class Idle:
    """There is nothing to tell, apart from what is parked."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """The upstream is not tried again before so many seconds have passed."""

    wait_s: float


Step = Told | Idle | SetBack


def back_off_s(failures: int, dice: Callable[[], float]) -> float:
    """Give how long to wait after so many failures in a row: exponential, with full jitter.

    Args:
        failures: How many, from 1.
        dice: Gives a number in [0, 1).
    """
    longest = min(BACK_OFF_MAXIMUM_S, BACK_OFF_FIRST_S * 2.0 ** min(failures - 1, 30))
    return longest * max(BACK_OFF_LEAST_SHARE, dice())


class Delivery:
    """Tells one upstream, step by step. One at a time may exist for an upstream.

    Args:
        ledger: Where the events are, and how far the upstream was told.
        name: The upstream's name; registered.
        target: The way to it.
        since: Events before it are not told.
        clock: Gives the present instant.
        monotonic: Gives seconds that never go back.
        dice: Gives a number in [0, 1), for the back-off.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        target: Target,
        *,
        since: datetime | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._target = target
        self._since = since
        self._clock = clock
        self._monotonic = monotonic
        self._dice = dice
        self._source = cloud_event_source(ledger.outbox.identity())
        self._limit = target.batch_maximum
        self._refused_in_a_row = min(
            ledger.upstreams.refused_since_told(name), REFUSED_IN_A_ROW_MAXIMUM
        )
        self._due_at: float | None = None

    def step(self, within_s: float) -> Step:
        """Tell one batch, unless it is too early; what came of it is in the ledger.

        Args:
            within_s: How long telling it may take at most.
        """
        upstreams = self._ledger.upstreams
        wait_s = self._wait_s()
        if wait_s > 0:
            return SetBack(wait_s)
        batch = upstreams.batch(self._name, self._limit, self._since)
        if not batch.events:
            return Idle()
        answer = self._tell([outgoing(event, self._source) for event in batch.events], within_s)
        now = self._clock()
        with self._ledger.transaction():
            upstreams.settle(
                self._name,
                batch,
                accepted=answer.accepted,
                refused=answer.refused,
                now=now,
                since=self._since,
            )
            if answer.trouble is not None:
                return SetBack(self._set_back(answer, now))
        self._due_at = None
        return Told(len(answer.accepted))

    def _wait_s(self) -> float:
        """Give how long to leave the upstream alone.

        The clock may be set at any time: what another process noted holds by the clock, within
        the bounds of a wait; what this one noted, also by the seconds that have passed.
        """
        upstream = self._ledger.upstreams.get(self._name)
        if upstream.retry_at is None:
            return 0.0
        left = (upstream.retry_at - self._clock()).total_seconds()
        longest = RETRY_AFTER_MAXIMUM_S if upstream.retry_asked else BACK_OFF_MAXIMUM_S
        if left > longest:
            left = 0.0 if self._due_at is None else longest
        if self._due_at is not None:
            left = min(left, self._due_at - self._monotonic())
        return max(0.0, left)

    def _set_back(self, answer: Answer, now: datetime) -> float:
        upstreams = self._ledger.upstreams
        failures = upstreams.get(self._name).failures + 1
        stopped = answer.trouble is Trouble.STOPPED
        wait_s = STOPPED_RETRY_S if stopped else back_off_s(failures, self._dice)
        asked_s = min(answer.retry_after_s or 0.0, RETRY_AFTER_MAXIMUM_S)
        upstreams.set_back(
            self._name,
            answer.reason,
            retry_at=now + timedelta(seconds=max(wait_s, asked_s)),
            asked=asked_s > wait_s,
            stopped=stopped,
            now=now,
        )
        wait_s = max(wait_s, asked_s)
        self._due_at = self._monotonic() + wait_s
        return wait_s

    def _tell(self, events: Sequence[Outgoing], within_s: float) -> Answer:
        """Tell events, in smaller and smaller parts where they are not taken together.

        So the event at fault is found, and it alone is refused.
        """
        deadline = self._monotonic() + within_s
        accepted: set[int] = set()
        refused: dict[int, str] = {}
        behind: set[EntityIdentifier] = set()
        parts = [list(events)]
        trouble = Answer()
        while parts and trouble.trouble is None and (not accepted or self._left_s(deadline) > 0):
            part = [each for each in parts.pop() if each.event.device not in behind]
            if not part:
                continue
            answer = self._target.deliver(part, self._left_s(deadline))
            accepted |= answer.accepted
            found = dict(answer.refused)
            if answer.trouble in {Trouble.REFUSED_WHOLE, Trouble.TOO_LARGE}:
                middle = len(part) // 2
                if answer.trouble is Trouble.TOO_LARGE:
                    self._limit = max(1, min(self._limit, middle))
                if middle:
                    parts += [part[middle:], part[:middle]]
                    continue
                found[part[0].event.number] = answer.reason
            elif answer.trouble is not None:
                trouble = answer
            if answer.accepted:
                self._refused_in_a_row = 0
            else:
                trouble = self._within_bounds(found) or trouble
            refused |= found
            behind |= {each.event.device for each in part if each.event.number in found}
        return replace(trouble, accepted=frozenset(accepted), refused=refused)

    def _within_bounds(self, found: dict[int, str]) -> Answer | None:
        """Leave away of refusals with nothing accepted what is too many in a row.

        What is left away waits, and is tried again when somebody has mended the upstream.
        """
        room = REFUSED_IN_A_ROW_MAXIMUM - self._refused_in_a_row
        beyond = sorted(found)[room:]
        self._refused_in_a_row += len(found) - len(beyond)
        reasons = [found.pop(number) for number in beyond]
        if not reasons:
            return None
        reason = f"it refuses event after event; the last: {reasons[0]}"
        return Answer(trouble=Trouble.STOPPED, reason=reason)

    def _left_s(self, deadline: float) -> float:
        return max(0.0, deadline - self._monotonic())
