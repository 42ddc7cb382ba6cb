"""Locks of a rig: one agent drives it, and one run reaches each of its devices."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from keyrig.base import events
from keyrig.base.clock import monotonic
from keyrig.base.device_locks import holding
from keyrig.base.errors import RigBusy
from keyrig.base.lock_files import open_lock, take_lock
from keyrig.base.observing import Observer, unobserved
from keyrig.config.places import Places, make_data_folder, places_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig

LOCK_WAIT_S: Final = 60.0


@contextmanager
def held(
    lock: Path,
    places: Places,
    observe: Observer = unobserved,
    *,
    wait_s: float = LOCK_WAIT_S,
) -> Iterator[None]:
    """Hold one of a rig's locks; the operating system gives it back if this process dies.

    Raises:
        RigBusy: Another agent still holds it after `wait_s`.
        LockUnusable: Its file cannot be opened or made.
    """
    descriptor = open_lock(lock)
    try:
        name = places.rig.name
        if not take_lock(
            descriptor,
            until=monotonic() + wait_s,
            monotonic=monotonic,
            waiting=lambda: observe(events.Preparing(what=f"another agent drives {name}; waiting")),
        ):
            raise RigBusy(name)
        yield
    finally:
        os.close(descriptor)


def is_driven(places: Places) -> bool:
    """Return True if an agent drives the rig at this moment."""
    return is_held(places.lock)


def is_held(lock: Path) -> bool:
    """Return True if somebody holds a rig's lock at this moment.

    Raises:
        LockUnusable: Its file is there and cannot be opened.
    """
    if not lock.exists():
        return False
    descriptor = open_lock(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def reserved(
    rig: Rig,
    *,
    only: Collection[EntityIdentifier] = (),
    observe: Observer = unobserved,
    wait_s: float = LOCK_WAIT_S,
    holder: str = "",
) -> Iterator[None]:
    """Hold all that a run of a rig needs for itself: the rig and its devices.

    Args:
        rig: The rig.
        only: The devices to reach; all where empty.
        observe: Is told what is waited for.
        wait_s: How long to wait for each, in seconds; 0 for not at all.
        holder: Who holds the devices, for whoever is refused.

    Raises:
        RigBusy: Another agent still drives the rig after `wait_s`.
        DeviceBusy: Another run still holds one of the devices after `wait_s`.
    """
    places = places_of(rig)
    make_data_folder(places.data_folder)
    devices = only or [device.entity_id for device in rig.device]
    with ExitStack() as stack:
        stack.enter_context(held(places.lock, places, observe, wait_s=wait_s))
        stack.enter_context(
            holding(places.data_folder, devices, wait_s=wait_s, holder=holder, observe=observe)
        )
        yield
