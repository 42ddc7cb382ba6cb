"""Whether a request may be carried out: who sends it, where to, for which device, and when.

Source: DUIS response codes E1 to E19, in the order in which they are looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dccstub import stand_in_options as codes
from dccstub.stand_in_faults import Fault
from dccstub.stand_in_options import Refused
from dccstub.web_services import LOCAL
from duis.credential_requests import (
    RequestHandoverOfDCCControlledDevice,
    UpdateSecurityCredentialsKRP,
)
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    DecommissionDevice,
    UpdateInventory,
)
from duis.service_references import CommandVariant
from gbcs.roles import DeviceType, RemotePartyRole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dccstub.certificate_directory import Directory
    from dccstub.stand_in_faults import Faults
    from dccstub.stand_in_inventory import Inventory, InventoryDevice
    from dccstub.stand_in_options import StandInOptions
    from duis.document_headers import RequestIdentifier
    from duis.request_documents import Request
    from gbcs.entity_identifier import EntityIdentifier

_SUPPLIER: Final = frozenset({RemotePartyRole.SUPPLIER})
_SUPPLIER_OR_OPERATOR: Final = _SUPPLIER | {RemotePartyRole.NETWORK_OPERATOR}
_USERS: Final = _SUPPLIER_OR_OPERATOR | {RemotePartyRole.LOAD_CONTROLLER, RemotePartyRole.OTHER}

ROLES: Final[Mapping[str, frozenset[RemotePartyRole]]] = {
    "6.15.1": _SUPPLIER_OR_OPERATOR,
    "6.15.2": _SUPPLIER,
    "6.17": _SUPPLIER,
    "6.21": _SUPPLIER,
    "6.23": _SUPPLIER,
    "6.24.1": _SUPPLIER_OR_OPERATOR,
    "6.24.2": _SUPPLIER,
    "8.1.1": _SUPPLIER,
    "8.2": _USERS,
    "8.3": _SUPPLIER,
    "8.4": _USERS,
    "8.13": _SUPPLIER,
}
"""Who may send what; the service reference variants that are not here are not known.

Source: the request matrix of DCC's public DUIS parser, with import and gas suppliers as one.
"""


class Admission:
    """Looks at each request before anything is done.

    Args:
        directory: Says in which roles a party has certificates.
        inventory: Has the devices.
        options: Says which SMI Status bars what.
        faults: May bar a request.
    """

    def __init__(
        self, directory: Directory, inventory: Inventory, options: StandInOptions, faults: Faults
    ) -> None:
        self._directory = directory
        self._inventory = inventory
        self._options = options
        self._faults = faults
        self._counters: dict[tuple[EntityIdentifier, EntityIdentifier], int] = {}

    def admit(self, request: Request) -> None:
        """Check a request; its counter is used up by `use_up` alone.

        Raises:
            Refused: It may not be carried out.
        """
        code = self._refusal(request)
        if code is not None:
            raise Refused(code, str(request.header.request_id))

    def use_up(self, request_id: RequestIdentifier) -> None:
        """Record a request's counter as used."""
        self._counters[request_id.originator, request_id.target] = request_id.counter

    def _refusal(self, request: Request) -> str | None:
        """Return the response code by which a request is refused, or None."""
        variant = request.header.service_reference_variant
        request_id = request.header.request_id
        if variant not in ROLES:
            return codes.UNSUPPORTED
        if not self._directory.roles(request_id.originator) & ROLES[variant]:
            return "E2"
        is_for_device = request.header.command_variant is not CommandVariant.NON_DEVICE
        refused = (
            self._device_refusal(request, variant)
            if is_for_device
            else self._inventory_refusal(request)
        )
        if refused is None and self._is_replay(request_id):
            return codes.REPLAYED
        return refused

    def _is_replay(self, request_id: RequestIdentifier) -> bool:
        last = self._counters.get((request_id.originator, request_id.target))
        return last is not None and request_id.counter <= last

    def _inventory_refusal(self, request: Request) -> str | None:
        request_id, body = request.header.request_id, request.body
        if request_id.target != self._options.parties.access_control_broker:
            return "E19"
        if not isinstance(body, (DecommissionDevice, UpdateInventory)):
            return None
        device = self._inventory.find(body.device_id)
        if device is None:
            return "E19"
        return None if _is_responsible(request_id.originator, device) else "E4"

    def _device_refusal(self, request: Request, variant: str) -> str | None:
        request_id = request.header.request_id
        device = self._inventory.find(request_id.target)
        if device is None:
            return "E19"
        barred = self._options.barred_for.get(variant, self._options.barred_at)
        is_local = request.header.command_variant in LOCAL
        checks = (
            ("E4", _is_responsible(request_id.originator, device)),
            ("E5", device.status not in barred),
            ("E11", _goes_with_type(request, device.device_type)),
            ("E17", not is_local or variant not in self._options.local_unavailable),
            ("E5", not self._faults.takes_effect(Fault.STATUS_INCOMPATIBLE)),
        )
        return next((code for code, passes in checks if not passes), None)


def _is_responsible(party: EntityIdentifier, device: InventoryDevice) -> bool:
    """True if a party is registered for a device, or nobody is."""
    return device.supplier is None or party in {device.supplier, device.network_operator}


def _goes_with_type(request: Request, device_type: DeviceType) -> bool:
    body = request.body
    if device_type is DeviceType.CHF:
        return False
    if isinstance(body, CommissionDeviceSynchroniseClock):
        return device_type in codes.COMMISSION_MESSAGE_CODES
    if isinstance(body, (UpdateSecurityCredentialsKRP, RequestHandoverOfDCCControlledDevice)):
        holds_operator = device_type in {DeviceType.ESME, DeviceType.GPF}
        return body.remote_party_role is not RemotePartyRole.NETWORK_OPERATOR or holds_operator
    return True
