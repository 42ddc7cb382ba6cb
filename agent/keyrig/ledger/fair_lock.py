"""A fair lock: it goes to the thread that has waited longest."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that threads acquire in the order of their requests.

    A plain lock goes to whichever thread is first when it is free: one that acquires it again
    and again starves all others.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout_s: float = -1) -> bool:
        """Acquire the lock; return True if it was acquired in time.

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
                # The lock was passed on just as the time ended.
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Release the lock to the thread that has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False


class FairRLock:
    """A fair lock that the thread holding it may acquire again."""

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
