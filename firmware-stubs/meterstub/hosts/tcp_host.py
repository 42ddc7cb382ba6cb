"""A host that puts a station on a TCP port of this machine."""

from __future__ import annotations

import contextlib
import socket
import time  # noqa: TID251 - a host is the edge where an emulated device meets time
from typing import TYPE_CHECKING, Final

from meterstub.hosts.line_host import Framing, LineHost, LineOptions, Station

if TYPE_CHECKING:
    from collections.abc import Callable

HOST: Final = "127.0.0.1"
SETTLE_S: Final = 0.1
"""Silence towards a new client that has said nothing: pyserial drops what comes while it opens."""


class TCPHost(LineHost):
    """Listens on 127.0.0.1; serves one client at a time, and the next when that one has gone.

    Args:
        station: The device.
        port: The TCP port; 0 lets the system choose.
        framing: How messages travel.
        options: How the line behaves.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        station: Station,
        *,
        port: int = 0,
        framing: Framing = "hdlc",
        options: LineOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(station, framing=framing, options=options, clock=clock)
        self._asked_port = port
        self._port = port
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._quiet_until = 0.0

    @property
    def url(self) -> str:
        """The `socket://` URL; its port is known once the host is started."""
        return f"socket://{HOST}:{self._port}"

    @property
    def port(self) -> int:
        """The TCP port; known once the host is started."""
        return self._port

    def _open_line(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # A line that comes back is where it was.
            listener.bind((HOST, self._asked_port or self._port))
            listener.listen(4)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._port = int(listener.getsockname()[1])

    def _close_line(self) -> None:
        self._drop_client()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _line_descriptor(self) -> int | None:
        return self._client.fileno() if self._client is not None else None

    def _watched(self) -> list[int]:
        # A second client waits in the listener's queue until the first has gone.
        waiting = self._listener is not None and self._client is None
        return [self._listener.fileno()] if waiting and self._listener is not None else []

    def _ready(self, descriptors: list[int]) -> None:
        if not descriptors or self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            self._quiet_until = self._clock() + SETTLE_S
            self._renew_connection()

    def _may_speak(self, data: bytes, now: float) -> bool:
        if data:
            self._quiet_until = now
        return now >= self._quiet_until

    def _line_lost(self) -> None:
        self._drop_client()

    def _hang_up(self) -> None:
        self._close_line()

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
