"""The names of organisations in a report: their role for the device, and their own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import ENTITY_IDENTIFIER_OCTETS
from gbcs.protocol_errors import ProtocolError, SecurityError
from gbcs.roles import RemotePartyRole
from keyrig.documents.report_document import Party
from keyrig.domain.device_facts import Fuel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.device_facts import DeviceFacts

_BY_ROLE: Final = {
    RemotePartyRole.ROOT: "root authority",
    RemotePartyRole.RECOVERY: "DCC recovery",
    RemotePartyRole.SUPPLIER: "supplier",
    RemotePartyRole.NETWORK_OPERATOR: "network operator",
    RemotePartyRole.ACCESS_CONTROL_BROKER: "DCC access control broker",
    RemotePartyRole.TRANSITIONAL_COS: "DCC transitional change of supplier",
    RemotePartyRole.WAN_PROVIDER: "DCC WAN provider",
    RemotePartyRole.ISSUING_AUTHORITY: "issuing authority",
    RemotePartyRole.LOAD_CONTROLLER: "load controller",
}
_NETWORKS: Final = {
    frozenset({Fuel.ELECTRICITY}): "Electricity Distributor",
    frozenset({Fuel.GAS}): "Gas Transporter",
}
_NOBODY: Final = bytes(ENTITY_IDENTIFIER_OCTETS)
"""Stands in a cell whose certificate names no Entity Identifier, as authorities' do not."""
UNNAMED: Final = "an authority, known by its key alone"
UNKNOWN: Final = "an organisation that is not known here"


class PartyNames:
    """Names organisations as seen from one device.

    Args:
        certificates: The DER of the certificates that the run used; those that cannot be read
            name nobody.
    """

    def __init__(self, certificates: Iterable[bytes]) -> None:
        self._of_role: dict[EntityIdentifier, str] = {}
        self._own: dict[EntityIdentifier, str] = {}
        for der in certificates:
            try:
                certificate = GBCSCertificate.from_der(der)
                entity, role, own = (
                    certificate.entity_id,
                    certificate.role,
                    certificate.business_name,
                )
            except (ProtocolError, SecurityError):
                continue
            if entity is None:
                continue
            if isinstance(role, RemotePartyRole) and role in _BY_ROLE:
                self._of_role.setdefault(entity, _BY_ROLE[role])
            if own:
                self._own.setdefault(entity, own)

    def party(self, entity: EntityIdentifier, facts: DeviceFacts) -> Party:
        """Return an organisation with its role for a device."""
        if entity == _NOBODY:
            return Party(entity_id=str(entity), name=UNNAMED)
        name = self._to_device(facts).get(entity) or self._of_role.get(entity) or UNKNOWN
        own = self._own.get(entity)
        return Party(entity_id=str(entity), name=f"{name} ({own})" if own else name)

    @staticmethod
    def _to_device(facts: DeviceFacts) -> Mapping[EntityIdentifier, str]:
        names = dict.fromkeys(facts.responsible_suppliers, "Responsible Supplier")
        if facts.network_operator is not None:
            names[facts.network_operator] = _NETWORKS.get(facts.fuels, "network operator")
        if facts.lead_supplier is not None:
            names[facts.lead_supplier] = "Lead Supplier"
        return names
