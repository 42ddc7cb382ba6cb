"""The DUIS templates, sent by the reference set's supplier to devices on the set's keys.

The templates of CS02b bring certificates of 2025 where the set's commands have those of 2015, so
their commands are compared by every field but the certificates, and once more, to the last octet,
with the certificates of the set's own command in the request.

A device of the set signs with a key made in the run, of which the set has none, and holds a
certificate over that key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from authorities import REFERENCE_KEYSTORE, SHARED, Authorities, needs
from dccstub import DCCBoxed, InventoryDevice, KeyFolder
from dccstub.access_control_broker import payload_of
from dccstub.web_services import SERVICE_OF
from duis import xml_signatures
from duis.credential_requests import (
    CertificationPathCertificates,
    ReplacementCertificates,
    ReplacementCertificatesKRP,
    RequestHandoverOfDCCControlledDevice,
    SupplierOrNetworkOperatorCertificates,
    UpdateSecurityCredentialsCoS,
    UpdateSecurityCredentialsKRP,
)
from duis.document_headers import RequestIdentifier
from duis.duis_enumerations import CANCELLED
from duis.request_documents import SignedPreCommand, build_request, parse_request, request_of
from duis.response_documents import (
    DSPInventory,
    PreCommand,
    Response,
    ResponseMessage,
    parse_response,
)
from duis.service_references import CommandVariant
from firmware_stubs.support import DS, KA, SettableClock
from firmware_stubs.test_reference_messages import CASES, Case, device_for, key, read
from gbcs import protection
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.message import Message
from gbcs.roles import DeviceType, RemotePartyRole
from gbcs.security_credentials import StatusCode, UpdateCredentialsCommand
from meterstub.device_memory import DeviceMemory, VolatileStorage
from meterstub.emulated_device import EmulatedDevice

if TYPE_CHECKING:
    from duis.request_documents import Request

TEMPLATES = SHARED / "duis" / "templates"
pytestmark = [pytest.mark.reference, needs(TEMPLATES), needs(REFERENCE_KEYSTORE)]
BROKER = EntityIdentifier.parse("90b3d51f30000002")
COS = EntityIdentifier.parse("90b3d51f30000004")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
OPERATOR = EntityIdentifier.parse("90b3d51f30020000")
BOTH_VALID = datetime(2025, 10, 1, tzinfo=UTC)
"""When the certificates of the templates are valid, and those of the set's commands too."""
CERTIFICATE_FIELDS = (
    "digital_signing_certificate",
    "key_agreement_certificate",
    "key_agreement_top_up_certificate",
)


def case_of(name: str) -> Case:
    return next((case for case in CASES if case.name == name), Case(name))


def template(name: str) -> Request:
    octets = (TEMPLATES / f"{name}_REQUEST_DUIS.XML").read_bytes()
    return parse_request(octets, name)


class RecordingDevice(EmulatedDevice):
    """A device that keeps the commands that it was sent."""

    def __init__(self, memory: DeviceMemory, clock: SettableClock) -> None:
        super().__init__(memory, clock=clock)
        self.commands: list[Message] = []

    def receive_message(self, octets: bytes) -> list[bytes]:
        self.commands.append(Message.parse(octets))
        return super().receive_message(octets)


def certified(case: Case) -> DeviceMemory:
    """The device of a case, with certificates over the keys that it has."""
    state = device_for(case).memory.state
    certificates = dict(state.certificates)
    for usage in (DS, KA):
        held = GBCSCertificate.from_der(certificates[usage])
        own = state.key_pairs[usage].public_key
        if public_octets(held.public_key) != public_octets(own):
            certificates[usage] = (
                Authorities().device(entity_id=state.entity_id, key_usage=usage, public_key=own).der
            )
    state = replace(state, certificates=certificates)
    return DeviceMemory.create(VolatileStorage(), state)


class ReferenceBench:
    """The stand-in on the set's keys, in front of one of its devices."""

    def __init__(self, case: Case, counters: dict[EntityIdentifier, int]) -> None:
        self.clock = SettableClock(BOTH_VALID)
        self.device = RecordingDevice(certified(case), self.clock)
        self.keys = KeyFolder.read(REFERENCE_KEYSTORE)
        self.boxed = DCCBoxed(
            self.keys,
            [InventoryDevice(emulated=self.device)],
            clock=self.clock,
            counters=counters,
        )

    def ask(self, request: Request, by: EntityIdentifier = SUPPLIER) -> Response:
        signer, certificate = self.keys.xml_signing(by)
        document = xml_signatures.sign(build_request(request), signer, certificate)
        reply = self.boxed.receive(SERVICE_OF[request.header.command_variant], document)
        assert reply.status == 200, reply.body
        return self.read(reply.body)

    def read(self, octets: bytes) -> Response:
        find = xml_signatures.among([self.keys.certificate(BROKER, "ds")])
        return parse_response(xml_signatures.verify(octets, find, "response"), "response")

    def transform(self, request: Request, by: EntityIdentifier = SUPPLIER) -> Message:
        response = self.ask(request, by)
        assert isinstance(response.body, PreCommand), response.header
        return Message.parse(response.body.gbcs_payload)

    def answer(self) -> Message:
        """Let the device have its command; give what the user is told of its answer."""
        self.boxed.poll()
        delivery = self.boxed.deliveries.next_due(self.clock.now)
        assert delivery is not None
        response = self.read(delivery.octets)
        assert isinstance(response.body, ResponseMessage), response.header
        return Message.parse(response.body.gbcs_payload)

    def send_signed(self, request: Request, pre_command: Message) -> Message:
        signed = protection.protect(pre_command, signer=key(f"{SUPPLIER.stem}-ds"))
        body = SignedPreCommand(gbcs_payload=signed.octets)
        send = request_of(
            body,
            request.header.request_id,
            CommandVariant.SEND_SIGNED,
            request.header.service_reference_variant,
        )
        assert self.ask(send).header.response_code == "I99"
        return self.answer()


def bench_for(name: str, **counters: int) -> ReferenceBench:
    """A bench at a time when both the template's and the set's certificates are valid."""
    parties = {"broker": BROKER, "cos": COS}
    return ReferenceBench(case_of(name), {parties[who]: at for who, at in counters.items()})


@pytest.mark.parametrize(
    "name", ["CS02c_6.17_SUCCESS", "CS02d_6.15.2_SUCCESS", "CS02e_6.24.2_SUCCESS"]
)
def test_pre_command_of_the_template_is_the_reference_to_the_last_octet(name: str) -> None:
    bench = bench_for(name)
    pre_command = bench.transform(template(name))
    assert pre_command.octets == read(f"{name}_PRECOMMAND").octets


@pytest.mark.parametrize("name", ["CS02c_6.17_SUCCESS", "CS02e_6.24.2_SUCCESS"])
def test_signed_pre_command_reaches_the_device_as_the_reference_command(name: str) -> None:
    bench = bench_for(name)
    request = template(name)
    answer = bench.send_signed(request, bench.transform(request))
    (command,) = bench.device.commands
    reference = read(f"{name}_COMMAND")
    assert command.grouping == reference.grouping
    assert len(command.octets) == len(reference.octets)
    assert answer.header == read(f"{name}_RESPONSE").header


def test_command_of_the_brokers_own_is_the_reference_to_the_last_octet() -> None:
    name = "CS02aMAC_6.24.1_SUCCESS"
    bench = bench_for(name, broker=1302)
    assert bench.ask(template(name)).header.response_code == "I99"
    answer = bench.answer()
    (command,) = bench.device.commands
    assert command.octets == read(f"{name}_COMMAND").octets
    response = read(f"{name}_RESPONSE")
    assert answer.header == response.header
    assert payload_of(answer) == payload_of(response)


def without_certificates(command: Message) -> tuple[Any, ...]:
    payload = update_of(command)
    return (
        command.header,
        payload.authorising_remote_party_control,
        tuple(each.target_trust_anchor_cell for each in payload.replacements),
        payload.certification_path_certificates,
        payload.execution_date_time,
    )


def update_of(command: Message) -> UpdateCredentialsCommand:
    payload = payload_of(command)
    assert isinstance(payload, UpdateCredentialsCommand)
    return payload


def with_certificates_of(request: Request, reference: Message) -> Request:
    """Give the request with the certificates that the reference command has."""
    payload = update_of(reference)
    named = zip(CERTIFICATE_FIELDS, payload.replacements, strict=False)
    ders = {name: each.replacement_certificate for name, each in named}
    path = CertificationPathCertificates(certificates=payload.certification_path_certificates)
    body = request.body
    if isinstance(body, UpdateSecurityCredentialsKRP):
        parts = SupplierOrNetworkOperatorCertificates(**ders)
        replaced: Any = replace(
            body,
            replacement_certificates=ReplacementCertificatesKRP(
                supplier_or_network_operator_certificates=parts
            ),
            certification_path_certificates=path,
        )
    elif isinstance(body, RequestHandoverOfDCCControlledDevice):
        replaced = replace(
            body,
            replacement_certificates=ReplacementCertificates(**ders),
            certification_path_certificates=path,
        )
    else:
        assert isinstance(body, UpdateSecurityCredentialsCoS)
        replaced = replace(
            body,
            supplier_replacement_certificates=ReplacementCertificates(**ders),
            certification_path_certificates=path,
        )
    return replace(request, body=replaced)


KRP = "CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS"
COS_NOW = "CS02bSupplierByTransCoS_6.23_IMMEDIATE_SUCCESS"


def test_pre_command_of_6_15_1_differs_from_the_reference_in_its_certificates_alone() -> None:
    pre_command = bench_for(KRP).transform(template(KRP))
    reference = read(f"{KRP}_PRECOMMAND")
    assert without_certificates(pre_command) == without_certificates(reference)
    assert pre_command.octets != reference.octets


@pytest.mark.parametrize(
    ("name", "originator", "counter", "changes"),
    [
        (KRP, SUPPLIER, 1000, {}),
        (
            "CS02bSupplierBySupplier_6.15.1_FUTURE_DATED_SUCCESS",
            SUPPLIER,
            1001,
            {
                "execution_date_time": datetime(2030, 1, 15, tzinfo=UTC),
                "apply_time_based_cpv_checks": True,
            },
        ),
        (
            "CS02bSupplierBySupplier_6.15.1_CANCELLATION_SUCCESS",
            SUPPLIER,
            1002,
            {"execution_date_time": CANCELLED, "apply_time_based_cpv_checks": True},
        ),
        (
            "CS02bNOByNO_6.15.1_SUCCESS",
            OPERATOR,
            1200,
            {
                "remote_party_role": RemotePartyRole.NETWORK_OPERATOR,
                "remote_party_prepayment_top_up_floor_seq_number": None,
                "apply_time_based_cpv_checks": True,
            },
        ),
    ],
)
def test_pre_command_of_6_15_1_with_the_references_certificates_is_the_reference(
    name: str, originator: EntityIdentifier, counter: int, changes: dict[str, Any]
) -> None:
    reference = read(f"{name}_PRECOMMAND")
    request = with_certificates_of(template(KRP), reference)
    target = request.header.request_id.target
    header = replace(request.header, request_id=RequestIdentifier(originator, target, counter))
    body = replace(request.body, **changes)
    asked = replace(request, header=header, body=body)
    assert bench_for(KRP).transform(asked, by=originator).octets == reference.octets


OWN = [
    ("CS02bSupplierBySupplierHandover_6.21_SUCCESS", {"broker": 1300}),
    ("CS02bNOByNOHandover_6.21_SUCCESS", {"broker": 1301}),
    (COS_NOW, {"cos": 6001}),
]


@pytest.mark.parametrize(("name", "counters"), OWN)
def test_own_command_differs_from_the_reference_in_its_certificates_alone(
    name: str, counters: dict[str, int]
) -> None:
    bench = bench_for(name, **counters)
    assert bench.ask(template(name)).header.response_code == "I99"
    answer = bench.answer()
    (command,) = bench.device.commands
    reference = read(f"{name}_COMMAND")
    assert without_certificates(command) == without_certificates(reference)
    assert command.mac is not None
    outcomes = payload_of(answer).execution_outcome.replacement_outcomes
    assert {each.status_code for each in outcomes} == {StatusCode.SUCCESS}


@pytest.mark.parametrize(("name", "counters"), OWN)
def test_own_command_with_the_references_certificates_is_the_reference(
    name: str, counters: dict[str, int]
) -> None:
    bench = bench_for(name, **counters)
    reference = read(f"{name}_COMMAND")
    bench.ask(with_certificates_of(template(name), reference))
    answer = bench.answer()
    (command,) = bench.device.commands
    assert command.grouping == reference.grouping
    assert payload_of(answer) == payload_of(read(f"{name}_RESPONSE"))


@pytest.mark.parametrize(
    ("name", "counter", "date"),
    [
        ("FUTURE_DATED", 6002, datetime(2030, 1, 2, tzinfo=UTC)),
        ("CANCELLATION", 6003, CANCELLED),
    ],
)
def test_change_of_supplier_for_later_is_the_reference(
    name: str, counter: int, date: datetime
) -> None:
    bench = bench_for(COS_NOW, cos=counter)
    reference = read(f"CS02bSupplierByTransCoS_6.23_{name}_SUCCESS_COMMAND")
    request = with_certificates_of(template(COS_NOW), reference)
    changes: dict[str, Any] = {"execution_date_time": date}
    bench.ask(replace(request, body=replace(request.body, **changes)))
    bench.answer()
    (command,) = bench.device.commands
    assert command.grouping == reference.grouping


@pytest.mark.parametrize(
    ("name", "device", "code"),
    [
        ("8.2_READ_INVENTORY", "CS02aSignature_NA_SUCCESS", "I0"),
        ("8.2_READ_INVENTORY", "CS02c_6.17_SUCCESS", "E080201"),
        ("8.3_DECOMMISSION_DEVICE", "CS02c_6.17_SUCCESS", "I0"),
        ("8.4_UPDATE_INVENTORY", "CS02c_6.17_SUCCESS", "E080405"),
        ("8.13_RETURN_LOCAL_COMMAND_RESPONSE_CS06", "CS02c_6.17_SUCCESS", "E081302"),
    ],
)
def test_templates_to_the_dcc_itself_are_answered(name: str, device: str, code: str) -> None:
    assert bench_for(device).ask(template(name)).header.response_code == code


def test_template_of_the_inventory_names_the_hub() -> None:
    bench = bench_for("CS02aSignature_NA_SUCCESS")
    response = bench.ask(template("8.2_READ_INVENTORY"))
    assert isinstance(response.body, DSPInventory)
    (device,) = response.body.devices
    assert device.device_type.device_type is DeviceType.CHF
    assert device.device_id == bench.device.entity_id
