"""Documents written by hand from the schema, against what is built and read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from duis.alert_messages import (
    Certificates,
    CommandFailure,
    DCCAlertMessage,
    DeviceAlertMessage,
    DeviceStatusChangeEvent,
    DeviceSuspended,
    SecurityCredentialsUpdated,
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
from duis.duis_enumerations import CANCELLED, CertificateType, ListedDeviceType, SMIStatus
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    DecommissionDevice,
    IssueSecurityCredentials,
    ReadInventory,
    Request,
    RequestBody,
    RetrieveDeviceSecurityCredentialsDevice,
    RetrieveDeviceSecurityCredentialsKRP,
    ReturnLocalCommandResponse,
    SignedPreCommand,
    UpdateInventory,
    UpdateSecurityCredentialsDevice,
    build_request,
    parse_request,
)
from duis.response_documents import (
    FutureDatedDeviceAlertMessage,
    LocalCommand,
    PreCommand,
    Response,
    ResponseBody,
    ResponseMessage,
    build_response,
    parse_response,
)
from duis.xml_elements import Unmodelled
from duis_schemas import assert_valid
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import DeviceType, KeyUsage, RemotePartyRole

if TYPE_CHECKING:
    from collections.abc import Iterator

METER = EntityIdentifier.parse("00db1234567890a0")
IDENTIFIER = RequestIdentifier(EntityIdentifier.parse("90b3d51f30010000"), METER, 1000)
PATH = CertificationPathCertificates(certificates=(b"abc", b"abcd"))
HEAD = (
    "<?xml version='1.0' encoding='UTF-8'?>\n"
    '<sr:{name} xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">'
)
REQUEST = (
    HEAD + "<sr:Header><sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000"
    "</sr:RequestID><sr:CommandVariant>{variant}</sr:CommandVariant>"
    "<sr:ServiceReference>{reference}</sr:ServiceReference>"
    "<sr:ServiceReferenceVariant>{reference_variant}</sr:ServiceReferenceVariant></sr:Header>"
    "<sr:Body>{body}</sr:Body></sr:Request>"
)
RESPONSE = (
    HEAD + "<sr:Header>"
    "<sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000</sr:RequestID>"
    "<sr:ResponseID>00-DB-12-34-56-78-90-A0:90-B3-D5-1F-30-01-00-00:1000</sr:ResponseID>"
    "<sr:ResponseCode>{code}</sr:ResponseCode>"
    "<sr:ResponseDateTime>2026-11-24T08:00:00.00Z</sr:ResponseDateTime></sr:Header>"
    "<sr:Body>{body}</sr:Body></sr:Response>"
)
PATH_TEXT = (
    "<sr:CertificationPathCertificates><sr:Certificate>YWJj</sr:Certificate>"
    "<sr:Certificate>YWJjZA==</sr:Certificate></sr:CertificationPathCertificates>"
)
KRP = UpdateSecurityCredentialsKRP(
    execution_date_time=CANCELLED,
    remote_party_role=RemotePartyRole.SUPPLIER,
    remote_party_floor_seq_number=0,
    remote_party_prepayment_top_up_floor_seq_number=9223372036854775807,
    replacement_certificates=ReplacementCertificatesKRP(
        supplier_or_network_operator_certificates=SupplierOrNetworkOperatorCertificates(
            key_agreement_certificate=b"abc"
        )
    ),
    certification_path_certificates=PATH,
    apply_time_based_cpv_checks=False,
)

REQUESTS: dict[str, tuple[str, int, RequestBody]] = {
    "<sr:UpdateSecurityCredentialsKRP>"
    "<sr:ExecutionDateTime>3000-12-31T00:00:00.00Z</sr:ExecutionDateTime>"
    "<sr:RemotePartyRole>Supplier</sr:RemotePartyRole>"
    "<sr:RemotePartyFloorSeqNumber>0</sr:RemotePartyFloorSeqNumber>"
    "<sr:RemotePartyPrepaymentTopUpFloorSeqNumber>9223372036854775807"
    "</sr:RemotePartyPrepaymentTopUpFloorSeqNumber>"
    "<sr:ReplacementCertificates><sr:SupplierOrNetworkOperatorCertificates>"
    "<sr:KeyAgreementCertificate>YWJj</sr:KeyAgreementCertificate>"
    "</sr:SupplierOrNetworkOperatorCertificates></sr:ReplacementCertificates>"
    f"{PATH_TEXT}<sr:ApplyTimeBasedCPVChecks>false</sr:ApplyTimeBasedCPVChecks>"
    "</sr:UpdateSecurityCredentialsKRP>": ("6.15.1", 4, KRP),
    "<sr:UpdateSecurityCredentialsDevice><sr:DeviceCertificate>YWJj</sr:DeviceCertificate>"
    "</sr:UpdateSecurityCredentialsDevice>": (
        "6.15.2",
        4,
        UpdateSecurityCredentialsDevice(device_certificate=b"abc"),
    ),
    "<sr:IssueSecurityCredentials><sr:CredentialType>Key Agreement</sr:CredentialType>"
    "</sr:IssueSecurityCredentials>": (
        "6.17",
        4,
        IssueSecurityCredentials(credential_type=KeyUsage.KEY_AGREEMENT),
    ),
    "<sr:RequestHandoverOfDCCControlledDevice>"
    "<sr:RemotePartyRole>NetworkOperator</sr:RemotePartyRole><sr:ReplacementCertificates>"
    "<sr:DigitalSigningCertificate>YWJj</sr:DigitalSigningCertificate>"
    "<sr:KeyAgreementCertificate>YWJjZA==</sr:KeyAgreementCertificate>"
    f"</sr:ReplacementCertificates>{PATH_TEXT}"
    "<sr:ApplyTimeBasedCPVChecks>true</sr:ApplyTimeBasedCPVChecks>"
    "</sr:RequestHandoverOfDCCControlledDevice>": (
        "6.21",
        1,
        RequestHandoverOfDCCControlledDevice(
            remote_party_role=RemotePartyRole.NETWORK_OPERATOR,
            replacement_certificates=ReplacementCertificates(
                digital_signing_certificate=b"abc", key_agreement_certificate=b"abcd"
            ),
            certification_path_certificates=PATH,
            apply_time_based_cpv_checks=True,
        ),
    ),
    "<sr:UpdateSecurityCredentialsCoS><sr:SupplierFloorSeqNumber>7</sr:SupplierFloorSeqNumber>"
    "<sr:SupplierReplacementCertificates>"
    "<sr:DigitalSigningCertificate>YWJj</sr:DigitalSigningCertificate>"
    f"</sr:SupplierReplacementCertificates>{PATH_TEXT}"
    "<sr:ApplyTimeBasedCPVChecks>true</sr:ApplyTimeBasedCPVChecks>"
    "<sr:ImportMPxN>1312345678333</sr:ImportMPxN></sr:UpdateSecurityCredentialsCoS>": (
        "6.23",
        3,
        UpdateSecurityCredentialsCoS(
            supplier_floor_seq_number=7,
            supplier_replacement_certificates=ReplacementCertificates(
                digital_signing_certificate=b"abc"
            ),
            certification_path_certificates=PATH,
            apply_time_based_cpv_checks=True,
            import_mpxn="1312345678333",
        ),
    ),
    "<sr:RetrieveDeviceSecurityCredentialsKRP><sr:RemotePartyRole>Recovery</sr:RemotePartyRole>"
    "<sr:RemotePartyRole>ACB</sr:RemotePartyRole><sr:RemotePartyRole>TransCoS"
    "</sr:RemotePartyRole></sr:RetrieveDeviceSecurityCredentialsKRP>": (
        "6.24.1",
        2,
        RetrieveDeviceSecurityCredentialsKRP(
            remote_party_roles=(
                RemotePartyRole.RECOVERY,
                RemotePartyRole.ACCESS_CONTROL_BROKER,
                RemotePartyRole.TRANSITIONAL_COS,
            )
        ),
    ),
    "<sr:RetrieveDeviceSecurityCredentialsDevice>"
    "<sr:CredentialType>Digital Signature</sr:CredentialType>"
    "</sr:RetrieveDeviceSecurityCredentialsDevice>": (
        "6.24.2",
        4,
        RetrieveDeviceSecurityCredentialsDevice(credential_type=KeyUsage.DIGITAL_SIGNATURE),
    ),
    "<sr:CommissionDeviceSynchroniseClock>"
    "<sr:CurrentDateTime>2026-11-24T08:00:00.123456Z</sr:CurrentDateTime>"
    "<sr:TolerancePeriod>86400</sr:TolerancePeriod></sr:CommissionDeviceSynchroniseClock>": (
        "8.1.1",
        4,
        CommissionDeviceSynchroniseClock(
            current_date_time=datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC),
            tolerance_period_s=86_400,
        ),
    ),
    "<sr:ReadInventory><sr:UPRN>123456789012</sr:UPRN></sr:ReadInventory>": (
        "8.2",
        8,
        ReadInventory(uprn=123456789012),
    ),
    "<sr:DecommissionDevice><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>"
    "</sr:DecommissionDevice>": ("8.3", 8, DecommissionDevice(device_id=METER)),
    "<sr:UpdateInventory><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>"
    "<sr:UpdateDeviceStatusCH>Commissioned</sr:UpdateDeviceStatusCH></sr:UpdateInventory>": (
        "8.4",
        8,
        UpdateInventory(device_id=METER, update_device_status_ch=SMIStatus.COMMISSIONED),
    ),
    "<sr:ReturnLocalCommandResponse>"
    "<sr:OriginalRequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000"
    "</sr:OriginalRequestID><sr:DeviceGBCSResponse>3wk=</sr:DeviceGBCSResponse>"
    "</sr:ReturnLocalCommandResponse>": (
        "8.13",
        8,
        ReturnLocalCommandResponse(
            original_request_id=IDENTIFIER, device_gbcs_response=b"\xdf\x09"
        ),
    ),
    "<sr:SignedPreCommand><sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:SignedPreCommand>": (
        "6.17",
        6,
        SignedPreCommand(gbcs_payload=b"\xdf\x09"),
    ),
}


def message(reference: str, variant: str, payload: str = "") -> str:
    return (
        f"<sr:ResponseMessage><sr:ServiceReference>{reference}</sr:ServiceReference>"
        f"<sr:ServiceReferenceVariant>{variant}</sr:ServiceReferenceVariant>{payload}"
        "</sr:ResponseMessage>"
    )


def alert(code: str, payload: str) -> str:
    return (
        f"<sr:DCCAlertMessage><sr:DCCAlertCode>{code}</sr:DCCAlertCode><sr:DCCAlert>{payload}"
        "</sr:DCCAlert></sr:DCCAlertMessage>"
    )


RESPONSES: dict[str, tuple[str, str | None, ResponseBody | None]] = {
    message("6.15", "6.15.1"): ("I99", "6.15.1", None),
    message("8.2", "8.2"): ("E080201", "8.2", None),
    message("6.15", "6.15.1", "<sr:GBCSPayload>3wk=</sr:GBCSPayload>"): (
        "I0",
        "6.15.1",
        ResponseMessage(gbcs_payload=b"\xdf\x09"),
    ),
    message(
        "6.15",
        "6.15.1",
        "<sr:PreCommand><sr:GBCSVersion>4.3</sr:GBCSVersion>"
        "<sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:PreCommand>",
    ): ("I0", "6.15.1", PreCommand(gbcs_version="4.3", gbcs_payload=b"\xdf\x09")),
    message(
        "6.24",
        "6.24.1",
        "<sr:LocalCommand><sr:GBCSPayload>3wk=</sr:GBCSPayload></sr:LocalCommand>",
    ): ("I0", "6.24.1", LocalCommand(gbcs_payload=b"\xdf\x09")),
    message(
        "6.21",
        "6.21",
        "<sr:FutureDatedDeviceAlertMessage><sr:FutureDatedAlertCode>8F67</sr:FutureDatedAlertCode>"
        "<sr:GBCSPayload>3wk=</sr:GBCSPayload><sr:InstructionNumber>1</sr:InstructionNumber>"
        "<sr:TotalCommandInstructions>2</sr:TotalCommandInstructions>"
        "</sr:FutureDatedDeviceAlertMessage>",
    ): (
        "I0",
        "6.21",
        FutureDatedDeviceAlertMessage(
            future_dated_alert_code=0x8F67,
            gbcs_payload=b"\xdf\x09",
            instruction_number=1,
            total_command_instructions=2,
        ),
    ),
    message(
        "8.2",
        "8.2",
        "<sr:DSPInventory><sr:Device><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>"
        "<sr:DeviceType>ESME</sr:DeviceType><sr:DeviceStatus>Suspended</sr:DeviceStatus>"
        "<sr:DeviceManufacturer>106C</sr:DeviceManufacturer><sr:DeviceModel>433100AC"
        "</sr:DeviceModel><sr:DateCommissioned>2026-11-20</sr:DateCommissioned></sr:Device>"
        "</sr:DSPInventory>",
    ): (
        "I0",
        "8.2",
        DSPInventory(
            devices=(
                Device(
                    device_id=METER,
                    device_type=ListedDeviceType.ESME,
                    device_status=SMIStatus.SUSPENDED,
                    device_manufacturer="106C",
                    device_model="433100AC",
                    date_commissioned=date(2026, 11, 20),
                ),
            )
        ),
    ),
    "<sr:DeviceAlertMessage><sr:AlertCode>8F4D</sr:AlertCode><sr:GBCSPayload>3wk="
    "</sr:GBCSPayload></sr:DeviceAlertMessage>": (
        "I0",
        None,
        DeviceAlertMessage(alert_code=0x8F4D, gbcs_payload=b"\xdf\x09"),
    ),
    alert(
        "N28",
        "<sr:DeviceStatusChangeEvent><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>"
        "<sr:DeviceStatusChange><sr:DeviceSuspended/></sr:DeviceStatusChange>"
        "</sr:DeviceStatusChangeEvent>",
    ): (
        "I0",
        None,
        DCCAlertMessage(
            dcc_alert_code="N28",
            dcc_alert=DeviceStatusChangeEvent(
                device_id=METER, device_status_change=DeviceSuspended()
            ),
        ),
    ),
    alert(
        "N13",
        "<sr:CommandFailure><sr:CommandRequestID>"
        "90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000</sr:CommandRequestID>"
        "<sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID></sr:CommandFailure>",
    ): (
        "I0",
        None,
        DCCAlertMessage(
            dcc_alert_code="N13",
            dcc_alert=CommandFailure(command_request_id=IDENTIFIER, device_id=METER),
        ),
    ),
    alert(
        "N42",
        "<sr:SecurityCredentialsUpdated><sr:DeviceID>00-DB-12-34-56-78-90-A0</sr:DeviceID>"
        "<sr:RemotePartyRole>Supplier</sr:RemotePartyRole><sr:Certificates>"
        "<sr:CertificateType>KeyAgreementTopUp</sr:CertificateType>"
        "<sr:CertificateHash>YWJj</sr:CertificateHash></sr:Certificates>"
        "</sr:SecurityCredentialsUpdated>",
    ): (
        "I0",
        None,
        DCCAlertMessage(
            dcc_alert_code="N42",
            dcc_alert=SecurityCredentialsUpdated(
                device_id=METER,
                remote_party_role=RemotePartyRole.SUPPLIER,
                certificates=(
                    Certificates(
                        certificate_type=CertificateType.KEY_AGREEMENT_TOP_UP,
                        certificate_hash=b"abc",
                    ),
                ),
            ),
        ),
    ),
}


def requests() -> Iterator[tuple[bytes, Request]]:
    for body, (variant, command, expected) in REQUESTS.items():
        reference = ".".join(variant.split(".")[:2])
        text = REQUEST.format(
            name="Request",
            variant=command,
            reference=reference,
            reference_variant=variant,
            body=body,
        )
        header = RequestHeader(
            request_id=IDENTIFIER,
            command_variant=CommandVariant(command),
            service_reference_variant=variant,
        )
        yield text.encode(), Request(header=header, body=expected)


def responses() -> Iterator[tuple[bytes, Response]]:
    for body, (code, variant, expected) in RESPONSES.items():
        header = ResponseHeader(
            request_id=IDENTIFIER,
            response_id=IDENTIFIER.answered(),
            response_code=code,
            response_date_time=datetime(2026, 11, 24, 8, tzinfo=UTC),
        )
        text = RESPONSE.format(name="Response", code=code, body=body)
        yield (
            text.encode(),
            Response(header=header, body=expected, service_reference_variant=variant),
        )


def name_of(value: object) -> str | None:
    return type(value.body).__name__ if isinstance(value, (Request, Response)) else ""


@pytest.mark.parametrize(("text", "expected"), list(requests()), ids=name_of)
def test_request_is_built_and_read_as_written_by_hand(text: bytes, expected: Request) -> None:
    assert_valid(text)
    assert parse_request(text, "a.xml") == expected
    assert build_request(expected) == text


@pytest.mark.parametrize(("text", "expected"), list(responses()), ids=name_of)
def test_response_is_built_and_read_as_written_by_hand(text: bytes, expected: Response) -> None:
    assert_valid(text)
    assert parse_response(text, "a.xml") == expected
    assert build_response(expected) == text


def test_every_request_has_a_text_of_its_own() -> None:
    assert {type(body) for _, _, body in REQUESTS.values()} == set(RequestBody.__args__)


@pytest.mark.parametrize(
    ("body", "element"),
    [
        (
            alert(
                "AD1",
                "<sr:DSPScheduleRemoval><sr:DSPScheduleID>7</sr:DSPScheduleID>"
                "</sr:DSPScheduleRemoval>",
            ),
            "DSPScheduleRemoval",
        ),
        (message("5.1", "5.1", "<sr:DSPScheduleID>7</sr:DSPScheduleID>"), "DSPScheduleID"),
        (
            "<sr:SMETS1ResponseMessage></sr:SMETS1ResponseMessage>",
            "SMETS1ResponseMessage",
        ),
    ],
)
def test_payload_that_is_not_modelled_is_read_by_its_name_and_not_built(
    body: str, element: str
) -> None:
    text = RESPONSE.format(name="Response", code="I0", body=body).encode()
    response = parse_response(text, "a.xml")
    found: object = response.body
    if isinstance(found, DCCAlertMessage):
        found = found.dcc_alert
    assert isinstance(found, Unmodelled)
    assert found.element == element
    assert found.octets.startswith(b"<sr:" + element.encode())
    with pytest.raises(LocalProtocolError, match="can be read and not written"):
        build_response(response)


def test_type_2_devices_of_the_inventory_have_no_type_of_gbcs() -> None:
    known = {each: each.device_type for each in ListedDeviceType}
    assert known.pop(ListedDeviceType.IHD) is None
    assert known.pop(ListedDeviceType.CAD) is None
    assert set(known.values()) == set(DeviceType)
