"""What the use cases share: their surroundings, what they come to, and the security log."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from meterstub.device_state import DeviceState, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from meterstub.device_faults import Faults
    from meterstub.device_options import DeviceOptions


_WHAT_MAXIMUM_CHARACTERS: Final = 300


class EventCode(enum.IntEnum):
    """Codes of security log entries, and of the CS02b alert.

    Source: GBCS 16.2, as public parsers have it; which failure gives which is assumed.
    """

    INTEGRITY_CHECK_FAILED = 0x8F1E
    """The command's content or format is not what it should be."""
    NO_AUTHORITY = 0x8F30
    """The source is known, but not allowed to command this."""
    TRUSTED_SOURCE_AUTHENTICATION_FAILURE = 0x8F3D
    """A signature or MAC is missing or does not verify."""
    UNAUTHORISED_COMMUNICATION_ACCESS = 0x8F3E
    """An unknown source, another recipient, or a counter that is not new."""
    DIGITAL_SIGNATURE_CERTIFICATE_REPLACEMENT_FAILED = 0x8F4C
    DIGITAL_SIGNATURE_CERTIFICATE_REPLACED = 0x8F4D
    KEY_AGREEMENT_CERTIFICATE_REPLACEMENT_FAILED = 0x8F4E
    KEY_AGREEMENT_CERTIFICATE_REPLACED = 0x8F4F
    FUTURE_DATED_COMMAND_ACTIONED = 0x8F66
    FUTURE_DATED_COMMAND_NOT_ACTIONED = 0x8F67
    UPDATE_SECURITY_CREDENTIALS = 0x8F70


def log_event(
    state: DeviceState, code: EventCode, at: datetime, what: str, *, maximum_entries: int
) -> DeviceState:
    """Return the state with one more log entry, of which the newest `maximum_entries` stay."""
    line = "".join(c if c.isprintable() else "?" for c in what[:_WHAT_MAXIMUM_CHARACTERS])
    entry = LogEntry(code=code, at=at, what=line)
    entries = (*state.log, entry)
    return replace(state, log=entries[max(0, len(entries) - maximum_entries) :])


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounds the execution of one command.

    Args:
        now: The device's time, aware, in UTC.
        options: How the device behaves where the text is not at hand.
        faults: The faults that wait in it.
        new_key: Generates a private key on P-256.
        before: The state as it was when the command came, its counter not yet accepted.
    """

    now: datetime
    options: DeviceOptions
    faults: Faults
    new_key: Callable[[], ec.EllipticCurvePrivateKey]
    before: DeviceState = field(repr=False)

    def log(self, state: DeviceState, code: EventCode, what: str) -> DeviceState:
        """Return the state with one more security log entry."""
        return log_event(
            state, code, self.now, what, maximum_entries=self.options.security_log_entries
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """What a command did.

    Args:
        state: What the device is to remember.
        payload: The value of the response's payload.
    """

    state: DeviceState
    payload: Any
