"""The points at which a run can be interrupted, and what notices that one is reached.

A run without an interruption counts its points; a run with one does at that point what the
interruption says. The points of the ledger and of files are noticed from outside, by events of
SQLAlchemy and by Python's audit events, so that the product needs no seam for them.
"""

from __future__ import annotations

import enum
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from unittest import mock

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from keyrig.ledger.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_own_process: Final = os.getpid
"""Kept, since the agent is made to believe in another number."""


class PointKind(enum.Enum):
    """What is about to happen, or has just happened, at a point."""

    STATEMENT = "before a statement that writes to the ledger"
    BEFORE_COMMIT = "before a commit of the ledger"
    AFTER_COMMIT = "after a commit of the ledger"
    FILE = "before an operation on a file of the agent"
    FILE_OPENED = "after a file of the agent was opened to be written"
    OPEN = "before a line is opened"
    BEFORE_SEND = "before a message is sent"
    AFTER_SEND = "after a message was sent"
    BEFORE_RECEIVE = "before a message is awaited"
    AFTER_RECEIVE = "after a message was received"
    TO_DEVICE = "octets on their way to a device"
    FROM_DEVICE = "octets on their way from a device"
    MEMORY = "a step of a write of a device's memory"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a run.

    Args:
        kind: What is about to happen.
        label: What it happens to; the same in every run.
        has_pending: The device concerned has a key pair whose certificate has not come.
    """

    kind: PointKind
    label: str
    has_pending: bool = False


class Action(enum.Enum):
    """What interrupts a run."""

    KILL = "the agent is killed (SIGKILL)"
    POWER = "a device's power is cut"
    DISK_REFUSES = "the disk refuses every write (EFBIG)"
    DISK_FULL = "the disk is full (ENOSPC)"
    PORT = "a port is taken away"


class Cut(enum.Enum):
    """How many octets still pass when the power goes while octets are on their way."""

    HALF = "half way"
    LAST = "before the last octet"

    def of(self, octets: bytes) -> bytes:
        """Give the octets that still pass."""
        return octets[: len(octets) // 2 if self is Cut.HALF else len(octets) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """One interruption of one run.

    Args:
        action: What happens.
        base: The home that the run begins with.
        number: At which point of the run, counted from 0.
        point: That point, as the run without an interruption met it.
        cut: What still passes, where octets are on their way.
        back_at_once: Whether the device has power again at once, or in the next run only.
        loses_pending: Whether the device forgets key pairs whose certificates have not come.
    """

    action: Action
    base: str
    number: int
    point: Point
    cut: Cut | None = None
    back_at_once: bool = False
    loses_pending: bool = False

    def __str__(self) -> str:
        parts = [f"{self.action.value} at point {self.number} of {self.base}"]
        parts.append(self.point.kind.value)
        parts += [self.point.label] if self.point.label else []
        if self.action is Action.POWER:
            parts += [self.cut.value] if self.cut else []
            parts.append("back at once" if self.back_at_once else "back in the next run")
            parts += ["without its pending keys"] if self.loses_pending else []
        return ", ".join(parts)


class WrongPoint(AssertionError):
    """A run does not pass the points of the run that counted them."""


class Disk(Protocol):
    """The disk of the agent."""

    def fill(self) -> None:
        """Let every later write fail."""
        ...


@dataclass
class Trip:
    """Counts the points of one run, and interrupts it at one of them.

    Args:
        home: The agent's home folder, whose files are watched.
        with_devices: Whether the devices' memories below it are watched as files too.
        interruption: What to do and where; None only counts.
        disk: The disk to fill.
    """

    home: Path
    interruption: Interruption | None = None
    disk: Disk | None = None
    with_devices: bool = False
    points: list[Point] = field(default_factory=list)
    _count: int = 0
    _is_busy: bool = False

    def at(
        self, kind: PointKind, label: str = "", pending: Callable[[], bool] | None = None
    ) -> Interruption | None:
        """Pass a point; give the interruption that the caller is to carry out, if it is here."""
        number, self._count = self._count, self._count + 1
        wanted = self.interruption
        if wanted is None:
            self.points.append(Point(kind, label, pending() if pending else False))
            return None
        if wanted.number != number:
            return None
        if (wanted.point.kind, wanted.point.label) != (kind, label):
            raise WrongPoint(f"at point {number} there is {kind.value} {label}; wanted: {wanted}")
        if wanted.action is Action.KILL:
            os.kill(_own_process(), signal.SIGKILL)
        if wanted.action in {Action.DISK_REFUSES, Action.DISK_FULL}:
            assert self.disk is not None
            self._is_busy = True
            self.disk.fill()
            self._is_busy = False
        return wanted

    @property
    def is_reached(self) -> bool:
        """Whether the point of the interruption was passed."""
        return self.interruption is not None and self._count > self.interruption.number

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notice the points of the ledger and of the agent's files."""
        writer = _LedgerWatch(self)
        commit: Callable[..., None] = DefaultDialect.do_commit
        pragma = Database._pragma

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            writer.commit(lambda: commit(dialect, connection))

        def set_pragma(database: Database, text: str) -> Any:
            if "=" in text:
                self.at(PointKind.STATEMENT, text)
            return pragma(database, text)

        event.listen(Engine, "before_cursor_execute", writer.before_execute)
        try:
            with (
                mock.patch.object(DefaultDialect, "do_commit", do_commit),
                mock.patch.object(Database, "_pragma", set_pragma),
                _auditing(self._audit),
            ):
                yield
        finally:
            event.remove(Engine, "before_cursor_execute", writer.before_execute)

    def _audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._is_busy or name not in _FILE_EVENTS:
            return
        if name == "open" and not arguments[2] & _WRITING:
            return
        place = arguments[0]
        if isinstance(place, int):
            place = Path(f"/proc/self/fd/{place}").readlink()
        text = os.fspath(place)
        if not text.startswith(f"{self.home}/"):
            return
        if not self.with_devices and text.startswith(f"{self.home}/emulated/"):
            return
        self.at(PointKind.FILE, name)
        if name == "open":
            self._at_opened(text, arguments[2])

    def _at_opened(self, path: str, flags: int) -> None:
        """Pass the point at which a file is made or emptied, and nothing is written to it yet."""
        wanted = self.interruption
        if wanted is not None and wanted.number == self._count:
            # The event comes before the file is opened.
            self._is_busy = True
            os.close(os.open(path, flags, 0o600))
            self._is_busy = False
        self.at(PointKind.FILE_OPENED)


_FILE_EVENTS: Final = {
    "open",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
}
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _LedgerWatch:
    """Notices what is written to the ledger."""

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._has_written = False

    def before_execute(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "BEGIN")):
            return
        self._has_written = True
        self._trip.at(PointKind.STATEMENT, " ".join(statement.split()[:3]))

    def commit(self, commit: Callable[[], None]) -> None:
        if not self._has_written:
            commit()
            return
        self._trip.at(PointKind.BEFORE_COMMIT)
        commit()
        self._has_written = False
        self._trip.at(PointKind.AFTER_COMMIT)


_listener: Callable[[str, tuple[Any, ...]], None] | None = None
_is_hooked = False


def _dispatch(name: str, arguments: tuple[Any, ...]) -> None:
    if _listener is not None:
        _listener(name, arguments)


@contextmanager
def _auditing(listener: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Have `listener` told of Python's audit events; a hook, once added, stays for good."""
    global _listener, _is_hooked  # noqa: PLW0603 - as is the interpreter's own list of hooks
    if not _is_hooked:
        sys.addaudithook(_dispatch)
        _is_hooked = True
    assert _listener is None
    _listener = listener
    try:
        yield
    finally:
        _listener = None
