"""Service requests: what each asks, built and read.

Source: DUIS XML schema 5.4, the bodies of these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read by whoever looks at the fields' types
from typing import ClassVar, Final

from duis.credential_requests import (
    CertificationPathCertificates,
    ReplacementCertificates,
    ReplacementCertificatesKRP,
    RequestHandoverOfDCCControlledDevice,
    SupplierOrNetworkOperatorCertificates,
    UpdateSecurityCredentialsCoS,
    UpdateSecurityCredentialsKRP,
)
from duis.document_headers import REQUEST_ID, RequestHeader, RequestIdentifier
from duis.duis_enumerations import (
    ADDRESS_IDENTIFIER,
    CREDENTIAL_TYPE,
    ESME_VARIANT,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MODEL,
    MPAN,
    MPXN,
    POST_CODE,
    ROLE,
    SMETS_CHTS_VERSION,
    UPRN,
    SMIStatus,
)
from duis.service_references import (
    COMMAND_VARIANTS,
    CRITICAL,
    NON_CRITICAL,
    NON_DEVICE,
    SIGNED,
    CommandVariant,
    Referenced,
)
from duis.simple_types import ENTITY, INSTANT, OCTETS, Integer, Named
from duis.xml_documents import SCHEMA_VERSION, new_document, octets_of, read_document
from duis.xml_elements import (
    Empty,
    OneOf,
    Structure,
    alternative,
    element,
    elements,
    structure,
)
from gbcs.entity_identifier import EntityIdentifier  # noqa: TC001 - as above
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage, RemotePartyRole  # noqa: TC001 - as above

__all__ = [
    "CertificationPathCertificates",
    "CommissionDeviceSynchroniseClock",
    "DecommissionDevice",
    "IssueSecurityCredentials",
    "PropertyFilter",
    "ReadInventory",
    "ReplacementCertificates",
    "ReplacementCertificatesKRP",
    "Request",
    "RequestBody",
    "RequestHandoverOfDCCControlledDevice",
    "RetrieveDeviceSecurityCredentialsDevice",
    "RetrieveDeviceSecurityCredentialsKRP",
    "ReturnLocalCommandResponse",
    "SignedPreCommand",
    "SupplierOrNetworkOperatorCertificates",
    "UpdateDeviceDetails",
    "UpdateInventory",
    "UpdateMPxN",
    "UpdateSecurityCredentialsCoS",
    "UpdateSecurityCredentialsDevice",
    "UpdateSecurityCredentialsKRP",
    "build_request",
    "parse_request",
    "request_of",
]

TOLERANCE_PERIOD_MAXIMUM_S: Final = 86_400
ROLES_MAXIMUM: Final = 7


@structure
class UpdateSecurityCredentialsDevice:
    """6.15.2: store a device's own new certificate on it."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.15.2"
    COMMAND_VARIANTS: ClassVar = CRITICAL

    device_certificate: bytes = element("DeviceCertificate", OCTETS)


@structure
class IssueSecurityCredentials:
    """6.17: have a device make a new key pair and give its certification request."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.17"
    COMMAND_VARIANTS: ClassVar = CRITICAL

    credential_type: KeyUsage = element("CredentialType", CREDENTIAL_TYPE)


@structure
class RetrieveDeviceSecurityCredentialsKRP:
    """6.24.1: read which certificates a device holds of remote parties."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.24.1"
    COMMAND_VARIANTS: ClassVar = NON_CRITICAL

    remote_party_roles: tuple[RemotePartyRole, ...] = elements(
        "RemotePartyRole", ROLE, at_most=ROLES_MAXIMUM
    )


@structure
class RetrieveDeviceSecurityCredentialsDevice:
    """6.24.2: read a device's own certificate from it."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.24.2"
    COMMAND_VARIANTS: ClassVar = CRITICAL

    credential_type: KeyUsage = element("CredentialType", CREDENTIAL_TYPE)


@structure
class CommissionDeviceSynchroniseClock:
    """8.1.1: commission a device, and set its clock within a tolerance in seconds."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "8.1.1"
    COMMAND_VARIANTS: ClassVar = CRITICAL

    current_date_time: datetime = element("CurrentDateTime", INSTANT)
    tolerance_period_s: int = element(
        "TolerancePeriod", Integer(maximum=TOLERANCE_PERIOD_MAXIMUM_S)
    )


@structure
class PropertyFilter:
    """A property, by post code and what identifies the address within it."""

    post_code: str = element("PostCode", POST_CODE)
    address_identifier: str = element("AddressIdentifier", ADDRESS_IDENTIFIER)


@structure
class ReadInventory:
    """8.2: read what the inventory holds, by exactly one of four keys."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "8.2"
    COMMAND_VARIANTS: ClassVar = NON_DEVICE

    uprn: int | None = alternative("UPRN", UPRN, default=None)
    device_id: EntityIdentifier | None = alternative("DeviceID", ENTITY, default=None)
    mpxn: str | None = alternative("MPxN", MPXN, default=None)
    property_filter: PropertyFilter | None = alternative(
        "PropertyFilter", Structure(PropertyFilter), default=None
    )


@structure
class DecommissionDevice:
    """8.3: tell the inventory that a device is decommissioned."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "8.3"
    COMMAND_VARIANTS: ClassVar = NON_DEVICE

    device_id: EntityIdentifier = element("DeviceID", ENTITY)


@structure
class UpdateDeviceDetails:
    """What the inventory is to hold of a device anew; None leaves a detail as it is."""

    device_manufacturer: str | None = element("DeviceManufacturer", MANUFACTURER, default=None)
    device_model: str | None = element("DeviceModel", MODEL, default=None)
    smets_chts_version: str | None = element("SMETSCHTSVersion", SMETS_CHTS_VERSION, default=None)
    firmware_version: str | None = element("FirmwareVersion", FIRMWARE_VERSION, default=None)
    esme_variant: str | None = element("ESMEVariant", ESME_VARIANT, default=None)


@structure
class UpdateMPxN:
    """Exactly one meter point that a device serves."""

    import_mpxn: str | None = alternative("ImportMPxN", MPXN, default=None)
    secondary_import_mpan: str | None = alternative("SecondaryImportMPAN", MPAN, default=None)
    export_mpan: str | None = alternative("ExportMPAN", MPAN, default=None)


def _statuses(*statuses: SMIStatus) -> Named[SMIStatus]:
    return Named({status.value: status for status in statuses})


_STATUSES_EXCEPT_HUB: Final = _statuses(SMIStatus.PENDING, SMIStatus.INSTALLED_NOT_COMMISSIONED)
_STATUSES_OF_HUB: Final = _statuses(
    SMIStatus.COMMISSIONED, SMIStatus.WITHDRAWN, SMIStatus.INSTALLED_NOT_COMMISSIONED
)


@structure
class UpdateInventory:
    """8.4: change exactly one thing that the inventory holds of a device.

    No user can set Suspended: the two statuses have those that the schema lets a user set.
    """

    SERVICE_REFERENCE_VARIANT: ClassVar = "8.4"
    COMMAND_VARIANTS: ClassVar = NON_DEVICE

    device_id: EntityIdentifier = element("DeviceID", ENTITY)
    update_device_status_except_ch: SMIStatus | None = alternative(
        "UpdateDeviceStatusExceptCH", _STATUSES_EXCEPT_HUB, default=None
    )
    update_device_status_ch: SMIStatus | None = alternative(
        "UpdateDeviceStatusCH", _STATUSES_OF_HUB, default=None
    )
    update_device_details: UpdateDeviceDetails | None = alternative(
        "UpdateDeviceDetails", Structure(UpdateDeviceDetails), default=None
    )
    delete_device: bool | None = alternative("DeleteDevice", Empty(), default=None)
    update_mpxn: UpdateMPxN | None = alternative("UpdateMPxN", Structure(UpdateMPxN), default=None)


@structure
class ReturnLocalCommandResponse:
    """8.13: give back what a device answered to a command that was delivered locally."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "8.13"
    COMMAND_VARIANTS: ClassVar = NON_DEVICE

    original_request_id: RequestIdentifier | None = element(
        "OriginalRequestID", REQUEST_ID, default=None
    )
    device_gbcs_response: bytes = element("DeviceGBCSResponse", OCTETS)


@structure
class SignedPreCommand:
    """A pre-command with its user's signature, to become a command.

    Its header has the service reference variant, and the RequestID, of the request that the
    pre-command was made of.
    """

    COMMAND_VARIANTS: ClassVar = SIGNED

    execution_date_time: datetime | None = element("ExecutionDateTime", INSTANT, default=None)
    gbcs_payload: bytes = element("GBCSPayload", OCTETS)


RequestBody = (
    UpdateSecurityCredentialsKRP
    | UpdateSecurityCredentialsDevice
    | IssueSecurityCredentials
    | RequestHandoverOfDCCControlledDevice
    | UpdateSecurityCredentialsCoS
    | RetrieveDeviceSecurityCredentialsKRP
    | RetrieveDeviceSecurityCredentialsDevice
    | CommissionDeviceSynchroniseClock
    | ReadInventory
    | DecommissionDevice
    | UpdateInventory
    | ReturnLocalCommandResponse
    | SignedPreCommand
)

_BODY: Final = OneOf(*RequestBody.__args__)
_HEADER: Final = Referenced(RequestHeader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A service request, or a signed pre-command.

    Args:
        header: Its header.
        body: What it asks.
        schema_version: The version of DUIS that it is written in.

    Raises:
        LocalProtocolError: The header's service reference variant or command variant is not
            one of the body's.
    """

    header: RequestHeader
    body: RequestBody
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        name = type(self.body).__name__
        variant = self.header.service_reference_variant
        expected = getattr(self.body, "SERVICE_REFERENCE_VARIANT", variant)
        if variant != expected:
            raise LocalProtocolError(
                f"Request/Header/ServiceReferenceVariant: {variant}, where {name} is {expected}"
            )
        allowed = COMMAND_VARIANTS[variant] & self.body.COMMAND_VARIANTS
        if self.header.command_variant not in allowed:
            may_be = ", ".join(str(int(each)) for each in sorted(allowed)) or "none"
            raise LocalProtocolError(
                f"Request/Header/CommandVariant: {int(self.header.command_variant)}, "
                f"where {name} of {variant} may have {may_be}"
            )


def request_of(
    body: RequestBody,
    request_id: RequestIdentifier,
    command_variant: CommandVariant | None = None,
    service_reference_variant: str | None = None,
) -> Request:
    """Return a request with the header that belongs to its body.

    Args:
        body: What it asks.
        request_id: Who asks whom, and the counter.
        command_variant: None takes the only one that the body allows, or SEND for a
            non-critical request and SEND_SIGNED for a signed pre-command.
        service_reference_variant: That of a signed pre-command; None takes the body's.

    Raises:
        LocalProtocolError: They do not go together.
    """
    if service_reference_variant is None:
        service_reference_variant = getattr(body, "SERVICE_REFERENCE_VARIANT", "")
    variant = min(body.COMMAND_VARIANTS) if command_variant is None else command_variant
    header = RequestHeader(
        request_id=request_id,
        command_variant=variant,
        service_reference_variant=str(service_reference_variant),
    )
    return Request(header=header, body=body)


def build_request(request: Request) -> bytes:
    """Write a request as an XML document in UTF-8, without a signature.

    Raises:
        LocalProtocolError: Its schema version is no version.
    """
    header, body = new_document("Request", request.schema_version)
    _HEADER.fill(header, request.header)
    _BODY.append(body, request.body)
    return octets_of(header)


def parse_request(octets: bytes, source: str) -> Request:
    """Read a request; a signature that it has is not looked at.

    Args:
        octets: The document; if it must be signed, what `signatures.verify` gave.
        source: Its name for errors.

    Raises:
        DocumentInvalid: It is hostile, not valid, or none of the requests known here.
    """
    parts = read_document(octets, source, "Request")
    header = _HEADER.read(parts.header, parts.document)
    body = _BODY.read(parts.body, parts.document)
    try:
        return Request(header=header, body=body, schema_version=parts.schema_version)
    except LocalProtocolError as error:
        raise parts.document.wrong(parts.header, str(error)) from error
