"""Facts of devices, and the duties due next over every rig."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Body, Query, Request
from starlette.concurrency import run_in_threadpool

from keyrig.api.access import READ, RUN, RunToken
from keyrig.api.api_documents import FactRecorded, StatusRecorded
from keyrig.api.api_responses import invalid, problems
from keyrig.api.json_bodies import document_router, utc_of
from keyrig.api.problem_documents import RequestRefused
from keyrig.api.request_bodies import (
    FACT_EXAMPLE,
    INVENTORY_EXAMPLE,
    STATUS_EXAMPLE,
    FactSaid,
    StatusSaid,
    entity_of,
)
from keyrig.api.rig_routes import DevicePath  # noqa: TC001 - FastAPI evaluates annotations
from keyrig.base.clock import instant_text
from keyrig.documents.fact_document import DeviceFactsDocument, InventoryDocument
from keyrig.documents.plan_document import DueDocument
from keyrig.domain.known_facts import FactName, KnownFact, read_value
from keyrig.run.inventory_facts import read_inventory, take_in
from keyrig.run.outside_facts import learn_status, record_fact

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keyrig.api.api_service import Service
    from keyrig.domain.api_tokens import Token

INVENTORY_PATH: Final = "/api/v1/inventory"
XML_TYPES: Final = frozenset({"application/xml", "text/xml"})
_XML_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A DUIS Response to Read Inventory (8.2).",
        "content": {
            media_type: {"schema": {"type": "string"}, "example": INVENTORY_EXAMPLE}
            for media_type in sorted(XML_TYPES)
        },
    }
}


def device_routes(service: Service) -> APIRouter:
    """Return the routes of devices' facts and due duties."""
    router = document_router("/api/v1", tag="devices")

    @router.get(
        "/duties",
        operation_id="duties",
        responses=problems(),
        dependencies=[READ],
    )
    def duties(
        limit: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 20,
    ) -> DueDocument:
        """Return the duties that are due next over every rig, as `keyrig plan --next` does."""
        ledger, now = service.ledgers.writing, service.clock()
        return DueDocument.of(ledger, now, limit)

    @router.get(
        "/devices/{entity_id}/facts",
        operation_id="facts",
        responses=problems(),
        dependencies=[READ],
    )
    def facts(
        entity_id: DevicePath,
        history: Annotated[  # noqa: FBT002 - a query parameter
            bool, Query(description="All that was ever said, in the order of recording.")
        ] = False,
    ) -> DeviceFactsDocument:
        """Return the facts of a device, who stated each and when, as `keyrig facts list` does."""
        return DeviceFactsDocument.of(
            service.ledgers.reading, entity_of(entity_id), service.clock(), history=history
        )

    @router.post(
        "/devices/{entity_id}/facts",
        operation_id="say_fact",
        responses=problems(400, 409),
    )
    def say_fact(
        entity_id: DevicePath,
        said: Annotated[FactSaid, Body(examples=[FACT_EXAMPLE])],
        token: RunToken,
    ) -> FactRecorded:
        """Record one fact of a device, as `keyrig facts set` does; nothing is overwritten."""
        return _record(service, entity_id, said, token)

    @router.post(
        "/devices/{entity_id}/status",
        operation_id="say_status",
        responses=problems(400, 409),
    )
    def say_status(
        entity_id: DevicePath,
        said: Annotated[StatusSaid, Body(examples=[STATUS_EXAMPLE])],
        token: RunToken,
    ) -> StatusRecorded:
        """Record an SMI Status that was set elsewhere, as `keyrig facts status` does."""
        return _record_status(service, entity_id, said, token)

    @router.post(
        "/inventory",
        operation_id="inventory",
        responses=problems(409, 415),
        dependencies=[RUN],
        openapi_extra=_XML_BODY,
    )
    async def inventory(request: Request) -> InventoryDocument:
        """Import types, dates of Commissioning and SMI Status from a Read Inventory response.

        As `keyrig facts import` does: all of the document is recorded, or nothing.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in XML_TYPES:
            raise _media_type_unknown()
        octets = await request.body()
        return await run_in_threadpool(_take_in, service, octets)

    return router


def _record(service: Service, text: str, said: FactSaid, token: Token) -> FactRecorded:
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
    device = DeviceFactsDocument.of(service.ledgers.writing, entity, now, history=False)
    return FactRecorded(told=line, device=device)


def _record_status(service: Service, text: str, said: StatusSaid, token: Token) -> StatusRecorded:
    entity, now, at = entity_of(text), service.clock(), utc_of(said.at, "body.at")
    if at is not None and at > now:
        raise RequestRefused("status-ahead", f"{instant_text(at)} lies ahead", step="record")
    is_news = learn_status(
        service.ledgers.writing,
        entity,
        said.status,
        at=at or now,
        source=said.source or f"token {token.name}",
        now=now,
    )
    return StatusRecorded(entity_id=str(entity), status=said.status, is_news=is_news)


def _take_in(service: Service, octets: bytes) -> InventoryDocument:
    read = read_inventory(octets, "the uploaded document")
    taken = take_in(service.ledgers.writing, read, service.clock())
    return InventoryDocument.model_validate(taken)


def _media_type_unknown() -> RequestRefused:
    return RequestRefused(
        "media-type-unknown",
        "the body is of another media type",
        step="read-request",
        mend=f"send {' or '.join(sorted(XML_TYPES))}",
    )
