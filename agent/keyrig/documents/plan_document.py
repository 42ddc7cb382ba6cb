"""The plan of a rig: what `keyrig plan --json` prints, the API gives, and the page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from gbcs.roles import DeviceType
from keyrig.documents.certification_document import CertificationRequest
from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Count,
    Document,
    Eui,
    Instant,
    TextOrNull,
    Told,
)
from keyrig.domain.device_facts import Cause
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.plan import DutyState
from keyrig.duties.rules import Actor, StepKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gbcs.entity import EntityIdentifier
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.plan import Duty, Plan
    from keyrig.run.certification_requests import WaitingRequest

EDITION_EXAMPLE: Final = "SEC H5.33-H5.40, consultation draft"


class NotBegunPart(Document):
    """Why a run did not begin a duty that was due; nothing of it is the device's failure."""

    at: Instant = Field(description="When that was found.")
    cause: Cause = Field(description="Whose matter it is.", examples=["keys"])
    reason: Told = Field(
        description="What is missing or wrong, in one line.",
        examples=["/var/lib/keyrig/pki: no key agreement key of 90-B3-D5-1F-30-00-00-02"],
    )
    mend: Told = Field(
        description="What to do about it, in one line.",
        examples=["`keyrig pki import FOLDER` adds it"],
    )


class StatusInstructionPart(Document):
    """A status that a device is to have, and that the inventory does not show yet."""

    status: SMIStatus
    instead_of: SMIStatus | None
    clause: str
    reason: str
    since: Instant
    state: Literal["waiting"] = "waiting"
    channel: str = Field(description="Who can carry it out.")


class PlannedDuty(Document):
    """One duty of a plan."""

    id: str = Field(
        description="Stable: the device's digits and the requirement.",
        examples=["00db1234567890a0/R37c"],
    )
    requirement: str = Field(examples=["R37c"])
    clause: str = Field(examples=["H5.37(c)"])
    actor: Actor = Field(description="Who owes it.", examples=["lead-supplier"])
    step: StepKind = Field(description="What meets it.", examples=["regenerate-keys"])
    state: DutyState = Field(examples=["due"])
    overdue: bool
    deadline: Instant | None = Field(
        description="The last instant that is in time.", examples=[DEADLINE_EXAMPLE]
    )
    done_at: Instant | None = Field(examples=[None])
    attempts: Count
    reason: str = Field(
        description="Why it stands there.",
        examples=["not begun at 2026-11-24T09:00:00Z: no key agreement key; add it"],
    )
    not_begun: NotBegunPart | None = Field(
        description="What kept the last run from beginning it; null after an attempt."
    )


class PlannedDevice(Document):
    """One device of a plan, with its duties."""

    entity_id: Eui
    type: DeviceType = Field(examples=["ESME"])
    smi_status: SMIStatus | None = Field(
        description="None where it is not known.", examples=["Commissioned"]
    )
    suspended_under: TextOrNull = Field(
        description="The clause, while it is suspended.", examples=[None]
    )
    status_instruction: StatusInstructionPart | None = Field(
        description="The status that it is to have, while the inventory does not show it.",
        examples=[None],
    )
    certification_requests: tuple[CertificationRequest, ...] = Field(
        description="Those that wait for an authority, the longest waiting first."
    )
    duties: tuple[PlannedDuty, ...]


class PlanDocument(Document):
    """A plan, as `keyrig plan --json` has it."""

    schema_number: Literal[1] = Field(
        default=1, serialization_alias="schema", description="The version of this form."
    )
    edition: str = Field(
        description="Which text of the Code the rules are of.", examples=[EDITION_EXAMPLE]
    )
    made_at: Instant = Field(description="When; outcomes are as of this instant.")
    devices: tuple[PlannedDevice, ...]

    @classmethod
    def of(
        cls,
        plan: Plan,
        statuses: Mapping[EntityIdentifier, Standing],
        requests: Collection[WaitingRequest] = (),
    ) -> PlanDocument:
        """Return the document of a plan.

        Args:
            plan: The plan.
            statuses: Each device's SMI Status.
            requests: The certification requests that wait for the authority.
        """
        duties: dict[EntityIdentifier, list[Duty]] = {}
        for duty in plan.duties:
            duties.setdefault(duty.device, []).append(duty)
        return cls(
            edition=plan.edition,
            made_at=plan.made_at,
            devices=tuple(
                _device(duties_of_it, statuses[device], requests)
                for device, duties_of_it in duties.items()
            ),
        )


def _device(
    duties: list[Duty], standing: Standing, requests: Collection[WaitingRequest]
) -> PlannedDevice:
    device = duties[0].device
    return PlannedDevice(
        entity_id=str(device),
        type=duties[0].device_type,
        smi_status=standing.status,
        suspended_under=standing.suspension.clause if standing.suspension else None,
        status_instruction=StatusInstructionPart.if_any(standing.instruction),
        certification_requests=tuple(
            CertificationRequest.of(each) for each in requests if each.order.device == device
        ),
        duties=tuple(PlannedDuty.model_validate(duty) for duty in duties),
    )
