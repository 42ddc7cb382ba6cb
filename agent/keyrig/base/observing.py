"""Observers of a run, which receive its events, and requests to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from keyrig.base.events import Event

Observer: TypeAlias = "Callable[[Event], None]"
"""Called with each event as it happens; must return soon."""


def unobserved(_event: Event) -> None:
    """Ignore an event."""


StopAsked: TypeAlias = Callable[[], str | None]
"""Returns who asked the run to stop, or None; called between commands and between duties."""


def never_stopped() -> None:
    """Do nothing: this run is never asked to stop."""
