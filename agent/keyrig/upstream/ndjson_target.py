"""Events to a file, one CloudEvent a line."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from gbcs.printable import printable
from keyrig.base.private_files import PRIVATE_FILE, make_folder
from keyrig.upstream.upstream_target import Answer, Target, Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keyrig.upstream.cloud_events import Outgoing

BATCH_MAXIMUM: Final = 1000
EVENT_BEGINNING: Final = b'{"specversion": "1.0", "id": "'
"""What every line of this target begins with; no other line is ever cut off."""
_TAIL_OCTETS: Final = 64 * 1024


class NDJSONTarget(Target):
    """Appends lines, and syncs them to the disk before they count as acknowledged.

    The file may be renamed or removed by others at any time; the next line goes to a new one.
    An unfinished line that a crash left is cut off, since its event is not acknowledged yet; an
    unfinished line of another program is ended by a line feed instead.

    Args:
        path: The file.
        make_folders: Make the folders that it is in.
    """

    def __init__(self, path: Path, *, make_folders: bool) -> None:
        self._path = path
        self._make_folders = make_folders
        self._file: int | None = None

    @property
    @override
    def batch_maximum(self) -> int:
        return BATCH_MAXIMUM

    @override
    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        del within_s
        try:
            is_file = self._append(b"".join(each.octets + b"\n" for each in batch))
        except OSError as error:
            self.close()
            reason = f"{printable(str(self._path))}: {error.strerror}"
            return Answer(trouble=Trouble.AGAIN, reason=reason)
        except ValueError:
            # Raised for a name that no file can have, such as one with a null character.
            is_file = False
        if not is_file:
            reason = f"{printable(str(self._path))}: no ordinary file; name another in the settings"
            return Answer(trouble=Trouble.STOPPED, reason=reason)
        return Answer(accepted=frozenset(each.event.number for each in batch))

    @override
    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, lines: bytes) -> bool:
        file = self._opened()
        if file is None:
            return False
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            before = _repaired(file)
            try:
                _write(file, lines)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
        return True

    def _opened(self) -> int | None:
        """Return the descriptor of the path's present file; None if that is no regular file."""
        if self._file is not None and not _is_at(self._file, self._path):
            self.close()
        if self._file is None:
            if self._make_folders:
                make_folder(self._path.parent)
            # O_NONBLOCK: opening a pipe without a reader would block.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            # An existing file keeps its mode: it may be shared with its readers.
            file = os.open(self._path, flags, PRIVATE_FILE)
            self._file = file
            if not stat.S_ISREG(os.fstat(file).st_mode):
                self.close()
                return None
            _sync_folder(self._path.parent)
        return self._file


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write(file: int, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(file, left) :]


def _repaired(file: int) -> int:
    """Repair a file's unfinished last line; return the file's length in octets."""
    size = os.fstat(file).st_size
    start = max(0, size - _TAIL_OCTETS)
    tail = os.pread(file, size - start, start)
    if not tail or tail.endswith(b"\n"):
        return size
    last = tail[tail.rfind(b"\n") + 1 :]
    if last.startswith(EVENT_BEGINNING) or EVENT_BEGINNING.startswith(last):
        os.ftruncate(file, size - len(last))
        return size - len(last)
    _write(file, b"\n")
    return size + 1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
