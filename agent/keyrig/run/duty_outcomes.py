"""The outcome of a duty with all that it entails, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyrig.base.clock import instant_text, second_text
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import Outcome
from keyrig.domain.states import EventType
from keyrig.duties.consequences import Consequences, decide, lacking_for_done
from keyrig.duties.deadlines import duty_deadline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.duties.plan import Duty
    from keyrig.duties.rules import Requirement, Rules
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.runs import Attempt


def finish_duty(  # noqa: PLR0913 - what an outcome is made of, by name
    ledger: Ledger,
    *,
    attempt_id: int,
    outcome: Outcome,
    detail: str,
    evidence: str,
    exchanges: Sequence[int] = (),
    alerts: Sequence[int] = (),
    rules: Rules,
    device: DeviceFacts,
    now: datetime,
) -> Consequences:
    """Record an attempt's outcome with all that it entails, in one transaction.

    That is: the attempt, the SMI Status suspended or restored, the notices to
    Responsible Suppliers, the flags for a person, and the events that tell of these.

    Args:
        ledger: The ledger.
        attempt_id: The attempt, from `runs.start_attempt`.
        outcome: How it ended.
        detail: Why, in one line; safe to print.
        evidence: The reference to the evidence, for people; needed to be done.
        exchanges: The exchanges that it names, for programs.
        alerts: The alerts that it names, for programs.
        rules: The rule set.
        device: The device on which it was made.
        now: The present instant.

    Returns:
        What followed.

    Raises:
        LedgerRefused: The attempt has ended, is on another device or of an unknown
            requirement; or it is called done without evidence, or without re-generated
            keys of both usages that the device was read back to hold.
    """
    with ledger.transaction():
        attempt = ledger.runs.attempt(attempt_id)
        requirement = _requirement(rules, attempt, device)
        if outcome is Outcome.DONE:
            confirmed = ledger.key_changes.confirmed_usages(
                device.entity_id, device.commissioned_from
            )
            lacking = lacking_for_done(requirement, evidence, confirmed)
            if lacking:
                raise LedgerRefused(f"{attempt.duty_id} cannot be called done", lacking)
        standing = ledger.smi_statuses.standing(device.entity_id)
        consequences = (
            decide(rules, requirement, device, outcome, standing, detail)
            if outcome is not Outcome.FAILED or _is_failure(rules, requirement, device, now)
            else Consequences()
        )
        ledger.runs.finish_attempt(attempt_id, outcome, now, detail=detail, evidence=evidence)
        ledger.outbox.append(
            EventType.DUTY_OUTCOME,
            device.entity_id,
            now,
            _told_of(rules, requirement, attempt.duty_id, outcome, detail)
            | {
                "evidence": evidence,
                "exchanges": list(exchanges),
                "alerts": list(alerts),
                "run": attempt.run_id,
                "attempt": attempt.id,
                "started_at": instant_text(attempt.started_at),
            },
        )
        _apply(ledger, consequences, requirement, device, now)
        ledger.open_duties.refresh(device.entity_id, now)
    return consequences


def fail_overdue(
    ledger: Ledger, *, rules: Rules, device: DeviceFacts, duty: Duty, now: datetime
) -> Consequences:
    """Record what follows from a deadline that passed before a duty was done.

    Nothing does unless the rules read "fails" so, or where what kept the duty from being done
    last was not the device; doing it again changes nothing.

    Args:
        ledger: The ledger.
        rules: The rule set.
        device: The device.
        duty: The duty, as planned now.
        now: The present instant.

    Returns:
        What followed.

    Source: SEC H5.34 and H5.38, consultation draft; ambiguity A4.
    """
    by_deadline = rules.readings.failing.choice.by_deadline
    if duty.failed_at_deadline is None or not by_deadline or duty.is_delayed_by_ours:
        return Consequences()
    requirement = rules.requirement_by_id(duty.requirement)
    detail = f"not done by {second_text(duty.failed_at_deadline)}"
    with ledger.transaction():
        standing = ledger.smi_statuses.standing(device.entity_id)
        consequences = decide(rules, requirement, device, Outcome.FAILED, standing, detail)
        ledger.outbox.append(
            EventType.DUTY_OUTCOME,
            device.entity_id,
            duty.failed_at_deadline,
            _told_of(rules, requirement, duty.id, Outcome.FAILED, detail),
        )
        _apply(ledger, consequences, requirement, device, now)
    return consequences


def _is_failure(rules: Rules, requirement: Requirement, device: DeviceFacts, now: datetime) -> bool:
    """Return True if a failed attempt is a failure, by the reading that the rules choose."""
    if rules.readings.failing.choice.by_attempt:
        return True
    until = duty_deadline(rules, requirement, device.commissioned_at)
    return until is not None and now > until


def _requirement(rules: Rules, attempt: Attempt, device: DeviceFacts) -> Requirement:
    if attempt.device != device.entity_id:
        raise LedgerRefused(
            f"attempt {attempt.id}",
            f"it was made on device {attempt.device}, not on {device.entity_id}",
        )
    try:
        return rules.requirement_by_id(attempt.requirement)
    except KeyError:
        raise LedgerRefused(
            f"rule set {rules.edition}", f"it has no requirement {attempt.requirement}"
        ) from None


def _told_of(
    rules: Rules, requirement: Requirement, duty: str, outcome: Outcome, detail: str
) -> dict[str, Any]:
    return {
        "duty": duty,
        "requirement": requirement.id,
        "clause": requirement.clause,
        "edition": rules.edition,
        "actor": requirement.actor.value,
        "step": requirement.step.value,
        "outcome": outcome.value,
        "detail": detail,
    }


def _apply(
    ledger: Ledger,
    consequences: Consequences,
    requirement: Requirement,
    device: DeviceFacts,
    now: datetime,
) -> None:
    entity, statuses = device.entity_id, ledger.smi_statuses
    status_since = statuses.standing(entity).status_since or now
    if consequences.suspend is not None:
        suspend = consequences.suspend
        statuses.suspend(
            entity,
            suspend.clause,
            suspend.reason,
            now,
            failed=[requirement.id],
            permission=suspend.permission,
        )
    elif consequences.step_failed:
        statuses.step_failed(entity, requirement.id, now)
    if consequences.step_completed:
        statuses.step_completed(entity, requirement.id, now)
    if consequences.restore is not None:
        restore = consequences.restore
        statuses.restore(entity, restore.clause, restore.reason, now)
    for notice in consequences.notices:
        ledger.outbox.append(
            EventType.NOTICE,
            entity,
            now,
            {
                "to": notice.to.stem,
                "clause": notice.clause,
                "of_step": notice.of_step,
                "status": notice.status.value,
                "reason": notice.reason,
            },
        )
    for flag in consequences.flags:
        # Told as of the status that it is about, so that trying again tells it once.
        ledger.outbox.append(
            EventType.FLAG,
            entity,
            status_since,
            {"flag": flag.name, "requirement": requirement.id, "reason": flag.reason},
        )
