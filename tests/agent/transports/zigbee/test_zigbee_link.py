"""Links over an emulated radio, through bellows and zigpy as they are."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, as the rule asks
import time  # noqa: TID251 - hosts and radios run in real time
from typing import TYPE_CHECKING

import pytest

from gbcs.message import CRAFlag
from gbcs.protocol_errors import LocalProtocolError
from homes.radio_home import CODE, ESME, GSME, KEY, STRANGER, RadioHome, message
from keyrig.base import events
from keyrig.base.errors import (
    LinkClosed,
    LinkTimeout,
    NodeUnreachable,
    RadioLacksSmartEnergy,
    RadioLost,
    RadioUnusable,
)
from keyrig.transports.zigbee.hub_radio import Hub
from keyrig.transports.zigbee.radio_role import RadioState, RoleSettings
from keyrig.transports.zigbee.radio_thread import Radio
from meterstub.radio.radio_air import Conditions
from meterstub.radio.radio_faults import RadioFault, RadioFaultKind
from meterstub.radio.zigbee_stack import JoinPolicy
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path

every_version = pytest.mark.parametrize("version", [8, 13])
ESME_ADDRESS = int.from_bytes(ESME, "big")


@every_version
def test_a_device_joins_establishes_keys_and_carries_messages_both_ways(version: int) -> None:
    with RadioHome(version=version) as home:
        link = home.link(ESME)
        link.open()
        for size in (100, 1000, 1190):
            sent = message(size)
            link.send(sent)
            assert home.esme.got[-1] == sent
            assert link.receive(HANG_S) == b"heard " + sent[-8:]
    assert [each.state for each in home.told.of(events.NodeState) if each.device == str(ESME)][
        :4
    ] == ["let in to join", "joined", "keys established", "tunnel open"]


@every_version
@pytest.mark.parametrize("size", [1900, 4000])
def test_a_long_message_goes_in_blocks_both_ways(version: int, size: int) -> None:
    with RadioHome(version=version) as home:
        answer = message(size, cra_flag=CRAFlag.RESPONSE, counter=7)
        home.esme.answers.append(answer)
        link = home.link(ESME)
        link.open()
        sent = message(size)
        link.send(sent)
        assert link.receive(HANG_S) == answer
        assert home.esme.got == [sent]


def test_a_sleeping_device_is_served_when_it_wakes() -> None:
    with RadioHome() as home:
        answer = message(1900, cra_flag=CRAFlag.RESPONSE)
        home.gsme.answers += [b"short", answer]
        link = home.link(GSME)
        link.open()
        link.send(message(300))
        assert link.receive(HANG_S) == b"short"
        link.send(message(1900, counter=2))
        assert link.receive(HANG_S) == answer
        assert home.told.of(events.WaitingForWake)[0].at_most_s == 60.0
        assert len(home.gsme.got) == 2


def test_an_alert_comes_unasked_also_from_a_sleeping_device() -> None:
    with RadioHome() as home:
        links = {device: home.link(device) for device in (ESME, GSME)}
        for link in links.values():
            link.open()
        home.esme.due.append(b"alert of the ESME")
        home.gsme.due.append(b"alert of the GSME")
        assert links[ESME].receive(HANG_S) == b"alert of the ESME"
        assert links[GSME].receive(HANG_S) == b"alert of the GSME"


def test_nobody_joins_who_was_not_named_and_nobody_with_another_install_code() -> None:
    other = bytes(reversed(KEY))
    with RadioHome(codes={ESME: other}) as home:
        reason = ""
        while "its install code is another" not in reason:
            # It is named once it has asked to join, which a busy machine puts off.
            with pytest.raises(NodeUnreachable) as caught:
                home.link(ESME, timeout_s=3).open()
            reason = str(caught.value)

        def kept_out() -> set[str]:
            return {each.device for each in home.told.of(events.Node) if "out" in each.state}

        home.told.until(lambda: bool(kept_out()))
        assert kept_out() == {str(GSME)}
        assert not home.nodes[0].stack.is_up
        assert not home.nodes[1].stack.is_up


def test_a_device_that_is_not_there_is_named() -> None:
    with RadioHome() as home, pytest.raises(NodeUnreachable, match=rf"{STRANGER}.*did not join"):
        home.link(STRANGER, timeout_s=1).open()


def test_a_device_out_of_range_is_named_and_the_network_is_closed_again() -> None:
    with RadioHome(conditions=Conditions(bit_rate=None, out_of_range={ESME_ADDRESS})) as home:
        with pytest.raises(NodeUnreachable, match="did not join"):
            home.link(ESME, timeout_s=2).open()
        assert JoinPolicy.ALLOW_JOINS not in home.radio.stack.policy
        assert home.radio.stack.permits_until <= time.monotonic()


def test_messages_get_through_a_lossy_air() -> None:
    conditions = Conditions(bit_rate=None, loss=0.15, duplication=0.1)
    with RadioHome(conditions=conditions, dice=random.Random(3).random) as home:
        link = home.link(ESME)
        link.open()
        sent = message(1000)
        link.send(sent)
        assert link.receive(HANG_S) == b"heard " + sent[-8:]
        assert home.esme.got == [sent]
        assert home.air.lost > 20


def test_a_link_that_is_closed_carries_nothing() -> None:
    with RadioHome() as home:
        link = home.link(ESME)
        with pytest.raises(LinkClosed):
            link.send(b"x")
        link.open()
        with pytest.raises(LocalProtocolError):
            link.send(b"")
        with pytest.raises(LinkTimeout, match=r"waited 0\.1 s"):
            link.receive(0.1)
        link.close()
        with pytest.raises(LinkClosed):
            link.receive(0.1)


def test_a_second_agent_finds_the_network_as_it_was(tmp_path: Path) -> None:
    with RadioHome(directory=tmp_path) as home:
        home.link(ESME).open()
        pan_id = home.told.of(events.Network)[0].pan_id
        home.agent.stop()
        link = home.link(ESME)
        link.open()
        link.send(message(100))
        assert link.receive(HANG_S)
        assert home.told.of(events.Network)[1].pan_id == pan_id
        assert len(home.told.of(events.KeysEstablished)) == 1


def test_a_radio_without_smart_energy_is_named() -> None:
    with RadioHome(has_smart_energy=False) as home:
        with pytest.raises(RadioLacksSmartEnergy, match="no Smart Energy key establishment"):
            home.link(ESME).open()
        assert home.told.of(events.RadioLacksSmartEnergy)


def test_a_port_without_a_radio_is_named(tmp_path: Path) -> None:
    radio = Radio(Hub(RoleSettings(name="hub", url=str(tmp_path / "none"))))
    with pytest.raises(RadioUnusable, match=r"radio hub on .*none: the radio does not start"):
        radio.start()
    assert radio.state is RadioState.CLOSED


@pytest.mark.parametrize(
    "fault",
    [
        RadioFault(RadioFaultKind.RESET, 1),
        RadioFault(RadioFaultKind.UNPLUG, 1, seconds=0.3),
    ],
    ids=["firmware-reset", "unplugged"],
)
@pytest.mark.parametrize("is_tcp", [False, True], ids=["pty", "tcp"])
def test_a_lost_radio_comes_back_and_messages_go_on(
    fault: RadioFault,
    is_tcp: bool,  # noqa: FBT001 - pytest gives it
    tmp_path: Path,
) -> None:
    with RadioHome(directory=tmp_path, is_tcp=is_tcp) as home:
        link = home.link(ESME)
        link.open()
        home.hood.add(fault)
        home.told.until(
            lambda: "lost, being reconnected" in [each.state for each in home.told.of(events.Radio)]
        )
        sent = message(300, counter=2)
        link.send(sent)
        assert link.receive(HANG_S) == b"heard " + sent[-8:]
        assert [each.state for each in home.told.of(events.Radio)] == [
            "starting",
            "up",
            "lost, being reconnected",
            "up",
        ]


def test_a_radio_that_stays_away_is_given_up_by_name(tmp_path: Path) -> None:
    with RadioHome(directory=tmp_path) as home:
        link = home.link(ESME)
        link.open()
        home.hood.add(RadioFault(RadioFaultKind.UNPLUG, 1, seconds=60))
        home.told.until(lambda: home.agent.state is not RadioState.UP)
        with pytest.raises(RadioLost, match="the radio is lost"):
            link.send(message(300))
        assert home.agent.state is RadioState.LOST
        with pytest.raises(RadioLost):
            link.receive(1)


def test_another_network_key_is_taken_awake_and_after_sleep() -> None:
    with RadioHome() as home:
        links = {device: home.link(device) for device in (ESME, GSME)}
        for link in links.values():
            link.open()
            link.send(message(100))
            link.receive(HANG_S)
        before = home.radio.stack.state
        assert before is not None
        old_key = before.network_key
        home.hood.add(RadioFault(RadioFaultKind.ROTATE_KEY, 1))
        home.told.until(lambda: bool(home.told.of(events.NetworkKey)))
        for link in links.values():
            link.send(message(100, counter=2))
            assert link.receive(HANG_S)
        states = [node.stack.state for node in home.nodes]
        assert all(state is not None and state.network_key != old_key for state in states)


def test_a_device_that_leaves_fails_by_name_and_may_join_again(tmp_path: Path) -> None:
    with RadioHome(directory=tmp_path) as home:
        link = home.link(ESME)
        link.open()
        home.hood.add(RadioFault(RadioFaultKind.LEAVE, 1, eui64=ESME_ADDRESS))
        home.told.until(lambda: any(e.state == "left" for e in home.told.of(events.Node)))
        with pytest.raises(NodeUnreachable):
            link.send(message(100))
        link.close()
        link.open()
        link.send(message(100, counter=2))
        assert link.receive(HANG_S)
        assert len(home.told.of(events.KeysEstablished)) == 2


def test_an_install_code_never_shows() -> None:
    with RadioHome() as home:
        home.link(ESME).open()
        text = repr((home.told.all, home.radio.stack.state, home.nodes))
        assert CODE.hex() not in text.lower()
        assert KEY.hex() not in text.lower()
        assert repr(KEY) not in text
