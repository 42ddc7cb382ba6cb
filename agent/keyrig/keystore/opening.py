"""Opening a key store by what its path is."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.errors import KeyStoreError
from keyrig.keystore.bundle import BundleKeyStore
from keyrig.keystore.dcc_boxed import DCCBoxedKeyStore
from keyrig.keystore.folder import FolderKeyStore

if TYPE_CHECKING:
    import os

    from keyrig.keystore.base import KeyStore
    from keyrig.keystore.pem import Passphrase


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
        if zipfile.is_zipfile(where):
            return BundleKeyStore(where.read_bytes(), str(where), passphrase)
        return DCCBoxedKeyStore(where, passphrase)
    raise KeyStoreError(f"{where}: no key store there; make one with `keyrig pki init`")
