"""Hosting a rig's emulated devices."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyrig.base.clock import utc_now
from keyrig.base.errors import SettingsError
from keyrig.base.observing import Observer, unobserved
from keyrig.config.places import Places, make_data_folder, places_of
from keyrig.run.emulation import emulation_of
from keyrig.run.rig_locks import held
from keyrig.run.rig_organisations import keystore_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyrig.config.rig_file import Rig
    from keyrig.run.emulation import HostedDevices, Line


@contextmanager
def emulated_rig(
    rig: Rig,
    *,
    observe: Observer = unobserved,
    line: Line = "pty",
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[HostedDevices]:
    """Start a rig's emulated devices, for other programs to use.

    Raises:
        SettingsError: The rig has none.
        EmulationMissing: What emulates them is not installed.
    """
    if not rig.has_emulated_devices:
        raise SettingsError(f"rig {rig.name}", "has no emulated device", "name another rig")
    places = places_of(rig)
    make_data_folder(places.data_folder)
    with hosted_devices(places, observe, clock, line) as devices:
        yield devices


@contextmanager
def hosted_devices(
    places: Places, observe: Observer, clock: Callable[[], datetime], line: Line = "pty"
) -> Iterator[HostedDevices]:
    """Host a rig's emulated devices, which no other process does meanwhile.

    Raises:
        EmulationMissing: What emulates them is not installed.
    """
    emulation = emulation_of(places.rig)
    devices = emulation.hosted(
        places.rig,
        directory=places.emulated,
        store=keystore_of(places, observe, clock()),
        clock=clock,
        observe=observe,
        line=line,
    )
    with held(places.emulation_lock, places, observe), devices:
        yield devices
