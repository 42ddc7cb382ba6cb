"""The stand-in's three HTTP listeners: DUIS, the SMKI repository, and the bundle."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from dccstub.key_folder import BUNDLE_PATH
from dccstub.web_services import XML, ZIP, HTTPReply, WebService

if TYPE_CHECKING:
    from dccstub.stand_in import DCCBoxed

BODY_MAXIMUM_OCTETS: Final = 4 * 1024 * 1024
READ_TIMEOUT_S: Final = 10.0
"""How long a client may leave a request unfinished."""
STOP_INTERVAL_S: Final = 0.05
"""How often a listener looks whether it is to stop."""
_SERVICES: Final = {service.value: service for service in WebService}


Answer = Callable[[str, str, str, bytes], HTTPReply]
"""Gives the reply for a method, a target, a content type and a body."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self.answer = answer
        self.stopping = threading.Event()
        self.failures: list[BaseException] = []
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's
        """Record what went wrong while a request was answered, unless its client left."""
        failure = sys.exc_info()[1]
        if failure is not None and not isinstance(failure, OSError):
            self.failures.append(failure)


class _Handler(BaseHTTPRequestHandler):
    """Reads one request, and writes one reply."""

    server: _Server
    timeout = READ_TIMEOUT_S
    server_version = "DCCBoxedStandIn"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer()

    def _answer(self) -> None:
        reply = self._reply()
        if reply.delay_s:
            self.server.stopping.wait(reply.delay_s)
        if reply.is_lost:
            self.close_connection = True
        else:
            self._write(reply)

    def _reply(self) -> HTTPReply:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit():
            return HTTPReply(HTTPStatus.BAD_REQUEST)
        if int(length) > BODY_MAXIMUM_OCTETS:
            self.close_connection = True
            return HTTPReply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        return self.server.answer(self.command, self.path, self.headers.get_content_type(), body)

    def _write(self, reply: HTTPReply) -> None:
        self.send_response(reply.status)
        if reply.content_type:
            self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write nothing to standard error."""


class Listener:
    """One HTTP server on one port, in threads of its own.

    Args:
        host: What it listens on.
        port: The port; 0 takes any that is free.
        answer: Returns the replies; it is called from several threads.
    """

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self._server = _Server(host, port, answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": STOP_INTERVAL_S}
        )

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Start to accept requests."""
        self._thread.start()

    def stop(self) -> None:
        """Accept no more requests, and wait for those that are being answered."""
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the port of a listener that was not started."""
        self._server.server_close()

    @property
    def failures(self) -> list[BaseException]:
        """What went wrong in the stand-in itself while it answered."""
        return self._server.failures


def duis_answer(
    boxed: DCCBoxed, lock: threading.Lock, method: str, target: str, content_type: str, body: bytes
) -> HTTPReply:
    """Answer on the DUIS port."""
    service = _SERVICES.get(urlsplit(target).path)
    if service is None:
        return HTTPReply(HTTPStatus.NOT_FOUND)
    if method != "POST":
        return HTTPReply(HTTPStatus.METHOD_NOT_ALLOWED)
    if content_type != XML:
        return HTTPReply(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    with lock:
        return boxed.receive(service, body)


def smki_answer(
    boxed: DCCBoxed, lock: threading.Lock, method: str, target: str, content_type: str, body: bytes
) -> HTTPReply:
    """Answer on the SMKI port."""
    if method != "POST":
        return HTTPReply(HTTPStatus.METHOD_NOT_ALLOWED)
    if content_type != XML:
        return HTTPReply(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    parts = urlsplit(target)
    (api_key,) = parse_qs(parts.query).get("apikey", [""])[:1]
    with lock:
        return boxed.smki.answer(parts.path, api_key, body, boxed.clock())


def bundle_answer(boxed: DCCBoxed, method: str, target: str) -> HTTPReply:
    """Answer on the port of the bundle."""
    if urlsplit(target).path != BUNDLE_PATH:
        return HTTPReply(HTTPStatus.NOT_FOUND)
    if method != "GET":
        return HTTPReply(HTTPStatus.METHOD_NOT_ALLOWED)
    return HTTPReply(HTTPStatus.OK, ZIP, boxed.bundle)
