from __future__ import annotations

from typing import TYPE_CHECKING

import bellows.ash
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterstub.radio.ash import (
    ACK_TIMEOUT_S,
    ACK_TIMEOUTS,
    WINDOW,
    ASHConnection,
    ASHEvent,
    FrameReceived,
    HostLost,
    HostReset,
    ResetCode,
    decode_frame,
    encode_frame,
    randomise,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

RST = bytes.fromhex("1A C0 38 BC 7E")
VERSION_COMMAND = bytes.fromhex("00 42 21 A8 50 ED 2C 7E")
"""DATA frame 0 with the legacy command version(4), as bellows was recorded to send it."""


def drain(radio: ASHConnection) -> list[ASHEvent]:
    found = []
    while (event := radio.next_event()) is not None:
        found.append(event)
    return found


def connected() -> ASHConnection:
    radio = ASHConnection()
    radio.reset()
    radio.data_to_send(0.0)
    return radio


def data(number: int, payload: bytes, *, expected: int = 0, is_again: bool = False) -> bytes:
    return encode_frame(bytes((number << 4 | is_again << 3 | expected,)) + randomise(payload))


def frames(octets: bytes) -> list[bellows.ash.AshFrame]:
    """Read with bellows' reader what the radio wrote."""
    stuffed = [each for each in octets.split(b"\x7e") if each]
    return [
        bellows.ash.parse_frame(bellows.ash.AshProtocol._unstuff_bytes(each)) for each in stuffed
    ]


def acknowledged(found: Iterable[bellows.ash.AshFrame]) -> list[int]:
    return [each.ack_num for each in found if isinstance(each, bellows.ash.AckFrame)]


@pytest.mark.parametrize(
    ("body", "octets"),
    [
        (b"\xc0", "C0 38 BC 7E"),
        (b"\xc1\x02\x02", "C1 02 02 9B 7B 7E"),
        (b"\x81", "81 60 59 7E"),
        (b"\xa6", "A6 34 DC 7E"),
    ],
)
def test_frames_have_the_octets_of_the_reference(body: bytes, octets: str) -> None:
    assert encode_frame(body) == bytes.fromhex(octets)
    assert decode_frame(bytes.fromhex(octets)[:-1]) == body


def test_reserved_octets_are_escaped() -> None:
    frame = encode_frame(bytes((0x7E, 0x7D, 0x11, 0x13, 0x18, 0x1A)))
    assert frame.startswith(bytes.fromhex("7D5E 7D5D 7D31 7D33 7D38 7D3A"))
    assert frame.count(b"\x7e") == 1
    assert decode_frame(frame[:-1]) == bytes((0x7E, 0x7D, 0x11, 0x13, 0x18, 0x1A))


def test_randomising_twice_changes_nothing_and_once_is_the_references_sequence() -> None:
    assert randomise(bytes(6)) == bytes.fromhex("42 21 A8 54 2A 15")
    assert randomise(randomise(b"octets")) == b"octets"


def test_a_recorded_command_is_read_and_acknowledged() -> None:
    radio = connected()
    radio.receive_data(VERSION_COMMAND, 0.0)
    assert drain(radio) == [FrameReceived(bytes.fromhex("00 00 00 04"))]
    assert radio.data_to_send(0.0) == bytes.fromhex("81 60 59 7E")


def test_a_reset_is_taken_whatever_came_before_it() -> None:
    radio = ASHConnection()
    radio.receive_data(b"noise" + b"\x1a" * 32 + RST, 0.0)
    assert drain(radio) == [HostReset()]
    radio.reset(ResetCode.SOFTWARE)
    assert radio.data_to_send(0.0) == encode_frame(bytes((0xC1, 2, 0x0B)))


def test_before_a_reset_there_is_nothing_to_say() -> None:
    radio = ASHConnection()
    radio.send(b"callback")
    radio.receive_data(VERSION_COMMAND, 0.0)
    assert drain(radio) == []
    assert radio.data_to_send(0.0) == b""


def test_a_frame_that_comes_twice_is_acknowledged_twice_and_taken_once() -> None:
    radio = connected()
    radio.receive_data(data(0, b"one"), 0.0)
    radio.receive_data(data(0, b"one", is_again=True), 0.0)
    assert drain(radio) == [FrameReceived(b"one")]
    assert acknowledged(frames(radio.data_to_send(0.0))) == [1, 1]


def test_a_damaged_frame_is_refused_once_until_a_good_one_comes() -> None:
    radio = connected()
    good = data(0, b"one")
    damaged = bytes((good[0], good[1] ^ 1)) + good[2:]
    radio.receive_data(damaged + damaged, 0.0)
    assert [type(each) for each in frames(radio.data_to_send(0.0))] == [bellows.ash.NakFrame]
    radio.receive_data(good, 0.0)
    radio.receive_data(damaged, 0.0)
    kinds = [type(each) for each in frames(radio.data_to_send(0.0))]
    assert kinds == [bellows.ash.AckFrame, bellows.ash.NakFrame]
    assert radio.damaged == 3


def test_a_frame_out_of_its_turn_is_refused() -> None:
    radio = connected()
    radio.receive_data(data(1, b"two"), 0.0)
    assert drain(radio) == []
    (refusal,) = frames(radio.data_to_send(0.0))
    assert isinstance(refusal, bellows.ash.NakFrame)
    assert refusal.ack_num == 0


def test_a_substitute_spoils_its_frame_and_a_cancel_forgets_it() -> None:
    radio = connected()
    frame = data(0, b"one")
    radio.receive_data(frame[:2] + b"\x18" + frame[2:], 0.0)
    assert drain(radio) == []
    radio.receive_data(b"\x01\x02\x1a" + frame, 0.0)
    assert drain(radio) == [FrameReceived(b"one")]


def test_no_more_frames_wait_for_their_acknowledgement_than_the_window() -> None:
    radio = connected()
    for number in range(WINDOW + 2):
        radio.send(b"frame" + bytes((number,)))
    sent = frames(radio.data_to_send(0.0))
    assert [each.frm_num for each in sent if isinstance(each, bellows.ash.DataFrame)] == [0, 1, 2]
    radio.receive_data(encode_frame(bytes((0x80 | 2,))), 0.1)
    more = frames(radio.data_to_send(0.1))
    assert [each.frm_num for each in more if isinstance(each, bellows.ash.DataFrame)] == [3, 4]


def test_numbers_go_round_at_eight() -> None:
    radio = connected()
    for number in range(20):
        radio.send(b"one" + bytes((number,)))
        (frame,) = frames(radio.data_to_send(0.0))
        assert isinstance(frame, bellows.ash.DataFrame)
        assert frame.frm_num == number % 8
        assert frame.ezsp_frame == b"one" + bytes((number,))
        radio.receive_data(encode_frame(bytes((0x80 | (number + 1) % 8,))), 0.0)
    assert radio.next_deadline() is None


def test_an_unacknowledged_frame_goes_out_again_at_its_time_and_at_last_the_host_is_lost() -> None:
    radio = connected()
    radio.send(b"one")
    radio.data_to_send(0.0)
    now = 0.0
    for _ in range(ACK_TIMEOUTS):
        radio.handle_deadline(now + ACK_TIMEOUT_S - 0.001)
        assert radio.data_to_send(now) == b""
        now += ACK_TIMEOUT_S
        assert radio.next_deadline() == pytest.approx(now)
        radio.handle_deadline(now)
        (frame,) = frames(radio.data_to_send(now))
        assert isinstance(frame, bellows.ash.DataFrame)
        assert frame.re_tx
    radio.handle_deadline(now + ACK_TIMEOUT_S)
    assert drain(radio) == [HostLost()]
    (error,) = frames(radio.data_to_send(now))
    assert isinstance(error, bellows.ash.ErrorFrame)
    assert error.reset_code == 0x51
    assert not radio.is_connected


def test_a_refusal_has_it_sent_again_at_once() -> None:
    radio = connected()
    radio.send(b"one")
    radio.data_to_send(0.0)
    radio.receive_data(encode_frame(b"\xa0"), 0.1)
    (frame,) = frames(radio.data_to_send(0.1))
    assert isinstance(frame, bellows.ash.DataFrame)
    assert (frame.frm_num, bool(frame.re_tx)) == (0, True)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_the_host_sends_nothing_is_raised(pieces: list[bytes]) -> None:
    radio = connected()
    radio.send(b"one")
    for number, octets in enumerate(pieces):
        radio.receive_data(octets, float(number))
        radio.handle_deadline(float(number))
        drain(radio)
        frames(radio.data_to_send(float(number)))
    assert radio.retransmissions >= 0
