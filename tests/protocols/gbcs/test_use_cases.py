from pathlib import Path
from typing import Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.protocol_errors import DecodeError, LocalProtocolError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    TrustAnchorCellIdentifier,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import (
    MACED,
    SIGNED,
    SIGNED_AND_MACED,
    USE_CASES,
    MessageCode,
    Protection,
    command_protection,
    compose,
    decode_payload,
    payload_codec,
    response_protection,
    use_case_name,
)
from vectors.reference import message_files, needs_reference, read_octets

BROKER = EntityIdentifier.parse("90B3D51F30000002")
DEVICE = EntityIdentifier.parse("00DB1234567890A0")
MODES = CredentialsReplacementMode


def header(message_code: int, cra_flag: CRAFlag = CRAFlag.COMMAND) -> Header:
    return Header(cra_flag, 1, BROKER, DEVICE, OtherInformation(message_code))


def provide(role: RemotePartyRole, key_usage: KeyUsage) -> ProvideCredentialsCommand:
    return ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=role, key_usage=key_usage
        ),
        remote_party_roles_credentials_required=(RemotePartyRole.SUPPLIER,),
    )


def update(mode: CredentialsReplacementMode, *, with_cell: bool = True) -> UpdateCredentialsCommand:
    cell = TrustAnchorCellIdentifier(
        role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
    )
    return UpdateCredentialsCommand(
        authorising_remote_party_control=AuthorisingRemotePartyControl(
            credentials_replacement_mode=mode,
            authorising_remote_party_ta_cell_identifier=cell if with_cell else None,
            authorising_remote_party_seq_number=1,
        ),
        replacements=(),
        certification_path_certificates=(),
    )


@pytest.mark.parametrize(
    ("payload", "command", "response"),
    [
        (provide(RemotePartyRole.ACCESS_CONTROL_BROKER, KeyUsage.KEY_AGREEMENT), MACED, MACED),
        (provide(RemotePartyRole.SUPPLIER, KeyUsage.DIGITAL_SIGNATURE), SIGNED, SIGNED),
        (update(MODES.SUPPLIER_BY_SUPPLIER), SIGNED_AND_MACED, SIGNED),
        (update(MODES.ACCESS_CONTROL_BROKER_BY_ACB), SIGNED_AND_MACED, SIGNED),
        (update(MODES.ACCESS_CONTROL_BROKER_BY_ACB, with_cell=False), MACED, SIGNED),
        (update(MODES.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY), SIGNED, SIGNED),
        (update(MODES.ANY_BY_CONTINGENCY), SIGNED, SIGNED),
        (KeyUsageCommand(key_usage=KeyUsage.KEY_AGREEMENT), SIGNED_AND_MACED, SIGNED),
        (b"\x30\x00", SIGNED_AND_MACED, SIGNED),
    ],
)
def test_protection_follows_authorising_cell_and_mode(
    payload: object, command: Protection, response: Protection
) -> None:
    assert command_protection(payload) == command
    assert response_protection(payload) == response


def test_every_mode_but_the_three_named_ones_is_signed_and_maced() -> None:
    odd = {MODES.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY, MODES.ANY_BY_CONTINGENCY}
    for mode in set(MODES) - odd:
        assert command_protection(update(mode)) == SIGNED_AND_MACED


@pytest.mark.parametrize(
    ("message_code", "name"),
    [
        (0x0008, "CS02a Provide Security Credential Details"),
        (0x000A, "CS02c Issue Security Credentials"),
        (0x0102, "CS02b Update Security Credentials (supplierBySupplier)"),
        (0x0109, "CS02b Update Security Credentials (anyByContingency)"),
        (0x00B3, "ECS04b Reset Meter Balance on the ESME"),
        (0xFFFF, "unknown use case"),
    ],
)
def test_use_cases_have_names(message_code: int, name: str) -> None:
    assert use_case_name(message_code) == name


def test_commands_and_responses_have_codecs_and_the_alert_has_one() -> None:
    for code in USE_CASES:
        alert = code == MessageCode.UPDATE_CREDENTIALS_ALERT
        kinds = {flag for flag in CRAFlag if payload_codec(code, flag)}
        assert kinds == ({CRAFlag.ALERT} if alert else {CRAFlag.COMMAND, CRAFlag.RESPONSE})


def test_payload_of_another_use_case_stays_octets_and_is_not_composed() -> None:
    message = compose_pre_command(header(0x00B3), b"\xd9\x20")
    assert decode_payload(message) is None
    with pytest.raises(LocalProtocolError, match="message code 00B3 has no payload"):
        compose(header(0x00B3), None)


def test_error_in_a_payload_has_the_offset_within_the_message() -> None:
    message = compose_pre_command(header(0x000A), bytes.fromhex("300403020781"))
    with pytest.raises(DecodeError) as caught:
        decode_payload(message)
    assert caught.value.offset is not None
    assert message.octets[caught.value.offset :] == bytes.fromhex("0781")
    assert str(caught.value) == (
        "ASN.1: key_usage: a BIT STRING whose trailing zero bits are not removed, "
        "at octet 38 (0781)"
    )


@pytest.mark.parametrize("cra_flag", [CRAFlag.COMMAND, CRAFlag.RESPONSE])
def test_padded_payload_lengths_are_for_responses_alone(cra_flag: CRAFlag) -> None:
    padded = {
        CRAFlag.COMMAND: bytes.fromhex("30810403020780"),
        CRAFlag.RESPONSE: bytes.fromhex("02810101"),
    }[cra_flag]
    message = compose_pre_command(header(0x000A, cra_flag), padded)
    if cra_flag is CRAFlag.COMMAND:
        with pytest.raises(DecodeError, match="a length that is not minimal"):
            decode_payload(message)
    else:
        decoded = decode_payload(message)
        assert decoded is not None
        assert decoded.lengths_not_minimal == (1,)


def test_value_of_another_use_case_is_not_composed() -> None:
    payload: Any = KeyUsageCommand(key_usage=KeyUsage.KEY_AGREEMENT)
    with pytest.raises(LocalProtocolError, match="KeyUsageCommand is no ProvideCredentials"):
        compose(header(0x0008), payload)


@needs_reference
@pytest.mark.parametrize(
    "path",
    [path for path in message_files() if path.stem.endswith("_COMMAND_GBCS")],
    ids=lambda path: path.stem,
)
def test_reference_command_and_response_are_protected_as_the_use_case_says(path: Path) -> None:
    command = Message.parse(read_octets(path))
    decoded = decode_payload(command)
    assert decoded is not None
    assert command_protection(decoded.value) == _protection(command)
    response_path = path.with_name(path.name.replace("_COMMAND_", "_RESPONSE_"))
    response = Message.parse(read_octets(response_path))
    assert response_protection(decoded.value) == _protection(response)
    assert response.header == command.header.reply(date_time=response.header.date_time)


def _protection(message: Message) -> Protection:
    return Protection(signature=bool(message.signature), mac=message.mac is not None)
