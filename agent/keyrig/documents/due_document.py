"""The duties that are due next over every rig: what `keyrig plan --next` and the API give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Count,
    Document,
    Eui,
    Instant,
    TextOrNull,
)

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.ledger.ledger import Ledger


class DueDuty(Document):
    """A duty that is still to be done."""

    entity_id: Eui
    requirement: str = Field(examples=["R37c"])
    due_by: Instant | None = Field(examples=[DEADLINE_EXAMPLE])
    overdue: bool
    rig: TextOrNull = Field(
        description="The rig that carries it out, if any.", examples=["emulated-home"]
    )


class DueDocument(Document):
    """The duties that are due next, over every rig."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    open: Count = Field(description="How many there are in all.", examples=[19])
    duties: tuple[DueDuty, ...]

    @classmethod
    def of(cls, ledger: Ledger, now: datetime, limit: int) -> DueDocument:
        """Return the `limit` duties that are due next over all devices of a ledger."""
        return cls(
            open=ledger.open_duties.count(),
            duties=tuple(
                DueDuty(
                    entity_id=str(duty.device),
                    requirement=duty.requirement,
                    due_by=duty.due_by,
                    overdue=duty.due_by is not None and now > duty.due_by,
                    rig=duty.rig_name,
                )
                for duty in ledger.open_duties.next_due(now, limit)
            ),
        )
