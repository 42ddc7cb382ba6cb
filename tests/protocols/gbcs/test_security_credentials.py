from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gbcs.der import decode, with_minimal_lengths
from gbcs.message import Message
from gbcs.protocol_errors import DecodeError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    PROVIDE_CREDENTIALS_COMMAND,
    PROVIDE_CREDENTIALS_RESPONSE,
    UPDATE_CREDENTIALS_COMMAND,
    UPDATE_CREDENTIALS_RESPONSE,
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    ProvideCredentialsCommand,
    StatusCode,
    TrustAnchorCellIdentifier,
)
from gbcs.use_cases import decode_payload, payload_codec
from vectors import asn1
from vectors.payload_strategies import PAYLOADS
from vectors.reference import message_files, needs_reference, read_octets

SUPPLIER_DS = TrustAnchorCellIdentifier(
    role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
)
PAYLOADS_WITH_PADDED_LENGTHS = 8


@pytest.mark.parametrize("name", PAYLOADS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_codec_and_asn1tools_agree_in_both_directions(name: str, data: st.DataObject) -> None:
    codec, values = PAYLOADS[name]
    value = data.draw(values)
    octets = codec.encode(value)
    assert octets == asn1.encode(name, value)
    assert asn1.decode(name, octets) == asn1.as_asn1tools(name, value)
    decoded = decode(codec, octets)
    assert decoded.value == value
    assert decoded.lengths_not_minimal == ()


@needs_reference
@pytest.mark.parametrize("path", message_files(), ids=lambda path: path.stem)
def test_reference_payload_is_what_asn1tools_reads_and_writes(path: Path) -> None:
    message = Message.parse(read_octets(path))
    header = message.header
    name = asn1.type_name(header.message_code, header.cra_flag)
    codec = payload_codec(header.message_code, header.cra_flag)
    decoded = decode_payload(message)
    assert codec is not None
    assert decoded is not None
    minimal = with_minimal_lengths(message.content)
    assert asn1.decode(name, message.content) == asn1.as_asn1tools(name, decoded.value)
    assert codec.encode(decoded.value) == minimal
    assert asn1.encode(name, decoded.value) == minimal
    assert (minimal != message.content) == bool(decoded.lengths_not_minimal)


@needs_reference
def test_eight_reference_payloads_have_lengths_that_are_not_minimal() -> None:
    padded = []
    for path in message_files():
        decoded = decode_payload(Message.parse(read_octets(path)))
        assert decoded is not None
        if decoded.lengths_not_minimal:
            padded.append(path.stem)
    assert len(padded) == PAYLOADS_WITH_PADDED_LENGTHS
    assert all("RESPONSE" in stem or "ALERT" in stem for stem in padded)


def test_cs02a_command_has_the_octets_of_the_worked_example() -> None:
    value = ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
        ),
        remote_party_roles_credentials_required=(
            RemotePartyRole.SUPPLIER,
            RemotePartyRole.NETWORK_OPERATOR,
        ),
    )
    octets = bytes.fromhex("30113007020104030203083006020102020103")
    assert PROVIDE_CREDENTIALS_COMMAND.encode(value) == octets
    assert decode(PROVIDE_CREDENTIALS_COMMAND, octets).value == value


def test_details_without_success_have_neither_counter_nor_cells() -> None:
    (details,) = decode(PROVIDE_CREDENTIALS_RESPONSE, bytes.fromhex("30083006 020103 0A0119")).value
    assert details.status_code is StatusCode.TRUST_ANCHOR_NOT_FOUND
    assert details.current_seq_number is None
    assert details.trust_anchor_cell_details is None


def test_response_to_a_future_dated_command_has_no_outcome() -> None:
    response = decode(UPDATE_CREDENTIALS_RESPONSE, bytes.fromhex("30020500")).value
    assert response.execution_outcome is None
    assert UPDATE_CREDENTIALS_RESPONSE.encode(response) == bytes.fromhex("30020500")


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (
            "3011 3007020109 03020308 3006020102020103",
            (
                "ASN.1: authorising_remote_party_ta_cell_identifier.role: "
                "9 is no RemotePartyRole, at octet 6 (0903020308300602)"
            ),
        ),
        (
            "3011 3007020104 03020308 3006020102020163",
            (
                "ASN.1: remote_party_roles_credentials_required[1]: "
                "99 is no RemotePartyRole, at octet 18 (63)"
            ),
        ),
        (
            "3014 300A02010403020308020100 3006020102020103",
            (
                "ASN.1: authorising_remote_party_ta_cell_identifier.cell_usage: "
                "a DEFAULT that is written out, at octet 11 (0201003006020102)"
            ),
        ),
        (
            "3011 3007020104 03020708 3006020102020103",
            (
                "ASN.1: authorising_remote_party_ta_cell_identifier.key_usage: "
                "a BIT STRING whose trailing zero bits are not removed, "
                "at octet 9 (0708300602010202)"
            ),
        ),
        (
            "3012 3008020104 0303060040 3006020102020103",
            (
                "ASN.1: authorising_remote_party_ta_cell_identifier.key_usage: "
                "a bit that KeyUsage has not, at octet 9 (0600403006020102)"
            ),
        ),
        (
            "3009 3007020104 03020308",
            (
                "ASN.1: remote_party_roles_credentials_required: "
                "the element with tag 30 is missing or cut short, at octet 11"
            ),
        ),
    ],
)
def test_error_names_path_and_offset(octets: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(PROVIDE_CREDENTIALS_COMMAND, bytes.fromhex(octets))
    assert str(caught.value) == message


def test_unknown_element_in_control_is_refused_with_its_path() -> None:
    octets = bytes.fromhex("300F 3009 020102 830103 8F0100 3000 3000")
    with pytest.raises(DecodeError) as caught:
        decode(UPDATE_CREDENTIALS_COMMAND, octets)
    assert str(caught.value) == (
        "ASN.1: authorising_remote_party_control: 3 octets behind the last element, "
        "at octet 10 (8F010030003000)"
    )


def test_plaintext_symmetric_key_is_not_in_the_repr() -> None:
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=CredentialsReplacementMode.ANY_BY_CONTINGENCY,
        plaintext_symmetric_key=bytes.fromhex("A1B2C3D4"),
        authorising_remote_party_seq_number=1,
    )
    shown = repr(control) + str(control)
    assert "ANY_BY_CONTINGENCY" in shown
    assert repr(b"\xa1\xb2\xc3\xd4") not in shown


def test_message_code_of_a_mode_is_0100_more() -> None:
    assert [mode.message_code for mode in CredentialsReplacementMode] == list(range(0x0100, 0x010A))


def test_cell_is_shown_by_its_asn1_names() -> None:
    assert str(SUPPLIER_DS) == "{supplier, digitalSignature}"
