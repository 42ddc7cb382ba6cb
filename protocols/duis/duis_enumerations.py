"""Enumerations of DUIS, and the types of values that several documents share.

Source: DUIS XML schema 5.4, the simple types of these names.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Final

from duis.simple_types import Enumerated, Integer, Named, String
from gbcs.roles import DeviceType, KeyUsage, RemotePartyRole

CANCELLED: Final = datetime(3000, 12, 31, tzinfo=UTC)
"""The ExecutionDateTime that cancels what a device or the DCC holds for later."""


class SMIStatus(enum.Enum):
    """Status of a device in the Smart Metering Inventory.

    Source: DUIS 5.4, `sr:DeviceStatus`.
    """

    PENDING = "Pending"
    WHITELISTED = "Whitelisted"
    INSTALLED_NOT_COMMISSIONED = "InstalledNotCommissioned"
    COMMISSIONED = "Commissioned"
    DECOMMISSIONED = "Decommissioned"
    WITHDRAWN = "Withdrawn"
    SUSPENDED = "Suspended"
    RECOVERY = "Recovery"
    RECOVERED = "Recovered"


class ListedDeviceType(enum.Enum):
    """Type of a device in the inventory, which lists Type 2 Devices as well.

    Source: DUIS 5.4, `sr:DeviceType`.
    """

    ESME = "ESME"
    GSME = "GSME"
    GPF = "GPF"
    CHF = "CHF"
    HCALCS = "HCALCS"
    PPMID = "PPMID"
    IHD = "IHD"
    CAD = "CAD"

    @property
    def device_type(self) -> DeviceType | None:
        """The type that GBCS knows, or None for a Type 2 Device."""
        return None if self in _TYPE_2 else DeviceType(self.value)


_TYPE_2: Final = frozenset({ListedDeviceType.IHD, ListedDeviceType.CAD})


class CertificateType(enum.Enum):
    """Which of a remote party's certificates on a device."""

    DIGITAL_SIGNING = "DigitalSigning"
    KEY_AGREEMENT = "KeyAgreement"
    KEY_AGREEMENT_TOP_UP = "KeyAgreementTopUp"


class ProductListStatus(enum.Enum):
    """Status of a firmware version, or of a device model on the Central Products List."""

    ACTIVE = "Active"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    WITHDRAWN = "Withdrawn"


class CSPRegion(enum.Enum):
    """Region of the communications service provider that serves a hub."""

    NORTH = "North"
    CENTRAL = "Central"
    SOUTH = "South"
    NORTH_4G = "4G North"
    CENTRAL_4G = "4G Central"
    SOUTH_4G = "4G South"
    UNKNOWN = "Unknown"
    SMETS1 = "SMETS1"


class Connectivity(enum.Enum):
    """How a hub reaches the wide area network."""

    CELLULAR = "Cellular"
    VIRTUAL = "Virtual"


ROLE: Final = Named(
    {
        "ACB": RemotePartyRole.ACCESS_CONTROL_BROKER,
        "NetworkOperator": RemotePartyRole.NETWORK_OPERATOR,
        "Recovery": RemotePartyRole.RECOVERY,
        "Root": RemotePartyRole.ROOT,
        "Supplier": RemotePartyRole.SUPPLIER,
        "TransCoS": RemotePartyRole.TRANSITIONAL_COS,
        "LoadController": RemotePartyRole.LOAD_CONTROLLER,
    }
)
"""DUIS has no name for the other roles, the WAN provider's among them."""

CREDENTIAL_TYPE: Final = Named(
    {
        "Digital Signature": KeyUsage.DIGITAL_SIGNATURE,
        "Key Agreement": KeyUsage.KEY_AGREEMENT,
    }
)
CERTIFICATE_TYPE: Final = Enumerated(CertificateType)
SMI_STATUS: Final = Enumerated(SMIStatus)
LISTED_DEVICE_TYPE: Final = Enumerated(ListedDeviceType)
PRODUCT_LIST_STATUS: Final = Enumerated(ProductListStatus)

FLOOR_SEQ_NUMBER: Final = Integer(maximum=2**63 - 1)
SCHEDULE_ID: Final = Integer(maximum=10**12)
UPRN: Final = Integer(minimum=1, maximum=10**12 - 1)
MPXN: Final = String(minimum=1, maximum=13)
MPAN: Final = String(minimum=13, maximum=13)
POST_CODE: Final = String(minimum=6, maximum=8)
ADDRESS_IDENTIFIER: Final = String(maximum=30)
MANUFACTURER: Final = String(maximum=30)
MODEL: Final = String(maximum=30)
SMETS_CHTS_VERSION: Final = String(minimum=1, maximum=20)
FIRMWARE_VERSION: Final = String(minimum=1, maximum=8)
_ESME_VARIANTS: Final = (
    "A B C AD BD CD ADE BDE CDE ADF BDF CDF ADEF BDEF CDEF ADG ADEG AF BF CF AEF BEF CEF AG AEG"
)
ESME_VARIANT: Final = Named({variant: variant for variant in _ESME_VARIANTS.split()})
FREE_TEXT: Final = String(maximum=1024)
"""What the schema leaves unlimited; the limit is this project's."""
