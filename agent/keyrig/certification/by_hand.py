"""Certification by hand: requests leave as files, and certificates come back as files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keyrig.certification.authority import Later
from keyrig.errors import AuthorityUnavailable, SettingsError
from keyrig.private_files import SHARED_FOLDER, make_folder
from keyrig.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from keyrig.certification.authority import CertificationOrder
    from keyrig.certification.given import GivenCertificate

LIST_FILE: Final = "requests.txt"
_PEM: Final = ".csr.pem"
_DER: Final = ".csr.der"


class ByHandAuthority:
    """A person takes request files to an authority, and brings certificates back.

    Each request lies in the folder as PEM and DER; one text file has a line for each.

    Args:
        folder: The folder; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"by hand, in {folder}"

    def probe(self) -> str:
        """Check that the folder may be written; see `CertificateAuthority`."""
        trial = self.folder / f".{os.getpid()}.trial"
        try:
            make_folder(self.folder, SHARED_FOLDER)
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise self._unwritable(error.strerror or "cannot be written") from error
        return f"requests are written to {self.folder}"

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Write the request's files, where they are not there; see `CertificateAuthority`."""
        del now
        write_request(self.folder, order)
        return Later(f"to be certified by hand: {self.folder / order.stem}{_PEM}", str(self.folder))

    def _unwritable(self, reason: str) -> AuthorityUnavailable:
        return AuthorityUnavailable(
            f"folder {self.folder} of certification requests",
            reason,
            "make it writable, or name another as folder of [certification]",
        )


def write_request(folder: Path, order: CertificationOrder) -> None:
    """Write one request as PEM and DER, and its line in the list.

    Raises:
        AuthorityUnavailable: The folder cannot be written.
    """
    decoded = x509.load_der_x509_csr(order.request)
    try:
        make_folder(folder, SHARED_FOLDER)
        for suffix, octets in ((_PEM, decoded.public_bytes(Encoding.PEM)), (_DER, order.request)):
            path = folder / f"{order.stem}{suffix}"
            if not path.exists() or path.read_bytes() != octets:
                write_whole(path, octets, "a certification request")
        _write_list(folder, _listed(folder) | {order.stem: order.line})
    except (OSError, SettingsError) as error:
        reason = error.reason if isinstance(error, SettingsError) else error.strerror
        raise AuthorityUnavailable(
            f"folder {folder} of certification requests",
            reason or "cannot be written",
            "make it writable, or name another as folder of [certification]",
        ) from error


def remove_request(folder: Path, stem: str) -> None:
    """Remove the files and the line of a request that waits no more; missing ones do no harm."""
    try:
        for suffix in (_PEM, _DER):
            (folder / f"{stem}{suffix}").unlink(missing_ok=True)
        if (folder / LIST_FILE).exists():
            _write_list(folder, _listed(folder))
    except (OSError, SettingsError):
        # The ledger knows that the request waits no more; a file that stays is only untidy, and
        # a second certificate for its key is refused.
        return


def _listed(folder: Path) -> dict[str, str]:
    """Return the lines of the requests whose files are there, by stem."""
    try:
        lines = (folder / LIST_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    listed = (line.partition(f"{_PEM}: ") for line in lines)
    return {stem: line for stem, _, line in listed if line and (folder / f"{stem}{_PEM}").exists()}


def _write_list(folder: Path, lines: dict[str, str]) -> None:
    text = "".join(f"{stem}{_PEM}: {line}\n" for stem, line in sorted(lines.items()))
    write_whole(folder / LIST_FILE, text.encode(), "the list of certification requests")
