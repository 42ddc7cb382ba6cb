"""Opening a key store by what its path is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrig.errors import KeyStoreError
from keyrig.keystore.bundle import BundleKeyStore
from keyrig.keystore.dcc_boxed import DCCBoxedKeyStore
from keyrig.keystore.folder import FolderKeyStore
from keyrig.outside_files import Unreadable, read_octets

if TYPE_CHECKING:
    import os

    from keyrig.keystore.base import KeyStore
    from keyrig.keystore.pem import Passphrase

_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""A zip's first entry, or the end of one without any. Source: PKWARE APPNOTE 6.3.10, 4.3."""


def open_keystore(path: str | os.PathLike[str], passphrase: Passphrase | None = None) -> KeyStore:
    """Open a folder of PEM files, a DCC Boxed `keystore.json`, or its key bundle.

    Args:
        path: The folder or file.
        passphrase: Asked for the passphrase of an encrypted key when it is first used.

    Raises:
        KeyStoreError: There is nothing at `path`, or it cannot be read.
    """
    where = Path(path)
    if where.is_dir():
        return FolderKeyStore(where, passphrase)
    if where.is_file():
        return _of_file(where, passphrase)
    raise KeyStoreError(f"{where}: no key store there; make one with `keyrig pki init`")


def _of_file(path: Path, passphrase: Passphrase | None) -> KeyStore:
    try:
        octets = read_octets(path)
    except Unreadable as error:
        raise KeyStoreError(f"{path}: {error}; {error.mend}") from None
    if octets.startswith(_ZIP_STARTS):
        return BundleKeyStore(octets, str(path), passphrase)
    return DCCBoxedKeyStore(path, passphrase)
