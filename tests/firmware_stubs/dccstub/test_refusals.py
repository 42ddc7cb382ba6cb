from __future__ import annotations

import re
from typing import Any

import pytest

from authorities import DEVICE
from dccstub import Fault
from dccstub.stand_in_faults import ENTITY_BOMB_OCTETS
from dccstub.web_services import SERVICE_OF, WebService
from duis.document_headers import RequestIdentifier
from duis.duis_enumerations import SMIStatus
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    DecommissionDevice,
    IssueSecurityCredentials,
    ReadInventory,
    RetrieveDeviceSecurityCredentialsKRP,
    UpdateSecurityCredentialsDevice,
    build_request,
    request_of,
)
from duis.service_references import CommandVariant
from firmware_stubs.dccstub.bench import BROKER, OPERATOR, SUPPLIER, Role, StandInBench
from firmware_stubs.dccstub.test_request_commands import change_of_supplier, handover
from firmware_stubs.support import DS, ENTITIES, KA, cell
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, RemotePartyRole

READ = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=(RemotePartyRole.SUPPLIER,))
ISSUE = IssueSecurityCredentials(credential_type=DS)
STRANGER = EntityIdentifier.parse("90b3d51f30ffffff")


def test_signature_of_another_party_is_refused_by_e1() -> None:
    bench = StandInBench()
    assert bench.code(READ, by=Role.NETWORK_OPERATOR) == "E1"
    assert bench.code(READ, bench.next_id(originator=STRANGER)) == "E1"


def test_role_that_may_not_send_a_request_is_refused_by_e2() -> None:
    bench = StandInBench()
    request_id = bench.next_id(originator=OPERATOR)
    assert bench.code(ISSUE, request_id, by=Role.NETWORK_OPERATOR) == "E2"
    assert bench.code(READ, bench.next_id(originator=BROKER), by=Role.ACCESS_CONTROL_BROKER) == "E2"


def test_party_that_is_not_registered_for_the_device_is_refused_by_e4() -> None:
    bench = StandInBench(inventory={"supplier": STRANGER})
    assert bench.code(READ) == "E4"
    body = DecommissionDevice(device_id=DEVICE)
    assert bench.code(body, bench.next_id(BROKER)) == "E4"


@pytest.mark.parametrize(
    "status", [SMIStatus.PENDING, SMIStatus.DECOMMISSIONED, SMIStatus.WITHDRAWN]
)
def test_smi_status_bars_by_e5(status: SMIStatus) -> None:
    bench = StandInBench(inventory={"status": status})
    assert bench.code(READ) == "E5"
    assert bench.code(ISSUE) == "E5"
    assert bench.code(ReadInventory(device_id=DEVICE), bench.next_id(BROKER)) == "I0"


def test_which_status_bars_which_request_is_an_option() -> None:
    barred = {"6.17": frozenset({SMIStatus.SUSPENDED})}
    bench = StandInBench(inventory={"status": SMIStatus.SUSPENDED}, options={"barred_for": barred})
    assert bench.code(ISSUE) == "E5"
    assert bench.code(READ) == "I99"


def test_fault_bars_one_request() -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.STATUS_INCOMPATIBLE)
    assert [bench.code(READ), bench.code(READ)] == ["E5", "I99"]


@pytest.mark.parametrize("device_type", [DeviceType.GPF, DeviceType.CHF, DeviceType.HCALCS])
def test_commissioning_another_than_a_meter_is_refused_by_e11(device_type: DeviceType) -> None:
    bench = StandInBench(device_type)
    body = CommissionDeviceSynchroniseClock(current_date_time=bench.clock.now, tolerance_period_s=1)
    assert bench.code(body) == "E11"


def test_network_operator_of_a_gas_meter_is_refused_by_e11() -> None:
    bench = StandInBench(DeviceType.GSME, is_handed_over=False)
    assert bench.code(handover(bench, Role.NETWORK_OPERATOR)) == "E11"


def without(octets: bytes, pattern: bytes, other: bytes) -> bytes:
    changed, count = re.subn(pattern, other, octets)
    assert count
    return changed


def test_command_variant_that_the_request_never_has_is_refused_by_e12() -> None:
    bench = StandInBench()
    document = build_request(request_of(READ, bench.next_id()))
    wrong = without(document, rb"CommandVariant>1<", b"CommandVariant>4<")
    reply = bench.post(sign(bench, wrong), WebService.TRANSFORM)
    assert bench.read(reply.body).header.response_code == "E12"


def sign(bench: StandInBench, document: bytes) -> bytes:
    from duis import xml_signatures  # noqa: PLC0415 - used here alone

    credential = bench.credential(Role.SUPPLIER)
    return xml_signatures.sign(document, credential.pair, credential.certificate)


@pytest.mark.parametrize(
    ("body", "variant"),
    [
        (READ, CommandVariant.SEND),
        (READ, CommandVariant.LOCAL),
        (ISSUE, CommandVariant.TRANSFORM),
        (ReadInventory(device_id=DEVICE), CommandVariant.NON_DEVICE),
    ],
)
def test_wrong_web_service_is_refused_by_e13(body: Any, variant: CommandVariant) -> None:
    bench = StandInBench()
    for service in WebService:
        if service is not SERVICE_OF[variant]:
            assert bench.code(body, None, variant, service) == "E13"


def test_variants_that_send_and_give_at_once_are_taken_nowhere() -> None:
    bench = StandInBench()
    for service in WebService:
        assert bench.code(READ, None, CommandVariant.SEND_AND_LOCAL, service) == "E13"


def test_what_the_dcc_signs_is_not_given_for_local_delivery() -> None:
    bench = StandInBench()
    assert bench.code(handover(bench), None, CommandVariant.LOCAL) == "E17"
    assert bench.code(change_of_supplier(bench), None, CommandVariant.LOCAL) == "E17"


def test_unknown_device_is_refused_by_e19() -> None:
    bench = StandInBench()
    assert bench.code(READ, bench.next_id(STRANGER)) == "E19"
    assert bench.code(ReadInventory(device_id=DEVICE), bench.next_id(DEVICE)) == "E19"
    body = DecommissionDevice(device_id=STRANGER)
    assert bench.code(body, bench.next_id(BROKER)) == "E19"


def test_counter_must_be_greater_for_the_same_target() -> None:
    bench = StandInBench()
    first = RequestIdentifier(SUPPLIER, DEVICE, 5000)
    assert bench.code(READ, first) == "I99"
    assert bench.code(READ, first) == "E49"
    assert bench.code(READ, RequestIdentifier(SUPPLIER, DEVICE, 4999)) == "E49"
    assert bench.code(ISSUE, first) == "E49"
    inventory = ReadInventory(device_id=DEVICE)
    assert bench.code(inventory, RequestIdentifier(SUPPLIER, BROKER, 1)) == "I0"
    assert bench.code(inventory, RequestIdentifier(SUPPLIER, BROKER, 1)) == "E49"
    assert len(bench.responses()) == 1


def test_certificates_must_be_those_that_the_request_says() -> None:
    bench = StandInBench()
    operator = bench.pki.credential(cell(Role.NETWORK_OPERATOR, DS)).der
    agreement = bench.pki.credential(cell(Role.SUPPLIER, KA)).der
    bad = [
        {"digital_signing_certificate": b"no certificate"},
        {"digital_signing_certificate": operator},
        {"digital_signing_certificate": agreement},
        {"key_agreement_certificate": operator},
    ]
    codes = {bench.code(bench.update(certificates=each)) for each in bad}
    empty = bench.update(certificates={"digital_signing_certificate": None})
    body = bench.update(Role.NETWORK_OPERATOR, certificates=bad[1])
    assert codes | {bench.code(empty), bench.code(body)} == {"E061501"}
    unreadable = UpdateSecurityCredentialsDevice(device_certificate=b"no certificate")
    assert bench.code(unreadable) == "E061504"


def test_request_that_is_not_known_is_refused() -> None:
    bench = StandInBench()
    document = build_request(request_of(READ, bench.next_id()))
    other = without(document, rb">6\.24<", b">4.8<")
    other = without(other, rb">6\.24\.1<", b">4.8.1<")
    reply = bench.post(sign(bench, other), WebService.SEND_COMMAND)
    assert bench.read(reply.body).header.response_code == "E100"


def hostile(bench: StandInBench) -> dict[str, bytes]:
    good = bench.signed(READ, bench.next_id())
    unsigned = build_request(request_of(READ, bench.next_id()))
    return {
        "empty": b"",
        "no XML": b"\x00\x01",
        "broken off": good[:-20],
        "entity bomb": ENTITY_BOMB_OCTETS,
        "deep": b"<a>" * 5000 + b"</a>" * 5000,
        "another document": sign(bench, b"<other/>"),
        "unsigned": unsigned,
        "altered": without(good, rb"RemotePartyRole>Supplier<", b"RemotePartyRole>Recovery<"),
        "not valid": sign(
            bench, without(unsigned, rb"RemotePartyRole>Supplier<", b"RemotePartyRole>Somebody<")
        ),
    }


@pytest.mark.parametrize("name", sorted(hostile(StandInBench())))
def test_what_cannot_be_read_or_believed_gets_http_400(name: str) -> None:
    bench = StandInBench()
    reply = bench.post(hostile(bench)[name], WebService.SEND_COMMAND)
    assert reply.status == 400
    assert reply.content_type.startswith("text/plain")
    assert reply.body
    assert bench.delivered() == []


def test_signer_whom_nobody_knows_gets_http_400() -> None:
    bench, other = StandInBench(), StandInBench()
    reply = bench.post(other.signed(READ, other.next_id()), WebService.SEND_COMMAND)
    assert reply.status == 400


def test_device_certificates_sign_no_requests() -> None:
    assert ENTITIES[Role.SUPPLIER] == SUPPLIER
    bench = StandInBench()
    assert [each.owner for each in bench.keys.held if each.signs_xml and each.is_device] == []
