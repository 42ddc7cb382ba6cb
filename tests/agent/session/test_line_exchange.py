"""The line to one device: what is sent, and what is made of whatever comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from authorities import DEVICE
from gbcs.message import Message
from gbcs.protocol_errors import RemoteProtocolError
from gbcs.security_credentials import KeyUsageCommand
from gbcs.use_cases import compose
from homes.delivery_site import DS, NOON, Site
from keyrig.base import events
from keyrig.base.errors import LinkClosed, LinkTimeout, WrongDevice
from keyrig.session.device_messages import DeviceRecord
from keyrig.session.line_exchange import LineExchange
from keyrig.session.link import LinkStatistics
from keyrig.session.session_context import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Header

TOLD = events.CommandSent(device=str(DEVICE), what="it", counter=11, octets=1, timeout_s=5)


@dataclass
class ScriptedLink:
    """Brings what a test says, one for each receiving, and then nothing more."""

    coming: list[bytes | Exception]
    waits: list[float] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    name = "scripted"
    statistics = LinkStatistics()

    def open(self) -> None:
        raise AssertionError("the caller opens it")

    def close(self) -> None:
        raise AssertionError("the caller closes it")

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def receive(self, timeout_s: float) -> bytes:
        self.waits.append(timeout_s)
        if not self.coming:
            raise LinkTimeout(timeout_s, where=self.name)
        found = self.coming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


class Line:
    """An exchange over a scripted link, its clock at one second more with each reading."""

    def __init__(self, site: Site, *coming: bytes | Exception) -> None:
        self.link = ScriptedLink(list(coming))
        self.told = Observed()
        self.written: list[tuple[str, bytes, bool]] = []
        self.alerts: list[Message] = []
        self.ledger = site.ledger()
        seconds: Iterator[int] = iter(range(100))
        surroundings = Surroundings(
            ledger=self.ledger,
            clock=lambda: NOON,
            monotonic=lambda: float(next(seconds)),
            observe=self.told,
            transcript=self,
        )
        self.exchange = LineExchange(
            self.link,
            DeviceRecord(DEVICE, surroundings),
            timeout_s=5,
            take_alert=self.alerts.append,
        )

    def record(
        self,
        *,
        at: datetime,
        device: EntityIdentifier,
        direction: str,
        octets: bytes,
        verified: bool,
    ) -> None:
        assert (at, device) == (NOON, DEVICE)
        self.written.append((direction, octets, verified))

    def answers(self, counter: int = 11) -> list[bytes]:
        def is_awaited(header: Header) -> bool:
            return header.originator_counter == counter

        return [each.octets for each in self.exchange.answers(is_awaited)]

    def noise(self) -> int:
        return len(self.told.of(events.Noise))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def response(site: Site, counter: int) -> bytes:
    (octets,) = site.bench.device.receive_message(site.bench.issue(counter, DS))
    return octets


def test_command_is_told_and_written_down_before_it_leaves(site: Site) -> None:
    line = Line(site)

    def lost(message: bytes) -> None:
        assert line.told.of(events.CommandSent) == [TOLD]
        assert line.written == [("command", message, True)]
        raise LinkClosed("scripted", "unplugged")

    line.link.send = lost  # type: ignore[method-assign]
    with pytest.raises(LinkClosed):
        line.exchange.send(b"\x01", TOLD)


def test_what_answers_nothing_is_set_aside_and_the_wait_goes_on(site: Site) -> None:
    other, answer = response(site, 10), response(site, 11)
    header = Message.parse(site.bench.issue(11, DS)).header
    command = compose(replace(header, originator=DEVICE), KeyUsageCommand(key_usage=DS)).octets
    line = Line(site, command, other, b"\xff", RemoteProtocolError("damaged"), answer)
    line.exchange.timeout_s = 50
    assert line.answers() == [answer]
    assert line.noise() == 4
    # What is awaited is written down by whoever verifies it.
    assert line.written == [("response", each, False) for each in (command, other, b"\xff")]


def test_alert_is_handed_over_and_answers_nothing(site: Site) -> None:
    later = NOON + timedelta(minutes=1)
    site.bench.device.receive_message(site.bench.supplier_by_supplier(10, at=later))
    site.bench.clock.now = later
    (alert,) = site.bench.device.poll()
    line = Line(site, alert)
    assert line.answers() == []
    assert [each.octets for each in line.alerts] == [alert]
    assert line.noise() == 0


@pytest.mark.parametrize("is_asked", [True, False])
def test_another_device_ends_it_after_its_message_is_written_down(
    site: Site, *, is_asked: bool
) -> None:
    stranger = response(site, 11).replace(DEVICE, bytes.fromhex("00db1234567890ff"))
    line = Line(site, stranger)
    with pytest.raises(WrongDevice, match="00-DB-12-34-56-78-90-FF"):
        line.answers() if is_asked else [*line.exchange.unasked(0, lambda _: True)]
    assert line.written == [("response", stranger, False)]


def test_wait_ends_with_the_time_however_much_comes(site: Site) -> None:
    other = response(site, 10)
    line = Line(site, *[other] * 9)
    assert line.answers() == []
    assert line.link.waits == [4, 3, 2, 1]


def test_only_the_first_that_comes_unasked_is_waited_for(site: Site) -> None:
    other, answer = response(site, 10), response(site, 11)
    line = Line(site, other, answer, RemoteProtocolError("damaged"), answer)
    found = [*line.exchange.unasked(7, lambda header: header.originator_counter == 11)]
    assert [each and each.octets for each in found] == [None, answer]
    assert line.link.waits == [7, 0, 0]
