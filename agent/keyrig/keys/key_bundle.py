"""The bundle of organisations' keys that DCC Boxed offers: a zip of PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyStoreError
from keyrig.base.outside_files import Unreadable, pem_of
from keyrig.base.zip_files import zip_entries
from keyrig.keys.dcc_boxed_store import TOP_UP_NAME
from keyrig.keys.folder_store import (
    CERTIFICATE_SUFFIX,
    KEY_SUFFIX,
    certificate_in,
)
from keyrig.keys.key_store import Authority, IndexedKeyStore, LeftOut, StoredCertificate
from keyrig.keys.pem_keys import PEMKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from keyrig.keys.pem_keys import Passphrase

ENTRY_MAXIMUM_OCTETS: Final = 64 * 1024
CERTIFICATES_FOLDER: Final = "cert"
KEYS_FOLDER: Final = "key"
_NAME_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class _Place:
    """A file's place: the folder above `cert` or `key`, and its name without a suffix."""

    above: PurePosixPath
    stem: str


class BundleKeyStore(IndexedKeyStore):
    """A zip with `…/cert/NAME.pem` and, for each whose key is known, `…/key/NAME.key`.

    It is read in memory: nothing of it is ever unpacked to a folder, so names in it are
    never paths on a disk. A certificate that cannot be used is left out and named in `problems`. A
    key agreement key whose name has the word pp, prepay, prepayment or top-up serves prepayment
    top-ups; every other serves management.

    Args:
        octets: The zip.
        location: Its origin, for people.
        passphrase: Returns the passphrase of an encrypted key; called when it is first used.

    Raises:
        KeyStoreError: It is no zip, or is larger than such a bundle can be.

    Source: the bundle's form as the DCC's public clients for DCC Boxed read it.
    """

    def __init__(self, octets: bytes, location: str, passphrase: Passphrase | None = None) -> None:
        certificates: dict[_Place, bytes] = {}
        keys: dict[_Place, bytes] = {}
        for path, content in _entries(octets, location):
            place = _Place(path.parent.parent, path.stem)
            if path.parent.name == CERTIFICATES_FOLDER and path.suffix == CERTIFICATE_SUFFIX:
                certificates[place] = content
            elif path.parent.name == KEYS_FOLDER and path.suffix == KEY_SUFFIX:
                keys[place] = content
        stored, problems = [], []
        for place, pem in sorted(certificates.items(), key=lambda item: str(item[0])):
            name = printable(f"{place.above}/{place.stem}", _NAME_SHOWN)
            try:
                stored.append(_stored(pem, name, keys.get(place), passphrase))
            except (KeyStoreError, CertificateRejected, ValueError) as error:
                problems.append(LeftOut.by(name, error))
        if not stored and not problems:
            raise KeyStoreError(
                str(location), "no certificate below a folder cert", "name a DCC Boxed key bundle"
            )
        super().__init__(location, stored, problems)


def _entries(octets: bytes, location: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield each file of a bundle.

    Raises:
        KeyStoreError: As `zip_entries`.
    """
    try:
        yield from zip_entries(octets, entry_maximum=ENTRY_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise KeyStoreError(str(location), error.reason, error.mend) from None


def _stored(
    pem: bytes, name: str, key_pem: bytes | None, passphrase: Passphrase | None
) -> StoredCertificate:
    certificate = certificate_in(pem_of(pem), name)
    key = None
    if key_pem is not None:
        key = PEMKey(_reader(key_pem), certificate=certificate, name=name, passphrase=passphrase)
    is_top_up = certificate.key_usage == KeyUsage.KEY_AGREEMENT and TOP_UP_NAME.search(name)
    return StoredCertificate(
        certificate,
        cell_usage=CellUsage.PREPAYMENT_TOP_UP if is_top_up else CellUsage.MANAGEMENT,
        source=name,
        authority=authority_of(certificate),
        key=key,
    )


def _reader(octets: bytes) -> Callable[[], bytes]:
    return lambda: octets


def authority_of(certificate: GBCSCertificate) -> Authority | None:
    """Return the authority of a certificate, or None for an organisation's or device's.

    Issuing authorities of organisations name their role; those of devices name none.
    """
    if certificate.profile is CertificateProfile.ROOT:
        return Authority.ROOT
    if certificate.profile is CertificateProfile.ISSUING:
        return Authority.DEVICE_ISSUING if certificate.role is None else Authority.ISSUING
    return None
