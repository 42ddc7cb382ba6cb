"""Runs: started, watched, stopped, and reported."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import Body, Header, Path, Query
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic evaluates annotations
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from keyrig.api.access import READ, ReadToken, RunToken
from keyrig.api.api_documents import (
    RUN_EXAMPLE,
    RunAccepted,
    RunDocument,
    RunDuty,
    RunList,
    RunNotBegun,
    RunSummary,
)
from keyrig.api.api_responses import (
    device_unknown,
    problems,
    run_unknown,
)
from keyrig.api.event_stream import STREAM_FORM, EventStream, event_stream, stream_example
from keyrig.api.json_bodies import document_router, utc_of
from keyrig.api.operations import RunOrder
from keyrig.api.problem_documents import RequestRefused
from keyrig.api.request_bodies import (
    OPERATION_PATTERN,
    RUN_EXAMPLES,
    OperationId,
    RunRequest,
    entity_of,
)
from keyrig.api.rig_routes import RigText, served_rig
from keyrig.base.clock import instant_text
from keyrig.base.errors import LedgerRefused
from keyrig.base.events import OperationAccepted, OperationFinished
from keyrig.config.places import lock_of
from keyrig.documents.document_model import NotBegunPart
from keyrig.domain.run_results import RunResult
from keyrig.ledger.run_record import gather
from keyrig.report.report_formats import report_octets, sealed_evidence
from keyrig.run.rig_locks import is_held

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keyrig.api.api_service import Service
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.operation_record import Operation
    from keyrig.ledger.runs import Run

_MEDIA_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "junit": "application/xml",
}
_SUFFIXES: Final = {"html": "html", "json": "json", "junit": "xml"}
REPORT_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a report may do where a browser opens it: be shown."""

RunId = Annotated[
    str,
    Path(
        pattern=OPERATION_PATTERN,
        description="The run's id, which is its operation's.",
        examples=[RUN_EXAMPLE],
    ),
]
EventNumber = Annotated[int, Field(ge=0, le=2**31)]
_LINKS: Final[dict[str, Any]] = {
    f"{name}_of_it": {"operationId": name, "parameters": {"run_id": "$response.body#/operation_id"}}
    for name in ("run", "stop", "report", "evidence")
}
_ACCEPTED: Final = {
    "description": "It has begun; Location says where its state is.",
    "headers": {"Location": {"schema": {"type": "string"}, "required": True}},
    "links": _LINKS,
}
_EVENTS_EXAMPLE: Final = stream_example(
    OperationAccepted(
        operation=RUN_EXAMPLE,
        rig="emulated-home",
        requested_by="handheld-7",
        devices=(),
        cancel=False,
        accept_clock=False,
        all_or_nothing=False,
    ),
    OperationFinished(result="done", problem=None),
)


def run_routes(service: Service) -> APIRouter:
    """Return the routes of runs."""
    router = document_router("/api/v1/runs", tag="runs")

    @router.post(
        "",
        operation_id="start_run",
        status_code=HTTPStatus.ACCEPTED,
        responses={202: _ACCEPTED, **problems(400, 404, 409)},
    )
    def start_run(
        asked: Annotated[RunRequest, Body(examples=RUN_EXAMPLES)],
        token: RunToken,
        response: Response,
    ) -> RunAccepted:
        """Begin a run, and answer at once with its operation.

        One run per device at a time, whoever asks: 409 names the operation that holds it.
        """
        operation = _start(service, asked, token.name)
        accepted = _accepted(operation.id, operation.rig_name)
        response.headers["Location"] = accepted.href
        return accepted

    @router.get(
        "",
        operation_id="runs",
        responses=problems(404),
        dependencies=[READ],
    )
    def runs(
        limit: Annotated[int, Query(ge=1, le=200, description="How many.")] = 50,
        before: Annotated[
            OperationId | SkipJsonSchema[None],
            Query(description="Only those older than this one."),
        ] = None,
        rig: Annotated[
            RigText | SkipJsonSchema[None],
            Query(description="Only those of this rig."),
        ] = None,
    ) -> RunList:
        """Return runs, newest first, whoever began them."""
        return _runs(service, limit, before, rig)

    @router.get(
        "/{run_id}",
        operation_id="run",
        responses=problems(404),
        dependencies=[READ],
    )
    def run(run_id: RunId) -> RunDocument:
        """Return a run's state, the outcome of its duties, and why others were not begun."""
        return _run(service, run_id)

    @router.post(
        "/{run_id}/stop",
        operation_id="stop",
        status_code=HTTPStatus.ACCEPTED,
        response_description="It stops before its next command.",
        responses=problems(404, 409),
    )
    def stop(run_id: RunId, token: RunToken) -> RunAccepted:
        """Ask a run to stop before its next command; the next run continues what is left."""
        return _stop(service, run_id, f"token {token.name}")

    @router.get(
        "/{run_id}/report",
        operation_id="report",
        dependencies=[READ],
        response_class=Response,
        responses={
            200: {
                "description": "The report.",
                "content": {
                    "text/html": {"schema": {"type": "string"}},
                    "application/json": {"schema": {"type": "object"}},
                    "application/xml": {"schema": {"type": "string"}},
                },
            },
            **problems(404, 409),
        },
    )
    def report(
        run_id: RunId,
        form: Annotated[
            Literal["html", "json", "junit"],
            Query(alias="format", description="html for people, json for programs, junit."),
        ] = "html",
    ) -> Response:
        """Return the report of a run, as `keyrig report` writes it; also while it is under way."""
        octets = _report(service, run_id, form)
        return _download(octets, _MEDIA_TYPES[form], f"{run_id}.{_SUFFIXES[form]}")

    @router.get(
        "/{run_id}/evidence",
        operation_id="evidence",
        dependencies=[READ],
        response_class=Response,
        responses={
            200: {
                "description": "The evidence; X-Evidence-Key has the SHA-256 of the sealing key.",
                "headers": {"X-Evidence-Key": {"schema": {"type": "string"}, "required": True}},
                "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
            },
            **problems(404, 409),
        },
    )
    def evidence(run_id: RunId) -> Response:
        """Return the evidence of a run, sealed, for `keyrig verify-evidence` on any machine."""
        octets, key = _evidence(service, run_id)
        response = _download(octets, "application/x-ndjson", f"{run_id}.evidence")
        response.headers["X-Evidence-Key"] = key
        return response

    @router.get(
        "/{run_id}/events",
        operation_id="events",
        response_class=EventStream,
        responses={
            200: {
                "description": "Server-Sent Events, until the run has ended.",
                "content": {
                    "text/event-stream": {
                        "schema": STREAM_FORM,
                        "example": _EVENTS_EXAMPLE,
                    }
                },
            },
            204: {"description": "The run has ended, and its last event was seen already."},
            **problems(404, 409),
        },
    )
    async def events(
        run_id: RunId,
        token: ReadToken,
        last_event_id: Annotated[
            EventNumber | SkipJsonSchema[None],
            Header(description="The last event seen; an EventSource sends it."),
        ] = None,
        after: Annotated[
            EventNumber, Query(description="As Last-Event-ID, which outweighs it.")
        ] = 0,
    ) -> Response:
        """Stream the events of a run, after the last event seen, as Server-Sent Events.

        Each has its number as id, and one JSON object as data; `operation-finished` is the last.
        A comment comes now and then while nothing happens. Events are kept with the run, so that
        this also works when the server was restarted.
        """
        seen = after if last_event_id is None else last_event_id
        operation = await run_in_threadpool(_watchable, service, run_id)
        return await event_stream(service, operation, seen, token)

    return router


def _start(service: Service, asked: RunRequest, name: str) -> Operation:
    served = served_rig(service, asked.rig)
    rig = served.usable()
    known = {device.entity_id for device in rig.device}
    devices = tuple(dict.fromkeys(entity_of(text) for text in asked.devices))
    for device in devices:
        if device not in known:
            raise device_unknown(str(device), rig.name)
    execute_at = utc_of(asked.execute_at, "body.execute_at")
    if execute_at is not None and execute_at <= service.clock():
        raise RequestRefused(
            "execute-at-past", f"execute_at {instant_text(execute_at)} has passed", step="start-run"
        )
    order = RunOrder(
        rig=rig,
        devices=devices,
        execute_at=execute_at,
        cancel=asked.cancel,
        accept_clock=asked.accept_clock,
        all_or_nothing=asked.all_or_nothing,
    )
    return service.operations.start(order, name)


def _accepted(operation_id: str, rig_name: str) -> RunAccepted:
    href = f"/api/v1/runs/{operation_id}"
    return RunAccepted(
        operation_id=operation_id,
        rig=rig_name,
        state="running",
        href=href,
        events=f"{href}/events",
    )


def _stop(service: Service, run_id: str, who: str) -> RunAccepted:
    operation, run = _found(service.ledgers.reading, run_id)
    if not service.operations.stop(run_id, who):
        state = _state(service, operation, run)
        raise RequestRefused(
            "not-running",
            f"run {run_id} is {state}"
            + (" and was not begun by this server" if state == "running" else ""),
            step="stop-run",
            mend="stop it where it was begun" if state == "running" else "there is nothing to do",
        )
    rig_name = operation.rig_name if operation else run.rig_name if run else ""
    return _accepted(run_id, rig_name)


def _found(ledger: Ledger, run_id: str) -> tuple[Operation | None, Run | None]:
    """Return the operation and the run of an id; one of them at least.

    Raises:
        RequestRefused: There is neither.
    """
    operation = ledger.operations.operation(run_id)
    try:
        run = ledger.runs.run(run_id)
    except LedgerRefused:
        run = None
    if run is None and (operation is None or ledger.local_commands.is_sitting(run_id)):
        raise run_unknown(run_id)
    return operation, run


def _run(service: Service, run_id: str) -> RunDocument:
    ledger = service.ledgers.reading
    with ledger.reading():
        operation, run = _found(ledger, run_id)
        attempts = ledger.runs.attempts(run_id)
        not_begun = ledger.facts.not_begun_in(run_id)
    return RunDocument(
        **dict(_summary(service, run_id, operation, run)),
        stoppable=service.operations.is_running(run_id),
        has_events=operation is not None,
        has_report=run is not None,
        duties=tuple(RunDuty.model_validate(attempt) for attempt in attempts),
        not_begun=tuple(
            RunNotBegun(
                entity_id=str(device),
                requirement=requirement,
                **dict(NotBegunPart.model_validate(why)),
            )
            for device, requirement, why in not_begun
        ),
    )


def _runs(service: Service, limit: int, before: str | None, rig_name: str | None) -> RunList:
    ledger = service.ledgers.reading
    with ledger.reading():
        try:
            ids = ledger.operations.page(limit + 1, before=before, rig_name=rig_name)
        except LedgerRefused:
            assert before is not None
            raise run_unknown(before) from None
        shown = ids[:limit]
        operations, runs = ledger.operations.of(shown), ledger.runs.of(shown)
    return RunList(
        runs=tuple(_summary(service, i, operations.get(i), runs.get(i)) for i in shown),
        next=shown[-1] if len(ids) > limit else None,
    )


def _summary(
    service: Service, run_id: str, operation: Operation | None, run: Run | None
) -> RunSummary:
    first = operation.requested_at if operation else run.started_at if run else None
    last = operation.finished_at if operation else run.finished_at if run else None
    return RunSummary.model_validate(
        {
            "operation_id": run_id,
            "rig": operation.rig_name if operation else run.rig_name if run else "",
            "state": _state(service, operation, run),
            "started_at": first,
            "finished_at": last,
            "requested_by": operation.requested_by if operation else None,
            "request": operation.request if operation else None,
            "problem": operation.problem if operation else None,
        }
    )


def _state(service: Service, operation: Operation | None, run: Run | None) -> str:
    if operation is not None:
        return operation.result or "running"
    assert run is not None
    if run.outcome is not None:
        return run.outcome.value
    # A run that was killed has no outcome until the next run of its rig closes it.
    is_under_way = is_held(lock_of(service.data_folder, run.rig_name))
    return "running" if is_under_way else RunResult.INTERRUPTED.value


def _reportable(ledger: Ledger, run_id: str) -> None:
    """Check that a run can be reported.

    Raises:
        RequestRefused: There is no such run, or it has not begun, or never did.
    """
    _, run = _found(ledger, run_id)
    if run is None:
        raise RequestRefused(
            "not-begun",
            f"run {run_id} has not begun, or never did",
            step="report-run",
            mend=f"see /api/v1/runs/{run_id} for how it stands",
        )


def _report(service: Service, run_id: str, form: str) -> bytes:
    ledger = service.ledgers.reporting
    _reportable(ledger, run_id)
    return report_octets(form, gather(ledger, run_id), service.clock())


def _evidence(service: Service, run_id: str) -> tuple[bytes, str]:
    ledger = service.ledgers.reporting
    _reportable(ledger, run_id)
    return sealed_evidence(gather(ledger, run_id), service.data_folder, service.clock())


def _watchable(service: Service, run_id: str) -> Operation:
    operation, _ = _found(service.ledgers.reading, run_id)
    if operation is None:
        raise RequestRefused(
            "events-not-kept",
            f"run {run_id} was begun by the command line, which shows its events itself",
            step="watch-run",
            mend=f"see /api/v1/runs/{run_id} for how it stands",
        )
    return operation


def _download(octets: bytes, media_type: str, name: str) -> Response:
    return Response(
        octets,
        media_type=media_type,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Security-Policy": REPORT_POLICY,
        },
    )
