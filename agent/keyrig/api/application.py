"""The API as an ASGI application."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import FileResponse, Response
from starlette.routing import Match

from gbcs.printable import printable
from gbcs.protocol_errors import KeyrigError
from keyrig.api.access import TokenDemanded
from keyrig.api.api_responses import DocumentResponse, invalid
from keyrig.api.api_service import Service
from keyrig.api.body_limit import BodyLimit, too_large
from keyrig.api.certificate_routes import certificate_routes
from keyrig.api.certification_routes import certification_routes
from keyrig.api.delivery_routes import DELIVERIES_PATH, delivery_routes
from keyrig.api.device_routes import INVENTORY_PATH, device_routes
from keyrig.api.json_bodies import BodyUnreadable
from keyrig.api.openapi import OPENAPI_PATH, openapi_document
from keyrig.api.outbox_routes import outbox_routes
from keyrig.api.problem_documents import FieldFault, RequestRefused, problem_response, unforeseen
from keyrig.api.rig_routes import rig_routes
from keyrig.api.run_routes import run_routes
from keyrig.api.system_routes import system_routes
from keyrig.base.error_kinds import kind_of
from keyrig.config.settings import Settings
from keyrig.page.page_files import ASK_FIRST, PageFiles, page_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Scope


DESCRIPTION: Final = """\
Post-commissioning duties of GB smart meters and communications hubs: what is due, and carrying it
out. docs/api.md is the guide. Every request but `/api/v1/health` shows a token, as
`Authorization: Bearer TOKEN`; the security requirement of each names the scope that it needs.
Errors are problem documents (RFC 9457); programs tell them by `code`."""
_SHOWN_FAULTS: Final = 20
_log = structlog.get_logger(__name__)


def application(service: Service) -> FastAPI:
    """Return the application that `Front` passes requests to."""
    app = FastAPI(
        title="keyrig",
        version=version("keyrig"),
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(TokenDemanded, access=service.access),
            Middleware(
                BodyLimit,
                octets=service.settings.serve.body_maximum_octets,
                uploads=dict.fromkeys(
                    (INVENTORY_PATH, DELIVERIES_PATH),
                    service.settings.serve.upload_maximum_octets,
                ),
            ),
        ],
        lifespan=_lifespan(service),
    )
    for router in (
        system_routes(service),
        rig_routes(service),
        device_routes(service),
        run_routes(service),
        delivery_routes(service),
        outbox_routes(service),
        certificate_routes(service),
        certification_routes(service),
    ):
        # Routes of the application itself, not of routers below it: found without a detour, and
        # `_methods` sees every route of a path.
        app.router.routes.extend(router.routes)
    _serve_openapi(app)
    _serve_page(app)
    _answer_errors(app)
    return app


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with service.watching():
            yield

    return lifespan


def _serve_openapi(app: FastAPI) -> None:
    kept: list[bytes] = []

    @app.get(OPENAPI_PATH, include_in_schema=False)
    async def openapi() -> Response:
        """Return the OpenAPI document."""
        if not kept:
            kept.append(json.dumps(openapi_document(app)).encode())
        return DocumentResponse(kept[0])


def _serve_page(app: FastAPI) -> None:
    directory = page_directory()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        """Return the page; its other files are below /page/."""
        return FileResponse(directory / "index.html", headers={"Cache-Control": ASK_FIRST})

    app.mount("/page", PageFiles(), name="page")


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(KeyrigError)
    async def known(request: Request, error: KeyrigError) -> Response:
        path = request.url.path
        if not isinstance(error, RequestRefused):
            tell = getattr(_log, kind_of(error).level)
            tell("not carried out", path=path, code=error.code, reason=str(error))
        return problem_response(error, instance=path, step=_step(request))

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        return problem_response(_request_invalid(error), instance=request.url.path)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if isinstance(error, BodyUnreadable):
            return problem_response(invalid("body", error.reason), instance=request.url.path)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(app, request.scope))
        return problem_response(_of_http(error), instance=request.url.path, headers=headers)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        _log.error("unexpected error", path=request.url.path, exc_info=error)
        return problem_response(unforeseen(_step(request)), instance=request.url.path)


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return every method of a path; each route of a path knows only its own."""
    methods: set[str] = set()
    for route in app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


def _step(request: Request) -> str:
    name = getattr(request.scope.get("route"), "operation_id", None)
    return str(name).replace("_", "-") if name else "answer"


def _request_invalid(error: RequestValidationError) -> RequestRefused:
    faults = [
        FieldFault(
            where=printable(".".join(str(part) for part in fault["loc"]), 120),
            reason=printable(str(fault["msg"]), 200),
        )
        for fault in error.errors()[:_SHOWN_FAULTS]
    ]
    first = f"{faults[0].where}: {faults[0].reason}" if faults else "it cannot be read"
    return RequestRefused("request-invalid", first, step="read-request", faults=faults)


_OF_HTTP: Final = {
    HTTPStatus.NOT_FOUND: ("path-unknown", "there is nothing at this path", "route"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method-not-allowed",
        "the path does not take this method",
        "route",
    ),
    HTTPStatus.BAD_REQUEST: ("request-unreadable", "the body cannot be read", "read-request"),
}


def _of_http(error: HTTPException) -> RequestRefused:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_large()
    code, reason, step = _OF_HTTP.get(status, ("request-unreadable", str(error.detail), "route"))
    return RequestRefused(code, reason, step=step)


def openapi_text() -> str:
    """Return the text of docs/openapi.json."""
    with TemporaryDirectory() as data_folder:
        service = Service(data_folder=Path(data_folder), settings=Settings(upstream={}))
        try:
            document = openapi_document(application(service))
        finally:
            service.close()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
