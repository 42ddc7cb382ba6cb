"""Explanations of a duty's state: its rule, the facts it depends on, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from keyrig.base.clock import second_text
from keyrig.domain.known_facts import FactName
from keyrig.duties.consequences import replacement_permission
from keyrig.duties.plan import DutyState, since_commissioning
from keyrig.duties.rules import DayCounting, Exemption, Notify, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.domain.device_facts import AttemptFact
    from keyrig.domain.known_facts import DeviceRecord, KnownFact
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.plan import Duty
    from keyrig.duties.rules import Requirement, Rules

_ALWAYS: Final = (
    FactName.DEVICE_TYPE,
    FactName.COMMISSIONED_AT,
    FactName.REPLACED,
    FactName.DECOMMISSIONED,
)
_OF_STEP: Final = {
    StepKind.ENSURE_SUPPLIER_CREDENTIALS: (FactName.LEAD_SUPPLIER,),
    StepKind.ENSURE_NETWORK_CREDENTIALS: (FactName.NETWORK_OPERATOR,),
}
_OF_EXEMPTION: Final = {
    Exemption.ORGANISATION_CERTIFICATE_REPLACED: (FactName.ORGANISATION_CERTIFICATE_REPLACED,),
    Exemption.RECOVERY_CONFIRMED: (FactName.RECOVERY_CHECKED_BY, FactName.LEAD_SUPPLIER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FactUsed:
    """A fact that a duty depends on; `known` is None where no source stated it."""

    name: FactName
    value: Any
    known: KnownFact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingUsed:
    """An ambiguity that affects a duty, and the reading chosen."""

    name: str
    ambiguity: str
    choice: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One duty, explained.

    Args:
        duty: The duty as planned.
        rule: What the rule says, in sentences.
        facts: The facts that it depends on.
        readings: The ambiguities that bear on it.
        days: How its deadline was counted, in one sentence.
        attempts: The attempts since Commissioning, oldest first.
        failing: When it failed by each reading of "fails", in sentences.
        entails: The consequences of failing, and those in force, in sentences.
        changes: What would change its state, in sentences.
    """

    duty: Duty
    rule: tuple[str, ...]
    facts: tuple[FactUsed, ...]
    readings: tuple[ReadingUsed, ...]
    days: str
    attempts: tuple[AttemptFact, ...]
    failing: tuple[str, ...]
    entails: tuple[str, ...]
    changes: tuple[str, ...]


def explain(
    rules: Rules,
    duty: Duty,
    record: DeviceRecord,
    attempts: tuple[AttemptFact, ...],
    standing: Standing,
) -> Explanation:
    """Explain one duty.

    Args:
        rules: The rule set by which it was planned.
        duty: The duty as planned.
        record: The facts that hold of its device, with the sources.
        attempts: The attempts at it, oldest first.
        standing: The device's SMI Status.
    """
    requirement = rules.requirement_by_id(duty.requirement)
    return Explanation(
        duty=duty,
        rule=tuple(_rule(rules, requirement, duty)),
        facts=tuple(
            FactUsed(
                name=name,
                value=getattr(record.facts, name.value),
                known=record.origins.get(name),
            )
            for name in _facts_of(rules, requirement)
        ),
        readings=tuple(_readings(rules, requirement, duty, record)),
        days=_days(rules, requirement, duty, record),
        attempts=since_commissioning(record.facts, attempts),
        failing=_failing(duty),
        entails=tuple(_entails(rules, requirement, duty, standing)),
        changes=tuple(_changes(rules, requirement, duty)),
    )


def _rule(rules: Rules, requirement: Requirement, duty: Duty) -> Iterator[str]:
    yield f"{requirement.clause}: {requirement.text} ({rules.edition})"
    actor = requirement.actor.title
    how = (
        "must ensure the outcome"
        if requirement.manner.value == "ensure"
        else "must send a Service Request to ensure it; request and outcome are the evidence"
    )
    yield f"{actor} {how}"
    elsewhere = requirement.met_on.get(duty.device_type)
    if elsewhere is not None:
        yield f"for a {duty.device_type.value} it is met on the {elsewhere.value}"


def _facts_of(rules: Rules, requirement: Requirement) -> tuple[FactName, ...]:
    names = [*_ALWAYS, *_OF_STEP.get(requirement.step, ())]
    if requirement.exemption is not None:
        names += _OF_EXEMPTION[requirement.exemption]
    consequence = rules.on_failure(requirement)
    if consequence is not None and consequence.notify is Notify.RESPONSIBLE_SUPPLIERS:
        names.append(FactName.RESPONSIBLE_SUPPLIERS)
    return tuple(dict.fromkeys(names))


def _readings(
    rules: Rules, requirement: Requirement, duty: Duty, record: DeviceRecord
) -> Iterator[ReadingUsed]:
    names: list[str] = []
    governing = requirement.governed_by.get(duty.device_type)
    if governing is not None:
        names.append(governing)
    if requirement.days_run is not None:
        names.append(requirement.days_run)
    if not isinstance(requirement.deadline_days, int):
        names.append(requirement.deadline_days)
    if requirement.on_failure is not None:
        names.append("failing")
    at = record.facts.commissioned_at
    if at is not None and duty.deadline is not None:
        names.append("day_counting" if isinstance(at, datetime) else "date_only")
    for name in names:
        reading = getattr(rules.readings, name)
        yield ReadingUsed(
            name=name,
            ambiguity=reading.ambiguity,
            choice=str(getattr(reading.choice, "value", reading.choice)),
            reason=reading.reason,
        )


def _days(rules: Rules, requirement: Requirement, duty: Duty, record: DeviceRecord) -> str:
    days = rules.days(requirement)
    if days is None:
        return "no days run, by the reading chosen"
    at = record.facts.commissioned_at
    if at is None or duty.deadline is None:
        return f"{days} days from Commissioning, of which nothing is known yet"
    if not isinstance(at, datetime):
        how = f"from {at.isoformat()}, the date that is known"
    elif rules.readings.day_counting.choice is DayCounting.ELAPSED:
        how = f"of 24 hours from {second_text(at)}"
    else:
        how = f"of the calendar from {second_text(at)}"
    return f"{days} days {how}, so until {second_text(duty.deadline)}"


def _failing(duty: Duty) -> tuple[str, ...]:
    attempt, deadline = duty.failed_at_attempt, duty.failed_at_deadline
    return (
        f"by a failed attempt: at {second_text(attempt)}"
        if attempt
        else "by a failed attempt: it has not",
        f"by its deadline: at {second_text(deadline)}"
        if deadline
        else "by its deadline: it has not",
    )


def _entails(
    rules: Rules, requirement: Requirement, duty: Duty, standing: Standing
) -> Iterator[str]:
    consequence = rules.on_failure(requirement)
    if consequence is None:
        yield "the text states no consequence of failing"
        return
    must = "must" if consequence.restoring.value == "must" else "may"
    yield (
        f"failing suspends the device under {consequence.suspend}, attempts go on under "
        f"{consequence.retry}, and on success the status held before {must} come back under "
        f"{consequence.restore}"
    )
    if consequence.notify is not None:
        yield f"each Responsible Supplier is told of both under {consequence.notify_clause}"
    suspension = standing.suspension
    if suspension is not None and requirement.id in suspension.failed_steps:
        before = suspension.held_before.value if suspension.held_before else "not known"
        yield (
            f"suspended under {suspension.clause} since {second_text(suspension.since)}; held "
            f"before: {before}; failed steps: {', '.join(sorted(suspension.failed_steps))}"
        )
    permission = replacement_permission(rules, duty.device_type, standing)
    if permission is not None:
        yield (
            f"meanwhile the Responsible Supplier may replace the Communications Hub under "
            f"{permission.clause} and return it with the reason {permission.reason}"
        )


def _changes(rules: Rules, requirement: Requirement, duty: Duty) -> Iterator[str]:
    state = duty.state
    if state is DutyState.DONE:
        yield "nothing but a new Commissioning, which opens it again"
        return
    if state is DutyState.VOID:
        yield "taking back that the device is replaced or Decommissioned"
        return
    if state is DutyState.EXEMPT:
        yield from _ends_exemption(rules, requirement, duty)
        return
    if state is DutyState.AWAITING_COMMISSIONING:
        yield "an instant or date of Commissioning that has come"
    elif state is DutyState.SCHEDULED:
        yield "the device's alert that it carried the replacement out: done"
        yield "its alert that it could not: failed"
        yield "no alert within an hour of its instant, or cancelling it: due"
    elif state is DutyState.NOT_OURS:
        yield f"naming {requirement.actor.value} under parties in the rig file"
    else:
        yield f"an attempt at {requirement.step.value} that succeeds with evidence: done"
    if requirement.exemption is Exemption.ORGANISATION_CERTIFICATE_REPLACED:
        yield (
            "knowing that a Command from the DCC, executed during Commissioning, replaced an "
            f"Organisation Certificate ({FactName.ORGANISATION_CERTIFICATE_REPLACED.value}): exempt"
        )
    elif requirement.exemption is Exemption.RECOVERY_CONFIRMED:
        yield (
            f"knowing that {requirement.actor.title} itself confirmed it after receipt from the "
            f"manufacturer ({FactName.RECOVERY_CHECKED_BY.value}): exempt"
        )
    yield "the device being replaced or Decommissioned: void"


def _ends_exemption(rules: Rules, requirement: Requirement, duty: Duty) -> Iterator[str]:
    if duty.device_type in requirement.met_on:
        yield "nothing: such a device cannot meet it"
        return
    governing = requirement.governed_by.get(duty.device_type)
    if governing is not None and getattr(rules.readings, governing).choice.value == "not-owed":
        yield f"reading {governing} as owed: due"
    elif requirement.exemption is Exemption.ORGANISATION_CERTIFICATE_REPLACED:
        yield f"taking {FactName.ORGANISATION_CERTIFICATE_REPLACED.value} back: due"
    else:
        yield f"taking {FactName.RECOVERY_CHECKED_BY.value} back: due"
        if requirement.actor.value == "lead-supplier":
            yield "another Lead Supplier, who has not made the check itself: due"
