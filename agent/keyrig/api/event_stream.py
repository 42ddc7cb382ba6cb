"""Events of an operation as Server-Sent Events.

Theory of operation. An event's `id` is its number in the event log, and `seen` the last one that
the client has: `Last-Event-ID` of an EventSource that reconnects, or a parameter. A stream holds
no events; it reads those after `seen` from the ledger, so it resumes after a lost connection or a
restart of the server without a gap or a repetition.

The listener is subscribed, and its flag cleared, before the ledger is read: an event that is
committed after the read sets the flag again, so none is missed. The token is checked before each
read, and a stream whose token is refused ends with `token-refused`.

`operation-finished` is the last event and ends the stream. A stream that ends without it was cut
off, by the network or by the end of the server; the client reconnects after `RETRY_MS`. A client
that reconnects with the last number of an operation that ended gets 204, at which an EventSource
stops.

Source: WHATWG HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from keyrig.base.events import OperationFinished, event_line
from keyrig.documents.run_event_schema import UNION
from keyrig.ledger.operation_record import OperationEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from keyrig.api.api_service import Service
    from keyrig.base.events import Event
    from keyrig.domain.api_tokens import Token
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.operation_record import Operation

RETRY_MS: Final = 2000
HEARTBEAT: Final = b": heartbeat\n\n"
REVOKED: Final = b'event: token-refused\ndata: {"reason": "the token does not hold any more"}\n\n'
BATCH: Final = 500
STREAM_FORM: Final[dict[str, Any]] = {
    "type": ["string", "object"],
    "description": "Events, each with what happened as `event`, its number as `id`, and one JSON "
    "object as `data`.",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": f"#/components/schemas/{UNION}"},
        },
    },
}
"""The form of a stream, and of each event as readers of streams see it, for OpenAPI 3.1."""


class EventStream(StreamingResponse):
    """A stream of Server-Sent Events."""

    media_type = "text/event-stream"


async def event_stream(service: Service, operation: Operation, seen: int, token: Token) -> Response:
    """Return the stream of an operation's events after the last one seen.

    It is 204 where all were seen and the operation has ended, at which an EventSource stops.
    """
    if operation.result is not None:
        last = await run_in_threadpool(service.ledgers.reading.operations.last_number, operation.id)
        if seen >= last:
            return Response(
                status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"}
            )
    return EventStream(
        _events(service, operation.id, seen, token),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    service: Service, operation_id: str, seen: int, token: Token
) -> AsyncIterator[bytes]:
    news = asyncio.Event()
    loop = asyncio.get_running_loop()
    unsubscribe = service.events.subscribe(
        operation_id, lambda: loop.call_soon_threadsafe(news.set)
    )
    try:
        yield format_sse_event(retry=RETRY_MS)
        while True:
            news.clear()
            # A token that expires or is revoked ends the stream before another event is read.
            if not await service.access.holds(token):
                yield REVOKED
                return
            # Read before the events: all are written before `closing` is set, so the read below
            # shows the last of them.
            is_closing = service.closing
            found, has_ended = await run_in_threadpool(
                _news, service.ledgers.reading, operation_id, seen
            )
            if found:
                seen = found[-1].number
                yield b"".join(_written(event) for event in found)
                if found[-1].type == OperationFinished.type:
                    return
                continue
            if has_ended or is_closing:
                return
            try:
                await asyncio.wait_for(news.wait(), service.settings.serve.heartbeat_s)
            except TimeoutError:
                yield HEARTBEAT
    finally:
        unsubscribe()


def _news(ledger: Ledger, operation_id: str, seen: int) -> tuple[tuple[OperationEvent, ...], bool]:
    """Return the events after the last one seen, and whether the operation has ended.

    Both are read in one transaction, so an operation that has ended shows all its events.
    """
    with ledger.reading():
        operation = ledger.operations.operation(operation_id)
        found = ledger.operations.events(operation_id, seen, BATCH)
    return found, operation is None or operation.result is not None


def _written(event: OperationEvent) -> bytes:
    return format_sse_event(
        event=event.type, data_str=json.dumps(event_document(event)), id=str(event.number)
    )


def stream_example(*told: Event) -> str:
    """Return how a stream begins in which `told` happens, for the OpenAPI document."""
    at = datetime(2026, 11, 24, 9, tzinfo=UTC)
    kept = (
        OperationEvent(number=number, type=event.type, at=at, body=event.to_json())
        for number, event in enumerate(told, 1)
    )
    first, *rest = (_written(each) for each in kept)
    return b"".join([format_sse_event(retry=RETRY_MS), first, HEARTBEAT, *rest]).decode()


def event_document(event: OperationEvent) -> dict[str, Any]:
    """Return the JSON object of an event: a line of `keyrig run --json`, with its number."""
    return event_line(event.type, event.at, event.body, event.number)
