from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from gbcs.protocol_errors import LocalProtocolError
from meterlink.gfi_connection import encode_line
from meterlink.hdlc import HDLCAddress, LinkParameters
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, decode_frame, encode_frame
from meterstub.hosts import Framing, HostFailed, LineHost, PtyHost, Station, TCPHost
from meterstub.hosts.line_host import LineOptions
from patience import HANG_S

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)


class Echo:
    """Answers every message with itself; `due` comes unasked."""

    def __init__(self) -> None:
        self.due: list[bytes] = []
        self.polled = threading.Event()

    def receive_message(self, octets: bytes) -> list[bytes]:
        return [octets]

    def poll(self) -> list[bytes]:
        self.polled.set()
        due, self.due = self.due, []
        return due


class Faulty(Echo):
    def receive_message(self, octets: bytes) -> list[bytes]:
        raise ZeroDivisionError(f"{len(octets)} octets")


HostMaker = Callable[[Station, Framing], LineHost]
HOSTS: list[HostMaker] = [
    lambda station, framing: PtyHost(station, framing=framing),
    lambda station, framing: TCPHost(station, framing=framing),
]
both_hosts = pytest.mark.parametrize("make", HOSTS, ids=["pty", "tcp"])


def opened(host: LineHost) -> serial.Serial:
    return serial.serial_for_url(host.url, timeout=HANG_S)


def ask(port: serial.Serial, octets: bytes) -> Frame:
    """Send one frame and read the one that answers it."""
    port.write(octets)
    answer = port.read(3)
    answer += port.read((int.from_bytes(answer[1:3], "big") & 0x7FF) - 1)
    return decode_frame(answer[1:-1])


@both_hosts
def test_lines_come_back_and_the_user_may_come_back_too(make: HostMaker) -> None:
    line = encode_line(bytes(4000))
    with make(Echo(), "gfi") as host:
        for _ in range(2):
            with opened(host) as port:
                port.write(line)
                assert port.read(len(line)) == line


@both_hosts
def test_device_connects_and_answers(make: HostMaker) -> None:
    with make(Echo(), "hdlc") as host, opened(host) as port:
        accepted = ask(port, encode_frame(Frame(SERVER, CLIENT, FrameKind.SNRM)))
        assert accepted.kind is FrameKind.UA
        message = bytes.fromhex("E6E600AABB")
        command = Frame(SERVER, CLIENT, FrameKind.I, information=message)
        answer = ask(port, encode_frame(command))
        assert answer.information == bytes.fromhex("E6E700AABB")
        assert answer.receive_sequence == 1


@both_hosts
def test_unasked_message_comes_by_itself(make: HostMaker) -> None:
    station = Echo()
    with make(station, "gfi") as host, opened(host) as port:
        port.write(encode_line(b"here"))
        port.read(len(encode_line(b"here")))
        station.due = [b"alert"]
        assert port.read(len(encode_line(b"alert"))) == encode_line(b"alert")


def test_unasked_message_waits_for_a_client() -> None:
    station = Echo()
    station.due = [b"alert"]
    with TCPHost(station, framing="gfi") as host:
        assert station.polled.wait(HANG_S)
        with opened(host) as port:
            assert port.read(len(encode_line(b"alert"))) == encode_line(b"alert")


@both_hosts
def test_exception_of_the_station_ends_the_host_and_is_told(make: HostMaker) -> None:
    host = make(Faulty(), "gfi")
    host.start()
    with opened(host) as port:
        port.write(encode_line(b"abc"))
        with pytest.raises(serial.SerialException):
            port.read(1)
    with pytest.raises(HostFailed, match="ZeroDivisionError: 3 octets") as told:
        host.stop()
    assert isinstance(told.value.__cause__, ZeroDivisionError)
    assert not host.is_running


@both_hosts
def test_failure_is_raised_on_leaving_the_context(make: HostMaker) -> None:
    with pytest.raises(HostFailed), make(Faulty(), "gfi") as host, opened(host) as port:  # noqa: PT012 - the context is what is tested
        port.write(encode_line(b"abc"))
        with pytest.raises(serial.SerialException):
            port.read(1)


@both_hosts
@pytest.mark.parametrize("framing", ["hdlc", "gfi"])
def test_stopping_leaves_nothing_behind(make: HostMaker, framing: Framing) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of open descriptors
    host = make(Echo(), framing)
    for _ in range(3):
        host.start()
        assert host.is_running
        host.stop()
        assert not host.is_running
    host.stop()
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - as above
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("host ")]


@both_hosts
def test_starting_twice_is_the_callers_mistake(make: HostMaker) -> None:
    with make(Echo(), "gfi") as host, pytest.raises(LocalProtocolError, match="already"):
        host.start()


def test_unknown_framing_is_refused() -> None:
    with pytest.raises(ValueError, match="hdlc or gfi"):
        PtyHost(Echo(), framing="modbus")  # type: ignore[arg-type] # what is tested


def test_second_client_is_served_after_the_first() -> None:
    line = encode_line(b"abc")
    with TCPHost(Echo(), framing="gfi") as host, opened(host) as first, opened(host) as second:
        second.write(line)
        first.write(line)
        assert first.read(len(line)) == line
        first.close()
        assert second.read(len(line)) == line


def test_line_hooks_see_both_directions() -> None:
    seen: list[bytes] = []

    def spoil(octets: bytes) -> bytes:
        seen.append(octets)
        return octets.replace(b"AA", b"AB")

    options = LineOptions(line_in=spoil, line_out=spoil)
    with PtyHost(Echo(), framing="gfi", options=options) as host, opened(host) as port:
        port.write(encode_line(b"\xaa"))
        assert port.read(len(encode_line(b"\xab"))) == encode_line(b"\xab")
    assert b"".join(seen[:-1]) == encode_line(b"\xaa")
    assert seen[-1] == encode_line(b"\xab")


def test_addresses_can_be_set() -> None:
    options = LineOptions(client=HDLCAddress.client(32), server=HDLCAddress.server(1, 17))
    with PtyHost(Echo(), options=options) as host, opened(host) as port:
        port.write(encode_frame(Frame(SERVER, CLIENT, FrameKind.SNRM)))
        answer = ask(port, encode_frame(Frame(options.server, options.client, FrameKind.SNRM)))
        assert (answer.source, answer.destination) == (options.server, options.client)


def test_exclusive_mark_of_a_killed_user_is_undone() -> None:
    with PtyHost(Echo(), framing="gfi") as host:
        user = os.open(host.url, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(user, termios.TIOCEXCL)
        os.close(user)
        with serial.Serial(host.url, timeout=HANG_S) as port:
            port.write(encode_line(b"abc"))
            assert port.read(len(encode_line(b"abc"))) == encode_line(b"abc")
            answer = fcntl.ioctl(port.fileno(), 0x80045440, bytes(4))
            assert answer == bytes(4)


@pytest.mark.peer
def test_gurux_client_connects_and_gets_its_segmented_message_back() -> None:
    message = bytes(range(256)) * 8
    options = LineOptions(parameters=LinkParameters(150, 150, 7, 7))
    script = Path(__file__).with_name("gurux_client.py")
    with TCPHost(Echo(), options=options) as host:
        done = subprocess.run(
            [sys.executable, str(script), str(host.port), "200", message.hex()],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["negotiated"] == {
        "information_octets_tx": 150,
        "information_octets_rx": 150,
        "window_tx": 1,
        "window_rx": 1,
    }
    assert told["sent"] == told["received"] == 14
    assert told["farewell"] == 0x73
    assert bytes.fromhex(told["message"]) == message
