"""The DCC's interface by the settings: client, signer, verifier and inbox."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyrig.base.client_tls import client_context
from keyrig.base.errors import DCCUnreachable, SettingsError
from keyrig.base.http_client import HTTPClient
from keyrig.config.settings import load_settings
from keyrig.transports.dcc.dcc_inbox import Inbox
from keyrig.transports.dcc.duis_client import DUISClient
from keyrig.transports.dcc.duis_signing import (
    RequestSigner,
    ResponseVerifier,
    Unverified,
    response_certificates,
)
from keyrig.transports.dcc.smki_client import API_KEY_PARAMETER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.settings import DCCBoxedSettings
    from keyrig.keys.rig_keys import RigKeys
    from keyrig.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class DCCService:
    """The parts that requests and answers go through.

    Args:
        client: Posts requests.
        signer: Signs them.
        verifier: Verifies answers.
        inbox: Receives what is posted.
        address: The address of the DCC's interface, for people.
    """

    client: DUISClient
    signer: RequestSigner
    verifier: ResponseVerifier
    inbox: Inbox
    address: str


def dcc_boxed_settings() -> DCCBoxedSettings:
    """Return the settings of DCC Boxed.

    Raises:
        SettingsError: There are none, or they cannot be read.
    """
    settings = load_settings().dcc_boxed
    if settings is None:
        raise SettingsError(
            "the settings", "they name no DCC Boxed", "give [dcc_boxed] address = … there"
        )
    return settings


def duis_client(settings: DCCBoxedSettings, data_folder: Path) -> HTTPClient:
    """Return the client of the DUIS services; relative paths in the settings are below `home`.

    Raises:
        SettingsError: A secret or a file that the settings name cannot be read.
    """
    return _client(settings, settings.duis_port, data_folder, tls=settings.tls)


def smki_client(settings: DCCBoxedSettings, data_folder: Path) -> HTTPClient:
    """Return the client of the SMKI services, with their key; else as `duis_client`.

    Raises:
        SettingsError: As `duis_client`.
    """
    return _client(settings, settings.smki_port, data_folder, tls=settings.tls, is_smki=True)


def bundle_client(settings: DCCBoxedSettings, data_folder: Path) -> HTTPClient:
    """Return the client of the key bundle, which is served without TLS; else as `duis_client`.

    Raises:
        SettingsError: As `duis_client`.
    """
    return _client(settings, settings.bundle_port, data_folder, tls=False)


def _client(
    settings: DCCBoxedSettings, port: int, data_folder: Path, *, tls: bool, is_smki: bool = False
) -> HTTPClient:
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    parameters = {}
    if is_smki and settings.smki_api_key is not None:
        parameters[API_KEY_PARAMETER] = settings.smki_api_key.read(data_folder)
    return HTTPClient(
        f"{'https' if tls else 'http'}://{host}:{port}",
        timeout_s=settings.request_timeout_s,
        headers={name: secret.read(data_folder) for name, secret in settings.headers.items()},
        parameters=parameters,
        ssl_context=client_context(data_folder, settings.ca_file) if tls else None,
        unanswered=DCCUnreachable,
    )


@contextmanager
def connected(
    settings: DCCBoxedSettings,
    data_folder: Path,
    *,
    ledger: Ledger,
    keys: RigKeys,
    broker: EntityIdentifier,
    clock: Callable[[], datetime],
) -> Iterator[DCCService]:
    """Yield the parts of the interface; nothing is sent, and no port is opened.

    Args:
        settings: The settings of DCC Boxed.
        data_folder: The folder that relative paths in them start from.
        ledger: Records the documents.
        keys: Signs for parties, and has the known certificates.
        broker: The access control broker, whose certificate may sign answers.
        clock: Returns the present instant.

    Raises:
        SettingsError: A secret or a file that the settings name cannot be read.
    """
    folder = settings.response_certificates
    known = keys.organisation_certificates()
    verifier = ResponseVerifier(
        certificates=response_certificates(
            None if folder is None else data_folder / folder, broker, known
        ),
        unverified=Unverified(settings.unverified_responses),
    )
    with duis_client(settings, data_folder) as http:
        yield DCCService(
            client=DUISClient(http),
            signer=RequestSigner(keys, settings.signer, load_settings().duis.serials),
            verifier=verifier,
            inbox=Inbox(ledger, verifier, clock),
            address=f"{settings.address}:{settings.duis_port}",
        )
