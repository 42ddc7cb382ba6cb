"""Events of the outbox as CloudEvents 1.0 in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from keyrig.base.clock import instant_text
from keyrig.upstream.event_data import DATA_VERSION, data_of, schema_id

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable

    from keyrig.domain.states import EventType
    from keyrig.ledger.outbox import Event

TYPE_PREFIX: Final = "uk.keyrig."
"""The prefix of every type; the event's type and the version of its data follow."""

EVENT_CONTENT_TYPE: Final = f"{JSONFormat.CONTENT_TYPE}; charset=utf-8"
BATCH_CONTENT_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event, and its CloudEvent: JSON in one line, ASCII only."""

    event: Event
    octets: bytes


def cloud_event_type(kind: EventType) -> str:
    """Return the CloudEvents type of a type of the outbox."""
    return f"{TYPE_PREFIX}{kind.value}.v{DATA_VERSION}"


def cloud_event_source(ledger_identity: uuid.UUID) -> str:
    """Return the source of a ledger's events; with an event's id it is unique."""
    return ledger_identity.urn


def outgoing(event: Event, source: str) -> Outgoing:
    """Return the CloudEvent of an event; the same octets each time.

    Args:
        event: The event.
        source: The ledger's source, from `cloud_event_source`.

    Source: CloudEvents 1.0.2, JSON event format; the sequence extension.
    """
    attributes = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": source,
        "type": cloud_event_type(event.type),
        "subject": str(event.device),
        "time": event.at,
        "datacontenttype": "application/json",
        "dataschema": schema_id(event.type),
        "sequence": f"{event.number:020d}",
    }
    data = data_of(event.type, event.body)
    # Made only to be validated; its own JSON would write instants to the microsecond.
    CloudEvent(attributes, data)
    told = {**attributes, "time": instant_text(event.at), "data": data}
    return Outgoing(event, json.dumps(told).encode("ascii"))


def batch_octets(batch: Iterable[Outgoing]) -> bytes:
    """Return the JSON array of a batch.

    Source: CloudEvents 1.0.2, JSON batch format.
    """
    return b"[" + b",".join(each.octets for each in batch) + b"]"
