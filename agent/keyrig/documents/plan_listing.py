"""The plan of a rig as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyrig.base.events import EVENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gbcs.entity import EntityIdentifier
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.plan import Plan
    from keyrig.run.waiting_requests import WaitingRequest


def plan_document(
    plan: Plan,
    statuses: Mapping[EntityIdentifier, Standing],
    requests: Collection[WaitingRequest] = (),
) -> dict[str, Any]:
    """Make the JSON object of a plan.

    Args:
        plan: The plan.
        statuses: Each device's SMI Status.
        requests: The certification requests that wait for the authority.
    """
    devices: dict[EntityIdentifier, dict[str, Any]] = {}
    for duty in plan.duties:
        standing = statuses[duty.device]
        device = devices.setdefault(
            duty.device,
            {
                "entity_id": str(duty.device),
                "type": duty.device_type.value,
                "smi_status": standing.status.value if standing.status else None,
                "suspended_under": standing.suspension.clause if standing.suspension else None,
                "status_instruction": standing.instruction.to_json()
                if standing.instruction
                else None,
                "certification_requests": [
                    each.document() for each in requests if each.order.device == duty.device
                ],
                "duties": [],
            },
        )
        device["duties"].append(
            {
                "id": duty.id,
                "requirement": duty.requirement,
                "clause": duty.clause,
                "actor": duty.actor.value,
                "step": duty.step.value,
                "state": duty.state.value,
                "overdue": duty.overdue,
                "deadline": duty.deadline.isoformat() if duty.deadline else None,
                "done_at": duty.done_at.isoformat() if duty.done_at else None,
                "attempts": duty.attempts,
                "reason": duty.reason,
                "not_begun": duty.not_begun.document() if duty.not_begun else None,
            }
        )
    return {
        "schema": EVENT_SCHEMA,
        "edition": plan.edition,
        "made_at": plan.made_at.isoformat(),
        "devices": list(devices.values()),
    }
