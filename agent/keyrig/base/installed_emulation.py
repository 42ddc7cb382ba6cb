"""The emulation of devices, found by its entry point where it is installed.

Emulation is a distribution of its own that rigs of real devices do without. It announces itself
by that entry point, so that nothing here imports it.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Final

from keyrig.base.errors import EmulationMissing

GROUP: Final = "keyrig.emulation"
"""The group of the entry point; what it names is a `keyrig.run.emulation.Emulation`."""


def installed_emulation(where: str) -> Any:
    """Return the emulation's entry object; its slow imports are not made yet.

    Args:
        where: What needs it, for the error.

    Raises:
        EmulationMissing: It is not installed, or what it needs itself is not.
    """
    for entry_point in entry_points(group=GROUP):
        try:
            return entry_point.load()
        except ImportError as error:
            raise EmulationMissing(where, f"cannot be loaded: {error}") from error
    raise EmulationMissing(where)
