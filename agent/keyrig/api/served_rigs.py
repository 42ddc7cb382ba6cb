"""The rigs that are served; their files are read again whenever they change."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyrig.base.errors import RigFileInvalid
from keyrig.config.places import Places, places_of
from keyrig.config.rig_file import EMULATED_HOME, Rig, load_rig

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRig:
    """A rig file as it is now.

    Args:
        name: The rig's name; where its file is broken, the last one that it had, or the file's.
        file: The file, for people.
        rig: The rig, or None where its file cannot be used.
        error: Why its file cannot be used.
        stamp: A value that changes with the file.
    """

    name: str
    file: str
    rig: Rig | None
    error: RigFileInvalid | None
    stamp: Any

    def usable(self) -> Rig:
        """Return the rig.

        Raises:
            RigFileInvalid: Its file cannot be used.
        """
        if self.rig is None:
            assert self.error is not None
            raise self.error
        return self.rig

    def places(self) -> Places:
        """Return the rig's places of keys, ledger and locks.

        Raises:
            RigFileInvalid: Its file cannot be used.
        """
        return places_of(self.usable())


class Rigs:
    """The rigs of the settings; a file that changed is read again at its next use.

    Args:
        paths: The files; the emulated home where there is none.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: tuple[Path | None, ...] = tuple(paths) or (None,)
        self._lock = threading.Lock()
        self._known: dict[Path | None, ServedRig] = {}
        self._places: dict[str, Path | None] = {}
        """By name, the file of each rig that no other has the name of."""

    def all(self) -> tuple[ServedRig, ...]:
        """Return every rig, in the order of the settings; no two share a name."""
        with self._lock:
            found: list[ServedRig] = []
            for path in self._paths:
                served = self._served(path)
                if any(other.name == served.name for other in found):
                    error = RigFileInvalid(
                        served.file,
                        f"another served file names its rig {served.name} too",
                        "give each rig its own name",
                    )
                    served = ServedRig(
                        name=f"{served.name}@{len(found)}",
                        file=served.file,
                        rig=None,
                        error=error,
                        stamp=served.stamp,
                    )
                else:
                    self._places[served.name] = path
                found.append(served)
        return tuple(found)

    def named(self, name: str) -> ServedRig | None:
        """Return the rig of a name, or None; reads only its own file where that is known."""
        if name in self._places:
            served = self._served(self._places[name])
            if served.name == name:
                return served
        return next((served for served in self.all() if served.name == name), None)

    def _served(self, path: Path | None) -> ServedRig:
        stamp = _stamp(path)
        known = self._known.get(path)
        if known is not None and known.stamp == stamp:
            return known
        file = EMULATED_HOME if path is None else str(path)
        try:
            rig = load_rig(path)
        except RigFileInvalid as error:
            name = known.name if known else Path(file).stem
            served = ServedRig(name=name, file=file, rig=None, error=error, stamp=stamp)
        else:
            served = ServedRig(name=rig.name, file=file, rig=rig, error=None, stamp=stamp)
        self._known[path] = served
        return served


def _stamp(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_mtime_ns, found.st_size
