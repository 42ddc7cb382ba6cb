"""The bundle of organisations' keys that DCC Boxed offers: a zip of PEM files."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from gbcs.certificates import CertificateProfile, GBCSCertificate
from gbcs.errors import CertificateRejected
from gbcs.printable import printable
from gbcs.roles import CellUsage, KeyUsage
from keyrig.errors import KeyStoreError
from keyrig.keystore.base import Authority, IndexedKeyStore, StoredCertificate
from keyrig.keystore.dcc_boxed import TOP_UP_NAME
from keyrig.keystore.folder import (
    CERTIFICATE_SUFFIX,
    KEY_SUFFIX,
    certificate_in,
    problem_of,
)
from keyrig.keystore.pem import PEMKey
from keyrig.outside_files import pem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyrig.keystore.pem import Passphrase

ENTRIES_MAXIMUM: Final = 2000
ENTRY_MAXIMUM_OCTETS: Final = 64 * 1024
BUNDLE_MAXIMUM_OCTETS: Final = 16 * 1024 * 1024
"""What all entries together may unpack to."""
CERTIFICATES_FOLDER: Final = "cert"
KEYS_FOLDER: Final = "key"
_ENCRYPTED: Final = 0x1
_ENTRY_SIGNATURE: Final = b"PK\x01\x02"
"""With what each entry of a zip's directory begins. Source: PKWARE APPNOTE 6.3.10, 4.3.12."""
ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""A zip's first entry, or the end of one without any. Source: PKWARE APPNOTE 6.3.10, 4.3."""
_COMPRESSIONS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Those that need little memory, whatever the zip says; bundles have no other."""
_NAME_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file stands: the folder above `cert` or `key`, and its name without a suffix."""

    above: PurePosixPath
    stem: str


class BundleKeyStore(IndexedKeyStore):
    """A zip with `…/cert/NAME.pem` and, for each whose key is known, `…/key/NAME.key`.

    It is read in memory: nothing of it is ever unpacked to a folder, so names in it are names
    and nothing else. A certificate that cannot be used is left out and named in `problems`. A
    key agreement key whose name has the word pp, prepay, prepayment or top-up serves prepayment
    top-ups; every other serves management.

    Args:
        octets: The zip.
        location: Where it is from, for people.
        passphrase: Asked for the passphrase of an encrypted key when it is first used.

    Raises:
        KeyStoreError: It is no zip, or is larger than such a bundle can be.

    Source: the bundle's form as the DCC's public clients for DCC Boxed read it.
    """

    def __init__(self, octets: bytes, location: str, passphrase: Passphrase | None = None) -> None:
        certificates: dict[_Place, bytes] = {}
        keys: dict[_Place, bytes] = {}
        for path, content in zip_entries(octets, location):
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
                problems.append(problem_of(name, error))
        if not stored and not problems:
            raise KeyStoreError(
                f"{location}: no certificate below a folder cert; name a DCC Boxed key bundle"
            )
        super().__init__(location, stored, problems)


def zip_entries(octets: bytes, location: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Return each file of a zip, refusing what unpacks to more than it may.

    Raises:
        KeyStoreError: It is no zip, is larger than such a bundle can be, or names a file twice.
    """
    if octets.count(_ENTRY_SIGNATURE) > ENTRIES_MAXIMUM:
        raise KeyStoreError(
            f"{location}: more than {ENTRIES_MAXIMUM} files; name a DCC Boxed key bundle"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as bundle:
            yield from _contents(bundle, location)
    except KeyStoreError:
        raise
    except Exception as error:  # noqa: BLE001 - see below
        # For a damaged zip, zipfile and zlib raise whatever their next step happens to meet.
        raise KeyStoreError(
            f"{location}: no zip that can be read ({type(error).__name__}); fetch it again"
        ) from None


def _contents(bundle: zipfile.ZipFile, location: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    left = BUNDLE_MAXIMUM_OCTETS
    seen: set[str] = set()
    for entry in bundle.infolist():
        if entry.is_dir():
            continue
        name = entry.filename.replace("\\", "/")
        if name in seen:
            raise KeyStoreError(
                f"{location}: {printable(name, _NAME_SHOWN)} stands twice; fetch the bundle again"
            )
        seen.add(name)
        content = _unpacked(bundle, entry, location)
        left -= len(content)
        if left < 0:
            raise KeyStoreError(
                f"{location}: unpacks to more than {BUNDLE_MAXIMUM_OCTETS} octets; name a DCC "
                "Boxed key bundle"
            )
        yield PurePosixPath(name), content


def _unpacked(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, location: str) -> bytes:
    name = printable(entry.filename, _NAME_SHOWN)
    if entry.flag_bits & _ENCRYPTED:
        raise KeyStoreError(f"{location}: {name} is encrypted; fetch the bundle as it is offered")
    if entry.compress_type not in _COMPRESSIONS:
        raise KeyStoreError(
            f"{location}: {name} is compressed by method {entry.compress_type}; zip it by deflate"
        )
    with bundle.open(entry) as file:
        # The size that the zip itself states is not believed.
        content = file.read(ENTRY_MAXIMUM_OCTETS + 1)
    if len(content) > ENTRY_MAXIMUM_OCTETS:
        raise KeyStoreError(
            f"{location}: {name} unpacks to more than {ENTRY_MAXIMUM_OCTETS} octets; name a DCC "
            "Boxed key bundle"
        )
    return content


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
    """Say which authority's a certificate is, or None for an organisation's or device's.

    Issuing authorities of organisations name their role; those of devices name none.
    """
    if certificate.profile is CertificateProfile.ROOT:
        return Authority.ROOT
    if certificate.profile is CertificateProfile.ISSUING:
        return Authority.DEVICE_ISSUING if certificate.role is None else Authority.ISSUING
    return None
