"""A process that upgrades a ledger, and is killed before each of its statements in turn.

Argument: a folder with a ledger for each number. Prints how each child ended.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from keyrig.ledger.ledger import Ledger


def upgrade_killed_at(path: Path, number: int) -> int:
    """Upgrade in a child process; return how that ended: 0, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    left = number

    def before(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        event.listen(Engine, "before_cursor_execute", before)
        Ledger(path).close()
        status = 0
    finally:
        os._exit(status)


def main(where: str) -> None:
    """Kill a child at each statement, and tell how it ended."""
    for path in sorted(Path(where).iterdir(), key=lambda path: int(path.stem)):
        sys.stdout.write(f"{upgrade_killed_at(path, int(path.stem))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
