"""Responses of the API, and how the OpenAPI document describes them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from keyrig.api.problem_documents import (
    MEDIA_TYPE,
    FieldFault,
    RequestRefused,
    problem_of,
    unforeseen,
)
from keyrig.base.errors import DeviceBusy, LedgerLocked, LedgerRefused, RigFileInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gbcs.protocol_errors import KeyrigError

JSON: Final = "application/json"


def rig_unknown(name: str) -> RequestRefused:
    """Return the error where no served rig has a name."""
    return RequestRefused("rig-unknown", f"no served rig is named {name}", step="find-rig")


def run_unknown(run_id: str) -> RequestRefused:
    """Return the error where there is no run of an id."""
    return RequestRefused("run-unknown", f"there is no run {run_id}", step="find-run")


def delivery_unknown(delivery_id: str) -> RequestRefused:
    """Return the error where there is no delivery of an id."""
    reason = f"there is no delivery {delivery_id}"
    return RequestRefused("delivery-unknown", reason, step="find-delivery")


def device_unknown(device: str, rig: str) -> RequestRefused:
    """Return the error where a device is not on a rig."""
    return RequestRefused(
        "device-not-on-rig",
        f"device {device} is not on the rig {rig}",
        step="find-device",
        mend=f"see /api/v1/rigs/{rig}/devices",
    )


def invalid(
    where: str, reason: str, *, step: str = "read-request", mend: str | None = None
) -> RequestRefused:
    """Return the error where one part of a request cannot be used."""
    faults = [FieldFault(where=where, reason=reason)]
    return RequestRefused(
        "request-invalid", f"{where}: {reason}", step=step, mend=mend, faults=faults
    )


_SHOWN: Final[Sequence[tuple[KeyrigError, str]]] = (
    (RequestRefused("request-unreadable", "the body cannot be read", step="read-request"), ""),
    (
        RequestRefused(
            "token-missing",
            "there is no Authorization header of the form 'Bearer TOKEN'",
            step="authenticate",
        ),
        "",
    ),
    (RequestRefused("token-refused", "it is expired", step="authenticate"), ""),
    (
        RequestRefused(
            "scope-missing",
            "it was made without the scope run",
            step="authorise",
            mend="make one with `keyrig token create NAME --scope run`",
        ),
        "",
    ),
    (rig_unknown("bench-9"), ""),
    (run_unknown("52fe54b1c0e94ad0a7bb2b8b2f1c6f11"), ""),
    (
        RequestRefused("method-not-allowed", "the path does not take this method", step="route"),
        "",
    ),
    (DeviceBusy("00-DB-12-34-56-78-90-A0", "52fe54b1c0e94ad0a7bb2b8b2f1c6f11"), "start-run"),
    (
        LedgerRefused(
            "device 00-DB-12-34-56-78-90-A0",
            "a later status is held already",
            "ask again with an instant that fits",
        ),
        "record",
    ),
    (
        RequestRefused(
            "too-large", "the body is larger than the server takes", step="read-request"
        ),
        "",
    ),
    (
        RequestRefused(
            "media-type-unknown",
            "the body is of another media type",
            step="read-request",
            mend="send application/xml",
        ),
        "",
    ),
    (invalid("body.rig", "Field required"), ""),
    (
        RequestRefused(
            "too-many-refused",
            "the token does not hold, and neither did those before it",
            step="authenticate",
        ),
        "",
    ),
    (unforeseen("answer"), ""),
    (RigFileInvalid("bench.toml, line 3", "'nmae' is not known", "did you mean name?"), "read-rig"),
    (LedgerLocked("ledger /var/lib/keyrig/ledger.sqlite"), "read-ledger"),
)
"""Errors as the OpenAPI document shows them, with the step where they do not know it."""
COMMON: Final = (401, 403, 413, 422, 429, 500, 503)
"""What every route may answer that demands a token."""
_HEADERS: Final[Mapping[int, str]] = {
    401: "WWW-Authenticate",
    403: "WWW-Authenticate",
    429: "Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a route's problem documents, common ones included."""
    return {status: _described(status) for status in sorted({*COMMON, *statuses})}


def _described(status: int) -> dict[str, Any]:
    documents = [problem_of(error, step).model_dump(exclude_none=True) for error, step in _SHOWN]
    shown = {each["code"]: {"value": each} for each in documents if each["status"] == status}
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
    """A response with a JSON document that must not be cached; `bytes` are sent as they are."""

    def render(self, content: Any) -> bytes:
        """Return the octets of the body."""
        return content if isinstance(content, bytes) else json.dumps(content).encode()

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set the headers."""
        super().init_headers({"Cache-Control": "no-store", **(headers or {})})
