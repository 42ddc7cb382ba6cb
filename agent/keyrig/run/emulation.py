"""What a run needs of whoever emulates devices.

The implementation is the distribution keyrig-firmware-stubs; it imports this package, never the
other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self

from keyrig.base.installed_emulation import installed_emulation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.config.rig_file import Rig
    from keyrig.keys.key_store import KeyStore

Line = Literal["pty", "tcp"]


class HostedDevices(Protocol):
    """The emulated devices of one rig, on their lines while the context is open."""

    @property
    def urls(self) -> Mapping[EntityIdentifier, str]:
        """Where each device with a line of its own is reached."""
        ...

    @property
    def radio_urls(self) -> Mapping[str, str]:
        """Where each emulated radio is reached, by name."""
        ...

    @property
    def devices(self) -> Mapping[EntityIdentifier, object]:
        """Every emulated device, those on the air of a radio included."""
        ...

    @property
    def commissioned_at(self) -> datetime:
        """When they were made, which counts as their Commissioning."""
        ...

    def verify_running(self) -> None:
        """Check that every device is still hosted.

        Raises:
            KeyrigError: One is not; names it.
        """
        ...

    def __enter__(self) -> Self:
        """Make the devices that are not there yet, and host all."""
        ...

    def __exit__(self, *exc_info: object) -> None: ...


class Emulation(Protocol):
    """Emulates devices and radios; what the entry point names."""

    def home_rig_text(self) -> str:
        """Return the text of the rig file that is used where none is named."""
        ...

    def commissioned_at(self, directory: Path) -> datetime | None:
        """Return when a rig's devices were made, or None where they are not; loads no device.

        Args:
            directory: Where the rig's devices keep their memories.

        Raises:
            SettingsError: What was kept of it cannot be read.
        """
        ...

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

        Args:
            rig: The rig; those of its devices whose URL is `emulated:` are emulated.
            directory: Where their memories are kept.
            store: Has the certificates that their cells hold from the factory, and the key that
                certifies their first keys; a folder keeps these certificates too.
            clock: Returns their time.
            observe: Called for each device that is made.
            line: What each is put on.

        Raises:
            KeyMissing: The store lacks that key.
        """
        ...


def emulation_of(rig: Rig) -> Emulation:
    """Return what emulates a rig's devices.

    Raises:
        EmulationMissing: It is not installed.
    """
    found: Emulation = installed_emulation(f"rig {rig.name}")
    return found
