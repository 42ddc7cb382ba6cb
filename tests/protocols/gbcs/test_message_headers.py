from __future__ import annotations

from typing import TYPE_CHECKING

import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import (
    CRAFlag,
    Header,
    OtherInformation,
    compose_pre_command,
    read_grouping_header,
)
from gbcs.message_headers import (
    SECURITY_HEADER,
    read_mac_header,
    read_trailer,
    write_mac_header,
)
from gbcs.octet_cursor import OctetCursor
from gbcs.protocol_errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPING = "DF 09 01 0000000000000516 08 90B3D51F30000002 08 00DB1234567890A0 00 02 0008 02 0500"
MAC = "A3E451CDC680B824B9DAE4CF"
HEADER = Header(
    CRAFlag.COMMAND,
    0x516,
    EntityIdentifier.parse("90B3D51F30000002"),
    EntityIdentifier.parse("00DB1234567890A0"),
    OtherInformation(8),
)


def maced_trailer(cursor: OctetCursor) -> tuple[bytes, bytes | None]:
    return read_trailer(cursor, has_mac=True)


def signed_trailer(cursor: OctetCursor) -> tuple[bytes, bytes | None]:
    return read_trailer(cursor, has_mac=False)


def refusal(read: Callable[[OctetCursor], object], octets: str) -> str:
    with pytest.raises(DecodeError) as caught:
        read(OctetCursor(bytes.fromhex(octets), ""))
    return str(caught.value)


def test_mac_header_is_read_and_written() -> None:
    octets = bytes.fromhex("DD000000000000 08 1100000000 AABBCC")
    cursor = OctetCursor(octets, "")
    read_mac_header(cursor)
    assert cursor.rest() == bytes.fromhex("AABBCC")
    assert write_mac_header(bytes.fromhex("AABBCC")) == octets


@pytest.mark.parametrize(("size", "length"), [(127, "7F"), (128, "8180"), (300, "82012C")])
def test_length_in_the_mac_header_is_written_in_the_fewest_octets(size: int, length: str) -> None:
    built = write_mac_header(bytes(size - len(SECURITY_HEADER)))
    assert built.hex().upper().startswith("DD000000000000" + length + "1100000000" + "00")
    assert len(built) == 7 + len(length) // 2 + size


def test_grouping_header_is_read_field_by_field() -> None:
    cursor = OctetCursor(bytes.fromhex(GROUPING + "00"), "")
    header, content = read_grouping_header(cursor)
    assert header.cra_flag == 1
    assert header.originator_counter == 0x516
    assert header.originator.hex() == "90b3d51f30000002"
    assert header.recipient.hex() == "00db1234567890a0"
    assert header.date_time == b""
    assert header.other_information.encode() == b"\x00\x08"
    assert content == b"\x05\x00"
    assert cursor.rest() == b"\x00"


def test_grouping_header_is_written_octet_for_octet() -> None:
    assert compose_pre_command(HEADER, b"\x05\x00").octets == bytes.fromhex(GROUPING)


def test_trailers_hold_signature_and_mac() -> None:
    cursor = OctetCursor(bytes.fromhex("00" + MAC), "")
    assert maced_trailer(cursor) == (b"", bytes.fromhex(MAC))
    assert signed_trailer(OctetCursor(b"\x40" + bytes(64), "")) == (bytes(64), None)


@pytest.mark.parametrize(
    ("read", "octets", "message"),
    [
        (read_mac_header, "", "MAC Header: general_ciphering: missing or cut short, at octet 0"),
        (
            read_mac_header,
            "DD0000010000000100",
            "MAC Header: recipient_system_title: 01 where 00 belongs, at octet 3 (010000000100)",
        ),
        (
            read_mac_header,
            "DD00000000000005AABB",
            "MAC Header: ciphered_service: cut short: 2 octets of 5 are there, at octet 7 (05AABB)",
        ),
        (
            read_mac_header,
            "DD000000000000",
            "MAC Header: ciphered_service: cut short: 0 octets of 1 are there, at octet 7",
        ),
        (
            read_mac_header,
            "DD00000000000080",
            "MAC Header: ciphered_service: a length in 0 octets, at octet 7 (80)",
        ),
        (
            read_mac_header,
            "DD00000000000083000001AA",
            "MAC Header: ciphered_service: a length in 3 octets, at octet 7 (83000001AA)",
        ),
        (
            read_mac_header,
            "DD00000000000001AABBCC",
            "MAC Header: 2 octets behind the end, at octet 9 (BBCC)",
        ),
        (
            read_grouping_header,
            "DF0A",
            "Grouping Header: transaction_id_length: 0A where 09 belongs, at octet 1 (0A)",
        ),
        (
            read_grouping_header,
            "DF090100",
            (
                "Grouping Header: originator_counter: cut short: 1 octets of 8 are there, "
                "at octet 3 (00)"
            ),
        ),
        (
            read_grouping_header,
            "DF0901000000000000000108AABB",
            (
                "Grouping Header: business_originator_id: "
                "cut short: 2 octets of 8 are there, at octet 12 (AABB)"
            ),
        ),
        (
            maced_trailer,
            "00AABB",
            "signature and MAC: mac: cut short: 2 octets of 12 are there, at octet 1 (AABB)",
        ),
        (signed_trailer, "00AA", "signature: 1 octets behind the end, at octet 1 (AA)"),
    ],
)
def test_error_names_field_and_the_offset_where_it_starts(
    read: Callable[[OctetCursor], object], octets: str, message: str
) -> None:
    assert refusal(read, octets) == message


@pytest.mark.parametrize(
    ("read", "octets"),
    [
        (read_mac_header, "DD00000000000082000A 1100000000 AABBCCDDEE"),
        (read_grouping_header, GROUPING),
        (maced_trailer, "00" + MAC),
        (signed_trailer, "40" + "AA" * 64),
    ],
)
def test_every_truncation_gives_an_offset_within_the_octets(
    read: Callable[[OctetCursor], object], octets: str
) -> None:
    whole = bytes.fromhex(octets)
    read(OctetCursor(whole, ""))
    for stop in range(len(whole)):
        with pytest.raises(DecodeError) as caught:
            read(OctetCursor(whole[:stop], ""))
        assert caught.value.offset is not None
        assert caught.value.offset <= stop
        assert caught.value.field


# construct as the outside peer: the same layouts in its own words. Lengths here are below 128.

COUNTED = construct.Prefixed(construct.Byte, construct.GreedyBytes)
THEIR_MAC_HEADER = construct.Struct(
    "tag" / construct.Const(b"\xdd"),
    "empty" / construct.Const(bytes(6)),
    "service"
    / construct.Prefixed(
        construct.Byte,
        construct.Struct(
            "security_header" / construct.Const(bytes.fromhex("1100000000")),
            "protected" / construct.GreedyBytes,
        ),
    ),
    construct.Terminated,
)
THEIR_GROUPING_HEADER = construct.Struct(
    "tag" / construct.Const(b"\xdf"),
    "transaction_id"
    / construct.Prefixed(
        construct.Byte,
        construct.Struct("cra_flag" / construct.Byte, "counter" / construct.Int64ub),
    ),
    "originator" / COUNTED,
    "recipient" / COUNTED,
    "date_time" / COUNTED,
    "other_information" / COUNTED,
    "content" / COUNTED,
)


@given(st.binary(max_size=120))
def test_construct_reads_the_mac_header_that_we_write(protected: bytes) -> None:
    assert THEIR_MAC_HEADER.parse(write_mac_header(protected)).service.protected == protected


@given(
    st.sampled_from(CRAFlag),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 0xFFFF),
    st.sampled_from([b"", bytes.fromhex("07DF0101FF000000008000FF")]),
    st.binary(max_size=127),
)
def test_construct_writes_and_reads_the_same_grouping_header(
    cra_flag: CRAFlag,
    counter: int,
    originator: bytes,
    recipient: bytes,
    message_code: int,
    date_time: bytes,
    content: bytes,
) -> None:
    header = Header(
        cra_flag,
        counter,
        EntityIdentifier(originator),
        EntityIdentifier(recipient),
        OtherInformation(message_code),
        date_time,
    )
    theirs = THEIR_GROUPING_HEADER.build(
        {
            "transaction_id": {"cra_flag": int(cra_flag), "counter": counter},
            "originator": originator,
            "recipient": recipient,
            "date_time": date_time,
            "other_information": message_code.to_bytes(2),
            "content": content,
        }
    )
    assert compose_pre_command(header, content).octets == theirs
    assert read_grouping_header(OctetCursor(theirs, "")) == (header, content)
    assert THEIR_GROUPING_HEADER.parse(theirs).content == content
