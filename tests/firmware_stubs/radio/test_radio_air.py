from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from meterstub.radio.radio_air import (
    ACKNOWLEDGEMENT_WAIT_S,
    TRANSMISSIONS,
    Air,
    AirFrame,
    Conditions,
)


@dataclass
class Node:
    eui64: int
    is_listening: bool = True
    channel: int | None = None
    heard: list[tuple[object, float]] = field(default_factory=list)

    def receive_frame(self, frame: AirFrame, now: float) -> None:
        self.heard.append((frame.content, now))


class Outcomes(list[tuple[bool, float]]):
    def __call__(self, is_acknowledged: bool, now: float) -> None:  # noqa: FBT001 - the callback's form
        self.append((is_acknowledged, now))


def place(conditions: Conditions | None = None, dice: list[float] | None = None) -> Air:
    rolls = itertools.chain(dice or [], itertools.repeat(1.0))
    return Air(conditions=conditions, dice=rolls.__next__)


def street(air: Air, *nodes: Node) -> None:
    for node in nodes:
        air.attach(node)


def test_a_frame_takes_the_time_of_its_octets() -> None:
    # 20 octets and 11 of MAC and 6 of PHY at 32 us, the mean backoff of 1.248 ms, the turnaround
    # of 0.192 ms, the acknowledgement of 11 octets, and the spacing of 0.64 ms.
    expected_us = 37 * 32 + 1248 + 192 + 11 * 32 + 640
    assert Conditions().duration_s(20, wants_acknowledgement=True) == pytest.approx(
        expected_us / 1e6
    )
    assert Conditions(bit_rate=None).duration_s(20, wants_acknowledgement=True) == 0.0


def test_one_frame_is_on_the_channel_at_a_time() -> None:
    air, one, two = place(), Node(1), Node(2)
    street(air, one, two)
    duration = air.conditions.duration_s(20, wants_acknowledgement=True)
    for content in ("a", "b"):
        air.send(AirFrame(1, 2, content, 20), 5.0)
    air.run(5.0 + duration - 1e-9)
    assert two.heard == []
    air.run(10.0)
    assert [content for content, _ in two.heard] == ["a", "b"]
    assert [at for _, at in two.heard] == pytest.approx([5.0 + duration, 5.0 + 2 * duration])
    assert air.busy_s == pytest.approx(2 * duration)


def test_what_is_lost_is_sent_again_and_given_up_at_last() -> None:
    silent = Conditions(loss=0.5)
    air, one, two, outcomes = place(silent, [0.0] * 50), Node(1), Node(2), Outcomes()
    street(air, one, two)
    air.send(AirFrame(1, 2, "a", 20), 0.0, outcomes)
    air.run(10.0)
    duration = silent.duration_s(20, wants_acknowledgement=True)
    assert two.heard == []
    assert air.frames == TRANSMISSIONS
    ((is_acknowledged, at),) = outcomes
    assert not is_acknowledged
    assert at == pytest.approx(TRANSMISSIONS * duration + 3 * ACKNOWLEDGEMENT_WAIT_S)


def test_a_lost_acknowledgement_has_the_frame_come_again_and_be_heard_once() -> None:
    # Rolls: heard, not doubled, acknowledgement lost; heard again, acknowledgement heard.
    air, one, two, outcomes = (
        place(Conditions(loss=0.5), [1, 1, 0, 1, 1]),
        Node(1),
        Node(2),
        Outcomes(),
    )
    street(air, one, two)
    air.send(AirFrame(1, 2, "a", 20), 0.0, outcomes)
    air.run(10.0)
    assert len(two.heard) == 1
    assert [ok for ok, _ in outcomes] == [True]
    assert air.frames == 2


def test_a_doubled_frame_is_heard_twice() -> None:
    air, one, two = place(Conditions(duplication=0.5), [1, 0]), Node(1), Node(2)
    street(air, one, two)
    air.send(AirFrame(1, 2, "a", 20), 0.0)
    air.run(10.0)
    assert len(two.heard) == 2


@pytest.mark.parametrize("away", [1, 2])
def test_nobody_hears_out_of_range(away: int) -> None:
    air, one, two, outcomes = place(Conditions(out_of_range={away})), Node(1), Node(2), Outcomes()
    street(air, one, two)
    air.send(AirFrame(1, 2, "a", 20), 0.0, outcomes)
    air.send(AirFrame(1, None, "b", 20), 0.0)
    air.run(10.0)
    assert two.heard == []
    assert [ok for ok, _ in outcomes] == [False]


def test_a_receiver_that_is_off_or_elsewhere_hears_nothing() -> None:
    air = place(Conditions(bit_rate=None))
    nodes = [Node(1, channel=15), Node(2, is_listening=False), Node(3, channel=20), Node(4)]
    street(air, *nodes)
    air.send(AirFrame(1, None, "a", 20), 1.0)
    air.run(2.0)
    assert [len(node.heard) for node in nodes] == [0, 0, 0, 1]


def test_a_delay_holds_the_receiver_and_not_the_channel() -> None:
    air, one, two, outcomes = place(Conditions(delay_s=0.5)), Node(1), Node(2), Outcomes()
    street(air, one, two)
    air.send(AirFrame(1, 2, "a", 20), 0.0, outcomes)
    air.run(10.0)
    assert two.heard[0][1] == pytest.approx(outcomes[0][1] + 0.5)


def test_actions_happen_in_order_at_their_own_times() -> None:
    air, seen = place(), list[float]()
    air.call_at(2.0, seen.append)
    cancelled = air.call_at(1.5, seen.append)

    def first(at: float) -> None:
        seen.append(at)
        air.call_at(at + 0.5, seen.append)

    air.call_at(1.0, first)
    cancelled.cancel()
    assert air.next_deadline() == 1.0
    air.run(9.0)
    assert seen == [1.0, 1.5, 2.0]
    assert air.next_deadline() is None


def test_a_node_that_is_gone_is_not_heard() -> None:
    air, one, two = place(Conditions(bit_rate=None)), Node(1), Node(2)
    street(air, one, two)
    air.detach(1)
    air.send(AirFrame(1, 2, "a", 20), 0.0)
    air.run(1.0)
    assert two.heard == []
