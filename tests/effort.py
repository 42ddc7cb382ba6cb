"""How much work something takes, whatever else the machine does meanwhile."""

from __future__ import annotations

import time  # noqa: TID251 - processor time is measured, and nothing waits for it
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def at_most(processor_s: float) -> Iterator[None]:
    """Check that what is done here takes this thread no more processor time, in seconds."""
    began = time.thread_time()
    yield
    taken = time.thread_time() - began
    assert taken < processor_s, f"{taken:.1f} s of processor time"
