"""Certification by hand: requests leave as files, and certificates come back as files."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keyrig.base.clock import monotonic
from keyrig.base.errors import AuthorityUnavailable, LockUnusable, SettingsError
from keyrig.base.lock_files import open_lock, take_lock
from keyrig.base.private_files import SHARED_FOLDER, make_folder, write_whole
from keyrig.keys.certification_order import REQUEST_PEM, Later, request_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyrig.keys.certification_order import CertificationOrder
    from keyrig.keys.given_certificates import GivenCertificate

LIST_FILE: Final = "requests.txt"
LOCK_FILE: Final = ".requests.lock"
_DER: Final = ".csr.der"
_TRIAL_OCTETS: Final = 32 * 1024
"""More than the requests of a visit need, with their list."""
_LOCK_S: Final = 10.0


class ByHandAuthority:
    """An authority that is reached by hand: request files leave, certificate files come back.

    Each request lies in the folder as PEM and DER; one text file has a line for each.

    Args:
        folder: The folder; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"by hand, in {folder}"

    def probe(self) -> str:
        """Check that the folder may be written, or made; see `CertificateAuthority`."""
        above = (self.folder, *self.folder.parents)
        folder = next(each for each in above if each.exists() or each.is_symlink())
        try:
            with tempfile.TemporaryFile(dir=folder) as trial:
                # On a disk without room an empty file can still be made.
                trial.write(bytes(_TRIAL_OCTETS))
                trial.flush()
                os.fsync(trial.fileno())
        except OSError as error:
            raise _unwritable(self.folder, error.strerror) from error
        return f"requests are written to {self.folder}"

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Write the request's files unless they exist; see `CertificateAuthority`."""
        del now
        write_request(self.folder, order)
        file = request_file(self.folder, order.stem)
        return Later(f"to be certified by hand: {file}", str(self.folder))


def write_request(folder: Path, order: CertificationOrder) -> None:
    """Write one request as PEM and DER, and its line in the list.

    Raises:
        AuthorityUnavailable: The folder cannot be written.
    """
    decoded = x509.load_der_x509_csr(order.request)
    forms = ((REQUEST_PEM, decoded.public_bytes(Encoding.PEM)), (_DER, order.request))
    try:
        make_folder(folder, SHARED_FOLDER)
        with _alone(folder):
            for suffix, octets in forms:
                path = folder / f"{order.stem}{suffix}"
                if not path.exists() or path.read_bytes() != octets:
                    write_whole(path, octets, "a certification request")
            _write_list(folder, _listed(folder) | {order.stem: order.line})
    except SettingsError as error:
        raise _unwritable(folder, error.reason) from error
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error


def remove_request(folder: Path, stem: str) -> None:
    """Remove the files and the line of a request that waits no more; missing ones are ignored."""
    if not folder.is_dir():
        return
    try:
        with _alone(folder):
            # The file removed last lets an interrupted removal be found again.
            for suffix in (_DER, REQUEST_PEM):
                (folder / f"{stem}{suffix}").unlink(missing_ok=True)
            if (folder / LIST_FILE).exists():
                _write_list(folder, _listed(folder))
    except (OSError, SettingsError, AuthorityUnavailable):
        # The ledger knows that the request waits no more; a file that stays is only untidy, and
        # a second certificate for its key is refused.
        return


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: writers at the same time would lose lines of the list.

    Raises:
        AuthorityUnavailable: The lock cannot be had.
    """
    try:
        descriptor = open_lock(folder / LOCK_FILE)
    except LockUnusable as error:
        raise _unwritable(folder, f"{LOCK_FILE}: {error.reason}") from error
    try:
        until = monotonic() + _LOCK_S
        if not take_lock(descriptor, until=until, monotonic=monotonic, waiting=lambda: None):
            raise _unwritable(folder, f"another process has its lock {LOCK_FILE}")
        yield
    finally:
        os.close(descriptor)


def _unwritable(folder: Path, reason: str | None) -> AuthorityUnavailable:
    return AuthorityUnavailable(
        f"folder {folder} of certification requests",
        reason or "cannot be written",
        "have it ready to be written, or name another folder",
    )


def _listed(folder: Path) -> dict[str, str]:
    """Return the lines of the requests whose files exist, by stem."""
    try:
        lines = (folder / LIST_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    listed = (line.partition(f"{REQUEST_PEM}: ") for line in lines)
    return {stem: line for stem, _, line in listed if line and request_file(folder, stem).exists()}


def _write_list(folder: Path, lines: dict[str, str]) -> None:
    text = "".join(f"{stem}{REQUEST_PEM}: {line}\n" for stem, line in sorted(lines.items()))
    write_whole(folder / LIST_FILE, text.encode(), "the list of certification requests")
