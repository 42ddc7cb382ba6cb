"""What the Smart Metering Inventory holds of devices, as the answer to Read Inventory tells it.

Source: DUIS XML schema 5.4, `DSPInventory` and `Device`.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003 - read by whoever looks at the fields' types
from typing import Final

from duis.duis_enumerations import (
    ESME_VARIANT,
    FIRMWARE_VERSION,
    FREE_TEXT,
    LISTED_DEVICE_TYPE,
    MANUFACTURER,
    MODEL,
    MPAN,
    MPXN,
    PRODUCT_LIST_STATUS,
    SMETS_CHTS_VERSION,
    SMI_STATUS,
    UPRN,
    Connectivity,
    CSPRegion,
    ListedDeviceType,
    ProductListStatus,
    SMIStatus,
)
from duis.request_documents import PropertyFilter
from duis.simple_types import DAY, ENTITY, Enumerated
from duis.xml_elements import Structure, element, elements, structure
from gbcs.entity_identifier import EntityIdentifier  # noqa: TC001 - as above

DEVICES_MAXIMUM: Final = 17
"""How many devices one answer may name."""


@structure
class Device:
    """One device of the inventory."""

    device_id: EntityIdentifier = element("DeviceID", ENTITY)
    device_type: ListedDeviceType = element("DeviceType", LISTED_DEVICE_TYPE)
    device_status: SMIStatus | None = element("DeviceStatus", SMI_STATUS, default=None)
    device_manufacturer: str = element("DeviceManufacturer", MANUFACTURER)
    device_model: str = element("DeviceModel", MODEL)
    smets_chts_version: str | None = element("SMETSCHTSVersion", SMETS_CHTS_VERSION, default=None)
    device_firmware_version: str | None = element(
        "DeviceFirmwareVersion", FIRMWARE_VERSION, default=None
    )
    device_firmware_version_status: ProductListStatus | None = element(
        "DeviceFirmwareVersionStatus", PRODUCT_LIST_STATUS, default=None
    )
    cpl_status: ProductListStatus | None = element("CPLStatus", PRODUCT_LIST_STATUS, default=None)
    date_commissioned: date | None = element("DateCommissioned", DAY, default=None)
    import_mpxn: str | None = element("ImportMPxN", MPXN, default=None)
    secondary_import_mpan: str | None = element("SecondaryImportMPAN", MPAN, default=None)
    export_mpan: str | None = element("ExportMPAN", MPAN, default=None)
    esme_variant: str | None = element("ESMEVariant", ESME_VARIANT, default=None)
    uprn: int | None = element("UPRN", UPRN, default=None)
    property_filter: PropertyFilter | None = element(
        "PropertyFilter", Structure(PropertyFilter), default=None
    )
    csp_region: CSPRegion | None = element("CSPRegion", Enumerated(CSPRegion), default=None)
    device_gbcs_version: str | None = element("DeviceGBCSVersion", FREE_TEXT, default=None)
    han_variant: str | None = element("HANVariant", FREE_TEXT, default=None)
    s1sp: str | None = element("S1SP", FREE_TEXT, default=None)
    connectivity: Connectivity | None = element(
        "Connectivity", Enumerated(Connectivity), default=None
    )


@structure
class DSPInventory:
    """The devices that an answer names, 1 to 17."""

    devices: tuple[Device, ...] = elements("Device", Structure(Device), at_most=DEVICES_MAXIMUM)
