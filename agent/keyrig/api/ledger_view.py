"""Reading the ledger while others write it: quickly, and never what no longer holds."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Version = tuple[int, int]
_UNREADABLE: Final[Version] = (-1, -1)


class LedgerWatch:
    """Says whether anybody has written to the ledger, in some microseconds.

    SQLite counts, for each connection, the commits of all others (`PRAGMA data_version`). This
    connection never writes, so it sees every commit, of this process and of others. It never
    waits: where it cannot read, the ledger counts as written.

    Args:
        path: The ledger's file, which is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._misses = 0
        self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            timeout=0,
        )

    def version(self) -> Version:
        """Give what changes with every commit, and when another file takes the ledger's place."""
        with self._lock:
            try:
                file = self._path.stat().st_ino
                (count,) = self._connection.execute("PRAGMA data_version").fetchone()
            except (OSError, sqlite3.Error):
                self._misses += 1
                return (_UNREADABLE[0], -self._misses)
            return file, int(count)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


class Ledgers:
    """The server's connections to the ledger: for reads, quick and long, for writing, and events.

    A connection serves one thread at a time; so a report that takes a while holds up neither a
    status nor a fact that is to be recorded.

    Args:
        path: The ledger's file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            self.writing = stack.enter_context(Ledger(path))
            self.telling = stack.enter_context(Ledger(path, create=False))
            self.reading = stack.enter_context(Ledger(path, create=False))
            self.reporting = stack.enter_context(Ledger(path, create=False))
            self.watch = LedgerWatch(path)
            stack.callback(self.watch.close)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: Any
    document: bytes


class Documents:
    """Keeps documents that were made, for as long as what they were made from is the same.

    Whoever asks gives a stamp of it; a document whose stamp is another is made anew, off the event
    loop, once for all who wait for it. The stamp is taken before anything is read, so that what
    changes meanwhile makes the next one.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, _Kept] = {}
        self._making: dict[Any, asyncio.Lock] = {}

    async def get(self, key: Any, stamp: Callable[[], Any], make: Callable[[], bytes]) -> bytes:
        """Give the document of a key.

        Args:
            key: Which; there are only so many.
            stamp: Says what it is made from, at once.
            make: Makes it; called in a thread.
        """
        kept = self._kept.get(key)
        if kept is not None and kept.stamp == stamp():
            return kept.document
        async with self._making.setdefault(key, asyncio.Lock()):
            now = stamp()
            kept = self._kept.get(key)
            if kept is not None and kept.stamp == now:
                return kept.document
            document = await run_in_threadpool(make)
            self._kept[key] = _Kept(now, document)
            return document
