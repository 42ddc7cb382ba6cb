"""HTTP to one server: bounded in time and size, with secrets that stay out of logs and errors.

It follows no redirect and uses no proxy. Importing it loads httpx; import it where it is used.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self

import httpcore
import httpx

from gbcs.printable import printable
from keyrig.base.clock import monotonic
from keyrig.base.errors import HTTPUnanswered, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import SecretStr

ANSWER_MAXIMUM_OCTETS: Final = 4 * 1024 * 1024
_USER_AGENT: Final = f"keyrig/{version('keyrig')}"


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """The answer to a request.

    Args:
        status: The HTTP status.
        phrase: The server's reason phrase.
        headers: The fields of the answer; names are matched in any case.
        octets: The body.
    """

    status: int
    phrase: str
    headers: Mapping[str, str]
    octets: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type, in small letters and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class HTTPClient:
    """Requests to one server, from any thread.

    Args:
        base_url: The URL that its paths are added to, such as http://box:8079.
        timeout_s: How long a request may take, from connecting to the last octet, in seconds.
        headers: Headers that each request carries.
        parameters: Query parameters that each request carries.
        ssl_context: Authenticates the server, where `base_url` is https.
        unanswered: The error class to raise when no answer came.
        transport: The transport to use; None makes one.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, SecretStr] | None = None,
        parameters: Mapping[str, SecretStr] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        unanswered: type[HTTPUnanswered] = HTTPUnanswered,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._unanswered = unanswered
        self._clock = clock
        self._deadline = _Deadline(clock)
        self._client = httpx.Client(
            transport=_WithSecrets(
                transport or _deadline_transport(ssl_context, self._deadline),
                headers or {},
                parameters or {},
            ),
            timeout=timeout_s,
            headers={"User-Agent": _USER_AGENT},
            follow_redirects=False,
            trust_env=False,
        )

    def get(self, path: str) -> HTTPAnswer:
        """Send a GET request for `path` and return the answer, whatever its status.

        Raises:
            HTTPUnanswered: As `post`.
        """
        return self._request("GET", path, {}, None, None, None)

    def post(
        self,
        path: str,
        body: bytes,
        content_type: str = "application/xml",
        *,
        within_s: float | None = None,
        only_first_octets: int | None = None,
    ) -> HTTPAnswer:
        """Send a document by POST and return the answer, whatever its status.

        Args:
            path: Follows the base URL.
            body: The document.
            content_type: Its media type.
            within_s: How long the request may take, where that is less than `timeout_s`.
            only_first_octets: How much of the answer's body is of interest. With it, the answer
                counts once the status is there, whatever becomes of the rest.

        Raises:
            HTTPUnanswered: No whole answer came; says whether the request may have arrived.
            SettingsError: The URL is none.
        """
        headers = {"Content-Type": content_type}
        return self._request("POST", path, headers, body, within_s, only_first_octets)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        within_s: float | None,
        only_first: int | None,
    ) -> HTTPAnswer:
        where = f"{self._base_url}{path}"
        within_s = self._timeout_s if within_s is None else min(within_s, self._timeout_s)
        self._deadline.at = self._clock() + within_s
        try:
            with self._client.stream(method, where, content=body, headers=headers) as response:
                read = self._whole if only_first is None else self._beginning
                return HTTPAnswer(
                    response.status_code,
                    response.reason_phrase,
                    response.headers,
                    read(response, where, only_first or ANSWER_MAXIMUM_OCTETS),
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._unanswered(where, _reason(error), may_have_arrived=False) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._unanswered(where, _reason(error), may_have_arrived=True) from None
        except (httpx.InvalidURL, UnicodeError):
            raise SettingsError(
                printable(where), "no address", "correct it in the settings"
            ) from None

    def _whole(self, response: httpx.Response, where: str, maximum: int) -> bytes:
        octets = bytearray()
        for chunk in response.iter_bytes():
            octets += chunk
            if len(octets) > maximum:
                reason = f"its answer is longer than {maximum} octets"
                raise self._unanswered(where, reason, may_have_arrived=True)
            if self._clock() > self._deadline.at:
                reason = f"its answer takes longer than {self._timeout_s:g} s"
                raise self._unanswered(where, reason, may_have_arrived=True)
        return bytes(octets)

    @staticmethod
    def _beginning(response: httpx.Response, _where: str, maximum: int) -> bytes:
        """Read a short answer to its end, so that the connection can be used again."""
        octets = b""
        try:
            for piece in response.iter_raw():
                octets += piece[:maximum]
                if len(octets) >= maximum:
                    break
        except httpx.HTTPError:
            pass
        return octets[:maximum]


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds after which a server asks to be tried again; None without Retry-After.

    Retry-After is seconds or an HTTP-date; a date counts from the answer's own Date, since the
    two clocks may differ.

    Args:
        headers: The fields of the answer, their names in small letters.
        now: The present instant, for an answer without a Date.

    Source: RFC 9110, 10.2.3.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date(headers.get("date", "").strip()) or now
    return max(0.0, (until - since).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _reason(error: Exception) -> str:
    """Return what went wrong in words of our own: texts of errors may quote what was sent."""
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return "it cannot be connected to in time"
        case httpx.ConnectError():
            cause = error.__cause__
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__cause__ or cause.__context__
            said = getattr(cause, "strerror", None) or "refused"
            return f"it cannot be connected to ({printable(said)})"
        case httpx.TimeoutException():
            return "no answer in time"
        case httpx.RemoteProtocolError():
            return "what it answers is no HTTP"
        case _:
            return f"the connection breaks ({type(error).__name__})"


class _WithSecrets(httpx.BaseTransport):
    """Adds secret headers and query parameters where no log and no error sees them.

    httpx logs each request's address, and ties requests to its errors; both have the request
    from before it comes here.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        headers: Mapping[str, SecretStr],
        parameters: Mapping[str, SecretStr],
    ) -> None:
        self._inner = inner
        self._headers = headers
        self._parameters = parameters

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        for name, secret in self._parameters.items():
            url = url.copy_add_param(name, secret.get_secret_value())
        headers = request.headers.copy()
        for name, secret in self._headers.items():
            headers[name] = secret.get_secret_value()
        return self._inner.handle_request(
            httpx.Request(
                request.method,
                url,
                headers=headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    def close(self) -> None:
        self._inner.close()


# httpx's time-outs are for each wait alone: a server that sends an octet at a time could hold a
# request for ever. So every wait of a connection is cut to what is left of the request's time.


class _Deadline(threading.local):
    """The instant by which this thread's request must end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.at = 0.0
        self._clock = clock

    def left_s(self, timeout: float | None) -> float:
        left = self.at - self._clock()
        return max(0.001, left if timeout is None else min(left, timeout))


def _deadline_transport(context: ssl.SSLContext | None, deadline: _Deadline) -> httpx.BaseTransport:
    # One that is never used saves reading the system's authorities where there is no TLS.
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    # httpx has no argument for the network backend of its pool.
    transport._pool = httpcore.ConnectionPool(  # noqa: SLF001 - there is no other way
        ssl_context=context, keepalive_expiry=30.0, network_backend=_Backend(deadline)
    )
    return transport


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout)
        stream = super().connect_tcp(host, port, left_s, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left_s(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
