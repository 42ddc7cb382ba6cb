"""The state of upstreams: for `keyrig outbox --json` and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from keyrig.documents.document_model import Count, Document, Eui, Instant
from keyrig.domain.states import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyrig.ledger.event_queue import Parked


class ParkedEvent(Document):
    """An event that an upstream refused, or that a person holds back."""

    id: str = Field(examples=["0f7f5a52-5b1e-5a93-8b0d-0b1b7f6f6d11"])
    type: EventType = Field(examples=["duty-outcome"])
    device: Eui
    at: Instant
    reason: str = Field(examples=["422 Unprocessable Content"])
    by_person: bool
    parked_at: Instant


class UpstreamPart(Document):
    """An upstream of the settings, its state, and the events parked for it."""

    name: str = Field(examples=["head-office"])
    kind: Literal["https", "mqtt", "ndjson"]
    address: str = Field(
        description="Where it is, without secrets.", examples=["https://events.example/keyrig"]
    )
    waiting: Count = Field(description="Events that it was not told yet.", examples=[2])
    parked: Count = Field(description="How many of them are parked.", examples=[1])
    held_back: Count = Field(
        description="How many wait behind a parked one of their device.", examples=[1]
    )
    oldest_waiting_at: Instant | None
    last_told_at: Instant | None
    stopped: bool = Field(description="Whether a person must act.")
    failures: Count = Field(description="How often in a row it failed.")
    last_error: str | None = Field(examples=[None])
    last_error_at: Instant | None = Field(examples=[None])
    retry_at: Instant | None = Field(examples=[None])
    parked_events: tuple[ParkedEvent, ...]


class OutboxDocument(Document):
    """The state of every upstream of the settings."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    upstreams: tuple[UpstreamPart, ...]


class EventDocument(Document):
    """An event as it is published, and its state at each upstream."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    event: dict[str, Any]
    upstreams: dict[str, str]


def parked_events(parked: Iterable[Parked]) -> tuple[ParkedEvent, ...]:
    """Return the documents of parked events."""
    return tuple(
        ParkedEvent.model_validate(
            {
                "id": str(each.event.id),
                "type": each.event.type,
                "device": each.event.device,
                "at": each.event.at,
                "reason": each.reason,
                "by_person": each.by_person,
                "parked_at": each.at,
            }
        )
        for each in parked
    )
