"""Serial ports: anything that pyserial opens by URL, opened for this process alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
from typing import TYPE_CHECKING, Final

import serial

from keyrig.base.errors import LinkClosed
from keyrig.transports.line.port_refusals import refusal

if TYPE_CHECKING:
    from socket import socket

READ_OCTETS: Final = 4096
WRITE_TIMEOUT_S: Final = 30.0
"""Longest wait for a port to accept what is written."""
UNWATCHED_WAIT_S: Final = 0.02
"""How long one read waits on a port that cannot be watched together with the wake-up pipe."""


class Port:
    """A port that reads with a time-out and can be woken from another thread.

    One thread reads and writes; `wake` may be called from any.

    Args:
        url: A device path or a pyserial URL: `socket://`, `rfc2217://`, `spy://`, `loop://`.
        baud: Bits per second, where the port has a baud rate.
    """

    def __init__(self, url: str, *, baud: int = 9600) -> None:
        self.url = url
        self.baud = baud
        self._serial: serial.Serial | None = None
        self._fd: int | None = None
        self._is_tty = False
        self._wake_read: int | None = None
        self._wake_write: int | None = None

    @property
    def is_open(self) -> bool:
        """True if the port is open."""
        return self._serial is not None

    @property
    def octet_time_s(self) -> float:
        """The time of one octet on the wire: ten bits on a device path, 0 on a network."""
        return 0.0 if "://" in self.url else 10 / self.baud

    def open(self) -> None:
        """Open the port for this process alone, by flock and, on a terminal, TIOCEXCL.

        A network port is given 5 s for each of its host's addresses to be connected, and one of
        RFC 2217 3 s more for each option that its server must agree to.

        Raises:
            PortMissing: There is no such port, or nothing listens at its address.
            PortBusy: Another program has it.
            DeviceUnavailable: It is there and cannot be opened.
            RigFileInvalid: The URL or the baud rate makes no sense.
        """
        if self._serial is not None:
            return
        try:
            self._serial = serial.serial_for_url(
                self.url,
                baudrate=self.baud,
                timeout=0,
                exclusive=True,
                do_not_open=True,
            )
            self._serial.open()
            self._set_up(self._serial)
        # Drivers, URL handlers and termios raise any exception; none of it may end a run.
        except Exception as error:
            self.close()
            raise refusal(self.url, self.baud, error) from error
        except BaseException:
            self.close()
            raise

    def _set_up(self, opened: serial.Serial) -> None:
        self._fd = _descriptor(opened)
        if self._fd is None:
            # Ports of this kind, such as rfc2217://, have no write time-out.
            opened.timeout = UNWATCHED_WAIT_S
        else:
            opened.write_timeout = WRITE_TIMEOUT_S
        self._is_tty = self._fd is not None and os.isatty(self._fd)
        if self._is_tty and self._fd is not None:
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def close(self) -> None:
        """Close the port; no other thread may be reading or writing."""
        opened, self._serial = self._serial, None
        if opened is None:
            return
        if self._is_tty and self._fd is not None:
            # The mark would outlive this program on a terminal that another one holds open too.
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
        self._fd = None
        # pyserial leaves the socket open where the peer has gone before.
        connection: socket | None = getattr(opened, "_socket", None)
        with contextlib.suppress(OSError, termios.error):
            opened.close()
        if connection is not None:
            connection.close()
        for descriptor in (self._wake_read, self._wake_write):
            if descriptor is not None:
                os.close(descriptor)
        self._wake_read = self._wake_write = None

    def read(self, timeout_s: float | None) -> bytes:
        """Return the octets received, or none after the time-out or a wake-up.

        Args:
            timeout_s: Longest wait in seconds, or None for no limit.

        Raises:
            LinkClosed: The port is not open, or went away.
        """
        opened = self._require_open()
        try:
            if self._fd is None:
                return self._read_unwatched(opened, timeout_s)
            assert self._wake_read is not None
            ready, _, _ = select.select([self._fd, self._wake_read], [], [], timeout_s)
            if self._wake_read in ready:
                self._drain_wake()
            return bytes(opened.read(READ_OCTETS)) if self._fd in ready else b""
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise LinkClosed(self.url, "the port went away") from error

    def write(self, octets: bytes) -> None:
        """Write all of `octets`.

        Raises:
            LinkClosed: The port is not open, went away, or accepts no more octets.
        """
        opened = self._require_open()
        try:
            opened.write(octets)
        except serial.SerialTimeoutException as error:
            raise LinkClosed(
                self.url, f"the port took nothing for {WRITE_TIMEOUT_S:.0f} s"
            ) from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise LinkClosed(self.url, "the port went away") from error

    def wake(self) -> None:
        """Make a `read` under way, or else the next one, return at once."""
        if self._wake_write is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_write, b"\0")

    def _require_open(self) -> serial.Serial:
        if self._serial is None:
            raise LinkClosed(self.url, "not open")
        return self._serial

    def _drain_wake(self) -> None:
        assert self._wake_read is not None
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, READ_OCTETS):
                pass

    def _read_unwatched(self, opened: serial.Serial, timeout_s: float | None) -> bytes:
        assert self._wake_read is not None
        waited_s = 0.0
        while True:
            octets = bytes(opened.read(max(1, min(opened.in_waiting, READ_OCTETS))))
            waited_s += UNWATCHED_WAIT_S
            woken, _, _ = select.select([self._wake_read], [], [], 0)
            if woken:
                self._drain_wake()
            if octets or woken or (timeout_s is not None and waited_s >= timeout_s):
                return octets


def _descriptor(opened: serial.Serial) -> int | None:
    """Return the file descriptor that can be polled, or None where the port has none."""
    try:
        return int(opened.fileno())
    except (OSError, AttributeError, TypeError):
        return None
