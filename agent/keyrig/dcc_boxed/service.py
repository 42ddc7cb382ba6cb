"""The DCC's interface for as long as a run lasts: where requests go and answers come."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from keyrig.clock import utc_now
from keyrig.dcc_boxed.duis_client import DUISClient
from keyrig.dcc_boxed.http import HTTPClient, tls_context
from keyrig.dcc_boxed.inbox import Inbox
from keyrig.dcc_boxed.link import DCCService
from keyrig.dcc_boxed.receiver import Receiver
from keyrig.dcc_boxed.signing import (
    RequestSigner,
    ResponseVerifier,
    Unverified,
    response_certificates,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity import EntityIdentifier
    from keyrig.ledger.ledger import Ledger
    from keyrig.rig_keys import RigKeys
    from keyrig.settings import DCCBoxedSettings


def http_client(
    settings: DCCBoxedSettings, port: int, home: Path, *, with_api_key: bool = False
) -> HTTPClient:
    """Give the client of one of the box's ports.

    Args:
        settings: Where the box is.
        port: Which port.
        home: What relative paths are below.
        with_api_key: Whether requests carry the key of the SMKI services.

    Raises:
        SettingsError: A secret or a file that the settings name cannot be had.
    """
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    parameters = {}
    if with_api_key and settings.smki_api_key is not None:
        parameters["apikey"] = settings.smki_api_key.read(home)
    ca_file = None if settings.ca_file is None else home / settings.ca_file
    return HTTPClient(
        f"{'https' if settings.tls else 'http'}://{host}:{port}",
        timeout_s=settings.request_timeout_s,
        headers={name: secret.read(home) for name, secret in settings.headers.items()},
        parameters=parameters,
        ssl_context=tls_context(ca_file) if settings.tls else None,
    )


class OpenService:
    """Opens the DCC's interface, the port for its answers included; closes it again.

    Args:
        settings: Where the DCC's interface is.
        home: What relative paths in them are below.
        ledger: Keeps the documents.
        keys: Signs for parties, and has the certificates that are known.
        broker: The access control broker, whose certificate may sign answers.
        clock: Gives the present instant.

    Raises:
        SettingsError: A secret or a file that the settings name cannot be had.
        ReceiverUnusable: The port cannot be had.
    """

    def __init__(
        self,
        settings: DCCBoxedSettings,
        home: Path,
        *,
        ledger: Ledger,
        keys: RigKeys,
        broker: EntityIdentifier,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        folder = settings.response_certificates
        self._http = http_client(settings, settings.duis_port, home)
        verifier = ResponseVerifier(
            certificates=response_certificates(
                None if folder is None else home / folder,
                broker,
                keys.organisation_certificates(),
            ),
            unverified=Unverified(settings.unverified_responses),
        )
        inbox = Inbox(ledger, verifier, clock)
        self.receiver = Receiver(settings.receive, settings.receive_path, inbox.take)
        self.service = DCCService(
            client=DUISClient(self._http),
            signer=RequestSigner(keys, settings.signer),
            verifier=verifier,
            inbox=inbox,
            address=f"{settings.address}:{settings.duis_port}",
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.callback(self._http.close)
            opened.enter_context(self.receiver)
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
