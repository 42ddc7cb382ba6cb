from __future__ import annotations

import pytest
from dlms_cosem.crc import CRCCCITT
from hypothesis import given
from hypothesis import strategies as st

from meterlink.hdlc.fcs import fcs16


def test_check_value_of_the_crc_catalogue() -> None:
    # CRC-16/IBM-SDLC, reveng.sourceforge.io: check 0x906E over "123456789".
    assert fcs16(b"123456789") == 0x906E


def test_header_of_the_shortest_snrm() -> None:
    # From gurux_dlms 1.0.203: 7E A0 07 03 21 93 0F 01 7E.
    assert fcs16(bytes.fromhex("A007032193")).to_bytes(2, "little") == bytes.fromhex("0F01")


@given(st.binary(max_size=300))
def test_sequence_over_octets_and_their_fcs_is_the_good_one(octets: bytes) -> None:
    # RFC 1662, C.2: the uncomplemented sequence over a good frame is 0xF0B8.
    assert fcs16(octets + fcs16(octets).to_bytes(2, "little")) == 0xF0B8 ^ 0xFFFF


@pytest.mark.peer
@given(st.binary(max_size=300))
def test_dlms_cosem_computes_the_same(octets: bytes) -> None:
    assert fcs16(octets).to_bytes(2, "little") == CRCCCITT().calculate_for(octets)
