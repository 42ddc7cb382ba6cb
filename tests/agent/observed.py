"""An observer that keeps what it is told, for tests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyrig.base.events import Event

EventT = TypeVar("EventT", bound="Event")


class Observed:
    """Keeps every event, and lets a test wait; may be called from any thread."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.all.append(event)
            self._changed.notify_all()

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of a kind, in order."""
        return [event for event in self.all if isinstance(event, kind)]

    def until(self, is_so: Callable[[], bool], timeout_s: float = HANG_S) -> None:
        """Wait until something is so that an event brings about."""
        with self._changed:
            assert self._changed.wait_for(is_so, timeout_s), self.all

    def wait_for(self, kind: type[EventT]) -> EventT:
        """Wait for an event of a kind, and return the last."""
        self.until(lambda: bool(self.of(kind)))
        return self.of(kind)[-1]
