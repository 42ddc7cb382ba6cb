"""Who and what: remote party roles, device types, key usages, trust anchor cells."""

from __future__ import annotations

import enum
from typing import TypeAlias


class RemotePartyRole(enum.IntEnum):
    """Role of a remote party, as in certificates' OU and in trust anchor cells.

    Source: `RemotePartyRole`, GBCS 13 (values seen in RTDS 4.5.0; 127 from public parsers).
    """

    ROOT = 0
    RECOVERY = 1
    SUPPLIER = 2
    NETWORK_OPERATOR = 3
    ACCESS_CONTROL_BROKER = 4
    TRANSITIONAL_COS = 5
    WAN_PROVIDER = 6
    ISSUING_AUTHORITY = 7
    LOAD_CONTROLLER = 8
    OTHER = 127

    @property
    def gbcs_name(self) -> str:
        """The name that the ASN.1 module gives it, such as `networkOperator`."""
        first, *rest = self.name.lower().split("_")
        return "transitionalCoS" if self == 5 else first + "".join(w.capitalize() for w in rest)


class XMLSigningRole(enum.IntEnum):
    """Role of whoever signs XML, as in certificates' OU; in no trust anchor cell and no message.

    A key under such a certificate signs DUIS documents, and nothing on a device's way.

    Source: the DCC's public clients for DCC Boxed (`XmlSign`, `DspXmlSign`).
    """

    XML_SIGN = 0x87
    DSP_XML_SIGN = 0x89

    @property
    def gbcs_name(self) -> str:
        """The name that the DCC's clients give it, spelled as the others: `xmlSign`."""
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


OrganisationRole: TypeAlias = RemotePartyRole | XMLSigningRole
"""What the OU of an organisation's certificate may name."""


class KeyUsage(enum.IntFlag):
    """X.509 key usage; named bit n of the BIT STRING is `1 << n` here.

    Source: RFC 5280, 4.2.1.3.
    """

    DIGITAL_SIGNATURE = 1 << 0
    NON_REPUDIATION = 1 << 1
    KEY_ENCIPHERMENT = 1 << 2
    DATA_ENCIPHERMENT = 1 << 3
    KEY_AGREEMENT = 1 << 4
    KEY_CERT_SIGN = 1 << 5
    CRL_SIGN = 1 << 6
    ENCIPHER_ONLY = 1 << 7
    DECIPHER_ONLY = 1 << 8

    @property
    def gbcs_name(self) -> str:
        """The name that X.509 gives it, such as `digitalSignature`; several joined by `+`."""
        names = [_X509_NAMES[bit] for bit in KeyUsage if bit in self]
        return "+".join(names) or "none"


_X509_NAMES = {
    KeyUsage.DIGITAL_SIGNATURE: "digitalSignature",
    KeyUsage.NON_REPUDIATION: "nonRepudiation",
    KeyUsage.KEY_ENCIPHERMENT: "keyEncipherment",
    KeyUsage.DATA_ENCIPHERMENT: "dataEncipherment",
    KeyUsage.KEY_AGREEMENT: "keyAgreement",
    KeyUsage.KEY_CERT_SIGN: "keyCertSign",
    KeyUsage.CRL_SIGN: "cRLSign",
    KeyUsage.ENCIPHER_ONLY: "encipherOnly",
    KeyUsage.DECIPHER_ONLY: "decipherOnly",
}


class CellUsage(enum.IntEnum):
    """What a trust anchor cell's key serves.

    Source: `CellUsage`, GBCS 13.
    """

    MANAGEMENT = 0
    PREPAYMENT_TOP_UP = 1

    @property
    def gbcs_name(self) -> str:
        """The name that the ASN.1 module gives it, such as `management`."""
        return "prePaymentTopUp" if self == 1 else "management"


class DeviceType(enum.Enum):
    """Types of device, by the names that DUIS and GBCS use.

    Source: DUIS 5.4 `DeviceType`; GBCS `deviceType` (values in `gbcs_value`).
    """

    GSME = "GSME"
    ESME = "ESME"
    CHF = "CHF"
    GPF = "GPF"
    HCALCS = "HCALCS"
    PPMID = "PPMID"

    @property
    def gbcs_value(self) -> int:
        """The value of GBCS's `deviceType`."""
        return list(DeviceType).index(self)
