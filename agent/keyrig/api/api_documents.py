"""What the API takes and gives, as the OpenAPI document says it."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from gbcs.entity import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.api.problem_documents import Problem
from keyrig.base.events import ResultName
from keyrig.domain.device_facts import Cause, Fuel
from keyrig.domain.known_facts import FactName
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.plan import DutyState
from keyrig.duties.rules import Actor, StepKind

ENTITY_PATTERN: Final = r"^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}$"
ENTITY_EXAMPLE: Final = "00-DB-12-34-56-78-90-A0"
OPERATION_PATTERN: Final = r"^[0-9a-f]{32}$"
LINE_PATTERN: Final = r"^[\x20-\x7e\xa0-\ud7ff]+$"
"""One line of text that can be shown."""

EntityText = Annotated[
    str,
    Field(pattern=ENTITY_PATTERN, description="An Entity Identifier.", examples=[ENTITY_EXAMPLE]),
]
OperationId = Annotated[
    str, Field(pattern=OPERATION_PATTERN, description="A run's or an operation's id.")
]


def _text(value: Any) -> Any:
    """Refuse numbers, and digits alone, which would be taken for seconds since 1970."""
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("write it as 2026-11-20T09:00:00Z, or a date as 2026-11-20")
    return value


_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ]|$)")
InstantText = Annotated[AwareDatetime, BeforeValidator(_text)]
DateText = Annotated[date, BeforeValidator(_text)]
Source = Annotated[
    str,
    Field(
        pattern=LINE_PATTERN,
        max_length=120,
        description="Who says so: a person, a ticket, a system. The token's name without it.",
    ),
]
RunState = Literal["running", ResultName]


class Asked(BaseModel):
    """What a request holds; keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid")


class Live(BaseModel):
    """Whether the server answers."""

    live: Annotated[bool, Field(description="It answers.")]
    ready: Annotated[bool, Field(description="It can carry out runs.")]
    version: Annotated[str, Field(description="The version of keyrig.")]
    checks: Annotated[
        list[Check], Field(description="What readiness was judged by; see `keyrig doctor`.")
    ]


class Check(BaseModel):
    """One thing that readiness was judged by."""

    what: Annotated[Literal["ledger", "rigs", "events"], Field(description="What was looked at.")]
    good: Annotated[bool, Field(description="Whether it is as it should be.")]


class RigEntry(BaseModel):
    """One rig."""

    name: Annotated[str, Field(description="Its name.")]
    file: Annotated[str, Field(description="Its file.")]
    emulated: Annotated[bool, Field(description="Whether any of its devices is emulated.")]
    devices: Annotated[list[RigEntryDevice], Field(description="Its devices, in order.")]
    radios: Annotated[list[str], Field(description="The names of its radios.")]
    running: Annotated[
        str | None, Field(description="The operation on it that is under way in this server.")
    ]
    problem: Annotated[Problem | None, Field(description="Why its file cannot be used.")]


class RigEntryDevice(BaseModel):
    """A device of a rig."""

    entity_id: EntityText
    type: DeviceType
    link: Annotated[str, Field(description="How it is reached.")]


class RigList(BaseModel):
    """The rigs that are served."""

    rigs: list[RigEntry]


class NotBegunEntry(BaseModel):
    """Why a run did not begin a duty that was due; nothing of it is the device's failure."""

    at: Annotated[datetime, Field(description="When that was found.")]
    cause: Annotated[Cause, Field(description="Whose matter it is.")]
    reason: Annotated[str, Field(description="What is missing or wrong, in one line.")]
    mend: Annotated[str, Field(description="What to do about it, in one line.")]


class CertificationRequestEntry(BaseModel):
    """A certification request of a device that waits for an authority."""

    device: EntityText
    key_usage: str
    key_identifier: Annotated[
        str, Field(pattern=r"^[0-9a-f]{16}$", description="Of the key to be certified.")
    ]
    since: Annotated[datetime, Field(description="Since when it waits.")]
    due_by: Annotated[
        datetime | None, Field(description="By when the duty is to be done, where days run.")
    ]
    authority: Annotated[str, Field(description="Who has it.")]
    answer: Annotated[str, Field(description="What that said last.")]
    file: Annotated[str | None, Field(description="Where it lies as a file of the agent.")]


class PlannedDuty(BaseModel):
    """One duty of a plan."""

    id: Annotated[str, Field(description="Stable: the device's digits and the requirement.")]
    requirement: str
    clause: str
    actor: Annotated[Actor, Field(description="Who owes it.")]
    step: Annotated[StepKind, Field(description="What meets it.")]
    state: DutyState
    overdue: bool
    deadline: Annotated[datetime | None, Field(description="The last instant that is in time.")]
    done_at: datetime | None
    attempts: Annotated[int, Field(ge=0)]
    reason: Annotated[str, Field(description="Why it stands there.")]
    not_begun: Annotated[
        NotBegunEntry | None,
        Field(description="What kept the last run from beginning it; null after an attempt."),
    ]


class PlannedDevice(BaseModel):
    """One device of a plan, with its duties."""

    entity_id: EntityText
    type: DeviceType
    smi_status: Annotated[SMIStatus | None, Field(description="None where it is not known.")]
    suspended_under: Annotated[str | None, Field(description="The clause, while it is suspended.")]
    certification_requests: Annotated[
        list[CertificationRequestEntry],
        Field(description="Those that wait for an authority, the longest waiting first."),
    ]
    duties: list[PlannedDuty]


class PlanDocument(BaseModel):
    """A plan, as `keyrig plan --json` has it."""

    schema_: Annotated[int, Field(alias="schema", description="The version of this form.")]
    edition: Annotated[str, Field(description="Which text of the Code the rules are of.")]
    made_at: Annotated[datetime, Field(description="When; outcomes are as of this instant.")]
    devices: list[PlannedDevice]


class DeviceEntry(PlannedDevice):
    """One device of a rig, with all its duties, done or not."""

    link: Annotated[str, Field(description="How it is reached.")]
    open_duties: Annotated[int, Field(ge=0, description="How many are still to be done.")]
    next_deadline: Annotated[datetime | None, Field(description="The nearest of those.")]
    overdue: Annotated[bool, Field(description="Whether the deadline of one has passed.")]
    held_by: Annotated[
        str | None,
        Field(
            description="The operation that reaches it at this moment, '' where another program "
            "does; up to a second old."
        ),
    ]


class DeviceList(BaseModel):
    """The devices of a rig."""

    rig: str
    edition: str
    made_at: datetime
    devices: list[DeviceEntry]


class SaidFact(BaseModel):
    """One thing that was said of a device."""

    name: FactName
    value: Annotated[Any, Field(description="As it was said; null takes back what was said.")]
    source: str
    holds_from: Annotated[datetime | None, Field(description="From when on, where that was said.")]
    recorded_at: datetime


class UsedFact(BaseModel):
    """A fact that a rule rests on."""

    name: FactName
    value: Any
    said: SaidFact | None


class UsedReading(BaseModel):
    """How an open place of the rules is read."""

    name: str
    ambiguity: str
    choice: str | int
    reason: str


class AttemptMade(BaseModel):
    """An attempt at a duty."""

    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    detail: str


class ExplainedDuty(BaseModel):
    """Why a duty stands where it does, and what would change it."""

    id: str
    requirement: str
    state: DutyState
    reason: str
    deadline: datetime | None
    overdue: bool
    rule: list[str]
    facts: list[UsedFact]
    readings: list[UsedReading]
    days: str
    attempts: list[AttemptMade]
    failed_at_attempt: datetime | None
    failed_at_deadline: datetime | None
    entails: list[str]
    would_change_it: list[str]


class ExplanationDocument(BaseModel):
    """The duties of a device, explained."""

    edition: str
    duties: list[ExplainedDuty]


class DueDuty(BaseModel):
    """A duty that is still to be done."""

    entity_id: EntityText
    requirement: str
    due_by: datetime | None
    overdue: bool
    rig: Annotated[str | None, Field(description="The rig that carries it out, if any.")]


class DueDocument(BaseModel):
    """The duties that are due next, over every rig."""

    open: Annotated[int, Field(ge=0, description="How many there are in all.")]
    duties: list[DueDuty]


class RadioList(BaseModel):
    """How the radios of a rig stand."""

    rig: str
    radios: Annotated[
        dict[str, dict[str, Any]],
        Field(description="By name: state, reason, since, network, and how its devices stand."),
    ]


class HeldStatus(BaseModel):
    """An SMI Status that a device came to hold."""

    status: SMIStatus
    at: datetime
    source: str
    clause: str | None


class DeviceFactsDocument(BaseModel):
    """What is known of a device, as `keyrig facts list --json` has it."""

    entity_id: EntityText
    facts: list[SaidFact]
    smi_status: list[HeldStatus]


class _Said(Asked):
    at: Annotated[
        InstantText | None,
        Field(description="From when on it holds; may lie ahead. Now without it."),
    ] = None
    source: Source | None = None


class SaidType(_Said):
    """What type a device is of."""

    name: Literal["device_type"]
    value: Annotated[DeviceType | None, Field(description="null takes it back.")]


class SaidFlag(_Said):
    """Something that holds of a device or does not."""

    name: Literal[
        "replaced",
        "decommissioned",
        "organisation_certificate_replaced_by_dcc_during_commissioning",
    ]
    value: Annotated[bool | None, Field(strict=True, description="null takes it back.")]


class SaidCommissioning(_Said):
    """When a device was commissioned."""

    name: Literal["commissioned_at"]
    value: Annotated[
        InstantText | DateText | None,
        Field(description="An instant, or its date; null takes it back."),
    ]


class SaidParty(_Said):
    """Who is responsible for a device."""

    name: Literal["lead_supplier", "network_operator"]
    value: Annotated[EntityText | None, Field(description="null takes it back.")]


class SaidChecker(_Said):
    """Who checked the Recovery Certificate after the device was received."""

    name: Literal["recovery_checked_after_receipt_by"]
    value: Annotated[EntityText | Literal["dcc"] | None, Field(description="null takes it back.")]


class SaidParties(_Said):
    """The suppliers that are responsible for a device."""

    name: Literal["responsible_suppliers"]
    value: Annotated[
        list[EntityText] | None, Field(min_length=1, description="null takes it back.")
    ]


class SaidFuels(_Said):
    """The fuels that a device serves."""

    name: Literal["fuels"]
    value: Annotated[list[Fuel] | None, Field(min_length=1, description="null takes it back.")]


class FactSaid(
    RootModel[
        Annotated[
            SaidType
            | SaidFlag
            | SaidCommissioning
            | SaidParty
            | SaidChecker
            | SaidParties
            | SaidFuels,
            Field(discriminator="name"),
        ]
    ]
):
    """One thing that is said of a device, as `keyrig facts set` takes it."""


class FactRecorded(BaseModel):
    """What holds now that something was recorded."""

    told: Annotated[str, Field(description="What holds now, in one line.")]
    device: DeviceFactsDocument


class StatusSaid(Asked):
    """An SMI Status that was set elsewhere."""

    status: SMIStatus
    at: Annotated[
        InstantText | None, Field(description="Since when; not ahead. Now without it.")
    ] = None
    source: Source | None = None


class StatusRecorded(BaseModel):
    """What came of it."""

    entity_id: EntityText
    status: SMIStatus
    is_news: Annotated[bool, Field(description="Whether the device held another before.")]


class InventoryDevice(BaseModel):
    """A device of an inventory."""

    entity_id: EntityText
    type: DeviceType
    news: Annotated[list[str], Field(description="What was new of it.")]


class InventoryTaken(BaseModel):
    """What an inventory said anew."""

    devices: list[InventoryDevice]
    without_duties: Annotated[list[str], Field(description="Type 2 Devices, which owe nothing.")]


class RunRequest(Asked):
    """What is to be carried out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "not": {
                "required": ["cancel", "execute_at"],
                "properties": {"cancel": {"const": True}, "execute_at": {"type": "string"}},
            }
        },
    )

    rig: Annotated[str, Field(description="The rig's name.", examples=["emulated-home"])]
    devices: Annotated[
        list[EntityText], Field(max_length=500, description="Only these; all where empty.")
    ] = []
    execute_at: Annotated[
        InstantText | None,
        Field(description="Have devices replace their organisation certificate then."),
    ] = None
    cancel: Annotated[
        bool,
        Field(
            strict=True,
            description="Carry out no duty; have devices forget what they hold for later.",
        ),
    ] = False
    accept_clock: Annotated[
        bool,
        Field(
            strict=True,
            description="A person says that the clock is right, though it disagrees with what is "
            "on record.",
        ),
    ] = False
    all_or_nothing: Annotated[
        bool,
        Field(
            strict=True,
            description="Reach no device at all where anything that a due duty needs is missing.",
        ),
    ] = False


class RunAccepted(BaseModel):
    """A run that has begun, or was asked to stop."""

    operation_id: OperationId
    rig: str
    state: RunState
    href: Annotated[str, Field(description="Where its state is.")]
    events: Annotated[str, Field(description="Where its events are, as Server-Sent Events.")]


class RunOptions(BaseModel):
    """What was asked for."""

    devices: list[EntityText]
    execute_at: datetime | None
    cancel: bool
    accept_clock: bool
    all_or_nothing: bool = False


class RunSummary(BaseModel):
    """One run."""

    operation_id: OperationId
    rig: str
    state: RunState
    started_at: datetime
    finished_at: datetime | None
    requested_by: Annotated[
        str | None,
        Field(description="The token's name, 'schedule', or null for the command line."),
    ]
    request: Annotated[RunOptions | None, Field(description="null for the command line.")]
    problem: Annotated[Problem | None, Field(description="Why it could not be carried through.")]


class RunDuty(BaseModel):
    """An attempt at a duty in a run."""

    entity_id: EntityText
    requirement: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Annotated[str | None, Field(description="null while it is under way.")]
    detail: str


class RunNotBegun(NotBegunEntry):
    """A duty that was due and that the run did not begin."""

    entity_id: EntityText
    requirement: str


class RunDocument(RunSummary):
    """One run, with what came of it."""

    stoppable: Annotated[bool, Field(description="Whether this server can stop it.")]
    has_events: Annotated[bool, Field(description="Whether its events are kept.")]
    has_report: Annotated[bool, Field(description="Whether reports and evidence can be had.")]
    duties: Annotated[list[RunDuty], Field(description="What was attempted.")]
    not_begun: Annotated[
        list[RunNotBegun], Field(description="What was held back before anything was sent for it.")
    ]


class RunList(BaseModel):
    """Runs, newest first."""

    runs: list[RunSummary]
    next: Annotated[
        OperationId | None, Field(description="Give it as `before` for those that are older.")
    ]


class ParkedEvent(BaseModel):
    """An event that an upstream refused, or that a person holds back."""

    id: str
    type: str
    device: EntityText
    at: datetime
    reason: str
    by_person: bool
    parked_at: datetime


class UpstreamEntry(BaseModel):
    """How one upstream stands."""

    name: str
    kind: Literal["https", "mqtt", "ndjson"]
    address: Annotated[str, Field(description="Where it is, without secrets.")]
    waiting: Annotated[int, Field(ge=0, description="Events that it was not told yet.")]
    parked: Annotated[int, Field(ge=0, description="How many of them are parked.")]
    held_back: Annotated[
        int, Field(ge=0, description="How many wait behind a parked one of their device.")
    ]
    oldest_waiting_at: datetime | None
    last_told_at: datetime | None
    stopped: Annotated[bool, Field(description="Whether a person must act.")]
    failures: Annotated[int, Field(ge=0, description="How often in a row it failed.")]
    last_error: str | None
    last_error_at: datetime | None
    retry_at: datetime | None
    parked_events: list[ParkedEvent]


class OutboxDocument(BaseModel):
    """How every upstream of the settings stands, as `keyrig outbox --json` has it."""

    upstreams: list[UpstreamEntry]


class CertificateEntry(BaseModel):
    """A public certificate of a key store."""

    source: str
    profile: str
    entity_id: EntityText | None
    name: str | None
    role: str | None
    key_usage: str
    cell_usage: str
    not_before: datetime
    not_after: datetime
    subject_key_identifier: str | None
    serial: str
    private_key: Annotated[bool, Field(description="Whether the store has its private key.")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Of its DER.")]
    pem: Annotated[str, Field(description="The certificate.")]


class CertificateList(BaseModel):
    """The public certificates of a rig's key store; private keys are never given."""

    rig: str
    certificates: list[CertificateEntry]
    left_out: Annotated[list[str], Field(description="What could not be used, and why.")]


class CertificateGiven(Asked):
    """A public certificate to add to a rig's key store."""

    pem: Annotated[str, Field(max_length=16_384, description="One certificate in PEM.")]


class WaitingRequestEntry(CertificationRequestEntry):
    """A certification request that waits, with the request itself."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Of its DER.")]
    pem: Annotated[str, Field(description="The request, PKCS#10.")]


class WaitingRequestList(BaseModel):
    """The certification requests of a rig's devices that wait for an authority."""

    rig: str
    requests: Annotated[list[WaitingRequestEntry], Field(description="The longest waiting first.")]


class IssuedCertificatesGiven(Asked):
    """What an authority gave for requests that wait."""

    pem: Annotated[
        str,
        Field(
            # As JSON escapes it at most, it stays below the largest body.
            max_length=150_000,
            description="Certificates in PEM, in any order, or PKCS#7 in PEM; those of "
            "authorities that come along in a chain are passed over.",
        ),
    ]


class TakenCertificate(BaseModel):
    """What became of one certificate that was given."""

    source: Annotated[str, Field(description="Its place among those given.")]
    certificate: Annotated[str, Field(description="Whom and which use it names, for people.")]
    taken: Annotated[bool, Field(description="It was recorded for its request now.")]
    refused: Annotated[bool, Field(description="It is wrong, and nothing was changed for it.")]
    rule: Annotated[str | None, Field(description="Which rule it breaks, where it is refused.")]
    outcome: Annotated[str, Field(description="What became of it, in one line.")]


class CertificatesTaken(BaseModel):
    """What became of each certificate that was given, in the order given."""

    rig: str
    certificates: list[TakenCertificate]
    waiting: Annotated[int, Field(ge=0, description="How many requests of the rig still wait.")]


class CertificateAdded(BaseModel):
    """The certificate that stands in the key store now."""

    certificate: CertificateEntry


def entity_of(text: str) -> EntityIdentifier:
    """Read an Entity Identifier that its pattern let through."""
    return EntityIdentifier.parse(text)
