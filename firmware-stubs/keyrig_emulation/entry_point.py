"""What keyrig finds by entry point; devices are loaded when they are hosted, and not before."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Final

from keyrig.errors import SettingsError
from keyrig.outside_files import Unreadable, read_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyrig.emulation import Emulation, HostedDevices, Line
    from keyrig.keystore.base import KeyStore
    from keyrig.observing import Observer
    from keyrig.rig import Rig

HOME_RIG: Final = "emulated-home.toml"
COMMISSIONED_AT: Final = "commissioned-at"
"""The file beside the devices' memories that has the instant at which they were made."""
_DAMAGED: Final = "write the instant there, such as 2026-01-01T00:00:00+00:00"


class MeterstubEmulation:
    """Emulates a rig's devices by `meterstub`; a `keyrig.emulation.Emulation`."""

    def home_rig_text(self) -> str:
        """Return the text of the emulated home's rig file."""
        return resources.files(__package__).joinpath(HOME_RIG).read_text(encoding="utf-8")

    def commissioned_at(self, directory: Path) -> datetime | None:
        """Return when a rig's emulated devices were made, or None where they are not.

        Raises:
            SettingsError: What was kept of it cannot be read.
        """
        return commissioned_at(directory)

    def hosted(
        self,
        rig: Rig,
        *,
        directory: Path,
        store: KeyStore,
        clock: Callable[[], datetime],
        observe: Observer,
        line: Line,
    ) -> HostedDevices:
        """Return the emulated devices of a rig, not hosted yet.

        Raises:
            KeyMissing: The store lacks the key that certifies devices.
        """
        from keyrig_emulation.emulated_rig import EmulatedDevices  # noqa: PLC0415 - as said above

        return EmulatedDevices(
            rig, directory=directory, store=store, clock=clock, observe=observe, line=line
        )


def commissioned_at(directory: Path) -> datetime | None:
    """Return when the devices whose memories are in a folder were made; None where none are.

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


EMULATION: Final[Emulation] = MeterstubEmulation()
