"""The plan of a rig, its duties explained, and those due next over every rig.

They are for `keyrig plan --json`, `--explain` and `--next`, and for the API.
"""

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
    NotBegunPart,
    TextOrNull,
)
from keyrig.documents.fact_document import FactValue, SaidFact
from keyrig.domain.device_facts import Outcome
from keyrig.domain.known_facts import FactName
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.explain import explain
from keyrig.duties.plan import DutyState
from keyrig.duties.rules import Actor, StepKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.explain import Explanation
    from keyrig.duties.plan import Duty, Plan
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.outlook import Outlook
    from keyrig.run.waiting_requests import WaitingRequest

EDITION_EXAMPLE: Final = "SEC H5.33-H5.40, consultation draft"


class StatusInstructionPart(Document):
    """A status that a device is to have, and that the inventory does not show yet."""

    status: SMIStatus
    instead_of: SMIStatus | None
    clause: str
    reason: str
    since: Instant
    state: Literal["waiting"] = "waiting"
    channel: str = Field(description="Who can carry it out.")


class DutyStanding(Document):
    """The state of one duty of a device, and the reason."""

    id: str = Field(
        description="Stable: the device's digits and the requirement.",
        examples=["00db1234567890a0/R37c"],
    )
    requirement: str = Field(examples=["R37c"])
    state: DutyState = Field(examples=["due"])
    overdue: bool
    deadline: Instant | None = Field(
        description="The last instant that is in time.", examples=[DEADLINE_EXAMPLE]
    )
    reason: str = Field(
        description="Why it stands there.",
        examples=["not begun at 2026-11-24T09:00:00Z: no key agreement key; add it"],
    )


class PlannedDuty(DutyStanding):
    """One duty of a plan."""

    clause: str = Field(examples=["H5.37(c)"])
    actor: Actor = Field(description="Who owes it.", examples=["lead-supplier"])
    step: StepKind = Field(description="What meets it.", examples=["regenerate-keys"])
    done_at: Instant | None = Field(examples=[None])
    attempts: Count
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
    """A plan, as `keyrig plan --json` prints it."""

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


class UsedFact(Document):
    """A fact that a rule rests on."""

    name: FactName = Field(examples=["commissioned_at"])
    value: FactValue
    said: SaidFact | None = Field(
        validation_alias="known", description="Who said so; null where nobody did."
    )


class UsedReading(Document):
    """The reading of a rule that its source leaves open."""

    name: str = Field(examples=["days"])
    ambiguity: str = Field(examples=["A3"])
    choice: str | int = Field(examples=["calendar"])
    reason: str = Field(examples=["as defined"])


class AttemptMade(Document):
    """An attempt at a duty."""

    started_at: Instant
    finished_at: Instant | None
    outcome: Outcome | None = Field(description="null while it is under way.", examples=["done"])
    detail: str = Field(examples=["both key pairs re-generated, certified, stored and read back"])


class ExplainedDuty(DutyStanding):
    """Why a duty stands where it does, and what would change it."""

    rule: tuple[str, ...] = Field(
        examples=[["H5.37(c): the Lead Supplier has an ESME re-generate its keys"]]
    )
    facts: tuple[UsedFact, ...]
    readings: tuple[UsedReading, ...]
    days: str = Field(examples=["7 days from 2026-11-24T09:00:00Z"])
    attempts: tuple[AttemptMade, ...] = Field(examples=[[]])
    failed_at_attempt: Instant | None = Field(examples=[None])
    failed_at_deadline: Instant | None = Field(examples=[None])
    entails: tuple[str, ...] = Field(examples=[["the device is Suspended under H5.38"]])
    would_change_it: tuple[str, ...] = Field(examples=[["a run that carries it out"]])

    @classmethod
    def of(cls, explanation: Explanation) -> ExplainedDuty:
        """Return the document of one duty."""
        told = {name: getattr(explanation.duty, name) for name in DutyStanding.model_fields}
        return cls(
            **told,
            rule=explanation.rule,
            facts=tuple(UsedFact.model_validate(each) for each in explanation.facts),
            readings=tuple(UsedReading.model_validate(each) for each in explanation.readings),
            days=explanation.days,
            attempts=tuple(AttemptMade.model_validate(each) for each in explanation.attempts),
            failed_at_attempt=explanation.duty.failed_at_attempt,
            failed_at_deadline=explanation.duty.failed_at_deadline,
            entails=explanation.entails,
            would_change_it=explanation.changes,
        )


def explanations_of(outlook: Outlook) -> list[Explanation]:
    """Return the explanation of every duty of a rig's plan, in its order."""
    return [
        explain(
            outlook.rules,
            duty,
            outlook.records[duty.device],
            outlook.attempts.of(duty.device, duty.requirement),
            outlook.statuses[duty.device],
        )
        for duty in outlook.plan.duties
    ]


class ExplanationDocument(Document):
    """Duties of devices, explained."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    edition: str = Field(examples=[EDITION_EXAMPLE])
    duties: tuple[ExplainedDuty, ...]

    @classmethod
    def of(cls, outlook: Outlook) -> ExplanationDocument:
        """Return the explanation of every duty of a rig's plan, in its order."""
        duties = tuple(map(ExplainedDuty.of, explanations_of(outlook)))
        return cls(edition=outlook.rules.edition, duties=duties)


class DueDuty(Document):
    """A duty that is still to be done."""

    entity_id: Eui
    requirement: str = Field(examples=["R37c"])
    due_by: Instant | None = Field(examples=[DEADLINE_EXAMPLE])
    overdue: bool
    rig: TextOrNull = Field(
        description="The rig that carries it out, if any.", examples=["emulated-home"]
    )


class DueDocument(Document):
    """The duties that are due next, over every rig."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    open: Count = Field(description="How many there are in all.", examples=[19])
    duties: tuple[DueDuty, ...]

    @classmethod
    def of(cls, ledger: Ledger, now: datetime, limit: int) -> DueDocument:
        """Return the `limit` duties that are due next over all devices of a ledger."""
        return cls(
            open=ledger.open_duties.count(),
            duties=tuple(
                DueDuty(
                    entity_id=str(duty.device),
                    requirement=duty.requirement,
                    due_by=duty.due_by,
                    overdue=duty.due_by is not None and now > duty.due_by,
                    rig=duty.rig_name,
                )
                for duty in ledger.open_duties.next_due(now, limit)
            ),
        )
