"""A process that tells events to a file, and is killed at each of its writes in turn.

Arguments: a folder with a ledger for each number, and how many writes. At each number a child
process is killed before its so manieth write: to the ledger, or to the file, of which half is
written then. Prints how each child ended.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from keyrig.ledger.ledger import Ledger
from keyrig.upstream.event_publisher import Published, QueuePublisher
from keyrig.upstream.ndjson_target import NDJSONTarget

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WRITING = ("INSERT", "UPDATE", "DELETE")


class SmallBatches(NDJSONTarget):
    """Takes two events at a time."""

    @property
    def batch_maximum(self) -> int:
        return 2


def tell(folder: Path, ledger: Ledger) -> None:
    """Tell everything to the folder's file, two events at a time."""
    target = SmallBatches(folder / "events.ndjson", make_folders=False)
    ledger.event_queue.register(["file"])
    delivery = QueuePublisher(
        ledger,
        "file",
        target,
        since=None,
        clock=lambda: NOON,
        monotonic=lambda: 0.0,
        dice=lambda: 0.5,
    )
    while isinstance(delivery.step(60), Published):
        pass
    target.close()


def kill_at_write(ledger: Ledger, number: int) -> None:
    """Have this process killed at its `number`th write, from now."""
    left = number

    def count() -> bool:
        nonlocal left
        left -= 1
        return not left

    def before(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(WRITING) and count():
            os.kill(os.getpid(), signal.SIGKILL)

    write, sync = os.write, os.fsync

    def half(file: int, octets: Any) -> int:
        if count():
            write(file, octets[: len(octets) * 2 // 3])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(file, octets)

    def unsynced(file: Any) -> None:
        if count():
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)

    with ledger.reading() as connection:
        event.listen(connection.engine, "before_cursor_execute", before)
    os.write = half
    os.fsync = unsynced  # type: ignore[assignment] # the name of its argument


def in_child(folder: Path, number: int) -> int:
    """Do it in a child process, and give how that ended: 0, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        with Ledger(folder / "ledger.db") as ledger:
            kill_at_write(ledger, number)
            tell(folder, ledger)
        status = 0
    finally:
        os._exit(status)


def main(where: str, writes: str) -> None:
    """Kill a child at each write, and tell how it ended."""
    for number in range(1, int(writes) + 1):
        sys.stdout.write(f"{in_child(Path(where) / str(number), number)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
