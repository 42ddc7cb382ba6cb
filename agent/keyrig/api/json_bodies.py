"""JSON bodies of requests, parsed with the limits of every document from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from typing_extensions import override

from keyrig.api.api_responses import DocumentResponse, invalid
from keyrig.base.outside_files import Unreadable, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response


class BodyUnreadable(HTTPException):
    """A body that is no JSON document as `keyrig.base.outside_files.parse_json` reads it.

    Args:
        reason: What is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        self.reason = reason


class _Request(Request):
    """A request whose JSON body is parsed by `parse_json`, within its limits."""

    async def json(self) -> Any:
        """Return the parsed body.

        Raises:
            BodyUnreadable: It is not JSON, or beyond the limits of `parse_json`.
        """
        try:
            return parse_json(await self.body())
        except Unreadable as error:
            raise BodyUnreadable(str(error)) from None


def document_router(prefix: str = "", *, tag: str) -> APIRouter:
    """Return a router whose routes read JSON bodies and answer with documents."""
    return APIRouter(
        route_class=JSONRoute, default_response_class=DocumentResponse, prefix=prefix, tags=[tag]
    )


class JSONRoute(APIRoute):
    """A route whose JSON body is read by `keyrig.base.outside_files`."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handle_bounded


def utc_of(instant: datetime | None, where: str) -> datetime | None:
    """Return an instant converted to UTC.

    Raises:
        RequestRefused: It is outside the years that can be represented.
    """
    try:
        return None if instant is None else instant.astimezone(UTC)
    except OverflowError:
        raise invalid(where, "no such year") from None
