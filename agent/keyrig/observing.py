"""What happens while a rig is run, told to whoever watches: a terminal, a program, a test."""

from __future__ import annotations

from typing import Any, Final, Protocol

EVENT_SCHEMA: Final = 1
"""Version of the events' form; raised when a field changes its meaning or goes."""


class Observer(Protocol):
    """Is told of each event as it happens; must return soon."""

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        """Take one event: its type and its fields, all of them ready for JSON."""
        ...


def unobserved(event_type: str, /, **fields: Any) -> None:
    """Let an event pass unseen."""
