"""Deliveries: commands that the DCC signed, delivered to a device without any key."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from fastapi import Body, Header, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response  # noqa: TC002 - FastAPI reads the annotations

from duis.document_errors import DocumentInvalid
from gbcs.protocol_errors import SecurityError
from keyrig.api.access import READ, RUN, ReadToken, RunToken
from keyrig.api.api_documents import (
    RUN_EXAMPLE,
    DeliveryAccepted,
    DeliveryDocument,
    DeliveryList,
    DeliverySummary,
    DeliveryWithdrawn,
)
from keyrig.api.api_responses import (
    delivery_unknown,
    device_unknown,
    invalid,
    problems,
)
from keyrig.api.event_stream import STREAM_FORM, EventStream, event_stream, stream_example
from keyrig.api.json_bodies import document_router, utc_of
from keyrig.api.problem_documents import RequestRefused
from keyrig.api.request_bodies import (
    DELIVERY_EXAMPLE,
    ENTITY_EXAMPLE,
    ENTITY_PATTERN,
    OPERATION_PATTERN,
    DeliveryRequest,
    ResumeRequest,
    entity_of,
)
from keyrig.api.rig_routes import served_rig
from keyrig.base.error_kinds import mend_of
from keyrig.base.errors import LedgerRefused, SettingsError
from keyrig.base.events import DeliveryStarted, OperationAccepted
from keyrig.config.places import lock_of
from keyrig.delivery.batch_reading import COMMANDS_MAXIMUM, GivenCommand, commands_in
from keyrig.delivery.field_mode import (
    DeliveryOptions,
    Handover,
    carry_out,
    take_in,
    withdraw,
)
from keyrig.delivery.returned_answers import answer_document, returning_for
from keyrig.documents.delivery_document import (
    BATCH_EXAMPLE,
    described_batch,
    described_command,
)
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import BatchRule
from keyrig.run.rig_locks import is_held

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from fastapi import APIRouter

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.api.api_service import Service
    from keyrig.base.observing import Observer, StopAsked
    from keyrig.config.rig_file import Rig
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand, NewLocalCommand
    from keyrig.ledger.operation_record import Operation

DELIVERIES_PATH: Final = "/api/v1/deliveries"

Delivery = Annotated[
    str,
    Path(
        pattern=OPERATION_PATTERN,
        description="The delivery's id.",
        examples=[BATCH_EXAMPLE],
    ),
]
_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "It has begun; Location says where its state is.",
        "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
    },
    **problems(404, 409),
}
_EVENTS_EXAMPLE: Final = stream_example(
    OperationAccepted(
        operation=RUN_EXAMPLE,
        rig="emulated-home",
        requested_by="handheld-7",
        delivery=BATCH_EXAMPLE,
        device=ENTITY_EXAMPLE,
    ),
    DeliveryStarted(
        batch=BATCH_EXAMPLE,
        rig="emulated-home",
        device=ENTITY_EXAMPLE,
        link="/dev/ttyUSB0",
        rule="stop",
        commands=1,
        to_send=1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOrder:
    """What a delivery is to do.

    Args:
        rig: The rig.
        batch: The commands, as the ledger holds them.
        options: How they are delivered.
    """

    rig: Rig
    batch: LocalBatch
    options: DeliveryOptions
    step: ClassVar[str] = "deliver"

    @property
    def devices(self) -> tuple[EntityIdentifier, ...]:
        """The device."""
        return (self.batch.device,)

    def document(self) -> dict[str, Any]:
        """Return the order as a JSON object."""
        return {"delivery": self.batch.id, "device": str(self.batch.device)}

    def begin(self, ledger: Ledger, operation_id: str) -> None:
        """Record the operation as the batch's latest, in the transaction that records it."""
        ledger.local_commands.record_sitting(self.batch.id, operation_id)

    def carry_out(
        self,
        operation_id: str,
        *,
        observe: Observer,
        clock: Callable[[], datetime],
        should_stop: StopAsked,
    ) -> RunResult:
        """Deliver the commands; the rig and the device are reserved."""
        del operation_id
        return carry_out(
            self.rig,
            self.batch.id,
            self.options,
            observe=observe,
            clock=clock,
            should_stop=should_stop,
            is_reserved=True,
        )


def delivery_routes(service: Service) -> APIRouter:
    """Return the routes of deliveries."""
    router = document_router(DELIVERIES_PATH, tag="deliveries")
    _add_beginning(router, service)
    _add_looking(router, service)
    _add_ending(router, service)
    return router


def _add_beginning(router: APIRouter, service: Service) -> None:
    @router.post(
        "",
        operation_id="deliver",
        status_code=HTTPStatus.ACCEPTED,
        responses=_ACCEPTED,
    )
    def deliver(
        asked: Annotated[DeliveryRequest, Body(examples=[DELIVERY_EXAMPLE])],
        token: RunToken,
        response: Response,
    ) -> DeliveryAccepted:
        """Check commands that the DCC signed, and begin to deliver them, as `keyrig deliver` does.

        Everything is checked before anything is sent; 422 says what is wrong. The same commands
        sent again are the same delivery, which resumes where it stopped.
        """
        accepted = _deliver(service, asked, token.name)
        response.headers["Location"] = accepted.href
        return accepted

    @router.post(
        "/{delivery_id}/resume",
        operation_id="resume_delivery",
        status_code=HTTPStatus.ACCEPTED,
        responses=_ACCEPTED,
    )
    def resume(
        delivery_id: Delivery,
        asked: Annotated[ResumeRequest, Body(examples=[{"go_on": True}])],
        token: RunToken,
        response: Response,
    ) -> DeliveryAccepted:
        """Resume a delivery where it stopped."""
        accepted = _resume(service, delivery_id, asked, token.name)
        response.headers["Location"] = accepted.href
        return accepted


def _add_looking(router: APIRouter, service: Service) -> None:
    @router.get(
        "",
        operation_id="deliveries",
        responses=problems(404),
        dependencies=[READ],
    )
    def deliveries(
        limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 50,
        before: Annotated[
            str | None,
            Query(pattern=OPERATION_PATTERN, description="Only those older than this one."),
        ] = None,
        device: Annotated[
            str | None, Query(pattern=ENTITY_PATTERN, description="Only those for this device.")
        ] = None,
    ) -> DeliveryList:
        """Return deliveries, newest first, whoever began them."""
        return _list(service, limit, before, device)

    @router.get(
        "/{delivery_id}",
        operation_id="delivery",
        responses=problems(404),
        dependencies=[READ],
    )
    def delivery(delivery_id: Delivery) -> DeliveryDocument:
        """Return a delivery's state, its commands and the device's responses."""
        return _document(service, delivery_id)

    @router.get(
        "/{delivery_id}/events",
        operation_id="delivery_events",
        response_class=EventStream,
        responses={
            200: {
                "description": "Server-Sent Events, until the operation has ended.",
                "content": {
                    "text/event-stream": {
                        "schema": STREAM_FORM,
                        "example": _EVENTS_EXAMPLE,
                    }
                },
            },
            204: {"description": "It has ended, and its last event was seen already."},
            **problems(404, 409),
        },
    )
    async def events(
        delivery_id: Delivery,
        token: ReadToken,
        last_event_id: Annotated[
            int,
            Header(ge=0, le=2**31, description="The last event seen; an EventSource sends it."),
        ] = 0,
        after: Annotated[
            int, Query(ge=0, le=2**31, description="As Last-Event-ID, which outweighs it.")
        ] = 0,
    ) -> Response:
        """Stream the events of a delivery's last operation, after the last event seen.

        A delivery that is resumed begins another operation, whose events count from 1.
        """
        seen = last_event_id or after
        operation = await run_in_threadpool(_watchable, service, delivery_id)
        return await event_stream(service, operation, seen, token)


def _add_ending(router: APIRouter, service: Service) -> None:
    @router.post(
        "/{delivery_id}/stop",
        operation_id="stop_delivery",
        status_code=HTTPStatus.ACCEPTED,
        response_description="It stops before its next command.",
        responses=problems(404, 409),
    )
    def stop(delivery_id: Delivery, token: RunToken) -> DeliveryAccepted:
        """Ask a delivery to stop before its next command."""
        return _stop(service, delivery_id, f"token {token.name}")

    @router.post(
        "/{delivery_id}/withdraw",
        operation_id="withdraw_delivery",
        responses=problems(404, 409),
        dependencies=[RUN],
    )
    def withdraw_delivery(delivery_id: Delivery) -> DeliveryWithdrawn:
        """Withdraw what may still be sent of a delivery, as `keyrig deliver --withdraw` does."""
        return _withdraw(service, delivery_id)


def _deliver(service: Service, asked: DeliveryRequest, name: str) -> DeliveryAccepted:
    rig = served_rig(service, asked.rig).usable()
    device = entity_of(asked.device)
    if all(each.entity_id != device for each in rig.device):
        raise device_unknown(str(device), rig.name)
    handover = Handover(
        rig=rig,
        device=device,
        commands=_read(asked),
        valid_for_hours=service.settings.deliver.valid_for_hours,
        expires_at=utc_of(asked.expires_at, "body.expires_at"),
    )
    rule = BatchRule.GO_ON if asked.go_on else BatchRule.STOP
    return_as = None if asked.return_as is None else entity_of(asked.return_as)
    now = service.clock()
    try:
        _check_who_returns(rig, device, handover.check(now), return_as)
        batch = take_in(service.ledgers.writing, handover, uuid.uuid4().hex, now, rule=rule)
    except (SettingsError, SecurityError) as error:
        raise invalid(
            "body.commands", error.finding, step="check-commands", mend=mend_of(error)
        ) from error
    options = DeliveryOptions(rule=rule, return_as=return_as, accept_clock=asked.accept_clock)
    return _begin(service, DeliveryOrder(rig=rig, batch=batch, options=options), name)


def _read(asked: DeliveryRequest) -> list[GivenCommand]:
    """Read the commands of a request.

    Raises:
        RequestRefused: One does not have the form that the request declares.
    """
    found: list[GivenCommand] = []
    for number, given in enumerate(asked.commands, 1):
        where = f"body.commands.{number - 1}.content"
        is_xml = given.content.lstrip("\ufeff \t\r\n").startswith("<")
        if is_xml != (given.form == "duis"):
            raise invalid(where, f"it is not of the form {given.form}", step="read-commands")
        try:
            found += commands_in(given.content.encode("utf-8", "replace"), f"command {number}")
        except (SettingsError, DocumentInvalid) as error:
            raise invalid(
                where, error.finding, step="read-commands", mend=mend_of(error)
            ) from error
        if len(found) > COMMANDS_MAXIMUM:
            raise invalid(
                where, f"more than {COMMANDS_MAXIMUM} commands in all", step="read-commands"
            )
    return found


def _check_who_returns(
    rig: Rig,
    device: EntityIdentifier,
    commands: tuple[NewLocalCommand, ...],
    return_as: EntityIdentifier | None,
) -> None:
    """Check that each response has a user to return it, before anything is recorded.

    Raises:
        SettingsError: Neither request nor settings name one.
    """
    on_rig = next(each for each in rig.device if each.entity_id == device)
    returning = returning_for(rig, on_rig, party=return_as)
    for command in commands:
        returning.party_for(command.request_id, command.originator)


def _resume(
    service: Service, delivery_id: str, asked: ResumeRequest, name: str
) -> DeliveryAccepted:
    batch = _batch(service, delivery_id)
    rig = served_rig(service, batch.rig_name).usable()
    options = DeliveryOptions(
        rule=BatchRule.GO_ON if asked.go_on else BatchRule.STOP,
        return_as=None if asked.return_as is None else entity_of(asked.return_as),
        accept_clock=asked.accept_clock,
    )
    return _begin(service, DeliveryOrder(rig=rig, batch=batch, options=options), name)


def _begin(service: Service, order: DeliveryOrder, name: str) -> DeliveryAccepted:
    operation = service.operations.start(order, name)
    return _accepted(order.batch, operation.id)


def _accepted(batch: LocalBatch, operation_id: str) -> DeliveryAccepted:
    href = f"{DELIVERIES_PATH}/{batch.id}"
    return DeliveryAccepted(
        delivery_id=batch.id,
        operation_id=operation_id,
        rig=batch.rig_name,
        device=str(batch.device),
        state="running",
        href=href,
        events=f"{href}/events",
    )


def _batch(service: Service, delivery_id: str) -> LocalBatch:
    """Return the batch of a delivery.

    Raises:
        RequestRefused: There is none of that id.
    """
    try:
        return service.ledgers.reading.local_commands.batch(delivery_id)
    except LedgerRefused:
        raise delivery_unknown(delivery_id) from None


def _last_operation(service: Service, batch: LocalBatch) -> Operation | None:
    ledger = service.ledgers.reading
    ids = ledger.local_commands.sittings(batch.id)
    return ledger.operations.operation(ids[-1]) if ids else None


def _list(service: Service, limit: int, before: str | None, device: str | None) -> DeliveryList:
    ledger = service.ledgers.reading
    of_device = None if device is None else entity_of(device)
    with ledger.reading():
        try:
            found = ledger.local_commands.page(limit + 1, before=before, device=of_device)
        except LedgerRefused:
            raise delivery_unknown(str(before)) from None
        shown = found[:limit]
        summaries = tuple(
            _summary(
                service,
                batch,
                ledger.local_commands.commands(batch.id),
                _last_operation(service, batch),
            )
            for batch in shown
        )
    return DeliveryList(deliveries=summaries, next=shown[-1].id if len(found) > limit else None)


def _document(service: Service, delivery_id: str) -> DeliveryDocument:
    ledger = service.ledgers.reading
    with ledger.reading():
        batch = _batch(service, delivery_id)
        commands = ledger.local_commands.commands(batch.id)
        operation = _last_operation(service, batch)
    return DeliveryDocument.model_validate(
        {
            **dict(_summary(service, batch, commands, operation)),
            "problem": operation.problem if operation else None,
            "stoppable": operation is not None and service.operations.is_running(operation.id),
            "commands": [
                {
                    **described_command(command).to_json(),
                    "answer": answer_document(command).decode() if command.answer else None,
                }
                for command in commands
            ],
        }
    )


def _summary(
    service: Service,
    batch: LocalBatch,
    commands: tuple[LocalCommand, ...],
    operation: Operation | None,
) -> DeliverySummary:
    return DeliverySummary.model_validate(
        {
            **described_batch(batch, commands).to_json(),
            "delivery_id": batch.id,
            "operation_id": operation.id if operation else None,
            "state": _state(service, batch, commands, operation),
        }
    )


def _state(
    service: Service,
    batch: LocalBatch,
    commands: tuple[LocalCommand, ...],
    operation: Operation | None,
) -> str:
    """Return a delivery's state: of its last operation, or as the command line left it."""
    if operation is not None and operation.result is None:
        return "running"
    ended = operation.finished_at if operation else None
    is_later = ended is None or (batch.finished_at is not None and batch.finished_at > ended)
    if operation is not None and operation.result is not None and not is_later:
        return operation.result
    if batch.outcome is not None:
        return batch.outcome.value
    if is_held(lock_of(service.data_folder, batch.rig_name)):
        return "running"
    was_sent = any(each.sendings for each in commands)
    return RunResult.INTERRUPTED.value if was_sent else "waiting"


def _watchable(service: Service, delivery_id: str) -> Operation:
    operation = _last_operation(service, _batch(service, delivery_id))
    if operation is None:
        raise RequestRefused(
            "events-not-kept",
            f"delivery {delivery_id} was begun by the command line, which shows its events itself",
            step="watch-delivery",
            mend=f"see {DELIVERIES_PATH}/{delivery_id} for how it stands",
        )
    return operation


def _stop(service: Service, delivery_id: str, who: str) -> DeliveryAccepted:
    batch = _batch(service, delivery_id)
    operation = _last_operation(service, batch)
    if operation is None or not service.operations.stop(operation.id, who):
        raise RequestRefused(
            "not-running",
            f"delivery {delivery_id} is not under way in this server",
            step="stop-delivery",
            mend="there is nothing to do",
        )
    return _accepted(batch, operation.id)


def _withdraw(service: Service, delivery_id: str) -> DeliveryWithdrawn:
    batch = _batch(service, delivery_id)
    withdrawn = withdraw(service.data_folder, service.ledgers.writing, batch, service.clock())
    return DeliveryWithdrawn(delivery_id=batch.id, withdrawn=withdrawn)
