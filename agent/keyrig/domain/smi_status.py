"""SMI Status of a device; its values are those of DUIS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from duis.duis_enumerations import SMIStatus
from keyrig.base.clock import instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier

__all__ = [
    "NOT_SET_BY_USERS",
    "SET_BY_USERS",
    "SMIStatus",
    "Standing",
    "StatusInstruction",
    "Suspension",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """A suspension in force because of a failed step.

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


NOT_SET_BY_USERS: Final = "no request of DUIS 5.4 sets it; the DCC has to"
SET_BY_USERS: Final = "Update Inventory (8.4) can ask for it"
_USERS_SET: Final = frozenset(
    {
        SMIStatus.PENDING,
        SMIStatus.INSTALLED_NOT_COMMISSIONED,
        SMIStatus.COMMISSIONED,
        SMIStatus.WITHDRAWN,
    }
)
"""Source: DUIS 5.4, `UpdateDeviceStatusCH` and `UpdateDeviceStatusExceptCH`, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInstruction:
    """A status that a device must have and the inventory does not show yet.

    Args:
        device: The device.
        status: The status that it is to have.
        instead_of: Its status when that was decided, or None where not known.
        clause: The clause that demands it.
        reason: Why, in one line.
        since: When it was decided.
    """

    device: EntityIdentifier
    status: SMIStatus
    instead_of: SMIStatus | None
    clause: str
    reason: str
    since: datetime

    @property
    def channel(self) -> str:
        """The party that can carry it out, in words."""
        return SET_BY_USERS if self.status in _USERS_SET else NOT_SET_BY_USERS

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "status": self.status.value,
            "instead_of": self.instead_of.value if self.instead_of else None,
            "clause": self.clause,
            "reason": self.reason,
            "since": instant_text(self.since),
            "state": "waiting",
            "channel": self.channel,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A device's SMI Status, with the suspension and the instruction in force."""

    status: SMIStatus | None = None
    status_since: datetime | None = None
    suspension: Suspension | None = None
    instruction: StatusInstruction | None = None
