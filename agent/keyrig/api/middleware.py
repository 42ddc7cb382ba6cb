"""The outermost middleware: allowed hosts, security headers of responses, and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from keyrig.api.problem_documents import RequestRefused, problem_response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from keyrig.api.metrics import Figures

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HEADERS: Final = tuple((n.lower().encode(), v.encode()) for n, v in HEADERS.items())
_POLICY: Final = b"content-security-policy"
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_UNMATCHED: Final = "unmatched"


class Front:
    """Refuses hosts that are not allowed, sets the headers of every response, and counts it.

    The check of hosts is against DNS rebinding: a page of another origin may have its own name
    resolve to this machine's loopback address; its requests then name that host.

    Args:
        app: The application behind it.
        hosts: The allowed hosts, without port; None for any.
        figures: Counts responses.
        seconds: Returns seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] | None,
        figures: Figures,
        seconds: Callable[[], float],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._figures = figures
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection, or pass it on with the headers added to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._seconds()
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = message["headers"]
                headers.extend(_HEADERS)
                if all(name != _POLICY for name, _ in headers):
                    headers.append((_POLICY, PAGE_POLICY.encode()))
                route = getattr(scope.get("route"), "path", _UNMATCHED)
                self._figures.answered(
                    route, scope["method"], message["status"], self._seconds() - began
                )
            await send(message)

        if self._hosts is not None and _host(scope) not in self._hosts:
            reason = "the request names a host that this server is not reached by"
            refused = RequestRefused("host-refused", reason, step="route")
            response = problem_response(refused, instance=scope["path"])
            await response(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            # After its answer the application has logged the error; uvicorn would log it again.
            if not has_begun:
                raise


def _host(scope: Scope) -> str | None:
    """Return the host that a request names, without its port; None where it names none."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    if len(named) != 1:
        return None
    try:
        return urlsplit(f"//{named[0].decode('latin-1')}").hostname
    except ValueError:
        return None
