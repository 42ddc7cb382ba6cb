"""Whom events are told, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response  # noqa: TC002 - FastAPI reads the annotations

from keyrig.api.access import ReadToken  # noqa: TC001 - as above
from keyrig.api.api_responses import answers, json_response
from keyrig.api.json_bodies import JSONRoute
from keyrig.documents.outbox_document import OutboxDocument
from keyrig.upstream.upstream_listing import outbox_document

if TYPE_CHECKING:
    from keyrig.api.api_service import Service


def outbox_routes(service: Service) -> APIRouter:
    """Make the route of the outbox."""
    router = APIRouter(route_class=JSONRoute, prefix="/api/v1", tags=["outbox"])

    @router.get(
        "/outbox",
        operation_id="outbox",
        **answers(OutboxDocument),
    )
    async def outbox(token: ReadToken) -> Response:
        """Say how every upstream stands: what waits, what is parked, what went wrong last."""
        del token
        ledger, settings = service.ledgers.reading, service.settings
        return json_response(await run_in_threadpool(outbox_document, ledger, settings))

    return router
