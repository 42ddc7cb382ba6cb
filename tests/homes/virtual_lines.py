"""Lines between the agent and the emulated devices, in memory and in virtual time.

The agent's end and the device's are the product's own stations, of HDLC and of GFI; between
them octets pass at once. Where nothing is under way, time jumps to the next deadline.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from gbcs.protocol_errors import RemoteProtocolError
from homes.points import Action, Interruption, PointKind, Trip
from keyrig.base.errors import LinkClosed, LinkTimeout, PortMissing
from keyrig.session.link import LinkStatistics
from keyrig.transports.line.line_links import CLIENT_SAP, SERVER_LOGICAL
from meterlink.gfi_connection import GFIConnection
from meterlink.hdlc import HDLCAddress, LinkState, PrimaryStation, SecondaryStation
from meterlink.link_events import (
    NEED_DATA,
    Connected,
    Disconnected,
    DisconnectReason,
    MessageAcknowledged,
    MessageConnection,
    MessageReceived,
)
from meterstub.device_faults import Faults
from meterstub.device_memory import DeviceMemory, FileStorage, PowerLost, WriteStep
from meterstub.device_options import DeviceOptions
from meterstub.emulated_device import EmulatedDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

SEND_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 1.0
_TICK_S = 0.001
_CLIENT = HDLCAddress.client(CLIENT_SAP)
_SERVER = HDLCAddress.server(SERVER_LOGICAL)


class VirtualTime:
    """A clock that advances by a millisecond at each reading, and by what is waited.

    Args:
        start: The instant at which it begins.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._s = 0.0

    def utc(self) -> datetime:
        """Give the present instant."""
        self._s += _TICK_S
        return self._start + timedelta(seconds=self._s)

    def monotonic(self) -> float:
        """Give the seconds since the start."""
        return self._s

    def wait_until(self, s: float) -> None:
        """Let time pass."""
        self._s = max(self._s, s)


@dataclass(frozen=True, slots=True)
class Passed:
    """One message that passed, or was about to.

    Args:
        run: In which run.
        device: The device's stem.
        what: "command" before it leaves, "taken" by the device, "response" before it leaves
            there, "heard" by the agent.
        octets: The message.
    """

    run: int
    device: str
    what: str
    octets: bytes


class WireLog:
    """Every message on any line, written before it goes on; outside of the agent's home.

    Args:
        path: The file, appended to.
        run: Counts the runs.
    """

    def __init__(self, path: Path, run: int) -> None:
        self._path = path
        self._run = run

    def write(self, device: str, what: str, octets: bytes) -> None:
        """Add a message."""
        line = json.dumps([self._run, device, what, octets.hex()]) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def read(self) -> list[Passed]:
        """Give all that passed."""
        if not self._path.exists():
            return []
        rows = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [Passed(run, device, what, bytes.fromhex(o)) for run, device, what, o in rows]

    def stale(self, device: str) -> list[bytes]:
        """Give the responses of a device that no run has heard; they may still arrive."""
        mine = [passed for passed in self.read() if passed.device == device]
        heard = Counter(passed.octets for passed in mine if passed.what == "heard")
        left = []
        for passed in mine:
            if passed.what == "response":
                if heard[passed.octets]:
                    heard[passed.octets] -= 1
                else:
                    left.append(passed.octets)
        return left


@dataclass(frozen=True, kw_only=True)
class World:
    """What all lines of one run share.

    Args:
        time: The time.
        trip: The points.
        log: What passes.
        outside: Holds off the agent's full disk while devices and the log write.
        with_stale: Whether responses of an earlier run still arrive.
        faults: By a device's stem, a fault that it has in this run.
    """

    time: VirtualTime
    trip: Trip
    log: WireLog
    outside: Callable[[], AbstractContextManager[None]]
    with_stale: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)


class _TrippedFaults(Faults):
    """The faults of a device, and a point at each step of each write of its memory."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def write_steps(self) -> Callable[[WriteStep], None]:
        """Begin a write; see `Faults`."""
        by_fault = super().write_steps()

        def on_step(step: WriteStep) -> None:
            self._line.on_memory_step(step)
            by_fault(step)

        return on_step


def _no_step(_: WriteStep) -> None:
    """Do nothing at a step."""


class _Storage(FileStorage):
    """A device's file, which is not on the agent's disk."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(path)
        self._world = world

    def write(self, octets: bytes, on_step: Callable[[WriteStep], None] = _no_step) -> None:
        """See `FileStorage`."""
        with self._world.outside():
            super().write(octets, on_step)


class Line(AbstractContextManager["Line"]):
    """One line, with its device at the other end.

    Args:
        name: The device's stem.
        framing: "hdlc" or "gfi".
        path: The device's memory.
        world: What all lines share.
    """

    def __init__(self, name: str, framing: str, path: Path, world: World) -> None:
        self.name = name
        self.url = f"virtual:{name}"
        self.framing = framing
        self.world = world
        self.is_away = False
        self._path = path
        self._output = b""
        self._station = self._new_station()
        self._device: EmulatedDevice | None = self._started()
        if name in world.faults:
            self._device.faults.inject(world.faults[name])
        if world.with_stale:
            for octets in world.log.stale(name):
                self._station.send_message(octets)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is to be given back."""

    def verify_running(self) -> None:
        """Nothing runs by itself."""

    def on_memory_step(self, step: WriteStep) -> None:
        """Pass a point; cut the power if it is to go here."""
        wanted = self.world.trip.at(PointKind.MEMORY, f"{self.name} {step.name}", self.has_pending)
        if wanted is not None and wanted.action is Action.POWER:
            raise PowerLost("cut")

    def has_pending(self) -> bool:
        """Say whether the device's file has a key pair whose certificate has not come."""
        return b'"pending": {}' not in self._path.read_bytes()

    def write(self, octets: bytes) -> None:
        """Take octets from the agent's end."""
        wanted = self._at(PointKind.TO_DEVICE)
        if wanted is not None and wanted.action is Action.POWER:
            assert wanted.cut is not None
            self._take(wanted.cut.of(octets))
            self._power_off(wanted)
            return
        self._take(octets)

    def read(self) -> bytes:
        """Give the octets that came to the agent's end."""
        if not self._output:
            self._take(b"")
        octets, self._output = self._output, b""
        if not octets:
            return b""
        wanted = self._at(PointKind.FROM_DEVICE)
        if wanted is not None and wanted.action is Action.POWER:
            assert wanted.cut is not None
            octets = wanted.cut.of(octets)
            self._power_off(wanted)
        return octets

    def require_port(self) -> None:
        """See that the port is there.

        Raises:
            PortMissing: It is not.
        """
        wanted = self.world.trip.at(PointKind.OPEN, self.name)
        if wanted is not None and wanted.action is Action.PORT:
            self.is_away = True
        if self.is_away:
            raise PortMissing(self.url, "no such file or directory")

    def next_deadline(self) -> float | None:
        """Give when the device's end has something to do."""
        return None if self._device is None else self._station.next_deadline()

    def _at(self, kind: PointKind) -> Interruption | None:
        wanted = self.world.trip.at(kind, self.name, self.has_pending)
        if wanted is not None and wanted.action is Action.PORT:
            self.is_away = True
        if self.is_away:
            raise LinkClosed(self.url, "the port went away")
        return wanted

    def _new_station(self) -> MessageConnection:
        if self.framing == "gfi":
            return GFIConnection()
        return SecondaryStation(own=_SERVER, peer=_CLIENT)

    def _started(self, *, loses_pending: bool = False) -> EmulatedDevice:
        device = EmulatedDevice(
            DeviceMemory(_Storage(self._path, self.world)),
            options=DeviceOptions(lose_pending_on_power_loss=loses_pending),
            clock=self.world.time.utc,
        )
        device.faults = _TrippedFaults(self)
        return device

    def _power_off(self, wanted: Interruption) -> None:
        self._output = b""
        self._station = self._new_station()
        # What it forgets it forgets for good, so it may as well do so now.
        device = self._started(loses_pending=wanted.loses_pending)
        self._device = device if wanted.back_at_once else None

    def _take(self, octets: bytes) -> None:
        """Let the device's end act on octets and on time."""
        device, station, now = self._device, self._station, self.world.time.monotonic()
        if device is None:
            return
        if octets:
            station.receive_data(octets, now)
        station.handle_deadline(now)
        try:
            self._serve(device, station)
            for message in device.poll():
                self._say(station, message)
        except PowerLost:
            wanted = self.world.trip.interruption
            if wanted is None:
                # A fault cut the power, which ends an emulation and its run.
                raise
            self._power_off(wanted)
            return
        self._output += station.data_to_send(now)
        self._serve(device, station)

    def _serve(self, device: EmulatedDevice, station: MessageConnection) -> None:
        while True:
            try:
                happened = station.next_event()
            except RemoteProtocolError:
                continue
            if happened is NEED_DATA:
                return
            if isinstance(happened, MessageReceived):
                self._log("taken", happened.octets)
                for message in device.receive_message(happened.octets):
                    self._say(station, message)

    def _say(self, station: MessageConnection, message: bytes) -> None:
        self._log("response", message)
        station.send_message(message)

    def _log(self, what: str, octets: bytes) -> None:
        with self.world.outside():
            self.world.log.write(self.name, what, octets)


class VirtualLink:
    """The agent's end of a line: what `PumpedLink` does, without a thread and in virtual time.

    Args:
        line: The line.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._time = line.world.time
        self._trip = line.world.trip
        self._connection: MessageConnection | None = None
        self._messages: deque[bytes] = deque()
        self._given = self._acknowledged = 0
        self._is_connected = False
        self._ended: DisconnectReason | None = None
        self._failure: LinkClosed | None = None

    @property
    def name(self) -> str:
        """See `Link`."""
        return self._line.url

    @property
    def statistics(self) -> LinkStatistics:
        """See `Link`."""
        return LinkStatistics()

    def open(self) -> None:
        """See `Link`."""
        if self._connection is not None and not self._is_over:
            return
        self.close()
        self._line.require_port()
        self._messages.clear()
        self._given = self._acknowledged = 0
        self._ended = self._failure = None
        if self._line.framing == "gfi":
            self._connection, self._is_connected = GFIConnection(), True
            return
        self._is_connected = False
        self._connection = station = PrimaryStation(own=_CLIENT, peer=_SERVER)
        station.connect()
        if not self._pump(lambda: self._is_connected, SEND_TIMEOUT_S):
            self.close()
            raise self._not_there("the device to answer")

    def close(self) -> None:
        """See `Link`."""
        connection = self._connection
        if isinstance(connection, PrimaryStation) and not self._is_over:
            connection.disconnect()
            if connection.state is not LinkState.DISCONNECTED:
                self._pump(lambda: self._ended is not None, CLOSE_TIMEOUT_S)
        self._connection = None

    def send(self, message: bytes) -> None:
        """See `Link`."""
        connection = self._require_open()
        self._trip.at(PointKind.BEFORE_SEND, self._line.name)
        with self._line.world.outside():
            self._line.world.log.write(self._line.name, "command", message)
        connection.send_message(message)
        self._given += 1
        awaited = self._given
        if not self._pump(lambda: self._acknowledged >= awaited, SEND_TIMEOUT_S):
            self.close()
            raise self._not_there("an acknowledgement")
        self._trip.at(PointKind.AFTER_SEND, self._line.name)

    def receive(self, timeout_s: float) -> bytes:
        """See `Link`."""
        self._trip.at(PointKind.BEFORE_RECEIVE, self._line.name)
        self._pump(lambda: bool(self._messages), timeout_s)
        if self._messages:
            octets = self._messages.popleft()
            with self._line.world.outside():
                self._line.world.log.write(self._line.name, "heard", octets)
            self._trip.at(PointKind.AFTER_RECEIVE, self._line.name)
            return octets
        if self._connection is None or self._is_over:
            raise self._closed()
        raise LinkTimeout(timeout_s, where=self.name)

    @property
    def _is_over(self) -> bool:
        return self._ended is not None or self._failure is not None

    def _require_open(self) -> MessageConnection:
        if self._connection is None or self._is_over:
            raise self._closed()
        return self._connection

    def _closed(self) -> LinkClosed:
        return self._failure or LinkClosed(
            self.name, self._ended.value if self._ended else "closed"
        )

    def _not_there(self, what: str) -> LinkTimeout | LinkClosed:
        if self._failure is None and self._ended in {None, DisconnectReason.NO_RESPONSE}:
            return LinkTimeout(SEND_TIMEOUT_S, where=self.name, what=what)
        return self._closed()

    def _pump(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Let octets and time pass until `condition` holds, the link is over or time is up."""
        until = self._time.monotonic() + timeout_s
        while not condition():
            connection = self._connection
            if connection is None or self._is_over:
                return False
            try:
                moved = self._turn(connection)
            except LinkClosed as error:
                self._failure = error
                return condition()
            if not moved and not condition():
                now = self._time.monotonic()
                if now >= until:
                    return False
                due = [until, connection.next_deadline(), self._line.next_deadline()]
                self._time.wait_until(max(now + _TICK_S, min(at for at in due if at is not None)))
        return True

    def _turn(self, connection: MessageConnection) -> bool:
        now = self._time.monotonic()
        connection.handle_deadline(now)
        self._drain(connection)
        sent = connection.data_to_send(now)
        if sent:
            self._line.write(sent)
        self._drain(connection)
        came = self._line.read()
        if came:
            connection.receive_data(came, now)
            self._drain(connection)
        return bool(sent or came)

    def _drain(self, connection: MessageConnection) -> None:
        while True:
            try:
                happened: Any = connection.next_event()
            except RemoteProtocolError as error:
                self._failure = LinkClosed(self.name, str(error))
                continue
            if happened is NEED_DATA:
                return
            match happened:
                case MessageReceived(octets=octets):
                    self._messages.append(octets)
                case MessageAcknowledged():
                    self._acknowledged += 1
                case Connected():
                    self._is_connected = True
                case Disconnected(reason=reason):
                    self._ended = reason
                case _:
                    pass
