"""The stand-in's certificates and keys: a folder of PEM files, and the bundle made of it.

The names are those of the reference test data set, `<eui>[-pp]-{ds,ka}.{pem,key}`, the
authorities' `root`, `issuing` and `device-issuing`, and `<eui>-xml` for a key that signs XML.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import DecodeError, KeyrigError
from gbcs.roles import CellUsage
from meterstub.key_pair import KeyPair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

_STEM: Final = re.compile(
    r"(?P<eui>[0-9a-f]{16})(?P<top_up>-pp)?-(?P<use>ds|ka|xml)(?:\.[0-9A-Za-z-]+)?"
    r"|(?:root|issuing|device-issuing)(?:\.[0-9A-Za-z-]+)?"
)
XML_SIGNING: Final = "xml"
"""The use of a key that signs XML alone; without one a party signs with its `ds` key."""


BUNDLE_PATH: Final = "/assets/crypto/org-crypto.zip"
_FOLDER: Final = "org-crypto"
_EPOCH: Final = (2020, 1, 1, 0, 0, 0)
"""ZIP keeps a time with each file; the same keys give the same octets."""


class KeyFolderUnusable(KeyrigError):
    """A folder of keys cannot be read, lacks a key, or has one that is not its certificate's."""


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """A certificate of the folder.

    Args:
        stem: The name of its files without suffix.
        certificate: What the file holds.
        use: `ds`, `ka` or `xml`, the last by its certificate too; "" for an authority's.
        cell_usage: What its key serves.
        key: Its private key, or None where it is not there.
    """

    stem: str
    certificate: GBCSCertificate
    use: str
    cell_usage: CellUsage
    key: KeyPair | None = field(repr=False)

    @property
    def owner(self) -> EntityIdentifier | None:
        """Whose it is by its file's name; None for an authority's."""
        return EntityIdentifier.parse(self.stem[:16]) if self.use else None

    @property
    def signs_xml(self) -> bool:
        """Whether its key may sign XML: an organisation's for signatures."""
        return self.use in {"ds", XML_SIGNING} and not self.is_device

    @property
    def is_device(self) -> bool:
        """Whether it is a device's."""
        return self.certificate.profile is CertificateProfile.DEVICE


class KeyFolder:
    """Certificates and keys by party and use.

    Where several serve one party and use, the one whose validity starts last is taken.

    Args:
        held: What it holds.
    """

    def __init__(self, held: Iterable[HeldCertificate]) -> None:
        self.held = tuple(held)

    @classmethod
    def read(cls, directory: Path) -> KeyFolder:
        """Read every certificate of a folder, and the private keys beside them.

        Files of other names are left alone.

        Raises:
            KeyFolderUnusable: A file cannot be read, or a key is not that of its certificate.
        """
        try:
            paths = sorted(directory.glob("*.pem"))
            return cls(
                _read_one(path, match) for path in paths if (match := _STEM.fullmatch(path.stem))
            )
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise KeyFolderUnusable(f"{directory}: {reason}; name a folder of keys") from error

    def certificate(
        self,
        party: EntityIdentifier,
        use: str,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
    ) -> GBCSCertificate:
        """Return the certificate of a party for one use.

        Raises:
            KeyFolderUnusable: There is none.
        """
        return self._find(party, use, cell_usage, with_key=False).certificate

    def key(
        self,
        party: EntityIdentifier,
        use: str,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
    ) -> KeyPair:
        """Return the private key of a party for one use.

        Raises:
            KeyFolderUnusable: There is none.
        """
        found = self._find(party, use, cell_usage, with_key=True).key
        assert found is not None
        return found

    def xml_signing(self, party: EntityIdentifier) -> tuple[KeyPair, GBCSCertificate]:
        """Return the key that signs a party's XML, and its certificate.

        Raises:
            KeyFolderUnusable: There is none.
        """
        uses = [each.use for each in self.held if each.owner == party and each.key is not None]
        use = XML_SIGNING if XML_SIGNING in uses else "ds"
        found = self._find(party, use, CellUsage.MANAGEMENT, with_key=True)
        assert found.key is not None
        return found.key, found.certificate

    def signs_xml_for(self, party: EntityIdentifier) -> list[GBCSCertificate]:
        """Return the certificates by which a party's XML may be signed."""
        return [each.certificate for each in self.held if each.owner == party and each.signs_xml]

    def _find(
        self, party: EntityIdentifier, use: str, cell_usage: CellUsage, *, with_key: bool
    ) -> HeldCertificate:
        found = [
            each
            for each in self.held
            if each.owner == party and each.use == use and each.cell_usage is cell_usage
        ]
        if with_key:
            found = [each for each in found if each.key is not None]
        if not found:
            what = "private key" if with_key else "certificate"
            raise KeyFolderUnusable(
                f"no {what} {party.stem}-{use} is there; put it into the folder"
            )
        return max(found, key=_seniority)

    def __repr__(self) -> str:
        return f"KeyFolder({len(self.held)} certificates)"


def _seniority(held: HeldCertificate) -> tuple[datetime, int]:
    return held.certificate.not_before, held.certificate.serial


def _read_one(path: Path, match: re.Match[str]) -> HeldCertificate:
    try:
        certificate = GBCSCertificate.all_from_pem(path.read_bytes())[0]
    except DecodeError as error:
        raise KeyFolderUnusable(f"{path.name}: {error}; replace it") from error
    key_path = path.with_suffix(".key")
    key = _read_key(key_path, certificate) if key_path.is_file() else None
    cell_usage = CellUsage.PREPAYMENT_TOP_UP if match["top_up"] else CellUsage.MANAGEMENT
    use = match["use"] or ""
    if use and certificate.signs_xml:
        use = XML_SIGNING
    return HeldCertificate(path.stem, certificate, use, cell_usage, key)


def _read_key(path: Path, certificate: GBCSCertificate) -> KeyPair:
    try:
        key = KeyPair.from_pem(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise KeyFolderUnusable(f"{path.name}: {error}; replace it") from error
    if key.public_key != certificate.public_key:
        raise KeyFolderUnusable(f"{path.name}: not the key of its certificate; replace it")
    return key


def key_bundle(keys: KeyFolder) -> bytes:
    """Make the ZIP: `…/cert/<stem>.pem` and, for each key, `…/key/<stem>.key`.

    Devices' private keys are not in it, as no DCC has them.

    Source: DCC Boxed's public key store client (its `org-crypto.zip`).
    """
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for held in keys.held:
            pem = held.certificate.decoded.public_bytes(Encoding.PEM)
            _write_entry(archive, f"{_FOLDER}/cert/{held.stem}.pem", pem)
            if held.key is not None and not held.is_device:
                key = held.key.pem.encode("ascii")
                _write_entry(archive, f"{_FOLDER}/key/{held.stem}.key", key)
    return octets.getvalue()


def _write_entry(archive: zipfile.ZipFile, name: str, octets: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), octets, zipfile.ZIP_DEFLATED)
