"""What follows of an error: exit code, answer of the API, whose fault it is, and how it is logged.

One table, by the `code` that an error's class declares; docs/api.md lists the codes for programs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gbcs.protocol_errors import KeyrigError


class ExitCode(enum.IntEnum):
    """The program's exit codes."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    FAILED = 3
    NEEDS_PERSON = 4
    NOT_REPORTED = 5
    STOPPED = 130


class Fault(enum.Enum):
    """Whose an error is; only the device's own can be a duty's failure."""

    DEVICE = "device"
    LINE = "line"
    """The way to the device: its port, radio or service, or nobody who answers there."""
    RIG = "rig"
    """The rig file, the clock, or who else uses the rig."""
    KEYS = "keys"
    """A key or certificate of ours that is not at hand, or is not sound."""
    AUTHORITY = "authority"
    STRANGER = "stranger"
    """Whoever sent what cannot be believed."""
    CALLER = "caller"
    """Whoever asked for it: an argument, a setting, a file, a request of the API."""
    OURS = "ours"
    """The program, its ledger or the machine below."""


LogLevel: TypeAlias = Literal["info", "warning", "error"]
"""How an error is written to the server's log."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What follows of every error with one code.

    Args:
        status: The API's HTTP status.
        title: The problem document's title.
        exit_code: What the command ends with.
        fault: Whose it is.
        level: How it is logged.
        mend: What to do about it where the error itself names nothing.
    """

    status: HTTPStatus
    title: str
    exit_code: ExitCode
    fault: Fault
    level: LogLevel = "warning"
    mend: str = ""


_CONFLICT, _UNAVAILABLE = HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE
_UNUSABLE, _GATEWAY = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_GATEWAY
_USAGE, _FAILED, _PERSON = ExitCode.USAGE, ExitCode.FAILED, ExitCode.NEEDS_PERSON


def _of_request(status: HTTPStatus, title: str, mend: str = "") -> ErrorKind:
    """Return the kind of an error in a request of the API, which no command meets."""
    return ErrorKind(status, title, _USAGE, Fault.CALLER, "info", mend)


KINDS: Final[Mapping[str, ErrorKind]] = {
    "internal-error": ErrorKind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Unexpected error",
        ExitCode.UNEXPECTED,
        Fault.OURS,
        "error",
        "report it with the log, and try again",
    ),
    # What a person at the rig sees to.
    "device-busy": ErrorKind(_CONFLICT, "The device is in use", _PERSON, Fault.RIG, "info"),
    "rig-busy": ErrorKind(_CONFLICT, "The rig is in use", _PERSON, Fault.RIG, "info"),
    "clock-wrong": ErrorKind(_CONFLICT, "The clock cannot be believed", _PERSON, Fault.RIG),
    "rig-unusable": ErrorKind(_UNAVAILABLE, "The rig cannot be used", _PERSON, Fault.RIG),
    "port-busy": ErrorKind(_CONFLICT, "The port is in use", _PERSON, Fault.LINE),
    "port-missing": ErrorKind(_UNAVAILABLE, "There is no such port", _PERSON, Fault.LINE),
    "wrong-device": ErrorKind(_CONFLICT, "Another device answers", _PERSON, Fault.LINE),
    "device-unavailable": ErrorKind(
        _UNAVAILABLE, "The device does not answer", _PERSON, Fault.LINE
    ),
    "radio-unusable": ErrorKind(_UNAVAILABLE, "The radio is unusable", _PERSON, Fault.LINE),
    "link-lost": ErrorKind(_UNAVAILABLE, "The line carries nothing", _PERSON, Fault.LINE),
    # The DCC, keys and authorities.
    "dcc-unreachable": ErrorKind(_UNAVAILABLE, "The DCC does not answer", _PERSON, Fault.LINE),
    "service-refused": ErrorKind(
        _GATEWAY, "The DCC refuses the service request", _PERSON, Fault.LINE
    ),
    "dcc-not-believed": ErrorKind(
        _GATEWAY, "The DCC's answer is not believed", _PERSON, Fault.LINE, "error"
    ),
    "receiver-unusable": ErrorKind(_CONFLICT, "Answers cannot be received", _PERSON, Fault.LINE),
    "no-service-request": ErrorKind(
        _CONFLICT, "No service request asks for it", _PERSON, Fault.LINE, "info"
    ),
    "recovery-untrusted": ErrorKind(
        _CONFLICT, "No Recovery Certificate to go by", _PERSON, Fault.KEYS
    ),
    "key-locked": ErrorKind(_UNAVAILABLE, "A key is locked", _PERSON, Fault.KEYS),
    "key-missing": ErrorKind(_UNAVAILABLE, "A key is missing", _PERSON, Fault.KEYS),
    "key-store-unusable": ErrorKind(_UNAVAILABLE, "The key store is unusable", _PERSON, Fault.KEYS),
    "authority-unusable": ErrorKind(
        _UNAVAILABLE,
        "The certificate authority does not do what is asked",
        _PERSON,
        Fault.AUTHORITY,
    ),
    # The ledger.
    "ledger-locked": ErrorKind(_UNAVAILABLE, "The ledger is locked", _PERSON, Fault.OURS),
    "ledger-unusable": ErrorKind(
        _UNAVAILABLE, "The ledger cannot be used", _PERSON, Fault.OURS, "error"
    ),
    "refused": ErrorKind(
        _CONFLICT, "It does not fit what is recorded", _PERSON, Fault.CALLER, "info"
    ),
    # What somebody wrote or named.
    "rig-file-invalid": ErrorKind(_UNAVAILABLE, "Broken rig file", _USAGE, Fault.RIG),
    "rules-invalid": ErrorKind(_UNAVAILABLE, "Broken rule set", _USAGE, Fault.CALLER),
    "settings-invalid": ErrorKind(
        _UNAVAILABLE, "Settings that cannot be used", _USAGE, Fault.CALLER
    ),
    "document-invalid": ErrorKind(
        _UNUSABLE, "The document cannot be used", _USAGE, Fault.CALLER, "info"
    ),
    "evidence-broken": ErrorKind(
        _UNUSABLE, "The evidence does not hold together", _FAILED, Fault.STRANGER
    ),
    # What a device says, or somebody in its name.
    "security-incident": ErrorKind(
        _GATEWAY,
        "A device is not believed",
        _FAILED,
        Fault.STRANGER,
        "error",
        "see the run's report for what was sent and what came",
    ),
    "protocol-error": ErrorKind(
        _GATEWAY,
        "A message cannot be read",
        _FAILED,
        Fault.STRANGER,
        mend="have its sender make it anew, and look at it with `keyrig inspect`",
    ),
    "step-failed": ErrorKind(
        _GATEWAY,
        "The device does not do its duty",
        _FAILED,
        Fault.DEVICE,
        mend="see the run's report for what it answered, and run again",
    ),
    "no-response": ErrorKind(
        HTTPStatus.GATEWAY_TIMEOUT,
        "The device gives no response",
        _FAILED,
        Fault.LINE,
        mend="check that it is powered and in reach, and run again",
    ),
    "stopped": ErrorKind(_CONFLICT, "The run was stopped", ExitCode.STOPPED, Fault.CALLER, "info"),
    # Requests of the API.
    "request-unreadable": _of_request(
        HTTPStatus.BAD_REQUEST,
        "The request cannot be read",
        "send a complete body of the media type that is said",
    ),
    "request-invalid": _of_request(
        _UNUSABLE, "The request cannot be used", "correct what errors names"
    ),
    "token-missing": _of_request(
        HTTPStatus.UNAUTHORIZED,
        "A token is needed",
        "make a token with `keyrig token create`, and show it",
    ),
    "token-refused": _of_request(
        HTTPStatus.UNAUTHORIZED,
        "The token does not hold",
        "see `keyrig token list`, and make another with `keyrig token create`",
    ),
    "scope-missing": _of_request(HTTPStatus.FORBIDDEN, "The token does not allow it"),
    "rig-unknown": _of_request(HTTPStatus.NOT_FOUND, "No such rig", "see /api/v1/rigs"),
    "run-unknown": _of_request(HTTPStatus.NOT_FOUND, "No such run", "see /api/v1/runs"),
    "delivery-unknown": _of_request(
        HTTPStatus.NOT_FOUND, "No such delivery", "see /api/v1/deliveries"
    ),
    "device-not-on-rig": _of_request(HTTPStatus.NOT_FOUND, "No such device on the rig"),
    "path-unknown": _of_request(HTTPStatus.NOT_FOUND, "No such path", "see /api/v1/openapi.json"),
    "method-not-allowed": _of_request(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The method is not allowed here",
        "use a method that Allow names",
    ),
    "too-large": _of_request(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The request is too large",
        "send less, or raise serve.body_maximum_octets or serve.upload_maximum_octets",
    ),
    "media-type-unknown": _of_request(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The media type is not taken here"
    ),
    "host-refused": _of_request(
        HTTPStatus.MISDIRECTED_REQUEST,
        "Not this host",
        "name the host and port that `keyrig serve` printed",
    ),
    "too-many-refused": _of_request(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many wrong tokens",
        "wait as long as Retry-After says, and show a token that holds",
    ),
    "not-running": _of_request(_CONFLICT, "Nothing to stop", "there is nothing to do"),
    "not-begun": _of_request(_CONFLICT, "Nothing to report"),
    "events-not-kept": _of_request(_CONFLICT, "Its events are not kept"),
    "execute-at-past": _of_request(
        _CONFLICT, "It must lie ahead", "give an instant that lies ahead, or none"
    ),
    "status-ahead": _of_request(
        _CONFLICT,
        "A status that is yet to come",
        "a status that is yet to come cannot be held; record it when it is",
    ),
    "shutting-down": _of_request(
        _UNAVAILABLE, "The server is about to end", "ask again once it runs again"
    ),
}
"""Each code with what follows; a class without a code of its own has that of its base."""


def kind_of(error: KeyrigError) -> ErrorKind:
    """Return what follows of an error."""
    return KINDS[error.code]


def mend_of(error: KeyrigError) -> str:
    """Return what to do about an error: what it names itself, or what its kind does."""
    return error.mend or kind_of(error).mend
