"""HTTP connections that end at an instant, however slowly the other side drips octets."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class DeadlineTransport(httpx.HTTPTransport):
    """A transport of one connection, none of whose waits goes beyond `deadline`.

    httpx's time-outs are for each wait alone; a server that sends an octet at a time could
    hold a request for ever.

    Args:
        context: How the server is known; None for one of this machine without TLS.
        monotonic: Gives seconds that never go back.
    """

    def __init__(self, context: ssl.SSLContext | None, monotonic: Callable[[], float]) -> None:
        context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(verify=context, trust_env=False)
        self.deadline = 0.0
        self._monotonic = monotonic
        # httpx has no argument for the network backend of its pool.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=30.0,
            network_backend=_Backend(self),
        )

    def left_s(self, timeout: float | None) -> float:
        """Give how long may be waited; a moment once the deadline has passed."""
        left = self.deadline - self._monotonic()
        return max(0.001, left if timeout is None else min(left, timeout))


class _Backend(httpcore.NetworkBackend):
    def __init__(self, transport: DeadlineTransport) -> None:
        self._transport = transport
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(
            host, port, self._transport.left_s(timeout), local_address, socket_options
        )
        return _Stream(self._transport, stream)


class _Stream(httpcore.NetworkStream):
    def __init__(self, transport: DeadlineTransport, stream: httpcore.NetworkStream) -> None:
        self._transport = transport
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._transport.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._transport.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(
            ssl_context, server_hostname, self._transport.left_s(timeout)
        )
        return _Stream(self._transport, stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
