"""Problem documents: every error of the API as in RFC 9457, with a stable code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from starlette.responses import Response

from gbcs.printable import printable
from gbcs.protocol_errors import KeyrigError
from keyrig.base.error_kinds import KINDS, kind_of, mend_of
from keyrig.base.errors import DeviceBusy, LedgerLocked, RigBusy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:keyrig:problem:"
RETRY_LOCKED_S: Final = 1
_TEXT_CHARACTERS: Final = 4096


class FieldFault(BaseModel):
    """One fault of a request."""

    where: Annotated[str, Field(description="Which part: body, path, query or header, and key.")]
    reason: Annotated[str, Field(description="What is wrong with it.")]


class Problem(BaseModel):
    """Why something was not done, as in RFC 9457; members that are not known are left out."""

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


class RequestRefused(KeyrigError):
    """A request of the API is refused; the code says why.

    Args:
        code: One of `keyrig.base.error_kinds`.
        reason: Why, in one line.
        step: At which step of the request.
        mend: What to do about it; None for the usual mend of this code.
        faults: The faults of the request.
        headers: Headers of the response, such as Retry-After.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        step: str,
        mend: str | None = None,
        faults: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, mend=mend if mend is not None else KINDS[code].mend)
        self.code = code
        self.step = step
        self.faults = tuple(faults)
        self.headers = dict(headers or {})


def problem_of(error: KeyrigError, step: str) -> Problem:
    """Return the problem document of an error.

    Args:
        error: The error.
        step: At which step it happened, where the error does not know it itself.
    """
    kind, refused = kind_of(error), error if isinstance(error, RequestRefused) else None
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=kind.title,
        status=int(kind.status),
        detail=str(error),
        code=error.code,
        step=refused.step if refused else step,
        cause=error.finding,
        hint=mend_of(error),
        operation_id=(error.holder or None) if isinstance(error, (DeviceBusy, RigBusy)) else None,
        errors=list(refused.faults) if refused and refused.faults else None,
    )


def unforeseen(step: str) -> RequestRefused:
    """Return the error that stands for an unexpected one; it discloses nothing of that."""
    reason = "an error in the program, which the server's log has"
    return RequestRefused("internal-error", reason, step=step)


def _sayable(value: Any) -> Any:
    """Return a document in which every text can be encoded and printed.

    Text from a request is echoed, and may hold lone surrogates, which UTF-8 cannot encode.
    """
    if isinstance(value, str):
        return printable(value, _TEXT_CHARACTERS)
    if isinstance(value, dict):
        return {name: _sayable(inner) for name, inner in value.items()}
    return [_sayable(inner) for inner in value] if isinstance(value, list) else value


def problem_response(
    error: KeyrigError,
    *,
    instance: str,
    step: str = "answer",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response that carries an error's problem document."""
    found = problem_of(error, step).model_copy(update={"instance": instance})
    document = _sayable(found.model_dump())
    sent = {"Cache-Control": "no-store"} | dict(headers or {})
    if isinstance(error, RequestRefused):
        sent |= error.headers
    if isinstance(error, LedgerLocked):
        sent["Retry-After"] = str(RETRY_LOCKED_S)
    return Response(
        json.dumps(document, ensure_ascii=False),
        status_code=found.status,
        media_type=MEDIA_TYPE,
        headers=sent,
    )
