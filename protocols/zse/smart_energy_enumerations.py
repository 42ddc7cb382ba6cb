"""The Smart Energy profile, and the enumerations of its clusters Tunneling and Key Establishment.

Names are spelled as in ZSE.
"""

from __future__ import annotations

import enum
from typing import Final

SMART_ENERGY_PROFILE: Final = 0x0109
"""Profile identifier. Source: ZSE 1.4."""


class TunnelProtocol(enum.IntEnum):
    """What a tunnel carries. Source: ZSE 1.4, annex D.6; GBCS 10.2.2 for GB-HRGP."""

    DLMS_COSEM = 0
    IEC_61107 = 1
    ANSI_C12 = 2
    M_BUS = 3
    SML = 4
    ClimateTalk = 5
    GB_HRGP = 6
    Test = 199


class TunnelStatus(enum.IntEnum):
    """The outcome of RequestTunnel. Source: ZSE 1.4, annex D.6."""

    Success = 0x00
    Busy = 0x01
    No_More_Tunnel_IDs = 0x02
    Protocol_Not_Supported = 0x03
    Flow_Control_Not_Supported = 0x04


class TransferDataStatus(enum.IntEnum):
    """Why data was not taken. Source: ZSE 1.4, annex D.6."""

    No_Such_Tunnel = 0x00
    Wrong_Device = 0x01
    Data_Overflow = 0x02


class KeyEstablishmentSuite(enum.IntFlag):
    """Key establishment suites. Source: ZSE 1.4, annex C."""

    Certificate_based_1 = 0x0001
    Certificate_based_2 = 0x0002


class KeyEstablishmentStatus(enum.IntEnum):
    """Why key establishment was terminated. Source: ZSE 1.4, annex C."""

    Unknown_Issuer = 0x01
    Bad_Key_Confirm = 0x02
    Bad_Message = 0x03
    No_Resources = 0x04
    Unsupported_Suite = 0x05
    Invalid_Certificate = 0x06
