"""Documents of the API alone; those that the command line prints too are `keyrig.documents`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from gbcs.roles import DeviceType
from keyrig.api.problem_documents import TYPE_PREFIX, Problem
from keyrig.api.request_bodies import OperationId
from keyrig.base.events import ResultName
from keyrig.documents.certificate_document import CertificateDocument
from keyrig.documents.certification_document import TakenCertificate, WaitingRequestDocument
from keyrig.documents.delivery_document import (
    BATCH_EXAMPLE,
    BatchId,
    BatchStanding,
    DeliveredCommand,
)
from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Count,
    Document,
    Eui,
    Instant,
    NotBegunPart,
)
from keyrig.documents.fact_document import DeviceFactsDocument
from keyrig.documents.plan_document import EDITION_EXAMPLE, AttemptMade, PlannedDevice
from keyrig.domain.smi_status import SMIStatus

RUN_EXAMPLE: Final = "52fe54b1c0e94ad0a7bb2b8b2f1c6f11"
RunState = Literal["running", ResultName]
DeliveryState = Literal["waiting", RunState]


_NOT_RECORDED: Final = {
    "type": f"{TYPE_PREFIX}unknown",
    "title": "",
    "status": 500,
    "detail": "",
    "code": "unknown",
    "step": "",
    "cause": "",
    "hint": "",
}


def _recorded(found: Any) -> Any:
    """Return a problem as the ledger has it, whichever version recorded it."""
    return {**_NOT_RECORDED, **found} if isinstance(found, dict) else found


ProblemPart = Annotated[
    Annotated[Problem, BeforeValidator(_recorded)] | None,
    Field(description="Why it could not be carried through.", examples=[None]),
]
Operation = Annotated[OperationId, Field(examples=[RUN_EXAMPLE])]
Rig = Annotated[str, Field(description="The rig's name.", examples=["emulated-home"])]


class Check(Document):
    """One check of readiness, and its result."""

    what: Literal["ledger", "rigs", "events"] = Field(description="What was looked at.")
    good: bool = Field(description="Whether it is as it should be.", examples=[True])


class Live(Document):
    """True if the server answers."""

    live: bool = Field(description="It answers.", examples=[True])
    ready: bool = Field(description="It can carry out runs.", examples=[True])
    version: str = Field(description="The version of keyrig.", examples=["0.1.0"])
    checks: tuple[Check, ...] = Field(
        description="What readiness was judged by; see `keyrig doctor`."
    )


class RigEntryDevice(Document):
    """A device of a rig."""

    entity_id: Eui
    type: DeviceType = Field(examples=["ESME"])
    link: str = Field(description="How it is reached.", examples=["emulated: gfi"])


class RigEntry(Document):
    """A rig that is served."""

    name: Rig
    file: str = Field(description="Its file.", examples=["emulated-home.toml"])
    emulated: bool = Field(description="Whether any of its devices is emulated.", examples=[True])
    devices: tuple[RigEntryDevice, ...] = Field(description="Its devices, in order.")
    radios: tuple[str, ...] = Field(description="The names of its radios.", examples=[[]])
    running: str | None = Field(
        description="The operation on it that is under way in this server.", examples=[None]
    )
    problem: ProblemPart = Field(description="Why its file cannot be used.")


class RigList(Document):
    """The rigs that are served."""

    rigs: tuple[RigEntry, ...]


class DeviceEntry(PlannedDevice):
    """One device of a rig, with all its duties, done or not."""

    link: str = Field(description="How it is reached.", examples=["emulated: gfi"])
    open_duties: Count = Field(description="How many are still to be done.", examples=[1])
    next_deadline: Instant | None = Field(
        description="The nearest of those.", examples=[DEADLINE_EXAMPLE]
    )
    overdue: bool = Field(description="Whether the deadline of one has passed.")
    held_by: str | None = Field(
        description="The operation that reaches it at this moment, '' where another program "
        "does; up to a second old.",
        examples=[None],
    )


class DeviceList(Document):
    """The devices of a rig."""

    rig: Rig
    edition: str = Field(examples=[EDITION_EXAMPLE])
    made_at: Instant
    devices: tuple[DeviceEntry, ...]


class RadioList(Document):
    """The state of a rig's radios."""

    rig: Rig
    radios: dict[str, dict[str, Any]] = Field(
        description="By name: state, reason, since, network, and how its devices stand.",
        examples=[
            {
                "hub": {
                    "state": "up",
                    "reason": "",
                    "since": "2026-11-24T09:00:00.000Z",
                    "channel": 15,
                    "pan_id": "1a62",
                    "devices": {"00-DB-12-34-56-78-90-A0": "ready"},
                }
            }
        ],
    )


class FactRecorded(Document):
    """The facts of a device after one was recorded."""

    told: str = Field(
        description="What holds now, in one line.",
        examples=["00-DB-12-34-56-78-90-A0: lead_supplier is 90-B3-D5-1F-30-01-00-00"],
    )
    device: DeviceFactsDocument


class StatusRecorded(Document):
    """An SMI Status that was recorded, and whether it differs from the last one."""

    entity_id: Eui
    status: SMIStatus = Field(examples=["Commissioned"])
    is_news: bool = Field(description="Whether the device held another before.")


class RunAccepted(Document):
    """A run that has begun, or was asked to stop."""

    operation_id: Operation
    rig: Rig
    state: RunState
    href: str = Field(description="Where its state is.", examples=[f"/api/v1/runs/{RUN_EXAMPLE}"])
    events: str = Field(
        description="Where its events are, as Server-Sent Events.",
        examples=[f"/api/v1/runs/{RUN_EXAMPLE}/events"],
    )


class RunOptions(Document):
    """The options of a run; earlier versions had fewer."""

    devices: tuple[Eui, ...] = Field(default=(), examples=[[]])
    execute_at: Instant | None = Field(default=None, examples=[None])
    cancel: bool = False
    accept_clock: bool = False
    all_or_nothing: bool = False


class RunSummary(Document):
    """A run, and how it stands."""

    operation_id: Operation
    rig: Rig
    state: RunState = Field(examples=["done"])
    started_at: Instant
    finished_at: Instant | None = Field(examples=["2026-11-24T09:01:30.000Z"])
    requested_by: str | None = Field(
        description="The token's name, 'schedule', or null for the command line.",
        examples=["handheld-7"],
    )
    request: RunOptions | None = Field(description="null for the command line.")
    problem: ProblemPart


class RunDuty(AttemptMade):
    """An attempt at a duty in a run."""

    entity_id: Eui = Field(validation_alias="device")
    requirement: str = Field(examples=["R37c"])


class RunNotBegun(NotBegunPart):
    """A duty that was due and that the run did not begin."""

    entity_id: Eui
    requirement: str = Field(examples=["R39"])


class RunDocument(RunSummary):
    """A run, with the outcome of each of its duties."""

    stoppable: bool = Field(description="Whether this server can stop it.")
    has_events: bool = Field(description="Whether its events are kept.", examples=[True])
    has_report: bool = Field(
        description="Whether reports and evidence can be had.", examples=[True]
    )
    duties: tuple[RunDuty, ...] = Field(description="What was attempted.")
    not_begun: tuple[RunNotBegun, ...] = Field(
        description="What was held back before anything was sent for it."
    )


class RunList(Document):
    """Runs, newest first."""

    runs: tuple[RunSummary, ...]
    next: OperationId | None = Field(
        description="Give it as `before` for those that are older.", examples=[None]
    )


class DeliveryAccepted(Document):
    """A delivery that has begun, or was asked to stop."""

    delivery_id: BatchId
    operation_id: Operation
    rig: Rig
    device: Eui
    state: DeliveryState = Field(examples=["running"])
    href: str = Field(
        description="Where its state and its answers are.",
        examples=[f"/api/v1/deliveries/{BATCH_EXAMPLE}"],
    )
    events: str = Field(
        description="Where its events are, as Server-Sent Events.",
        examples=[f"/api/v1/deliveries/{BATCH_EXAMPLE}/events"],
    )


class DeliverySummary(BatchStanding):
    """A delivery, and how it stands."""

    delivery_id: BatchId
    operation_id: Operation | None = Field(
        description="The last of this API; null for the command line."
    )
    state: DeliveryState = Field(examples=["done"])


class DeliveryDocument(DeliverySummary):
    """A delivery, with its commands and the device's responses."""

    problem: ProblemPart
    stoppable: bool = Field(description="Whether this server can stop it.")
    commands: tuple[DeliveredCommand, ...]


class DeliveryList(Document):
    """Deliveries, newest first."""

    deliveries: tuple[DeliverySummary, ...]
    next: BatchId | None = Field(
        description="Give it as `before` for those that are older.", examples=[None]
    )


class DeliveryWithdrawn(Document):
    """A delivery that was withdrawn."""

    delivery_id: BatchId
    withdrawn: Count = Field(description="How many commands could still be sent.", examples=[1])


class CertificateList(Document):
    """The public certificates of a rig's key store; private keys are never returned."""

    rig: Rig
    certificates: tuple[CertificateDocument, ...]
    left_out: tuple[str, ...] = Field(description="What could not be used, and why.", examples=[[]])


class CertificateAdded(Document):
    """The certificate that is in the key store now."""

    certificate: CertificateDocument


class WaitingRequestList(Document):
    """The certification requests of a rig's devices that wait for an authority."""

    rig: Rig
    requests: tuple[WaitingRequestDocument, ...] = Field(description="The longest waiting first.")


class CertificatesTaken(Document):
    """The result for each certificate that was sent, in the order sent."""

    rig: Rig
    certificates: tuple[TakenCertificate, ...]
    waiting: Count = Field(description="How many requests of the rig still wait.", examples=[1])
