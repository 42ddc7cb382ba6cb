"""What the use cases share: what they are given, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meterstub.security_log import EventCode, log_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from meterstub.faults import Faults
    from meterstub.options import DeviceOptions
    from meterstub.state import DeviceState


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
        """Give the state with one more security log entry."""
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
