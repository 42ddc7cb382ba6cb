"""Which trust anchor cells each type of device has, and what a cell says of its certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import IDENTIFIER_OCTETS, TrustAnchorCellIdentifier

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_IDENTIFIER: Final = bytes(IDENTIFIER_OCTETS)
"""Stands for the subject of a certificate without an Entity Identifier, as the root's."""


def _cell(
    role: RemotePartyRole, key_usage: KeyUsage, cell_usage: CellUsage = CellUsage.MANAGEMENT
) -> TrustAnchorCellIdentifier:
    return TrustAnchorCellIdentifier(role=role, key_usage=key_usage, cell_usage=cell_usage)


ROOT_CELL: Final = _cell(RemotePartyRole.ROOT, KeyUsage.KEY_CERT_SIGN)
RECOVERY_CELL: Final = _cell(RemotePartyRole.RECOVERY, KeyUsage.DIGITAL_SIGNATURE)
BROKER_KEY_AGREEMENT_CELL: Final = _cell(
    RemotePartyRole.ACCESS_CONTROL_BROKER, KeyUsage.KEY_AGREEMENT
)
"""The cell whose key makes the MAC of every command that has one."""

_BROKER_SIGNATURE = _cell(RemotePartyRole.ACCESS_CONTROL_BROKER, KeyUsage.DIGITAL_SIGNATURE)
_SUPPLIER = (
    _cell(RemotePartyRole.SUPPLIER, KeyUsage.DIGITAL_SIGNATURE),
    _cell(RemotePartyRole.SUPPLIER, KeyUsage.KEY_AGREEMENT),
)
_TOP_UP = _cell(RemotePartyRole.SUPPLIER, KeyUsage.KEY_AGREEMENT, CellUsage.PREPAYMENT_TOP_UP)
_NETWORK_OPERATOR = (
    _cell(RemotePartyRole.NETWORK_OPERATOR, KeyUsage.DIGITAL_SIGNATURE),
    _cell(RemotePartyRole.NETWORK_OPERATOR, KeyUsage.KEY_AGREEMENT),
)
_TRANSITIONAL_COS = _cell(RemotePartyRole.TRANSITIONAL_COS, KeyUsage.DIGITAL_SIGNATURE)
_WAN_PROVIDER = _cell(RemotePartyRole.WAN_PROVIDER, KeyUsage.DIGITAL_SIGNATURE)
_AUXILIARY = (
    ROOT_CELL,
    RECOVERY_CELL,
    *_SUPPLIER,
    BROKER_KEY_AGREEMENT_CELL,
    _TRANSITIONAL_COS,
)

CELLS: Final[Mapping[DeviceType, tuple[TrustAnchorCellIdentifier, ...]]] = {
    DeviceType.ESME: (
        ROOT_CELL,
        RECOVERY_CELL,
        *_SUPPLIER,
        _TOP_UP,
        *_NETWORK_OPERATOR,
        BROKER_KEY_AGREEMENT_CELL,
        _TRANSITIONAL_COS,
    ),
    DeviceType.GSME: (
        ROOT_CELL,
        RECOVERY_CELL,
        *_SUPPLIER,
        _TOP_UP,
        BROKER_KEY_AGREEMENT_CELL,
        _TRANSITIONAL_COS,
    ),
    DeviceType.GPF: (
        ROOT_CELL,
        RECOVERY_CELL,
        *_SUPPLIER,
        *_NETWORK_OPERATOR,
        BROKER_KEY_AGREEMENT_CELL,
        _TRANSITIONAL_COS,
    ),
    DeviceType.CHF: (
        ROOT_CELL,
        RECOVERY_CELL,
        _BROKER_SIGNATURE,
        BROKER_KEY_AGREEMENT_CELL,
        _WAN_PROVIDER,
    ),
    DeviceType.HCALCS: _AUXILIARY,
    DeviceType.PPMID: _AUXILIARY,
}
"""The cells of each type, a role's in the order digital signature, key agreement, top-up.

Source: RTDS 4.5.0 for the ESME, the CHF's broker and WAN provider, and the GSME's want of a
network operator; the rest is assumed.
"""


def factory_owner(cell: TrustAnchorCellIdentifier) -> RemotePartyRole:
    """Return whose certificate a cell holds from the factory.

    The cells of supplier and network operator hold the access control broker's certificates
    until they are handed over.

    Source: RTDS 4.5.0 (6.21 samples).
    """
    own = {
        RemotePartyRole.ROOT,
        RemotePartyRole.RECOVERY,
        RemotePartyRole.TRANSITIONAL_COS,
        RemotePartyRole.WAN_PROVIDER,
    }
    return cell.role if cell.role in own else RemotePartyRole.ACCESS_CONTROL_BROKER


def subject_of(certificate_der: bytes) -> tuple[bytes, bytes]:
    """Return the Entity Identifier and the subject key identifier of what a cell holds.

    Returns:
        Twice 8 octets; the first are zero for a certificate that names no entity.
    """
    certificate = GBCSCertificate.from_der(certificate_der)
    return (
        bytes(certificate.entity_id or NO_IDENTIFIER),
        certificate.subject_key_identifier or NO_IDENTIFIER,
    )
