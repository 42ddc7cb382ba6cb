"""The handheld terminal's role, against an emulated hub."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, as the rule asks
import time  # noqa: TID251 - hosts and radios run in real time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, OtherInformation, compose_pre_command
from homes.radio_home import CODE, ESME, PARTY, QUICK_RECONNECT, RADIO, Device
from keyrig.base import events
from keyrig.base.errors import LinkTimeout, NodeUnreachable, RadioLost
from keyrig.transports.zigbee.handheld_terminal import Handheld, HandheldSettings
from keyrig.transports.zigbee.radio_role import RoleSettings
from keyrig.transports.zigbee.radio_thread import Radio
from keyrig.transports.zigbee.zigbee_link import ZigBeeLink
from meterstub.hosts import PtyHost
from meterstub.hosts.line_host import LineOptions
from meterstub.radio.emulated_radio import EmulatedRadio
from meterstub.radio.ezsp_handlers import RadioKind
from meterstub.radio.hub_node import EmulatedHub
from meterstub.radio.neighbourhood import Neighbourhood
from meterstub.radio.radio_air import Air, Conditions
from meterstub.radio.radio_faults import RadioFault, RadioFaultKind
from meterstub.radio.radio_memory import NetworkMemory
from patience import HANG_S
from zse import smart_energy_assumptions

if TYPE_CHECKING:
    from collections.abc import Iterator

GPF = EntityIdentifier.parse("00-DB-12-34-56-78-90-A3")
HUB = int.from_bytes(GPF, "big")
every_version = pytest.mark.parametrize("version", [8, 13])


def command(to: EntityIdentifier, size: int, counter: int = 1) -> bytes:
    header = Header(CRAFlag.COMMAND, counter, PARTY, to, OtherInformation(0x0102))
    return compose_pre_command(header, bytes(size)).octets


def response(of: EntityIdentifier, size: int) -> bytes:
    header = Header(CRAFlag.RESPONSE, 1, of, PARTY, OtherInformation(0x0102))
    return compose_pre_command(header, bytes(size)).octets + b"\x00"


class Street:
    """A handheld terminal's radio and a hub with two devices."""

    def __init__(self, version: int) -> None:
        self.air = Air(conditions=Conditions(bit_rate=None))
        octets = random.Random(5).randbytes
        self.devices = {ESME: Device(), GPF: Device()}
        self.hub = EmulatedHub(
            HUB, self.devices, air=self.air, memory=NetworkMemory(), random_octets=octets
        )
        radio = EmulatedRadio(
            RadioKind(RADIO, version=version),
            air=self.air,
            memory=NetworkMemory(),
            random_octets=octets,
        )
        self.hood = Neighbourhood(radio, [self.hub], time.monotonic)
        self.host = PtyHost(self.hood, options=LineOptions(connection=self.hood.connection))
        self.told = Observed()

    def agent(self, install_code: bytes = CODE) -> Radio:
        settings = RoleSettings(name="hand", url=self.host.url, reconnect_delays_s=QUICK_RECONNECT)
        joining = HandheldSettings(hub=HUB, install_code=install_code)
        return Radio(Handheld(settings, joining, self.told))

    def link(self, agent: Radio, device: EntityIdentifier) -> ZigBeeLink:
        return ZigBeeLink(
            agent,
            device,
            link_key=b"",
            sleeps=False,
            timeout_s=HANG_S,
            wakes_within_s=60,
            send_timeout_s=HANG_S,
            observe=self.told,
        )


@contextmanager
def street(version: int = 13) -> Iterator[tuple[Street, Radio]]:
    found = Street(version)
    with found.host:
        agent = found.agent()
        try:
            yield found, agent
        finally:
            agent.stop()


@every_version
def test_a_handheld_terminal_registers_joins_and_has_messages_relayed(version: int) -> None:
    with street(version) as (found, agent):
        answers = {ESME: response(ESME, 300), GPF: response(GPF, 2000)}
        for device, answer in answers.items():
            found.devices[device].answers.append(answer)
        links = {device: found.link(agent, device) for device in answers}
        for link in links.values():
            link.open()
        for device, link in links.items():
            link.send(command(device, 1900))
        assert {device: link.receive(HANG_S) for device, link in links.items()} == answers
        assert [len(each.got) for each in found.devices.values()] == [1, 1]
        assert found.hub.registered == [EntityIdentifier(RADIO.to_bytes(8, "big"))]
        assert found.hub.refused == []


def test_an_alert_of_a_device_behind_the_hub_comes_through() -> None:
    with street() as (found, agent):
        link = found.link(agent, ESME)
        link.open()
        alert = response(ESME, 60)
        found.devices[ESME].due.append(alert)
        assert link.receive(HANG_S) == alert


def test_a_hub_that_was_powered_on_too_long_ago_is_named() -> None:
    with street() as (found, agent):
        found.hub.window_s = 0.0
        with pytest.raises(NodeUnreachable, match="hub 00-DB-12-34-56-78-90-A3: key establ"):
            found.link(agent, ESME).open()
        assert "its inter-PAN window is closed" in found.hub.refused


def test_the_window_is_an_hour() -> None:
    assert smart_energy_assumptions.INTER_PAN_WINDOW_S == 60 * 60


def test_another_hub_is_not_joined() -> None:
    with street() as (found, _):
        settings = RoleSettings(name="hand", url=found.host.url)
        joining = HandheldSettings(hub=HUB + 1, install_code=CODE)
        other = Radio(Handheld(settings, joining, found.told))
        with pytest.raises(NodeUnreachable, match="its network is not heard on channel 15"):
            found.link(other, ESME).open()
        assert found.hub.registered == []


def test_a_device_that_the_hub_does_not_have_answers_nothing() -> None:
    with street() as (found, agent):
        stranger = EntityIdentifier.parse("00-DB-12-34-56-78-90-FF")
        link = found.link(agent, stranger)
        link.open()
        link.send(command(stranger, 60))
        with pytest.raises(LinkTimeout):
            link.receive(0.3)
        assert found.hub.refused == [f"no device {stranger}"]


def test_a_radio_that_starts_anew_is_in_the_network_again_without_registering() -> None:
    with street() as (found, agent):
        link = found.link(agent, ESME)
        link.open()
        found.hood.add(RadioFault(RadioFaultKind.RESET, 1))
        found.told.until(
            lambda: (
                "lost, being reconnected" in [each.state for each in found.told.of(events.Radio)]
            )
        )
        answer = response(ESME, 100)
        found.devices[ESME].answers.append(answer)
        link.send(command(ESME, 100))
        assert link.receive(HANG_S) == answer
        assert len(found.hub.registered) == 1


def test_a_hub_that_is_gone_when_the_radio_comes_back_is_given_up() -> None:
    with street() as (found, agent):
        link = found.link(agent, ESME)
        link.open()
        found.air.detach(HUB)
        found.hood.radio.memory.kept.network = None
        found.hood.add(RadioFault(RadioFaultKind.RESET, 1))
        found.told.until(lambda: "lost" in [each.state for each in found.told.of(events.Radio)])
        with pytest.raises(RadioLost):
            link.send(command(ESME, 100))


def test_the_install_code_does_not_show() -> None:
    joining = HandheldSettings(hub=HUB, install_code=CODE)
    assert repr(CODE)[2:12] not in repr(joining)
