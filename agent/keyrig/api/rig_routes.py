"""Rigs, their devices, plans and radios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response  # noqa: TC002 - FastAPI reads the annotations

from keyrig.api.access import READ
from keyrig.api.api_documents import (
    DeviceEntry,
    DeviceList,
    RadioList,
    RigEntry,
    RigEntryDevice,
    RigList,
)
from keyrig.api.api_responses import DocumentResponse, device_unknown, problems, rig_unknown
from keyrig.api.json_bodies import document_router
from keyrig.api.problem_documents import problem_of
from keyrig.api.request_bodies import ENTITY_EXAMPLE, ENTITY_PATTERN, entity_of
from keyrig.base.device_locks import holder_of
from keyrig.config.rig_file import EMULATED, ServiceSettings, ZigBeeSettings
from keyrig.documents.plan_document import ExplanationDocument, PlanDocument
from keyrig.run.outlook import outlook_of
from keyrig.run.radio_standings import read_standings
from keyrig.run.rig_locks import is_driven

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keyrig.api.api_service import Service
    from keyrig.api.served_rigs import ServedRig
    from keyrig.config.rig_file import RigDevice
    from keyrig.duties.plan import Duty

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
    """Return the routes of rigs."""
    router = document_router("/api/v1/rigs", tag="rigs")

    @router.get(
        "",
        operation_id="rigs",
        responses=problems(),
        dependencies=[READ],
    )
    def rigs() -> RigList:
        """Return the rigs that are served; a broken rig file is listed with its problem."""
        return _rigs(service)

    @router.get(
        "/{rig}",
        operation_id="rig",
        responses=problems(404),
        dependencies=[READ],
    )
    def rig(rig: RigName) -> RigEntry:
        """Return one rig."""
        return _rig(service, served_rig(service, rig))

    @router.get(
        "/{rig}/plan",
        operation_id="plan",
        response_model=PlanDocument,
        responses=problems(404),
        dependencies=[READ],
    )
    async def plan(rig: RigName, duties: Which = "due") -> Response:
        """Return which duties are due, why, and until when, as `keyrig plan --json` does."""
        served = served_rig(service, rig)
        document = await service.documents.get(
            ("plan", served.name, duties),
            lambda: service.stamp(served_rig(service, rig)),
            lambda: _plan(service, served, only_due=duties == "due"),
        )
        return DocumentResponse(document)

    @router.get(
        "/{rig}/devices",
        operation_id="devices",
        response_model=DeviceList,
        responses=problems(404),
        dependencies=[READ],
    )
    async def devices(rig: RigName) -> Response:
        """Return the devices of a rig with all their duties, done or not, as `keyrig status`."""
        served = served_rig(service, rig)
        document = await service.documents.get(
            ("devices", served.name),
            lambda: service.stamp(served_rig(service, rig)),
            lambda: _devices(service, served),
        )
        return DocumentResponse(document)

    @router.get(
        "/{rig}/devices/{entity_id}/explanation",
        operation_id="explanation",
        responses=problems(404),
        dependencies=[READ],
    )
    def explanation(rig: RigName, entity_id: DevicePath) -> ExplanationDocument:
        """Return which rules apply to a device, from which facts, and what would change that."""
        return _explained(service, served_rig(service, rig), entity_id)

    @router.get(
        "/{rig}/radios",
        operation_id="radios",
        responses=problems(404),
        dependencies=[READ],
    )
    def radios(rig: RigName) -> RadioList:
        """Return the state of a rig's radios."""
        served = served_rig(service, rig)
        places = served.places()
        found = read_standings(places.radio_standings, is_driven=is_driven(places))
        return RadioList(rig=served.name, radios=found)

    return router


def served_rig(service: Service, name: str) -> ServedRig:
    """Return the rig of a name.

    Raises:
        RequestRefused: There is none.
    """
    served = service.rigs.named(name)
    if served is None:
        raise rig_unknown(name)
    return served


def _rigs(service: Service) -> RigList:
    return RigList(rigs=tuple(_rig(service, served) for served in service.rigs.all()))


def _rig(service: Service, served: ServedRig) -> RigEntry:
    rig = served.rig
    return RigEntry(
        name=served.name,
        file=served.file,
        emulated=rig is not None and rig.has_emulated_devices,
        devices=tuple(
            RigEntryDevice(entity_id=str(device.entity_id), type=device.type, link=_link(device))
            for device in (rig.device if rig else ())
        ),
        radios=tuple(rig.radio) if rig else (),
        running=service.operations.on_rig(served.name),
        problem=problem_of(served.error, "read-rig") if served.error is not None else None,
    )


def _link(device: RigDevice) -> str:
    """Return how a device is reached, without install codes and passwords of URLs."""
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
    return PlanDocument.of(made, outlook.statuses, outlook.requests).to_json().encode()


def _devices(service: Service, served: ServedRig) -> bytes:
    rig = served.usable()
    outlook = outlook_of(served.places(), now=service.clock(), ledger=service.ledgers.reading)
    made = PlanDocument.of(outlook.plan, outlook.statuses, outlook.requests)
    links = {str(device.entity_id): _link(device) for device in rig.device}
    open_duties: dict[str, list[Duty]] = {}
    for duty in outlook.plan.open():
        open_duties.setdefault(str(duty.device), []).append(duty)
    entries = []
    for planned in made.devices:
        mine = open_duties.get(planned.entity_id, [])
        deadlines = [duty.deadline for duty in mine if duty.deadline is not None]
        entries.append(
            DeviceEntry(
                **dict(planned),
                link=links[planned.entity_id],
                open_duties=len(mine),
                next_deadline=min(deadlines, default=None),
                overdue=any(duty.overdue for duty in mine),
                held_by=holder_of(service.data_folder, entity_of(planned.entity_id)),
            )
        )
    listed = DeviceList(
        rig=rig.name, edition=made.edition, made_at=made.made_at, devices=tuple(entries)
    )
    return listed.to_json().encode()


def _explained(service: Service, served: ServedRig, text: str) -> ExplanationDocument:
    entity, rig = entity_of(text), served.usable()
    if all(device.entity_id != entity for device in rig.device):
        raise device_unknown(str(entity), rig.name)
    outlook = outlook_of(
        served.places(), now=service.clock(), only=[entity], ledger=service.ledgers.reading
    )
    return ExplanationDocument.of(outlook)
