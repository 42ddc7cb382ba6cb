from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import ChecksumError, DecodeError, FramingError, RemoteProtocolError
from meterlink.hdlc.fcs import fcs16
from meterlink.hdlc.hdlc_address import HDLCAddress
from meterlink.hdlc.hdlc_frames import (
    Frame,
    FrameKind,
    Rejection,
    decode_frame,
    encode_frame,
    encode_rejection,
)

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)

# Made by dlms-cosem 21.3.2; the SNRM with information and the bare one by gurux_dlms 1.0.203.
VECTORS = {
    "7EA0070321930F017E": Frame(SERVER, CLIENT, FrameKind.SNRM),
    "7EA0200321937DD9818014050207EE060207EE0704000000070804000000074EE97E": Frame(
        SERVER,
        CLIENT,
        FrameKind.SNRM,
        information=bytes.fromhex("818014050207EE060207EE070400000007080400000007"),
    ),
    "7EA00703215303C77E": Frame(SERVER, CLIENT, FrameKind.DISC),
    "7EA00703217113C57E": Frame(SERVER, CLIENT, FrameKind.RR, receive_sequence=3),
    "7EA80E0321A470E7E6E6000102D4597E": Frame(
        SERVER,
        CLIENT,
        FrameKind.I,
        poll_final=False,
        send_sequence=2,
        receive_sequence=5,
        segmented=True,
        information=bytes.fromhex("E6E6000102"),
    ),
    "7EA01E210373C37A818012050180060180070400000001080400000001533B7E": Frame(
        CLIENT,
        SERVER,
        FrameKind.UA,
        information=bytes.fromhex("818012050180060180070400000001080400000001"),
    ),
    "7EA00E21031364DAE6E70001026F457E": Frame(
        CLIENT, SERVER, FrameKind.UI, information=bytes.fromhex("E6E7000102")
    ),
}


@pytest.mark.parametrize("octets", VECTORS)
def test_frame_has_the_octets_of_other_stacks(octets: str) -> None:
    assert encode_frame(VECTORS[octets]).hex().upper() == octets
    assert decode_frame(bytes.fromhex(octets)[1:-1]) == VECTORS[octets]


frames = st.builds(
    Frame,
    destination=st.sampled_from([CLIENT, SERVER, HDLCAddress.server(1, 17)]),
    source=st.sampled_from([CLIENT, HDLCAddress.server(0x1234, 0x3FFF)]),
    kind=st.sampled_from(FrameKind),
    poll_final=st.booleans(),
    segmented=st.booleans(),
    information=st.binary(max_size=64),
)


@given(frames)
def test_every_frame_comes_back(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame)[1:-1]) == frame


@pytest.mark.parametrize("octets", VECTORS)
def test_every_truncation_is_refused(octets: str) -> None:
    whole = bytes.fromhex(octets)[1:-1]
    for end in range(len(whole)):
        with pytest.raises(FramingError):
            decode_frame(whole[:end])


@pytest.mark.parametrize("octets", VECTORS)
def test_every_single_bit_flip_is_refused(octets: str) -> None:
    whole = bytes.fromhex(octets)[1:-1]
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FramingError, ChecksumError)):
            decode_frame(bytes(damaged))


def test_wrong_header_check_sequence_is_named() -> None:
    whole = bytearray.fromhex("A80E0321A470E7E6E6000102")
    whole[5] ^= 0xFF
    whole += fcs16(bytes(whole)).to_bytes(2, "little")
    with pytest.raises(ChecksumError, match="HCS"):
        decode_frame(bytes(whole))


def test_undefined_control_field_is_a_decode_error() -> None:
    header = bytes.fromhex("A0070321FF")
    with pytest.raises(DecodeError, match="0xFF is of no known frame"):
        decode_frame(header + fcs16(header).to_bytes(2, "little"))


def test_longest_frame_passes_and_a_longer_one_is_refused() -> None:
    longest = Frame(SERVER, CLIENT, FrameKind.I, information=bytes(2047 - 9))
    assert decode_frame(encode_frame(longest)[1:-1]) == longest
    with pytest.raises(ValueError, match="2048 octets"):
        encode_frame(Frame(SERVER, CLIENT, FrameKind.I, information=bytes(2047 - 8)))


def test_rejection_names_control_field_states_and_reason() -> None:
    octets = encode_rejection(
        0x10, send_state=3, receive_state=5, reason=Rejection.RECEIVE_SEQUENCE_INVALID
    )
    assert octets == bytes((0x10, 0b1010_0110, 0x08))


@given(st.binary(max_size=40))
def test_anything_else_is_a_remote_protocol_error(octets: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert encode_frame(decode_frame(octets))[1:-1] == octets
