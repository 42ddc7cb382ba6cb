"""The events of a rig: each kind, with its fields.

This is the one declaration of each. Runs, deliveries, transports and the API make them; the
terminal, the JSON lines of `--json`, the API's streams, the page and the tests read them. The
type of an event, as JSON has it, is its class' name: `DutyStarted` is "duty-started". The JSON
Schema of each is docs/run-events.schema.json.

Types and fields are promised to other programs: a field that changes its meaning or goes raises
`EVENT_SCHEMA`; one that comes new does not. A field that does not apply is None, and null in JSON;
events that an earlier release kept may lack those that have a default.

`device` is an Entity Identifier as eight octets with dashes, `run`, `operation` and `batch` are 32
hexadecimal digits, and text may hold what a device or a file said, made printable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - the schema is made from the types
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar, dataclass_transform

from keyrig.base.clock import instant_text

EVENT_SCHEMA: Final = 1
"""Version of the events' form; raised when a field changes its meaning or goes."""

DeviceTypeName: TypeAlias = Literal["GSME", "ESME", "CHF", "GPF", "HCALCS", "PPMID"]
StepName: TypeAlias = Literal[
    "regenerate-keys",
    "replace-organisation-certificate",
    "confirm-recovery-certificate",
    "ensure-supplier-credentials",
    "ensure-network-credentials",
]
DutyOutcomeName: TypeAlias = Literal["done", "failed", "interrupted", "waiting", "scheduled"]
ResultName: TypeAlias = Literal["done", "failed", "needs-person", "error", "interrupted"]
CauseName: TypeAlias = Literal["rig", "keys", "authority", "line"]
NeedName: TypeAlias = Literal[
    "party",
    "broker-key",
    "device-certificate",
    "signing-key",
    "organisation-certificate",
    "certificate-path",
    "recovery-certificate",
    "authority",
    "validity",
    "cell-holder",
]
SMIStatusName: TypeAlias = Literal[
    "Pending",
    "Whitelisted",
    "InstalledNotCommissioned",
    "Commissioned",
    "Decommissioned",
    "Withdrawn",
    "Suspended",
    "Recovery",
    "Recovered",
]
ClockFaultName: TypeAlias = Literal["unset", "behind", "far-ahead", "stepped"]
RadioStateName: TypeAlias = Literal["closed", "starting", "up", "lost, being reconnected", "lost"]
CommandStateName: TypeAlias = Literal[
    "waiting",
    "sent",
    "unanswered",
    "answered",
    "refused",
    "rejected",
    "expired",
    "replayed",
    "withdrawn",
]
VerificationName: TypeAlias = Literal["verified", "not-verifiable-here", "failed"]
BatchRuleName: TypeAlias = Literal["stop", "go-on"]

EVENT_TYPES: Final[dict[str, type[Event]]] = {}
"""Every class of event by its type."""

_WORD_STARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_EventT = TypeVar("_EventT", bound="Event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; its fields are ready for JSON, but for instants and tuples."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}
    type: ClassVar[str]
    """What happened, as JSON has it."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them, without type and instant; see `event_line`."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def event_line(
    event_type: str, at: datetime, fields: Mapping[str, Any], number: int | None = None
) -> dict[str, Any]:
    """Return the JSON object of an event, as a line of `--json` or the data of a stream has it.

    Args:
        event_type: The event's type.
        at: When it happened.
        fields: Its fields, ready for JSON.
        number: Its number within its operation, in a stream.
    """
    numbered = {} if number is None else {"number": number}
    return {
        "schema": EVENT_SCHEMA,
        **numbered,
        "type": event_type,
        "at": instant_text(at),
        **fields,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant_text(value)
    return list(value) if isinstance(value, tuple) else value


@dataclass_transform(kw_only_default=True, frozen_default=True)
def _event(cls: type[_EventT]) -> type[_EventT]:
    made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
    made.type = "-".join(_WORD_STARTS.split(cls.__name__)).lower()
    EVENT_TYPES[made.type] = made
    return made


# A run, and what comes before it.


@_event
class Preparing(Event):
    """A preparation, or a wait, before a run can begin."""

    what: str


@_event
class Hosting(Event):
    """An emulated device listens."""

    device: str
    device_type: DeviceTypeName
    url: str
    framing: Literal["hdlc", "gfi"]


@_event
class HostingRadio(Event):
    """An emulated radio listens."""

    radio: str
    url: str


@_event
class Ready(Event):
    """All emulated devices are hosted."""

    devices: int


@_event
class RunStarted(Event):
    """A run begins."""

    run: str
    rig: str
    edition: str
    """The rule set."""
    duties: int
    """How many duties are due."""
    devices: int
    """How many devices have due duties."""


@_event
class RunRefused(Event):
    """No duty of a run was begun, since the run was to begin all or none."""

    run: str
    reason: str


@_event
class RunStopped(Event):
    """A run was stopped on request."""

    run: str
    reason: str


@_event
class RunFinished(Event):
    """A run has ended."""

    run: str
    result: ResultName
    failed: tuple[str, ...]
    """What failed, a line each."""
    needs_person: tuple[str, ...]
    """What a person must act on, a line each."""
    still_due: int
    """How many duties are still to be done."""


@_event
class Clock(Event):
    """The rig's clock cannot be believed, or was set while a run went on."""

    fault: ClockFaultName
    by_s: float
    """By how many seconds; forward is positive."""
    detail: str


@_event
class InterruptionFound(Event):
    """An earlier run left an attempt open."""

    duty: str
    run: str
    """The earlier run."""


@_event
class Plan(Event):
    """The plan of a rig; the last event of a command that shows it."""

    edition: str
    """The rule set."""
    made_at: datetime
    devices: tuple[Mapping[str, Any], ...]
    """Each as in the document that the API gives of the plan."""


# A device, its duties and what it says.


@_event
class DeviceStarted(Event):
    """A run begins with a device."""

    device: str
    device_type: DeviceTypeName
    link: str
    duties: tuple[str, ...]
    """The requirements that are to be carried out, in order."""


@_event
class DeviceRefused(Event):
    """A device is skipped, since what it reports cannot be trusted."""

    device: str
    reason: str


@_event
class DeviceFinished(Event):
    """A run has finished with a device, whatever the outcome."""

    device: str


@_event
class PersonNeeded(Event):
    """An obstacle that a person must remove."""

    device: str
    reason: str


@_event
class DutyNotBegun(Event):
    """A due duty is held back, since something that it needs is missing."""

    device: str
    duty: str
    requirement: str
    rule: NeedName
    """What kind of thing is missing."""
    cause: CauseName
    """Whose it is."""
    reason: str
    mend: str


@_event
class DutyStarted(Event):
    """An attempt at a duty begins."""

    device: str
    duty: str
    requirement: str
    clause: str
    """The clause of the Smart Energy Code."""
    step: StepName
    attempt: int
    """Which one it is, from 1."""


@_event
class DutyFinished(Event):
    """An attempt at a duty ended, or a future dated replacement was carried out."""

    device: str
    duty: str
    requirement: str
    outcome: DutyOutcomeName
    detail: str


@_event
class CommandSent(Event):
    """A command is about to be sent."""

    device: str
    what: str
    counter: int | None
    """The originator's counter; null where the DCC takes one that is not known here."""
    octets: int
    timeout_s: float
    """For how long its answer is waited for."""
    position: int | None = None
    """Its place in its batch, where it is one for local delivery."""
    sending: int | None = None
    """How often it was sent with this time, where it is one for local delivery."""
    service_request: str | None = None
    """The service request by which it leaves, where it goes through the DCC."""


@_event
class ResponseVerified(Event):
    """A response came and passed verification, whatever it says."""

    device: str
    what: str
    octets: int
    lengths_not_minimal: int
    """How many lengths were longer than they need be."""


@_event
class NoResponse(Event):
    """No response came in time, or none will come."""

    device: str
    counter: int | None
    """As in `command-sent`."""
    waited_s: float


@_event
class Noise(Event):
    """Something was received that is ignored."""

    reason: str
    device: str | None = None
    """Whose it is, where that is known."""
    link: str | None = None
    """Where it came, where `device` is null."""


@_event
class Alert(Event):
    """A device sent an alert."""

    device: str
    message_code: str
    """Four hexadecimal digits."""
    alert_code: str | None
    """Four hexadecimal digits; null where it has none that can be read."""
    verified: bool


@_event
class SecurityIncident(Event):
    """A response failed verification."""

    device: str
    reason: str
    position: int | None = None
    """The place in its batch of the command that it answers, where it is one for local delivery."""


@_event
class Certifying(Event):
    """The certificate authority is about to be asked."""

    device: str
    key_usage: str
    authority: str


@_event
class RequestWaiting(Event):
    """A certification request waits for the authority."""

    device: str
    key_usage: str
    authority: str
    answer: str
    """What the authority said."""


@_event
class RequestCertified(Event):
    """A certification request that was asked before has been certified."""

    device: str
    key_usage: str
    authority: str
    answer: str
    """Always empty."""


@_event
class ReplacementLapsed(Event):
    """No alert came of a future dated replacement; the duty is due again."""

    device: str
    requirement: str
    execution_at: datetime


@_event
class Cancellation(Event):
    """A device was sent the cancellation of its future dated commands."""

    device: str
    duty: str
    detail: str


# What follows from an outcome.


@_event
class SMIStatus(Event):
    """An SMI Status follows from an outcome."""

    device: str
    status: SMIStatusName
    clause: str
    reason: str


@_event
class Permission(Event):
    """The Communications Hub may be replaced."""

    device: str
    clause: str
    reason: str
    """The return reason."""


@_event
class Notice(Event):
    """A party must be notified."""

    device: str
    to: str
    clause: str
    reason: str


@_event
class Flag(Event):
    """A question that the rules leave to a person."""

    device: str
    flag: str
    """A stable name."""
    reason: str


# The DCC.


@_event
class Receiving(Event):
    """The DCC's answers are received here."""

    address: str
    path: str


@_event
class DocumentRefused(Event):
    """A document from the DCC's side was refused."""

    device: str
    """The device that is being waited for."""
    reason: str


@_event
class DCCAlert(Event):
    """The DCC sent an alert."""

    device: str | None
    """Which it is about; null where it is about none."""
    alert: str
    code: str
    signed: bool


# Radios.


@_event
class Radio(Event):
    """The state of a radio changed."""

    radio: str
    state: RadioStateName
    reason: str
    """Why, or ""."""


@_event
class RadioStillLost(Event):
    """An attempt to reconnect a radio failed; others follow."""

    radio: str
    reason: str


@_event
class RadioLacksSmartEnergy(Event):
    """A radio cannot establish keys; no device is admitted."""

    radio: str
    why: str


@_event
class RadioStanding(Event):
    """The state of a radio, as `keyrig status` shows it; null for what is not on record."""

    radio: str
    state: str
    """As in `radio`, or "not in use" or "not started"."""
    reason: str | None
    since: str | None
    """An instant, as the agent wrote it that started the radio."""
    devices: Mapping[str, str]
    """How far each device is, in words."""
    last_state: str | None = None
    """As in `radio`, where `state` is "not in use"."""
    channel: int | None = None
    """11..26."""
    pan_id: str | None = None
    """Four hexadecimal digits."""
    extended_pan_id: str | None = None
    version: str | None = None
    """The radio's firmware."""


@_event
class RadioFacts(Event):
    """A radio's identity and its network; the network's fields are null where there is none."""

    port: str
    ezsp_version: int
    firmware: str
    manufacturer: str
    """What it calls its maker."""
    board: str
    """What it calls itself."""
    eui64: str
    smart_energy: bool
    """Whether it establishes keys and has a certificate."""
    smart_energy_status: str
    """Why not, or ""."""
    channel: int | None = None
    """11..26."""
    pan_id: str | None = None
    """Four hexadecimal digits."""
    extended_pan_id: str | None = None
    """As Entity Identifiers are written."""
    network_key_sequence: int | None = None
    """The number of the network key."""
    link_keys: int | None = None
    """With how many devices a key was established."""
    children: int | None = None
    """How many devices of the network sleep."""


@_event
class Network(Event):
    """A network is up, or was found."""

    radio: str
    channel: int
    """11..26."""
    pan_id: str
    """Four hexadecimal digits."""
    extended_pan_id: str
    version: str
    """The radio's firmware; "" where the network is another's."""


@_event
class Forming(Event):
    """A radio forms a network."""

    radio: str
    channel: int
    """11..26."""


@_event
class Node(Event):
    """A device joined a network, left it, or was kept out."""

    radio: str
    device: str
    state: Literal["joined", "left", "kept out"]


@_event
class NodeState(Event):
    """The state of a device in a network."""

    radio: str
    device: str
    state: str
    """In words."""


@_event
class KeysEstablished(Event):
    """A key was established with a device."""

    device: str


@_event
class KeysRefused(Event):
    """No key could be established with a device."""

    device: str
    reason: str


@_event
class NetworkKey(Event):
    """The network key was changed."""

    radio: str
    sequence: int
    """Its number."""


@_event
class WaitingForWake(Event):
    """A device sleeps, and a message waits for it."""

    device: str
    link: str
    at_most_s: float


@_event
class Fault(Event):
    """An unexpected error in the agent, which goes on."""

    link: str
    reason: str


# Local delivery.


@_event
class DeliveryStarted(Event):
    """The delivery of a batch begins, or continues."""

    batch: str
    rig: str
    device: str
    link: str
    rule: BatchRuleName
    """What becomes of the commands behind one that was not carried out."""
    commands: int
    to_send: int
    """How many may still be sent."""


@_event
class LocalCommand(Event):
    """A command for local delivery, as checked, or with its state in its batch."""

    position: int
    """From 1."""
    device: str
    originator: str
    counter: int
    message_code: str
    """Four hexadecimal digits."""
    what: str
    request_id: str | None
    """The DUIS RequestID that it belongs to."""
    source: str
    """Where it was read."""
    octets: int
    digest: str
    """SHA-256 of it, as hexadecimal digits."""
    remarks: str
    """What could be checked."""
    expires_at: datetime
    """Until when it may be sent."""
    batch: str | None = None
    """Null where it was only checked; the fields below too."""
    state: CommandStateName | None = None
    sendings: int | None = None
    """How often it was sent."""
    verification: VerificationName | None = None
    """What is known of its answer's protection; null without an answer."""
    detail: str | None = None
    return_id: str | None = None
    """The RequestID of its answer."""


@_event
class LocalAnswer(Event):
    """A command of a batch was answered."""

    device: str
    what: str
    position: int
    counter: int
    octets: int
    """How long the answer is."""
    state: CommandStateName
    verification: VerificationName
    detail: str


@_event
class AnswerWritten(Event):
    """An answer is in a file, to be returned."""

    device: str
    position: int
    path: str


@_event
class CommandExpired(Event):
    """A command's time passed before it was answered."""

    device: str
    position: int
    detail: str


@_event
class DeliveryStopped(Event):
    """A delivery stopped at a command that was not carried out; those behind it wait."""

    batch: str
    position: int
    """The one that was not carried out."""
    state: CommandStateName
    waiting: int
    """How many wait."""


@_event
class DeliveryFinished(Event):
    """The delivery of a batch has ended for now."""

    batch: str
    device: str
    result: ResultName
    detail: str
    states: Mapping[str, int]
    """How many commands are in each state."""
    left: int
    """How many may still be sent."""


@_event
class BatchWithdrawn(Event):
    """A batch was withdrawn."""

    batch: str
    device: str
    commands: int
    """How many could still be sent."""


@_event
class LocalBatch(Event):
    """The state of a batch."""

    batch: str
    rig: str
    device: str
    rule: BatchRuleName
    taken_in_at: datetime
    finished_at: datetime | None
    outcome: ResultName | None
    """How its delivery ended; null before."""
    detail: str
    commands: int
    left: int
    """How many may still be sent."""
    states: Mapping[str, int]
    """How many commands are in each state."""


# Upstreams.


@_event
class UpstreamWaiting(Event):
    """Events are being published to an upstream, and somebody waits for it."""

    upstream: str
    waiting: int
    """How many events wait."""


@_event
class UpstreamStanding(Event):
    """The state of an upstream."""

    upstream: str
    waiting: int
    """How many events wait."""
    parked: int
    """How many of them it refused, or a person holds back."""
    held_back: int
    """How many of them wait behind a parked one of the same device."""
    oldest_waiting_at: datetime | None
    last_told_at: datetime | None
    stopped: bool
    """Whether a person must act before it is told anything more."""
    failures: int
    """How many attempts failed in a row."""
    last_error: str | None
    last_error_at: datetime | None
    retry_at: datetime | None
    """When it is tried again."""


@_event
class UpstreamTold(Event):
    """An upstream accepts events again."""

    upstream: str


@_event
class UpstreamSetBack(Event):
    """Publishing to an upstream failed; it will be retried."""

    upstream: str
    reason: str


# Operations of the API; these are in its streams alone.


@_event
class OperationAccepted(Event):
    """An operation begins: a run, or the delivery of a batch; its stream's first event."""

    operation: str
    rig: str
    requested_by: str
    devices: tuple[str, ...] | None = None
    """Of a run: the devices to reach; all where empty."""
    execute_at: str | None = None
    """Of a run: when devices are to replace their certificates; null for at once."""
    cancel: bool | None = None
    """Of a run: whether devices are to forget what they hold for later, and no more."""
    accept_clock: bool | None = None
    """Of a run: whether a person says that the clock is right."""
    all_or_nothing: bool | None = None
    """Of a run: whether no device is to be reached where anything is missing."""
    delivery: str | None = None
    """Of a delivery: its batch."""
    device: str | None = None
    """Of a delivery: its device."""


@_event
class StopRequested(Event):
    """Somebody asked the operation to stop."""

    by: str


@_event
class OperationFinished(Event):
    """An operation has ended; its stream's last event."""

    result: ResultName
    problem: Mapping[str, Any] | None
    """Why it could not be carried through, as a problem document."""
