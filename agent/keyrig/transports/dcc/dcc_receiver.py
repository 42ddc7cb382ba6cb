"""The agent's own port, on which the DCC's answers are received.

Whoever can reach the port can send to it, so everything about a request has a limit, and
nothing that comes can end a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gbcs.printable import printable
from gbcs.protocol_errors import ProtocolError, SecurityError
from keyrig.base.errors import LedgerError, ReceiverUnusable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

DOCUMENT_MAXIMUM_OCTETS: Final = 256 * 1024
"""The largest message of GBCS is some 4 KiB; a Read Inventory answer is a fraction of this."""
REQUEST_TIMEOUT_S: Final = 10.0
"""How long a sender may take for a whole request."""
TAKEN_AT_ONCE: Final = 8
"""How many documents are verified at the same time; others wait."""
START_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 64
_HEADERS_MAXIMUM_OCTETS: Final = 16 * 1024
_TAKEN: Final = 204
_NOT_ALLOWED: Final = 405
_TOO_LARGE: Final = (413, f"a document has {DOCUMENT_MAXIMUM_OCTETS} octets at most")

_log = structlog.get_logger(__name__)


class _TimedProtocol(H11Protocol):
    """Closes a connection on which no complete request head arrives in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(REQUEST_TIMEOUT_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if getattr(self, "cycle", None) is None and not self.transport.is_closing():
            self.transport.close()


class Receiver:
    """An HTTP server that accepts documents on one path.

    Answers 204 to what `take` accepts, 400 to what it refuses, and 503 where it cannot be
    recorded at this moment, so that the sender tries again.

    Args:
        listen: HOST:PORT, or unix:PATH; port 0 chooses any free one.
        path: The path that documents are posted to.
        take: Called with each document, on a thread of its own; raises a ProtocolError or
            SecurityError for what it refuses.
    """

    def __init__(self, listen: str, path: str, take: Callable[[bytes], None]) -> None:
        self._listen = listen
        self._path = path
        self._take = take
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._taking: asyncio.Semaphore | None = None

    @property
    def address(self) -> str:
        """The address it listens on, as HOST:PORT or unix:PATH."""
        if self._socket is None or self._listen.startswith("unix:"):
            return self._listen
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def start(self) -> None:
        """Bind the port and start to receive.

        Raises:
            ReceiverUnusable: Another program has it, or it cannot be bound.
        """
        self._socket = _bound(self._listen)
        config = uvicorn.Config(
            self._app,
            http=_TimedProtocol,
            interface="asgi3",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(REQUEST_TIMEOUT_S),
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=_HEADERS_MAXIMUM_OCTETS,
        )
        server = self._server = uvicorn.Server(config)
        sockets = [self._socket]
        self._thread = threading.Thread(
            target=server.run, args=(sockets,), name="dcc-receiver", daemon=True
        )
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            self.stop()
            raise ReceiverUnusable(self._listen, "the receiver does not start")

    def stop(self) -> None:
        """Stop receiving and release the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(START_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()
        if self._listen.startswith("unix:"):
            Path(self._listen.removeprefix("unix:")).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        status, reason = await self._answer(scope, receive)
        body = b"" if status == _TAKEN else reason.encode()
        headers = (
            []
            if status == _TAKEN
            else [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
        )
        if status == _NOT_ALLOWED:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._taking = asyncio.Semaphore(TAKEN_AT_ONCE)
        await send({"type": "lifespan.startup.complete"})
        self._started.set()
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, str]:
        headers = {name.lower(): value for name, value in scope["headers"]}
        stated = headers.get(b"content-length", b"0")
        if not stated.isdigit() or int(stated[:12]) > DOCUMENT_MAXIMUM_OCTETS:
            return _TOO_LARGE
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                # A refused body is read all the same, so that its sender gets the reason.
                document = await _body(receive)
        except TimeoutError:
            return 408, "the document takes too long"
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["path"] != self._path:
            return 404, "no such path"
        if scope["method"] != "POST":
            return _NOT_ALLOWED, "documents are posted"
        if media_type != b"application/xml":
            return 415, "documents are application/xml"
        return _TOO_LARGE if document is None else await self._taken(document)

    async def _taken(self, document: bytes) -> tuple[int, str]:
        assert self._taking is not None
        try:
            async with self._taking:
                await asyncio.to_thread(self._take, document)
        except (ProtocolError, SecurityError) as error:
            return 400, printable(str(error))
        except LedgerError as error:
            _log.error("a document from the DCC cannot be kept", reason=str(error))
            return 503, "it cannot be kept at this moment"
        return _TAKEN, ""


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None where it is too long, or its sender went away."""
    document = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        document += message.get("body", b"")
        if len(document) > DOCUMENT_MAXIMUM_OCTETS:
            return None
        if not message.get("more_body", False):
            return bytes(document)


def _bound(listen: str) -> socket.socket:
    try:
        if listen.startswith("unix:"):
            return _unix_socket(Path(listen.removeprefix("unix:")))
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "another program has it" if in_use else error.strerror or str(error)
        raise ReceiverUnusable(listen, reason) from None


def _unix_socket(path: Path) -> socket.socket:
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
        raise ReceiverUnusable(f"unix:{path}", "another program has it")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(_BACKLOG)
    return listening
