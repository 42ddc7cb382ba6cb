"""Rigs, their devices, plans and radios."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response  # noqa: TC002 - FastAPI reads the annotations

from keyrig.api import api_examples as examples
from keyrig.api.access import ReadToken  # noqa: TC001 - as above
from keyrig.api.api_documents import (
    ENTITY_EXAMPLE,
    ENTITY_PATTERN,
    DeviceList,
    ExplanationDocument,
    PlanDocument,
    RadioList,
    RigEntry,
    RigList,
    entity_of,
)
from keyrig.api.api_responses import answer, device_unknown, json_response, problems, rig_unknown
from keyrig.api.json_bodies import JSONRoute
from keyrig.api.problem_documents import problem_of
from keyrig.base.device_locks import holder_of
from keyrig.config.rig_file import EMULATED, ServiceSettings, ZigBeeSettings
from keyrig.documents.explanations import explanation_document, explanations_of
from keyrig.documents.plan_listing import plan_document
from keyrig.run.outlook import outlook_of
from keyrig.run.radio_standings import read_standings
from keyrig.run.rig_locks import is_driven

if TYPE_CHECKING:
    from keyrig.api.api_service import Service
    from keyrig.api.served_rigs import ServedRig
    from keyrig.config.rig_file import RigDevice

RIG_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,71}$"

RigText = Annotated[str, Field(pattern=RIG_PATTERN)]
RigName = Annotated[RigText, Path(description="The rig's name.", examples=["emulated-home"])]
DevicePath = Annotated[
    str,
    Path(
        pattern=ENTITY_PATTERN,
        description="The device's Entity Identifier.",
        examples=[ENTITY_EXAMPLE],
    ),
]
Which = Annotated[
    Literal["due", "all"],
    Query(description="Duties that are to be done, as `keyrig plan`, or all, as `keyrig status`."),
]


def rig_routes(service: Service) -> APIRouter:
    """Make the routes of rigs."""
    router = APIRouter(route_class=JSONRoute, prefix="/api/v1/rigs", tags=["rigs"])

    @router.get(
        "",
        operation_id="rigs",
        response_model=RigList,
        responses={200: answer(examples.RIGS), **problems()},
    )
    async def rigs(token: ReadToken) -> Response:
        """Give the rigs that are served; a broken rig file stands there with its problem."""
        del token
        return json_response(await run_in_threadpool(_rigs, service))

    @router.get(
        "/{rig}",
        operation_id="rig",
        response_model=RigEntry,
        responses={200: answer(examples.RIG), **problems(404)},
    )
    async def rig(rig: RigName, token: ReadToken) -> Response:
        """Give one rig."""
        del token
        served = await run_in_threadpool(served_rig, service, rig)
        return json_response(_rig(service, served))

    @router.get(
        "/{rig}/plan",
        operation_id="plan",
        response_model=PlanDocument,
        responses={200: answer(examples.PLAN), **problems(404)},
    )
    async def plan(rig: RigName, token: ReadToken, duties: Which = "due") -> Response:
        """Say which duties are due, why, and until when, as `keyrig plan --json` does."""
        del token
        served = served_rig(service, rig)
        document = await service.documents.get(
            ("plan", served.name, duties),
            lambda: service.stamp(served_rig(service, rig)),
            lambda: _plan(service, served, only_due=duties == "due"),
        )
        return json_response(document)

    @router.get(
        "/{rig}/devices",
        operation_id="devices",
        response_model=DeviceList,
        responses={200: answer(examples.DEVICES), **problems(404)},
    )
    async def devices(rig: RigName, token: ReadToken) -> Response:
        """Give the devices of a rig with all their duties, done or not, as `keyrig status`."""
        del token
        served = served_rig(service, rig)
        document = await service.documents.get(
            ("devices", served.name),
            lambda: service.stamp(served_rig(service, rig)),
            lambda: _devices(service, served),
        )
        return json_response(document)

    @router.get(
        "/{rig}/devices/{entity_id}/explanation",
        operation_id="explanation",
        response_model=ExplanationDocument,
        responses={200: answer(examples.EXPLANATION), **problems(404)},
    )
    async def explanation(rig: RigName, entity_id: DevicePath, token: ReadToken) -> Response:
        """Say which rules apply to a device, from which facts, and what would change it."""
        del token
        served = await run_in_threadpool(served_rig, service, rig)
        return json_response(await run_in_threadpool(_explained, service, served, entity_id))

    @router.get(
        "/{rig}/radios",
        operation_id="radios",
        response_model=RadioList,
        responses={200: answer(examples.RADIOS), **problems(404)},
    )
    async def radios(rig: RigName, token: ReadToken) -> Response:
        """Say how the radios of a rig stand."""
        del token
        served = await run_in_threadpool(served_rig, service, rig)
        places = served.places()
        found = await run_in_threadpool(
            lambda: read_standings(places.radio_standings, is_driven=is_driven(places))
        )
        return json_response({"rig": served.name, "radios": found})

    return router


def served_rig(service: Service, name: str) -> ServedRig:
    """Give the rig of a name.

    Raises:
        RequestRefused: There is none.
    """
    served = service.rigs.named(name)
    if served is None:
        raise rig_unknown(name)
    return served


def _rigs(service: Service) -> dict[str, Any]:
    return {"rigs": [_rig(service, served) for served in service.rigs.all()]}


def _rig(service: Service, served: ServedRig) -> dict[str, Any]:
    rig = served.rig
    found = None
    if served.error is not None:
        found = problem_of(served.error, "read-rig").model_dump(exclude_none=True)
    return {
        "name": served.name,
        "file": served.file,
        "emulated": rig is not None and rig.has_emulated_devices,
        "devices": [
            {
                "entity_id": str(device.entity_id),
                "type": device.type.value,
                "link": _link(device),
            }
            for device in (rig.device if rig else ())
        ],
        "radios": list(rig.radio) if rig else [],
        "running": service.operations.on_rig(served.name),
        "problem": found,
    }


def _link(device: RigDevice) -> str:
    """Say how a device is reached; no install code, and no password of a URL."""
    link = device.link
    if isinstance(link, ZigBeeSettings):
        return f"zigbee: {link.zigbee}"
    if isinstance(link, ServiceSettings):
        return f"service: {link.service}"
    if link.url == EMULATED:
        return f"emulated: {link.framing}"
    return f"{link.url.rpartition('@')[2]} {link.framing}"


def _plan(service: Service, served: ServedRig, *, only_due: bool) -> bytes:
    outlook = outlook_of(served.places(), now=service.clock(), ledger=service.ledgers.reading)
    made = outlook.plan.only_due() if only_due else outlook.plan
    return json.dumps(plan_document(made, outlook.statuses, outlook.requests)).encode()


def _devices(service: Service, served: ServedRig) -> bytes:
    rig = served.usable()
    outlook = outlook_of(served.places(), now=service.clock(), ledger=service.ledgers.reading)
    document = plan_document(outlook.plan, outlook.statuses, outlook.requests)
    links = {str(device.entity_id): _link(device) for device in rig.device}
    open_duties = outlook.plan.open()
    for device in document["devices"]:
        mine = [duty for duty in open_duties if str(duty.device) == device["entity_id"]]
        deadlines = [duty.deadline for duty in mine if duty.deadline is not None]
        device |= {
            "link": links[device["entity_id"]],
            "open_duties": len(mine),
            "next_deadline": min(deadlines).isoformat() if deadlines else None,
            "overdue": any(duty.overdue for duty in mine),
            "held_by": holder_of(service.home, entity_of(device["entity_id"])),
        }
    made_at, edition = document["made_at"], document["edition"]
    found = {"rig": rig.name, "edition": edition, "made_at": made_at}
    return json.dumps({**found, "devices": document["devices"]}).encode()


def _explained(service: Service, served: ServedRig, text: str) -> dict[str, Any]:
    entity, rig = entity_of(text), served.usable()
    if all(device.entity_id != entity for device in rig.device):
        raise device_unknown(str(entity), rig.name)
    outlook = outlook_of(
        served.places(), now=service.clock(), only=[entity], ledger=service.ledgers.reading
    )
    return {
        "edition": outlook.rules.edition,
        "duties": [explanation_document(each) for each in explanations_of(outlook)],
    }
