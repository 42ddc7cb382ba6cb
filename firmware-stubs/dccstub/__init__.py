"""A stand-in for DCC Boxed: DUIS web services, SMKI repository and key bundle."""

from dccstub.key_folder import KeyFolder
from dccstub.running_stand_in import Running, running
from dccstub.stand_in import DCCBoxed
from dccstub.stand_in_faults import Fault, Faults
from dccstub.stand_in_inventory import InventoryDevice
from dccstub.stand_in_options import StandInOptions

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
