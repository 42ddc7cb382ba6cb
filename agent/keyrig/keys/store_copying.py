"""Copying key stores into the folder form, wholly or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import check_profile
from gbcs.protocol_errors import CertificateRejected
from keyrig.base.errors import KeyLocked, KeyStoreError
from keyrig.base.private_files import make_folder
from keyrig.keys.dcc_boxed_store import DCCBoxedDocument
from keyrig.keys.folder_store import (
    PRIVATE_MODE,
    PUBLIC_MODE,
    file_stem,
    key_beside,
    read_certificate,
    write_certificate,
    write_new,
    write_private_key,
)
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyrig.keys.key_store import KeyStore, StoredCertificate
    from keyrig.keys.pem_keys import Passphrase

PRIVATE_DIRECTORY_MODE: Final = 0o700


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Yield a folder to be filled, which is then renamed to `directory`.

    Raises:
        KeyStoreError: `directory` exists and is not empty, or cannot be made.
    """
    _require_absent(directory)
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}.unfinished")
    try:
        make_folder(directory.parent)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        try:
            yield unfinished
            _sync_directory(unfinished)
            unfinished.rename(directory)
            _sync_directory(directory.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        _require_absent(directory)
        reason = error.strerror or "cannot be written"
        raise KeyStoreError(str(directory), reason, "choose a folder that can be made") from error


def _require_absent(directory: Path) -> None:
    is_taken = directory.exists() and not (directory.is_dir() and not any(directory.iterdir()))
    if is_taken or directory.is_symlink():
        raise KeyStoreError(str(directory), "exists already", "name a new folder, or move it away")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of copying a store: the place of each certificate, or the reason against it.

    Args:
        copied: The place of each new one.
        already_there: The place of each that existed.
        refused: Why one, or its private key, was not copied.
        without_place: Those that the form has no place for; not a fault.
    """

    copied: tuple[str, ...]
    already_there: tuple[str, ...]
    refused: tuple[str, ...]
    without_place: tuple[str, ...] = ()


def import_(source: Path, directory: Path, passphrase: Passphrase | None = None) -> CopyReport:
    """Copy a folder, a DCC Boxed `keystore.json` or its key bundle into the folder form.

    Keys go along.

    A certificate outside its profile, or whose key is another's, is refused and the rest copied.
    Existing files stay; a further certificate of one party and use is named with its
    serial number.

    Args:
        source: The folder or file.
        directory: The folder to copy into; made when it does not exist.
        passphrase: Returns the passphrase of an encrypted key; the copy stays encrypted.

    Raises:
        KeyStoreError: Either cannot be read or written, or both are the same.
    """
    store = open_keystore(source, passphrase)
    if directory.exists() and directory.samefile(source):
        raise KeyStoreError(
            str(directory), "a key store is not imported into itself", "name another folder"
        )
    return import_store(store, directory)


def import_store(store: KeyStore, directory: Path) -> CopyReport:
    """Copy an open key store into the folder form, keys included; as `import_`.

    Raises:
        KeyStoreError: The folder cannot be made or written.
    """
    try:
        make_folder(directory)
    except OSError as error:
        reason = error.strerror or "cannot be made"
        raise KeyStoreError(str(directory), reason, "name a folder") from error
    return _copy(store, directory, private=True)


def export(store: KeyStore, to: Path, *, private: bool) -> CopyReport:
    """Copy a key store into a new folder, wholly or not at all.

    Args:
        store: The key store.
        to: The folder to make; it must not exist, or be empty.
        private: Whether private keys go along; encrypted ones stay so.

    Raises:
        KeyStoreError: It cannot be written, or `to` is not empty.
    """
    with whole_directory(to) as new:
        return _copy(store, new, private=private)


def export_dcc_boxed(store: KeyStore, to: Path, *, private: bool) -> CopyReport:
    """Copy a key store into a new DCC Boxed `keystore.json`, wholly or not at all.

    The form has no place for authorities. A private key that is encrypted or stays in a token
    is left out and named; its certificate is there all the same.

    Args:
        store: The key store; no passphrase is asked for.
        to: The file to make, for its owner alone where it has private keys.
        private: Whether private keys go along.

    Raises:
        KeyStoreError: It exists already or cannot be written.
    """
    document = DCCBoxedDocument()
    copied: list[str] = []
    refused = [str(each) for each in store.problems]
    without_place: list[str] = []
    has_keys = False
    for stored in store.stored():
        if stored.authority is not None:
            without_place.append(
                f"{stored.source}: a keystore.json has no place for an authority's certificate"
            )
            continue
        try:
            check_profile(stored.certificate)
            key = _plain_key(stored, refused) if private else None
            copied.append(document.add(stored, key))
        except KeyStoreError as error:
            refused.append(str(error))
            continue
        except CertificateRejected as error:
            refused.append(f"{stored.source}: {error}")
            continue
        has_keys |= key is not None
    write_new(to, document.octets(), PRIVATE_MODE if has_keys else PUBLIC_MODE)
    return CopyReport(tuple(copied), (), tuple(refused), tuple(without_place))


def _plain_key(stored: StoredCertificate, refused: list[str]) -> str | None:
    """Return the PEM text of a private key; add one that cannot be copied to `refused`."""
    if stored.key is None:
        return None
    texts: list[bytes] = []
    try:
        stored.key.write_to(texts.append)
    except KeyLocked as error:
        refused.append(
            f"{error.where}: the private key is encrypted, and a keystore.json has no place for "
            "its passphrase; its certificate alone is copied"
        )
    except KeyStoreError as error:
        if not stored.key.stays:
            raise
        refused.append(str(error))
    return texts[0].decode("ascii") if texts else None


def _copy(store: KeyStore, directory: Path, *, private: bool) -> CopyReport:
    copied: list[str] = []
    already_there: list[str] = []
    refused = [str(each) for each in store.problems]
    for stored in store.stored():
        try:
            check_profile(stored.certificate)
            stem, is_new = _place(stored, directory)
            # The key first, so that no certificate is there without its key.
            has_new_key = private and _copy_key(stored, directory, stem, refused)
            if is_new:
                write_certificate(directory, stem, stored.certificate)
            (copied if is_new or has_new_key else already_there).append(stem)
        except (KeyStoreError, CertificateRejected) as error:
            refused.append(f"{stored.source}: {error}")
    return CopyReport(tuple(copied), tuple(already_there), tuple(refused))


def _copy_key(stored: StoredCertificate, directory: Path, stem: str, refused: list[str]) -> bool:
    """Copy a private key unless it exists; return True if it was copied.

    One that cannot leave the place where it is is named in `refused`, and its certificate is
    copied all the same: there is nothing to wait for.
    """
    if stored.key is None:
        return False
    there = key_beside(directory / f"{stem}.pem", stored.certificate, None)
    if there is not None:
        there.check()
        return False
    try:
        stored.key.write_to(partial(write_private_key, directory, stem))
    except KeyStoreError as error:
        if not stored.key.stays:
            raise
        refused.append(str(error))
        return False
    return True


def _place(stored: StoredCertificate, directory: Path) -> tuple[str, bool]:
    """Return a certificate's stem in a folder, and whether it has yet to be written."""
    stem = file_stem(stored)
    for candidate in (stem, f"{stem}.{stored.certificate.serial:032x}"):
        path = directory / f"{candidate}.pem"
        if not path.exists():
            return candidate, True
        if read_certificate(path) == stored.certificate:
            return candidate, False
    raise KeyStoreError(str(path), "exists already and holds another certificate", "move it away")


def add_certificate(store: KeyStore, stored: StoredCertificate) -> bool:
    """Add a certificate, without a private key, to a key store that is a folder.

    Returns:
        True if it was added, False if it existed.

    Raises:
        KeyStoreError: It is no folder, or cannot be written.
    """
    directory = store.directory
    if directory is None:
        raise KeyStoreError(
            store.location, "no folder to add a certificate to", "import it into one"
        )
    stem, is_new = _place(stored, directory)
    if is_new:
        write_certificate(directory, stem, stored.certificate)
    return is_new
