"""Runs that wait where a test wants them to."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from keyrig.api.api_service import Service
    from keyrig.base.events import Event


@contextmanager
def run_held(
    service: Service, patch: pytest.MonkeyPatch, *, after: str, times: int = 1
) -> Iterator[threading.Event]:
    """Have the next run wait once it has told of an event so many times; give what lets it go."""
    tell = service.events.tell
    let_go = threading.Event()
    told = 0

    def telling(operation_id: str, event: Event) -> None:
        nonlocal told
        tell(operation_id, event)
        if event.type == after:
            told += 1
            if told == times:
                assert let_go.wait(HANG_S)

    patch.setattr(service.events, "tell", telling)
    try:
        yield let_go
    finally:
        let_go.set()
        patch.setattr(service.events, "tell", tell)
