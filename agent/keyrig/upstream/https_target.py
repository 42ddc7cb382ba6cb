"""Events over HTTPS, as batches of CloudEvents."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from typing_extensions import override

from gbcs.printable import printable
from keyrig.base.client_tls import client_context
from keyrig.base.errors import HTTPUnanswered, SettingsError
from keyrig.base.http_client import HTTPClient, retry_after_s
from keyrig.upstream.cloud_events import BATCH_CONTENT_TYPE, batch_octets
from keyrig.upstream.upstream_target import Answer, Target, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyrig.base.http_client import HTTPAnswer
    from keyrig.config.settings import HTTPSUpstream
    from keyrig.upstream.cloud_events import Outgoing

BODY_OCTETS_READ: Final = 4096
"""The octets of a response that are read; only its status and first words are used."""
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
"""Statuses whose cause is the address, the credentials or the server, not the events."""


class HTTPSTarget(Target):
    """Posts batches; a status of 2xx acknowledges the whole batch.

    Certificates and token are read anew with each connection, and the token once more where
    the one in use is refused. No redirect is followed and no proxy is used.

    Args:
        settings: The upstream.
        data_folder: The folder that relative paths are below.
        clock: Returns the present instant.
        monotonic: Returns seconds that never go back.
    """

    def __init__(
        self,
        settings: HTTPSUpstream,
        data_folder: Path,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._home = data_folder
        self._clock = clock
        self._monotonic = monotonic
        self._client: HTTPClient | None = None
        self._authorization: dict[str, SecretStr] = {}

    @property
    @override
    def batch_maximum(self) -> int:
        return self._settings.batch_maximum

    @override
    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        deadline = self._monotonic() + within_s
        try:
            answer = self._post(batch, deadline)
            if answer.trouble is Trouble.STOPPED:
                # A credential may have been replaced since the connection was made.
                used = self._authorization
                self.close()
                if used and self._read_authorization() != used:
                    answer = self._post(batch, deadline)
        except SettingsError as error:
            answer = Answer(trouble=Trouble.STOPPED, reason=printable(str(error)))
        except HTTPUnanswered as error:
            host = urlsplit(self._settings.url).hostname
            answer = Answer(trouble=Trouble.AGAIN, reason=f"{host}: {error.reason}")
        if answer.trouble in {Trouble.AGAIN, Trouble.STOPPED}:
            self.close()
        return answer

    @override
    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, batch: Sequence[Outgoing], deadline: float) -> Answer:
        if self._client is None:
            self._client = self._connected()
        given = self._client.post(
            "",
            batch_octets(batch),
            BATCH_CONTENT_TYPE,
            within_s=deadline - self._monotonic(),
            only_first_octets=BODY_OCTETS_READ,
        )
        return self._judged(batch, given)

    def _connected(self) -> HTTPClient:
        settings = self._settings
        context = None
        if urlsplit(settings.url).scheme == "https":
            context = client_context(
                self._home, settings.ca_file, settings.client_certificate, settings.client_key
            )
        self._authorization = self._read_authorization()
        return HTTPClient(
            settings.url,
            timeout_s=settings.timeout_s,
            headers=self._authorization,
            ssl_context=context,
            clock=self._monotonic,
        )

    def _read_authorization(self) -> dict[str, SecretStr]:
        reference = self._settings.bearer_token
        if reference is None:
            return {}
        token = reference.read(self._home).get_secret_value()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError(str(reference), "is no bearer token", "put the token there")
        return {"Authorization": SecretStr(f"Bearer {token}")}

    def _judged(self, batch: Sequence[Outgoing], given: HTTPAnswer) -> Answer:
        status = given.status
        if 200 <= status < 300:
            return Answer(accepted=frozenset(each.event.number for each in batch))
        said = printable(
            " ".join(given.octets.decode("utf-8", "replace").split()), REASON_CHARACTERS
        )
        reason = f"{status} {printable(given.phrase, REASON_CHARACTERS)}".rstrip()
        reason += f": {said}" if said else ""
        trouble = Trouble.REFUSED_WHOLE
        wait_s: float | None = None
        if status < 400:
            trouble, reason = Trouble.STOPPED, f"{reason}; redirects are not followed"
        elif status in _AGAIN or status >= 500:
            trouble = Trouble.AGAIN
            wait_s = retry_after_s(given.headers, self._clock())
        elif status in _STOPPED:
            trouble = Trouble.STOPPED
        elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            trouble = Trouble.TOO_LARGE
        return Answer(trouble=trouble, reason=reason, retry_after_s=wait_s)
