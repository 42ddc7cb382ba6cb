from __future__ import annotations

import fcntl
import os
import socket
import threading
import tty
from typing import TYPE_CHECKING, Any

import pytest
import serial
from serial import rfc2217

from keyrig.base.errors import LinkClosed, PortBusy, PortMissing
from keyrig.transports.line.serial_port import Port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pair() -> Iterator[tuple[int, str]]:
    """A pty pair: the master's descriptor and the slave's path."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_what_is_written_arrives_and_what_came_is_read(pair: tuple[int, str]) -> None:
    master, path = pair
    port = Port(path)
    port.open()
    port.write(b"there")
    assert os.read(master, 10) == b"there"
    os.write(master, b"back")
    assert port.read(10) == b"back"
    assert port.read(0) == b""
    port.close()
    assert not port.is_open


def test_missing_port_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "ttyUSB9")
    with pytest.raises(PortMissing, match=f"{path}: no such file"):
        Port(path).open()


def test_address_where_nothing_listens_is_a_missing_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"socket://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PortMissing, match="connection refused"):
            Port(url).open()


def test_port_that_another_has_is_busy_until_it_is_closed(pair: tuple[int, str]) -> None:
    _, path = pair
    first, second = Port(path), Port(path)
    first.open()
    with pytest.raises(PortBusy, match="in use by another program"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_terminal_is_marked_exclusive_while_it_is_open(pair: tuple[int, str]) -> None:
    master, path = pair
    del master
    watcher = os.open(path, os.O_RDWR | os.O_NOCTTY)
    port = Port(path)
    port.open()
    marked = [fcntl.ioctl(watcher, 0x80045440, bytes(4))]
    port.close()
    marked.append(fcntl.ioctl(watcher, 0x80045440, bytes(4)))
    os.close(watcher)
    assert marked == [(1).to_bytes(4, "little"), bytes(4)]


def test_port_that_went_away_is_closed_to_the_reader() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = Port(os.ttyname(slave))
    port.open()
    os.close(slave)
    os.close(master)
    with pytest.raises(LinkClosed, match="went away"):
        port.read(10)
    port.close()


def test_peer_that_hangs_up_is_closed_to_the_reader() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = Port(f"socket://127.0.0.1:{listener.getsockname()[1]}")
        port.open()
        client, _ = listener.accept()
        client.close()
        with pytest.raises(LinkClosed, match="went away"):
            port.read(10)
        port.close()


def test_reader_can_be_woken(pair: tuple[int, str]) -> None:
    port = Port(pair[1])
    port.open()
    waker = threading.Timer(0.01, port.wake)
    waker.start()
    assert port.read(None) == b""
    waker.join()
    port.close()


@pytest.mark.parametrize("scheme", ["loop://", "spy://{}"])
def test_other_urls_carry_octets_too(pair: tuple[int, str], scheme: str) -> None:
    master, path = pair
    port = Port(scheme.format(path), baud=115_200)
    port.open()
    port.write(b"abc")
    if scheme != "loop://":
        os.write(master, os.read(master, 10))
    octets = b""
    while len(octets) < 3:
        octets += port.read(5)
    assert octets == b"abc"
    port.wake()
    assert port.read(5) == b""
    assert port.read(0) == b""
    port.close()


def serve_rfc2217(listener: socket.socket) -> None:
    """Put pyserial's RFC 2217 server before a port that echoes, for one client."""
    client, _ = listener.accept()
    with client, serial.serial_for_url("loop://", timeout=0) as echo:
        lock = threading.Lock()

        class Connection:
            def write(self, octets: bytes) -> None:
                with lock:
                    client.sendall(octets)

        line: Any = Connection()
        port: Any = echo
        manager = rfc2217.PortManager(port, line)
        while octets := client.recv(1000):
            echo.write(b"".join(manager.filter(octets)))
            client.sendall(b"".join(manager.escape(echo.read(echo.in_waiting))))


@pytest.mark.peer
@pytest.mark.filterwarnings(r"ignore:set(Daemon|Name)\(\):DeprecationWarning")
def test_port_behind_an_rfc2217_server_carries_octets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_rfc2217, args=(listener,))
        server.start()
        port = Port(f"rfc2217://127.0.0.1:{listener.getsockname()[1]}", baud=115_200)
        port.open()
        port.write(b"abc\xff\x00")
        octets = b""
        while len(octets) < 5:
            octets += port.read(5)
        assert octets == b"abc\xff\x00"
        port.close()
        server.join()


def test_closed_port_refuses(pair: tuple[int, str]) -> None:
    port = Port(pair[1])
    port.close()
    with pytest.raises(LinkClosed, match="not open"):
        port.read(0)
    with pytest.raises(LinkClosed, match="not open"):
        port.write(b"x")


def test_octets_take_time_on_a_device_path_only() -> None:
    assert Port("/dev/ttyUSB0", baud=9600).octet_time_s == pytest.approx(1 / 960)
    assert Port("socket://127.0.0.1:1").octet_time_s == 0.0
