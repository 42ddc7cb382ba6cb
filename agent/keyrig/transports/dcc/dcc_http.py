"""HTTP to DCC Boxed: bounded in time and size, with secrets that stay out of logs and errors."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import httpx

from keyrig.base.clock import monotonic
from keyrig.base.errors import DCCUnreachable, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import SecretStr

ANSWER_MAXIMUM_OCTETS: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request's connection brought.

    Args:
        status: The HTTP status.
        content_type: Its media type, in small letters and without parameters.
        octets: The body.
    """

    status: int
    content_type: str
    octets: bytes = field(repr=False)


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


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Give the context by which a server is known; None takes the system's authorities.

    Raises:
        SettingsError: The file cannot be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "holds no certificate"
        raise SettingsError(str(ca_file), reason, "correct dcc_boxed.ca_file") from None


class HTTPClient:
    """Requests to one server.

    Args:
        base_url: Where its paths begin, such as http://box:8079.
        timeout_s: How long connecting, and the whole of an answer, may take, in seconds each.
        headers: Headers that each request carries.
        parameters: Query parameters that each request carries.
        transport: What carries requests; None makes one.
        ssl_context: By which the server is known, where `base_url` is https.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, SecretStr] | None = None,
        parameters: Mapping[str, SecretStr] | None = None,
        transport: httpx.BaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        inner = transport or httpx.HTTPTransport(
            verify=True if ssl_context is None else ssl_context, trust_env=False
        )
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        self._client = httpx.Client(
            transport=_WithSecrets(inner, headers or {}, parameters or {}),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
        )

    def post(self, path: str, body: bytes) -> Answer:
        """Post an XML document and give the answer, whatever its status.

        Raises:
            DCCUnreachable: No whole answer came; says whether the request may have arrived.
        """
        return self._request("POST", path, body)

    def get(self, path: str) -> Answer:
        """Get what is at `path`, whatever the status.

        Raises:
            DCCUnreachable: As `post`.
        """
        return self._request("GET", path, None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _request(self, method: str, path: str, body: bytes | None) -> Answer:
        where = f"{self._base_url}{path}"
        headers = {} if body is None else {"Content-Type": "application/xml"}
        try:
            with self._client.stream(method, where, content=body, headers=headers) as response:
                octets = self._body(response, where)
                media_type = response.headers.get("content-type", "").partition(";")[0]
                return Answer(response.status_code, media_type.strip().lower(), octets)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise DCCUnreachable(where, _reason(error), may_have_arrived=False) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise DCCUnreachable(where, _reason(error), may_have_arrived=True) from None
        except (httpx.InvalidURL, UnicodeError):
            raise SettingsError(
                "dcc_boxed.address", f"{where} is no address", "correct the settings"
            ) from None

    def _body(self, response: httpx.Response, where: str) -> bytes:
        deadline = self._clock() + self._timeout_s
        octets = bytearray()
        for chunk in response.iter_bytes():
            octets += chunk
            if len(octets) > ANSWER_MAXIMUM_OCTETS:
                reason = f"its answer is longer than {ANSWER_MAXIMUM_OCTETS} octets"
                raise DCCUnreachable(where, reason, may_have_arrived=True)
            if self._clock() > deadline:
                reason = f"its answer takes longer than {self._timeout_s:g} s"
                raise DCCUnreachable(where, reason, may_have_arrived=True)
        return bytes(octets)


def _reason(error: Exception) -> str:
    """Say what went wrong in our own words: texts of errors may quote what was sent."""
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return "it cannot be connected to in time"
        case httpx.ConnectError():
            cause = error.__cause__
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__cause__ or cause.__context__
            return f"it cannot be connected to ({getattr(cause, 'strerror', None) or 'refused'})"
        case httpx.TimeoutException():
            return "it does not answer in time"
        case _:
            return f"the connection breaks ({type(error).__name__})"
