"""A lock that is given to whoever has waited longest."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock for threads in the order of their asking.

    A plain lock goes to whoever comes first when it is free: a thread that takes it again and
    again keeps all others from it.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout_s: float = -1) -> bool:
        """Take the lock; give whether it was had in time.

        Args:
            timeout_s: How long to wait, in seconds; -1 for as long as it takes.
        """
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout_s):
            return True
        with self._mutex:
            if turn not in self._waiting:
                # It was handed over just as the time was over.
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Give the lock back, to whoever has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False


class FairRLock:
    """The same, which the thread that holds it may take again."""

    def __init__(self) -> None:
        self._lock = FairLock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        thread = threading.get_ident()
        if self._owner != thread:
            self._lock.acquire()
            self._owner = thread
        self._depth += 1

    def __exit__(self, *exc_info: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()
