"""Files whose lock by the operating system says that a process has something for itself.

Such a lock dies with its process. The file is never removed: another process could wait for the
lock of a file that is no longer there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyrig.errors import LockUnusable

if TYPE_CHECKING:
    from pathlib import Path


def open_lock(path: Path) -> int:
    """Open the file of a lock, made with its folder where there is none, not yet locked.

    Returns:
        Its descriptor; closing it gives the lock back.

    Raises:
        LockUnusable: It cannot be opened or made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockUnusable(str(path), error.strerror or type(error).__name__) from error
