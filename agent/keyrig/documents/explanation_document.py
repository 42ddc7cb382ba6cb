"""Why duties stand where they do: what `keyrig plan --explain --json` and the API give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from keyrig.documents.document_model import DEADLINE_EXAMPLE, Document, Instant
from keyrig.documents.fact_document import FactValue, SaidFact
from keyrig.documents.plan_document import EDITION_EXAMPLE
from keyrig.domain.device_facts import Outcome
from keyrig.domain.known_facts import FactName
from keyrig.duties.plan import DutyState
from keyrig.run.outlook import explanations_of

if TYPE_CHECKING:
    from keyrig.duties.explain import Explanation
    from keyrig.run.outlook import Outlook


class UsedFact(Document):
    """A fact that a rule rests on."""

    name: FactName = Field(examples=["commissioned_at"])
    value: FactValue
    said: SaidFact | None = Field(
        validation_alias="known", description="Who said so; null where nobody did."
    )


class UsedReading(Document):
    """How an open place of the rules is read."""

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


class ExplainedDuty(Document):
    """Why a duty stands where it does, and what would change it."""

    id: str = Field(examples=["00db1234567890a0/R37c"])
    requirement: str = Field(examples=["R37c"])
    state: DutyState = Field(examples=["due"])
    reason: str = Field(examples=["due by 2026-12-01T09:00:00Z"])
    deadline: Instant | None = Field(examples=[DEADLINE_EXAMPLE])
    overdue: bool
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
        duty = explanation.duty
        return cls(
            id=duty.id,
            requirement=duty.requirement,
            state=duty.state,
            reason=duty.reason,
            deadline=duty.deadline,
            overdue=duty.overdue,
            rule=explanation.rule,
            facts=tuple(UsedFact.model_validate(each) for each in explanation.facts),
            readings=tuple(UsedReading.model_validate(each) for each in explanation.readings),
            days=explanation.days,
            attempts=tuple(AttemptMade.model_validate(each) for each in explanation.attempts),
            failed_at_attempt=duty.failed_at_attempt,
            failed_at_deadline=duty.failed_at_deadline,
            entails=explanation.entails,
            would_change_it=explanation.changes,
        )


class ExplanationDocument(Document):
    """Duties of devices, explained."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    edition: str = Field(examples=[EDITION_EXAMPLE])
    duties: tuple[ExplainedDuty, ...]

    @classmethod
    def of(cls, outlook: Outlook) -> ExplanationDocument:
        """Return the explanation of every duty of a rig's plan, in its order."""
        duties = tuple(ExplainedDuty.of(each) for each in explanations_of(outlook))
        return cls(edition=outlook.rules.edition, duties=duties)
