"""Who may command what: the rights of remote parties at an emulated device.

Source: GBCS 13.2 to 13.6 as RTDS 4.5.0 uses them; the full table of 17.2 is not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import CredentialsReplacementMode, TrustAnchorCellIdentifier

if TYPE_CHECKING:
    from collections.abc import Mapping

_Role = RemotePartyRole
_Mode = CredentialsReplacementMode


@dataclass(frozen=True, slots=True)
class ModeRule:
    """What one credentials replacement mode allows.

    Args:
        authorising_role: Whose command it must be.
        target_roles: Whose cells it may replace.
    """

    authorising_role: RemotePartyRole
    target_roles: frozenset[RemotePartyRole]


_ANY: Final = frozenset(
    {
        _Role.ROOT,
        _Role.RECOVERY,
        _Role.SUPPLIER,
        _Role.NETWORK_OPERATOR,
        _Role.ACCESS_CONTROL_BROKER,
        _Role.TRANSITIONAL_COS,
        _Role.WAN_PROVIDER,
    }
)


def _rule(authorising_role: RemotePartyRole, *target_roles: RemotePartyRole) -> ModeRule:
    return ModeRule(authorising_role, frozenset(target_roles))


MODE_RULES: Final[Mapping[CredentialsReplacementMode, ModeRule]] = {
    _Mode.ROOT_BY_SUPPLIER: _rule(_Role.SUPPLIER, _Role.ROOT),
    _Mode.ROOT_BY_WAN_PROVIDER: _rule(_Role.WAN_PROVIDER, _Role.ROOT),
    _Mode.SUPPLIER_BY_SUPPLIER: _rule(_Role.SUPPLIER, _Role.SUPPLIER),
    _Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR: _rule(
        _Role.NETWORK_OPERATOR, _Role.NETWORK_OPERATOR
    ),
    _Mode.ACCESS_CONTROL_BROKER_BY_ACB: _rule(
        _Role.ACCESS_CONTROL_BROKER, _Role.ACCESS_CONTROL_BROKER
    ),
    _Mode.WAN_PROVIDER_BY_WAN_PROVIDER: _rule(_Role.WAN_PROVIDER, _Role.WAN_PROVIDER),
    _Mode.TRANS_COS_BY_TRANS_COS: _rule(_Role.TRANSITIONAL_COS, _Role.TRANSITIONAL_COS),
    _Mode.SUPPLIER_BY_TRANS_COS: _rule(_Role.TRANSITIONAL_COS, _Role.SUPPLIER),
    _Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY: ModeRule(_Role.RECOVERY, _ANY),
    _Mode.ANY_BY_CONTINGENCY: ModeRule(_Role.ROOT, _ANY),
}


def critical_command_role(device_type: DeviceType) -> RemotePartyRole:
    """Return the role that signs the CS02c, CS02d and CS02e commands of a type of device."""
    if device_type is DeviceType.CHF:
        return RemotePartyRole.ACCESS_CONTROL_BROKER
    return RemotePartyRole.SUPPLIER


def authorising_cell(
    mode: CredentialsReplacementMode, device_type: DeviceType
) -> TrustAnchorCellIdentifier | None:
    """Return the cell that a CS02b command of `mode` must name; None where it names none.

    Source: GBCS v0.8.1, 13.3.3.1 and the informative table of 13.3.5.
    """
    is_maced_alone = (
        mode is CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB
        and device_type is not DeviceType.CHF
    )
    if is_maced_alone or mode is CredentialsReplacementMode.ANY_BY_CONTINGENCY:
        return None
    return TrustAnchorCellIdentifier(
        role=MODE_RULES[mode].authorising_role,
        key_usage=KeyUsage.DIGITAL_SIGNATURE,
        cell_usage=CellUsage.MANAGEMENT,
    )
