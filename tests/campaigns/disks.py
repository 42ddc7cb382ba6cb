"""The agent's disk, which can be filled: really, by the kernel's own refusals."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_OCTETS: Final = 24 * 1024 * 1024
_CHUNK: Final = bytes(256 * 1024)
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000


class RefusingDisk:
    """Has the kernel refuse every write of this process to a file (RLIMIT_FSIZE, EFBIG)."""

    def __init__(self) -> None:
        self._is_full = False

    def fill(self) -> None:
        """Let every later write of this process fail."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._is_full = True
        self._limit(0)

    def free(self) -> None:
        """Nothing is left over: the limit ends with the process."""

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Hold the limit off, for what is not on the agent's disk."""
        if not self._is_full:
            yield
            return
        self._limit(resource.RLIM_INFINITY)
        try:
            yield
        finally:
            self._limit(0)

    def _limit(self, octets: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


class SmallDisk:
    """A file system of its own, filled by a file that takes all that is left (ENOSPC).

    Args:
        directory: Where it is mounted.
    """

    def __init__(self, directory: Path) -> None:
        self._filler = directory / "filler"

    def fill(self) -> None:
        """Take all that is left."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT)
        chunk = _CHUNK
        while chunk:
            try:
                os.write(descriptor, chunk)
            except OSError:
                chunk = chunk[: len(chunk) // 2]
        os.close(descriptor)

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Devices and the log are on another disk."""
        yield


def mount_small_disk(directory: Path) -> bool:
    """Mount a small file system in memory, which only this process and its children see.

    Returns:
        Whether the system allows it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS) and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) == 0:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    if libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None):
        return False
    options = f"size={DISK_OCTETS}".encode()
    return bool(libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options) == 0)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)
