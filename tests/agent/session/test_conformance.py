import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from authorities import Authorities
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.protection import protect
from gbcs.protocol_errors import MACMismatch, ProtectionMissing, SignatureMismatch
from gbcs.roles import KeyUsage, RemotePartyRole, XMLSigningRole
from keyrig.base.errors import KeyLocked, KeyMissing
from keyrig.cli.conformance_command import conformance
from keyrig.delivery.public_certificates import PublicCertificates
from keyrig.evidence.evidence_signers import signers_of
from keyrig.keys.store_opening import open_keystore
from keyrig.session.conformance import (
    ACCESS_CONTROL_BROKER,
    FILE_MAXIMUM_OCTETS,
    PayloadState,
    ProtectionState,
    Verifier,
    check_file,
    check_message,
)
from vectors.keys import HeldKey
from vectors.reference import KEYSTORE, MESSAGES, needs_reference, octets_of

BROKER = ACCESS_CONTROL_BROKER
SUPPLIER = EntityIdentifier.parse("90B3D51F30010000")
METER = EntityIdentifier.parse("00DB1234567890A1")
DISPLAY = EntityIdentifier.parse("00DB1234567890A4")
STRANGER = EntityIdentifier.parse("70B3D51F300017FF")
DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
KEY_USAGE_PAYLOAD = bytes.fromhex("300403020780")
COUNTS = [
    "messages",
    "signatures_valid",
    "signatures_invalid",
    "macs_valid",
    "macs_invalid",
    "not_checkable",
    "payloads_reencoded",
    "lengths_not_minimal",
    "payloads_opaque",
    "unreadable",
]


@dataclass
class Bench:
    """A key store in a folder, and the keys behind it."""

    folder: Path
    authorities: Authorities = field(default_factory=Authorities)

    def add(
        self,
        entity: EntityIdentifier,
        usage: KeyUsage,
        *,
        label: str = "",
        private: bool = True,
        encryption: KeySerializationEncryption | None = None,
    ) -> HeldKey:
        key = HeldKey()
        arguments: dict[str, Any] = {
            "entity_id": entity,
            "key_usage": usage,
            "public_key": key.public_key,
        }
        if entity in {METER, DISPLAY}:
            certificate = self.authorities.device(**arguments)
        else:
            role = (
                RemotePartyRole.ACCESS_CONTROL_BROKER
                if entity == BROKER
                else RemotePartyRole.SUPPLIER
            )
            certificate = self.authorities.organisation(role=role, **arguments)
        stem = f"{entity.stem}-{'ds' if usage is DS else 'ka'}{label}"
        pem = certificate.decoded.public_bytes(Encoding.PEM)
        (self.folder / f"{stem}.pem").write_bytes(pem)
        if private:
            octets = key.private.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
            )
            (self.folder / f"{stem}.key").write_bytes(octets)
            (self.folder / f"{stem}.key").chmod(0o600)
        return key

    def verifier(self) -> Verifier:
        return Verifier(open_keystore(self.folder))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "keys"
    folder.mkdir()
    return Bench(folder)


def unprotected(
    originator: EntityIdentifier,
    recipient: EntityIdentifier,
    *,
    cra_flag: CRAFlag = CRAFlag.COMMAND,
    message_code: int = 0x000A,
    content: bytes = KEY_USAGE_PAYLOAD,
) -> Message:
    header = Header(cra_flag, 5, originator, recipient, OtherInformation(message_code))
    return compose_pre_command(header, content)


def maced(message: Message, one: HeldKey, other: HeldKey) -> Message:
    return protect(message, shared_secret=one.agree(other.public_key))


def test_command_is_maced_by_the_broker_and_signed_by_its_originator(bench: Bench) -> None:
    signer = bench.add(SUPPLIER, DS, private=False)
    broker, meter = bench.add(BROKER, KA), bench.add(METER, KA, private=False)
    bench.add(SUPPLIER, KA)
    message = protect(
        unprotected(SUPPLIER, METER), signer=signer, shared_secret=broker.agree(meter.public_key)
    )
    result = check_message(message, bench.verifier())
    assert result.signature is result.mac is ProtectionState.VALID
    assert result.payload is PayloadState.REENCODED
    assert not result.is_wrong
    assert result.reasons == ()


def test_no_message_verifies_under_a_certificate_that_signs_xml(bench: Bench) -> None:
    key = HeldKey()
    certificate = bench.authorities.organisation(
        entity_id=SUPPLIER, role=XMLSigningRole.XML_SIGN, public_key=key.public_key
    )
    pem = certificate.decoded.public_bytes(Encoding.PEM)
    (bench.folder / f"{SUPPLIER.stem}-xml.pem").write_bytes(pem)
    message = protect(unprotected(SUPPLIER, METER), signer=key)
    assert check_message(message, bench.verifier()).signature is ProtectionState.NOT_CHECKABLE
    bench.add(SUPPLIER, DS)
    assert check_message(message, bench.verifier()).signature is ProtectionState.INVALID
    assert PublicCertificates([certificate]).signing(SUPPLIER) == ()
    assert PublicCertificates([certificate]).all_signing() == (certificate,)
    with pytest.raises(SignatureMismatch):
        signers_of(message, [certificate])


@pytest.mark.parametrize("cra_flag", [CRAFlag.RESPONSE, CRAFlag.ALERT])
@pytest.mark.parametrize("private_key_of_device", [True, False])
def test_response_and_alert_are_maced_between_device_and_recipient(
    bench: Bench,
    cra_flag: CRAFlag,
    private_key_of_device: bool,  # noqa: FBT001 - parametrised
) -> None:
    bench.add(BROKER, KA)
    meter = bench.add(METER, KA, private=private_key_of_device)
    supplier = bench.add(SUPPLIER, KA, private=not private_key_of_device)
    message = maced(
        unprotected(METER, SUPPLIER, cra_flag=cra_flag, message_code=0x1001), meter, supplier
    )
    bench.verifier().verify_mac(message)


def test_command_between_devices_is_maced_between_them(bench: Bench) -> None:
    broker = bench.add(BROKER, KA)
    display, meter = bench.add(DISPLAY, KA), bench.add(METER, KA)
    message = unprotected(DISPLAY, METER, message_code=0x00B3)
    bench.verifier().verify_mac(maced(message, display, meter))
    with pytest.raises(MACMismatch):
        bench.verifier().verify_mac(maced(message, broker, meter))


def test_any_of_several_certificates_verifies(bench: Bench) -> None:
    signers = [bench.add(METER, DS, label=label) for label in ("", ".old", ".older")]
    broker = bench.add(BROKER, KA)
    meters = [bench.add(METER, KA, label=label, private=False) for label in ("", ".old")]
    verifier = bench.verifier()
    for signer in signers:
        response = protect(unprotected(METER, SUPPLIER, cra_flag=CRAFlag.RESPONSE), signer=signer)
        certificate = verifier.verify_signature(response)
        assert certificate.public_key == signer.public_key
    for meter in meters:
        verifier.verify_mac(maced(unprotected(BROKER, METER), broker, meter))


def test_protection_under_none_of_the_candidates_is_invalid(bench: Bench) -> None:
    bench.add(SUPPLIER, DS)
    bench.add(BROKER, KA)
    bench.add(METER, KA)
    forged = protect(unprotected(SUPPLIER, METER), signer=HeldKey(), shared_secret=bytes(32))
    result = check_message(forged, bench.verifier())
    assert result.signature is result.mac is ProtectionState.INVALID
    assert result.is_wrong
    assert result.reasons == (
        (
            "the signature of the command 000A of 90-B3-D5-1F-30-01-00-00 with counter 5 "
            "does not verify"
        ),
        "the MAC of the command 000A of 90-B3-D5-1F-30-01-00-00 with counter 5 does not verify",
    )
    with pytest.raises(SignatureMismatch):
        bench.verifier().verify_signature(forged)


def test_protection_without_keys_is_not_checkable_and_not_wrong(bench: Bench) -> None:
    bench.add(BROKER, KA, private=False)
    bench.add(METER, KA, private=False)
    message = protect(unprotected(STRANGER, METER), signer=HeldKey(), shared_secret=bytes(32))
    result = check_message(message, bench.verifier())
    assert result.signature is result.mac is ProtectionState.NOT_CHECKABLE
    assert not result.is_wrong
    assert len(result.reasons) == 2
    with pytest.raises(KeyMissing):
        bench.verifier().verify_signature(message)
    with pytest.raises(KeyMissing):
        bench.verifier().verify_mac(message)


def test_command_of_a_stranger_verifies_under_the_broker_or_is_not_checkable(
    bench: Bench,
) -> None:
    broker, meter = bench.add(BROKER, KA), bench.add(METER, KA)
    verifier = bench.verifier()
    verifier.verify_mac(maced(unprotected(STRANGER, METER), broker, meter))
    with pytest.raises(KeyMissing):
        verifier.verify_mac(maced(unprotected(STRANGER, METER), HeldKey(), meter))


def test_locked_key_makes_a_mac_not_checkable(bench: Bench) -> None:
    broker = bench.add(BROKER, KA, encryption=BestAvailableEncryption(b"secret"))
    meter = bench.add(METER, KA, private=False)
    message = maced(unprotected(BROKER, METER), broker, meter)
    with pytest.raises(KeyLocked):
        bench.verifier().verify_mac(message)
    assert check_message(message, bench.verifier()).mac is ProtectionState.NOT_CHECKABLE


def test_pre_command_has_nothing_to_verify(bench: Bench) -> None:
    result = check_message(unprotected(SUPPLIER, METER), bench.verifier())
    assert result.kind == "pre-command"
    assert result.signature is result.mac is ProtectionState.ABSENT
    assert result.reasons == ()
    with pytest.raises(KeyMissing):
        bench.verifier().verify_signature(unprotected(SUPPLIER, METER))


def test_absent_protection_is_said_and_never_verified(bench: Bench) -> None:
    bench.add(SUPPLIER, DS)
    message = Message.parse(unprotected(SUPPLIER, METER).octets + b"\x00")
    assert check_message(message, bench.verifier()).reasons == (
        (
            "the command 000A of 90-B3-D5-1F-30-01-00-00 with counter 5 "
            "carries neither signature nor MAC"
        ),
    )
    with pytest.raises(ProtectionMissing):
        bench.verifier().verify_signature(message)


@pytest.mark.parametrize(
    ("content", "state", "padded"),
    [
        ("020101", PayloadState.REENCODED, False),
        ("02810101", PayloadState.REENCODED, True),
        ("020104", PayloadState.UNREADABLE, False),
        ("0202 0001", PayloadState.UNREADABLE, False),
    ],
)
def test_payload_is_encoded_again(
    bench: Bench, content: str, state: PayloadState, *, padded: bool
) -> None:
    message = unprotected(
        METER, SUPPLIER, cra_flag=CRAFlag.RESPONSE, content=bytes.fromhex(content)
    )
    result = check_message(message, bench.verifier())
    assert result.payload is state
    assert result.lengths_not_minimal == padded
    assert result.is_wrong == (state is PayloadState.UNREADABLE)


def test_payload_of_another_use_case_is_opaque(bench: Bench) -> None:
    message = unprotected(SUPPLIER, METER, message_code=0x00B3, content=b"\xd9\x20")
    assert check_message(message, bench.verifier()).payload is PayloadState.OPAQUE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "GBCS message: no octets at all, at octet 0"),
        (b"DD0", "file: not an even number of hexadecimal digits"),
        (b"hello", "file: not an even number of hexadecimal digits"),
        (b"\xff\xfeA", "file: no text in UTF-16, line 1"),
        (b"AA", "GBCS message: starts with AA, where DD or DF belongs, at octet 0 (AA)"),
        (b"0" * (FILE_MAXIMUM_OCTETS + 1), f"file: more than {FILE_MAXIMUM_OCTETS} octets"),
    ],
)
def test_file_without_a_message_is_unreadable(
    bench: Bench, tmp_path: Path, text: bytes, reason: str
) -> None:
    path = tmp_path / "m.hex"
    path.write_bytes(text)
    result = check_file(path, bench.verifier())
    assert result.payload is PayloadState.UNREADABLE
    assert result.is_wrong
    assert result.reasons == (reason,)


def run(folder: Path, keys: Path, *options: str) -> tuple[int, str]:
    arguments = [str(folder), "--keystore", str(keys), *options]
    result = CliRunner().invoke(conformance, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout


def write_messages(bench: Bench, folder: Path) -> None:
    """Write one valid message, one that is not checkable, one pre-command and one alert."""
    broker, meter = bench.add(BROKER, KA), bench.add(METER, KA)
    (folder / "deep" / "er").mkdir(parents=True)
    good = maced(unprotected(BROKER, METER, message_code=0x00B3), broker, meter)
    unknown = protect(unprotected(METER, STRANGER, cra_flag=CRAFlag.RESPONSE), signer=HeldKey())
    spread = "\n".join(f"{octet:02x}" for octet in good.octets)
    (folder / "good.HEX").write_text(spread + "\r\n \t")
    (folder / "deep" / "er" / "unknown.hex").write_text(unknown.octets.hex())
    (folder / "deep" / "pre.Hex").write_text(unprotected(SUPPLIER, METER).octets.hex())
    (folder / "notes.txt").write_text("no message")


def test_folder_is_checked_recursively_and_summed_up(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    write_messages(bench, folder)
    (folder / "deep" / "er" / "unknown.hex").unlink()
    code, output = run(folder, bench.folder, "--json")
    lines = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert [line["type"] for line in lines] == ["message", "message", "summary"]
    assert [line["file"] for line in lines[:-1]] == ["deep/pre.Hex", "good.HEX"]
    assert lines[1]["message_code"] == "00B3"
    assert lines[1]["mac"] == "valid"
    assert lines[-1] == {
        "schema": 1,
        "type": "summary",
        **dict.fromkeys(COUNTS, 0),
        "messages": 2,
        "macs_valid": 1,
        "payloads_reencoded": 1,
        "payloads_opaque": 1,
    }
    assert list(lines[-1]) == ["schema", "type", *COUNTS]


def test_anything_wrong_is_listed_and_ends_with_3(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    write_messages(bench, folder)
    (folder / "bad\x1b[31m.hex").write_text("DD0901000000")
    code, output = run(folder, bench.folder)
    assert code == 3
    assert "\x1b" not in output
    assert "wrong          ----  bad\N{REPLACEMENT CHARACTER}[31m.hex: GBCS message: one block" in (
        output
    )
    assert "unreadable" in output
    code, output = run(folder, bench.folder, "--json")
    assert code == 3
    summary = json.loads(output.splitlines()[-1])
    assert summary["messages"] == 4
    assert summary["not_checkable"] == 1
    assert summary["unreadable"] == 1


def test_another_broker_is_named_by_its_entity_identifier(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    supplier, meter = bench.add(SUPPLIER, KA), bench.add(METER, KA)
    message = maced(unprotected(SUPPLIER, METER), supplier, meter)
    (folder / "one.hex").write_text(message.octets.hex())
    code, output = run(folder, bench.folder, "--json", "--acb", str(SUPPLIER))
    assert code == 0
    assert json.loads(output.splitlines()[-1])["macs_valid"] == 1
    code, output = run(folder, bench.folder, "--json")
    assert json.loads(output.splitlines()[-1])["not_checkable"] == 1
    assert run(folder, bench.folder, "--acb", "nobody")[0] == 2


def test_folder_without_messages_is_wrong_usage(bench: Bench, tmp_path: Path) -> None:
    assert run(tmp_path, bench.folder)[0] == 2
    assert run(tmp_path / "absent", bench.folder)[0] == 2


@needs_reference
def test_reference_messages_all_verify() -> None:
    code, output = run(MESSAGES, KEYSTORE, "--json")
    lines = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert lines[-1] == {
        "schema": 1,
        "type": "summary",
        "messages": 43,
        "signatures_valid": 31,
        "signatures_invalid": 0,
        "macs_valid": 19,
        "macs_invalid": 0,
        "not_checkable": 0,
        "payloads_reencoded": 43,
        "lengths_not_minimal": 8,
        "payloads_opaque": 0,
        "unreadable": 0,
    }
    assert sum(line.get("kind") == "pre-command" for line in lines) == 7


@needs_reference
def test_flipped_reference_message_is_never_valid() -> None:
    verifier = Verifier(open_keystore(KEYSTORE))
    octets = bytearray(octets_of("CS02c_6.17_SUCCESS_COMMAND"))
    octets[40] ^= 1
    result = check_message(Message.parse(bytes(octets)), verifier)
    assert ProtectionState.VALID not in {result.signature, result.mac}
