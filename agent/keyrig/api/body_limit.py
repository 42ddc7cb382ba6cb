"""The limit of a request's body, whatever its Content-Length says."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from keyrig.api.problem_documents import RequestRefused, problem_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that refuses bodies that are, or are declared, too large.

    Args:
        app: The application behind it.
        octets: The largest body.
        uploads: By path, the largest body of an upload.
    """

    def __init__(self, app: ASGIApp, octets: int, uploads: Mapping[str, int]) -> None:
        self._app = app
        self._octets = octets
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on, counting its body; answer or raise 413 beyond the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads.get(scope["path"], self._octets)
        said = next((v for name, v in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > limit:
            headers = {"Connection": "close"}
            response = problem_response(too_large(), instance=scope["path"], headers=headers)
            await response(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_within_limit, send)


def too_large() -> RequestRefused:
    """Return the error where a body is too large."""
    reason = "the body is larger than the server takes"
    return RequestRefused("too-large", reason, step="read-request")
