"""An observer that keeps what it hears."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable


class Told:
    """Keeps every event, in order; may be told by one thread and read by another."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        with self._changed:
            self.all.append((event_type, fields))
            self._changed.notify_all()

    @property
    def types(self) -> list[str]:
        return [kind for kind, _ in self.all]

    def of(self, event_type: str) -> list[dict[str, Any]]:
        """Return the fields of the events of one type."""
        return [fields for kind, fields in self.all if kind == event_type]

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so` holds, asked after each event."""
        with self._changed:
            assert self._changed.wait_for(is_so, HANG_S), self.all[-5:]
