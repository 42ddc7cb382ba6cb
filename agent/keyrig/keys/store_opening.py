"""Opening key stores: by path, or a rig's with its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.base.errors import KeyStoreError
from keyrig.base.installed_extras import require_extra
from keyrig.base.outside_files import Unreadable, read_octets
from keyrig.base.zip_files import ZIP_BEGINS
from keyrig.keys.dcc_boxed_store import DCCBoxedKeyStore
from keyrig.keys.folder_store import FolderKeyStore
from keyrig.keys.key_bundle import BundleKeyStore

if TYPE_CHECKING:
    import os

    from keyrig.config.rig_file import PKISettings, TokenSettings
    from keyrig.keys.key_store import KeyStore
    from keyrig.keys.pem_keys import Passphrase


def open_keystore(path: str | os.PathLike[str], passphrase: Passphrase | None = None) -> KeyStore:
    """Open a folder of PEM files, a DCC Boxed `keystore.json`, or its key bundle.

    Args:
        path: The folder or file.
        passphrase: Returns the passphrase of an encrypted key; called when it is first used.

    Raises:
        KeyStoreError: There is nothing at `path`, or it cannot be read.
    """
    where = Path(path)
    if where.is_dir():
        return FolderKeyStore(where, passphrase)
    if where.is_file():
        return _of_file(where, passphrase)
    raise KeyStoreError(str(where), "no key store there", "make one with `keyrig pki init`")


def open_rig_keystore(
    data_folder: Path, settings: PKISettings, passphrase: Passphrase | None = None
) -> KeyStore:
    """Open the key store of a rig: its folder or file, and the tokens that it names.

    Args:
        data_folder: The folder that relative paths start from.
        settings: The rig's.
        passphrase: Returns the passphrase of an encrypted key; called when it is first used.

    Raises:
        KeyStoreError: There is no such folder or file, or a token cannot be used.
        SettingsError: What tokens need is not installed.
    """
    files = open_keystore(data_folder / settings.keystore, passphrase)
    if not settings.token:
        return files
    require_extra("pkcs11", f"token {settings.token[0].token} of [[pki.token]]")
    from keyrig.keys.mixed_store import MixedKeyStore  # noqa: PLC0415 - extra pkcs11
    from keyrig.keys.pkcs11_tokens import TokenPlace, token_at  # noqa: PLC0415 - extra pkcs11

    def place(token: TokenSettings) -> TokenPlace:
        return TokenPlace(
            library=token.library,
            label=token.token,
            serial=token.serial,
            read_pin=lambda: token.pin.read(data_folder).get_secret_value(),
            pin_kept_in=str(token.pin),
        )

    return MixedKeyStore(files, [token_at(place(each)) for each in settings.token])


def _of_file(path: Path, passphrase: Passphrase | None) -> KeyStore:
    try:
        octets = read_octets(path)
    except Unreadable as error:
        raise KeyStoreError(str(path), str(error), error.mend) from None
    if octets.startswith(ZIP_BEGINS):
        return BundleKeyStore(octets, str(path), passphrase)
    return DCCBoxedKeyStore(path, passphrase)
