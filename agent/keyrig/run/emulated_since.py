"""Since when a rig's emulated devices are there; read without loading any device."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import Unreadable, read_text

if TYPE_CHECKING:
    from pathlib import Path

COMMISSIONED_AT: Final = "commissioned-at"
"""The file, beside the devices' memories, that holds the instant when they were made."""
_DAMAGED: Final = "write the instant there, such as 2026-01-01T00:00:00+00:00"


def commissioned_at(directory: Path) -> datetime | None:
    """Return when a rig's emulated devices were made, or None where they are not.

    Raises:
        SettingsError: What was kept of it cannot be read.
    """
    path = directory / COMMISSIONED_AT
    try:
        moment = datetime.fromisoformat(read_text(path).strip())
    except Unreadable as error:
        if error.is_missing:
            return None
        raise SettingsError(str(path), str(error), _DAMAGED) from None
    except ValueError:
        raise SettingsError(str(path), "no instant", _DAMAGED) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
