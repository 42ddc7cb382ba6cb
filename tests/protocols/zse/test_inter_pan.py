from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError
from zse.inter_pan import (
    AUXILIARY_OCTETS,
    INTEGRITY_OCTETS,
    InterPanFrame,
    decode_inter_pan,
    read_registration,
    registration,
)

KEY = bytes(range(16))
FRAME = InterPanFrame(
    destination_pan_id=0x1A62,
    destination=0x00DB1234567890A3,
    source_pan_id=0xFFFF,
    source=0x00DB1234567890AF,
    cluster=0x0800,
    payload=b"\x01\x02\x03",
    sequence=7,
)
OCTETS = bytes.fromhex(
    "21CC 07 621A A3907856 3412DB00 FFFF AF907856 3412DB00 0B00 03 0008 0901 010203"
)


def test_a_message_has_these_octets() -> None:
    assert FRAME.encode() == OCTETS
    assert decode_inter_pan(OCTETS) == FRAME


def test_a_secured_payload_opens_under_its_key_alone() -> None:
    sealed = FRAME.sealed(KEY, 5)
    assert sealed.is_secured
    assert sealed.payload[:AUXILIARY_OCTETS] == bytes.fromhex("05 05000000")
    assert len(sealed.payload) == AUXILIARY_OCTETS + 3 + INTEGRITY_OCTETS
    assert FRAME.payload not in sealed.payload
    received = decode_inter_pan(sealed.encode())
    assert received.opened(KEY) == FRAME
    with pytest.raises(DecodeError, match="not under the link key"):
        received.opened(bytes(16))


@pytest.mark.parametrize("position", range(25, 42))
def test_a_secured_message_that_was_changed_does_not_open(position: int) -> None:
    octets = bytearray(FRAME.sealed(KEY, 5).encode())
    octets[position] ^= 1
    with pytest.raises(DecodeError):
        decode_inter_pan(bytes(octets)).opened(KEY)


@pytest.mark.parametrize("octets", [b"", OCTETS[:29], b"\x61\x88" + OCTETS[2:]])
def test_other_frames_are_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_inter_pan(octets)


def test_a_registration_is_an_identifier_and_a_code() -> None:
    octets = registration(bytes(range(8)), KEY)
    assert octets == b"\x01" + bytes(range(8)) + KEY
    assert read_registration(octets) == (bytes(range(8)), KEY)
    for wrong in (octets[:-1], octets + b"\x00", b"\x02" + octets[1:]):
        with pytest.raises(DecodeError):
            read_registration(wrong)


@given(st.binary(max_size=120))
def test_whatever_comes_nothing_else_is_raised(octets: bytes) -> None:
    try:
        frame = decode_inter_pan(octets)
    except DecodeError:
        return
    with pytest.raises(DecodeError):
        frame.opened(KEY)
