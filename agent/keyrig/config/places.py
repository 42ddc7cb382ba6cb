"""The default places of the agent's files, below KEYRIG_HOME."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrig.base.errors import SettingsError
from keyrig.base.private_files import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyrig.config.rig_file import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping


LEDGER_FILE: Final = "ledger.sqlite"


def find_data_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the home folder: `KEYRIG_HOME`, or the platform's place for user data.

    It need not exist. None takes the process's own environment.
    """
    named = (os.environ if environment is None else environment).get("KEYRIG_HOME")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path  # noqa: PLC0415 - not needed when the home is named

    return user_data_path("keyrig")


def ledger_path(*, make: bool = False) -> Path:
    """Return the ledger's file; make the home folder for it where `make` is true."""
    data_folder = find_data_folder()
    if make:
        make_data_folder(data_folder)
    return data_folder / LEDGER_FILE


def make_data_folder(data_folder: Path) -> None:
    """Make the home folder, for its owner alone, where there is none.

    Raises:
        SettingsError: It cannot be made.
    """
    try:
        make_folder(data_folder)
    except OSError as error:
        raise SettingsError(
            f"home {data_folder}",
            f"cannot be made: {error.strerror}",
            "set KEYRIG_HOME to a folder that can be written",
        ) from error


def default_keystore(environment: Mapping[str, str] | None = None) -> Path:
    """Return the default key store; it need not exist."""
    return find_data_folder(environment) / "pki"


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a rig's files, all below the home folder."""

    data_folder: Path
    rig: Rig

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.data_folder / LEDGER_FILE

    @property
    def emulated(self) -> Path:
        """The memories of the rig's emulated devices."""
        return self.data_folder / "emulated" / self.rig.name

    def radio_database(self, name: str) -> Path:
        """Return the database in which zigpy keeps the devices of a radio."""
        return self.data_folder / "rigs" / f"{self.rig.name}.{name}.zigbee.db"

    @property
    def radio_standings(self) -> Path:
        """The file with the states of the rig's radios."""
        return self.data_folder / "rigs" / f"{self.rig.name}.radios.json"

    @property
    def keystore(self) -> Path:
        """The rig's key store."""
        return self.data_folder / self.rig.pki.keystore

    @property
    def lock(self) -> Path:
        """The lock file held by the agent that drives the rig."""
        return lock_of(self.data_folder, self.rig.name)

    @property
    def emulation_lock(self) -> Path:
        """The lock file held while the rig's emulated devices are hosted."""
        return self.data_folder / "rigs" / f"{self.rig.name}.emulated.lock"


def places_of(rig: Rig) -> Places:
    """Return the places of a rig's files."""
    return Places(find_data_folder(), rig)


def lock_of(data_folder: Path, rig_name: str) -> Path:
    """Return the lock file held by the agent that drives the rig of a name."""
    return data_folder / "rigs" / f"{rig_name}.lock"
