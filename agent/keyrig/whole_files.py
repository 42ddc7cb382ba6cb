"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyrig.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, octets: bytes, what: str) -> None:
    """Write a file and have it on the disk; what was there stays until the new one is complete.

    Args:
        path: The file; what is there and no regular file is written to as it is.
        octets: What it is to hold.
        what: Names it in errors, such as "the report".

    Raises:
        SettingsError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(octets)
            return
        with part.open("wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError(
            str(path), f"{what} cannot be written: {error.strerror}", "name another file"
        ) from error
