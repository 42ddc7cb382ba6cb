"""Facts about devices and the attempts at their duties."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from keyrig.base.error_kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.protocol_errors import KeyrigError
    from gbcs.roles import DeviceType

SCHEDULED_GRACE: Final = timedelta(hours=1)
"""How long after its instant a replacement's alert may come before the duty is due again."""

DCC: Final = "dcc"
"""The DCC, where a fact names who did something."""


class Fuel(enum.Enum):
    """A fuel that a device serves."""

    ELECTRICITY = "electricity"
    GAS = "gas"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What is known of one device, apart from what the ledger holds.

    Args:
        entity_id: The device.
        device_type: Its type.
        commissioned_at: The instant of Commissioning (aware, UTC), its date where no more
            is known, or None where it is not commissioned.
        replaced: Another device has taken its place.
        decommissioned: It is Decommissioned.
        organisation_certificate_replaced_by_dcc_during_commissioning: A Command that the
            DCC sent, that the device executed, during Commissioning, replaced one of its
            Organisation Certificates. Loading by the manufacturer, a supplier's own
            Command and a rejected Command do not make this true.
        recovery_checked_after_receipt_by: Who confirmed the Recovery cell after receipt
            from the manufacturer: the DCC, a supplier, or None.
        fuels: The fuels that it serves.
        responsible_suppliers: The Responsible Supplier of each Smart Metering System
            that it is part of.
        lead_supplier: Its Lead Supplier now.
        network_operator: Its Electricity Distributor or Gas Transporter.
    """

    entity_id: EntityIdentifier
    device_type: DeviceType
    commissioned_at: datetime | date | None = None
    replaced: bool = False
    decommissioned: bool = False
    organisation_certificate_replaced_by_dcc_during_commissioning: bool = False
    recovery_checked_after_receipt_by: EntityIdentifier | Literal["dcc"] | None = None
    fuels: frozenset[Fuel] = frozenset()
    responsible_suppliers: tuple[EntityIdentifier, ...] = ()
    lead_supplier: EntityIdentifier | None = None
    network_operator: EntityIdentifier | None = None

    def __post_init__(self) -> None:
        if isinstance(self.commissioned_at, datetime):
            aware_utc(self.commissioned_at)

    @property
    def commissioned_from(self) -> datetime | None:
        """The first instant at which it may have been Commissioned, or None."""
        if self.commissioned_at is None or isinstance(self.commissioned_at, datetime):
            return self.commissioned_at
        return datetime.combine(self.commissioned_at, datetime.min.time(), UTC)


class Outcome(enum.Enum):
    """How an attempt at a duty ended; what is interrupted or waits has not failed."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"
    """It waits for the certificate authority; a later attempt goes on with it."""


class Cause(enum.Enum):
    """What kept a duty from being begun; the device is the cause of none of them."""

    RIG = "rig"
    """The rig file, or the facts of the device."""
    KEYS = "keys"
    """A key or certificate that is missing or invalid."""
    AUTHORITY = "authority"
    """The certificate authority."""
    LINE = "line"
    """The link to the device: its port, radio or service, or no answer there."""


def cause_of(error: KeyrigError) -> Cause:
    """Return what an error keeps a duty from: the way to the device, unless it is another's."""
    fault = kind_of(error).fault.value
    return Cause(fault) if fault in {cause.value for cause in Cause} else Cause.LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegun:
    """Why a duty that was due was not begun.

    Args:
        at: When that was found.
        cause: What kept it from being begun.
        reason: What is missing or wrong, in one line.
        mend: What to do about it, in one line; a command where one mends it.
    """

    at: datetime
    cause: Cause
    reason: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFact:
    """One attempt at one duty; `outcome` and `finished_at` are None while it is under way."""

    started_at: datetime
    finished_at: datetime | None = None
    outcome: Outcome | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What the ledger knows of duties, by device and requirement id.

    Args:
        attempts: The attempts at each, oldest first.
        scheduled: When the device is to carry out the replacement that it holds for a duty.
        waiting: Since when certification requests of a device wait for the authority, by device.
        not_begun: Why the duty was not begun when it was last held back.
    """

    attempts: Mapping[tuple[EntityIdentifier, str], tuple[AttemptFact, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    scheduled: Mapping[tuple[EntityIdentifier, str], datetime] = field(
        default_factory=lambda: MappingProxyType({})
    )
    waiting: Mapping[EntityIdentifier, datetime] = field(
        default_factory=lambda: MappingProxyType({})
    )
    not_begun: Mapping[tuple[EntityIdentifier, str], NotBegun] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def of(self, device: EntityIdentifier, requirement_id: str) -> tuple[AttemptFact, ...]:
        """Return the attempts at one duty, oldest first."""
        return self.attempts.get((device, requirement_id), ())


def aware_utc(instant: datetime) -> datetime:
    """Return `instant` unchanged; refuse one that is not in UTC.

    Raises:
        ValueError: It has no time zone or one that is not UTC.
    """
    if instant.utcoffset() != timedelta(0):
        raise ValueError(f"an instant must be aware and in UTC, not {instant.isoformat()}")
    return instant
