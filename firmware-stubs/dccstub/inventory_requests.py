"""8.2, 8.3 and 8.4: what the DCC answers from its inventory, and changes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dccstub import options
from dccstub.inventory import update
from dccstub.refusals import Refused
from duis.alerts import (
    CHFDecommissioning,
    DCCAlertMessage,
    DeviceRemovedFromInventory,
    DeviceStatusChangeEvent,
    MeterDecommissioningOrWithdrawal,
    MeterMPxNs,
)
from duis.requests import DecommissionDevice, ReadInventory, UpdateInventory
from duis.values import SMIStatus
from gbcs.roles import DeviceType

if TYPE_CHECKING:
    from dccstub.inventory import Inventory, InventoryDevice
    from duis.alerts import StatusChange
    from duis.inventory import DSPInventory

_REMOVABLE: Final = frozenset({SMIStatus.PENDING, SMIStatus.DECOMMISSIONED})


def carry_out(
    inventory: Inventory, body: object
) -> tuple[DSPInventory | None, list[DCCAlertMessage]]:
    """Carry out one of the three requests, whose device admission has found.

    Returns:
        What is read, and the alerts that users get.

    Raises:
        Refused: There is nothing to read, or the change does not go with type or status.
    """
    if isinstance(body, ReadInventory):
        found = inventory.read(body)
        if found is None:
            raise Refused(options.NOTHING_IN_INVENTORY, "the inventory has nothing of the kind")
        return found, []
    assert isinstance(body, (DecommissionDevice, UpdateInventory))
    device = inventory[body.device_id]
    if isinstance(body, DecommissionDevice):
        return None, _decommission(device)
    if body.delete_device:
        if device.status not in _REMOVABLE:
            raise Refused(options.INVENTORY_UPDATE_REFUSED, f"it is {device.status.value}")
        inventory.remove(device)
        return None, [_event(device, DeviceRemovedFromInventory())]
    if device.status is SMIStatus.DECOMMISSIONED or not update(device, body):
        raise Refused(options.INVENTORY_UPDATE_REFUSED, "it does not go with the device")
    return None, []


def _decommission(device: InventoryDevice) -> list[DCCAlertMessage]:
    if device.status is SMIStatus.DECOMMISSIONED:
        raise Refused(options.DECOMMISSIONED_ALREADY, "it is decommissioned")
    device.status = SMIStatus.DECOMMISSIONED
    change: StatusChange
    if device.device_type is DeviceType.CHF:
        change = CHFDecommissioning()
    elif device.import_mpxn is not None:
        points = MeterMPxNs(
            import_mpxn=device.import_mpxn,
            secondary_import_mpan=device.secondary_import_mpan,
            export_mpan=device.export_mpan,
        )
        change = MeterDecommissioningOrWithdrawal(meter_decommission_or_withdrawal=points)
    else:
        return []
    return [_event(device, change)]


def _event(device: InventoryDevice, change: StatusChange) -> DCCAlertMessage:
    return DCCAlertMessage(
        dcc_alert_code=options.DECOMMISSIONED_ALERT,
        dcc_alert=DeviceStatusChangeEvent(device_id=device.entity_id, device_status_change=change),
    )
