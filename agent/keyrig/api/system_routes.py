"""Health and metrics."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from keyrig.api.access import READ
from keyrig.api.api_documents import Live
from keyrig.api.api_responses import problems
from keyrig.api.json_bodies import document_router
from keyrig.base.errors import LedgerError

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keyrig.api.api_service import Service


_METRICS_EXAMPLE: Final = (
    "# HELP keyrig_duties_open Duties still to be done.\n"
    "# TYPE keyrig_duties_open gauge\n"
    "keyrig_duties_open 19.0\n"
)


def system_routes(service: Service) -> APIRouter:
    """Return the routes of health and metrics."""
    router = document_router(tag="system")

    @router.get(
        "/api/v1/health",
        operation_id="health",
        responses={422: {"description": "Never."}},
    )
    def health() -> Live:
        """Return whether the server answers, and whether it is ready; needs no token."""
        return _health(service)

    @router.get(
        "/metrics",
        operation_id="metrics",
        dependencies=[READ],
        response_class=PlainTextResponse,
        responses={
            200: {
                "description": "What was asked for.",
                "content": {"text/plain": {"example": _METRICS_EXAMPLE}},
            },
            **problems(),
        },
    )
    def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        text = _figures(service)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    return router


def _health(service: Service) -> Live:
    checks = {
        "ledger": _is_ledger_good(service),
        "rigs": all(served.rig is not None for served in service.rigs.all()),
        "events": service.events.is_alive() and not service.closing,
    }
    return Live.model_validate(
        {
            "live": True,
            "ready": all(checks.values()),
            "version": version("keyrig"),
            "checks": [{"what": what, "good": good} for what, good in checks.items()],
        }
    )


def _is_ledger_good(service: Service) -> bool:
    try:
        service.ledgers.reading.clock.latest()
    except LedgerError:
        return False
    return service.ledgers.watch.version()[0] >= 0


def _figures(service: Service) -> bytes:
    return service.figures.text(
        service.ledgers.writing,
        service.clock(),
        running=service.operations.count(),
        streams=service.events.watchers(),
        upstreams=service.publisher.standing().values(),
    )
