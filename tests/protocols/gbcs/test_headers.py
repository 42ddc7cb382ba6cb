from typing import Any

import pytest

from gbcs.errors import DecodeError
from gbcs.headers import GROUPING_HEADER, MAC_HEADER, MACED_TRAILER, SIGNED_TRAILER, Format

GROUPING = "DF 09 01 0000000000000516 08 90B3D51F30000002 08 00DB1234567890A0 00 02 0008 02 0500"
MAC = "A3E451CDC680B824B9DAE4CF"


def refusal(layout: Format, octets: str) -> str:
    with pytest.raises(DecodeError) as caught:
        layout.parse(bytes.fromhex(octets))
    return str(caught.value)


def test_mac_header_is_read_and_written() -> None:
    octets = bytes.fromhex("DD000000000000 03 AABBCC")
    assert MAC_HEADER.parse(octets)["ciphered_service"] == bytes.fromhex("AABBCC")
    assert MAC_HEADER.build({"ciphered_service": bytes.fromhex("AABBCC")}) == octets


@pytest.mark.parametrize(("size", "length"), [(127, "7F"), (128, "8180"), (300, "82012C")])
def test_length_in_the_mac_header_is_written_in_the_fewest_octets(size: int, length: str) -> None:
    built = MAC_HEADER.build({"ciphered_service": bytes(size)})
    assert built.hex().upper().startswith("DD000000000000" + length + "00")
    assert len(built) == 7 + len(length) // 2 + size


def test_grouping_header_is_read_field_by_field() -> None:
    values = GROUPING_HEADER.parse(bytes.fromhex(GROUPING + "00"))
    assert values["cra_flag"] == 1
    assert values["originator_counter"] == 0x516
    assert values["business_originator_id"].hex() == "90b3d51f30000002"
    assert values["business_target_id"].hex() == "00db1234567890a0"
    assert values["date_time"] == b""
    assert values["other_information"] == b"\x00\x08"
    assert values["content"] == b"\x05\x00"
    assert values["trailer"] == b"\x00"


def test_grouping_header_is_written_octet_for_octet() -> None:
    values: dict[str, Any] = {
        "cra_flag": 1,
        "originator_counter": 0x516,
        "business_originator_id": bytes.fromhex("90B3D51F30000002"),
        "business_target_id": bytes.fromhex("00DB1234567890A0"),
        "date_time": b"",
        "other_information": b"\x00\x08",
        "content": b"\x05\x00",
        "trailer": b"",
    }
    assert GROUPING_HEADER.build(values) == bytes.fromhex(GROUPING)


def test_trailers_hold_signature_and_mac() -> None:
    assert MACED_TRAILER.parse(bytes.fromhex("00" + MAC))["mac"] == bytes.fromhex(MAC)
    assert SIGNED_TRAILER.parse(bytes.fromhex("01AA"))["signature"] == b"\xaa"


@pytest.mark.parametrize(
    ("layout", "octets", "message"),
    [
        (MAC_HEADER, "", "MAC Header: general_ciphering: missing or cut short, at octet 0"),
        (
            MAC_HEADER,
            "DD0000010000000100",
            "MAC Header: recipient_system_title: 01 where 00 belongs, at octet 3 (010000000100)",
        ),
        (
            MAC_HEADER,
            "DD00000000000005AABB",
            "MAC Header: ciphered_service: cut short: 2 octets of 5 are there, at octet 7 (05AABB)",
        ),
        (
            MAC_HEADER,
            "DD000000000000",
            "MAC Header: ciphered_service: cut short: 0 octets of 1 are there, at octet 7",
        ),
        (
            MAC_HEADER,
            "DD00000000000080",
            "MAC Header: ciphered_service: a length in 0 octets, at octet 7 (80)",
        ),
        (
            MAC_HEADER,
            "DD00000000000083000001AA",
            "MAC Header: ciphered_service: a length in 3 octets, at octet 7 (83000001AA)",
        ),
        (
            MAC_HEADER,
            "DD00000000000001AABBCC",
            "MAC Header: 2 octets behind the end, at octet 9 (BBCC)",
        ),
        (
            GROUPING_HEADER,
            "DF0A",
            "Grouping Header: transaction_id_length: 0A where 09 belongs, at octet 1 (0A)",
        ),
        (
            GROUPING_HEADER,
            "DF090100",
            "Grouping Header: originator_counter: missing or cut short, at octet 3 (00)",
        ),
        (
            GROUPING_HEADER,
            "DF0901000000000000000108AABB",
            (
                "Grouping Header: business_originator_id: "
                "cut short: 2 octets of 8 are there, at octet 12 (AABB)"
            ),
        ),
        (
            MACED_TRAILER,
            "00AABB",
            "signature and MAC: mac: cut short: 2 octets of 12 are there, at octet 1 (AABB)",
        ),
        (SIGNED_TRAILER, "00AA", "signature: 1 octets behind the end, at octet 1 (AA)"),
    ],
)
def test_error_names_field_and_the_offset_where_it_starts(
    layout: Format, octets: str, message: str
) -> None:
    assert refusal(layout, octets) == message


@pytest.mark.parametrize("layout", [MAC_HEADER, GROUPING_HEADER, MACED_TRAILER, SIGNED_TRAILER])
def test_every_truncation_gives_an_offset_within_the_octets(layout: Format) -> None:
    octets = bytes.fromhex(
        {
            MAC_HEADER: "DD000000000000820003AABBCC",
            GROUPING_HEADER: GROUPING,
            MACED_TRAILER: "00" + MAC,
            SIGNED_TRAILER: "01AA",
        }[layout]
    )
    layout.parse(octets)
    for stop in range(len(octets)):
        with pytest.raises(DecodeError) as caught:
            layout.parse(octets[:stop])
        assert caught.value.offset is not None
        assert caught.value.offset <= stop
        assert caught.value.field
