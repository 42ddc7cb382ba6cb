"""Where the agent keeps what it is not told another place for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


LEDGER_FILE: Final = "ledger.sqlite"


def home_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Give the home folder: `KEYRIG_HOME`, or the platform's place for user data.

    It need not exist. None takes the process's own environment.
    """
    named = (os.environ if environment is None else environment).get("KEYRIG_HOME")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path  # noqa: PLC0415 - not needed when the home is named

    return user_data_path("keyrig")


def ledger_path(*, make: bool = False) -> Path:
    """Give the ledger's file, making the home folder for it on demand."""
    home = home_directory()
    if make:
        make_home(home)
    return home / LEDGER_FILE


def make_home(home: Path) -> None:
    """Make the home folder, for its owner alone, where there is none.

    Raises:
        SettingsError: It cannot be made.
    """
    from keyrig.base.private_files import make_folder  # noqa: PLC0415 - not for --help

    try:
        make_folder(home)
    except OSError as error:
        from keyrig.base.errors import SettingsError  # noqa: PLC0415 - not needed as a rule

        raise SettingsError(
            f"home {home}",
            f"cannot be made: {error.strerror}",
            "set KEYRIG_HOME to a folder that can be written",
        ) from error


def default_keystore(environment: Mapping[str, str] | None = None) -> Path:
    """Give the key store that is used when none is named; it need not exist."""
    return home_directory(environment) / "pki"
