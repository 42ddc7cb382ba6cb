"""Events over HTTPS, as batches of CloudEvents."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import httpx

from gbcs.printable import printable
from keyrig.base.errors import SettingsError
from keyrig.upstream.cloud_events import BATCH_CONTENT_TYPE, batch_octets
from keyrig.upstream.http_deadlines import DeadlineTransport
from keyrig.upstream.retry_after import retry_after_s
from keyrig.upstream.upstream_target import Answer, Trouble
from keyrig.upstream.upstream_tls import client_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyrig.config.settings import HTTPSUpstream
    from keyrig.upstream.cloud_events import Outgoing

BODY_OCTETS_READ: Final = 4096
"""How much of an answer is read; only its status and its first words are of interest."""
REASON_CHARACTERS: Final = 200

_AGAIN: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_STOPPED: Final = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.GONE,
    HTTPStatus.LENGTH_REQUIRED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.EXPECTATION_FAILED,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UPGRADE_REQUIRED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
"""What lies in address, credentials or server, whatever the events are."""


class HTTPSTarget:
    """Posts batches; a status of 2xx acknowledges all of a batch.

    Certificates and token are read anew with each connection, and the token once more where
    the one in use is refused. No redirect is followed and no proxy is used.

    Args:
        settings: The upstream.
        home: What relative paths are below.
        clock: Gives the present instant.
        monotonic: Gives seconds that never go back.
    """

    def __init__(
        self,
        settings: HTTPSUpstream,
        home: Path,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._home = home
        self._clock = clock
        self._monotonic = monotonic
        self._transport: DeadlineTransport | None = None
        self._client: httpx.Client | None = None
        self._authorization: str | None = None

    @property
    def batch_maximum(self) -> int:
        """See `Target`."""
        return self._settings.batch_maximum

    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        """See `Target`."""
        deadline = self._monotonic() + min(within_s, self._settings.timeout_s)
        body = batch_octets(batch)
        try:
            used, answer = self._post(batch, body, deadline)
            if answer.trouble is Trouble.STOPPED:
                # A credential may have been replaced since the connection was made.
                self.close()
                if used is not None and self._read_authorization() != used:
                    _, answer = self._post(batch, body, deadline)
        except SettingsError as error:
            answer = Answer(trouble=Trouble.STOPPED, reason=printable(str(error)))
        except httpx.HTTPError as error:
            answer = Answer(trouble=Trouble.AGAIN, reason=self._said(error))
        except (httpx.InvalidURL, UnicodeError):
            reason = f"{printable(self._settings.url)}: no address; correct it in the settings"
            answer = Answer(trouble=Trouble.STOPPED, reason=reason)
        if answer.trouble in {Trouble.AGAIN, Trouble.STOPPED}:
            self.close()
        return answer

    def close(self) -> None:
        """See `Target`."""
        if self._client is not None:
            self._client.close()
            self._client = self._transport = self._authorization = None

    def _post(
        self, batch: Sequence[Outgoing], body: bytes, deadline: float
    ) -> tuple[str | None, Answer]:
        client, transport = self._connected()
        transport.deadline = deadline
        headers = {"Content-Type": BATCH_CONTENT_TYPE}
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        with client.stream("POST", self._settings.url, content=body, headers=headers) as response:
            said = _beginning(response)
        return self._authorization, self._judged(batch, response, said)

    def _connected(self) -> tuple[httpx.Client, DeadlineTransport]:
        if self._client is None or self._transport is None:
            is_tls = httpx.URL(self._settings.url).scheme == "https"
            transport = DeadlineTransport(
                client_context(self._settings, self._home) if is_tls else None, self._monotonic
            )
            self._authorization = self._read_authorization()
            self._transport = transport
            self._client = httpx.Client(
                transport=transport,
                timeout=self._settings.timeout_s,
                headers={"User-Agent": f"keyrig/{version('keyrig')}"},
                follow_redirects=False,
                trust_env=False,
            )
        return self._client, self._transport

    def _read_authorization(self) -> str | None:
        reference = self._settings.bearer_token
        if reference is None:
            return None
        token = reference.read(self._home).get_secret_value()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError(str(reference), "is no bearer token", "put the token there")
        return f"Bearer {token}"

    def _judged(self, batch: Sequence[Outgoing], response: httpx.Response, said: str) -> Answer:
        status = response.status_code
        if response.is_success:
            return Answer(accepted=frozenset(each.event.number for each in batch))
        reason = f"{status} {printable(response.reason_phrase, REASON_CHARACTERS)}".rstrip()
        reason += f": {said}" if said else ""
        trouble = Trouble.REFUSED_WHOLE
        wait_s: float | None = None
        if response.is_redirect or status < 400:
            trouble, reason = Trouble.STOPPED, f"{reason}; redirects are not followed"
        elif status in _AGAIN or response.is_server_error:
            trouble = Trouble.AGAIN
            wait_s = retry_after_s(
                response.headers.get("Retry-After"), response.headers.get("Date"), self._clock()
            )
        elif status in _STOPPED:
            trouble = Trouble.STOPPED
        elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            trouble = Trouble.TOO_LARGE
        return Answer(trouble=trouble, reason=reason, retry_after_s=wait_s)

    def _said(self, error: httpx.HTTPError) -> str:
        """Say what went wrong with a connection; what the other side sent is not in it."""
        host = httpx.URL(self._settings.url).host
        if isinstance(error, httpx.TimeoutException):
            return f"{host}: no answer in time"
        if isinstance(error, httpx.RemoteProtocolError):
            return f"{host}: what it answers is no HTTP"
        return f"{host}: {printable(str(error), REASON_CHARACTERS) or type(error).__name__}"


def _beginning(response: httpx.Response) -> str:
    """Give the first words of an answer, in one line.

    A short answer is read to its end, so that the connection can be used again. Once the status
    is there, it counts, whatever becomes of the rest.
    """
    octets = b""
    try:
        for piece in response.iter_raw():
            octets += piece[:BODY_OCTETS_READ]
            if len(octets) >= BODY_OCTETS_READ:
                break
    except httpx.HTTPError:
        pass
    words = " ".join(octets[:BODY_OCTETS_READ].decode("utf-8", "replace").split())
    return printable(words, REASON_CHARACTERS)
