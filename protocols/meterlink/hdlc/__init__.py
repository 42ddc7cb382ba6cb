"""HDLC of IEC 62056-46: both stations of a serial link, without input or output."""

from meterlink.hdlc.address import HDLCAddress
from meterlink.hdlc.connection import HDLCConnection, Timers
from meterlink.hdlc.parameters import LinkParameters
from meterlink.hdlc.primary import PrimaryStation
from meterlink.hdlc.secondary import SecondaryStation
from meterlink.hdlc.state import LinkState

__all__ = [
    "HDLCAddress",
    "HDLCConnection",
    "LinkParameters",
    "LinkState",
    "PrimaryStation",
    "SecondaryStation",
    "Timers",
]
