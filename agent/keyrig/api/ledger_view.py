"""The server's reads of the ledger, and documents that are kept until they may have changed.

Theory of operation. To make a plan or a status takes many queries, and dashboards ask for the same
one again and again. A document is therefore kept with a stamp of all that it was made from, and
returned only while a new stamp equals it. `Service.stamp` has four parts, each of which makes
every kept document of the rig invalid:

- the ledger's version: any commit, of this process or another; another file in its place. Where
  the version cannot be read, each attempt counts as a new one, so nothing kept is used;
- the rig file's stamp: the file was changed;
- the whole second: deadlines pass, and locks of other processes are not in the ledger;
- the count of operations begun and ended by this server.

The stamp is taken before anything is read. What is committed while a document is made may or may
not be in it, but the next stamp differs, so the document is not used again: a kept document can
be newer than its stamp, never older. A lock for each key lets one request make the document while
the others wait.
"""

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
    """Detects commits to the ledger, in a few microseconds.

    SQLite counts, for each connection, the commits of all others (`PRAGMA data_version`). This
    connection never writes, so it sees every commit, of this process and of others. It never
    waits: where it cannot read, the ledger counts as written.

    Args:
        path: The ledger's file, which exists.
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
        """Return a value that changes with every commit, and with another file in its place."""
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
    """The server's connections to the ledger: for reads, reports, writes and events.

    A connection serves one thread at a time; with several, a report that takes long delays neither
    a status nor the recording of a fact.

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
        """Close all connections."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: Any
    document: bytes


class Documents:
    """Keeps documents with their stamps; one whose stamp differs is made again, in a thread."""

    def __init__(self) -> None:
        self._kept: dict[Any, _Kept] = {}
        self._making: dict[Any, asyncio.Lock] = {}

    async def get(self, key: Any, stamp: Callable[[], Any], make: Callable[[], bytes]) -> bytes:
        """Return the document of a key, kept or made.

        Args:
            key: Names the document; documents of all keys are kept, so they must be few.
            stamp: Returns the present stamp, without waiting.
            make: Makes the document; called in a thread.
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
