"""One of every document that is built, with every optional part somewhere."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from duis.alert_messages import (
    AssociatedType1Device,
    Certificates,
    CHFDecommissioning,
    CommandFailure,
    DCCAlertMessage,
    DeviceAlertMessage,
    DeviceRemovedFromInventory,
    DeviceRestored,
    DeviceStatusChangeEvent,
    DeviceSuspended,
    MeterDecommissioningOrWithdrawal,
    MeterIdentity,
    MeterMPxNs,
    RecoveryComplete,
    RecoveryCompleteACBCredentials,
    RemotePartySeqNumberChange,
    SecurityCredentialsUpdated,
    StatusChange,
)
from duis.credential_requests import (
    CertificationPathCertificates,
    ReplacementCertificates,
    ReplacementCertificatesKRP,
    RequestHandoverOfDCCControlledDevice,
    SupplierOrNetworkOperatorCertificates,
    UpdateSecurityCredentialsCoS,
    UpdateSecurityCredentialsKRP,
)
from duis.document_headers import CommandVariant, RequestHeader, RequestIdentifier, ResponseHeader
from duis.dsp_inventory import Device, DSPInventory
from duis.duis_enumerations import (
    CANCELLED,
    CertificateType,
    Connectivity,
    CSPRegion,
    ListedDeviceType,
    ProductListStatus,
    SMIStatus,
)
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    DecommissionDevice,
    IssueSecurityCredentials,
    PropertyFilter,
    ReadInventory,
    Request,
    RequestBody,
    RetrieveDeviceSecurityCredentialsDevice,
    RetrieveDeviceSecurityCredentialsKRP,
    ReturnLocalCommandResponse,
    SignedPreCommand,
    UpdateDeviceDetails,
    UpdateInventory,
    UpdateMPxN,
    UpdateSecurityCredentialsDevice,
    request_of,
)
from duis.response_documents import (
    FutureDatedDeviceAlertMessage,
    LocalCommand,
    PreCommand,
    Response,
    ResponseBody,
    ResponseMessage,
)
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage, RemotePartyRole

SUPPLIER: Final = EntityIdentifier.parse("90b3d51f30010000")
DCC: Final = EntityIdentifier.parse("90b3d51f30000002")
METER: Final = EntityIdentifier.parse("00db1234567890a0")
AT: Final = datetime(2026, 11, 24, 8, 0, 1, 250_000, tzinfo=UTC)
TO_METER: Final = RequestIdentifier(SUPPLIER, METER, 1000)
TO_DCC: Final = RequestIdentifier(SUPPLIER, DCC, 2**64 - 1)

PATH: Final = CertificationPathCertificates(certificates=(b"\x30\x01", b"\x30\x02", b"\x30\x03"))
REPLACEMENT: Final = ReplacementCertificates(digital_signing_certificate=b"\x30\x04")

BODIES: Final[tuple[RequestBody, ...]] = (
    UpdateSecurityCredentialsKRP(
        execution_date_time=CANCELLED,
        remote_party_role=RemotePartyRole.SUPPLIER,
        remote_party_floor_seq_number=0,
        remote_party_prepayment_top_up_floor_seq_number=2**63 - 1,
        replacement_certificates=ReplacementCertificatesKRP(
            supplier_or_network_operator_certificates=SupplierOrNetworkOperatorCertificates(
                digital_signing_certificate=b"\x30\x05",
                key_agreement_certificate=b"\x30\x06",
                key_agreement_top_up_certificate=b"\x30\x07",
            )
        ),
        certification_path_certificates=PATH,
        apply_time_based_cpv_checks=False,
    ),
    UpdateSecurityCredentialsKRP(
        remote_party_role=RemotePartyRole.NETWORK_OPERATOR,
        replacement_certificates=ReplacementCertificatesKRP(
            supplier_or_network_operator_certificates=SupplierOrNetworkOperatorCertificates()
        ),
        certification_path_certificates=PATH,
        apply_time_based_cpv_checks=True,
    ),
    UpdateSecurityCredentialsDevice(device_certificate=b"\x30\x08"),
    IssueSecurityCredentials(credential_type=KeyUsage.DIGITAL_SIGNATURE),
    RequestHandoverOfDCCControlledDevice(
        execution_date_time=AT,
        remote_party_role=RemotePartyRole.SUPPLIER,
        remote_party_floor_seq_number=1,
        remote_party_prepayment_top_up_floor_seq_number=2,
        replacement_certificates=REPLACEMENT,
        certification_path_certificates=PATH,
        apply_time_based_cpv_checks=True,
    ),
    UpdateSecurityCredentialsCoS(
        execution_date_time=AT,
        supplier_floor_seq_number=1,
        supplier_prepayment_top_up_floor_seq_number=2,
        supplier_replacement_certificates=REPLACEMENT,
        certification_path_certificates=PATH,
        apply_time_based_cpv_checks=True,
        import_mpxn="1312345678333",
    ),
    RetrieveDeviceSecurityCredentialsKRP(
        remote_party_roles=(
            RemotePartyRole.ACCESS_CONTROL_BROKER,
            RemotePartyRole.NETWORK_OPERATOR,
            RemotePartyRole.RECOVERY,
            RemotePartyRole.ROOT,
            RemotePartyRole.SUPPLIER,
            RemotePartyRole.TRANSITIONAL_COS,
            RemotePartyRole.LOAD_CONTROLLER,
        )
    ),
    RetrieveDeviceSecurityCredentialsDevice(credential_type=KeyUsage.KEY_AGREEMENT),
    CommissionDeviceSynchroniseClock(current_date_time=AT, tolerance_period_s=86_400),
    ReadInventory(uprn=10**12 - 1),
    ReadInventory(device_id=METER),
    ReadInventory(mpxn="1312345678333"),
    ReadInventory(property_filter=PropertyFilter(post_code="AB1 2CD", address_identifier="<3>")),
    DecommissionDevice(device_id=METER),
    UpdateInventory(
        device_id=METER, update_device_status_except_ch=SMIStatus.INSTALLED_NOT_COMMISSIONED
    ),
    UpdateInventory(device_id=METER, update_device_status_ch=SMIStatus.WITHDRAWN),
    UpdateInventory(
        device_id=METER,
        update_device_details=UpdateDeviceDetails(
            device_manufacturer="1060",
            device_model="",
            smets_chts_version="V5.1",
            firmware_version="12345678",
            esme_variant="ADE",
        ),
    ),
    UpdateInventory(device_id=METER, delete_device=True),
    UpdateInventory(device_id=METER, update_mpxn=UpdateMPxN(import_mpxn="1")),
    UpdateInventory(device_id=METER, update_mpxn=UpdateMPxN(secondary_import_mpan="1" * 13)),
    UpdateInventory(device_id=METER, update_mpxn=UpdateMPxN(export_mpan="1" * 13)),
    ReturnLocalCommandResponse(device_gbcs_response=b"\xdf\x09"),
    ReturnLocalCommandResponse(original_request_id=TO_METER, device_gbcs_response=b"\xdf\x09"),
)


def _requests() -> tuple[Request, ...]:
    plain = [
        request_of(body, TO_METER, variant)
        for body in BODIES
        for variant in sorted(body.COMMAND_VARIANTS)
    ]
    signed = [
        request_of(SignedPreCommand(gbcs_payload=b"\xdf"), TO_METER, variant, "6.15.1")
        for variant in (CommandVariant.SEND_SIGNED, CommandVariant.LOCAL_SIGNED)
    ]
    later = SignedPreCommand(execution_date_time=AT, gbcs_payload=b"\xdf")
    chained = Request(
        header=RequestHeader(
            request_id=TO_DCC,
            first_in_sequence=True,
            preceding_service_request_id=TO_METER,
            command_variant=CommandVariant.SEND_SIGNED,
            service_reference_variant="8.1.1",
        ),
        body=later,
    )
    return (*plain, *signed, chained)


REQUESTS: Final = _requests()

MPXNS: Final = MeterMPxNs(import_mpxn="1", secondary_import_mpan="2" * 13, export_mpan="3" * 13)
STATUS_CHANGES: Final[tuple[StatusChange, ...]] = (
    MeterIdentity(meter_mpxns=MPXNS, esme_variant="A"),
    MeterDecommissioningOrWithdrawal(
        meter_decommission_or_withdrawal=MPXNS,
        associated_type_1_devices=(
            AssociatedType1Device(device_id=METER, device_type=ListedDeviceType.PPMID),
        )
        * 7,
    ),
    DeviceRemovedFromInventory(),
    CHFDecommissioning(),
    DeviceSuspended(),
    DeviceRestored(),
    RecoveryCompleteACBCredentials(
        supplier_certificate_types=tuple(CertificateType),
        network_operator_certificate_types=(
            CertificateType.DIGITAL_SIGNING,
            CertificateType.KEY_AGREEMENT,
        ),
    ),
    RecoveryComplete(),
)
DEVICE: Final = Device(
    device_id=METER,
    device_type=ListedDeviceType.ESME,
    device_status=SMIStatus.SUSPENDED,
    device_manufacturer="1060",
    device_model="0001",
    smets_chts_version="V5.1",
    device_firmware_version="00000001",
    device_firmware_version_status=ProductListStatus.ACTIVE,
    cpl_status=ProductListStatus.WITHDRAWN,
    date_commissioned=date(2026, 11, 20),
    import_mpxn="1312345678333",
    secondary_import_mpan="1312345678334",
    export_mpan="1312345678335",
    esme_variant="CDEF",
    uprn=1,
    property_filter=PropertyFilter(post_code="AB12CD", address_identifier=""),
    csp_region=CSPRegion.NORTH_4G,
    device_gbcs_version="4.3",
    han_variant="Single Band",
    s1sp="",
    connectivity=Connectivity.CELLULAR,
)
BARE_DEVICE: Final = Device(
    device_id=DCC, device_type=ListedDeviceType.IHD, device_manufacturer="", device_model=""
)
ANSWERS: Final[tuple[tuple[str, str, ResponseBody | None], ...]] = (
    ("I99", "6.21", None),
    ("E5", "6.15.1", None),
    ("I0", "6.15.1", PreCommand(gbcs_version="4.3", gbcs_payload=b"\xdf")),
    ("I0", "6.24.1", LocalCommand(gbcs_payload=b"\xdf")),
    ("I0", "6.17", ResponseMessage(gbcs_payload=b"\xdf")),
    ("I0", "8.2", DSPInventory(devices=(DEVICE, BARE_DEVICE))),
    ("I0", "8.2", DSPInventory(devices=(BARE_DEVICE,) * 17)),
    (
        "I0",
        "6.23",
        FutureDatedDeviceAlertMessage(
            future_dated_alert_code=0x8F66,
            gbcs_payload=b"\xdf",
            instruction_number=1,
            total_command_instructions=65_535,
        ),
    ),
)
ALERTS: Final[tuple[DeviceAlertMessage | DCCAlertMessage, ...]] = (
    DeviceAlertMessage(alert_code=0x8F66, gbcs_payload=b"\xdf"),
    DeviceAlertMessage(
        alert_code=0x0071,
        throttled_alert_sequence_id=2**32 - 1,
        throttled_alert_count=0,
        gbcs_payload=b"\xdf",
    ),
    *(
        DCCAlertMessage(
            dcc_alert_code="N28",
            dcc_alert=DeviceStatusChangeEvent(device_id=METER, device_status_change=change),
        )
        for change in STATUS_CHANGES
    ),
    DCCAlertMessage(
        dcc_alert_code="N999",
        throttled_alert_sequence_id=1,
        throttled_alert_count=2,
        dcc_alert=CommandFailure(
            command_request_id=TO_METER, dsp_schedule_id=10**12, device_id=METER
        ),
    ),
    DCCAlertMessage(
        dcc_alert_code="AD1",
        dcc_alert=SecurityCredentialsUpdated(
            device_id=METER,
            remote_party_role=RemotePartyRole.SUPPLIER,
            remote_party_seq_number_change=RemotePartySeqNumberChange(
                remote_party_floor_seq_number=1, remote_party_prepayment_top_up_floor_seq_number=2
            ),
            certificates=tuple(
                Certificates(certificate_type=each, certificate_hash=b"\x4f" * 20)
                for each in CertificateType
            ),
        ),
    ),
)


def response_header(code: str = "I0") -> ResponseHeader:
    return ResponseHeader(
        request_id=TO_METER,
        response_id=TO_METER.answered(),
        response_code=code,
        response_date_time=AT,
    )


RESPONSES: Final = (
    *(
        Response(header=response_header(code), body=body, service_reference_variant=variant)
        for code, variant, body in ANSWERS
    ),
    *(
        Response(
            header=ResponseHeader(response_code="I0", response_date_time=AT),
            body=alert,
        )
        for alert in ALERTS
    ),
)
