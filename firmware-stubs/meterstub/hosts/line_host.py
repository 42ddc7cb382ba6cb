"""What every host does: one thread that reads a line, lets a station act, and writes."""

from __future__ import annotations

import abc
import contextlib
import os
import select
import threading
import time  # noqa: TID251 - a host is the edge where an emulated device meets time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, TypeAlias

from gbcs.protocol_errors import KeyrigError, LocalProtocolError, RemoteProtocolError
from meterlink.gfi_connection import GFIConnection
from meterlink.hdlc import HDLCAddress, LinkParameters, SecondaryStation, Timers
from meterlink.hdlc.hdlc_connection import WIDE_PARAMETERS
from meterlink.link_events import NEED_DATA, SEND_QUEUE_LIMIT, MessageConnection, MessageReceived

if TYPE_CHECKING:
    from collections.abc import Callable

Framing: TypeAlias = Literal["hdlc", "gfi"]

POLL_INTERVAL_S: Final = 0.05
"""How long a station is left alone at most."""
STOP_TIMEOUT_S: Final = 5.0
"""Longest wait for the host's thread to end; a station that takes longer is stuck."""
READ_OCTETS: Final = 4096
CLIENT: Final = HDLCAddress.client(0x10)
"""The public client."""
SERVER: Final = HDLCAddress.server(1)
"""The management logical device."""
DEVICE_TIMERS: Final = Timers()
OUTPUT_LIMIT: Final = 4 * 65_536
"""Octets that wait for a line nobody reads; beyond it the oldest output is lost, as on a UART."""


class HostFailed(KeyrigError):
    """A host's thread ended by an exception, which is this error's cause."""


class Station(Protocol):
    """An emulated device, as a host sees it: whole messages in, whole messages out."""

    def receive_message(self, octets: bytes) -> list[bytes]:
        """Process one message and return those to send in answer."""
        ...

    def poll(self) -> list[bytes]:
        """Return messages that have become due without being asked for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """How a host's line behaves.

    Args:
        client: The client's HDLC address.
        server: The device's HDLC address.
        parameters: The largest sizes that the device takes.
        timers: The device's times.
        line_in: What the line does to octets on their way to the device.
        line_out: What the line does to octets on their way from the device.
        connection: Returns what speaks on the line in place of a framing, for each user anew;
            a radio's own protocol, for one.
    """

    client: HDLCAddress = CLIENT
    server: HDLCAddress = SERVER
    parameters: LinkParameters = WIDE_PARAMETERS
    timers: Timers = DEVICE_TIMERS
    line_in: Callable[[bytes], bytes] | None = None
    line_out: Callable[[bytes], bytes] | None = None
    connection: Callable[[], MessageConnection] | None = None


class LineHost(abc.ABC):
    """Runs a station on a line, in a thread of its own.

    The station is called from that thread only. An exception there ends the host; it is in
    `failure`, and `stop` and leaving the context raise it.

    Args:
        station: The device.
        framing: How messages travel.
        options: How the line behaves.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        station: Station,
        *,
        framing: Framing = "hdlc",
        options: LineOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if framing not in {"hdlc", "gfi"}:
            msg = f"framing is hdlc or gfi, not {framing!r}"
            raise ValueError(msg)
        self._station = station
        self._framing = framing
        self._options = options or LineOptions()
        self._clock = clock
        self._connection = self._make_connection()
        self._output = bytearray()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake_read = self._wake_write = -1
        self._failure: BaseException | None = None
        self._back_at: float | None = None

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """What a pyserial user opens; known once the host is started."""

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the host's thread, or None."""
        return self._failure

    @property
    def is_running(self) -> bool:
        """Whether the host's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Make the line and begin to serve it.

        Raises:
            OSError: The line cannot be made.
            LocalProtocolError: The host was started before and not stopped.
        """
        if self._thread is not None:
            raise LocalProtocolError("the host was started already")
        self._failure = None
        self._stopping.clear()
        self._open_line()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"host {self.url}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the line; a host that is not started stays so.

        Raises:
            HostFailed: The thread had ended by an exception, or does not end.
        """
        thread = self._thread
        if thread is None:
            return
        self._stopping.set()
        os.write(self._wake_write, b"\0")
        thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():
            raise HostFailed(f"{self.url}: the station holds the host's thread; it was left behind")
        self._thread = None
        self._close_line()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self.verify_running()

    def verify_running(self) -> None:
        """Check that the host's thread has not failed.

        Raises:
            HostFailed: It has; the exception is this error's cause.
        """
        if self._failure is not None:
            raise HostFailed(
                f"{self.url}: the host's thread ended by {type(self._failure).__name__}: "
                f"{self._failure}"
            ) from self._failure

    def unplug(self, seconds: float) -> None:
        """Close the line and open it again after `seconds`; for the station to call."""
        self._close_line()
        self._back_at = self._clock() + seconds

    def _plug_in(self) -> None:
        if self._back_at is not None and self._clock() >= self._back_at:
            self._back_at = None
            self._open_line()
            self._renew_connection()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
            return
        # The exception under way says more than that of stopping.
        with contextlib.suppress(HostFailed):
            self.stop()

    @abc.abstractmethod
    def _open_line(self) -> None:
        """Make the line."""

    @abc.abstractmethod
    def _close_line(self) -> None:
        """Close the line."""

    @abc.abstractmethod
    def _line_descriptor(self) -> int | None:
        """Return the descriptor to read and write, or None while nobody is on the line."""

    @abc.abstractmethod
    def _watched(self) -> list[int]:
        """Return further descriptors to wait for."""

    @abc.abstractmethod
    def _ready(self, descriptors: list[int]) -> None:
        """Act on further descriptors that became ready."""

    @abc.abstractmethod
    def _line_lost(self) -> None:
        """Act on the user's end having gone away."""

    def _may_speak(self, data: bytes, now: float) -> bool:
        """True if the user is ready to hear; `data` is what it just said."""
        del data, now
        return True

    def _make_connection(self) -> MessageConnection:
        if self._options.connection is not None:
            return self._options.connection()
        if self._framing == "gfi":
            return GFIConnection()
        return SecondaryStation(
            own=self._options.server,
            peer=self._options.client,
            parameters=self._options.parameters,
            timers=self._options.timers,
        )

    def _renew_connection(self) -> None:
        """Start a new connection, for another user; what is not acknowledged is kept."""
        kept = self._connection.unacknowledged
        self._output.clear()
        self._connection = self._make_connection()
        for octets in kept:
            self._connection.send_message(octets)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException as error:  # noqa: BLE001 - kept and raised by `stop`
            self._failure = error
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the line, so that the user sees that the device is gone."""
        with contextlib.suppress(OSError):
            self._line_lost()

    def _turn(self) -> None:
        """Wait for the line, the wake-up or a time, and act."""
        self._plug_in()
        line = self._line_descriptor()
        reads = [self._wake_read, *self._watched()]
        if line is not None:
            reads.append(line)
        writes = [line] if line is not None and self._output else []
        readable, writable, _ = select.select(reads, writes, [], self._wait_s())
        others = [fd for fd in readable if fd not in {line, self._wake_read}]
        if self._wake_read in readable or self._stopping.is_set():
            return
        data = b""
        if line is not None and line in readable:
            data = self._read(line)
        if others:
            self._ready(others)
        self._act(data)
        if line is not None and (writable or self._output) and line == self._line_descriptor():
            self._write(line)

    def _wait_s(self) -> float:
        deadline = self._connection.next_deadline()
        if deadline is None:
            return POLL_INTERVAL_S
        return min(POLL_INTERVAL_S, max(0.0, deadline - self._clock()))

    def _act(self, data: bytes) -> None:
        """Run connection and station with `data` and the time."""
        connection = self._connection
        if data and self._options.line_in is not None:
            data = self._options.line_in(data)
        now = self._clock()
        if data:
            connection.receive_data(data, now)
        connection.handle_deadline(now)
        self._serve(connection)
        for octets in self._station.poll():
            self._queue(connection, octets)
        if self._line_descriptor() is None or not self._may_speak(data, now):
            return
        octets = connection.data_to_send(self._clock())
        self._serve(connection)
        if octets and self._options.line_out is not None:
            octets = self._options.line_out(octets)
        if len(self._output) + len(octets) > OUTPUT_LIMIT:
            self._output.clear()
        self._output += octets

    def _serve(self, connection: MessageConnection) -> None:
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError:
                # The connection tells the peer itself, by FRMR.
                continue
            if event is NEED_DATA:
                return
            if isinstance(event, MessageReceived):
                for octets in self._station.receive_message(event.octets):
                    self._queue(connection, octets)

    def _queue(self, connection: MessageConnection, octets: bytes) -> None:
        """Queue a message, or lose it where nobody has taken the earlier ones."""
        if len(connection.unacknowledged) < SEND_QUEUE_LIMIT:
            connection.send_message(octets)

    def _read(self, line: int) -> bytes:
        try:
            data = os.read(line, READ_OCTETS)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._line_lost()
        return data

    def _write(self, line: int) -> None:
        try:
            written = os.write(line, self._output)
        except BlockingIOError:
            return
        except OSError:
            self._line_lost()
            return
        del self._output[:written]
