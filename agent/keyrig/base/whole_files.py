"""Atomic writing of files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from keyrig.base.errors import SettingsError
from keyrig.base.private_files import SHARED_FILE

if TYPE_CHECKING:
    from pathlib import Path


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
