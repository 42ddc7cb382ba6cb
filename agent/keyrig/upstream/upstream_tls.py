"""TLS towards an upstream: who may vouch for it, and how this agent is known to it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from keyrig.base.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.config.settings import TLSClient


def client_context(settings: TLSClient, home: Path) -> ssl.SSLContext:
    """Read the certificates that the settings name, as they are now.

    Args:
        settings: The upstream.
        home: What relative paths are below.

    Raises:
        SettingsError: A file is missing, or is not what it should be.
    """
    authorities = None if settings.ca_file is None else home / settings.ca_file
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise _unusable(f"ca_file {authorities}", error) from None
    if settings.client_certificate is not None and settings.client_key is not None:
        certificate, key = home / settings.client_certificate, home / settings.client_key
        try:
            # Without a password at hand, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:
            raise _unusable(f"client_certificate {certificate} with {key}", error) from None
    return context


def _unusable(where: str, error: OSError) -> SettingsError:
    reason = "not usable PEM, or a key with a passphrase"
    if not isinstance(error, ssl.SSLError):
        reason = f"cannot be read: {error.strerror}"
    return SettingsError(where, reason, "correct it in the settings")
