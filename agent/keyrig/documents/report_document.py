"""The report of a run as one document: what the JSON report is, and what the others are made from.

The key names and the meaning of each are stable within a schema number; keys may be added.
"""

import enum
import json
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from gbcs.roles import DeviceType
from keyrig.documents.document_model import (
    Count,
    Document,
    Eui,
    Instant,
    NotBegunPart,
    TextOrNull,
    Told,
)
from keyrig.documents.fact_document import FactValue
from keyrig.documents.plan_document import AttemptMade
from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.known_facts import FactName
from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import ExchangeOutcome
from keyrig.duties.plan import DutyState
from keyrig.duties.rules import Actor, StepKind

REPORT_SCHEMA: Final = 1
"""Version of the report's form; raised when a key changes its meaning or goes."""
SCHEMA_ID: Final = "urn:keyrig:report:1"


MessageCodeText = Annotated[str, Field(pattern=r"^[0-9A-F]{4}$")]
KeyIdentifier = Annotated[str, Field(pattern=r"^([0-9A-F]{2})+$")]


class Direction(enum.Enum):
    """Which way a message went, and whether it was asked for."""

    COMMAND = "command"
    RESPONSE = "response"
    ALERT = "alert"


class CellChange(enum.Enum):
    """What the run did to a trust anchor cell."""

    CHANGED = "changed"
    REPLACED_BY_SAME = "replaced-by-same"
    """A replacement was executed, with the certificate that was there."""
    UNCHANGED = "unchanged"
    FIRST_READ = "first-read"
    """What it held before is not known."""


class Party(Document):
    """An organisation as a report names it."""

    entity_id: Eui
    name: Told = Field(description="What it is to this device or run, such as 'Lead Supplier'.")


class RuleSetPart(Document):
    """The rule set by which the duties were judged."""

    edition: Told
    digest: str = Field(description="SHA-256 of its canonical text.")


class RunPart(Document):
    """The run."""

    id: str
    rig: Told
    started_at: Instant
    finished_at: Instant | None
    outcome: RunResult | None = Field(description="Null while the run is under way.")
    agent_version: Told | None = Field(description="The keyrig that made the run, if known.")
    carried_out: tuple[Actor, ...] = Field(description="The parties whose duties the rig does.")


class ClockPart(Document):
    """A fault of the rig's clock that the run found."""

    fault: ClockFault
    by_s: float = Field(description="By how much, in seconds; forward is positive.")
    detail: Told
    at: Instant


class CountsPart(Document):
    """Duties counted as the run ended; due, done, failed and left are of those that were due."""

    due: Count = Field(description="Duties to be done when the run began.")
    done: Count = Field(description="Of the due: done in the run.")
    failed: Count = Field(description="Of the due: standing as failed after the run.")
    left: Count = Field(
        description="Of the due: neither done nor failed; not begun and waiting among them."
    )
    overdue: Count = Field(description="Not done and past the deadline, whoever owes them.")
    not_due: Count = Field(description="Done before, exempt, void, another party's, or to come.")


class SummaryPart(CountsPart):
    """The result of the run over all its devices."""

    devices: Count
    notices: Count
    for_a_person: Count = Field(description="Flags, security incidents and clock findings.")


class FactPart(Document):
    """A fact of a device, and who stated it."""

    name: FactName
    value: FactValue
    source: Told
    at: Instant | None = Field(description="From when on it holds, where that was said.")
    recorded_at: Instant


class AttemptPart(AttemptMade):
    """One attempt at a duty."""

    id: int
    run: str
    in_this_run: bool
    detail: Told
    evidence: Told
    messages: tuple[int, ...] = Field(
        description="Numbers of its messages, in order; none for an attempt of another run."
    )


class StandingPart(Document):
    """The state of a duty at one instant."""

    at: Instant
    state: DutyState
    overdue: bool
    done_late: bool
    reason: Told
    done_at: Instant | None
    failed_at_attempt: Instant | None = Field(
        description="When an attempt first failed: one reading of 'fails'."
    )
    failed_at_deadline: Instant | None = Field(
        description="The deadline, where it passed before the duty was done: the other reading."
    )


class DutyPart(Document):
    """One duty of a device."""

    id: str
    requirement: Told
    clause: Told
    text: Told
    actor: Actor
    step: StepKind
    deadline: Instant | None
    was_due: bool = Field(description="Whether it was to be done when the run began.")
    standing: StandingPart = Field(description="As the run ended, or now while it is under way.")
    standing_now: StandingPart = Field(description="As the report was made.")
    attempts: tuple[AttemptPart, ...] = Field(
        description="Since Commissioning and up to the end of the run, oldest first."
    )
    not_begun: NotBegunPart | None = Field(
        description="What kept this run from beginning it; null where it did, or it was not due."
    )


class MessagePart(Document):
    """A message to a device or from it; its octets are in the ledger and the evidence."""

    number: int = Field(description="The exchange; a command and its response share it.")
    direction: Direction
    code: MessageCodeText
    name: Told
    originator: Eui
    counter: Count = Field(description="The originator counter that it carries or answers.")
    octets: Count = Field(description="How many.")
    at: Instant | None
    verified: bool | None = Field(description="Null for commands.")
    outcome: ExchangeOutcome | None = Field(
        description="How the exchange ended; null while it is open."
    )
    detail: Told
    duty: str | None = Field(description="The duty that it was for, or null.")


class AlertPart(Document):
    """An alert that the device sent unasked."""

    id: int
    code: MessageCodeText | None = Field(description="Alert code, where it is one that is decoded.")
    octets: Count
    at: Instant
    verified: bool
    detail: Told


class StatusPart(Document):
    """An SMI Status that the device came to hold."""

    status: SMIStatus
    at: Instant
    cause: Told
    clause: TextOrNull
    recorded_at: Instant


class PermissionPart(Document):
    """The Responsible Supplier's permission to replace the Communications Hub and return it."""

    clause: Told
    reason: Told = Field(description="The reason to return it with.")


class SuspensionPart(Document):
    """The suspension that stands as the report is made."""

    clause: Told
    held_before: SMIStatus | None
    since: Instant
    failed_steps: tuple[Told, ...]
    replacement: PermissionPart | None


class InstructionPart(Document):
    """A status that the device is to have, and that the inventory does not show yet."""

    status: SMIStatus
    clause: Told
    since: Instant
    channel: Told = Field(description="Who can carry it out.")


class CellContents(Document):
    """The contents of a cell that the run saw."""

    holder: Party
    key_identifier: KeyIdentifier
    at: Instant


class CellPart(Document):
    """A trust anchor cell of the device that was read or replaced, before and after the run."""

    role: str
    key_usage: str
    cell_usage: str
    change: CellChange
    before: CellContents | None
    after: CellContents


class KeyChangePart(Document):
    """A re-generation of one of the device's own keys that the run moved."""

    key_usage: str
    state: KeyChangeState
    requested_at: Instant
    changed_at: Instant


class RequestPart(Document):
    """A certification request of the device that waited for an authority as the run ended."""

    key_usage: str
    key_identifier: KeyIdentifier = Field(description="Of the key to be certified.")
    since: Instant
    due_by: Instant | None = Field(description="By when the duty is to be done, where days run.")
    authority: Told


class NoticePart(Document):
    """A notice that a Responsible Supplier is owed."""

    at: Instant
    to: Party
    clause: Told
    of_step: Told
    status: Told
    reason: Told


class FlagPart(Document):
    """Something that the rules leave open and a person must decide."""

    at: Instant
    flag: Told
    requirement: Told | None
    reason: Told


class IncidentPart(Document):
    """A response that failed verification."""

    at: Instant
    message: int | None
    reason: Told


class DevicePart(Document):
    """One device of the run."""

    entity_id: Eui
    type: DeviceType
    commissioned_at: Instant | date | None
    smi_status: SMIStatus | None = Field(description="As the run ended; null: not known.")
    smi_status_now: SMIStatus | None = Field(description="As the report is made.")
    suspension: SuspensionPart | None
    status_instruction: InstructionPart | None = Field(
        description="The one that waits as the report is made."
    )
    summary: CountsPart
    facts: tuple[FactPart, ...]
    duties: tuple[DutyPart, ...]
    cells: tuple[CellPart, ...]
    key_changes: tuple[KeyChangePart, ...]
    certification_requests: tuple[RequestPart, ...] = Field(
        description="Those that waited for an authority as the run ended."
    )
    messages: tuple[MessagePart, ...]
    alerts: tuple[AlertPart, ...] = Field(description="Those received in the run.")
    smi_status_history: tuple[StatusPart, ...] = Field(description="The whole, oldest first.")
    notices: tuple[NoticePart, ...]
    flags: tuple[FlagPart, ...]
    incidents: tuple[IncidentPart, ...]


class Report(Document):
    """A run of keyrig: what was due, what was done, and what follows."""

    model_config = ConfigDict(title="keyrig run report")

    schema_number: Literal[1] = Field(
        default=REPORT_SCHEMA, serialization_alias="schema", description="Version of this form."
    )
    made_at: Instant
    made_by: Told = Field(description="The keyrig that made the report.")
    run: RunPart
    rules: RuleSetPart
    summary: SummaryPart
    clock_findings: tuple[ClockPart, ...]
    devices: tuple[DevicePart, ...]


def schema_text() -> str:
    """Return the JSON Schema (2020-12) of the report, as published in docs/report.schema.json."""
    schema = Report.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(head | schema, indent=2, ensure_ascii=True) + "\n"
