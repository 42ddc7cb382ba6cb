"""What is known of devices, and what is due next over every rig."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response  # noqa: TC002 - FastAPI reads the annotations

from keyrig.api import api_examples as examples
from keyrig.api.access import ReadToken, RunToken  # noqa: TC001 - as above
from keyrig.api.api_documents import (
    DeviceFactsDocument,
    DueDocument,
    FactRecorded,
    FactSaid,
    InventoryTaken,
    StatusRecorded,
    StatusSaid,
    entity_of,
)
from keyrig.api.api_responses import answer, invalid, json_response, problems
from keyrig.api.json_bodies import JSONRoute
from keyrig.api.problem_documents import RequestRefused
from keyrig.api.request_instants import utc_of
from keyrig.api.rig_routes import DevicePath  # noqa: TC001 - as above
from keyrig.documents.due_listing import due_document
from keyrig.documents.fact_listing import device_document, record_fact
from keyrig.domain.known_facts import FactName, KnownFact, read_value
from keyrig.run.inventory_facts import read_inventory, take_in
from keyrig.run.outside_facts import learn_status

if TYPE_CHECKING:
    from keyrig.api.api_service import Service
    from keyrig.domain.api_tokens import Token

INVENTORY_PATH: Final = "/api/v1/inventory"
XML_TYPES: Final = frozenset({"application/xml", "text/xml"})
_XML_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A DUIS Response to Read Inventory (8.2).",
        "content": {
            media_type: {"schema": {"type": "string"}, "example": examples.INVENTORY}
            for media_type in sorted(XML_TYPES)
        },
    }
}


def device_routes(service: Service) -> APIRouter:
    """Make the routes of what is known of devices."""
    router = APIRouter(route_class=JSONRoute, prefix="/api/v1", tags=["devices"])

    @router.get(
        "/duties",
        operation_id="duties",
        response_model=DueDocument,
        responses={200: answer(examples.DUE), **problems()},
    )
    async def duties(
        token: ReadToken,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 20,
    ) -> Response:
        """Give the duties that are due next over every rig, as `keyrig plan --next` does."""
        del token
        ledger, now = service.ledgers.writing, service.clock()
        return json_response(await run_in_threadpool(due_document, ledger, now, limit))

    @router.get(
        "/devices/{entity_id}/facts",
        operation_id="facts",
        response_model=DeviceFactsDocument,
        responses={200: answer(examples.DEVICE_FACTS), **problems()},
    )
    async def facts(
        entity_id: DevicePath,
        token: ReadToken,
        history: Annotated[  # noqa: FBT002 - a query parameter
            bool, Query(description="All that was ever said, in the order of recording.")
        ] = False,
    ) -> Response:
        """Give what holds of a device, who said it and when, as `keyrig facts list` does."""
        del token
        return json_response(
            await run_in_threadpool(
                device_document,
                service.ledgers.reading,
                entity_of(entity_id),
                service.clock(),
                history=history,
            )
        )

    @router.post(
        "/devices/{entity_id}/facts",
        operation_id="say_fact",
        response_model=FactRecorded,
        responses={200: answer(examples.FACT_RECORDED), **problems(400, 409)},
    )
    async def say_fact(
        entity_id: DevicePath,
        said: Annotated[FactSaid, Body(examples=[examples.FACT_SAID])],
        token: RunToken,
    ) -> Response:
        """Say one thing of a device, as `keyrig facts set` does; nothing is overwritten."""
        return json_response(await run_in_threadpool(_record, service, entity_id, said, token))

    @router.post(
        "/devices/{entity_id}/status",
        operation_id="say_status",
        response_model=StatusRecorded,
        responses={200: answer(examples.STATUS_RECORDED), **problems(400, 409)},
    )
    async def say_status(
        entity_id: DevicePath,
        said: Annotated[StatusSaid, Body(examples=[examples.STATUS_SAID])],
        token: RunToken,
    ) -> Response:
        """Record an SMI Status that was set elsewhere, as `keyrig facts status` does."""
        return json_response(
            await run_in_threadpool(_record_status, service, entity_id, said, token)
        )

    @router.post(
        "/inventory",
        operation_id="inventory",
        response_model=InventoryTaken,
        responses={200: answer(examples.INVENTORY_TAKEN), **problems(409, 415)},
        openapi_extra=_XML_BODY,
    )
    async def inventory(request: Request, token: RunToken) -> Response:
        """Take types, dates of Commissioning and SMI Status from a Read Inventory answer.

        As `keyrig facts import` does: all of the document is recorded, or nothing.
        """
        del token
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in XML_TYPES:
            raise _media_type_unknown()
        octets = await request.body()
        return json_response(await run_in_threadpool(_take_in, service, octets))

    return router


def _record(service: Service, text: str, said: FactSaid, token: Token) -> dict[str, Any]:
    entity, fact, now = entity_of(text), said.root, service.clock()
    name = FactName(fact.name)
    value = fact.model_dump(mode="json")["value"]
    if isinstance(fact.value, datetime):
        value = utc_of(fact.value, "body.value")
    try:
        read = None if value is None else read_value(name, value)
    except ValueError as error:
        raise invalid("body.value", str(error)) from None
    source = fact.source or f"token {token.name}"
    told = KnownFact(
        name=name, value=read, at=utc_of(fact.at, "body.at"), source=source, recorded_at=now
    )
    line = record_fact(service.ledgers.writing, entity, told, now)
    document = device_document(service.ledgers.writing, entity, now, history=False)
    return {"told": line, "device": document}


def _record_status(service: Service, text: str, said: StatusSaid, token: Token) -> dict[str, Any]:
    entity, now, at = entity_of(text), service.clock(), utc_of(said.at, "body.at")
    if at is not None and at > now:
        raise RequestRefused("status-ahead", f"{at.isoformat()} lies ahead", step="record")
    is_news = learn_status(
        service.ledgers.writing,
        entity,
        said.status,
        at=at or now,
        source=said.source or f"token {token.name}",
        now=now,
    )
    return {"entity_id": str(entity), "status": said.status.value, "is_news": is_news}


def _take_in(service: Service, octets: bytes) -> dict[str, Any]:
    read = read_inventory(octets, "the uploaded document")
    return take_in(service.ledgers.writing, read, service.clock())


def _media_type_unknown() -> RequestRefused:
    return RequestRefused(
        "media-type-unknown",
        "the body is of another media type",
        step="read-request",
        mend=f"send {' or '.join(sorted(XML_TYPES))}",
    )
