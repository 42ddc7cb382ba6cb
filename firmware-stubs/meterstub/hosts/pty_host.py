"""A host that puts a station on a pseudo-terminal, which looks like a serial port."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
import time  # noqa: TID251 - a host is the edge where an emulated device meets time
import tty
from typing import TYPE_CHECKING, Final

from meterstub.hosts.line_host import Framing, LineHost, LineOptions, Station

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIOCGEXCL: Final = 0x80045440
"""Linux: asks whether the terminal is marked exclusive; the termios module has no name for it."""


class PtyHost(LineHost):
    """Serves a new pty pair; its user opens the slave's path, and may close and open it again.

    What is written while nobody has the path open waits in the terminal, as far as that goes.

    Args:
        station: The device.
        framing: How messages travel.
        options: How the line behaves.
        clock: Returns monotonic seconds.
        link: A path that leads to the slave, also when the line was away and is another; as
            the names below /dev/serial/by-id do.
    """

    _master = -1
    _slave = -1
    _url = ""

    def __init__(
        self,
        station: Station,
        *,
        framing: Framing = "hdlc",
        options: LineOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        link: Path | None = None,
    ) -> None:
        super().__init__(station, framing=framing, options=options, clock=clock)
        self._link = link

    @property
    def url(self) -> str:
        """The slave's device path; known once the host is started."""
        return self._url

    def _open_line(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        # Holding the slave open keeps the pair alive between one user and the next.
        self._url = os.ttyname(self._slave)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self._url)
            self._url = str(self._link)

    def _close_line(self) -> None:
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _line_descriptor(self) -> int | None:
        return self._master if self._master >= 0 else None

    def _watched(self) -> list[int]:
        return []

    def _ready(self, descriptors: list[int]) -> None:
        """Do nothing: no other descriptor is watched."""

    def _line_lost(self) -> None:
        """Close the pair: with the slave held open, only the host's own end brings this."""
        self._close_line()

    def _act(self, data: bytes) -> None:
        self._clear_stale_exclusion()
        super()._act(data)

    def _clear_stale_exclusion(self) -> None:
        """Undo the exclusive mark of a user that was killed.

        The mark lives as long as the terminal, which this host holds open. A living user that
        marked it holds the lock too, so a free lock shows that the mark is stale.
        """
        if self._slave < 0:
            return
        with contextlib.suppress(OSError):
            (marked,) = struct.unpack("i", fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)))
            if marked:
                fcntl.flock(self._slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.ioctl(self._slave, termios.TIOCNXCL)
                fcntl.flock(self._slave, fcntl.LOCK_UN)
