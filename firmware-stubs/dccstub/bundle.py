"""The bundle of organisations' certificates and keys that DCC Boxed gives its users."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from dccstub.key_folder import KeyFolder

BUNDLE_PATH: Final = "/assets/crypto/org-crypto.zip"
_FOLDER: Final = "org-crypto"
_EPOCH: Final = (2020, 1, 1, 0, 0, 0)
"""ZIP keeps a time with each file; the same keys give the same octets."""


def key_bundle(keys: KeyFolder) -> bytes:
    """Make the ZIP: `…/cert/<stem>.pem` and, for each key, `…/key/<stem>.key`.

    Devices' private keys are not in it, as no DCC has them.

    Source: DCC Boxed's public key store client (its `org-crypto.zip`).
    """
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for held in keys.held:
            pem = held.certificate.decoded.public_bytes(Encoding.PEM)
            _write(archive, f"{_FOLDER}/cert/{held.stem}.pem", pem)
            if held.key is not None and not held.is_device:
                _write(archive, f"{_FOLDER}/key/{held.stem}.key", held.key.pem.encode("ascii"))
    return octets.getvalue()


def _write(archive: zipfile.ZipFile, name: str, octets: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), octets, zipfile.ZIP_DEFLATED)
