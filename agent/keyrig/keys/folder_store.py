"""A folder of PEM files named `<eui>-{ds,ka}.{pem,key}`, as the reference test data set has.

A pair that signs XML is named `<eui>-xml.{pem,key}`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyStoreError
from keyrig.base.outside_files import Unreadable, pem_of, read_octets
from keyrig.keys.key_store import Authority, IndexedKeyStore, LeftOut, StoredCertificate
from keyrig.keys.pem_keys import PEMKey

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.keys.pem_keys import Passphrase

CERTIFICATE_SUFFIX = ".pem"
KEY_SUFFIX = ".key"
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
PEM_MAXIMUM_OCTETS = 1 << 20
"""One certificate or key with whatever text a person keeps around it."""

_PARTY = re.compile(
    r"(?P<eui>[0-9a-f]{16})(?P<top_up>-pp(?!-xml))?-(?P<use>ds|ka|xml)(?:\.(?P<label>[0-9A-Za-z-]+))?"
)
_AUTHORITY = re.compile(
    r"(?P<authority>root|issuing|device-issuing)(?:\.(?P<label>[0-9A-Za-z-]+))?"
)
_XML = "xml"
_USES = {
    "ds": KeyUsage.DIGITAL_SIGNATURE,
    "ka": KeyUsage.KEY_AGREEMENT,
    _XML: KeyUsage.DIGITAL_SIGNATURE,
}


@dataclass(frozen=True, slots=True)
class FileStem:
    """The parsed name of a pair of files.

    The form is `<16 digits>[-pp]-{ds,ka}[.<label>]`, `<16 digits>-xml[.<label>]` or
    `{root,issuing,device-issuing}[.<label>]`; the label tells further certificates of one party
    and use apart.
    """

    entity: EntityIdentifier | None
    key_usage: KeyUsage
    cell_usage: CellUsage
    authority: Authority | None
    signs_xml: bool = False

    @classmethod
    def parse(cls, stem: str) -> FileStem | None:
        """Parse a stem; return None where it has another form."""
        if match := _AUTHORITY.fullmatch(stem):
            authority = Authority(match["authority"])
            return cls(None, KeyUsage.KEY_CERT_SIGN, CellUsage.MANAGEMENT, authority)
        if match := _PARTY.fullmatch(stem):
            cell_usage = CellUsage.PREPAYMENT_TOP_UP if match["top_up"] else CellUsage.MANAGEMENT
            use = match["use"]
            entity = EntityIdentifier.parse(match["eui"])
            return cls(entity, _USES[use], cell_usage, None, signs_xml=use == _XML)
        return None

    def contradiction(self, certificate: GBCSCertificate) -> str | None:
        """Return how `certificate` contradicts the name, or None."""
        if self.authority is not None:
            is_root = self.authority is Authority.ROOT
            expected = CertificateProfile.ROOT if is_root else CertificateProfile.ISSUING
            is_right = certificate.profile is expected
            return None if is_right else f"holds {certificate}, no {expected.value} certificate"
        if certificate.entity_id != self.entity or certificate.key_usage != self.key_usage:
            return f"holds the certificate of {certificate}, not of what its name says"
        # Folders from before XML signing had a name of its own have such pairs under -ds.
        if self.signs_xml and not certificate.signs_xml:
            return f"holds the certificate of {certificate}, which does not sign XML"
        return None


def file_stem(stored: StoredCertificate) -> str:
    """Return the stem, without a label, of a certificate's files in a folder."""
    if stored.authority is not None:
        return stored.authority.value
    certificate = stored.certificate
    if certificate.entity_id is None:
        raise KeyStoreError(stored.source, f"{certificate} identifies nobody", "leave it out")
    top_up = "-pp" if stored.cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
    use = "ds" if certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE else "ka"
    if certificate.signs_xml:
        use = _XML
    return f"{certificate.entity_id.stem}{top_up}-{use}"


class FolderKeyStore(IndexedKeyStore):
    """A folder of certificates in PEM with their private keys beside them.

    A file that cannot be used, or whose certificate contradicts its name, is left out and named
    in `problems`; files of other names are ignored.

    Args:
        directory: The folder.
        passphrase: Returns the passphrase of an encrypted key; called when it is first used.

    Raises:
        KeyStoreError: The folder cannot be read.
    """

    def __init__(self, directory: Path, passphrase: Passphrase | None = None) -> None:
        stored, problems = [], []
        for path in _certificate_files(directory):
            stem = FileStem.parse(path.name.removesuffix(CERTIFICATE_SUFFIX))
            if stem is None:
                continue
            try:
                certificate = read_certificate(path)
                contradiction = stem.contradiction(certificate)
            except (KeyStoreError, CertificateRejected) as error:
                problems.append(LeftOut.by(path.name, error))
                continue
            if contradiction is not None:
                problems.append(LeftOut(path.name, contradiction))
                continue
            stored.append(
                StoredCertificate(
                    certificate,
                    cell_usage=stem.cell_usage,
                    source=path.name,
                    authority=stem.authority,
                    key=key_beside(path, certificate, passphrase),
                )
            )
        super().__init__(str(directory), stored, problems)
        self._directory = directory

    @property
    def directory(self) -> Path:
        """The folder itself."""
        return self._directory


def _certificate_files(directory: Path) -> list[Path]:
    try:
        return sorted(p for p in directory.iterdir() if p.name.endswith(CERTIFICATE_SUFFIX))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise KeyStoreError(str(directory), reason, "name a folder that can be read") from error


def read_certificate(path: Path) -> GBCSCertificate:
    """Read a file with one certificate in PEM.

    Raises:
        KeyStoreError: It cannot be read, or holds anything but one certificate.
    """
    try:
        octets = read_octets(path, maximum=PEM_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise KeyStoreError(str(path), str(error), error.mend) from None
    return certificate_in(pem_of(octets), path.name)


def certificate_in(pem: bytes, name: str) -> GBCSCertificate:
    """Read PEM text that holds one certificate.

    Raises:
        KeyStoreError: It holds anything else; the text calls it `name`, and says whether it is
            no PEM, PEM of something else, no certificate, or one that is not read here, and why.
    """
    try:
        found = GBCSCertificate.all_from_pem(pem)
    except DecodeError as error:
        mend = (
            "put a certificate in PEM there"
            if error.layer == "PEM"
            else "have it written anew by whoever issued it, or leave it out"
        )
        raise KeyStoreError(name, str(error), mend) from error
    if len(found) != 1:
        raise KeyStoreError(name, f"{len(found)} certificates in one place", "keep one in each")
    return found[0]


def key_beside(
    path: Path, certificate: GBCSCertificate, passphrase: Passphrase | None
) -> PEMKey | None:
    """Return the private key beside a certificate's file, or None."""
    key_path = path.with_name(path.name.removesuffix(CERTIFICATE_SUFFIX) + KEY_SUFFIX)
    if not key_path.is_file():
        return None
    return PEMKey(
        partial(_key_text, key_path),
        certificate=certificate,
        name=str(key_path),
        passphrase=passphrase,
    )


def _key_text(path: Path) -> bytes:
    try:
        return read_octets(path, maximum=PEM_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise KeyStoreError(str(path), str(error), error.mend) from None


def write_certificate(directory: Path, stem: str, certificate: GBCSCertificate) -> None:
    """Write and sync a certificate in PEM to a file that must not exist yet.

    Raises:
        KeyStoreError: It exists or cannot be written.
    """
    pem = certificate.decoded.public_bytes(Encoding.PEM)
    write_new(directory / f"{stem}{CERTIFICATE_SUFFIX}", pem, PUBLIC_MODE)


def write_private_key(directory: Path, stem: str, pem: bytes) -> None:
    """Write a private key's PEM text, for its owner alone, to a file that must not exist yet.

    Raises:
        KeyStoreError: It exists or cannot be written.
    """
    write_new(directory / f"{stem}{KEY_SUFFIX}", pem, PRIVATE_MODE)


def write_new(path: Path, octets: bytes, mode: int) -> None:
    """Write and sync a file that must not exist yet, wholly or not at all.

    It is written beside its place and linked there, so that nothing half-written is ever found.

    Raises:
        KeyStoreError: It exists or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # An agent that was killed here may have had the same process number, as in a container.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - opened by its descriptor
                os.fchmod(descriptor, mode)
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            os.link(partial, path)
        finally:
            partial.unlink()
    except FileExistsError as error:
        raise KeyStoreError(
            str(path), "exists already", "move it away; nothing is overwritten"
        ) from error
    except OSError as error:
        reason = error.strerror or "cannot be written"
        raise KeyStoreError(str(path), reason, "check the folder's owner and space") from error
