"""The state of upstreams, and an event as published: for `keyrig outbox` and the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gbcs.printable import printable
from keyrig.base import events
from keyrig.base.clock import second_text
from keyrig.config.settings import HTTPSUpstream, MQTTUpstream
from keyrig.documents.outbox_document import (
    EventDocument,
    OutboxDocument,
    UpstreamPart,
    parked_events,
)
from keyrig.upstream.cloud_events import cloud_event_source, outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.config.settings import Settings, UpstreamSettings
    from keyrig.ledger.event_queue import UpstreamStanding
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.outbox import Event


def outbox_document(ledger: Ledger, settings: Settings) -> OutboxDocument:
    """Return the state of every upstream of the settings."""
    return OutboxDocument(
        upstreams=tuple(
            UpstreamPart.model_validate(
                {
                    **standing_event(
                        name, ledger.event_queue.standing(name, upstream.since)
                    ).to_json(),
                    "name": name,
                    "kind": upstream.kind,
                    "address": address_of(upstream),
                    "parked_events": parked_events(ledger.event_queue.parked(name)),
                }
            )
            for name, upstream in settings.upstream.items()
        )
    )


def standing_event(name: str, standing: UpstreamStanding) -> events.UpstreamStanding:
    """Return the event that reports an upstream's state."""
    upstream = standing.upstream
    return events.UpstreamStanding(
        upstream=name,
        waiting=standing.waiting,
        parked=standing.parked,
        held_back=standing.held_back,
        oldest_waiting_at=standing.oldest_waiting_at,
        last_told_at=upstream.last_told_at,
        stopped=upstream.stopped,
        failures=upstream.failures,
        last_error=upstream.last_error,
        last_error_at=upstream.last_error_at,
        retry_at=upstream.retry_at,
    )


def address_of(settings: UpstreamSettings) -> str:
    """Return where an upstream is, without secrets."""
    if isinstance(settings, HTTPSUpstream):
        return settings.url
    if isinstance(settings, MQTTUpstream):
        return f"{settings.host}:{settings.port} {settings.topic}"
    return settings.path


def outbox_lines(document: OutboxDocument) -> Iterator[str]:
    """Return the state of upstreams as text, line by line."""
    if not document.upstreams:
        yield "no upstream in the settings: nobody is told; see docs/upstream.md"
    for upstream in document.upstreams:
        yield f"{upstream.name}  {upstream.kind}  {printable(upstream.address)}"
        yield f"  {_waiting(upstream)}"
        told = upstream.last_told_at
        yield f"  last told {second_text(told)}" if told else "  was told nothing yet"
        if upstream.last_error:
            word = "stopped, a person must act" if upstream.stopped else "set back"
            times = f" ({upstream.failures} times in a row)" if upstream.failures > 1 else ""
            yield f"  {word}{times}: {printable(upstream.last_error)}"
        if upstream.waiting and upstream.retry_at:
            yield f"  tried next at {second_text(upstream.retry_at)}"
        for parked in upstream.parked_events:
            who = "by a person" if parked.by_person else "refused"
            yield f"  parked {parked.id}  {parked.type.value} of {parked.device}"
            yield f"    {who}: {printable(parked.reason)}"


def event_document(ledger: Ledger, settings: Settings, event: Event) -> EventDocument:
    """Return an event as it is published, and its state at each upstream."""
    told = outgoing(event, cloud_event_source(ledger.outbox.identity()))
    return EventDocument(
        event=json.loads(told.octets),
        upstreams={
            name: ledger.event_queue.state_of(name, event, upstream.since).value
            for name, upstream in settings.upstream.items()
        },
    )


def _waiting(upstream: UpstreamPart) -> str:
    if upstream.oldest_waiting_at is None:
        return "nothing waits"
    parts = [f"{upstream.waiting} wait, the first since {second_text(upstream.oldest_waiting_at)}"]
    if upstream.parked:
        parts.append(f"{upstream.parked} of them parked")
    if upstream.held_back:
        parts.append(f"{upstream.held_back} held back behind those")
    return ", ".join(parts)
