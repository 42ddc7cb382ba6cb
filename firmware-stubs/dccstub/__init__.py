"""A stand-in for DCC Boxed: DUIS web services, SMKI repository and key bundle."""

from dccstub.faults import Fault, Faults
from dccstub.inventory import InventoryDevice
from dccstub.key_folder import KeyFolder
from dccstub.options import StandInOptions
from dccstub.service import DCCBoxed
from dccstub.serving import Running, running

__all__ = [
    "DCCBoxed",
    "Fault",
    "Faults",
    "InventoryDevice",
    "KeyFolder",
    "Running",
    "StandInOptions",
    "running",
]
