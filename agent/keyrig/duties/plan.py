"""The plan: the duties of devices, their states, reasons and deadlines."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gbcs.roles import DeviceType
from keyrig.base.clock import second_text
from keyrig.domain.device_facts import DCC, SCHEDULED_GRACE, Outcome, aware_utc
from keyrig.duties.deadlines import duty_deadline
from keyrig.duties.rules import Actor, Exemption, Owed, StepKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.device_facts import AttemptFact, DeviceFacts, LedgerFacts, NotBegun
    from keyrig.duties.rules import Requirement, Rules

_METERS: Final = 2
_RANK: Final = {
    DeviceType.CHF: 0,
    DeviceType.GPF: 1,
    DeviceType.ESME: _METERS,
    DeviceType.GSME: _METERS,
}
_OTHERS: Final = 3
NO_DEADLINE: Final = datetime.max.replace(tzinfo=UTC)
"""The deadline assumed for duties without one where the nearest is sought."""


class DutyState(enum.Enum):
    """The state of a duty."""

    AWAITING_COMMISSIONING = "awaiting-commissioning"
    DUE = "due"
    FAILED = "failed"
    """An attempt failed; the duty is still to be done."""
    SCHEDULED = "scheduled"
    """The device holds a future dated replacement; its alert is awaited."""
    WAITING = "waiting"
    """The device's certification requests wait for the certificate authority."""
    DONE = "done"
    EXEMPT = "exempt"
    VOID = "void"
    """The device is replaced or Decommissioned."""
    NOT_OURS = "not-ours"
    """A party owes it whose duties this rig does not carry out."""


_TO_DO: Final = frozenset({DutyState.DUE, DutyState.FAILED})
_OPEN: Final = _TO_DO | {DutyState.WAITING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One requirement on one device.

    Args:
        id: Stable name, the device's stem and the requirement's id, such as
            "00db1234567890a0/R37c".
        requirement: The requirement's id.
        clause: The clause that states it.
        device: The device.
        device_type: Its type.
        step: The step that meets it.
        actor: The party that owes it.
        deadline: The last instant that is in time; None before Commissioning, and where the
            days never begin to run by the rules' readings.
        state: Its state.
        overdue: It is still to be done, by whomever, and the deadline has passed.
        reason: Why it has that state, in one sentence.
        attempts: How often it was tried since Commissioning.
        done_at: When it was done, or None.
        failed_at_attempt: When an attempt first failed, or None: one reading of "fails".
        failed_at_deadline: The deadline, where it passed before the duty was done: the other.
        not_begun: Why it was not begun, where the last run held it back; else None.
        is_delayed_by_ours: What kept it from being done last is not the device: it was held back,
            waited for the certificate authority, or was cut short by the rig or a stop.
        order: Its place among the steps of its device.
    """

    id: str
    requirement: str
    clause: str
    device: EntityIdentifier
    device_type: DeviceType
    step: StepKind
    actor: Actor
    deadline: datetime | None
    state: DutyState
    overdue: bool
    reason: str
    attempts: int
    done_at: datetime | None
    failed_at_attempt: datetime | None
    failed_at_deadline: datetime | None
    not_begun: NotBegun | None
    is_delayed_by_ours: bool
    order: int

    @property
    def is_done_late(self) -> bool:
        """True if it was done after its deadline."""
        return (
            self.done_at is not None
            and self.deadline is not None
            and (self.done_at > self.deadline)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every duty of some devices at one instant, in the order of the devices given."""

    edition: str
    made_at: datetime
    duties: tuple[Duty, ...]

    def to_do(self) -> tuple[Duty, ...]:
        """Return the duties to carry out, in the order to do so.

        Hubs come first, then gas proxies, meters, and the rest; among these, the device
        with the nearest deadline; on a device, the requirements' order.
        """
        due = [d for d in self.duties if d.state in _TO_DO]
        nearest: dict[EntityIdentifier, datetime] = {}
        for duty in due:
            until = duty.deadline or NO_DEADLINE
            nearest[duty.device] = min(until, nearest.get(duty.device, until))
        return tuple(
            sorted(
                due,
                key=lambda d: (
                    _RANK.get(d.device_type, _OTHERS),
                    nearest[d.device],
                    d.device,
                    d.order,
                ),
            )
        )

    def open(self) -> tuple[Duty, ...]:
        """Return the duties that are still to be met: those to carry out, and those that wait."""
        return tuple(duty for duty in self.duties if duty.state in _OPEN)

    def only_due(self) -> Plan:
        """Return the plan with only the duties to carry out, in the order of the devices."""
        return replace(self, duties=tuple(d for d in self.duties if d.state in _TO_DO))


def duty_id(device: EntityIdentifier, requirement_id: str) -> str:
    """Return the stable name of a requirement on a device, such as "00db1234567890a0/R37c"."""
    return f"{device.stem}/{requirement_id}"


def plan(
    rules: Rules,
    devices: Iterable[DeviceFacts],
    ledger_facts: LedgerFacts,
    now: datetime,
    parties: Collection[Actor],
) -> Plan:
    """Derive every duty of `devices` and its state.

    Args:
        rules: The rule set.
        devices: The devices, each once.
        ledger_facts: What was tried on them.
        now: The present instant, in UTC.
        parties: The parties whose duties are carried out here.

    Raises:
        ValueError: `now` is not in UTC, or a device stands twice.
    """
    aware_utc(now)
    duties: list[Duty] = []
    seen: set[EntityIdentifier] = set()
    for device in devices:
        if device.entity_id in seen:
            raise ValueError(f"device {device.entity_id} stands twice")
        seen.add(device.entity_id)
        for order, requirement in enumerate(rules.owed_by(device.device_type)):
            attempts = since_commissioning(
                device, ledger_facts.of(device.entity_id, requirement.id)
            )
            scheduled = ledger_facts.scheduled.get((device.entity_id, requirement.id))
            standing = _Standing(
                attempts=attempts,
                scheduled=scheduled,
                waiting_since=ledger_facts.waiting.get(device.entity_id)
                if requirement.step is StepKind.REGENERATE_KEYS
                else None,
                not_begun=ledger_facts.not_begun.get((device.entity_id, requirement.id)),
            )
            duties.append(_duty(rules, requirement, device, standing, now, parties, order))
    return Plan(edition=rules.edition, made_at=now, duties=tuple(duties))


def since_commissioning(
    device: DeviceFacts, attempts: tuple[AttemptFact, ...]
) -> tuple[AttemptFact, ...]:
    """Return the attempts that began after the present Commissioning.

    What was done before does not meet a duty that follows Commissioning.
    """
    begun = device.commissioned_from
    return tuple(a for a in attempts if begun is not None and a.started_at >= begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """The ledger's facts about one duty."""

    attempts: tuple[AttemptFact, ...]
    scheduled: datetime | None
    waiting_since: datetime | None
    not_begun: NotBegun | None


def _duty(
    rules: Rules,
    requirement: Requirement,
    device: DeviceFacts,
    standing: _Standing,
    now: datetime,
    parties: Collection[Actor],
    order: int,
) -> Duty:
    attempts, scheduled = standing.attempts, standing.scheduled
    until = duty_deadline(rules, requirement, device.commissioned_at)
    done_at = next((a.finished_at for a in attempts if a.outcome is Outcome.DONE), None)
    failed_at = next((a.finished_at for a in attempts if a.outcome is Outcome.FAILED), None)
    state, reason = _state(rules, requirement, device, attempts, now, parties)
    if state in _TO_DO and scheduled is not None and now <= scheduled + SCHEDULED_GRACE:
        state = DutyState.SCHEDULED
        reason = f"the device holds it until {_instant(scheduled)}"
    elif state in _TO_DO and standing.waiting_since is not None:
        state = DutyState.WAITING
        since = _instant(standing.waiting_since)
        reason = f"its certification requests wait for the authority since {since}"
    not_begun = _still_held_back(standing) if state in _TO_DO else None
    if not_begun is not None:
        reason = f"not begun at {_instant(not_begun.at)}: {not_begun.reason}; {not_begun.mend}"
    owed = state in {*_OPEN, DutyState.SCHEDULED, DutyState.NOT_OURS}
    is_late = until is not None and (
        done_at > until if done_at is not None else owed and now > until
    )
    return Duty(
        id=duty_id(device.entity_id, requirement.id),
        requirement=requirement.id,
        clause=requirement.clause,
        device=device.entity_id,
        device_type=device.device_type,
        step=requirement.step,
        actor=requirement.actor,
        deadline=until,
        state=state,
        overdue=owed and is_late,
        reason=reason,
        attempts=len(attempts),
        done_at=done_at,
        failed_at_attempt=failed_at,
        failed_at_deadline=until if is_late else None,
        not_begun=not_begun,
        is_delayed_by_ours=_is_delayed_by_ours(state, attempts, not_begun),
        order=order,
    )


def _is_delayed_by_ours(
    state: DutyState, attempts: tuple[AttemptFact, ...], not_begun: NotBegun | None
) -> bool:
    """Return True if what last kept a duty from being done is not the device."""
    if state not in _OPEN:
        return False
    cut_short = bool(attempts) and attempts[-1].outcome in {Outcome.WAITING, Outcome.INTERRUPTED}
    return state is DutyState.WAITING or not_begun is not None or cut_short


def _still_held_back(standing: _Standing) -> NotBegun | None:
    """Return why a duty was held back, unless an attempt began since."""
    held = standing.not_begun
    if held is None or any(attempt.started_at >= held.at for attempt in standing.attempts):
        return None
    return held


def _state(
    rules: Rules,
    requirement: Requirement,
    device: DeviceFacts,
    attempts: tuple[AttemptFact, ...],
    now: datetime,
    parties: Collection[Actor],
) -> tuple[DutyState, str]:
    """Return a duty's state and reason; the order of the checks is their precedence."""
    done = next((a for a in attempts if a.outcome is Outcome.DONE), None)
    if done is not None:
        return DutyState.DONE, f"done at {_instant(done.finished_at)}"
    if device.replaced or device.decommissioned:
        what = "replaced" if device.replaced else "Decommissioned"
        return DutyState.VOID, f"the device is {what}"
    exempt = exemption(rules, requirement, device)
    if exempt is not None:
        return DutyState.EXEMPT, exempt
    begun = device.commissioned_from
    if begun is None or begun > now:
        when = "" if begun is None else f" before {_instant(begun)}"
        return DutyState.AWAITING_COMMISSIONING, f"the device is not commissioned{when}"
    if requirement.actor not in parties:
        owner = requirement.actor.title
        return DutyState.NOT_OURS, f"{owner} owes it, whose duties are not carried out here"
    return _state_by_attempts(rules.days(requirement), attempts)


def _state_by_attempts(
    days: int | None, attempts: tuple[AttemptFact, ...]
) -> tuple[DutyState, str]:
    failed = next((a for a in reversed(attempts) if a.outcome is Outcome.FAILED), None)
    if failed is not None:
        why = f": {failed.detail}" if failed.detail else ""
        return DutyState.FAILED, f"failed at {_instant(failed.finished_at)}{why}"
    if attempts and attempts[-1].outcome is Outcome.WAITING:
        return DutyState.DUE, "the authority has certified what it was asked for; to be stored"
    if attempts and attempts[-1].outcome is Outcome.INTERRUPTED:
        ended = _instant(attempts[-1].finished_at)
        return DutyState.DUE, f"an attempt was interrupted, found at {ended}"
    if days is None:
        return DutyState.DUE, "owed; by the reading chosen, no days run"
    return DutyState.DUE, f"owed within {days} days of commissioning"


def exemption(rules: Rules, requirement: Requirement, device: DeviceFacts) -> str | None:
    """Return in one sentence why a requirement is not owed on a device, or None where it is."""
    elsewhere = requirement.met_on.get(device.device_type)
    if elsewhere is not None:
        return f"met on the {elsewhere.value}: a {device.device_type.value} has no such cells"
    governing = requirement.governed_by.get(device.device_type)
    if governing is not None:
        reading = getattr(rules.readings, governing)
        if reading.choice is Owed.NOT_OWED:
            return f"not owed by a {device.device_type.value} by reading {reading.ambiguity}"
    if requirement.exemption is Exemption.ORGANISATION_CERTIFICATE_REPLACED:
        if device.organisation_certificate_replaced_by_dcc_during_commissioning:
            return "a Command from the DCC replaced one during Commissioning"
    elif requirement.exemption is Exemption.RECOVERY_CONFIRMED and _checked_by_actor(
        requirement.actor, device
    ):
        return f"{requirement.actor.title} confirmed it after receipt from the manufacturer"
    return None


def _checked_by_actor(actor: Actor, device: DeviceFacts) -> bool:
    checked_by = device.recovery_checked_after_receipt_by
    if actor is Actor.DCC:
        return checked_by == DCC
    return checked_by is not None and checked_by == device.lead_supplier


def _instant(instant: datetime | None) -> str:
    return "an unknown time" if instant is None else second_text(instant)
