"""Limits of the schema: what lies at one can be made, what lies beyond cannot."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from duis.alert_messages import (
    AssociatedType1Device,
    Certificates,
    CommandFailure,
    DCCAlertMessage,
    DeviceAlertMessage,
    DeviceStatusChangeEvent,
    MeterDecommissioningOrWithdrawal,
    MeterMPxNs,
    RecoveryCompleteACBCredentials,
    SecurityCredentialsUpdated,
)
from duis.credential_requests import CertificationPathCertificates, ReplacementCertificates
from duis.document_headers import CommandVariant, RequestHeader, RequestIdentifier
from duis.dsp_inventory import DSPInventory
from duis.duis_enumerations import CertificateType, ListedDeviceType, SMIStatus
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    DecommissionDevice,
    IssueSecurityCredentials,
    PropertyFilter,
    ReadInventory,
    Request,
    RetrieveDeviceSecurityCredentialsKRP,
    ReturnLocalCommandResponse,
    SignedPreCommand,
    UpdateDeviceDetails,
    UpdateInventory,
    UpdateMPxN,
    UpdateSecurityCredentialsDevice,
    build_request,
    request_of,
)
from duis.response_documents import (
    FutureDatedDeviceAlertMessage,
    LocalCommand,
    PreCommand,
    Response,
    build_response,
)
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage, RemotePartyRole

from .examples import (
    AT,
    BARE_DEVICE,
    BODIES,
    DEVICE,
    METER,
    MPXNS,
    PATH,
    REPLACEMENT,
    REQUESTS,
    RESPONSES,
    TO_DCC,
    TO_METER,
    response_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KRP = BODIES[0]
SUPPLIER_CERTIFICATE = Certificates(
    certificate_type=CertificateType.DIGITAL_SIGNING, certificate_hash=b"1"
)
DECOMMISSION = DecommissionDevice(device_id=METER)


def changed(instance: Any, **change: Any) -> Callable[[], Any]:
    return lambda: replace(instance, **change)


def made(cls: type[Any], **values: Any) -> Callable[[], Any]:
    return lambda: cls(**values)


BEYOND: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("RemotePartyFloorSeqNumber: -1", changed(KRP, remote_party_floor_seq_number=-1)),
    ("is not within", changed(KRP, remote_party_floor_seq_number=2**63)),
    ("not true or false", changed(KRP, remote_party_floor_seq_number=True)),
    ("not float", changed(KRP, remote_party_floor_seq_number=1.0)),
    ("TopUpFloorSeqNumber", changed(KRP, remote_party_prepayment_top_up_floor_seq_number=2**63)),
    ("has no name here", changed(KRP, remote_party_role=RemotePartyRole.WAN_PROVIDER)),
    ("not str", changed(KRP, apply_time_based_cpv_checks="true")),
    ("without a zone", changed(KRP, execution_date_time=AT.replace(tzinfo=None))),
    (
        "a year beyond",
        changed(
            KRP,
            execution_date_time=datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        ),
    ),
    ("not date", changed(KRP, execution_date_time=date(2026, 1, 1))),
    ("ReplacementCertificatesKRP belongs", changed(KRP, replacement_certificates=REPLACEMENT)),
    ("Certificate: 0 of them", made(CertificationPathCertificates, certificates=())),
    ("Certificate: 4 of them", made(CertificationPathCertificates, certificates=(b"1",) * 4)),
    ("no octets", made(CertificationPathCertificates, certificates=(b"",))),
    ("octets belongs", made(CertificationPathCertificates, certificates=("MII=",))),
    (
        "DigitalSigningCertificate: 0 of them",
        made(ReplacementCertificates, digital_signing_certificate=None),
    ),
    ("no octets", made(UpdateSecurityCredentialsDevice, device_certificate=b"")),
    ("has no name here", made(IssueSecurityCredentials, credential_type=KeyUsage.KEY_CERT_SIGN)),
    (
        "has no name here",
        made(
            IssueSecurityCredentials,
            credential_type=KeyUsage.KEY_AGREEMENT | KeyUsage.DIGITAL_SIGNATURE,
        ),
    ),
    ("0 of them", made(RetrieveDeviceSecurityCredentialsKRP, remote_party_roles=())),
    (
        "8 of them, where 1 to 7",
        made(
            RetrieveDeviceSecurityCredentialsKRP,
            remote_party_roles=(RemotePartyRole.SUPPLIER,) * 8,
        ),
    ),
    (
        "86401 is not within 0 to 86400",
        made(CommissionDeviceSynchroniseClock, current_date_time=AT, tolerance_period_s=86_401),
    ),
    ("0 of UPRN, DeviceID", made(ReadInventory)),
    ("2 of UPRN, DeviceID", made(ReadInventory, uprn=1, device_id=METER)),
    ("UPRN: 0 is", made(ReadInventory, uprn=0)),
    ("is not within", made(ReadInventory, uprn=10**12)),
    ("0 characters", made(ReadInventory, mpxn="")),
    ("14 characters", made(ReadInventory, mpxn="1" * 14)),
    ("does not carry", made(ReadInventory, mpxn="1\x00")),
    ("does not carry", made(ReadInventory, mpxn="1\r")),
    ("does not carry", made(ReadInventory, mpxn="\ud800")),
    ("Entity Identifier belongs", made(ReadInventory, device_id=bytes(METER))),
    ("PostCode: 5", made(PropertyFilter, post_code="AB1 2", address_identifier="")),
    ("PostCode: 9", made(PropertyFilter, post_code="AB12 3CDE", address_identifier="")),
    (
        "AddressIdentifier: 31",
        made(PropertyFilter, post_code="AB1 2C", address_identifier="1" * 31),
    ),
    ("0 of UpdateDeviceStatusExceptCH", made(UpdateInventory, device_id=METER)),
    (
        "2 of UpdateDeviceStatusExceptCH",
        made(
            UpdateInventory,
            device_id=METER,
            delete_device=True,
            update_device_status_ch=SMIStatus.WITHDRAWN,
        ),
    ),
    ("True or None", made(UpdateInventory, device_id=METER, delete_device=False)),
    *(
        (
            "has no name here",
            made(UpdateInventory, device_id=METER, update_device_status_except_ch=status),
        )
        for status in SMIStatus
        if status not in {SMIStatus.PENDING, SMIStatus.INSTALLED_NOT_COMMISSIONED}
    ),
    *(
        ("has no name here", made(UpdateInventory, device_id=METER, update_device_status_ch=status))
        for status in SMIStatus
        if status
        not in {
            SMIStatus.COMMISSIONED,
            SMIStatus.WITHDRAWN,
            SMIStatus.INSTALLED_NOT_COMMISSIONED,
        }
    ),
    ("DeviceManufacturer: 31", made(UpdateDeviceDetails, device_manufacturer="1" * 31)),
    ("DeviceModel: 31", made(UpdateDeviceDetails, device_model="1" * 31)),
    ("SMETSCHTSVersion: 0", made(UpdateDeviceDetails, smets_chts_version="")),
    ("SMETSCHTSVersion: 21", made(UpdateDeviceDetails, smets_chts_version="1" * 21)),
    ("FirmwareVersion: 0", made(UpdateDeviceDetails, firmware_version="")),
    ("FirmwareVersion: 9", made(UpdateDeviceDetails, firmware_version="1" * 9)),
    ("ESMEVariant: 'X'", made(UpdateDeviceDetails, esme_variant="X")),
    ("ImportMPxN: 14", made(UpdateMPxN, import_mpxn="1" * 14)),
    ("SecondaryImportMPAN: 12", made(UpdateMPxN, secondary_import_mpan="1" * 12)),
    ("ExportMPAN: 14", made(UpdateMPxN, export_mpan="1" * 14)),
    ("2 of ImportMPxN", made(UpdateMPxN, import_mpxn="1", export_mpan="1" * 13)),
    ("no octets", made(ReturnLocalCommandResponse, device_gbcs_response=b"")),
    ("no octets", made(SignedPreCommand, gbcs_payload=b"")),
    (
        "a RequestIdentifier belongs",
        made(
            ReturnLocalCommandResponse, original_request_id=str(TO_METER), device_gbcs_response=b"1"
        ),
    ),
    (
        "no service reference variant",
        made(
            RequestHeader,
            request_id=TO_METER,
            command_variant=CommandVariant.SEND,
            service_reference_variant="6.15",
        ),
    ),
    (
        "has no name here",
        made(
            RequestHeader,
            request_id=TO_METER,
            command_variant=9,
            service_reference_variant="8.2",
        ),
    ),
    ("a response code", changed(response_header(), response_code="0")),
    ("Device: 0", made(DSPInventory, devices=())),
    ("Device: 18", made(DSPInventory, devices=(BARE_DEVICE,) * 18)),
    ("without an hour", changed(DEVICE, date_commissioned=AT)),
    ("SMIStatus belongs", changed(DEVICE, device_status="Suspended")),
    ("ListedDeviceType belongs", changed(DEVICE, device_type="ESME")),
    ("1025 characters", changed(DEVICE, s1sp="x" * 1025)),
    ("no octets", made(LocalCommand, gbcs_payload=b"")),
    ("no octets", made(PreCommand, gbcs_version="4.3", gbcs_payload=b"")),
    (
        "has no name here",
        made(
            FutureDatedDeviceAlertMessage,
            future_dated_alert_code=0x8F65,
            gbcs_payload=b"1",
            instruction_number=1,
            total_command_instructions=1,
        ),
    ),
    (
        "65536 is not within",
        made(
            FutureDatedDeviceAlertMessage,
            future_dated_alert_code=0x8F66,
            gbcs_payload=b"1",
            instruction_number=65_536,
            total_command_instructions=1,
        ),
    ),
    ("AlertCode", made(DeviceAlertMessage, alert_code=0x10000, gbcs_payload=b"1")),
    (
        "ThrottledAlertCount",
        made(DeviceAlertMessage, alert_code=1, throttled_alert_count=2**32, gbcs_payload=b"1"),
    ),
    (
        "DSPScheduleID",
        made(
            CommandFailure,
            command_request_id=TO_METER,
            dsp_schedule_id=10**12 + 1,
            device_id=METER,
        ),
    ),
    (
        "Certificates: 0",
        made(
            SecurityCredentialsUpdated,
            device_id=METER,
            remote_party_role=RemotePartyRole.SUPPLIER,
            certificates=(),
        ),
    ),
    (
        "Certificates: 4",
        made(
            SecurityCredentialsUpdated,
            device_id=METER,
            remote_party_role=RemotePartyRole.SUPPLIER,
            certificates=(SUPPLIER_CERTIFICATE,) * 4,
        ),
    ),
    (
        "AssociatedType1Device: 8",
        made(
            MeterDecommissioningOrWithdrawal,
            meter_decommission_or_withdrawal=MPXNS,
            associated_type_1_devices=(
                AssociatedType1Device(device_id=METER, device_type=ListedDeviceType.PPMID),
            )
            * 8,
        ),
    ),
    (
        "SupplierCertificateType: 4",
        made(
            RecoveryCompleteACBCredentials,
            supplier_certificate_types=(CertificateType.KEY_AGREEMENT,) * 4,
        ),
    ),
    (
        "has no name here",
        made(
            RecoveryCompleteACBCredentials,
            supplier_certificate_types=(CertificateType.KEY_AGREEMENT,),
            network_operator_certificate_types=(CertificateType.KEY_AGREEMENT_TOP_UP,),
        ),
    ),
    ("ExportMPAN: 12", made(MeterMPxNs, import_mpxn="1", export_mpan="1" * 12)),
    ("'N32' has no name here", made(DCCAlertMessage, dcc_alert_code="N32", dcc_alert=None)),
    (
        "is none of",
        made(DCCAlertMessage, dcc_alert_code="N1", dcc_alert=PATH),
    ),
    (
        "is none of",
        made(DeviceStatusChangeEvent, device_id=METER, device_status_change=PATH),
    ),
)


@pytest.mark.parametrize(
    ("told", "make"), BEYOND, ids=lambda value: value if isinstance(value, str) else ""
)
def test_value_beyond_a_limit_cannot_be_made(told: str, make: Callable[[], Any]) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("counter", [-1, 2**64])
def test_counter_beyond_its_limits_is_refused(counter: int) -> None:
    with pytest.raises(ValueError, match="originator counter"):
        RequestIdentifier(METER, METER, counter)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: request_of(DECOMMISSION, TO_DCC, CommandVariant.SEND),
            "CommandVariant: 1, where DecommissionDevice of 8.3 may have 8",
        ),
        (
            lambda: request_of(DECOMMISSION, TO_DCC, None, "8.4"),
            "ServiceReferenceVariant: 8.4, where DecommissionDevice is 8.3",
        ),
        (
            lambda: request_of(SignedPreCommand(gbcs_payload=b"1"), TO_METER),
            "no service reference variant",
        ),
        (
            lambda: request_of(
                SignedPreCommand(gbcs_payload=b"1"), TO_METER, CommandVariant.LOCAL_SIGNED, "8.1.1"
            ),
            "may have 5",
        ),
        (
            lambda: request_of(SignedPreCommand(gbcs_payload=b"1"), TO_METER, None, "6.21"),
            "may have none",
        ),
        (lambda: Response(header=response_header(), body=None), "NoneType needs one"),
        (
            lambda: replace(RESPONSES[-1], service_reference_variant="8.2"),
            "DCCAlertMessage has none",
        ),
        (
            lambda: build_response(replace(RESPONSES[0], header=response_header("E9"))),
            "DUIS 5.4 has no E9",
        ),
        (lambda: build_request(replace(REQUESTS[0], schema_version="5.4b")), "is no version"),
    ],
)
def test_what_does_not_go_together_is_refused(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make()
    assert told in str(caught.value)


def test_command_variant_that_is_not_given_is_the_one_that_is_sent() -> None:
    sent = {
        type(body).__name__: request_of(body, TO_METER).header.command_variant for body in BODIES
    }
    assert set(sent.values()) == {
        CommandVariant.SEND,
        CommandVariant.TRANSFORM,
        CommandVariant.NON_DEVICE,
    }
    signed = request_of(SignedPreCommand(gbcs_payload=b"1"), TO_METER, None, "6.17")
    assert signed.header.command_variant is CommandVariant.SEND_SIGNED
    assert signed.header.service_reference == "6.17"


def test_nothing_that_is_made_can_be_changed() -> None:
    for request in REQUESTS:
        assert isinstance(request, Request)
        for instance in (request, request.header, request.body):
            assert is_dataclass(instance)
            name = fields(instance)[0].name
            with pytest.raises(AttributeError):
                setattr(instance, name, None)


def test_instant_is_written_in_utc() -> None:
    east = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    body = CommissionDeviceSynchroniseClock(current_date_time=east, tolerance_period_s=0)
    octets = build_request(request_of(body, TO_METER))
    assert b">2026-11-24T08:00:01.25Z<" in octets
    assert east.astimezone(UTC) == AT
