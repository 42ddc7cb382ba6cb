"""Files and folders that are for their owner alone, whatever the umask.

The umask belongs to the whole process, whose threads each make files; so each file is made with
its mode, and none of it is left to the umask. A file of an earlier version whose mode is wider is
narrowed when it is opened, where this process's user owns it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.printable import printable
from keyrig.base.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
SHARED_FILE: Final = 0o644
"""For files made to be passed on, such as a report; only the owner may write them."""
SHARED_FOLDER: Final = 0o755
_OTHERS: Final = 0o077
_DATABASE_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
"""A database of SQLite and what lies beside it, which SQLite makes with the database's mode."""


def make_folder(path: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make a folder, and with the same mode those above it that are missing.

    Raises:
        OSError: It cannot be made, or there is something else.
    """
    missing = [each for each in path.parents if not each.exists()]
    for each in (*reversed(missing), path):
        each.mkdir(mode=mode, exist_ok=True)


def open_private(path: Path, flags: int) -> int:
    """Open a file, made for its owner alone where there is none, narrowed where there is.

    Args:
        path: The file.
        flags: As `os.open` has them, without O_CREAT and O_CLOEXEC.

    Returns:
        Its descriptor.

    Raises:
        OSError: It cannot be opened or made.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    with suppress(OSError):
        mode = _narrowed(os.fstat(descriptor))
        if mode is not None:
            os.fchmod(descriptor, mode)
    return descriptor


def make_private_database(path: Path, *, create: bool = True) -> None:
    """Make an SQLite database and the files beside it private to their owner, before it is opened.

    The file of a new database is made empty, as SQLite makes it. One that is there is never
    opened here: closing it would release the locks that this process holds by SQLite.

    Args:
        path: The file; its folder must exist.
        create: Make it where there is none.

    Raises:
        OSError: It cannot be made.
    """
    if create:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    for suffix in _DATABASE_SUFFIXES:
        beside = path.with_name(path.name + suffix)
        # On a file system that is only read there is nothing to narrow.
        with suppress(OSError):
            mode = _narrowed(beside.stat())
            if mode is not None:
                beside.chmod(mode)


def _narrowed(status: os.stat_result) -> int | None:
    """Return the mode that a file should have, or None where it stays as it is."""
    mode = stat.S_IMODE(status.st_mode)
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return mode & ~_OTHERS if is_ours and mode & _OTHERS else None


@dataclass(frozen=True, slots=True)
class Exposure:
    """Users other than the owner who may use a folder; as text, one line with the mend."""

    folder: Path
    mode: int

    @property
    def is_writable(self) -> bool:
        """True if they may change its content."""
        return bool(self.mode & 0o022)

    def __str__(self) -> str:
        bits, what = (0o022, "change what is in it") if self.is_writable else (_OTHERS, "enter it")
        who = "everybody" if self.mode & bits & 0o007 else "its group"
        return f"{who} may {what}; run `chmod 700 {printable(str(self.folder))}`"


def exposure_of(folder: Path) -> Exposure | None:
    """Return which users other than its owner may use a folder; None for nobody, or no folder."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return None
    return Exposure(folder, mode) if mode & _OTHERS else None


def write_whole(path: Path, octets: bytes, what: str, *, mode: int = SHARED_FILE) -> None:
    """Write and sync a file; the old content stays until the new one is complete.

    Args:
        path: The file; one that is no regular file, such as a pipe, is written to directly.
        octets: Its new content.
        what: Its name in errors, such as "the report".
        mode: Who may read and write it at most; a file that was there for fewer stays so.

    Raises:
        SettingsError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(octets)
            return
        if path.exists():
            mode &= stat.S_IMODE(path.stat().st_mode)
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError(
            str(path), f"{what} cannot be written: {error.strerror}", "name another file"
        ) from error
