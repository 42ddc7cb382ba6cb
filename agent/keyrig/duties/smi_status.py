"""SMI Status: its values, and what is held of one device's status."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """A suspension that stands because of a failed step.

    Args:
        clause: The clause under which the device was suspended, such as "H5.34(a)".
        held_before: The status held immediately before, or None where it was not known.
        since: When it was suspended.
        failed_steps: Ids of the requirements whose failed steps are not complete yet.
    """

    clause: str
    held_before: SMIStatus | None
    since: datetime
    failed_steps: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The SMI Status that a device holds, and the suspension that stands, if any."""

    status: SMIStatus | None = None
    status_since: datetime | None = None
    suspension: Suspension | None = None
