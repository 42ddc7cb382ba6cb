"""A web server on loopback that notes what it is posted, and answers as told."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.upstream.certificates import TLSFiles


Answering = Callable[["Request"], "bytes | Iterable[bytes]"]


@dataclass
class Request:
    """What was posted."""

    path: str
    headers: dict[str, str]
    events: list[dict[str, Any]]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


@dataclass
class WebServer:
    """Answers each request with the next of `answers`, else as `judge` says; octets as they are."""

    port: int
    scheme: str
    answers: deque[bytes | Callable[[Request], bytes | Iterable[bytes]]] = field(
        default_factory=deque
    )
    judge: Callable[[Request], bytes] = lambda _: answer("204 No Content")
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/events?tenant=1"

    @property
    def told(self) -> list[str]:
        return [each for request in self.requests for each in request.ids]


def answer(status: str, *fields: str, body: bytes = b"") -> bytes:
    """Give the octets of an answer."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@contextmanager
def web_server(
    files: TLSFiles | None = None, *, demands_client: bool = False
) -> Iterator[WebServer]:
    """Serve on a free port; with TLS where there are certificates."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = WebServer(listening.getsockname()[1], "https" if files else "http")
        context = None if files is None else _context(files, demands_client=demands_client)
        opened: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    opened.append(connection)
                    server.connections += 1
                    thread = threading.Thread(target=_serve, args=(server, connection, context))
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            # Closing alone does not end an accept() that waits.
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in opened:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            for thread in threads:
                thread.join()


def _context(files: TLSFiles, *, demands_client: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    if demands_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.ca)
    return context


def _serve(server: WebServer, connection: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError, ValueError):
        line = connection
        if context is not None:
            line = context.wrap_socket(connection.dup(), server_side=True)
        with line, line.makefile("rb") as reading:
            while (request := _read(reading)) is not None:
                server.requests.append(request)
                given = server.answers.popleft() if server.answers else server.judge
                octets = given if isinstance(given, bytes) else given(request)
                for piece in [octets] if isinstance(octets, bytes) else octets:
                    line.sendall(piece)


def _read(reading: Any) -> Request | None:
    first = reading.readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while line := reading.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reading.read(int(headers.get("content-length", "0")))
    return Request(first[1], headers, json.loads(body))
