"""Alerts: of devices, and of the DCC, whose kind is the payload element and not the number.

Source: DUIS XML schema 5.4, `DeviceAlertMessage`, `DCCAlertMessage` and `DCCAlert`.
"""

from __future__ import annotations

from typing import Final

from duis.document_headers import REQUEST_ID, RequestIdentifier
from duis.duis_enumerations import (
    CERTIFICATE_TYPE,
    ESME_VARIANT,
    FLOOR_SEQ_NUMBER,
    LISTED_DEVICE_TYPE,
    MPAN,
    MPXN,
    ROLE,
    SCHEDULE_ID,
    CertificateType,
    ListedDeviceType,
)
from duis.simple_types import ALERT_CODE, ENTITY, OCTETS, UNSIGNED_INT, Named
from duis.xml_elements import OneOf, Structure, Unmodelled, element, elements, structure
from gbcs.entity_identifier import EntityIdentifier  # noqa: TC001 - read by whoever looks at the fields' types
from gbcs.roles import RemotePartyRole  # noqa: TC001 - as above

ASSOCIATED_DEVICES_MAXIMUM: Final = 7
CERTIFICATES_MAXIMUM: Final = 3

DCC_ALERT_CODES: Final = (
    "AD1",
    *(f"N{number}" for number in range(1, 66) if number != 32),
    "N999",
)
"""Every DCC alert code that DUIS 5.4 has; what each means is not confirmed."""

_DCC_ALERT_CODE: Final = Named({code: code for code in DCC_ALERT_CODES})
_NETWORK_OPERATOR_CERTIFICATE: Final = Named(
    {each.value: each for each in (CertificateType.DIGITAL_SIGNING, CertificateType.KEY_AGREEMENT)}
)


@structure
class DeviceAlertMessage:
    """An alert of a device, with the GBCS message that it sent."""

    alert_code: int = element("AlertCode", ALERT_CODE)
    throttled_alert_sequence_id: int | None = element(
        "ThrottledAlertSequenceId", UNSIGNED_INT, default=None
    )
    throttled_alert_count: int | None = element("ThrottledAlertCount", UNSIGNED_INT, default=None)
    gbcs_payload: bytes = element("GBCSPayload", OCTETS)


@structure
class MeterMPxNs:
    """The meter points that a meter serves."""

    import_mpxn: str = element("ImportMPxN", MPXN)
    secondary_import_mpan: str | None = element("SecondaryImportMPAN", MPAN, default=None)
    export_mpan: str | None = element("ExportMPAN", MPAN, default=None)


@structure
class MeterIdentity:
    """A meter's meter points have been confirmed or changed."""

    meter_mpxns: MeterMPxNs = element("MeterMPxNs", Structure(MeterMPxNs))
    esme_variant: str | None = element("ESMEVariant", ESME_VARIANT, default=None)


@structure
class AssociatedType1Device:
    """A Type 1 Device that is associated with a meter."""

    device_id: EntityIdentifier = element("DeviceID", ENTITY)
    device_type: ListedDeviceType = element("DeviceType", LISTED_DEVICE_TYPE)


@structure
class MeterDecommissioningOrWithdrawal:
    """A meter has been decommissioned or withdrawn."""

    meter_decommission_or_withdrawal: MeterMPxNs = element(
        "MeterDecommissionOrWithdrawal", Structure(MeterMPxNs)
    )
    associated_type_1_devices: tuple[AssociatedType1Device, ...] = elements(
        "AssociatedType1Device",
        Structure(AssociatedType1Device),
        at_least=0,
        at_most=ASSOCIATED_DEVICES_MAXIMUM,
        default=(),
    )


@structure
class DeviceRemovedFromInventory:
    """The device has been removed from the inventory."""


@structure
class CHFDecommissioning:
    """The hub has been decommissioned."""


@structure
class DeviceSuspended:
    """The SMI Status of the device has been set to suspended; no reason is given."""


@structure
class DeviceRestored:
    """The SMI Status of the device has been restored; no reason is given."""


@structure
class RecoveryCompleteACBCredentials:
    """Recovery has left the access control broker's certificates in these places."""

    supplier_certificate_types: tuple[CertificateType, ...] = elements(
        "SupplierCertificateType", CERTIFICATE_TYPE, at_most=3
    )
    network_operator_certificate_types: tuple[CertificateType, ...] = elements(
        "NetworkOperatorCertificateType",
        _NETWORK_OPERATOR_CERTIFICATE,
        at_least=0,
        at_most=2,
        default=(),
    )


@structure
class RecoveryComplete:
    """Recovery of the device is complete."""


StatusChange = (
    MeterIdentity
    | MeterDecommissioningOrWithdrawal
    | DeviceRemovedFromInventory
    | CHFDecommissioning
    | DeviceSuspended
    | DeviceRestored
    | RecoveryCompleteACBCredentials
    | RecoveryComplete
)


@structure
class DeviceStatusChangeEvent:
    """A change of one device: its SMI Status, meter points, decommissioning or recovery."""

    device_id: EntityIdentifier = element("DeviceID", ENTITY)
    device_status_change: StatusChange = element(
        "DeviceStatusChange", OneOf(*StatusChange.__args__)
    )


@structure
class CommandFailure:
    """A command has not been delivered, or not been answered."""

    command_request_id: RequestIdentifier = element("CommandRequestID", REQUEST_ID)
    dsp_schedule_id: int | None = element("DSPScheduleID", SCHEDULE_ID, default=None)
    device_id: EntityIdentifier = element("DeviceID", ENTITY)


@structure
class RemotePartySeqNumberChange:
    """New floors for the counters of a remote party."""

    remote_party_floor_seq_number: int = element("RemotePartyFloorSeqNumber", FLOOR_SEQ_NUMBER)
    remote_party_prepayment_top_up_floor_seq_number: int | None = element(
        "RemotePartyPrepaymentTopUpFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )


@structure
class Certificates:
    """A certificate that a device holds now, by a hash.

    The schema calls the hash SHA1; whether it is that of the certificate or the identifier of
    its key is not confirmed.
    """

    certificate_type: CertificateType = element("CertificateType", CERTIFICATE_TYPE)
    certificate_hash: bytes = element("CertificateHash", OCTETS)


@structure
class SecurityCredentialsUpdated:
    """A remote party's certificates on a device have been replaced."""

    device_id: EntityIdentifier = element("DeviceID", ENTITY)
    remote_party_role: RemotePartyRole = element("RemotePartyRole", ROLE)
    remote_party_seq_number_change: RemotePartySeqNumberChange | None = element(
        "RemotePartySeqNumberChange", Structure(RemotePartySeqNumberChange), default=None
    )
    certificates: tuple[Certificates, ...] = elements(
        "Certificates", Structure(Certificates), at_most=CERTIFICATES_MAXIMUM
    )


DCCAlert = DeviceStatusChangeEvent | CommandFailure | SecurityCredentialsUpdated | Unmodelled


@structure
class DCCAlertMessage:
    """An alert of the DCC; look at the class of `dcc_alert`, not at the code."""

    dcc_alert_code: str = element("DCCAlertCode", _DCC_ALERT_CODE)
    throttled_alert_sequence_id: int | None = element(
        "ThrottledAlertSequenceId", UNSIGNED_INT, default=None
    )
    throttled_alert_count: int | None = element("ThrottledAlertCount", UNSIGNED_INT, default=None)
    dcc_alert: DCCAlert = element(
        "DCCAlert",
        OneOf(DeviceStatusChangeEvent, CommandFailure, SecurityCredentialsUpdated, unmodelled=True),
    )
