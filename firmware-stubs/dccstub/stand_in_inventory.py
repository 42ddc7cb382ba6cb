"""The stand-in's Smart Metering Inventory, and 8.2 to 8.4, which read and change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dccstub import stand_in_options as codes
from dccstub.stand_in_options import Refused
from duis.alert_messages import (
    CHFDecommissioning,
    DCCAlertMessage,
    DeviceRemovedFromInventory,
    DeviceStatusChangeEvent,
    MeterDecommissioningOrWithdrawal,
    MeterMPxNs,
)
from duis.dsp_inventory import DEVICES_MAXIMUM, Device, DSPInventory
from duis.duis_enumerations import ListedDeviceType, SMIStatus
from duis.request_documents import DecommissionDevice, ReadInventory, UpdateInventory
from gbcs.roles import DeviceType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from duis.alert_messages import StatusChange
    from duis.request_documents import PropertyFilter
    from gbcs.entity_identifier import EntityIdentifier
    from meterstub.emulated_device import EmulatedDevice


_REMOVABLE: Final = frozenset({SMIStatus.PENDING, SMIStatus.DECOMMISSIONED})


@dataclass(slots=True, kw_only=True)
class InventoryDevice:
    """One device: the emulated one, and what the inventory holds of it.

    Args:
        emulated: The device; the stand-in alone talks to it.
        status: Its SMI Status.
        date_commissioned: The day of its Commissioning, or None.
        supplier: The supplier that is registered for it; None lets any act on it.
        network_operator: The network operator that is; None lets any act on it.
        manufacturer: Who made it.
        model: What it is called.
        smets_chts_version: The version of its specification, or None.
        firmware_version: Its firmware's, or None.
        esme_variant: For an ESME, or None.
        import_mpxn: The meter point that it serves, or None.
        secondary_import_mpan: The same, or None.
        export_mpan: The same, or None.
        uprn: The property's number, or None.
        property_filter: The property's address, or None.
    """

    emulated: EmulatedDevice = field(repr=False)
    status: SMIStatus = SMIStatus.COMMISSIONED
    date_commissioned: date | None = None
    supplier: EntityIdentifier | None = None
    network_operator: EntityIdentifier | None = None
    manufacturer: str = "EMULATED"
    model: str = "METERSTUB"
    smets_chts_version: str | None = None
    firmware_version: str | None = None
    esme_variant: str | None = None
    import_mpxn: str | None = None
    secondary_import_mpan: str | None = None
    export_mpan: str | None = None
    uprn: int | None = None
    property_filter: PropertyFilter | None = None

    @property
    def entity_id(self) -> EntityIdentifier:
        """Who it is."""
        return self.emulated.entity_id

    @property
    def device_type(self) -> DeviceType:
        """What it is."""
        return self.emulated.device_type

    def meter_points(self) -> set[str]:
        """Return the meter points that it serves."""
        points = (self.import_mpxn, self.secondary_import_mpan, self.export_mpan)
        return {point for point in points if point is not None}

    def listed(self) -> Device:
        """Return what Read Inventory tells of it."""
        return Device(
            device_id=self.entity_id,
            device_type=ListedDeviceType(self.device_type.value),
            device_status=self.status,
            device_manufacturer=self.manufacturer,
            device_model=self.model,
            smets_chts_version=self.smets_chts_version,
            device_firmware_version=self.firmware_version,
            date_commissioned=self.date_commissioned,
            import_mpxn=self.import_mpxn,
            secondary_import_mpan=self.secondary_import_mpan,
            export_mpan=self.export_mpan,
            esme_variant=self.esme_variant,
            uprn=self.uprn,
            property_filter=self.property_filter,
        )


class Inventory:
    """The devices, by who they are.

    Raises:
        ValueError: One is there twice.
    """

    def __init__(self, devices: Iterable[InventoryDevice]) -> None:
        self._devices: dict[EntityIdentifier, InventoryDevice] = {}
        for device in devices:
            if device.entity_id in self._devices:
                msg = f"{device.entity_id} is in the inventory twice"
                raise ValueError(msg)
            self._devices[device.entity_id] = device

    def __iter__(self) -> Iterator[InventoryDevice]:
        return iter(tuple(self._devices.values()))

    def __getitem__(self, entity_id: EntityIdentifier) -> InventoryDevice:
        return self._devices[entity_id]

    def find(self, entity_id: EntityIdentifier) -> InventoryDevice | None:
        """Return a device, or None."""
        return self._devices.get(entity_id)

    def remove(self, device: InventoryDevice) -> None:
        """Remove a device."""
        del self._devices[device.entity_id]

    def read(self, body: ReadInventory) -> DSPInventory | None:
        """Return what 8.2 asks for, the first 17 of it; None where there is nothing."""
        found = [device.listed() for device in self._devices.values() if _is_asked(device, body)]
        return DSPInventory(devices=tuple(found[:DEVICES_MAXIMUM])) if found else None


def _is_asked(device: InventoryDevice, body: ReadInventory) -> bool:
    if body.device_id is not None:
        return device.entity_id == body.device_id
    if body.uprn is not None:
        return device.uprn == body.uprn
    if body.mpxn is not None:
        return body.mpxn in device.meter_points()
    return device.property_filter == body.property_filter


def _update(device: InventoryDevice, body: UpdateInventory) -> bool:
    """Carry out 8.4 but for the removal of a device; False where it does not go with the type."""
    is_hub = device.device_type.value == "CHF"
    if body.update_device_status_ch is not None:
        if is_hub:
            device.status = body.update_device_status_ch
        return is_hub
    if body.update_device_status_except_ch is not None:
        if not is_hub:
            device.status = body.update_device_status_except_ch
        return not is_hub
    if body.update_device_details is not None:
        details = body.update_device_details
        device.manufacturer = details.device_manufacturer or device.manufacturer
        device.model = details.device_model or device.model
        device.smets_chts_version = details.smets_chts_version or device.smets_chts_version
        device.firmware_version = details.firmware_version or device.firmware_version
        device.esme_variant = details.esme_variant or device.esme_variant
    if body.update_mpxn is not None:
        points = body.update_mpxn
        device.import_mpxn = points.import_mpxn or device.import_mpxn
        device.secondary_import_mpan = points.secondary_import_mpan or device.secondary_import_mpan
        device.export_mpan = points.export_mpan or device.export_mpan
    return True


def carry_out_on_inventory(
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
            raise Refused(codes.NOTHING_IN_INVENTORY, "the inventory has nothing of the kind")
        return found, []
    assert isinstance(body, (DecommissionDevice, UpdateInventory))
    device = inventory[body.device_id]
    if isinstance(body, DecommissionDevice):
        return None, _decommission(device)
    if body.delete_device:
        if device.status not in _REMOVABLE:
            raise Refused(codes.INVENTORY_UPDATE_REFUSED, f"it is {device.status.value}")
        inventory.remove(device)
        return None, [_event(device, DeviceRemovedFromInventory())]
    if device.status is SMIStatus.DECOMMISSIONED or not _update(device, body):
        raise Refused(codes.INVENTORY_UPDATE_REFUSED, "it does not go with the device")
    return None, []


def _decommission(device: InventoryDevice) -> list[DCCAlertMessage]:
    if device.status is SMIStatus.DECOMMISSIONED:
        raise Refused(codes.DECOMMISSIONED_ALREADY, "it is decommissioned")
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
        dcc_alert_code=codes.DECOMMISSIONED_ALERT,
        dcc_alert=DeviceStatusChangeEvent(device_id=device.entity_id, device_status_change=change),
    )
