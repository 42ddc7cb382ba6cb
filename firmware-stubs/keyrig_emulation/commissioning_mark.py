"""When a rig's emulated devices were made: one file beside their memories."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import Unreadable, read_text
from keyrig.base.private_files import PRIVATE_FILE, write_whole

if TYPE_CHECKING:
    from pathlib import Path

_MARK: Final = "commissioned-at"
_DAMAGED: Final = "write the instant there, such as 2026-01-01T00:00:00+00:00"


def commissioned_at(directory: Path) -> datetime | None:
    """Return when the devices whose memories are in a folder were made; None where none are.

    Raises:
        SettingsError: What was kept of it cannot be read.
    """
    path = directory / _MARK
    try:
        moment = datetime.fromisoformat(read_text(path).strip())
    except Unreadable as error:
        if error.is_missing:
            return None
        raise SettingsError(str(path), str(error), _DAMAGED) from None
    except ValueError:
        raise SettingsError(str(path), "no instant", _DAMAGED) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def mark_commissioned(directory: Path, now: datetime) -> None:
    """Write when the devices of a folder are made, whole or not at all."""
    write_whole(
        directory / _MARK, f"{now.isoformat()}\n".encode(), "when they were made", mode=PRIVATE_FILE
    )
