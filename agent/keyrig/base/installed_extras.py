"""Which extras of keyrig are not installed, by what its own metadata says that each brings."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from typing import Final

from keyrig.base.errors import SettingsError

_OF_EXTRA: Final = re.compile(r"([A-Za-z0-9._-]+).*\bextra\s*==\s*[\"']([^\"']+)[\"']")


@cache
def _distributions() -> dict[str, tuple[str, ...]]:
    """Return the distributions that each extra adds; none where keyrig itself is not installed."""
    try:
        requirements = metadata.requires("keyrig") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for requirement in requirements:
        named = _OF_EXTRA.match(requirement)
        if named is not None and named[1] != "keyrig":
            name = named[1].lower().replace("_", "-")
            found[named[2]] = (*found.get(named[2], ()), name)
    return found


def extra_with(module: str, command: str) -> str | None:
    """Return the extra that brings a module: the command's own, or else the smallest, or None.

    Args:
        module: Its name, such as "paho.mqtt.client".
        command: The command that needs it; some extras are named after theirs.
    """
    top = module.partition(".")[0].lower().replace("_", "-")
    exact = {top, f"py{top}", f"python-{top}"}
    ranked = sorted(
        (name not in exact, extra != command, len(names), extra)
        for extra, names in _distributions().items()
        for name in names
        if name in exact or name.startswith(f"{top}-")
    )
    return ranked[0][3] if ranked else None


def is_installed(extra: str) -> bool:
    """Return True if everything that an extra adds is installed."""
    for name in _distributions().get(extra, ()):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            return False
    return True


def extra_missing(extra: str, what: str) -> SettingsError:
    """Return the error for a missing extra and the feature that needs it.

    Args:
        extra: The extra.
        what: What needs it, such as "keyrig serve".
    """
    return SettingsError(what, f"needs the extra {extra}", f"pip install 'keyrig[{extra}]'")


def require_extra(extra: str, what: str) -> None:
    """Check that an extra is installed, before anything of it is imported.

    Args:
        extra: The extra.
        what: What needs it.

    Raises:
        SettingsError: It is not.
    """
    if not is_installed(extra):
        raise extra_missing(extra, what)
