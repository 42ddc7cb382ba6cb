"""Stacks on one air: joining, keys, acknowledgements and sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meterstub.radio.radio_air import Air, Conditions
from meterstub.radio.radio_packets import APSFrame, EmulatedSeal, payload_maximum
from meterstub.radio.zigbee_stack import (
    ACKNOWLEDGEMENT_WAIT_S,
    EVERYBODY,
    INDIRECT_TIMEOUT_S,
    JOIN_KEY_LIFETIME_S,
    RETRIES,
    Incoming,
    JoinKind,
    JoinPolicy,
    NetworkState,
    NetworkStatus,
    NodeType,
    Stack,
)

if TYPE_CHECKING:
    from meterstub.radio.radio_packets import RawFrame

HUB, METER = 0xAF, 0xA0
KEY, OTHER_KEY, NETWORK_KEY = b"k" * 16, b"o" * 16, b"n" * 16
OPEN = JoinPolicy.ALLOW_JOINS | JoinPolicy.ALLOW_UNSECURED_REJOINS


class Owner:
    def __init__(self) -> None:
        self.statuses: list[NetworkStatus] = []
        self.got: list[Incoming] = []
        self.nodes: list[tuple[int, JoinKind, bool]] = []
        self.switches: list[int] = []

    def network_changed(self, status: NetworkStatus, now: float) -> None:
        del now
        self.statuses.append(status)

    def message_received(self, message: Incoming, now: float) -> None:
        del now
        self.got.append(message)

    def node_changed(self, eui64: int, node_id: int, kind: JoinKind, *, denied: bool) -> None:
        del node_id
        self.nodes.append((eui64, kind, denied))

    def key_switched(self, sequence: int) -> None:
        self.switches.append(sequence)

    def raw_received(self, frame: RawFrame, source: int, now: float) -> None:
        raise AssertionError((frame, source, now))


class Network:
    """A coordinator and a node that is to join it."""

    def __init__(self, *, join_key: bytes | None = KEY, sleeps: bool = False) -> None:
        self.air = Air(conditions=Conditions(bit_rate=None))
        self.hub, self.hub_owner = self._stack(HUB, None)
        self.meter, self.meter_owner = self._stack(METER, join_key)
        self.hub.policy = OPEN | JoinPolicy.JOINS_USE_INSTALL_CODE_KEY
        self.sleeps = sleeps
        state = NetworkState(
            pan_id=0x1A62,
            extended_pan_id=HUB,
            channel=15,
            node_id=0,
            node_type=NodeType.COORDINATOR,
            network_key=NETWORK_KEY,
            network_key_sequence=0,
            trust_centre=HUB,
        )
        self.hub.form(state, 0.0)

    def _stack(self, eui64: int, join_key: bytes | None) -> tuple[Stack, Owner]:
        owner = Owner()
        stack = Stack(eui64, air=self.air, owner=owner, random_id=lambda: 0x1233, join_key=join_key)
        return stack, owner

    def join(self, now: float = 0.0) -> list[NetworkStatus]:
        """Let the node try once; give what it was told."""
        self.meter_owner.statuses.clear()
        self.meter.join(sleeps=self.sleeps, now=now)
        self.air.run(now + 5.0)
        return self.meter_owner.statuses

    def joined(self) -> Network:
        self.hub.expect(METER, KEY, 0.0)
        self.hub.permits_until = 60.0
        assert self.join() == [NetworkStatus.UP]
        return self

    def send(self, now: float, payload: bytes = b"payload", **more: Any) -> list[bool]:
        """Send from the hub to the node; give what became of it within a minute."""
        assert self.meter.state is not None
        outcomes: list[bool] = []
        frame = APSFrame(0x0109, 0x0704, 1, 1, self.hub.next_counter(), payload, True)
        self.hub.send_aps(
            self.meter.state.node_id, frame, now, lambda ok, _: outcomes.append(ok), **more
        )
        self.air.run(now + 60.0)
        return outcomes


def test_a_node_joins_with_its_key_and_is_told_the_network_key() -> None:
    network = Network().joined()
    state = network.meter.state
    assert state is not None
    assert (state.pan_id, state.channel, state.network_key) == (0x1A62, 15, NETWORK_KEY)
    assert network.hub_owner.nodes == [(METER, JoinKind.UNSECURED_JOIN, False)]
    assert network.hub.state is not None
    assert network.hub.state.addresses == {METER: state.node_id}
    assert state.node_id == 1 + 0x1233


def test_a_node_that_nobody_expects_is_kept_out() -> None:
    network = Network()
    network.hub.permits_until = 60.0
    network.hub.expect(EVERYBODY, KEY, 0.0)
    assert network.join() == [NetworkStatus.NO_KEY_RECEIVED]
    assert network.hub_owner.nodes == [(METER, JoinKind.UNSECURED_JOIN, True)]
    assert network.meter.state is None


def test_without_install_codes_whoever_has_the_common_key_comes_in() -> None:
    network = Network()
    network.hub.policy = OPEN
    network.hub.permits_until = 60.0
    network.hub.expect(EVERYBODY, KEY, 0.0)
    assert network.join() == [NetworkStatus.UP]


def test_a_node_with_another_key_cannot_read_the_network_key() -> None:
    network = Network(join_key=OTHER_KEY)
    network.hub.expect(METER, KEY, 0.0)
    network.hub.permits_until = 60.0
    assert network.join() == [NetworkStatus.NO_KEY_RECEIVED]


def test_a_closed_network_is_not_joined() -> None:
    network = Network()
    network.hub.expect(METER, KEY, 0.0)
    assert network.join() == [NetworkStatus.NO_BEACONS]
    network.hub.permits_until = 10.0
    assert network.join(10.0) == [NetworkStatus.NO_BEACONS]


def test_an_expected_key_is_forgotten_after_five_minutes() -> None:
    network = Network()
    network.hub.expect(METER, KEY, 0.0)
    network.hub.permits_until = 1e9
    assert network.join(JOIN_KEY_LIFETIME_S) == [NetworkStatus.NO_KEY_RECEIVED]


def test_a_message_is_delivered_once_and_acknowledged() -> None:
    network = Network().joined()
    assert network.send(10.0) == [True]
    (got,) = network.meter_owner.got
    assert (got.payload, got.is_encrypted, got.sender) == (b"payload", False, HUB)


def test_a_message_nobody_acknowledges_is_tried_four_times_and_given_up() -> None:
    network = Network().joined()
    network.air.conditions.out_of_range.add(METER)
    assert network.meter.state is not None
    outcomes: list[float] = []
    frame = APSFrame(0x0109, 0x0704, 1, 1, 9, b"payload", True)
    node_id = network.meter.state.node_id
    assert network.hub.send_aps(node_id, frame, 10.0, lambda _, at: outcomes.append(at))
    network.air.run(60.0)
    assert outcomes == [pytest.approx(10.0 + (RETRIES + 1) * ACKNOWLEDGEMENT_WAIT_S)]


def test_an_encrypted_message_opens_with_the_link_key_alone() -> None:
    network = Network().joined()
    assert network.send(10.0, is_encrypted=True) == [True]
    assert network.meter_owner.got[-1].is_encrypted
    assert network.hub.state is not None
    network.hub.state.link_keys[METER] = OTHER_KEY
    assert network.send(80.0, is_encrypted=True) == [False]
    assert len(network.meter_owner.got) == 1


def test_a_node_that_leaves_is_known_no_more() -> None:
    network = Network().joined()
    network.meter.leave(10.0)
    network.air.run(11.0)
    assert network.hub_owner.nodes[-1] == (METER, JoinKind.LEFT, False)
    assert network.hub.state is not None
    assert network.hub.state.addresses == {}
    assert network.meter.state is None
    assert network.meter_owner.statuses[-1] is NetworkStatus.DOWN


def test_a_node_is_told_to_leave() -> None:
    network = Network().joined()
    assert network.hub.remove(METER, 10.0)
    network.air.run(11.0)
    assert network.meter.state is None
    assert not network.hub.remove(METER, 12.0)


def test_who_heard_the_new_network_key_goes_on() -> None:
    network = Network().joined()
    network.hub.announce_key(b"2" * 16, 10.0)
    network.air.run(11.0)
    assert network.hub.switch_key(12.0)
    network.air.run(13.0)
    assert network.meter_owner.switches == [1]
    assert network.send(14.0) == [True]


def test_who_slept_through_it_is_not_heard_until_the_trust_centre_sends_it_anew() -> None:
    network = Network().joined()
    network.air.conditions.out_of_range.add(METER)
    network.hub.announce_key(b"2" * 16, 10.0)
    network.hub.switch_key(11.0)
    network.air.run(12.0)
    network.air.conditions.out_of_range.clear()
    assert network.send(13.0) == [False]
    network.meter.rejoin(80.0)
    network.air.run(90.0)
    assert network.meter_owner.statuses[-1] is NetworkStatus.JOIN_FAILED
    network.meter.rejoin(91.0, has_key=False)
    network.air.run(95.0)
    assert network.hub_owner.nodes[-1] == (METER, JoinKind.UNSECURED_REJOIN, False)
    assert network.meter.state is not None
    assert network.meter.state.network_key == b"2" * 16
    assert network.send(100.0) == [True]


def test_a_secured_rejoin_needs_nothing_but_the_network_key() -> None:
    network = Network().joined()
    network.hub.policy = JoinPolicy(0)
    network.meter.rejoin(10.0)
    network.air.run(11.0)
    assert network.hub_owner.nodes[-1] == (METER, JoinKind.SECURED_REJOIN, False)
    assert network.meter_owner.statuses[-1] is NetworkStatus.UP


def test_an_unsecured_rejoin_needs_the_policy() -> None:
    network = Network().joined()
    network.hub.policy = JoinPolicy.ALLOW_JOINS
    network.meter.rejoin(10.0, has_key=False)
    network.air.run(20.0)
    assert network.hub_owner.nodes[-1] == (METER, JoinKind.UNSECURED_REJOIN, True)
    assert network.meter_owner.statuses[-1] is NetworkStatus.JOIN_FAILED


def test_what_waits_for_a_sleeping_child_comes_when_it_asks() -> None:
    network = Network(sleeps=True).joined()
    network.meter.is_awake = False
    outcomes: list[bool] = []
    assert network.meter.state is not None
    frame = APSFrame(0x0109, 0x0704, 1, 1, 9, b"payload", False)
    network.hub.send_aps(
        network.meter.state.node_id, frame, 10.0, lambda ok, _: outcomes.append(ok)
    )
    network.air.run(12.0)
    assert (network.meter_owner.got, outcomes) == ([], [])
    network.meter.is_awake = True
    network.meter.poll(13.0)
    network.air.run(14.0)
    assert len(network.meter_owner.got) == 1
    assert outcomes == [True]


def test_what_waits_too_long_is_dropped() -> None:
    network = Network(sleeps=True).joined()
    network.meter.is_awake = False
    outcomes: list[float] = []
    assert network.meter.state is not None
    frame = APSFrame(0x0109, 0x0704, 1, 1, 9, b"payload", False)
    network.hub.send_aps(
        network.meter.state.node_id, frame, 10.0, lambda _, at: outcomes.append(at)
    )
    network.air.run(30.0)
    assert outcomes == [pytest.approx(10.0 + INDIRECT_TIMEOUT_S)]


def test_packets_are_as_long_as_emberznet_says() -> None:
    assert payload_maximum(is_encrypted=False, in_blocks=False) == 82
    assert payload_maximum(is_encrypted=True, in_blocks=True) == 71


def test_a_seal_opens_for_its_key_alone_and_shows_none() -> None:
    seal = EmulatedSeal(KEY, b"content")
    assert seal.open(OTHER_KEY, None) is None
    assert seal.open(OTHER_KEY, KEY) == b"content"
    assert "kkkk" not in repr(seal)
