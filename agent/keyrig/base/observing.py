"""Who watches a rig being run, and may stop it: a terminal, a program, a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from keyrig.base.events import Event

Observer: TypeAlias = "Callable[[Event], None]"
"""Is told of each event as it happens; must return soon."""


def unobserved(_event: Event) -> None:
    """Let an event pass unseen."""


StopAsked: TypeAlias = Callable[[], str | None]
"""Says who asked the run to stop, or None; asked between commands and between duties."""


def never_stopped() -> None:
    """Let a run come to its end."""
