"""An emulated device in the place of the reference set's, fed with the set's own commands.

What a command presumes, and what stands in for it here:

Every CS02b: the root's certificate, of which the set has none.
    The issuing certificate Z1 from the commands' own path is what the root cell holds.
Every response but a MACed one: the device's digital signature private key; the set has none.
    A key made in the run; signatures are verified with it and not compared.
CS02aSignature, WPByWP (a2), the two handovers (a3): a key agreement private key; the set has
a0's alone.
    A key made in the run; the command's MAC is made again with the broker's key of the set.
CS02b: a clock; the responses say 2015-01-01, before any certificate's validity.
    That time where the command disapplies time checks or nothing is checked yet; else a time
    within the validity, and then the header's date-time is the one difference.
The alerts: success in 2030 with certificates that expire in 2026.
    `CertificateTime.RECEIPT`, at a time within the validity.
CS02d: the private key of its certificate.
    A certificate over the pending key; the command is signed again with the set's supplier key.
CS02e: the same private key.
    The certificate is held beside a key pair that is not its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import REFERENCE_KEYSTORE, REFERENCE_MESSAGES, Authorities, needs
from firmware_stubs.support import DS, KA, SettableClock
from gbcs import protection, use_cases
from gbcs.certification_request import CertificationRequest
from gbcs.cosem_time import encode_date_time
from gbcs.key_holders import public_octets
from gbcs.message import Header, Message, compose_pre_command
from gbcs.roles import CellUsage, DeviceType, RemotePartyRole
from gbcs.security_credentials import (
    StatusCode,
    TrustAnchorCellIdentifier,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode
from meterstub.device_memory import DeviceMemory, VolatileStorage
from meterstub.device_options import CertificateTime, DeviceOptions
from meterstub.device_state import DeviceState
from meterstub.emulated_device import EmulatedDevice
from meterstub.key_pair import KeyPair, generate_key
from meterstub.trust_anchor_cells import CELLS, ROOT_CELL

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier

pytestmark = [
    pytest.mark.reference,
    needs(REFERENCE_MESSAGES),
]

ESME = "00db1234567890a0"
REFERENCE_TIME = datetime(2015, 1, 1, tzinfo=UTC)
WITHIN_VALIDITY = datetime(2016, 6, 1, tzinfo=UTC)
OPTIONS = DeviceOptions(minimal_lengths=False, certificate_time=CertificateTime.RECEIPT)
BROKER, SUPPLIER = "90b3d51f30000002", "90b3d51f30010000"
OPERATIONAL = {
    RemotePartyRole.RECOVERY: "90b3d51f30000001",
    RemotePartyRole.SUPPLIER: SUPPLIER,
    RemotePartyRole.NETWORK_OPERATOR: "90b3d51f30020000",
    RemotePartyRole.ACCESS_CONTROL_BROKER: BROKER,
    RemotePartyRole.TRANSITIONAL_COS: "90b3d51f30000004",
    RemotePartyRole.WAN_PROVIDER: "90b3d51f30000007",
}
FROM_FACTORY = OPERATIONAL | {
    RemotePartyRole.SUPPLIER: BROKER,
    RemotePartyRole.NETWORK_OPERATOR: BROKER,
}


@dataclass(frozen=True)
class Case:
    """A command of the set, and what its device is to be before it comes."""

    name: str
    device_type: DeviceType = DeviceType.ESME
    parties: tuple[tuple[RemotePartyRole, str], ...] = tuple(OPERATIONAL.items())
    now: datetime = WITHIN_VALIDITY
    counters: tuple[tuple[RemotePartyRole, int], ...] = ()

    @property
    def command(self) -> Message:
        return read(f"{self.name}_COMMAND")

    @property
    def response(self) -> Message:
        return read(f"{self.name}_RESPONSE")


CASES = [
    Case(
        "CS02aMAC_6.24.1_SUCCESS",
        now=REFERENCE_TIME,
        counters=((RemotePartyRole.NETWORK_OPERATOR, 1),),
    ),
    Case("CS02aSignature_NA_SUCCESS", DeviceType.CHF, now=REFERENCE_TIME),
    Case("CS02bACBByACB_8.5_SUCCESS"),
    Case("CS02bNOByNO_6.15.1_SUCCESS"),
    Case("CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bSupplierBySupplier_6.15.1_FUTURE_DATED_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bSupplierBySupplier_6.15.1_CANCELLATION_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bSupplierByTransCoS_6.23_IMMEDIATE_SUCCESS"),
    Case("CS02bSupplierByTransCoS_6.23_FUTURE_DATED_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bSupplierByTransCoS_6.23_CANCELLATION_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bTransCoSByTransCoS_NA_SUCCESS", now=REFERENCE_TIME),
    Case("CS02bWPByWP_NA_SUCCESS", DeviceType.CHF),
    # a3 stands as a gas proxy in the set's keys, but is given a top-up cell: an ESME's.
    Case(
        "CS02bSupplierBySupplierHandover_6.21_SUCCESS",
        parties=tuple(FROM_FACTORY.items()),
    ),
    Case(
        "CS02bNOByNOHandover_6.21_SUCCESS",
        DeviceType.GPF,
        parties=tuple(FROM_FACTORY.items()),
    ),
    Case("CS02e_6.24.2_SUCCESS", now=REFERENCE_TIME),
]
ALERTS = [
    ("CS02bSupplierBySupplier_6.15.1_FUTURE_DATED_SUCCESS", "_6.15.1_8F66", 1999),
    ("CS02bSupplierByTransCoS_6.23_FUTURE_DATED_SUCCESS", "_6.23_8F66", 2000),
]


def read(name: str) -> Message:
    text = (REFERENCE_MESSAGES / f"{name}_GBCS.HEX").read_text("ascii")
    return Message.parse(bytes.fromhex(text))


def certificate(name: str) -> bytes:
    pem = (REFERENCE_KEYSTORE / f"{name}.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def key(name: str) -> KeyPair:
    return KeyPair.from_pem((REFERENCE_KEYSTORE / f"{name}.key").read_text("ascii"))


def issuing_certificate_z1() -> bytes:
    command = use_cases.decode_payload(read("CS02bACBByACB_8.5_SUCCESS_COMMAND"))
    assert command is not None
    der: bytes = command.value.certification_path_certificates[0]
    return der


def contents(cell: TrustAnchorCellIdentifier, parties: dict[RemotePartyRole, str]) -> bytes:
    if cell == ROOT_CELL:
        return issuing_certificate_z1()
    use = "ds" if cell.key_usage is DS else "ka"
    owner = parties[cell.role]
    if cell.cell_usage is CellUsage.PREPAYMENT_TOP_UP and owner != BROKER:
        use = "pp-ka"
    return certificate(f"{owner}-{use}")


def key_agreement_key(entity_id: EntityIdentifier) -> KeyPair:
    return key(f"{ESME}-ka") if entity_id.stem == ESME else KeyPair(generate_key())


def device_for(case: Case) -> EmulatedDevice:
    entity_id = case.command.header.recipient
    parties = dict(case.parties)
    state = DeviceState(
        device_type=case.device_type,
        entity_id=entity_id,
        key_pairs={DS: KeyPair(generate_key()), KA: key_agreement_key(entity_id)},
        certificates={
            DS: certificate(f"{entity_id.stem}-ds"),
            KA: certificate(f"{entity_id.stem}-ka"),
        },
        cells={cell: contents(cell, parties) for cell in CELLS[case.device_type]},
        counters=dict(case.counters),
    )
    memory = DeviceMemory.create(VolatileStorage(), state)
    return EmulatedDevice(memory, options=OPTIONS, clock=SettableClock(case.now))


def command_for(case: Case, device: EmulatedDevice) -> bytes:
    """Give the command as it is in the set; its MAC made again where the device's key is new."""
    command = case.command
    if device.entity_id.stem == ESME:
        return command.octets
    assert command.signature is not None
    secret = key(f"{BROKER}-ka").agree(device.memory.state.key_pairs[KA].public_key)
    return protection.add_mac(command, signature=command.signature, shared_secret=secret).octets


def expected_header(case: Case) -> Header:
    header = case.response.header
    return replace(header, date_time=encode_date_time(case.now)) if header.date_time else header


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_response_has_the_reference_header_and_payload(case: Case) -> None:
    device = device_for(case)
    signing_key = device.memory.state.key_pairs[DS].public_key
    answers = device.receive_message(command_for(case, device))
    assert [entry.what for entry in device.describe().log if entry.code < 0x8F40] == []
    (answer,) = answers
    response = Message.parse(answer)
    assert response.content == case.response.content
    assert response.header == expected_header(case)
    assert (response.mac is None) == (case.response.mac is None)
    if case.now == REFERENCE_TIME:
        assert response.grouping == case.response.grouping
    if response.signature:
        protection.verify_signature(response, signing_key)
    else:
        assert case.response.signature == b""


def test_maced_response_is_the_reference_to_the_last_octet() -> None:
    case = CASES[0]
    (answer,) = device_for(case).receive_message(case.command.octets)
    assert answer == case.response.octets


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_command_is_not_taken_twice(case: Case) -> None:
    """A floor of 0 lets a replayed counter pass; the replaced key then stops the signature."""
    device = device_for(case)
    octets = command_for(case, device)
    assert device.receive_message(octets)
    assert device.receive_message(octets) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cells_are_replaced_as_the_command_says(case: Case) -> None:
    device = device_for(case)
    before = dict(device.memory.state.cells)
    device.receive_message(command_for(case, device))
    command = use_cases.decode_payload(case.command)
    assert command is not None
    expected = before
    if (
        isinstance(command.value, UpdateCredentialsCommand)
        and not command.value.execution_date_time
    ):
        expected = before | {
            each.target_trust_anchor_cell: each.replacement_certificate
            for each in command.value.replacements
        }
    assert dict(device.memory.state.cells) == expected


@pytest.mark.parametrize(("name", "alert", "counter"), ALERTS)
def test_alert_at_the_date_is_the_reference(name: str, alert: str, counter: int) -> None:
    case = Case(name)
    reference = read(f"{name.partition('_')[0]}{alert}_FUTURE_DATED_SUCCESS_ALERT")
    device = device_for(case)
    device.memory.commit(replace(device.memory.state, alert_counter=counter))
    clock = device._clock
    assert isinstance(clock, SettableClock)
    assert device.receive_message(case.command.octets)
    clock.now = datetime(2029, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert device.poll() == []
    clock.now = datetime(2030, 1, 15, tzinfo=UTC)
    (sent,) = device.poll()
    message = Message.parse(sent)
    assert message.grouping == reference.grouping
    protection.verify_signature(message, device.memory.state.key_pairs[DS].public_key)
    assert device.poll() == []


def test_expired_certificates_fail_at_the_date_when_time_is_checked_then() -> None:
    case = Case("CS02bSupplierBySupplier_6.15.1_FUTURE_DATED_SUCCESS")
    clock = SettableClock(WITHIN_VALIDITY)
    device = EmulatedDevice(device_for(case).memory, clock=clock)
    assert device.receive_message(case.command.octets)
    clock.now = datetime(2030, 1, 15, tzinfo=UTC)
    (sent,) = device.poll()
    decoded = use_cases.decode_payload(Message.parse(sent))
    assert decoded is not None
    assert decoded.value.alert_code == 0x8F67
    assert {each.status_code for each in decoded.value.execution_outcome.replacement_outcomes} == {
        StatusCode.BAD_CERTIFICATE
    }


@pytest.mark.parametrize(
    ("name", "cancellation"),
    [
        (
            "CS02bSupplierBySupplier_6.15.1_FUTURE_DATED_SUCCESS",
            "CS02bSupplierBySupplier_6.15.1_CANCELLATION_SUCCESS",
        ),
        (
            "CS02bSupplierByTransCoS_6.23_FUTURE_DATED_SUCCESS",
            "CS02bSupplierByTransCoS_6.23_CANCELLATION_SUCCESS",
        ),
    ],
)
def test_cancelled_command_is_not_carried_out(name: str, cancellation: str) -> None:
    device = device_for(Case(name))
    clock = device._clock
    assert isinstance(clock, SettableClock)
    before = dict(device.memory.state.cells)
    assert device.receive_message(read(f"{name}_COMMAND").octets)
    assert len(device.describe().future_dated) == 1
    (answer,) = device.receive_message(read(f"{cancellation}_COMMAND").octets)
    assert Message.parse(answer).content == read(f"{cancellation}_RESPONSE").content
    clock.now = datetime(2031, 1, 1, tzinfo=UTC)
    assert device.poll() == []
    assert dict(device.memory.state.cells) == before


def test_certification_request_differs_from_the_reference_in_its_key_alone() -> None:
    case = Case("CS02c_6.17_SUCCESS", now=REFERENCE_TIME)
    device = device_for(case)
    (answer,) = device.receive_message(case.command.octets)
    response = Message.parse(answer)
    assert response.header == case.response.header
    ours = CertificationRequest.from_der(response.content)
    theirs = CertificationRequest.from_der(case.response.content)
    assert public_octets(device.memory.state.pending[DS].public_key) in response.content
    assert ours.decoded.tbs_certrequest_bytes == theirs.decoded.tbs_certrequest_bytes.replace(
        public_octets(theirs.public_key), public_octets(ours.public_key)
    )
    assert ours.decoded.is_signature_valid
    assert ours.decoded.signature_algorithm_oid == theirs.decoded.signature_algorithm_oid
    protection.verify_signature(response, device.memory.state.key_pairs[DS].public_key)


def test_reference_device_certificate_is_refused_for_the_wrong_key() -> None:
    case = Case("CS02d_6.15.2_SUCCESS", now=REFERENCE_TIME)
    device = device_for(case)
    (answer,) = device.receive_message(case.command.octets)
    assert Message.parse(answer).content == bytes.fromhex("020104")
    state = device.memory.state
    pending = replace(state, pending={DS: KeyPair(generate_key())}, counters={})
    device.memory.commit(pending)
    (answer,) = device.receive_message(case.command.octets)
    assert Message.parse(answer).content == bytes.fromhex("020105")


def test_device_certificate_over_the_pending_key_gets_the_reference_response() -> None:
    case = Case("CS02d_6.15.2_SUCCESS", now=REFERENCE_TIME)
    device = device_for(case)
    pair = KeyPair(generate_key())
    device.memory.commit(replace(device.memory.state, pending={DS: pair}))
    der = (
        Authorities()
        .device(entity_id=device.entity_id, key_usage=DS, public_key=pair.public_key)
        .der
    )
    signing_key = device.memory.state.key_pairs[DS].public_key
    secret = key(f"{BROKER}-ka").agree(key(f"{ESME}-ka").public_key)
    command = protection.protect(
        compose_pre_command(case.command.header, der),
        signer=key(f"{SUPPLIER}-ds"),
        shared_secret=secret,
    )
    assert command.header.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE
    (answer,) = device.receive_message(command.octets)
    response = Message.parse(answer)
    assert response.grouping == case.response.grouping
    protection.verify_signature(response, signing_key)
    assert device.memory.state.key_pairs[DS] == pair
    assert isinstance(signing_key, ec.EllipticCurvePublicKey)
