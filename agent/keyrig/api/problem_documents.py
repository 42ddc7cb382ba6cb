"""Problem documents: every error of the API as RFC 9457 has it, with a stable code."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from starlette.responses import Response

from duis.errors import DocumentInvalid
from gbcs.errors import KeyrigError, ProtocolError, SecurityError
from gbcs.printable import printable
from keyrig.base.errors import (
    AuthorityError,
    ClockWrong,
    DCCNotBelieved,
    DCCUnreachable,
    DeviceBusy,
    DeviceUnavailable,
    FileInvalid,
    KeyLocked,
    KeyMissing,
    KeyStoreError,
    LedgerError,
    LedgerLocked,
    LedgerRefused,
    LinkError,
    NoServiceRequest,
    PortBusy,
    PortMissing,
    RadioError,
    ReceiverUnusable,
    RecoveryUntrusted,
    RigBusy,
    RigError,
    RigFileInvalid,
    RulesInvalid,
    ServiceRefused,
    SettingsError,
    WrongDevice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:keyrig:problem:"
RETRY_LOCKED_S: Final = 1
_TEXT_CHARACTERS: Final = 4096


class FieldFault(BaseModel):
    """One thing that is wrong with a request."""

    where: Annotated[str, Field(description="Which part: body, path, query or header, and key.")]
    reason: Annotated[str, Field(description="What is wrong with it.")]


class Problem(BaseModel):
    """Why something was not done, as RFC 9457 has it; what is not known is left out."""

    model_config = ConfigDict(json_schema_mode_override="validation")

    type: Annotated[str, Field(description="The code as a URI.")]
    title: Annotated[str, Field(description="The kind of problem; the same for every such.")]
    status: Annotated[int, Field(ge=400, le=599, description="The HTTP status.")]
    detail: Annotated[str, Field(description="What happened, in one line.")]
    instance: Annotated[str | None, Field(description="The path that was asked for.")] = None
    code: Annotated[
        str,
        Field(pattern=r"^[a-z0-9-]+$", description="Stable; what programs tell problems by."),
    ]
    step: Annotated[str, Field(description="At which step it happened.")]
    cause: Annotated[str, Field(description="Why, as far as is known.")]
    hint: Annotated[str, Field(description="What to do about it.")]
    operation_id: Annotated[
        str | None, Field(description="The operation that stands in the way, where one does.")
    ] = None
    errors: Annotated[
        list[FieldFault] | None, Field(description="What is wrong with the request, one by one.")
    ] = None

    @model_serializer(mode="wrap")
    def _known(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class ProblemFound(Exception):  # noqa: N818 - an answer, not an error of the program
    """Ends a request with a problem document.

    Args:
        problem: The document.
        headers: What goes along, such as Retry-After.
    """

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = dict(headers or {})


class _Kind(NamedTuple):
    code: str
    status: HTTPStatus
    title: str


_KINDS: Final[Sequence[tuple[type[Exception], _Kind]]] = (
    (DeviceBusy, _Kind("device-busy", HTTPStatus.CONFLICT, "The device is in use")),
    (RigBusy, _Kind("rig-busy", HTTPStatus.CONFLICT, "The rig is in use")),
    (ClockWrong, _Kind("clock-wrong", HTTPStatus.CONFLICT, "The clock cannot be believed")),
    (RigFileInvalid, _Kind("rig-file-invalid", HTTPStatus.SERVICE_UNAVAILABLE, "Broken rig file")),
    (RulesInvalid, _Kind("rules-invalid", HTTPStatus.SERVICE_UNAVAILABLE, "Broken rule set")),
    (
        DocumentInvalid,
        _Kind("document-invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The document cannot be used"),
    ),
    (
        FileInvalid,
        _Kind("document-invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The document cannot be used"),
    ),
    (
        SettingsError,
        _Kind("settings-invalid", HTTPStatus.SERVICE_UNAVAILABLE, "Settings that cannot be used"),
    ),
    (
        LedgerLocked,
        _Kind("ledger-locked", HTTPStatus.SERVICE_UNAVAILABLE, "The ledger is locked"),
    ),
    (LedgerRefused, _Kind("refused", HTTPStatus.CONFLICT, "It does not fit what is recorded")),
    (
        LedgerError,
        _Kind("ledger-unusable", HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be used"),
    ),
    (KeyLocked, _Kind("key-locked", HTTPStatus.SERVICE_UNAVAILABLE, "A key is locked")),
    (KeyMissing, _Kind("key-missing", HTTPStatus.SERVICE_UNAVAILABLE, "A key is missing")),
    (
        KeyStoreError,
        _Kind("key-store-unusable", HTTPStatus.SERVICE_UNAVAILABLE, "The key store is unusable"),
    ),
    (
        AuthorityError,
        _Kind(
            "authority-unusable",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The certificate authority does not do what is asked",
        ),
    ),
    (
        RecoveryUntrusted,
        _Kind("recovery-untrusted", HTTPStatus.CONFLICT, "No Recovery Certificate to go by"),
    ),
    (PortBusy, _Kind("port-busy", HTTPStatus.CONFLICT, "The port is in use")),
    (PortMissing, _Kind("port-missing", HTTPStatus.SERVICE_UNAVAILABLE, "There is no such port")),
    (WrongDevice, _Kind("wrong-device", HTTPStatus.CONFLICT, "Another device answers")),
    (
        DeviceUnavailable,
        _Kind("device-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "The device does not answer"),
    ),
    (
        ServiceRefused,
        _Kind("service-refused", HTTPStatus.BAD_GATEWAY, "The DCC refuses the service request"),
    ),
    (
        NoServiceRequest,
        _Kind("no-service-request", HTTPStatus.CONFLICT, "No service request asks for it"),
    ),
    (
        DCCNotBelieved,
        _Kind("dcc-not-believed", HTTPStatus.BAD_GATEWAY, "The DCC's answer is not believed"),
    ),
    (
        ReceiverUnusable,
        _Kind("receiver-unusable", HTTPStatus.CONFLICT, "Answers cannot be received"),
    ),
    (RigError, _Kind("rig-unusable", HTTPStatus.SERVICE_UNAVAILABLE, "The rig cannot be used")),
    (RadioError, _Kind("radio-unusable", HTTPStatus.SERVICE_UNAVAILABLE, "The radio is unusable")),
    (
        DCCUnreachable,
        _Kind("dcc-unreachable", HTTPStatus.SERVICE_UNAVAILABLE, "The DCC does not answer"),
    ),
    (LinkError, _Kind("link-lost", HTTPStatus.SERVICE_UNAVAILABLE, "The line carries nothing")),
    (SecurityError, _Kind("security-incident", HTTPStatus.BAD_GATEWAY, "A device is not believed")),
    (ProtocolError, _Kind("protocol-error", HTTPStatus.BAD_GATEWAY, "A message cannot be read")),
)
"""How each of the agent's errors is answered; the first class that fits counts."""

INTERNAL: Final = _Kind("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Unexpected error")


def problem(  # noqa: PLR0913 - a document's parts, by name
    code: str,
    status: HTTPStatus,
    title: str,
    *,
    detail: str,
    step: str,
    cause: str,
    hint: str,
    operation_id: str | None = None,
    errors: list[FieldFault] | None = None,
) -> Problem:
    """Make a problem document."""
    return Problem(
        type=TYPE_PREFIX + code,
        title=title,
        status=int(status),
        detail=detail,
        code=code,
        step=step,
        cause=cause,
        hint=hint,
        operation_id=operation_id,
        errors=errors,
    )


def problem_of(error: KeyrigError, step: str) -> Problem:
    """Make the problem document of one of the agent's errors.

    Args:
        error: The error; its one line names what failed and, after the last semicolon, what to do.
        step: At which step it happened.
    """
    kind = next((kind for of, kind in _KINDS if isinstance(error, of)), INTERNAL)
    text = printable(str(error))
    cause, _, hint = text.rpartition("; ")
    return problem(
        *kind,
        detail=text,
        step=step,
        cause=cause or text,
        hint=hint if cause else "see the server's log",
        operation_id=(error.holder or None) if isinstance(error, (DeviceBusy, RigBusy)) else None,
    )


def internal_problem(step: str) -> Problem:
    """Make the problem document of an error that nobody foresaw; says nothing of the inside."""
    return problem(
        *INTERNAL,
        detail="the server met an error that it does not know",
        step=step,
        cause="an error in the program; the server's log has it",
        hint="report it with the log, and try again",
    )


def _sayable(value: Any) -> Any:
    """Return a document whose every text can be written down and printed.

    Whatever is echoed may have come from anybody: half characters have no octets in UTF-8.
    """
    if isinstance(value, str):
        return printable(value, _TEXT_CHARACTERS)
    if isinstance(value, dict):
        return {name: _sayable(inner) for name, inner in value.items()}
    return [_sayable(inner) for inner in value] if isinstance(value, list) else value


def problem_response(
    found: Problem, *, instance: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the answer that carries a problem document."""
    told: Problem = found.model_copy(update={"instance": instance}) if instance else found
    document = _sayable(told.model_dump())
    sent: dict[str, Any] = dict(headers or {})
    if told.code == "ledger-locked":
        sent.setdefault("Retry-After", str(RETRY_LOCKED_S))
    return Response(
        json.dumps(document, ensure_ascii=False),
        status_code=told.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"} | sent,
    )
