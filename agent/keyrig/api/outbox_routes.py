"""The state of the upstreams, and the events that wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.api.access import READ
from keyrig.api.api_responses import problems
from keyrig.api.json_bodies import document_router
from keyrig.documents.outbox_document import (
    OutboxDocument,  # noqa: TC001 - FastAPI reads the annotations
)
from keyrig.upstream.upstream_listing import outbox_document

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keyrig.api.api_service import Service


def outbox_routes(service: Service) -> APIRouter:
    """Return the route of the outbox."""
    router = document_router("/api/v1", tag="outbox")

    @router.get(
        "/outbox",
        operation_id="outbox",
        responses=problems(),
        dependencies=[READ],
    )
    def outbox() -> OutboxDocument:
        """Return the state of every upstream: events waiting and parked, and its last error."""
        ledger, settings = service.ledgers.reading, service.settings
        return outbox_document(ledger, settings)

    return router
