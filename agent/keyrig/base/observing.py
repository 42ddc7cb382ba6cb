"""Who watches a rig being run, and may stop it: a terminal, a program, a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

EVENT_SCHEMA: Final = 1
"""Version of the events' form; raised when a field changes its meaning or goes."""


class Observer(Protocol):
    """Is told of each event as it happens; must return soon."""

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        """Take one event: its type and its fields, all of them ready for JSON."""
        ...


def unobserved(event_type: str, /, **fields: Any) -> None:
    """Let an event pass unseen."""


StopAsked: TypeAlias = Callable[[], str | None]
"""Says who asked the run to stop, or None; asked between commands and between duties."""


def never_stopped() -> None:
    """Let a run come to its end."""
