"""The lines of an evidence file, as they are written, read, and published as a JSON Schema."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
)
from pydantic.json_schema import models_json_schema

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.clock import instant_text
from keyrig.documents.document_model import Document, NotBegunPart
from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.device_facts import AttemptFact, Outcome
from keyrig.domain.known_facts import FactName, KnownFact, read_value
from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import ExchangeOutcome, ServiceDocumentKind
from keyrig.duties.rules import Actor

EVIDENCE_SCHEMA: Final = 1
"""Version of the form; raised when a line changes its meaning."""
SCHEMA_ID: Final = "urn:keyrig:evidence:1"


def _read_octets(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        octets = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"not base64: {error}") from None
    if _base64(octets) != value:
        raise ValueError("not base64 in its one form")
    return octets


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _read_instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("an instant without its zone")
    return instant


def _read_entity(value: Any) -> EntityIdentifier:
    return value if isinstance(value, EntityIdentifier) else EntityIdentifier.parse(value)


Octets = Annotated[
    bytes,
    PlainValidator(_read_octets),
    PlainSerializer(_base64, return_type=str),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
FiledInstant = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    PlainSerializer(instant_text, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
"""An instant; earlier versions wrote it with its offset, to the microsecond."""
Device = Annotated[
    EntityIdentifier,
    PlainValidator(_read_entity),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9A-F]{2}(-[0-9A-F]{2}){7}$"}),
]


class EvidenceBody(Document):
    """The body of a line; unknown keys are ignored."""

    model_config = ConfigDict(strict=True)
    line_kind: ClassVar[str]
    _line: int = PrivateAttr(default=0)

    @property
    def line(self) -> int:
        """The number of its line in its file, counted from 1."""
        return self._line

    def at_line(self, number: int) -> Self:
        """Record the number of its line, and return the body."""
        self._line = number
        return self


class Parties(Document):
    """The parties of a run."""

    model_config = ConfigDict(strict=True, extra="allow")
    access_control_broker: str
    transitional_cos: str
    recovery_certificate: str = Field(description="Its SHA-256, or empty.")
    carried_out: list[Annotated[Actor, BeforeValidator(Actor)]]


class HeaderBody(EvidenceBody):
    """The first line: which run, and by which key it is sealed."""

    line_kind: ClassVar[str] = "header"
    schema_number: Literal[1] = Field(
        default=EVIDENCE_SCHEMA, validation_alias="schema", serialization_alias="schema"
    )
    run: str
    rig: str
    started_at: FiledInstant
    finished_at: FiledInstant
    outcome: Annotated[RunResult, BeforeValidator(RunResult)] | None
    agent_version: str | None
    parties: Parties
    made_at: FiledInstant
    made_by: str
    public_key: Octets = Field(description="SubjectPublicKeyInfo of the key that seals.")


class RulesBody(EvidenceBody):
    """The rule set of the run."""

    line_kind: ClassVar[str] = "rules"
    edition: str
    digest: str
    text: str = Field(description="The whole rule set as canonical JSON.")


class ClockBody(EvidenceBody):
    """A fault of the rig's clock that the run found; for information only."""

    line_kind: ClassVar[str] = "clock"
    fault: Annotated[ClockFault, BeforeValidator(ClockFault)]
    detail: str
    at: FiledInstant


class CertificateBody(EvidenceBody):
    """A certificate of an organisation or authority."""

    line_kind: ClassVar[str] = "certificate"
    der: Octets


class DeviceCertificateBody(EvidenceBody):
    """A certificate of a device's own, of whatever time."""

    line_kind: ClassVar[str] = "device-certificate"
    device: Device
    der: Octets


class FactBody(EvidenceBody):
    """A fact that was recorded of a device."""

    line_kind: ClassVar[str] = "fact"
    device: Device
    name: Annotated[FactName, BeforeValidator(FactName)]
    value: Any = Field(description="Text, true or false, or a list of texts; or null.")
    at: FiledInstant | None = Field(description="From when on it holds, where that was said.")
    source: str
    recorded_at: FiledInstant

    def known(self) -> KnownFact:
        """Return the fact in the planner's form.

        Raises:
            ValueError: It has no value of that fact.
        """
        return KnownFact(
            name=self.name,
            value=None if self.value is None else read_value(self.name, self.value),
            at=self.at,
            source=self.source,
            recorded_at=self.recorded_at,
        )


class SMIStatusBody(EvidenceBody):
    """A status that a device came to hold; for information only."""

    line_kind: ClassVar[str] = "smi-status"
    device: Device
    status: Annotated[SMIStatus, BeforeValidator(SMIStatus)]
    at: FiledInstant
    cause: str
    clause: str


class AttemptBody(EvidenceBody):
    """An attempt at a duty, of this run or before."""

    line_kind: ClassVar[str] = "attempt"
    id: int
    run: str = Field(validation_alias=AliasChoices("run", "run_id"))
    device: Device
    requirement: str
    started_at: FiledInstant
    finished_at: FiledInstant | None
    outcome: Annotated[Outcome, BeforeValidator(Outcome)] | None
    detail: str

    @property
    def fact(self) -> AttemptFact:
        """The attempt as the planner takes it."""
        return AttemptFact(
            started_at=self.started_at,
            finished_at=self.finished_at,
            outcome=self.outcome,
            detail=self.detail,
        )


class ScheduledBody(EvidenceBody):
    """A future dated replacement that a device held as the run ended."""

    line_kind: ClassVar[str] = "scheduled"
    device: Device
    requirement: str
    execution_at: FiledInstant


class ExchangeBody(EvidenceBody):
    """A command and its response, and the attempt that they belong to."""

    line_kind: ClassVar[str] = "exchange"
    id: int
    run: str = Field(validation_alias=AliasChoices("run", "run_id"))
    attempt: int | None = Field(validation_alias=AliasChoices("attempt", "attempt_id"))
    device: Device
    sent_at: FiledInstant
    finished_at: FiledInstant | None
    outcome: Annotated[ExchangeOutcome, BeforeValidator(ExchangeOutcome)] | None
    detail: str
    command: Octets
    response: Octets | None


class ServiceDocumentBody(EvidenceBody):
    """A service request, or what the DCC answered, as it went over the line."""

    line_kind: ClassVar[str] = "service-document"
    id: int
    run: str | None = Field(validation_alias=AliasChoices("run", "run_id"))
    exchange: int | None = Field(validation_alias=AliasChoices("exchange", "exchange_id"))
    device: Device | None
    at: FiledInstant
    kind: Annotated[ServiceDocumentKind, BeforeValidator(ServiceDocumentKind)]
    service: str
    request: str = Field(validation_alias=AliasChoices("request", "request_id"))
    believed_by: str = Field(
        validation_alias=AliasChoices("believed_by", "signer"),
        description="The certificate that the rig believed it by; empty where it rested on the "
        "line to the DCC.",
    )
    detail: str
    document: Octets


class AlertBody(EvidenceBody):
    """An alert of the run."""

    line_kind: ClassVar[str] = "alert"
    device: Device
    received_at: FiledInstant
    verified: bool
    octets: Octets


class DutyBody(EvidenceBody):
    """The state of a duty as the run ended."""

    line_kind: ClassVar[str] = "duty"
    device: Device
    requirement: str
    clause: str
    state: str
    deadline: FiledInstant | None
    overdue: bool
    reason: str
    # Files of earlier versions lack these two.
    waiting_since: FiledInstant | None = Field(
        default=None,
        description="Since when its certification requests waited for the authority, where they "
        "did as the run ended.",
    )
    not_begun: NotBegunPart | None = Field(
        default=None, description="What kept the run from beginning it."
    )


class SealBody(EvidenceBody):
    """The last line: the signature of what leads up to it."""

    line_kind: ClassVar[str] = "seal"
    signature: Octets


BODIES: Final[dict[str, type[EvidenceBody]]] = {
    model.line_kind: model
    for model in (
        HeaderBody,
        RulesBody,
        ClockBody,
        CertificateBody,
        DeviceCertificateBody,
        FactBody,
        SMIStatusBody,
        AttemptBody,
        ScheduledBody,
        ExchangeBody,
        ServiceDocumentBody,
        AlertBody,
        DutyBody,
        SealBody,
    )
}


def schema_text() -> str:
    """Return the JSON Schema (2020-12) of a line, as published in docs/evidence.schema.json."""
    references, schema = models_json_schema(
        [(model, "serialization") for model in BODIES.values()],
        title="a line of a keyrig evidence file",
    )
    lines = [
        {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1},
                "kind": {"const": kind},
                "previous": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "body": references[model, "serialization"],
            },
            "required": ["n", "kind", "previous", "body"],
            "additionalProperties": False,
        }
        for kind, model in BODIES.items()
    ]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(head | schema | {"oneOf": lines}, indent=2, ensure_ascii=True) + "\n"
