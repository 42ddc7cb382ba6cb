from __future__ import annotations

from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, Conformance, DataType, InterfaceType
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.objects import GXDLMSData
from hypothesis import given
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag
from gbcs.protocol_errors import DecodeError, LocalProtocolError
from vectors.reference import message_files, needs_reference, read_octets
from zse.routed_block import (
    Block,
    RoutingHeader,
    decode_block,
    decode_routed_block,
    encode_block,
    encode_routed_block,
    is_block,
)

PARTY = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
ROUTING = RoutingHeader(CRAFlag.COMMAND, 0x1122334455667788, PARTY, DEVICE, 0x0102)
# From the layout of the parsers that gbcs.md 4.4 names: no reference message has one.
ROUTED = (
    "DD 09 01 1122334455667788 08 90B3D51F30000002 08 00DB1234567890A0 00 02 0102 00"
    "0F 11 00000000 E0 83 0004 0005 03 616263"
)


def test_octets_of_another_implementation() -> None:
    # The test vector of dlms-cosem's GeneralBlockTransfer, in versions after 21.3.2.
    octets = bytes.fromhex("E0 83 0004 0005 03 616263")
    block = Block(4, 5, b"abc", is_last=True, streaming=False, window=3)
    assert encode_block(block) == octets
    assert decode_block(octets) == block


def test_streaming_and_long_data() -> None:
    block = Block(1, 0, bytes(200), is_last=False, streaming=True, window=63)
    octets = encode_block(block)
    assert octets[:8] == bytes.fromhex("E0 7F 0001 0000 81C8")
    assert decode_block(octets) == block
    block = Block(0xFFFF, 0xFFFF, bytes(1200), is_last=False, streaming=False, window=0)
    assert encode_block(block)[:9] == bytes.fromhex("E0 00 FFFF FFFF 8204B0")
    assert decode_block(encode_block(block)) == block


def test_routed_block_octets() -> None:
    octets = bytes.fromhex(ROUTED)
    block = Block(4, 5, b"abc", is_last=True, streaming=False, window=3)
    assert encode_routed_block(ROUTING, block) == octets
    assert decode_routed_block(octets) == (ROUTING, block)
    assert is_block(octets)
    assert not is_block(bytes.fromhex("DD00000000000000"))
    assert not is_block(bytes.fromhex("DF09"))
    assert not is_block(b"")


def test_an_acknowledgement_has_no_data() -> None:
    block = Block(1, 3, b"", is_last=True, streaming=False, window=6)
    assert block.is_acknowledgement
    assert encode_block(block) == bytes.fromhex("E0 86 0001 0003 00")


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "E0",
        "E0 83 0004 0005 03 6162",
        "E0 83 0004 0005 03 61626364",
        "E1 83 0004 0005 03 616263",
        "E0 83 0004 0005 83 000003 616263",
    ],
)
def test_other_octets_are_no_block(octets: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_block(bytes.fromhex(octets))
    assert caught.value.layer == "General-Block-Transfer"


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("DD 09", "DD 08"),
        ("DD 09 01", "DD 09 04"),
        ("08 90B3", "07 90B3"),
        ("00 02 0102 00", "0C 02 0102 00"),
        ("00 02 0102 00", "00 12 0102 00"),
        ("0F 11", "0E 11"),
        ("11 00000000", "31 00000000"),
        ("11 00000000", "11 00000001"),
        ("616263", "6162"),
    ],
)
def test_other_octets_are_no_routed_block(found: str, put: str) -> None:
    assert found in ROUTED
    with pytest.raises(DecodeError):
        decode_routed_block(bytes.fromhex(ROUTED.replace(found, put, 1)))


@given(st.binary(max_size=80))
def test_any_octets_give_a_block_or_a_decode_error(octets: bytes) -> None:
    for start in (b"", b"\xdd\x09", bytes.fromhex(ROUTED)[:30]):
        try:
            routing, block = decode_routed_block(start + octets)
        except DecodeError:
            continue
        assert decode_routed_block(encode_routed_block(routing, block)) == (routing, block)


@given(
    st.builds(
        Block,
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.binary(max_size=300),
        is_last=st.booleans(),
        streaming=st.booleans(),
        window=st.integers(0, 63),
    )
)
def test_every_block_comes_back(block: Block) -> None:
    assert decode_block(encode_block(block)) == block


@pytest.mark.parametrize(
    ("number", "acknowledged", "window"), [(0x10000, 0, 1), (1, -1, 1), (1, 0, 64), (1, 0, -1)]
)
def test_numbers_that_do_not_fit(number: int, acknowledged: int, window: int) -> None:
    block = Block(number, acknowledged, b"x", is_last=True, streaming=False, window=window)
    with pytest.raises(LocalProtocolError):
        encode_block(block)


@needs_reference
def test_every_reference_message_has_a_routing_header() -> None:
    for path in message_files():
        octets = read_octets(path)
        routing = RoutingHeader.of_message(octets)
        grouping = octets.index(b"\xdf\x09")
        assert octets[grouping + 2] == routing.cra_flag
        assert octets[grouping + 12 : grouping + 20] == routing.originator
        assert routing.swapped().swapped() == routing


def test_what_is_no_message_has_no_routing_header() -> None:
    with pytest.raises(DecodeError):
        RoutingHeader.of_message(b"\xdf\x09")


# gurux_dlms 1.0.203: its client follows general block transfer once the meter offers it.


def gurux_client() -> Any:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.PDU)
    client.settings.negotiatedConformance |= Conformance.GENERAL_BLOCK_TRANSFER
    client.settings.gbtWindowSize = 6
    # The published version reads this and nowhere sets it.
    client.settings.blockNumber = 1
    return client


@pytest.mark.peer
def test_gurux_puts_our_blocks_together_and_we_read_its_acknowledgement() -> None:
    client = gurux_client()
    reply = GXReplyData()
    response = bytes.fromhex("C401C1000908") + b"12345678"
    for number in (1, 2, 3):
        octets = encode_block(
            Block(
                number,
                number // 3,
                response[(number - 1) * 5 : number * 5],
                is_last=number == 3,
                streaming=number == 1,
                window=6,
            )
        )
        reply.data.set(octets)
        reply.data.position = len(reply.data) - len(octets) + 1
        GXDLMS.handleGbt(client.settings, reply)
        assert reply.blockNumber == number
        assert reply.streaming == (number == 1)
        if number == 2:
            acknowledgement = decode_block(bytes(client.receiverReady(reply)))
            assert acknowledgement == Block(1, 2, b"", is_last=True, streaming=False, window=6)
    assert bytes(reply.data.array()).endswith(b"12345678")


@pytest.mark.peer
def test_we_read_the_blocks_that_gurux_cuts() -> None:
    client = gurux_client()
    client.settings.maxPduSize = 64
    item = GXDLMSData("0.0.1.0.0.255")
    item.value = bytearray(range(200))
    item.setDataType(2, DataType.OCTET_STRING)
    blocks = [decode_block(bytes(octets)) for octets in client.write(item, 2)]
    assert [block.number for block in blocks] == [1, 2, 3, 4]
    assert [block.is_last for block in blocks] == [False, False, False, True]
    request = b"".join(block.data for block in blocks)
    assert request.startswith(bytes.fromhex("C101C1 0001 0000010000FF 02 00 09 81C8"))
    assert request.endswith(bytes(range(200)))
    assert GXByteBuffer(encode_block(blocks[0])).array()[:2] == b"\xe0\x01"
