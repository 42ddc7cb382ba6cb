"""Lock files: a resource belongs to the process that holds the operating system's lock.

The lock ends with its process. The file is never removed: another process could wait for the
lock of a file that is no longer there.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from keyrig.base.clock import pause
from keyrig.base.errors import LockUnusable
from keyrig.base.private_files import make_folder, open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_POLL_S: Final = 0.2
_POLL_LEAST_S: Final = 0.01


def open_lock(path: Path) -> int:
    """Open the file of a lock, made with its folder where there is none, not yet locked.

    Returns:
        Its descriptor; closing it releases the lock.

    Raises:
        LockUnusable: It cannot be opened or made.
    """
    try:
        make_folder(path.parent)
        return open_private(path, os.O_RDWR)
    except OSError as error:
        raise LockUnusable(str(path), error.strerror or type(error).__name__) from error


def take_lock(
    descriptor: int, *, until: float, monotonic: Callable[[], float], waiting: Callable[[], None]
) -> bool:
    """Acquire the lock of an open file; return True if it was acquired in time.

    Args:
        descriptor: The file's, from `open_lock`.
        until: The time to stop waiting, by `monotonic`.
        monotonic: Returns monotonic seconds.
        waiting: Called once if the lock has to be waited for.
    """
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left_s = until - monotonic()
            if left_s <= 0:
                return False
            if not told:
                waiting()
                told = True
            pause(min(_POLL_S, max(left_s, _POLL_LEAST_S)))
        else:
            return True
