"""The schedule of the runs that the server begins by itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from gbcs.protocol_errors import KeyrigError
from keyrig.api.operations import SCHEDULE, Operations, RunOrder
from keyrig.base.error_kinds import kind_of
from keyrig.duties.plan import DutyState
from keyrig.run.outlook import outlook_of

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.api.served_rigs import Rigs, ServedRig

LONGEST_WAIT_S: Final = 3600.0
"""The longest interval that doubling after unfinished runs gives, unless `every_s` is longer."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Turn:
    next_at: float = 0.0
    misses: int = 0


class Schedule:
    """Decides when a scheduled run of a rig is due.

    Each rig has a run every `every_s`. After a run that did not end as done the interval doubles,
    each time again: a device that is not there does not answer sooner for being asked more often.

    Args:
        every_s: How often, in seconds; None for never.
    """

    def __init__(self, every_s: float | None) -> None:
        self._every_s = every_s
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def has_turn(self, rig_name: str, now_s: float) -> bool:
        """Return True if a rig's run is due, and count it as begun."""
        if self._every_s is None:
            return False
        with self._lock:
            turn = self._turns.setdefault(rig_name, _Turn())
            if now_s < turn.next_at:
                return False
            turn.next_at = now_s + self._wait_s(turn)
            return True

    def ended(self, rig_name: str, result: str, now_s: float) -> None:
        """Record how a run on a rig ended, whoever asked for it."""
        if self._every_s is None:
            return
        with self._lock:
            turn = self._turns.setdefault(rig_name, _Turn())
            turn.misses = 0 if result == "done" else turn.misses + 1
            turn.next_at = now_s + self._wait_s(turn)

    def tick(self, rigs: Rigs, operations: Operations, *, now: datetime, now_s: float) -> None:
        """Begin a run on every rig whose interval has passed and on which a duty is due.

        Args:
            rigs: The rigs.
            operations: Begins the runs.
            now: The present instant.
            now_s: Seconds that never go back.
        """
        for served in rigs.all():
            if not self.has_turn(served.name, now_s):
                continue
            try:
                _begin_due(served, operations, now)
            except KeyrigError as error:
                tell = getattr(_log, kind_of(error).level)
                tell("the schedule passes a rig over", rig=served.name, reason=str(error))

    def _wait_s(self, turn: _Turn) -> float:
        assert self._every_s is not None
        longest = max(LONGEST_WAIT_S, self._every_s)
        return float(min(self._every_s * 2.0 ** min(turn.misses, 20), longest))


def _begin_due(served: ServedRig, operations: Operations, now: datetime) -> None:
    if operations.on_rig(served.name) is not None:
        return
    rig = served.usable()
    plan = outlook_of(served.places(), now=now).plan
    awaited = {DutyState.SCHEDULED}
    if rig.certified_by is not None and rig.certified_by.by != "by-hand":
        # A run asks an authority again that has not answered yet; by hand, a person imports.
        awaited.add(DutyState.WAITING)
    if plan.to_do() or any(duty.state in awaited for duty in plan.duties):
        operations.start(RunOrder(rig=rig), SCHEDULE)
