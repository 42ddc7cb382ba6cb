from pathlib import Path

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import (
    PRE_COMMAND_MAXIMUM_OCTETS,
    CRAFlag,
    Header,
    Message,
    OtherInformation,
    compose_pre_command,
    compose_protected,
)
from gbcs.message_headers import MESSAGE_MAXIMUM_OCTETS
from gbcs.protection import add_mac
from gbcs.protocol_errors import DecodeError, LocalProtocolError
from gbcs.use_cases import decode_payload, use_case_name
from vectors.reference import message_files, needs_reference, read_octets

BROKER = EntityIdentifier.parse("90B3D51F30000002")
DEVICE = EntityIdentifier.parse("00DB1234567890A0")
CONTENT = bytes.fromhex("0500")
MAC = bytes.fromhex("A1A2A3A4A5A6A7A8A9AAABAC")
SIGNATURE = bytes(range(64))
DATE_TIME = bytes.fromhex("07DF0101FF000000008000FF")
CERTIFICATE = bytes.fromhex("3082019400") + bytes(403)
GROUPING = "DF0901 0000000000000516 0890B3D51F30000002 0800DB1234567890A0 00 020008 020500"
MACED = "DD000000000000 36 1100000000" + GROUPING + "00" + MAC.hex()
RESPONSE = "DF0902 0000000000000516 0800DB1234567890A0 0890B3D51F30000002 00 020008 020500"


def header(
    cra_flag: CRAFlag = CRAFlag.COMMAND,
    other_information: OtherInformation | None = None,
    date_time: bytes = b"",
) -> Header:
    return Header(
        cra_flag=cra_flag,
        originator_counter=0x516,
        originator=BROKER,
        recipient=DEVICE,
        other_information=other_information or OtherInformation(8),
        date_time=date_time,
    )


def refusal(octets: str) -> str:
    with pytest.raises(DecodeError) as caught:
        Message.parse(bytes.fromhex(octets))
    return str(caught.value)


def test_maced_command_has_fixed_octets() -> None:
    pre_command = compose_pre_command(header(), CONTENT)
    message = compose_protected(pre_command, signature=b"", mac=MAC)
    assert pre_command.octets == bytes.fromhex(GROUPING)
    assert message.octets == bytes.fromhex(MACED)
    assert Message.parse(message.octets) == message


def test_signed_response_has_fixed_octets() -> None:
    unprotected = compose_pre_command(header().reply(), CONTENT)
    message = compose_protected(unprotected, signature=SIGNATURE, mac=None)
    assert message.octets == bytes.fromhex(RESPONSE + "40") + SIGNATURE
    assert Message.parse(message.octets) == message


def test_signed_and_maced_command_says_what_each_protection_covers() -> None:
    pre_command = compose_pre_command(header(date_time=DATE_TIME), CONTENT)
    message = Message.parse(compose_protected(pre_command, signature=SIGNATURE, mac=MAC).octets)
    assert message.header.date_time == DATE_TIME
    assert message.signature == SIGNATURE
    assert message.mac == MAC
    assert message.grouping == pre_command.octets
    assert message.signed_octets == pre_command.octets[1:]
    assert message.authenticated_octets == pre_command.octets + b"\x40" + SIGNATURE
    assert not message.is_pre_command


def test_pre_command_has_neither_signature_length_nor_mac() -> None:
    message = Message.parse(bytes.fromhex(GROUPING))
    assert message.is_pre_command
    assert message.signature is None
    assert message.mac is None
    assert message.authenticated_octets == message.octets


def test_signature_length_of_zero_is_no_pre_command() -> None:
    message = Message.parse(bytes.fromhex(GROUPING + "00"))
    assert not message.is_pre_command
    assert message.signature == b""


def test_reply_swaps_the_parties_and_keeps_counter_and_use_case() -> None:
    reply = header().reply(date_time=DATE_TIME)
    assert reply == Header(
        cra_flag=CRAFlag.RESPONSE,
        originator_counter=0x516,
        originator=DEVICE,
        recipient=BROKER,
        other_information=OtherInformation(8),
        date_time=DATE_TIME,
    )


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (OtherInformation(0x000A), "000A"),
        (OtherInformation(0x0123, BROKER), "012390B3D51F30000002"),
        (OtherInformation(0x0001, BROKER, 5), "000190B3D51F300000020000000000000005"),
        (
            OtherInformation(0x0022, BROKER, 5, 6),
            "002290B3D51F3000000200000000000000050000000000000006",
        ),
        (
            OtherInformation(0x0022, BROKER, 5, key_agreement_certificate=CERTIFICATE),
            "002290B3D51F300000020000000000000005" + CERTIFICATE.hex().upper(),
        ),
    ],
    ids=["2", "10", "18", "26", "over 26"],
)
def test_each_form_of_other_information_is_carried(value: OtherInformation, octets: str) -> None:
    assert value.encode().hex().upper() == octets
    message = compose_pre_command(header(other_information=value), CONTENT)
    parsed = Message.parse(message.octets)
    assert parsed == message
    assert parsed.header.other_information == value
    assert parsed.content == CONTENT


@pytest.mark.parametrize("length", [0, 1, 3, 9, 11, 17, 19, 25])
def test_other_information_of_another_length_is_refused(length: int) -> None:
    octets = GROUPING.replace("020008", f"{length:02X}" + "00" * length)
    assert refusal(octets).startswith(
        f"Grouping Header: other_information: {length} octets, "
        "where the forms have 2, 10, 18, 26 or more, at octet 31"
    )


def test_other_information_with_something_else_than_a_certificate_is_refused() -> None:
    octets = GROUPING.replace("020008", "1B" + "0022" + "00" * 16 + "04" * 9)
    assert refusal(octets) == (
        "Grouping Header: other_information: what follows the supplementary counter is no "
        "certificate, at octet 49 (040404040404040404)"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"supplementary_remote_party_counter": 1},
        {"supplementary_originator_counter": 1},
        {"key_agreement_certificate": CERTIFICATE},
        {"supplementary_remote_party_id": BROKER, "supplementary_originator_counter": 1},
    ],
)
def test_combination_that_no_form_has_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError, match="in a form that GBCS has not"):
        OtherInformation(8, **arguments)  # type: ignore[arg-type]  # what is refused here


@pytest.mark.parametrize("counter", [-1, 2**64])
def test_counters_beyond_64_bits_are_refused(counter: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"counter {counter} is no 64-bit value"):
        Header(CRAFlag.COMMAND, counter, BROKER, DEVICE, OtherInformation(8))
    with pytest.raises(LocalProtocolError, match=f"counter {counter} is no 64-bit value"):
        OtherInformation(8, BROKER, counter)
    with pytest.raises(LocalProtocolError, match=f"counter {counter} is no 64-bit value"):
        OtherInformation(8, BROKER, 1, counter)


def test_values_without_a_place_on_the_wire_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="message code 0x10000 is no 16-bit value"):
        OtherInformation(0x10000)
    with pytest.raises(LocalProtocolError, match="a date-time of 11 octets"):
        header(date_time=bytes(11))
    pre_command = compose_pre_command(header(), CONTENT)
    with pytest.raises(LocalProtocolError, match="a signature of 63 octets"):
        compose_protected(pre_command, signature=bytes(63), mac=None)
    with pytest.raises(LocalProtocolError, match="a MAC of 16 octets"):
        compose_protected(pre_command, signature=b"", mac=bytes(16))


def test_longest_message_is_read_and_a_longer_one_not_composed() -> None:
    overhead = len(compose_pre_command(header(), bytes(60_000)).octets) - 60_000
    content = bytes(PRE_COMMAND_MAXIMUM_OCTETS - overhead)
    message = compose_protected(
        compose_pre_command(header(), content), signature=SIGNATURE, mac=MAC
    )
    assert len(message.octets) == MESSAGE_MAXIMUM_OCTETS
    assert Message.parse(message.octets) == message
    with pytest.raises(LocalProtocolError, match="a message of 65444 octets before protection"):
        compose_pre_command(header(), content + b"\x00")
    with pytest.raises(DecodeError, match="65536 octets, more than the 65535 that are read"):
        Message.parse(message.octets + b"\x00")


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("", "GBCS message: no octets at all, at octet 0"),
        ("AA55", "GBCS message: starts with AA, where DD or DF belongs, at octet 0 (AA55)"),
        (
            "DD0901000000000000000108",
            (
                "GBCS message: one block of a general block transfer, not a whole message, "
                "at octet 1 [GBCS 7.2.11]"
            ),
        ),
        (
            MACED.replace("1100000000", "3100000000"),
            (
                "MAC Header: security_header: the security header is not 11 00 00 00 00, "
                "at octet 8 (3100000000)"
            ),
        ),
        (
            MACED.replace("DF0901", "DF0904"),
            (
                "Grouping Header: cra_flag: CRA flag 04 is neither command, response nor alert, "
                "at octet 15"
            ),
        ),
        (
            GROUPING.replace("00 020008", "03 AABBCC 020008"),
            "Grouping Header: date_time: 3 octets, where 0 or 12 belong, at octet 29",
        ),
        (RESPONSE, "signature: the signature's length octet is missing, at octet 36"),
        (
            GROUPING + "3F" + "00" * 63,
            "signature: a signature of 63 octets, where 0 or 64 belong, at octet 36",
        ),
        (
            GROUPING + "40" + "00" * 63,
            "signature: signature: cut short: 63 octets of 64 are there, at octet 36 "
            "(40" + "00" * 31 + ")",
        ),
        (
            MACED.replace("36 11", "29 11")[: -2 * 13],
            "signature and MAC: signature: cut short: 0 octets of 1 are there, at octet 49",
        ),
        (
            GROUPING.replace("020500", "7F0500"),
            "Grouping Header: content: cut short: 2 octets of 127 are there, at octet 33 (7F0500)",
        ),
    ],
)
def test_error_names_layer_field_and_offset(octets: str, message: str) -> None:
    assert refusal(octets) == message


PADDED = {
    "MAC Header: ciphered_service: a length that is not minimal, at octet 7": (
        MACED.replace("36 11", "8136 11")
    ),
    "Grouping Header: date_time: a length that is not minimal, at octet 42": MACED.replace(
        "36 11", "37 11"
    ).replace("00 020008", "8100 020008"),
    "Grouping Header: other_information: a length that is not minimal, at octet 30": (
        GROUPING.replace("020008", "81020008") + "00"
    ),
    "Grouping Header: content: a length that is not minimal, at octet 33": (
        GROUPING.replace("020500", "8200020500") + "00"
    ),
    "signature: signature: a length that is not minimal, at octet 36": (
        GROUPING + "8140" + SIGNATURE.hex()
    ),
}


@pytest.mark.parametrize(("message", "octets"), PADDED.items())
def test_padded_header_length_is_refused_in_a_command(message: str, octets: str) -> None:
    assert refusal(octets) == message
    tolerated = Message.parse(bytes.fromhex(octets), lenient_lengths=True)
    assert tolerated.lengths_not_minimal


@pytest.mark.parametrize("octets", PADDED.values())
def test_padded_header_length_is_noted_in_a_response(octets: str) -> None:
    response = Message.parse(bytes.fromhex(octets.replace("DF0901", "DF0902")))
    assert response.lengths_not_minimal
    assert response.content == CONTENT
    with pytest.raises(DecodeError, match="a length that is not minimal"):
        Message.parse(response.octets, lenient_lengths=False)


def test_unknown_use_case_parses_and_keeps_its_payload() -> None:
    message = compose_pre_command(header(other_information=OtherInformation(0xBEEF)), CONTENT)
    parsed = Message.parse(message.octets + b"\x00")
    assert parsed.header.message_code == 0xBEEF
    assert parsed.content == CONTENT
    assert decode_payload(parsed) is None
    assert use_case_name(0xBEEF) == "unknown use case"


def test_reordered_parts_are_refused() -> None:
    originator, recipient = "0890B3D51F30000002", "0800DB1234567890A0"
    swapped = GROUPING.replace(f"{originator} {recipient} 00", f"00 {originator} {recipient}")
    assert "originator_length" in refusal(swapped + "00")
    assert "starts with 01" in refusal(GROUPING.replace("DF0901", "01DF09"))


@needs_reference
@pytest.mark.parametrize("path", message_files(), ids=lambda path: path.stem)
def test_reference_message_is_composed_again_octet_for_octet(path: Path) -> None:
    octets = read_octets(path)
    message = Message.parse(octets)
    assert not message.lengths_not_minimal
    again = compose_pre_command(message.header, message.content)
    if not message.is_pre_command:
        assert message.signature is not None
        again = compose_protected(again, signature=message.signature, mac=message.mac)
    assert again == message
    assert again.octets == octets


def test_mac_is_over_what_was_sent_where_lengths_are_padded() -> None:
    octets = bytes.fromhex(GROUPING.replace("DF0901", "DF0902") + "8140") + SIGNATURE
    message = Message.parse(octets)
    assert message.authenticated_octets == octets
    assert add_mac(message, signature=SIGNATURE, shared_secret=None).octets != octets
