"""One run per device at a time: a lock of the operating system for each device.

The lock's file names the operation that holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from gbcs.printable import printable
from keyrig.base import events
from keyrig.base.clock import monotonic
from keyrig.base.errors import DeviceBusy, LockUnusable
from keyrig.base.lock_files import open_lock, take_lock
from keyrig.base.observing import Observer, unobserved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier

_HOLDER_OCTETS: Final = 400


@contextmanager
def holding(
    data_folder: Path,
    devices: Collection[EntityIdentifier],
    *,
    wait_s: float,
    holder: str = "",
    observe: Observer = unobserved,
) -> Iterator[None]:
    """Hold the locks of devices, all of them or none, while the context lasts.

    They are taken in the order of the identifiers, so that two who want the same ones never wait
    for each other.

    Args:
        data_folder: The home folder; it is made where there is none.
        devices: The devices to reach.
        wait_s: How long to wait for those that another holds, in seconds; 0 for not at all.
        holder: Who holds them, for whoever is refused; an operation's id.
        observe: Called once for each device that is waited for.

    Raises:
        DeviceBusy: Another still holds one after `wait_s`.
        LockUnusable: A lock's file cannot be opened, made or written.
    """
    deadline = monotonic() + wait_s
    with ExitStack() as stack:
        for device in sorted(set(devices), key=lambda each: each.stem):
            path = _path(data_folder, device)
            descriptor = open_lock(path)
            stack.callback(os.close, descriptor)
            _acquire(descriptor, device, deadline, observe)
            stack.callback(_forget, descriptor)
            _say(path, descriptor, holder)
        yield


def holder_of(data_folder: Path, device: EntityIdentifier) -> str | None:
    """Return who holds a device now, "" where that is not known, None for nobody.

    Raises:
        LockUnusable: Its lock's file is there and cannot be opened.
    """
    path = _path(data_folder, device)
    if not path.exists():
        return None
    descriptor = open_lock(path)
    try:
        if not os.fstat(descriptor).st_size:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder died; without the text, others need not acquire the lock to find out.
        os.ftruncate(descriptor, 0)
    except BlockingIOError:
        return _said(descriptor)
    finally:
        os.close(descriptor)
    return None


def _path(data_folder: Path, device: EntityIdentifier) -> Path:
    return data_folder / "devices" / f"{device.stem}.lock"


def _acquire(descriptor: int, device: EntityIdentifier, deadline: float, observe: Observer) -> None:
    if not take_lock(
        descriptor,
        until=deadline,
        monotonic=monotonic,
        waiting=lambda: observe(
            events.Preparing(what=f"another run holds device {device}; waiting")
        ),
    ):
        raise DeviceBusy(str(device), _said(descriptor))


def _say(path: Path, descriptor: int, holder: str) -> None:
    text = json.dumps({"holder": holder, "process": os.getpid()})
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode()[:_HOLDER_OCTETS], 0)
    except OSError as error:
        raise LockUnusable(str(path), error.strerror or type(error).__name__) from error


def _forget(descriptor: int) -> None:
    """Erase the holder's name; one that remains counts for nothing once the lock is released."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)


def _said(descriptor: int) -> str:
    """Return the holder that a lock's file names; it may be half-written."""
    try:
        said: Any = json.loads(os.pread(descriptor, _HOLDER_OCTETS, 0))
    except ValueError:
        return ""
    return printable(str(said.get("holder", "")), 80) if isinstance(said, dict) else ""
