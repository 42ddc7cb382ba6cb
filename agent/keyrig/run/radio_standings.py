"""How a rig's radios stand, kept in a file for `status` and whoever else asks meanwhile."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from keyrig.base import events
from keyrig.base.clock import instant_text
from keyrig.base.outside_files import Unreadable, parse_json, read_octets
from keyrig.base.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from keyrig.base.observing import Observer

SCHEMA: Final = 1


class RadioStandings:
    """An observer that keeps what it hears of radios, and passes everything on.

    It may be called from any thread.

    Args:
        path: The file; its folder must exist.
        observe: Hears everything too.
        clock: Gives the present instant.
    """

    def __init__(self, path: Path, observe: Observer, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._observe = observe
        self._clock = clock
        self._lock = threading.Lock()
        self._radios: dict[str, dict[str, Any]] = {}

    def __call__(self, event: events.Event) -> None:
        """Note what an event says of a radio, and pass it on."""
        with self._lock:
            self._note(event)
            self._observe(event)

    def _note(self, event: events.Event) -> None:
        match event:
            case events.Radio():
                since = instant_text(self._clock())
                self._radio(event.radio).update(state=event.state, reason=event.reason, since=since)
            case events.Network():
                self._radio(event.radio).update(
                    channel=event.channel,
                    pan_id=event.pan_id,
                    extended_pan_id=event.extended_pan_id,
                    version=event.version,
                )
            case events.NodeState():
                self._radio(event.radio)["devices"][event.device] = event.state
            case _:
                return
        unfinished = self._path.with_name(f"{self._path.name}.new")
        text = json.dumps({"schema": SCHEMA, "radios": self._radios}, indent=1)
        with os.fdopen(open_private(unfinished, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(text.encode() + b"\n")
        unfinished.replace(self._path)

    def _radio(self, name: str) -> dict[str, Any]:
        return self._radios.setdefault(name, {"devices": {}})


def standing_event(name: str, standing: Mapping[str, Any]) -> events.RadioStanding:
    """Return the event that tells of a radio's standing; what is not on record is None."""
    return events.RadioStanding(
        radio=name,
        state=standing.get("state", "not started"),
        reason=standing.get("reason"),
        since=standing.get("since"),
        devices=standing.get("devices", {}),
        last_state=standing.get("last_state"),
        channel=standing.get("channel"),
        pan_id=standing.get("pan_id"),
        extended_pan_id=standing.get("extended_pan_id"),
        version=standing.get("version"),
    )


def read_standings(path: Path, *, is_driven: bool) -> dict[str, dict[str, Any]]:
    """Return how a rig's radios stand, by name; nothing where none was ever started.

    Args:
        path: The file.
        is_driven: Whether an agent drives the rig now. Otherwise no radio is in use, whatever an
            agent that was killed left in the file.
    """
    try:
        document = parse_json(read_octets(path))
    except Unreadable:
        return {}
    held = document.get("radios") if isinstance(document, dict) else None
    if not isinstance(held, dict) or not all(isinstance(each, dict) for each in held.values()):
        return {}
    radios: dict[str, dict[str, Any]] = held
    if not is_driven:
        for radio in radios.values():
            radio |= {"state": "not in use", "last_state": radio.get("state"), "devices": {}}
    return radios
