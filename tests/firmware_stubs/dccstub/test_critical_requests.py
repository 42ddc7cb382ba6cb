from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authorities import DEVICE
from dccstub import Fault
from dccstub.stand_in_options import CertificateHashForm, FutureDatedAlertForm
from duis.alert_messages import DCCAlertMessage, DeviceAlertMessage, SecurityCredentialsUpdated
from duis.duis_enumerations import CANCELLED, CertificateType, SMIStatus
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    IssueSecurityCredentials,
    RetrieveDeviceSecurityCredentialsDevice,
    SignedPreCommand,
    UpdateSecurityCredentialsDevice,
)
from duis.response_documents import FutureDatedDeviceAlertMessage
from duis.service_references import CommandVariant
from duis.smki_documents import CertificateStatus
from firmware_stubs.dccstub.bench import Role, StandInBench
from firmware_stubs.support import DS, KA, cell
from gbcs import protection
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.message import Message
from gbcs.roles import DeviceType, KeyUsage
from gbcs.security_credentials import StatusCode, UpdateDeviceCertificateResponseCode
from meterstub.device_options import CertificateTime, DeviceOptions

LATER = datetime(2026, 9, 1, tzinfo=UTC)


def regenerate(bench: StandInBench, usage: KeyUsage) -> GBCSCertificate:
    """6.17, certified by the test authority, and 6.15.2; gives the new certificate."""
    request = bench.outcome(IssueSecurityCredentials(credential_type=usage))
    certificate = bench.pki.certify(request, serial=900 + usage)
    said = bench.outcome(UpdateSecurityCredentialsDevice(device_certificate=certificate))
    assert said is UpdateDeviceCertificateResponseCode.SUCCESS
    return GBCSCertificate.from_der(certificate)


@pytest.mark.parametrize("usage", [DS, KA])
def test_keys_are_regenerated_and_the_new_certificate_is_read_back(usage: KeyUsage) -> None:
    bench = StandInBench()
    old = bench.boxed.directory.device_certificates(DEVICE, usage)
    new = regenerate(bench, usage)
    assert bench.boxed.directory.device_certificates(DEVICE, usage) == [new] != old
    read = bench.outcome(RetrieveDeviceSecurityCredentialsDevice(credential_type=usage))
    assert read == new.der


def test_certificate_on_its_way_is_pending_until_the_device_says_it_has_it() -> None:
    bench = StandInBench()
    request = bench.outcome(IssueSecurityCredentials(credential_type=KA))
    certificate = GBCSCertificate.from_der(bench.pki.certify(request, serial=901))
    bench.send_critical(UpdateSecurityCredentialsDevice(device_certificate=certificate.der))
    entry = bench.boxed.directory.by_serial(901)
    assert entry is not None
    assert entry.status is CertificateStatus.PENDING
    bench.responses()
    entry = bench.boxed.directory.by_serial(901)
    assert entry is not None
    assert entry.status is CertificateStatus.IN_USE


def test_refused_certificate_leaves_the_old_one_in_use() -> None:
    bench = StandInBench()
    before = bench.boxed.directory.device_certificates(DEVICE, DS)
    certificate = bench.pki.certify(
        bench.outcome(IssueSecurityCredentials(credential_type=KA)), serial=902, key_usage=DS
    )
    said = bench.outcome(UpdateSecurityCredentialsDevice(device_certificate=certificate))
    assert said is not UpdateDeviceCertificateResponseCode.SUCCESS
    assert bench.boxed.directory.device_certificates(DEVICE, DS) == before


def test_lost_answer_about_a_new_key_agreement_key_does_not_lock_the_device_out() -> None:
    """The broker does not know which key the device holds, and tries the MAC with either."""
    bench = StandInBench()
    request = bench.outcome(IssueSecurityCredentials(credential_type=KA))
    certificate = bench.pki.certify(request, serial=903)
    bench.device.faults.drop_responses()
    bench.send_critical(UpdateSecurityCredentialsDevice(device_certificate=certificate))
    assert bench.responses() == []
    bench.clock.now += timedelta(minutes=1)
    (late,) = bench.responses()
    assert late.header.response_code == "E21"
    read = bench.outcome(RetrieveDeviceSecurityCredentialsDevice(credential_type=KA))
    assert read == certificate


@pytest.mark.parametrize("form", CertificateHashForm)
def test_replaced_certificates_are_told_by_an_alert(form: CertificateHashForm) -> None:
    bench = StandInBench(options={"certificate_hash": form})
    certificates = bench.new_certificates()
    body = bench.update(
        certificates=certificates, remote_party_prepayment_top_up_floor_seq_number=7
    )
    bench.send_critical(body)
    response, told = bench.responses()
    outcome = bench.payload(response).execution_outcome
    assert {each.status_code for each in outcome.replacement_outcomes} == {StatusCode.SUCCESS}
    assert isinstance(told.body, DCCAlertMessage)
    alert = told.body.dcc_alert
    assert isinstance(alert, SecurityCredentialsUpdated)
    assert (alert.device_id, alert.remote_party_role) == (DEVICE, Role.SUPPLIER)
    assert alert.remote_party_seq_number_change is not None
    change = alert.remote_party_seq_number_change
    assert change.remote_party_floor_seq_number == 0
    assert change.remote_party_prepayment_top_up_floor_seq_number == 7
    assert [each.certificate_type for each in alert.certificates] == list(CertificateType)
    der = certificates["digital_signing_certificate"]
    expected = {
        CertificateHashForm.THUMBPRINT: hashlib.sha1(der).digest(),
        CertificateHashForm.SUBJECT_KEY_IDENTIFIER: GBCSCertificate.from_der(
            der
        ).subject_key_identifier,
    }
    assert alert.certificates[0].certificate_hash == expected[form]


def test_one_certificate_alone_can_be_replaced() -> None:
    bench = StandInBench()
    der = bench.pki.new_credential(cell(Role.SUPPLIER, KA)).der
    before = dict(bench.device.memory.state.cells)
    bench.outcome(bench.update(certificates={"key_agreement_certificate": der}))
    after = before | {cell(Role.SUPPLIER, KA): der}
    assert dict(bench.device.memory.state.cells) == after


def test_network_operator_replaces_its_own() -> None:
    bench = StandInBench()
    certificates = bench.new_certificates(Role.NETWORK_OPERATOR)
    certificates.pop("key_agreement_top_up_certificate", None)
    body = bench.update(Role.NETWORK_OPERATOR, certificates=certificates)
    bench.outcome(body, by=Role.NETWORK_OPERATOR)
    held = bench.device.memory.state.cells[cell(Role.NETWORK_OPERATOR, DS)]
    assert held == certificates["digital_signing_certificate"]


@pytest.mark.parametrize("form", FutureDatedAlertForm)
def test_future_dated_replacement_is_accepted_and_its_alert_passed_on(
    form: FutureDatedAlertForm,
) -> None:
    bench = StandInBench(
        options={"future_dated_alert": form},
        device_options=DeviceOptions(certificate_time=CertificateTime.RECEIPT),
    )
    request_id = bench.send_critical(bench.update(execution_date_time=LATER))
    (accepted,) = bench.responses()
    assert bench.payload(accepted).execution_outcome is None
    bench.clock.now = LATER
    alerted, told = bench.responses()
    if form is FutureDatedAlertForm.RESPONSE:
        assert isinstance(alerted.body, FutureDatedDeviceAlertMessage)
        assert alerted.header.request_id == request_id
        assert alerted.body.future_dated_alert_code == 0x8F66
    else:
        assert isinstance(alerted.body, DeviceAlertMessage)
        assert alerted.header.request_id is None
        assert alerted.header.response_id is not None
        assert alerted.header.response_id.originator == DEVICE
        assert alerted.body.alert_code == 0x8F66
    key = bench.device.memory.state.key_pairs[DS].public_key
    protection.verify_signature(Message.parse(alerted.body.gbcs_payload), key)
    assert isinstance(told.body, DCCAlertMessage)
    bench.clock.now += timedelta(days=1)
    assert bench.responses() == []


def test_cancelled_replacement_ends_in_nothing() -> None:
    bench = StandInBench()
    body = bench.update(execution_date_time=LATER)
    bench.outcome(body)
    cancelled = bench.outcome(bench.update(execution_date_time=CANCELLED))
    assert cancelled.execution_outcome is None
    bench.clock.now = LATER + timedelta(days=2)
    assert bench.responses() == []


def test_future_dated_replacement_whose_alert_does_not_come_times_out() -> None:
    bench = StandInBench()
    request_id = bench.send_critical(bench.update(execution_date_time=LATER))
    bench.responses()
    bench.device.memory.commit(replace(bench.device.memory.state, future_dated=()))
    bench.clock.now = LATER + timedelta(hours=1)
    (late,) = bench.responses()
    assert (late.header.request_id, late.header.response_code) == (request_id, "E30")


@pytest.mark.parametrize("device_type", [DeviceType.ESME, DeviceType.GSME])
def test_commissioning_sets_status_and_date(device_type: DeviceType) -> None:
    bench = StandInBench(
        device_type,
        inventory={"status": SMIStatus.INSTALLED_NOT_COMMISSIONED, "date_commissioned": None},
    )
    body = CommissionDeviceSynchroniseClock(
        current_date_time=bench.clock.now, tolerance_period_s=10
    )
    bench.send_critical(body)
    (response,) = bench.responses()
    assert response.header.response_code == "I0"
    assert bench.listed.status is SMIStatus.COMMISSIONED
    assert bench.listed.date_commissioned == bench.clock.now.date()


def test_commissioning_signed_by_another_than_the_devices_supplier_is_not_answered() -> None:
    bench = StandInBench(is_handed_over=False)
    bench.send_critical(
        CommissionDeviceSynchroniseClock(current_date_time=bench.clock.now, tolerance_period_s=1)
    )
    bench.responses()
    bench.clock.now += timedelta(minutes=1)
    (late,) = bench.responses()
    assert late.header.response_code == "E21"


def test_transform_may_be_asked_again_until_the_pre_command_is_sent() -> None:
    bench = StandInBench()
    body = IssueSecurityCredentials(credential_type=DS)
    request_id = bench.next_id()
    first = bench.pre_command(body, request_id)
    assert bench.pre_command(body, request_id) == first
    other = IssueSecurityCredentials(credential_type=KA)
    assert bench.code(other, request_id) == "E49"
    sent = bench.code(
        bench.signed_pre_command(first), request_id, CommandVariant.SEND_SIGNED, reference="6.17"
    )
    assert sent == "I99"
    assert bench.code(body, request_id) == "E49"


def test_signed_pre_command_for_later_waits_at_the_dcc_and_can_be_cancelled() -> None:
    bench = StandInBench()
    for cancelled in (False, True):
        for date in (bench.clock.now + timedelta(days=1), CANCELLED)[: 1 + cancelled]:
            request_id = bench.next_id()
            pre_command = bench.pre_command(bench.update(), request_id)
            held = replace(bench.signed_pre_command(pre_command), execution_date_time=date)
            asked = bench.code(held, request_id, CommandVariant.SEND_SIGNED, reference="6.15.1")
            assert asked == "I99"
        assert bench.responses() == []
        bench.clock.now += timedelta(days=1)
        assert len(bench.responses()) == (0 if cancelled else 2)


def send(bench: StandInBench, signed: SignedPreCommand, request_id: object) -> str:
    return bench.code(signed, request_id, CommandVariant.SEND_SIGNED, reference="6.17")


def test_signed_pre_command_must_be_the_pre_command_with_its_originators_signature() -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    pre_command = bench.pre_command(IssueSecurityCredentials(credential_type=DS), request_id)
    other_id = bench.next_id()
    other = bench.pre_command(IssueSecurityCredentials(credential_type=KA), other_id)
    right = bench.signed_pre_command(pre_command)
    wrong = [
        bench.signed_pre_command(other),
        bench.signed_pre_command(pre_command, Role.NETWORK_OPERATOR),
        SignedPreCommand(gbcs_payload=pre_command.octets),
        SignedPreCommand(gbcs_payload=right.gbcs_payload[:-1]),
        SignedPreCommand(
            gbcs_payload=protection.protect(
                pre_command,
                signer=bench.credential(Role.SUPPLIER).pair,
                shared_secret=bytes(32),
            ).octets
        ),
    ]
    assert {send(bench, each, request_id) for each in wrong} == {"E57"}
    assert send(bench, right, bench.next_id()) == "E57"
    assert send(bench, right, request_id) == "I99"
    assert send(bench, right, request_id) == "E49"
    assert len(bench.responses()) == 1


@pytest.mark.parametrize(
    "body",
    [
        IssueSecurityCredentials(credential_type=DS),
        RetrieveDeviceSecurityCredentialsDevice(credential_type=KA),
    ],
)
def test_different_pre_command_asks_for_the_other_key(body: object) -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.DIFFERENT_PRE_COMMAND)
    assert isinstance(body, IssueSecurityCredentials | RetrieveDeviceSecurityCredentialsDevice)
    first = bench.pre_command(body, bench.next_id())
    second = bench.pre_command(body, bench.next_id())
    assert first.header.message_code == second.header.message_code
    assert first.content != second.content


def test_different_pre_command_leaves_a_certificate_out() -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.DIFFERENT_PRE_COMMAND)
    body = bench.update()
    request_id = bench.next_id()
    wrong = bench.pre_command(body, request_id)
    right = bench.pre_command(body, request_id)
    assert wrong.header == right.header
    assert len(wrong.content) < len(right.content)
