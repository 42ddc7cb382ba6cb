"""Faults that an emulated radio and its network can be given, by name."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

FORMS: Final = "unplug-after=40:2, reset-after=40, rotate-key-after=40, leave-after=40:EUI64"


class RadioFaultKind(enum.Enum):
    """What can happen; the value is the fault's name."""

    UNPLUG = "unplug-after"
    """The line is closed, for that many seconds."""
    RESET = "reset-after"
    """The firmware starts anew by itself."""
    ROTATE_KEY = "rotate-key-after"
    """The trust centre gives the network another key."""
    LEAVE = "leave-after"
    """A device leaves the network, and looks for one again."""


@dataclass(frozen=True, slots=True)
class RadioFault:
    """One fault, which happens once.

    Args:
        kind: What happens.
        commands: After how many commands of the host.
        seconds: For how long the line is away.
        eui64: Which device leaves.
    """

    kind: RadioFaultKind
    commands: int
    seconds: float = 0.0
    eui64: int = 0


def parse_radio_fault(text: str) -> RadioFault:
    """Read a fault.

    Raises:
        ValueError: It has none of the forms.
    """
    name, _, value = text.partition("=")
    count, _, more = value.partition(":")
    try:
        return _fault(RadioFaultKind(name.strip()), int(count), more)
    except ValueError:
        msg = f"no fault {text[:60]!r} (forms: {FORMS})"
        raise ValueError(msg) from None


def _fault(kind: RadioFaultKind, commands: int, more: str) -> RadioFault:
    needs_more = kind in {RadioFaultKind.UNPLUG, RadioFaultKind.LEAVE}
    if commands < 1 or needs_more != bool(more):
        msg = "another number of values"
        raise ValueError(msg)
    if kind is RadioFaultKind.UNPLUG:
        return RadioFault(kind, commands, seconds=float(more))
    if kind is RadioFaultKind.LEAVE:
        return RadioFault(kind, commands, eui64=int(more.replace("-", ""), 16))
    return RadioFault(kind, commands)
