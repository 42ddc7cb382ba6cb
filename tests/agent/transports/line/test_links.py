"""Links against emulated devices on real ptys and TCP ports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from gbcs.protocol_errors import LocalProtocolError
from keyrig.base.errors import LinkClosed, LinkTimeout, PortBusy
from keyrig.session.link import Link, LinkStatistics
from keyrig.transports.line.line_links import GFILink, HDLCLink
from meterlink.hdlc import HDLCAddress, LinkParameters, Timers
from meterstub.hosts import Framing, LineHost, PtyHost, Station, TCPHost
from meterstub.hosts.line_host import LineOptions
from patience import HANG_S

LONG = bytes(range(250)) * 16  # 4,000 octets
QUICK = Timers(response_timeout_s=0.3, poll_interval_s=0.02, inter_octet_timeout_s=0.2)


class Device:
    """Answers with `answers`, or with what it got."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.got: list[bytes] = []
        self.due: list[bytes] = []

    def receive_message(self, octets: bytes) -> list[bytes]:
        self.got.append(octets)
        return list(self.answers) or [octets]

    def poll(self) -> list[bytes]:
        due, self.due = self.due, []
        return due


HostMaker = Callable[[Station, Framing], LineHost]
HOSTS: list[HostMaker] = [
    lambda station, framing: PtyHost(station, framing=framing),
    lambda station, framing: TCPHost(station, framing=framing),
]
every_line = pytest.mark.parametrize("make", HOSTS, ids=["pty", "tcp"])
every_framing = pytest.mark.parametrize("framing", ["hdlc", "gfi"])


def link_to(host: LineHost, framing: Framing) -> HDLCLink | GFILink:
    if framing == "gfi":
        return GFILink(host.url)
    return HDLCLink(host.url, baud=115_200, timers=QUICK)


def harm_frame(which: int) -> Callable[[bytes], bytes]:
    """Flip a bit in the information of one long read or write, counted from 0."""
    seen = 0

    def line(octets: bytes) -> bytes:
        nonlocal seen
        if len(octets) < 60:
            return octets
        seen += 1
        return (
            octets[:50] + bytes((octets[50] ^ 0x80,)) + octets[51:] if seen == which + 1 else octets
        )

    return line


@every_line
@every_framing
def test_long_messages_go_there_and_back_in_order(make: HostMaker, framing: Framing) -> None:
    with make(Device(), framing) as host, link_to(host, framing) as link:
        for octets in (LONG, b"short", LONG[::-1]):
            link.send(octets)
        assert [link.receive(HANG_S) for _ in range(3)] == [LONG, b"short", LONG[::-1]]
        assert link.statistics.frames >= 6
        assert link.statistics.damaged == link.statistics.retransmissions == 0


@every_framing
def test_link_is_a_link(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host:
        link: Link = link_to(host, framing)
        assert link.name == host.url
        assert link.statistics == LinkStatistics()


@every_line
@every_framing
def test_unasked_messages_wait_in_order(make: HostMaker, framing: Framing) -> None:
    device = Device(b"first", b"second")
    with make(device, framing) as host, link_to(host, framing) as link:
        device.due = [b"alert"]
        assert link.receive(HANG_S) == b"alert"
        link.send(b"command")
        assert [link.receive(HANG_S), link.receive(HANG_S)] == [b"first", b"second"]


@every_framing
def test_nothing_in_time_is_a_time_out_and_the_link_goes_on(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host, link_to(host, framing) as link:
        with pytest.raises(LinkTimeout, match=r"waited 0\.0 s for a message") as told:
            link.receive(0.01)
        assert told.value.waited_s >= 0.01
        link.send(b"command")
        assert link.receive(HANG_S) == b"command"


@every_framing
def test_link_can_be_opened_again(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host:
        link = link_to(host, framing)
        for _ in range(3):
            link.open()
            link.open()
            link.send(b"command")
            assert link.receive(HANG_S) == b"command"
            link.close()
            link.close()
        with pytest.raises(LinkClosed):
            link.send(b"command")
        with pytest.raises(LinkClosed):
            link.receive(1)


@every_framing
def test_closing_leaves_nothing_behind(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host:
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        with link_to(host, framing) as link:
            link.send(LONG)
        assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - as above
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("link ")]


@every_line
@every_framing
def test_device_that_goes_away_closes_the_link(make: HostMaker, framing: Framing) -> None:
    host = make(Device(), framing)
    host.start()
    link = link_to(host, framing)
    link.open()
    host.stop()
    with pytest.raises(LinkClosed, match="went away"):
        link.receive(HANG_S)
    with pytest.raises(LinkClosed, match="open the link again"):
        link.send(b"command")
    link.close()


@every_framing
def test_two_links_do_not_share_a_port(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host, link_to(host, framing) as link:
        with pytest.raises(PortBusy):
            link_to(host, framing).open()
        link.send(b"command")
        assert link.receive(HANG_S) == b"command"


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("direction", ["line_in", "line_out"])
def test_damaged_frame_on_a_pty_is_recovered(which: int, direction: str) -> None:
    harm = harm_frame(which)
    options = LineOptions(
        parameters=LinkParameters(1000, 1000, 1, 1),
        line_in=harm if direction == "line_in" else None,
        line_out=harm if direction == "line_out" else None,
    )
    device = Device()
    with PtyHost(device, options=options) as host, link_to(host, "hdlc") as link:
        link.send(LONG)
        assert link.receive(HANG_S) == LONG
        assert device.got == [LONG]
        if direction == "line_in":
            assert link.statistics.retransmissions == 1
        else:
            assert link.statistics.damaged == 1


def test_damaged_line_is_counted_and_the_next_one_passes() -> None:
    options = LineOptions(line_out=harm_frame(0))
    with (
        PtyHost(Device(), framing="gfi", options=options) as host,
        link_to(host, "gfi") as link,
    ):
        link.send(LONG)
        link.send(LONG[::-1])
        assert link.receive(HANG_S) == LONG[::-1]
        assert link.statistics.damaged == 1


def test_device_that_does_not_answer_is_a_time_out() -> None:
    options = LineOptions(line_in=lambda _: b"")
    timers = Timers(response_timeout_s=0.02, retries=2)
    with PtyHost(Device(), options=options) as host:
        link = HDLCLink(host.url, timers=timers, baud=115_200)
        with pytest.raises(LinkTimeout, match="the device to answer"):
            link.open()
        with pytest.raises(LinkClosed):
            link.receive(1)
        assert link.statistics.retransmissions == 2


def test_device_that_falls_silent_fails_the_send() -> None:
    silent = threading.Event()
    options = LineOptions(line_in=lambda octets: b"" if silent.is_set() else octets)
    timers = Timers(response_timeout_s=0.05, retries=2)
    with PtyHost(Device(), options=options) as host:
        link = HDLCLink(host.url, timers=timers, baud=115_200)
        link.open()
        silent.set()
        with pytest.raises(LinkTimeout, match="an acknowledgement"):
            link.send(b"command")
        with pytest.raises(LinkClosed):
            link.send(b"command")


def test_device_that_puts_the_message_off_for_ever_fails_the_send() -> None:
    with PtyHost(Device()) as host:
        link = HDLCLink(host.url, timers=QUICK, baud=115_200, send_timeout_s=0.2)
        link.open()
        host._connection.set_receive_ready(ready=False)  # type: ignore[attr-defined] # HDLC's
        with pytest.raises(LinkTimeout, match="an acknowledgement"):
            link.send(b"command")
        host._connection.set_receive_ready(ready=True)  # type: ignore[attr-defined] # as above
        link.open()
        link.send(b"another")
        assert link.receive(HANG_S) == b"another"


def test_wrong_address_is_a_time_out() -> None:
    with PtyHost(Device()) as host:
        timers = Timers(response_timeout_s=0.02, retries=1)
        link = HDLCLink(host.url, timers=timers, server=HDLCAddress.server(2))
        with pytest.raises(LinkTimeout):
            link.open()


@every_framing
def test_message_that_cannot_be_sent_is_the_callers_mistake(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host, link_to(host, framing) as link:
        for octets in (b"", bytes(65_537)):
            with pytest.raises(LocalProtocolError, match="1 to 65536"):
                link.send(octets)
        link.send(b"command")
        assert link.receive(HANG_S) == b"command"


@every_framing
def test_concurrent_senders_do_not_mix(framing: Framing) -> None:
    with PtyHost(Device(), framing=framing) as host, link_to(host, framing) as link:
        messages = [bytes((number,)) * 1500 for number in range(1, 6)]
        senders = [threading.Thread(target=link.send, args=(octets,)) for octets in messages]
        for sender in senders:
            sender.start()
        assert sorted(link.receive(HANG_S) for _ in messages) == messages
        for sender in senders:
            sender.join()
