"""Certification requests that wait for an authority; reads alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyrig.domain.key_changes import KeyChangeState
from keyrig.duties.rules import StepKind
from keyrig.keys.certification_order import CertificationOrder

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.key_changes import KeyChange
    from keyrig.ledger.ledger import Ledger

AWAITING: Final = frozenset({KeyChangeState.CSR_RECEIVED, KeyChangeState.WAITING_FOR_AUTHORITY})
"""The states in which a change takes the certificate of its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRequest:
    """A certification request that waits for the authority.

    Args:
        change: The key change.
        order: What the authority is asked.
        authority: The authority's name.
        answer: What it said last, in one line.
        folder: Where the request lies as files, or None.
    """

    change: KeyChange
    order: CertificationOrder
    authority: str
    answer: str
    folder: str | None

    @property
    def since(self) -> datetime:
        """When it began to wait."""
        return self.change.changed_at


def waiting_requests(
    ledger: Ledger, now: datetime, devices: Collection[EntityIdentifier] = ()
) -> tuple[WaitingRequest, ...]:
    """Return the requests that wait for an authority, the longest waiting first.

    Args:
        ledger: The ledger.
        now: The present instant.
        devices: The devices; all where empty.
    """
    with ledger.reading():
        return tuple(
            _waiting(ledger, change, now) for change in ledger.key_changes.all_waiting(devices)
        )


def _waiting(ledger: Ledger, change: KeyChange, now: datetime) -> WaitingRequest:
    asked = ledger.key_changes.asked(change.id)
    return WaitingRequest(
        change=change,
        order=order_of(ledger, change, now),
        authority=asked.authority,
        answer=asked.answer,
        folder=asked.folder,
    )


def order_of(ledger: Ledger, change: KeyChange, now: datetime) -> CertificationOrder:
    """Return what an authority is asked for a key change, whose request has been received."""
    assert change.csr is not None
    planned = ledger.open_duties.planned(change.device, now)
    deadlines = [
        duty.deadline
        for duty in (planned.duties if planned else ())
        if duty.step is StepKind.REGENERATE_KEYS and duty.deadline is not None
    ]
    return CertificationOrder(
        change.device, change.key_usage, change.csr, min(deadlines) if deadlines else None
    )
