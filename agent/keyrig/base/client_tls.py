"""TLS as a client: the authorities that are trusted, and the certificate that is presented."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from keyrig.base.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def client_context(
    data_folder: Path, ca_file: str | None, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """Return a client's TLS context, made from the files as they are now.

    Args:
        data_folder: The folder that relative paths start from.
        ca_file: The authorities, PEM; the system's own where None.
        certificate: The client certificate to present, PEM; none where None.
        key: The private key to it, PEM, without a passphrase.

    Raises:
        SettingsError: A file is missing, or is not what it should be.
    """
    authorities = None if ca_file is None else data_folder / ca_file
    where = f"ca_file {authorities}"
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate is not None and key is not None:
            where = f"client_certificate {data_folder / certificate} with {data_folder / key}"
            # Without a password at hand, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(data_folder / certificate, data_folder / key, password="")
    except OSError as error:
        reason = "not usable PEM, or a key with a passphrase"
        if not isinstance(error, ssl.SSLError):
            reason = f"cannot be read: {error.strerror}"
        raise SettingsError(where, reason, "correct it in the settings") from None
    return context
