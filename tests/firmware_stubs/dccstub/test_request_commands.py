from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authorities import DEVICE
from duis.alert_messages import DCCAlertMessage, SecurityCredentialsUpdated
from duis.credential_requests import (
    ReplacementCertificates,
    RequestHandoverOfDCCControlledDevice,
    UpdateSecurityCredentialsCoS,
)
from duis.duis_enumerations import CANCELLED
from duis.request_documents import (
    RetrieveDeviceSecurityCredentialsKRP,
    ReturnLocalCommandResponse,
)
from duis.response_documents import LocalCommand, ResponseMessage
from duis.service_references import CommandVariant
from duis.smki_documents import CertificateStatus
from firmware_stubs.dccstub.bench import BROKER, COS, OPERATOR, SUPPLIER, Role, StandInBench
from firmware_stubs.support import DS, KA, TOP_UP, cell
from gbcs.message import Message
from gbcs.roles import DeviceType, RemotePartyRole
from gbcs.security_credentials import StatusCode

LATER = datetime(2026, 9, 1, tzinfo=UTC)
READ = RetrieveDeviceSecurityCredentialsKRP(
    remote_party_roles=(RemotePartyRole.SUPPLIER, RemotePartyRole.RECOVERY)
)


def handover(
    bench: StandInBench, role: RemotePartyRole = Role.SUPPLIER, **changes: Any
) -> RequestHandoverOfDCCControlledDevice:
    certificates = {
        "digital_signing_certificate": bench.pki.credential(cell(role, DS)).der,
        "key_agreement_certificate": bench.pki.credential(cell(role, KA)).der,
    }
    if role is Role.SUPPLIER:
        top_up = bench.pki.credential(cell(role, KA, TOP_UP)).der
        certificates["key_agreement_top_up_certificate"] = top_up
    fields: dict[str, Any] = {
        "remote_party_role": role,
        "remote_party_floor_seq_number": 0,
        "replacement_certificates": ReplacementCertificates(**certificates),
        "certification_path_certificates": bench.path,
        "apply_time_based_cpv_checks": True,
    }
    return RequestHandoverOfDCCControlledDevice(**(fields | changes))


def change_of_supplier(bench: StandInBench, **changes: Any) -> UpdateSecurityCredentialsCoS:
    fields: dict[str, Any] = {
        "supplier_floor_seq_number": 5,
        "supplier_replacement_certificates": ReplacementCertificates(**bench.new_certificates()),
        "certification_path_certificates": bench.path,
        "apply_time_based_cpv_checks": True,
        "import_mpxn": "1312345678333",
    }
    return UpdateSecurityCredentialsCoS(**(fields | changes))


def answer_in(response: Any) -> Message:
    assert isinstance(response.body, ResponseMessage)
    return Message.parse(response.body.gbcs_payload)


def test_cells_are_read_by_the_broker_and_told_to_who_asked() -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    assert bench.code(READ, request_id) == "I99"
    (response,) = bench.responses()
    assert response.header.request_id == request_id
    answer = answer_in(response)
    assert (answer.header.originator, answer.header.recipient) == (DEVICE, BROKER)
    assert answer.mac is not None
    supplier, recovery = bench.payload(response)
    assert [supplier.remote_party_role, recovery.remote_party_role] == [
        Role.SUPPLIER,
        Role.RECOVERY,
    ]
    (held,) = recovery.trust_anchor_cell_details
    expected = bench.credential(Role.RECOVERY).certificate.subject_key_identifier
    assert held.existing_subject_key_identifier == expected


def test_a_network_operator_may_read_cells_too() -> None:
    bench = StandInBench()
    request_id = bench.next_id(originator=OPERATOR)
    assert bench.code(READ, request_id, by=Role.NETWORK_OPERATOR) == "I99"


@pytest.mark.parametrize(
    ("device_type", "role"),
    [
        (DeviceType.ESME, Role.SUPPLIER),
        (DeviceType.ESME, Role.NETWORK_OPERATOR),
        (DeviceType.GPF, Role.NETWORK_OPERATOR),
    ],
)
def test_device_is_handed_over_by_the_broker(
    device_type: DeviceType, role: RemotePartyRole
) -> None:
    bench = StandInBench(device_type, is_handed_over=False)
    assert bench.code(handover(bench, role)) == "I99"
    response, told = bench.responses()
    assert answer_in(response).header.recipient == BROKER
    outcome = bench.payload(response).execution_outcome
    assert {each.status_code for each in outcome.replacement_outcomes} == {StatusCode.SUCCESS}
    held = bench.device.memory.state.cells[cell(role, DS)]
    assert held == bench.pki.credential(cell(role, DS)).der
    assert isinstance(told.body, DCCAlertMessage)
    assert isinstance(told.body.dcc_alert, SecurityCredentialsUpdated)
    assert told.body.dcc_alert.remote_party_role is role


def test_handover_for_later_waits_at_the_dcc() -> None:
    bench = StandInBench(is_handed_over=False)
    assert bench.code(handover(bench, execution_date_time=LATER)) == "I99"
    assert bench.responses() == []
    assert bench.device.describe().future_dated == ()
    bench.clock.now = LATER
    response, _ = bench.responses()
    assert bench.payload(response).execution_outcome is not None


def test_handover_for_later_can_be_cancelled() -> None:
    bench = StandInBench(is_handed_over=False)
    assert bench.code(handover(bench, execution_date_time=LATER)) == "I99"
    assert bench.code(handover(bench, execution_date_time=CANCELLED)) == "I99"
    bench.clock.now = LATER
    assert bench.responses() == []


def test_change_of_supplier_is_signed_by_the_transitional_party() -> None:
    bench = StandInBench()
    assert bench.code(change_of_supplier(bench)) == "I99"
    response, told = bench.responses()
    assert answer_in(response).header.recipient == COS
    assert bench.device.memory.state.counters[Role.SUPPLIER] == 5
    assert isinstance(told.body, DCCAlertMessage)


def test_change_of_supplier_for_later_waits_on_the_device() -> None:
    bench = StandInBench()
    assert bench.code(change_of_supplier(bench, execution_date_time=LATER)) == "I99"
    (response,) = bench.responses()
    assert bench.payload(response).execution_outcome is None
    assert len(bench.device.describe().future_dated) == 1


def local_command(bench: StandInBench, request_id: Any) -> bytes:
    response = bench.ask(READ, request_id, CommandVariant.LOCAL)
    assert response.header.response_code == "I0"
    assert isinstance(response.body, LocalCommand)
    return response.body.gbcs_payload


def returned(answer: bytes, request_id: Any = None) -> ReturnLocalCommandResponse:
    return ReturnLocalCommandResponse(original_request_id=request_id, device_gbcs_response=answer)


@pytest.mark.parametrize("names_request", [False, True])
def test_local_command_is_carried_and_its_answer_returned_once(*, names_request: bool) -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    (answer,) = bench.device.receive_message(local_command(bench, request_id))
    body = returned(answer, request_id if names_request else None)
    assert bench.code(body, bench.next_id(BROKER)) == "I0"
    assert bench.code(body, bench.next_id(BROKER)) == "E081302"
    assert bench.responses() == []


def test_signed_pre_command_becomes_a_local_command_whose_effects_count() -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    pre_command = bench.pre_command(bench.update(), request_id)
    response = bench.ask(
        bench.signed_pre_command(pre_command),
        request_id,
        CommandVariant.LOCAL_SIGNED,
        reference="6.15.1",
    )
    assert isinstance(response.body, LocalCommand)
    (answer,) = bench.device.receive_message(response.body.gbcs_payload)
    assert bench.code(returned(answer, request_id), bench.next_id(BROKER)) == "I0"
    (told,) = bench.responses()
    assert isinstance(told.body, DCCAlertMessage)


def test_what_is_returned_is_verified() -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    (answer,) = bench.device.receive_message(local_command(bench, request_id))
    altered = answer[:-1] + bytes((answer[-1] ^ 1,))
    for octets, code in (
        (b"\xdf", "E081301"),
        (altered, "E081303"),
        (answer, "I0"),
    ):
        assert bench.code(returned(octets, request_id), bench.next_id(BROKER)) == code


def test_device_that_is_silent_is_told_by_e21_and_its_late_answer_by_nothing() -> None:
    bench = StandInBench()
    bench.device.faults.answer_late(polls=3)
    request_id = bench.next_id()
    bench.code(READ, request_id)
    assert bench.responses() == []
    bench.clock.now += timedelta(seconds=5)
    (late,) = bench.responses()
    assert (late.header.request_id, late.header.response_code) == (request_id, "E21")
    assert bench.responses() == []
    assert len(bench.boxed.dispatcher.rejected) == 1


def test_late_answer_in_time_is_passed_on() -> None:
    bench = StandInBench()
    bench.device.faults.answer_late(polls=3)
    bench.code(READ)
    assert bench.responses() == []
    assert bench.responses() == []
    (response,) = bench.responses()
    assert len(bench.payload(response)) == 2


def test_answer_that_does_not_verify_is_no_answer() -> None:
    bench = StandInBench()
    bench.device.faults.corrupt_response()
    bench.code(READ)
    assert bench.responses() == []
    assert ["does not verify" in line for line in bench.boxed.dispatcher.rejected] == [True]


def test_requests_are_answered_to_their_own_originators() -> None:
    bench = StandInBench()
    ids = [bench.next_id() for _ in range(3)]
    for each in ids:
        bench.code(READ, each)
    assert [response.header.request_id for response in bench.responses()] == ids
    assert {each.originator for each in ids} == {SUPPLIER}


def test_device_of_which_no_key_is_known_cannot_be_reached() -> None:
    bench = StandInBench()
    for each in bench.boxed.directory.device_certificates(DEVICE, KA):
        bench.boxed.directory.add(each, CertificateStatus.REVOKED)
    assert bench.code(READ, None, CommandVariant.LOCAL) == "E20"
    assert bench.code(READ) == "I99"
    (response,) = bench.responses()
    assert response.header.response_code == "E20"


def test_device_without_power_does_not_answer() -> None:
    bench = StandInBench()
    bench.device.faults.cut_power_at_write()
    bench.code(READ)
    assert bench.responses() == []
    bench.clock.now += timedelta(seconds=5)
    (response,) = bench.responses()
    assert response.header.response_code == "E21"


def test_certificates_of_another_role_are_not_handed_over() -> None:
    bench = StandInBench(is_handed_over=False)
    operator = bench.pki.credential(cell(Role.NETWORK_OPERATOR, DS)).der
    wrong = ReplacementCertificates(digital_signing_certificate=operator)
    assert bench.code(handover(bench, replacement_certificates=wrong)) == "E062101"
    body = change_of_supplier(bench, supplier_replacement_certificates=wrong)
    assert bench.code(body) == "E062301"
    recovery = handover(bench, remote_party_role=Role.RECOVERY)
    assert bench.code(recovery) == "E062101"
