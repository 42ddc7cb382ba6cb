"""Ambiguity A4: a step fails by a failed attempt, by its deadline, or by whichever comes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.domain.device_facts import Cause, DeviceFacts, NotBegun, Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.consequences import Consequences
from keyrig.duties.plan import Duty, DutyState, plan
from keyrig.duties.rules import Actor, Rules, built_in_rules, rules_with
from keyrig.run.duty_outcomes import fail_overdue, finish_duty

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATE = NOON + timedelta(days=7) + HOUR
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
HUB = DeviceFacts(
    entity_id=EntityIdentifier.parse("00db1234567890a2"),
    device_type=DeviceType.CHF,
    commissioned_at=NOON,
    responsible_suppliers=(SUPPLIER,),
)
RUN = "1" * 32


def reading(choice: str) -> Rules:
    return rules_with(built_in_rules(), {"failing": choice}, "test")


def begin(ledger: Ledger) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    ledger.smi_statuses.record(
        HUB.entity_id, SMIStatus.COMMISSIONED, at=NOON, cause="inventory", now=NOON
    )


def attempt(ledger: Ledger, rules: Rules, outcome: Outcome, now: datetime) -> Consequences:
    attempt_id = ledger.runs.start_attempt(RUN, HUB.entity_id, "R33c", now)
    return finish_duty(
        ledger,
        attempt_id=attempt_id,
        outcome=outcome,
        detail="it says so",
        evidence="exchange 1",
        rules=rules,
        device=HUB,
        now=now,
    )


def duty(ledger: Ledger, rules: Rules, now: datetime) -> Duty:
    facts = ledger.facts.ledger_facts([HUB.entity_id])
    made = plan(rules, [HUB], facts, now, frozenset(Actor))
    return next(each for each in made.duties if each.requirement == "R33c")


def pass_deadline(ledger: Ledger, rules: Rules, now: datetime) -> Consequences:
    return fail_overdue(ledger, rules=rules, device=HUB, duty=duty(ledger, rules, now), now=now)


def status(ledger: Ledger) -> SMIStatus | None:
    return ledger.smi_statuses.current(HUB.entity_id)


@pytest.mark.parametrize(
    ("choice", "suspends"), [("failed-attempt", True), ("deadline", False), ("either", True)]
)
def test_failed_attempt_in_time_suspends_only_where_it_counts_as_failing(
    ledger: Ledger, choice: str, *, suspends: bool
) -> None:
    begin(ledger)
    followed = attempt(ledger, reading(choice), Outcome.FAILED, NOON + HOUR)
    assert (followed.suspend is not None) is suspends
    assert (status(ledger) is SMIStatus.SUSPENDED) is suspends
    assert duty(ledger, reading(choice), NOON + HOUR).state is DutyState.FAILED


@pytest.mark.parametrize("choice", ["failed-attempt", "deadline", "either"])
def test_failed_attempt_after_the_deadline_suspends_by_every_reading(
    ledger: Ledger, choice: str
) -> None:
    begin(ledger)
    attempt(ledger, reading(choice), Outcome.FAILED, LATE)
    assert status(ledger) is SMIStatus.SUSPENDED


@pytest.mark.parametrize(
    ("choice", "suspends"), [("failed-attempt", False), ("deadline", True), ("either", True)]
)
def test_deadline_that_passes_untried_suspends_only_where_it_counts_as_failing(
    ledger: Ledger, choice: str, *, suspends: bool
) -> None:
    begin(ledger)
    rules = reading(choice)
    assert pass_deadline(ledger, rules, LATE - 2 * HOUR).suspend is None
    assert (pass_deadline(ledger, rules, LATE).suspend is not None) is suspends
    assert (status(ledger) is SMIStatus.SUSPENDED) is suspends


@pytest.mark.parametrize("choice", ["failed-attempt", "deadline", "either"])
@pytest.mark.parametrize("cause", Cause)
def test_deadline_of_what_was_held_back_entails_nothing_until_it_is_begun(
    ledger: Ledger, choice: str, cause: Cause
) -> None:
    begin(ledger)
    rules = reading(choice)
    why = NotBegun(at=LATE - 2 * HOUR, cause=cause, reason="no key", mend="import it")
    ledger.facts.record_not_begun(HUB.entity_id, "R33c", RUN, why)
    told = ledger.outbox.all()
    assert pass_deadline(ledger, rules, LATE) == Consequences()
    assert duty(ledger, rules, LATE).overdue
    assert (status(ledger), ledger.outbox.all()) == (SMIStatus.COMMISSIONED, told)
    attempt(ledger, rules, Outcome.FAILED, LATE + HOUR)
    assert status(ledger) is SMIStatus.SUSPENDED


@pytest.mark.parametrize("outcome", [Outcome.WAITING, Outcome.INTERRUPTED])
def test_deadline_of_what_the_authority_or_the_rig_held_up_entails_nothing(
    ledger: Ledger, outcome: Outcome
) -> None:
    begin(ledger)
    rules = reading("either")
    attempt_id = ledger.runs.start_attempt(RUN, HUB.entity_id, "R33c", NOON + HOUR)
    ledger.runs.finish_attempt(attempt_id, outcome, NOON + HOUR, detail="it waits")
    assert pass_deadline(ledger, rules, LATE) == Consequences()
    assert status(ledger) is SMIStatus.COMMISSIONED


def test_deadline_entails_everything_once(ledger: Ledger) -> None:
    begin(ledger)
    rules = reading("deadline")
    pass_deadline(ledger, rules, LATE)
    before = ledger.outbox.all()
    told = [event.type for event in before]
    assert told.count(EventType.DUTY_OUTCOME) == told.count(EventType.NOTICE) == 1
    assert pass_deadline(ledger, rules, LATE + HOUR).suspend is None
    assert ledger.outbox.all() == before
    attempt(ledger, rules, Outcome.DONE, LATE + 2 * HOUR)
    assert status(ledger) is SMIStatus.COMMISSIONED


def test_what_is_late_is_shown_beside_what_was_tried_by_every_reading(ledger: Ledger) -> None:
    begin(ledger)
    rules = built_in_rules()
    assert duty(ledger, rules, NOON + HOUR).failed_at_attempt is None
    attempt(ledger, rules, Outcome.FAILED, NOON + HOUR)
    attempt(ledger, rules, Outcome.FAILED, NOON + 2 * HOUR)
    in_time = duty(ledger, rules, NOON + 3 * HOUR)
    assert (in_time.failed_at_attempt, in_time.failed_at_deadline) == (NOON + HOUR, None)
    attempt(ledger, rules, Outcome.DONE, LATE)
    late = duty(ledger, rules, LATE + HOUR)
    assert (late.failed_at_attempt, late.failed_at_deadline) == (NOON + HOUR, LATE - HOUR)
    assert not late.overdue
