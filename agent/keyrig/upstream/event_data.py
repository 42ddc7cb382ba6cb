"""The data of each type of event, as published in docs/events."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from keyrig.domain.device_facts import Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.rules import Actor, StepKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA_VERSION: Final = 1
"""The version in every type and schema; raised where a key changes its meaning or goes."""

EVIDENCE_COMMAND: Final = "keyrig report {run} --format evidence"

_REFERENCE: Final = re.compile(r"\b(exchange|alert)s? (\d{1,18}(?:, \d{1,18})*)\b")


class _Data(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class EvidenceReference(_Data):
    """References to the evidence: numbers within the ledger that the event's source names."""

    text: Annotated[str, Field(description="The reference as people write it.")]
    run: Annotated[str | None, Field(description="The run's id.")]
    attempt: Annotated[int | None, Field(description="The attempt at a duty.")]
    exchanges: Annotated[
        tuple[int, ...], Field(description="The commands with their responses, in order.")
    ]
    alerts: Annotated[tuple[int, ...], Field(description="The device alerts.")]
    obtain: Annotated[
        str | None,
        Field(description="The command that writes the evidence, where the ledger is."),
    ]


class DutyOutcomeData(_Data):
    """A duty was done, failed, or was interrupted."""

    duty: Annotated[str, Field(description="The device and the requirement.")]
    requirement: str
    clause: Annotated[str, Field(description="The clause of the Smart Energy Code.")]
    edition: Annotated[str, Field(description="The rule set.")]
    actor: Annotated[Actor, Field(description="Whose duty it is.")]
    step: StepKind
    outcome: Outcome
    detail: Annotated[str, Field(description="Why, in one line.")]
    started_at: Annotated[
        datetime | None, Field(description="When the attempt began; null where none was made.")
    ]
    evidence: Annotated[
        EvidenceReference | None, Field(description="Null where a deadline passed untried.")
    ]


class PermissionData(_Data):
    """The Responsible Supplier may replace and return the Communications Hub meanwhile."""

    clause: str
    reason: Annotated[str, Field(description="The return reason.")]


class InstructionData(_Data):
    """The status that a device must get, by a decision that somebody else carries out."""

    status: SMIStatus
    instead_of: Annotated[SMIStatus | None, Field(description="The status before.")]
    clause: str
    reason: str
    since: datetime
    state: Annotated[str, Field(description="waiting, confirmed, or how it ended otherwise.")]
    channel: Annotated[str, Field(description="How it is carried out.")]


class SMIStatusChangedData(_Data):
    """The SMI Status of a device changed."""

    status: SMIStatus
    before: Annotated[SMIStatus | None, Field(description="Null where it was not known.")]
    cause: str
    clause: Annotated[str | None, Field(description="By which clause; null for another's change.")]
    permission: PermissionData | None = None
    instruction: Annotated[
        InstructionData | None, Field(description="The decision that it rests on, if it is ours.")
    ] = None


class NoticeData(_Data):
    """A Responsible Supplier must be told."""

    to: Annotated[str, Field(description="The Entity Identifier, as 16 digits.")]
    clause: str
    of_step: Annotated[str, Field(description="The failed requirement.")]
    status: SMIStatus
    reason: str


class FlagData(_Data):
    """A person must decide something that the rules leave open."""

    flag: Annotated[str, Field(description="What; a stable name.")]
    reason: str
    requirement: str | None = None
    status: SMIStatus | None = None


class SecurityIncidentData(_Data):
    """A response failed verification."""

    reason: str
    evidence: EvidenceReference


class CertificationRequestData(_Data):
    """A device's certification request waits for the certificate authority, or does no more."""

    state: Annotated[
        Literal["waiting", "certified", "void"],
        Field(description="Void where the request was given up; another follows."),
    ]
    key_usage: Annotated[str, Field(description="digitalSignature or keyAgreement.")]
    key_identifier: Annotated[str, Field(description="Of the key to be certified; 16 digits.")]
    due_by: Annotated[
        datetime | None, Field(description="By when the duty is to be done; null for no deadline.")
    ]
    authority: Annotated[str, Field(description="Who certifies it.")]
    reason: Annotated[str, Field(description="What the authority says, or why it is void.")]


DATA_MODELS: Final[dict[EventType, type[_Data]]] = {
    EventType.DUTY_OUTCOME: DutyOutcomeData,
    EventType.SMI_STATUS_CHANGED: SMIStatusChangedData,
    EventType.NOTICE: NoticeData,
    EventType.FLAG: FlagData,
    EventType.SECURITY_INCIDENT: SecurityIncidentData,
    EventType.CERTIFICATION_REQUEST: CertificationRequestData,
}


def data_of(kind: EventType, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an event: its body, with references to evidence spelt out."""
    data = dict(body)
    if kind is EventType.DUTY_OUTCOME:
        run, attempt = data.pop("run", None), data.pop("attempt", None)
        text = data.get("evidence") or ""
        exchanges, alerts = data.pop("exchanges", None), data.pop("alerts", ())
        if exchanges is None:
            exchanges, alerts = _named_in(text)
        data.setdefault("started_at", None)
        data["evidence"] = (
            None if attempt is None else _reference(text, run, attempt, exchanges, alerts)
        )
    elif kind is EventType.SECURITY_INCIDENT:
        run, exchange = data.pop("run", None), data.pop("exchange", None)
        batch, command = data.pop("batch", None), data.pop("command", None)
        text = "" if exchange is None else f"exchange {exchange}"
        if batch is not None:
            # A delivered command belongs to no run, and has a number of its own.
            text = f"command {command} of delivery {batch}"
        data["evidence"] = _reference(text, run, None, [] if exchange is None else [exchange])
    return data


def schema_id(kind: EventType) -> str:
    """Return the name of the JSON Schema of a type's data."""
    return f"urn:keyrig:event:{kind.value}:{DATA_VERSION}"


def schema_text(kind: EventType) -> str:
    """Return the JSON Schema (2020-12) of a type's data, as published in docs/events."""
    schema = DATA_MODELS[kind].model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema_id(kind)}
    return json.dumps(head | schema, indent=2, ensure_ascii=True) + "\n"


def _named_in(text: str) -> tuple[list[int], list[int]]:
    """Return the exchanges and alerts of an event of a version that did not list them."""
    numbers: dict[str, list[int]] = {"exchange": [], "alert": []}
    for kind, found in _REFERENCE.findall(text):
        numbers[kind] += [int(number) for number in found.split(", ")]
    return numbers["exchange"], numbers["alert"]


def _reference(
    text: str,
    run: str | None,
    attempt: int | None,
    exchanges: Sequence[int] = (),
    alerts: Sequence[int] = (),
) -> dict[str, Any]:
    return {
        "text": text,
        "run": run,
        "attempt": attempt,
        "exchanges": list(exchanges),
        "alerts": list(alerts),
        "obtain": EVIDENCE_COMMAND.format(run=run) if run else None,
    }
