import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import vectors.independent
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, OtherInformation, compose_pre_command
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    IssueCredentialsResponseCode,
    TimeBasedCPVChecks,
    TrustAnchorCellIdentifier,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import compose
from keyrig.base.errors import SettingsError
from keyrig.cli import run_cli
from keyrig.cli.inspect_command import inspect
from keyrig.session.message_inspection import describe_message, messages_in
from vectors.reference import KEYSTORE, MESSAGES, needs_reference, octets_of

BROKER = EntityIdentifier.parse("90B3D51F30000002")
DEVICE = EntityIdentifier.parse("00DB1234567890A0")
OWN = {
    vector["name"]: bytes.fromhex(vector["octets"])
    for vector in tomllib.loads(
        Path(vectors.independent.__file__).with_name("messages.toml").read_text()
    )["message"]
}
RESPONSE = OWN["CS02c refusal"]


def header(message_code: int, cra_flag: CRAFlag = CRAFlag.COMMAND) -> Header:
    return Header(cra_flag, 7, BROKER, DEVICE, OtherInformation(message_code))


@pytest.mark.parametrize(
    "data",
    [
        RESPONSE,
        RESPONSE.hex().encode(),
        RESPONSE.hex(" ").upper().encode() + b"\r\n",
        b"\n" + RESPONSE.hex(":").encode(),
        f"GBCS:DATA#0:{len(RESPONSE)}:{RESPONSE.hex()}\r\n".encode(),
        "\n".join(RESPONSE.hex()[at : at + 32] for at in range(0, 500, 32)).encode(),
    ],
    ids=["octets", "hex", "pairs", "colons", "GFI", "lines"],
)
def test_one_message_is_found_in_every_form(data: bytes) -> None:
    assert messages_in(data) == [RESPONSE]


def test_several_messages_are_found_line_by_line() -> None:
    text = "\n\n".join(octets.hex() for octets in OWN.values())
    assert messages_in(text.encode()) == list(OWN.values())


def test_damaged_message_among_others_stays_one_of_its_own() -> None:
    lines = [RESPONSE, RESPONSE[:-1], RESPONSE]
    assert messages_in(b"\n".join(line.hex().encode() for line in lines)) == lines


@pytest.mark.parametrize("data", [b"", b" \n", b"DD0", b"message", b"\xff\x00"])
def test_other_input_is_refused(data: bytes) -> None:
    with pytest.raises(SettingsError, match=r"^the input: "):
        messages_in(data)


def test_payload_has_the_names_of_the_asn1() -> None:
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=CredentialsReplacementMode.TRANS_COS_BY_TRANS_COS,
        plaintext_symmetric_key=bytes.fromhex("A1B2C3D4"),
        apply_time_based_cpv_checks=TimeBasedCPVChecks.DISAPPLY,
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.TRANSITIONAL_COS, key_usage=KeyUsage.DIGITAL_SIGNATURE
        ),
        authorising_remote_party_seq_number=0,
    )
    message = compose(
        header(0x0106),
        UpdateCredentialsCommand(
            authorising_remote_party_control=control,
            replacements=(),
            certification_path_certificates=(bytes.fromhex("3000"),),
        ),
    )
    payload = describe_message(message.octets).fields["payload"]
    assert payload["authorisingRemotePartyControl"] == {
        "credentialsReplacementMode": "transCoSByTransCoS(6)",
        "plaintextSymmetricKey": "4 octets, not shown",
        "applyTimeBasedCPVChecks": "disapply(1)",
        "authorisingRemotePartyTACellIdentifier": {
            "role": "transitionalCoS(5)",
            "keyUsage": "digitalSignature",
            "cellUsage": "management(0)",
        },
        "authorisingRemotePartySeqNumber": 0,
    }
    assert payload["certificationPathCertificates"][0]["error"].startswith("X.509: not one DER")
    assert "A1B2C3D4" not in json.dumps(describe_message(message.octets).fields["payload"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CS02a response", "trustAnchorNotFound(25)"),
        ("CS02a response", "prePaymentTopUp(1)"),
        ("CS02a response", "existingSubjectUniqueID"),
        ("CS02b command", "prepaymentTopUp(0)"),
        ("CS02b command", "2030-01-02T00:00:00.000Z"),
        ("CS02b response", "noTrustAnchor(10)"),
        ("CS02b alert", "alertCode"),
        ("CS02d response", "wrongPublicKey(5)"),
        ("CS02e refusal", "noCertificateHeld(2)"),
        ("CS02c response", "certificationRequest"),
        ("CS02e response", "certificate"),
    ],
)
def test_every_use_case_is_shown(name: str, expected: str) -> None:
    description = describe_message(OWN[name])
    assert expected in json.dumps(description.fields["payload"])
    assert description.error == ""


def test_refusal_of_cs02c_is_spelled_as_in_the_asn1() -> None:
    message = compose(
        header(0x000A, CRAFlag.RESPONSE), IssueCredentialsResponseCode.CR_PRODUCTION_FAILED
    )
    payload = describe_message(message.octets + b"\x00").fields["payload"]
    assert payload == "cRProductionFailed(3)"


def test_supplements_of_the_other_information_are_shown() -> None:
    other = OtherInformation(0x0022, BROKER, 5, 6)
    message = compose_pre_command(Header(CRAFlag.COMMAND, 7, BROKER, DEVICE, other), b"\xd9")
    fields = describe_message(message.octets).fields
    assert fields["other_information"] == {
        "messageCode": "0022",
        "supplementaryRemotePartyID": "90-B3-D5-1F-30-00-00-02",
        "supplementaryRemotePartyCounter": 5,
        "supplementaryOriginatorCounter": 6,
    }
    assert fields["payload"] == {"opaque": "D9", "octets": 1}
    assert fields["kind"] == "pre-command"


def test_padded_lengths_are_shown_with_their_offsets() -> None:
    message = compose_pre_command(header(0x000A, CRAFlag.RESPONSE), bytes.fromhex("02810101"))
    octets = message.octets + b"\x00"
    fields = describe_message(octets).fields
    assert fields["lengths_not_minimal"] == {"headers": False, "payload_offsets": [35]}
    assert octets[35] == 0x81
    output = CliRunner().invoke(inspect, [octets.hex()]).stdout
    assert "lengths_not_minimal:\n  payload_offsets:\n    - 35\n" in output


def test_hex_argument_is_printed_for_people() -> None:
    result = CliRunner().invoke(inspect, [RESPONSE.hex()])
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "octets: 102\n"
        "kind: response\n"
        "message_code: 000A\n"
        "use_case: CS02c Issue Security Credentials\n"
        "originator: 02-00-00-00-00-00-00-A0\n"
        "recipient: 02-00-00-00-00-00-00-02\n"
        "originator_counter: 4886718345\n"
        "other_information:\n"
        "  messageCode: 000A\n"
        "signature:\n"
    )
    assert result.stdout.endswith(
        "  state: not checked\nmac:\n  state: absent\npayload: keyPairGenerationFailed(2)\n"
    )


def test_standard_input_and_files_give_json_lines(tmp_path: Path) -> None:
    text = "\n".join(octets.hex() for octets in OWN.values())
    path = tmp_path / "messages.txt"
    path.write_text(text)
    from_file = CliRunner().invoke(inspect, [str(path), "--json"])
    from_stdin = CliRunner().invoke(inspect, ["-", "--json"], input=text)
    assert from_file.exit_code == from_stdin.exit_code == 0
    assert from_file.stdout == from_stdin.stdout
    lines = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert len(lines) == len(OWN)
    assert {(line["schema"], line["type"]) for line in lines} == {(1, "message")}


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("DD00", "keyrig: MAC Header: originator_system_title: missing or cut short, at octet 2\n"),
        (RESPONSE[:-1].hex(), "cut short: 63 octets of 64 are there, at octet 37 "),
        (
            RESPONSE.hex().replace("02010240", "02010940"),
            "keyrig: ASN.1: 9 is no IssueCredentialsResponseCode, at octet 36 (09)\n",
        ),
        ("DD0", "keyrig: the input: neither a GBCS message's octets nor hexadecimal digits; "),
        ("no such file", "neither a file nor hexadecimal digits"),
    ],
)
def test_unreadable_input_is_one_line_and_exit_2(
    argument: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["inspect", argument]) == 2
    assert line in capsys.readouterr().err


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(b"\xdd\x1b[31m")
    result = CliRunner().invoke(inspect, [str(path)])
    assert result.exit_code == 2
    assert "\x1b" not in result.output


@needs_reference
def test_reference_message_is_verified_with_a_key_store() -> None:
    path = str(MESSAGES / "CS02c_6.17_SUCCESS_COMMAND_GBCS.HEX")
    result = CliRunner().invoke(inspect, [path, "--keystore", str(KEYSTORE), "--json"])
    fields = json.loads(result.stdout)
    assert result.exit_code == 0
    assert fields["signature"]["state"] == fields["mac"]["state"] == "valid"


@needs_reference
def test_forged_reference_message_ends_with_3() -> None:
    octets = bytearray(octets_of("CS02c_6.17_SUCCESS_COMMAND"))
    octets[-1] ^= 1
    arguments = [octets.hex(), "--keystore", str(KEYSTORE)]
    result = CliRunner().invoke(inspect, arguments)
    assert result.exit_code == 3
    assert "  state: invalid\n" in result.stdout
    assert "does not verify" in result.stdout


@needs_reference
def test_every_reference_message_is_described() -> None:
    for path in MESSAGES.glob("*.HEX"):
        (octets,) = messages_in(path.read_bytes())
        description = describe_message(octets)
        assert description.error == ""
        assert '"error"' not in json.dumps(description.fields)
