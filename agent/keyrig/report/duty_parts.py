"""The duties of a device in a report: their states as the run ended, and now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyrig.documents.document_model import NotBegunPart
from keyrig.documents.report_document import (
    AttemptPart,
    CountsPart,
    DutyPart,
    StandingPart,
)
from keyrig.duties.plan import DutyState, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.duties.plan import Duty
    from keyrig.duties.rules import Actor, Rules
    from keyrig.ledger.run_record import DeviceHistory, RunRecord
    from keyrig.ledger.runs import Attempt

_TO_DO = frozenset({DutyState.DUE, DutyState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What the duties of a device are judged by.

    Args:
        rules: The rule set.
        parties: The parties whose duties are carried out.
        then: The facts of the device as the run ended.
        now: The facts of the device as the report is made.
        ended_at: When the run ended, or the present instant while it is under way.
        made_at: When the report is made.
    """

    rules: Rules
    parties: Collection[Actor]
    then: DeviceFacts
    now: DeviceFacts
    ended_at: datetime
    made_at: datetime


def duty_parts(record: RunRecord, device: DeviceHistory, judging: Judging) -> tuple[DutyPart, ...]:
    """Return the duties of a device, planned as before the run, after the run, and now."""
    run = record.run

    def planned(
        facts: DeviceFacts, at: datetime, counts: Callable[[Attempt], bool]
    ) -> dict[str, Duty]:
        tried = device.ledger_facts(at, counts)
        made = plan(judging.rules, [facts], tried, at, judging.parties)
        return {duty.requirement: duty for duty in made.duties}

    def ours(attempt: Attempt) -> bool:
        return attempt.run_id == run.id

    before = planned(
        judging.then,
        run.started_at,
        lambda each: not ours(each) and each.started_at < run.started_at,
    )
    then = planned(
        judging.then,
        judging.ended_at,
        lambda each: ours(each) or each.started_at <= judging.ended_at,
    )
    now = planned(judging.now, judging.made_at, lambda _: True)
    messages: dict[int, list[int]] = defaultdict(list)
    for exchange in record.exchanges:
        if exchange.attempt_id is not None:
            messages[exchange.attempt_id].append(exchange.id)
    held_back = {each.requirement: each.why for each in device.held_back if each.run_id == run.id}
    parts = []
    for requirement, duty in then.items():
        tried = [
            attempt
            for attempt in device.attempts
            if attempt.requirement == requirement and (ours(attempt) or _counts(attempt, judging))
        ]
        was = before.get(requirement)
        parts.append(
            DutyPart(
                id=duty.id,
                requirement=requirement,
                clause=duty.clause,
                text=judging.rules.requirement_by_id(requirement).text,
                actor=duty.actor,
                step=duty.step,
                deadline=duty.deadline,
                was_due=(was is not None and was.state in _TO_DO) or any(map(ours, tried)),
                standing=_standing(duty, judging.ended_at),
                standing_now=_standing(now.get(requirement, duty), judging.made_at),
                attempts=tuple(
                    _attempt(each, tuple(messages[each.id]), in_this_run=ours(each))
                    for each in tried
                ),
                not_begun=NotBegunPart.if_any(held_back.get(requirement)),
            )
        )
    return tuple(parts)


def counts_of(duties: Iterable[DutyPart]) -> CountsPart:
    """Return the number of duties in each state as the run ended."""
    counted = list(duties)
    due = [duty for duty in counted if duty.was_due]
    done = sum(duty.standing.state is DutyState.DONE for duty in due)
    failed = sum(duty.standing.state is DutyState.FAILED for duty in due)
    return CountsPart(
        due=len(due),
        done=done,
        failed=failed,
        left=len(due) - done - failed,
        overdue=sum(duty.standing.overdue for duty in counted),
        not_due=len(counted) - len(due),
    )


def _counts(attempt: Attempt, judging: Judging) -> bool:
    begun = judging.then.commissioned_from
    return begun is not None and begun <= attempt.started_at <= judging.ended_at


def _standing(duty: Duty, at: datetime) -> StandingPart:
    return StandingPart(
        at=at,
        state=duty.state,
        overdue=duty.overdue,
        done_late=duty.is_done_late,
        reason=duty.reason,
        done_at=duty.done_at,
        failed_at_attempt=duty.failed_at_attempt,
        failed_at_deadline=duty.failed_at_deadline,
    )


def _attempt(attempt: Attempt, messages: tuple[int, ...], *, in_this_run: bool) -> AttemptPart:
    return AttemptPart(
        id=attempt.id,
        run=attempt.run_id,
        in_this_run=in_this_run,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        outcome=attempt.outcome,
        detail=attempt.detail,
        evidence=attempt.evidence,
        messages=messages,
    )
