from __future__ import annotations

import pytest

from gbcs.protocol_errors import FramingError, SequenceError
from meterlink.hdlc.hdlc_windows import REASSEMBLY_LIMIT, ReceiveWindow, SendWindow


def window(size: int, *messages: bytes, information_octets: int = 4) -> SendWindow:
    made = SendWindow()
    made.reset(information_octets=information_octets, size=size)
    for octets in messages:
        made.push(octets)
    return made


def numbers(send: SendWindow) -> list[tuple[int, bytes, bool]]:
    return [
        (part.send_sequence, part.segment.information, part.segment.is_last) for part in send.take()
    ]


def test_message_is_cut_at_the_information_size() -> None:
    send = window(7, b"abcdefghij", b"klmn")
    assert numbers(send) == [
        (0, b"abcd", False),
        (1, b"efgh", False),
        (2, b"ij", True),
        (3, b"klmn", True),
    ]


def test_window_lets_no_more_go_than_it_holds() -> None:
    send = window(2, b"abcdefghij")
    assert len(send.take()) == 2
    assert send.take() == []
    assert send.acknowledge(1) == (1, 0)
    assert numbers(send) == [(2, b"ij", True)]
    assert send.acknowledge(3) == (2, 1)
    assert send.messages == ()


def test_rewind_repeats_what_is_not_acknowledged() -> None:
    send = window(3, b"abcdefghij")
    send.take()
    send.acknowledge(1)
    send.rewind()
    again = send.take()
    assert [part.send_sequence for part in again] == [1, 2]
    assert all(part.is_repeated for part in again)


def test_sequence_numbers_wrap_after_seven() -> None:
    send = window(7, bytes(40))
    seen = []
    while taken := send.take():
        seen += [part.send_sequence for part in taken]
        send.acknowledge(send.send_state)
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]


@pytest.mark.parametrize("receive_sequence", [3, 7])
def test_acknowledging_what_was_not_sent_is_refused(receive_sequence: int) -> None:
    send = window(2, b"abcdefghij")
    send.take()
    with pytest.raises(SequenceError, match="what was not sent"):
        send.acknowledge(receive_sequence)


def test_late_acknowledgement_after_a_rewind_counts() -> None:
    send = window(7, b"abcdefgh")
    send.take()
    send.rewind()
    assert send.acknowledge(2) == (2, 1)
    assert send.take() == []


def test_reset_starts_a_partly_acknowledged_message_again() -> None:
    send = window(1, b"abcdefgh")
    send.take()
    send.acknowledge(1)
    before = send.is_within_message
    send.reset(information_octets=8, size=1)
    assert (before, send.is_within_message) == (True, False)
    assert numbers(send) == [(0, b"abcdefgh", True)]


def test_segments_come_together_and_repeats_are_dropped() -> None:
    receive = ReceiveWindow()
    assert receive.accept(0, b"ab", is_last=False)
    assert receive.take_message() is None
    assert not receive.accept(0, b"ab", is_last=False)
    gaps = [receive.has_gap]
    assert receive.accept(1, b"cd", is_last=True)
    assert [*gaps, receive.has_gap] == [True, False]
    assert receive.take_message() == b"abcd"
    assert receive.take_message() is None
    assert receive.receive_state == 2


def test_message_without_end_is_refused_at_the_limit() -> None:
    receive = ReceiveWindow()
    sequence = 0
    for _ in range(REASSEMBLY_LIMIT // 2030):
        assert receive.accept(sequence, bytes(2030), is_last=False)
        sequence = (sequence + 1) % 8
    with pytest.raises(FramingError, match=f"more than {REASSEMBLY_LIMIT}"):
        receive.accept(sequence, bytes(2030), is_last=False)
