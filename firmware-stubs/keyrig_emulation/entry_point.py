"""What keyrig finds by entry point; devices are loaded when they are hosted, and not before."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from keyrig_emulation.commissioning_mark import commissioned_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from keyrig.base.observing import Observer
    from keyrig.config.rig_file import Rig
    from keyrig.keys.key_store import KeyStore
    from keyrig.run.emulation import Emulation, HostedDevices, Line

HOME_RIG: Final = "emulated-home.toml"


class MeterstubEmulation:
    """Emulates a rig's devices by `meterstub`; a `keyrig.run.emulation.Emulation`."""

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


EMULATION: Final[Emulation] = MeterstubEmulation()
