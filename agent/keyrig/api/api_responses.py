"""Answers of the API, and how the OpenAPI document describes them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from keyrig.api.problem_documents import MEDIA_TYPE, TYPE_PREFIX, FieldFault, ProblemFound, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json"


class _Shown:
    """A problem as the OpenAPI document shows it."""

    def __init__(self, code: str, title: str, step: str, cause: str, hint: str) -> None:
        self.code = code
        self.document = {
            "title": title,
            "detail": f"{cause}; {hint}",
            "step": step,
            "cause": cause,
            "hint": hint,
        }


_SHOWN: Final[Mapping[int, tuple[_Shown, ...]]] = {
    400: (
        _Shown(
            "request-unreadable",
            "The request cannot be read",
            "read-request",
            "the body cannot be read",
            "send a complete body of the media type that is said",
        ),
    ),
    401: (
        _Shown(
            "token-missing",
            "A token is needed",
            "authenticate",
            "there is no Authorization header of the form 'Bearer TOKEN'",
            "make a token with `keyrig token create`, and show it",
        ),
        _Shown(
            "token-refused",
            "The token does not hold",
            "authenticate",
            "it is expired",
            "see `keyrig token list`, and make another with `keyrig token create`",
        ),
    ),
    403: (
        _Shown(
            "scope-missing",
            "The token does not allow it",
            "authorise",
            "it was made without the scope run",
            "make one with `keyrig token create NAME --scope run`",
        ),
    ),
    404: (
        _Shown(
            "rig-unknown",
            "No such rig",
            "find-rig",
            "no served rig is named bench-9",
            "see /api/v1/rigs",
        ),
        _Shown(
            "run-unknown",
            "No such run",
            "find-run",
            "the ledger has no such run",
            "see /api/v1/runs",
        ),
    ),
    405: (
        _Shown(
            "method-not-allowed",
            "The method is not allowed here",
            "route",
            "the path does not take this method",
            "use a method that Allow names",
        ),
    ),
    409: (
        _Shown(
            "device-busy",
            "The device is in use",
            "start-run",
            "device 00-DB-12-34-56-78-90-A0: operation 52fe54b1c0e94ad0a7bb2b8b2f1c6f11 holds it",
            "wait for it or stop it",
        ),
        _Shown(
            "refused",
            "It does not fit what is recorded",
            "record",
            "a later status is held already",
            "ask again with an instant that fits",
        ),
    ),
    413: (
        _Shown(
            "too-large",
            "The request is too large",
            "read-request",
            "the body is larger than the server takes",
            "send less, or raise serve.body_maximum_octets",
        ),
    ),
    415: (
        _Shown(
            "media-type-unknown",
            "The media type is not taken here",
            "read-request",
            "the body is of another media type",
            "send application/xml",
        ),
    ),
    422: (
        _Shown(
            "request-invalid",
            "The request cannot be used",
            "read-request",
            "body.rig: Field required",
            "correct what errors names",
        ),
    ),
    429: (
        _Shown(
            "too-many-refused",
            "Too many wrong tokens",
            "authenticate",
            "the token does not hold, and neither did those before it",
            "wait as long as Retry-After says, and show a token that holds",
        ),
    ),
    500: (
        _Shown(
            "internal-error",
            "Unexpected error",
            "answer",
            "an error in the program; the server's log has it",
            "report it with the log, and try again",
        ),
    ),
    503: (
        _Shown(
            "rig-file-invalid",
            "Broken rig file",
            "read-rig",
            "bench.toml, line 3: 'nmae' is not known",
            "did you mean name?",
        ),
        _Shown(
            "ledger-locked",
            "The ledger is locked",
            "read-ledger",
            "ledger /var/lib/keyrig/ledger.sqlite: locked",
            "stop the other agent or wait until it ends",
        ),
    ),
}
COMMON: Final = (401, 403, 413, 422, 429, 500, 503)
"""What every route may answer that demands a token."""
_HEADERS: Final[Mapping[int, str]] = {
    401: "WWW-Authenticate",
    403: "WWW-Authenticate",
    429: "Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problem documents that a route may answer, beside the common ones."""
    return {status: _described(status) for status in sorted({*COMMON, *statuses})}


def _described(status: int) -> dict[str, Any]:
    shown = {
        each.code: {
            "value": {
                "type": TYPE_PREFIX + each.code,
                "status": status,
                "code": each.code,
                **each.document,
            }
            | (
                {"errors": [{"where": "body.rig", "reason": "Field required"}]}
                if status == 422
                else {}
            )
        }
        for each in _SHOWN[status]
    }
    described: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": shown}
        },
    }
    if status in _HEADERS:
        described["headers"] = {_HEADERS[status]: {"schema": {"type": "string"}, "required": True}}
    return described


class DocumentResponse(JSONResponse):
    """An answer with a document, which nobody keeps; octets are one that was written already."""

    def render(self, content: Any) -> bytes:
        """Return the octets of the body."""
        return content if isinstance(content, bytes) else json.dumps(content).encode()

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set the headers."""
        super().init_headers({"Cache-Control": "no-store", **(headers or {})})


def rig_unknown(name: str) -> ProblemFound:
    """Give the answer where no served rig has a name."""
    return _not_found(
        "rig-unknown",
        "No such rig",
        "find-rig",
        f"no served rig is named {name}",
        "see /api/v1/rigs",
    )


def run_unknown(run_id: str) -> ProblemFound:
    """Give the answer where there is no run of an id."""
    return _not_found(
        "run-unknown", "No such run", "find-run", f"there is no run {run_id}", "see /api/v1/runs"
    )


def delivery_unknown(delivery_id: str) -> ProblemFound:
    """Give the answer where there is no delivery of an id."""
    return _not_found(
        "delivery-unknown",
        "No such delivery",
        "find-delivery",
        f"there is no delivery {delivery_id}",
        "see /api/v1/deliveries",
    )


def device_unknown(device: str, rig: str) -> ProblemFound:
    """Give the answer where a device is not on a rig."""
    return _not_found(
        "device-not-on-rig",
        "No such device on the rig",
        "find-device",
        f"device {device} is not on the rig {rig}",
        f"see /api/v1/rigs/{rig}/devices",
    )


def _not_found(code: str, title: str, step: str, cause: str, hint: str) -> ProblemFound:
    return ProblemFound(
        problem(code, HTTPStatus.NOT_FOUND, title, detail=cause, step=step, cause=cause, hint=hint)
    )


def conflict(code: str, title: str, step: str, cause: str, hint: str) -> ProblemFound:
    """Give the answer where a request is well formed and does not fit how things stand."""
    return ProblemFound(
        problem(code, HTTPStatus.CONFLICT, title, detail=cause, step=step, cause=cause, hint=hint)
    )


def invalid(step: str, where: str, reason: str) -> ProblemFound:
    """Give the answer where one part of a request cannot be used."""
    return ProblemFound(
        problem(
            "request-invalid",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The request cannot be used",
            detail=f"{where}: {reason}",
            step=step,
            cause=f"{where}: {reason}",
            hint="correct what errors names",
            errors=[FieldFault(where=where, reason=reason)],
        )
    )
