"""HDLC of IEC 62056-46: both stations of a serial link, without input or output."""

from meterlink.hdlc.hdlc_address import HDLCAddress
from meterlink.hdlc.hdlc_connection import HDLCConnection, Timers
from meterlink.hdlc.hdlc_parameters import LinkParameters
from meterlink.hdlc.hdlc_states import LinkState
from meterlink.hdlc.primary_station import PrimaryStation
from meterlink.hdlc.secondary_station import SecondaryStation

__all__ = [
    "HDLCAddress",
    "HDLCConnection",
    "LinkParameters",
    "LinkState",
    "PrimaryStation",
    "SecondaryStation",
    "Timers",
]
