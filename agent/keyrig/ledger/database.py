"""The ledger's SQLite file: opening it, and the transactions on it.

Theory of operation. Every command is in the ledger before it is sent, and what the ledger says
after a crash decides what is sent next; so a transaction must be whole, and must be on the disk
when it has been committed.

Durability: the journal is a write-ahead log, synced at each commit (synchronous=FULL). After a
crash, also of the machine, a transaction is there wholly or not at all, and it is there if its
commit returned. It may be there although its commit did not return, so what is repeated after a
crash must be recognised. A sync takes milliseconds: what belongs together is one transaction.

Who writes when: a writing transaction takes SQLite's write lock when it begins (BEGIN IMMEDIATE). A
deferred one would take it at its first write, and fail at once, with all of its reads in vain,
where somebody else has written meanwhile. For the same reason a reading transaction cannot begin to
write. Before that lock come two others, both fair, since SQLite polls for its own and the polling
loses against a thread that writes in a loop: `_lock` lets one thread at a time use this connection,
and `_writers` lets one connection of this process at a time write to the file. Other processes wait
for SQLite's lock, as long as the busy time-out. A reading transaction sees the state at its first
read; on another connection, it neither waits for a writer nor holds one up.

Nesting: a transaction that is entered again in its thread is the same one, so that stores can call
each other. There are no savepoints: an exception that leaves an inner part dooms the whole
transaction, even if it is caught, since half a step must never be committed.

Opening writes nothing to a file that is not known to be a ledger. A new one gets its tables and its
mark in one transaction; an older one is upgraded by `_bring_up`, alone on the file.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - evaluated
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import URL, create_engine, event, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from keyrig.base.errors import (
    LedgerCorrupt,
    LedgerError,
    LedgerForeign,
    LedgerLocked,
    LedgerRefused,
    LedgerTooNew,
)
from keyrig.base.private_files import make_private_database
from keyrig.ledger.fair_lock import FairLock, FairRLock
from keyrig.ledger.schema import APPLICATION_ID, SCHEMA_VERSION, ledger_schema, metadata
from keyrig.ledger.schema_upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_S: Final = 5.0

CHECKED_ON_OPENING_OCTETS: Final = 64 * 1024 * 1024
"""A file up to this size is checked when it is opened; a larger one only by `check`."""

_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SMALLEST_DATABASE_OCTETS: Final = 512
"""The smallest page of SQLite, which overwrites shorter files as if they were empty."""


_writers: dict[Path, FairLock] = {}
"""The lock of each file's writers in this process."""
os.register_at_fork(after_in_child=_writers.clear)


def _writer_of(path: Path) -> FairLock:
    return _writers.setdefault(path.absolute(), FairLock())


class Database:
    """One connection to one file, shared by the threads of a process one at a time.

    Several processes may each have one on the same file.

    Args:
        path: The file; its folder must exist.
        create: Make the ledger where there is none.
        busy_timeout_s: How long to wait for another process, in seconds.

    Raises:
        LedgerLocked: Another process holds the file.
        LedgerCorrupt: The ledger is damaged.
        LedgerForeign: The file is no database or another program's; it is left as it was.
        LedgerTooNew: A newer keyrig wrote it.
        LedgerError: The file is missing or cannot be opened.
    """

    def __init__(
        self, path: Path, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.path = path
        self._where = f"ledger {path}"
        self._lock = FairRLock()
        self._busy_timeout_s = busy_timeout_s
        self._writer = _writer_of(path)
        self._depth = 0
        self._doomed = False
        self._begin = "BEGIN IMMEDIATE"
        if not create and not path.exists():
            raise LedgerError(f"ledger {path}", "there is none", "a run makes it")
        if not path.parent.is_dir():
            raise LedgerError(
                f"ledger {path}", f"the folder {path.parent} does not exist", "make it"
            )
        if path.is_file() and 0 < path.stat().st_size < _SMALLEST_DATABASE_OCTETS:
            raise LedgerForeign(self._where, "no database")
        try:
            make_private_database(path, create=create)
        except OSError as error:
            raise LedgerError(f"ledger {path}", f"cannot be made: {error.strerror}") from error
        self._engine = self._make_engine(busy_timeout_s)
        try:
            with self._translated():
                self._connection = self._engine.connect()
            try:
                self._open()
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the file; what was committed stays."""
        with self._lock:
            self._connection.close()
            self._engine.dispose()

    def check(self) -> None:
        """Check the integrity of the whole file.

        Raises:
            LedgerCorrupt: It is damaged.
        """
        with self._lock:
            fault = self._pragma("quick_check(1)")
        if fault != "ok":
            raise LedgerCorrupt(self._where, f"damaged: {fault}")

    @property
    def busy_timeout_s(self) -> float:
        """How long whoever else writes is waited for, in seconds."""
        return self._busy_timeout_s

    @busy_timeout_s.setter
    def busy_timeout_s(self, seconds: float) -> None:
        with self._lock:
            self._busy_timeout_s = seconds
            self._pragma(f"busy_timeout={round(seconds * 1000)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Hold one transaction that writes; all of it is committed on leaving, or nothing.

        Entered again in the same thread, it joins the one that stands. An exception that
        leaves any of these rolls all of it back, even if it is caught further out.

        Raises:
            LedgerLocked: Another process kept the file locked.
            LedgerRefused: A write breaks a rule of the tables, or an inner part failed.
        """
        with self._hold("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Hold one consistent view for reading; joins a transaction that stands."""
        with self._hold("BEGIN") as connection:
            yield connection

    @contextmanager
    def _hold(self, begin: str) -> Iterator[Connection]:
        with self._lock:
            if self._depth:
                if begin != self._begin and begin == "BEGIN IMMEDIATE":
                    raise RuntimeError("a transaction that reads cannot begin to write")
                with self._nested():
                    yield self._connection
                return
            self._begin, self._depth, self._doomed = begin, 1, False
            try:
                with self._turn(begin), self._translated(), self._connection.begin():
                    yield self._connection
                    if self._doomed:
                        raise LedgerRefused(
                            f"ledger {self.path}",
                            "a part of the transaction failed",
                            "try again; none was kept",
                        )
            finally:
                self._depth = 0

    @contextmanager
    def _turn(self, begin: str) -> Iterator[None]:
        """Serialise the writers of this process; for these, SQLite would poll."""
        if begin != "BEGIN IMMEDIATE":
            yield
            return
        if not self._writer.acquire(self._busy_timeout_s):
            raise LedgerLocked(self._where)
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        except BaseException:
            self._doomed = True
            raise
        finally:
            self._depth -= 1

    def _make_engine(self, busy_timeout_s: float) -> Engine:
        engine = create_engine(
            URL.create("sqlite+pysqlite", database=str(self.path)),
            poolclass=NullPool,
            connect_args={
                "check_same_thread": False,
                "timeout": busy_timeout_s,
                "isolation_level": None,
            },
            hide_parameters=True,
        )

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(self._begin)

        event.listen(engine, "begin", begin)
        return engine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the database's errors into the ledger's."""
        try:
            yield
        except DBAPIError as error:
            raise _ledger_error(self.path, error) from error
        except UnicodeEncodeError as error:
            raise LedgerRefused(
                f"ledger {self.path}",
                "a text that is no Unicode, such as an argument in another encoding",
                "write it in UTF-8",
            ) from error

    def _open(self) -> None:
        with self.reading():
            self._identify()
        self._keep_log()
        with self.transaction() as connection:
            if not self._application_id():
                metadata.create_all(connection)
                connection.execute(insert(ledger_schema).values(version=SCHEMA_VERSION))
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        with self.reading() as connection:
            is_older = self._version(connection) < SCHEMA_VERSION
        if is_older:
            self._bring_up()
            self._keep_log()
        self._pragma("foreign_keys=ON")

    def _keep_log(self) -> None:
        mode = self._pragma("journal_mode=WAL")
        if mode != "wal":
            raise LedgerError(
                f"ledger {self.path}",
                f"its file system does not carry a write-ahead log (mode {mode})",
                "put the ledger on a local disk",
            )
        self._pragma("synchronous=FULL")

    def _bring_up(self) -> None:
        """Upgrade an older ledger, while nobody else has it open.

        An older keyrig that has it open would go on with tables that are gone, and add events
        that are never published. SQLite leaves WAL mode only where no other connection is open.
        """
        self._pragma("locking_mode=EXCLUSIVE")
        try:
            self._pragma("journal_mode=DELETE")
            with self.transaction() as connection:
                found = self._version(connection)
                if found < SCHEMA_VERSION:
                    upgrade(connection, found)
                    connection.execute(insert(ledger_schema).values(version=SCHEMA_VERSION))
            # SQLite keeps the schema that it has read, until it is reset.
            self._pragma("writable_schema=RESET")
        except LedgerLocked:
            raise LedgerLocked(
                self._where, "another process, which an upgrade of the ledger must not meet"
            ) from None
        finally:
            self._pragma("locking_mode=NORMAL")

    def _identify(self) -> None:
        """Refuse a file that is not a ledger, before anything in it is changed.

        Its reads need one view, or a ledger that another process makes between them
        would look foreign.
        """
        found = self._application_id()
        if found == APPLICATION_ID:
            if self.path.stat().st_size <= CHECKED_ON_OPENING_OCTETS:
                self.check()
            return
        tables = self._driver().execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found or tables:
            raise LedgerForeign(self._where, "a database of another program")

    def _version(self, connection: Connection) -> int:
        version: int | None = connection.execute(
            select(func.max(ledger_schema.c.version))
        ).scalar_one()
        if version is None:
            raise LedgerCorrupt(self._where, "it does not say its version")
        if version > SCHEMA_VERSION:
            raise LedgerTooNew(self._where, found=version, known=SCHEMA_VERSION)
        return version

    def _application_id(self) -> int:
        return int(self._pragma("application_id"))

    def _pragma(self, text: str) -> Any:
        row = self._driver().execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    def _driver(self) -> Any:
        """Return the driver's connection, whose statements begin no transaction."""
        return _TranslatingDriver(self.path, self._connection.connection.driver_connection)


class _TranslatingDriver:
    """The driver's connection, raising the ledger's errors."""

    def __init__(self, path: Path, driver: Any) -> None:
        self._path = path
        self._driver = driver

    def execute(self, statement: str) -> Any:
        try:
            return self._driver.execute(statement)
        except sqlite3.DatabaseError as error:
            raise _ledger_error(self._path, error) from error


def _ledger_error(path: Path, error: DBAPIError | sqlite3.DatabaseError) -> LedgerError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in _LOCKED:
        return LedgerLocked(f"ledger {path}")
    if code == sqlite3.SQLITE_NOTADB:
        return LedgerForeign(f"ledger {path}", "no database")
    if code == sqlite3.SQLITE_CORRUPT:
        return LedgerCorrupt(f"ledger {path}", str(cause))
    if code == sqlite3.SQLITE_CONSTRAINT:
        return LedgerRefused(f"ledger {path}", str(cause))
    return LedgerError(f"ledger {path}", str(cause))
