"""Showing which duties are due next over every rig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.ledger.ledger import Ledger


def due_document(ledger: Ledger, now: datetime, limit: int) -> dict[str, Any]:
    """Make the JSON object of the duties that are due next over all devices of a ledger."""
    due = ledger.open_duties.next_due(now, limit)
    return {
        "open": ledger.open_duties.count(),
        "duties": [
            {
                "entity_id": str(duty.device),
                "requirement": duty.requirement,
                "due_by": duty.due_by.isoformat() if duty.due_by else None,
                "overdue": duty.due_by is not None and now > duty.due_by,
                "rig": duty.rig_name or None,
            }
            for duty in due
        ],
    }
