from __future__ import annotations

import random  # noqa: TID251 - seeded, as the rule asks
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, OtherInformation, compose_pre_command
from gbcs.protocol_errors import LocalProtocolError
from meterlink.link_events import NEED_DATA, NeedData
from vectors.reference import MESSAGES, needs_reference, read_octets
from zse.block_transfer import (
    AssemblyAbandoned,
    BlockEvent,
    BlockRefused,
    BlockTransfer,
    BlockTransferLimits,
    GiveUpReason,
    MessageAssembled,
    MessageDelivered,
    MessageGivenUp,
    needs_block_transfer,
)
from zse.routed_block import (
    Block,
    RoutingHeader,
    decode_routed_block,
    encode_routed_block,
    is_block,
)

PARTY = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
SMALL = BlockTransferLimits(block_octets=100, window=3)


def message(size: int, *, counter: int = 1, cra_flag: CRAFlag = CRAFlag.COMMAND) -> bytes:
    """Make a message of that many octets, give or take a few."""
    header = Header(cra_flag, counter, PARTY, DEVICE, OtherInformation(0x0102))
    content = bytes(number * 7 % 256 for number in range(size - 60))
    octets = compose_pre_command(header, content).octets
    return octets if cra_flag is CRAFlag.COMMAND else octets + b"\x00"


def drain(end: BlockTransfer) -> list[BlockEvent]:
    found: list[BlockEvent] = []
    event: BlockEvent | NeedData
    while (event := end.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def blocks(octets: list[bytes]) -> list[Block]:
    return [decode_routed_block(each)[1] for each in octets]


def acknowledgement(routing: RoutingHeader, number: int, upto: int, window: int = 3) -> bytes:
    block = Block(number, upto, b"", is_last=True, streaming=False, window=window)
    return encode_routed_block(routing.swapped(), block)


def sending(octets: bytes, limits: BlockTransferLimits = SMALL) -> BlockTransfer:
    end = BlockTransfer(limits=limits)
    end.send_message(octets)
    return end


def test_threshold() -> None:
    assert not needs_block_transfer(bytes(1200))
    assert needs_block_transfer(bytes(1201))


@pytest.mark.parametrize("size", [1300, 1900, 4000, 60_000])
def test_a_long_message_passes_whole_and_each_block_fits_a_tunnel(size: int) -> None:
    octets = message(size)
    near, far = sending(octets, BlockTransferLimits()), BlockTransfer()
    passed = 0
    while near.unacknowledged:
        for block in near.data_to_send(0.0):
            assert is_block(block)
            assert len(block) <= 1500 - 2
            far.receive_data(block, 0.0)
            passed += 1
        for block in far.data_to_send(0.0):
            near.receive_data(block, 0.0)
    assert passed == -(-len(octets) // 1200)
    assert drain(near) == [MessageDelivered(octets)]
    assert drain(far) == [MessageAssembled(octets, RoutingHeader.of_message(octets))]
    assert near.next_deadline() is None


def test_a_window_streams_and_hands_the_turn_over() -> None:
    octets = message(450)
    end = sending(octets)
    first = blocks(end.data_to_send(0.0))
    assert [(b.number, b.streaming, b.is_last, b.window) for b in first] == [
        (1, True, False, 3),
        (2, True, False, 3),
        (3, False, False, 3),
    ]
    assert end.data_to_send(1.0) == []
    routing = RoutingHeader.of_message(octets)
    end.receive_data(acknowledgement(routing, 1, 3), 2.0)
    second = blocks(end.data_to_send(2.0))
    assert [(b.number, b.streaming, b.is_last, b.acknowledged) for b in second] == [
        (4, True, False, 1),
        (5, False, True, 1),
    ]
    end.receive_data(acknowledgement(routing, 2, 5), 3.0)
    assert drain(end) == [MessageDelivered(octets)]
    assert b"".join(b.data for b in first + second) == octets


def test_the_peers_smaller_window_is_kept_to() -> None:
    octets = message(450)
    end = sending(octets)
    end.data_to_send(0.0)
    routing = RoutingHeader.of_message(octets)
    end.receive_data(acknowledgement(routing, 1, 2, window=1), 0.0)
    assert [b.number for b in blocks(end.data_to_send(0.0))] == [3]
    end.receive_data(acknowledgement(routing, 2, 3, window=0), 0.0)
    assert [b.number for b in blocks(end.data_to_send(0.0))] == [4]
    end.receive_data(acknowledgement(routing, 3, 4, window=63), 0.0)
    assert [b.number for b in blocks(end.data_to_send(0.0))] == [5]


def test_lost_blocks_are_sent_again() -> None:
    octets = message(450)
    near, far = sending(octets), BlockTransfer(limits=SMALL)
    one, two, three = near.data_to_send(0.0)
    far.receive_data(one, 0.0)
    far.receive_data(three, 0.0)
    (found,) = far.data_to_send(0.0)
    assert decode_routed_block(found)[1].acknowledged == 1
    near.receive_data(found, 0.0)
    again = near.data_to_send(0.0)
    assert [b.number for b in blocks(again)] == [2, 3, 4]
    far.receive_data(two, 0.0)
    far.receive_data(again[2], 0.0)
    (found,) = far.data_to_send(0.0)
    assert decode_routed_block(found)[1].acknowledged == 4


def test_an_overdue_acknowledgement_sends_the_window_again_at_exactly_the_time_out() -> None:
    end = sending(message(250))
    first = end.data_to_send(5.0)
    assert end.next_deadline() == 35.0
    end.handle_deadline(34.999)
    assert end.data_to_send(34.999) == []
    end.handle_deadline(35.0)
    assert end.data_to_send(35.0) == first
    assert end.next_deadline() == 65.0


def test_a_message_is_given_up_after_the_last_attempt() -> None:
    octets = message(250)
    end = sending(octets)
    for attempt in range(4):
        assert len(end.data_to_send(attempt * 30.0)) == 3
        assert drain(end) == []
        end.handle_deadline((attempt + 1) * 30.0)
    assert drain(end) == [MessageGivenUp(octets, GiveUpReason.NO_ANSWER, 0, 3)]
    assert end.next_deadline() is None


def test_progress_starts_the_attempts_anew() -> None:
    octets = message(450)
    end = sending(octets)
    routing = RoutingHeader.of_message(octets)
    now = 0.0
    for done in range(5):
        for _ in range(3):
            end.data_to_send(now)
            now += 30.0
            end.handle_deadline(now)
        end.data_to_send(now)
        end.receive_data(acknowledgement(routing, done + 1, done + 1), now)
    assert drain(end) == [MessageDelivered(octets)]


def test_the_same_loss_again_and_again_is_given_up() -> None:
    octets = message(250)
    end = sending(octets)
    routing = RoutingHeader.of_message(octets)
    for number in range(1, 5):
        assert len(end.data_to_send(0.0)) == 3
        end.receive_data(acknowledgement(routing, number, 0), 0.0)
    assert drain(end) == [MessageGivenUp(octets, GiveUpReason.NO_PROGRESS, 0, 3)]


def test_repeated_and_late_acknowledgements_change_nothing() -> None:
    octets = message(450)
    end = sending(octets)
    routing = RoutingHeader.of_message(octets)
    end.data_to_send(0.0)
    end.receive_data(acknowledgement(routing, 2, 2), 0.0)
    assert len(end.data_to_send(0.0)) == 3
    for number, upto in ((2, 2), (1, 1), (1, 2), (1, 0)):
        end.receive_data(acknowledgement(routing, number, upto), 0.0)
        assert end.data_to_send(0.0) == []
    assert drain(end) == []


def test_an_acknowledgement_of_what_was_not_sent_is_refused() -> None:
    octets = message(450)
    end = sending(octets)
    end.data_to_send(0.0)
    end.receive_data(acknowledgement(RoutingHeader.of_message(octets), 1, 4), 0.0)
    (event,) = drain(end)
    assert isinstance(event, BlockRefused)
    assert "4" in str(event.error)
    assert end.data_to_send(0.0) == []


@pytest.mark.parametrize("swapped", [True, False])
def test_an_acknowledgement_may_name_the_parties_either_way(swapped: bool) -> None:  # noqa: FBT001 - a parameter of the test
    octets = message(90)
    end = sending(octets)
    end.data_to_send(0.0)
    routing = RoutingHeader.of_message(octets)
    end.receive_data(acknowledgement(routing.swapped() if swapped else routing, 1, 1), 0.0)
    assert drain(end) == [MessageDelivered(octets)]


def test_an_acknowledgement_of_another_message_changes_nothing() -> None:
    end = sending(message(90))
    end.data_to_send(0.0)
    other = RoutingHeader.of_message(message(90, counter=2))
    end.receive_data(acknowledgement(other, 1, 1), 0.0)
    assert drain(end) == []
    assert len(end.unacknowledged) == 1


def test_messages_go_one_after_the_other() -> None:
    first, second = message(90, counter=1), message(90, counter=2)
    end = sending(first)
    end.send_message(second)
    assert len(end.data_to_send(0.0)) == 1
    assert end.data_to_send(0.0) == []
    end.receive_data(acknowledgement(RoutingHeader.of_message(first), 1, 1), 0.0)
    ((routing, _),) = [decode_routed_block(each) for each in end.data_to_send(0.0)]
    assert routing.originator_counter == 2
    assert end.withdraw(second)
    assert not end.withdraw(second)
    assert end.unacknowledged == ()


def test_a_finished_message_is_acknowledged_again_and_told_of_once() -> None:
    octets = message(250)
    near, far = sending(octets), BlockTransfer(limits=SMALL)
    found = near.data_to_send(0.0)
    for each in found * 2:
        far.receive_data(each, 0.0)
    assert len(far.data_to_send(0.0)) == 1
    far.receive_data(found[0], 1.0)
    assert far.data_to_send(1.0) == []
    far.receive_data(found[2], 1.0)
    (again,) = far.data_to_send(1.0)
    assert decode_routed_block(again)[1] == Block(
        2, 3, b"", is_last=True, streaming=False, window=3
    )
    assert len(drain(far)) == 1


def test_a_finished_message_is_forgotten_in_time() -> None:
    near, far = sending(message(90)), BlockTransfer(limits=SMALL)
    (found,) = near.data_to_send(0.0)
    far.receive_data(found, 0.0)
    assert far.next_deadline() == 300.0
    far.handle_deadline(300.0)
    assert far.next_deadline() is None
    assert len(drain(far)) == 1


def test_an_unfinished_message_is_abandoned_in_time() -> None:
    octets = message(250)
    near, far = sending(octets), BlockTransfer(limits=SMALL)
    found = near.data_to_send(0.0)
    far.receive_data(found[0], 0.0)
    far.receive_data(found[1], 100.0)
    far.handle_deadline(399.999)
    assert drain(far) == []
    far.handle_deadline(400.0)
    assert drain(far) == [
        AssemblyAbandoned(RoutingHeader.of_message(octets), GiveUpReason.NO_BLOCK, 2)
    ]


ROUTING = RoutingHeader.of_message(message(90))


def put(far: BlockTransfer, number: int, data: bytes, *, last: bool = False) -> None:
    block = Block(number, 0, data, is_last=last, streaming=True, window=3)
    far.receive_data(encode_routed_block(ROUTING, block), 0.0)


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        ([(0, b"x", False)], "within 1 to 255"),
        ([(256, b"x", False)], "within 1 to 255"),
        ([(1, bytes(101), False)], "more than 100"),
        ([(2, b"x", False), (2, b"y", False)], "other data"),
        ([(2, b"x", True), (3, b"y", False)], "2 is the last"),
        ([(2, b"x", True), (1, b"y", True)], "2 is the last"),
        ([(3, b"x", False), (2, b"y", True)], "a later one"),
    ],
)
def test_blocks_that_do_not_go_together_are_refused(
    received: list[tuple[int, bytes, bool]], reason: str
) -> None:
    far = BlockTransfer(limits=SMALL)
    for number, data, last in received:
        put(far, number, data, last=last)
    (event,) = drain(far)
    assert isinstance(event, BlockRefused)
    assert reason in str(event.error)


def test_a_sender_that_starts_again_with_other_blocks_is_followed() -> None:
    far = BlockTransfer(limits=SMALL)
    put(far, 1, b"half of")
    put(far, 1, b"whole ")
    put(far, 2, b"message", last=True)
    assert drain(far) == [MessageAssembled(b"whole message", ROUTING)]


def test_a_message_beyond_the_limit_is_abandoned() -> None:
    far = BlockTransfer(limits=BlockTransferLimits(block_octets=100, message_octets=250))
    for number in (1, 2, 3):
        put(far, number, bytes(100))
    assert drain(far) == [AssemblyAbandoned(ROUTING, GiveUpReason.TOO_LONG, 3)]
    assert far.next_deadline() is None


def test_messages_put_together_at_once_have_a_limit() -> None:
    far = BlockTransfer(limits=BlockTransferLimits(block_octets=100, transfers=2))
    ends = [sending(message(250, counter=number)) for number in range(3)]
    starts = [end.data_to_send(0.0) for end in ends]
    far.receive_data(starts[0][0], 0.0)
    far.receive_data(starts[1][0], 0.0)
    far.receive_data(starts[2][0], 0.0)
    (event,) = drain(far)
    assert isinstance(event, BlockRefused)
    for each in starts[0][1:]:
        far.receive_data(each, 0.0)
    far.receive_data(starts[2][0], 0.0)
    assert [type(each) for each in drain(far)] == [MessageAssembled]


@pytest.mark.parametrize("octets", [b"", b"no message", b"\xdf" + message(2000)])
def test_what_cannot_be_sent_is_the_callers_mistake(octets: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        BlockTransfer().send_message(octets)


def test_more_blocks_than_there_are_numbers_are_the_callers_mistake() -> None:
    end = BlockTransfer(limits=BlockTransferLimits(block_octets=10))
    end.send_message(message(2500))
    with pytest.raises(LocalProtocolError, match="blocks of 10"):
        end.send_message(message(2700))


def test_what_is_no_message_may_be_sent_under_a_given_header() -> None:
    near, far = BlockTransfer(), BlockTransfer()
    near.send_message(b"damaged on purpose", ROUTING)
    for each in near.data_to_send(0.0):
        far.receive_data(each, 0.0)
    assert drain(far) == [MessageAssembled(b"damaged on purpose", ROUTING)]


def test_the_queue_has_a_limit() -> None:
    end = BlockTransfer()
    for counter in range(64):
        end.send_message(message(90, counter=counter))
    with pytest.raises(LocalProtocolError):
        end.send_message(message(90, counter=99))


@pytest.mark.parametrize(
    "limits", [{"window": 0}, {"window": 64}, {"block_octets": 0}, {"attempts": 0}]
)
def test_limits_that_cannot_be(limits: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError):
        BlockTransferLimits(**limits)


def test_both_directions_at_once() -> None:
    command, response = message(450), message(350, cra_flag=CRAFlag.RESPONSE)
    near, far = sending(command), sending(response)
    for _ in range(8):
        for each in near.data_to_send(0.0):
            far.receive_data(each, 0.0)
        for each in far.data_to_send(0.0):
            near.receive_data(each, 0.0)
    assert {type(each) for each in drain(near)} == {MessageDelivered, MessageAssembled}
    assert {type(each) for each in drain(far)} == {MessageDelivered, MessageAssembled}


@needs_reference
def test_the_longest_reference_messages_pass() -> None:
    paths = sorted(MESSAGES.glob("CS02b*_COMMAND_GBCS.HEX"))
    assert paths
    for path in paths:
        octets = read_octets(path)
        if not needs_block_transfer(octets):
            continue
        near, far = sending(octets, BlockTransferLimits()), BlockTransfer()
        while near.unacknowledged:
            for each in near.data_to_send(0.0):
                far.receive_data(each, 0.0)
            for each in far.data_to_send(0.0):
                near.receive_data(each, 0.0)
        (event,) = drain(far)
        assert isinstance(event, MessageAssembled)
        assert event.octets == octets


# A tunnel that loses, repeats and reorders.


@dataclass
class Air:
    dice: random.Random
    loss: float
    repetition: float
    reordering: float
    held: list[bytes] = field(default_factory=list)

    def carry(self, sent: list[bytes]) -> list[bytes]:
        arrived = self.held
        self.held = []
        for each in sent:
            if self.dice.random() < self.loss:
                continue
            for _ in range(1 + (self.dice.random() < self.repetition)):
                late = self.dice.random() < self.reordering
                (self.held if late else arrived).append(each)
        if self.dice.random() < self.reordering:
            self.dice.shuffle(arrived)
        return arrived


def run(
    near: BlockTransfer, far: BlockTransfer, there: Air, back: Air, *, turns: int = 5000
) -> None:
    now = 0.0
    for _ in range(turns):
        sent = near.data_to_send(now)
        answered = far.data_to_send(now)
        for each in there.carry(sent):
            far.receive_data(each, now)
        for each in back.carry(answered):
            near.receive_data(each, now)
        if not near.unacknowledged:
            return
        if not (sent or answered or there.held or back.held):
            deadline = near.next_deadline()
            if deadline is None:
                continue  # An acknowledgement has just come.
            now = max(now, deadline)
            near.handle_deadline(now)
            far.handle_deadline(now)
    raise AssertionError("no end")


@pytest.mark.sweep
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(70, 3000),
    window=st.integers(1, 63),
    far_window=st.integers(1, 63),
    loss=st.floats(0, 0.5),
    repetition=st.floats(0, 0.5),
    reordering=st.floats(0, 0.5),
)
def test_a_message_passes_once_and_whole_whatever_the_air_does(
    seed: int,
    size: int,
    window: int,
    far_window: int,
    loss: float,
    repetition: float,
    reordering: float,
) -> None:
    dice = random.Random(seed)
    octets = message(size)
    limits = BlockTransferLimits(
        block_octets=100, window=window, attempts=10_000, receive_timeout_s=1e9
    )
    near = sending(octets, limits)
    far = BlockTransfer(
        limits=BlockTransferLimits(
            block_octets=100, window=far_window, attempts=10_000, receive_timeout_s=1e9
        )
    )
    air = [Air(dice, loss, repetition, reordering) for _ in range(2)]
    run(near, far, *air)
    assert drain(near) == [MessageDelivered(octets)]
    assert drain(far) == [MessageAssembled(octets, RoutingHeader.of_message(octets))]


@pytest.mark.sweep
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0.3, 1.0))
def test_with_few_attempts_it_passes_or_is_given_up_and_never_garbled(
    seed: int, loss: float
) -> None:
    dice = random.Random(seed)
    octets = message(1500)
    near, far = sending(octets), BlockTransfer(limits=SMALL)
    run(near, far, *(Air(dice, loss, 0.1, 0.1) for _ in range(2)))
    (told,) = drain(near)
    for event in drain(far):
        if isinstance(event, MessageAssembled):
            assert event.octets == octets
        else:
            assert isinstance(event, AssemblyAbandoned)
    assert isinstance(told, MessageDelivered | MessageGivenUp)


@given(st.lists(st.binary(max_size=40)), st.binary(max_size=60))
def test_whatever_octets_come_only_events_come_of_it(parts: list[bytes], rest: bytes) -> None:
    end = sending(message(450))
    (first, *_) = end.data_to_send(0.0)
    for part in parts:
        end.receive_data(part, 0.0)
        end.receive_data(first[:30] + part, 0.0)
        end.receive_data(first[:40] + part + rest, 0.0)
        end.data_to_send(0.0)
    drain(end)
