"""The consequences of a duty's outcome for SMI Status and notices; pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.roles import KeyUsage
from keyrig.domain.device_facts import Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.rules import Manner, Notify, StepKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.smi_status import Standing, Suspension
    from keyrig.duties.rules import Consequence, Permission, Requirement, Restoring, Rules

DEVICE_KEY_USAGES = frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """Set the SMI Status to Suspended under `clause`, keeping the status held before.

    `permission` is the permission to replace the Communications Hub that follows, if any.
    """

    clause: str
    held_before: SMIStatus | None
    reason: str
    permission: Permission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Set the SMI Status back to `to`; `restoring` says whether it must or may be."""

    clause: str
    to: SMIStatus
    restoring: Restoring
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Notify `to`, under `clause`, that the step of clause `of_step` was taken, and why."""

    to: EntityIdentifier
    clause: str
    of_step: str
    status: SMIStatus
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A question that the rules leave to a person; `name` is stable."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """The consequences of one outcome.

    `step_failed` and `step_completed` say that the requirement joins or leaves the failed
    steps on which the suspension stands.
    """

    suspend: Suspend | None = None
    restore: Restore | None = None
    step_failed: bool = False
    step_completed: bool = False
    notices: tuple[Notice, ...] = ()
    flags: tuple[Flag, ...] = ()


def decide(
    rules: Rules,
    requirement: Requirement,
    device: DeviceFacts,
    outcome: Outcome,
    standing: Standing,
    detail: str = "",
) -> Consequences:
    """Decide what the outcome of one attempt entails.

    Args:
        rules: The rule set.
        requirement: The requirement that was attempted.
        device: The device on which it was.
        outcome: How the attempt ended; an interrupted one entails nothing.
        standing: The device's SMI Status before the outcome is counted.
        detail: Why the attempt failed, in one line.

    Source: SEC H5.34, H5.35 and H5.38, consultation draft.
    """
    if device.replaced or device.decommissioned or standing.status is SMIStatus.DECOMMISSIONED:
        return Consequences()
    if outcome is Outcome.FAILED:
        consequence = rules.on_failure(requirement)
        if consequence is not None:
            return _after_failure(consequence, requirement, device, standing, detail)
    elif outcome is Outcome.DONE and standing.suspension is not None:
        return _after_success(rules, requirement, device, standing, standing.suspension)
    return Consequences()


def _after_failure(
    consequence: Consequence,
    requirement: Requirement,
    device: DeviceFacts,
    standing: Standing,
    detail: str,
) -> Consequences:
    if standing.suspension is not None:
        return Consequences(step_failed=requirement.id not in standing.suspension.failed_steps)
    if standing.status is SMIStatus.SUSPENDED:
        reason = (
            f"{consequence.suspend} would suspend the device, which is suspended for another "
            "reason; the status to restore afterwards is not defined"
        )
        return Consequences(flags=(Flag(name="suspended-for-another-reason", reason=reason),))
    why = f"{requirement.clause} ({requirement.step.value}) failed"
    reason = f"{why}: {detail}" if detail else why
    flags: tuple[Flag, ...] = ()
    if standing.status is None:
        unknown = "the status held before the suspension is not known, so none can be restored"
        flags = (Flag(name="status-before-unknown", reason=unknown),)
    notices, unaddressed = _notices(
        consequence, device, of_step=consequence.suspend, status=SMIStatus.SUSPENDED, reason=reason
    )
    return Consequences(
        suspend=Suspend(
            clause=consequence.suspend,
            held_before=standing.status,
            reason=reason,
            permission=_permission_of(consequence, device.device_type),
        ),
        step_failed=True,
        notices=notices,
        flags=flags + unaddressed,
    )


def _after_success(
    rules: Rules,
    requirement: Requirement,
    device: DeviceFacts,
    standing: Standing,
    suspension: Suspension,
) -> Consequences:
    if requirement.id not in suspension.failed_steps:
        return Consequences()
    if suspension.failed_steps != {requirement.id}:
        return Consequences(step_completed=True)
    consequence = rules.suspended_under(suspension.clause)
    if consequence is None:
        return _completed_but_flagged(
            "suspending-clause-unknown",
            f"the rule set has no clause {suspension.clause}, under which the device is suspended",
        )
    if suspension.held_before is None:
        return _completed_but_flagged(
            "status-before-unknown",
            "the failed steps are complete, but the status held before the suspension is not known",
        )
    if standing.status is not SMIStatus.SUSPENDED:
        return _completed_but_flagged(
            "no-longer-suspended",
            "the failed steps are complete, but the device is no longer Suspended",
        )
    reason = f"the failed steps are complete, last {requirement.clause} ({requirement.step.value})"
    notices, unaddressed = _notices(
        consequence,
        device,
        of_step=consequence.restore,
        status=suspension.held_before,
        reason=reason,
    )
    return Consequences(
        restore=Restore(
            clause=consequence.restore,
            to=suspension.held_before,
            restoring=consequence.restoring,
            reason=reason,
        ),
        step_completed=True,
        notices=notices,
        flags=unaddressed,
    )


def _completed_but_flagged(name: str, reason: str) -> Consequences:
    return Consequences(step_completed=True, flags=(Flag(name=name, reason=reason),))


def _notices(
    consequence: Consequence, device: DeviceFacts, *, of_step: str, status: SMIStatus, reason: str
) -> tuple[tuple[Notice, ...], tuple[Flag, ...]]:
    if consequence.notify is not Notify.RESPONSIBLE_SUPPLIERS:
        return (), ()
    if not device.responsible_suppliers:
        nobody = (
            f"{consequence.notify_clause} asks for a notice, but no Responsible Supplier is known"
        )
        return (), (Flag(name="no-responsible-supplier", reason=nobody),)
    return tuple(
        Notice(
            to=supplier,
            clause=consequence.notify_clause,
            of_step=of_step,
            status=status,
            reason=reason,
        )
        for supplier in dict.fromkeys(device.responsible_suppliers)
    ), ()


def lacking_for_done(
    requirement: Requirement, evidence: str, confirmed: Collection[KeyUsage]
) -> str | None:
    """Return what an attempt still lacks to count as done, or None where nothing does.

    Args:
        requirement: The requirement that was attempted.
        evidence: The reference to its evidence, or "".
        confirmed: The key usages whose new certificate the device has been read back to hold.

    Source: SEC H5.33(a) and H5.37(c): keys re-generated and certificates stored, both usages.
    """
    if not evidence:
        what = "of its outcome"
        if requirement.manner is Manner.SEND_SERVICE_REQUEST:
            what = "of the request sent and of its outcome"
        return f"there is no evidence {what}"
    if requirement.step is StepKind.REGENERATE_KEYS:
        lacking = sorted(DEVICE_KEY_USAGES.difference(confirmed))
        if lacking:
            names = " and ".join(usage.gbcs_name for usage in lacking)
            return f"no re-generated key is confirmed as stored for {names}"
    return None


def replacement_permission(
    rules: Rules, device_type: DeviceType, standing: Standing
) -> Permission | None:
    """Return the permission to replace the Communications Hub, or None.

    Only a suspension under the rules' own clause gives it; being Suspended alone does not.

    Source: SEC H5.36 and H5.39, consultation draft.
    """
    if standing.suspension is None or standing.status is not SMIStatus.SUSPENDED:
        return None
    consequence = rules.suspended_under(standing.suspension.clause)
    return None if consequence is None else _permission_of(consequence, device_type)


def _permission_of(consequence: Consequence, device_type: DeviceType) -> Permission | None:
    permission = consequence.permission
    return permission if permission and device_type in permission.device_types else None
