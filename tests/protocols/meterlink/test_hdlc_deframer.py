from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import ChecksumError, DecodeError, FramingError, LocalProtocolError
from gbcs.protocol_errors import RemoteProtocolError as RemoteError
from meterlink.hdlc.deframer import RECEIVE_BUFFER_LIMIT, Deframer
from meterlink.hdlc.fcs import fcs16
from meterlink.hdlc.hdlc_address import HDLCAddress
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, encode_frame

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)


def information(octets: bytes, sequence: int = 0) -> Frame:
    return Frame(SERVER, CLIENT, FrameKind.I, send_sequence=sequence, information=octets)


# The information holds flags, and what looks like the beginning of a frame.
FIRST = information(bytes.fromhex("E6E600017E7EA00703"))
SECOND = Frame(SERVER, CLIENT, FrameKind.RR, receive_sequence=1)


def drain(deframer: Deframer) -> list[Frame | RemoteError]:
    found: list[Frame | RemoteError] = []
    while (item := deframer.next_frame()) is not None:
        found.append(item)
    return found


def frames_in(found: list[Frame | RemoteError]) -> list[Frame]:
    return [item for item in found if isinstance(item, Frame)]


def test_whole_frame_is_given_once() -> None:
    deframer = Deframer()
    deframer.receive_data(encode_frame(FIRST))
    assert drain(deframer) == [FIRST]
    assert not deframer.is_within_frame


def test_one_octet_at_a_time_gives_no_answer_early() -> None:
    deframer = Deframer()
    octets = encode_frame(FIRST)
    for octet in octets[:-1]:
        deframer.receive_data(bytes((octet,)))
        assert deframer.next_frame() is None
    deframer.receive_data(octets[-1:])
    assert deframer.next_frame() == FIRST


def test_two_frames_in_one_read() -> None:
    deframer = Deframer()
    deframer.receive_data(encode_frame(FIRST) + encode_frame(SECOND))
    assert drain(deframer) == [FIRST, SECOND]


def test_two_frames_may_share_a_flag() -> None:
    deframer = Deframer()
    deframer.receive_data(encode_frame(FIRST)[:-1] + encode_frame(SECOND))
    assert drain(deframer) == [FIRST, SECOND]


def test_next_frame_that_has_begun_waits_in_the_buffer() -> None:
    deframer = Deframer()
    octets = encode_frame(SECOND)
    deframer.receive_data(encode_frame(FIRST) + octets[:4])
    assert drain(deframer) == [FIRST]
    assert deframer.is_within_frame
    deframer.receive_data(octets[4:])
    assert drain(deframer) == [SECOND]


def test_every_single_bit_flip_is_reported_and_the_next_frame_found() -> None:
    octets = encode_frame(information(bytes.fromhex("E6E6000102")))
    follower = encode_frame(SECOND)
    for bit in range(8 * len(octets)):
        deframer = Deframer()
        damaged = bytearray(octets)
        damaged[bit // 8] ^= 1 << bit % 8
        deframer.receive_data(bytes(damaged) + follower)
        found = drain(deframer) + deframer.time_out()
        assert frames_in(found) == [SECOND], bit
        errors = [item for item in found if not isinstance(item, Frame)]
        assert len(errors) == 1, bit
        assert isinstance(errors[0], FramingError | ChecksumError)


def test_every_lost_octet_is_reported_and_the_next_frame_found() -> None:
    octets = encode_frame(information(bytes.fromhex("E6E6000102")))
    for lost in range(1, len(octets) - 1):
        deframer = Deframer()
        deframer.receive_data(octets[:lost] + octets[lost + 1 :] + encode_frame(SECOND))
        found = drain(deframer) + deframer.time_out()
        assert frames_in(found) == [SECOND], lost


def test_truncated_frame_is_incomplete_until_the_time_out() -> None:
    octets = encode_frame(FIRST)
    for end in range(2, len(octets) - 1):
        deframer = Deframer()
        deframer.receive_data(octets[:end])
        assert deframer.next_frame() is None, end
        assert deframer.is_within_frame
        (error, *more) = deframer.time_out()
        assert isinstance(error, FramingError)
        assert "fell silent" in str(error)
        assert not more
        assert not deframer.is_within_frame


def test_false_flag_does_not_swallow_the_frame_behind_it() -> None:
    deframer = Deframer()
    deframer.receive_data(bytes.fromhex("7EA7FF") + encode_frame(FIRST))
    found = drain(deframer)
    assert frames_in(found) == [FIRST]
    assert isinstance(found[0], ChecksumError | FramingError)


def test_noise_between_frames_is_reported_once() -> None:
    deframer = Deframer()
    deframer.receive_data(b"\x00\x01" + encode_frame(FIRST) + b"\xff" * 9 + encode_frame(SECOND))
    found = drain(deframer)
    assert [type(item) for item in found] == [FramingError, Frame, FramingError, Frame]
    assert "octets stand outside" in str(found[0])


def test_idle_flags_are_silence() -> None:
    deframer = Deframer()
    deframer.receive_data(b"\x7e" * 50)
    assert drain(deframer) == []
    assert not deframer.is_within_frame
    deframer.receive_data(encode_frame(SECOND))
    assert drain(deframer) == [SECOND]


def test_undamaged_nonsense_is_a_decode_error_and_is_passed() -> None:
    header = bytes.fromhex("A0070321FF")
    deframer = Deframer()
    octets = b"\x7e" + header + fcs16(header).to_bytes(2, "little") + b"\x7e"
    deframer.receive_data(octets + encode_frame(SECOND))
    nonsense, frame = drain(deframer)
    assert isinstance(nonsense, DecodeError)
    assert frame == SECOND


def test_buffer_that_is_never_drained_has_a_limit() -> None:
    deframer = Deframer()
    deframer.receive_data(bytes(RECEIVE_BUFFER_LIMIT))
    with pytest.raises(LocalProtocolError, match="take the frames out"):
        deframer.receive_data(b"\x00")


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_whatever_comes_the_buffer_stays_small_and_a_frame_is_found_after_it(
    chunks: list[bytes],
) -> None:
    deframer = Deframer()
    for chunk in chunks:
        deframer.receive_data(chunk)
        drain(deframer)
    deframer.time_out()
    deframer.receive_data(encode_frame(FIRST))
    assert frames_in(drain(deframer))[-1:] == [FIRST]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_the_cut_of_the_reads_changes_nothing(noise: bytes, size: int) -> None:
    octets = noise + encode_frame(FIRST) + noise + encode_frame(SECOND)
    whole = Deframer()
    whole.receive_data(octets)
    pieces = Deframer()
    found: list[Frame | RemoteError] = []
    for start in range(0, len(octets), size):
        pieces.receive_data(octets[start : start + size])
        found += drain(pieces)
    assert frames_in(found) == frames_in(drain(whole))
