"""The key by which a rig seals its evidence."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from keyrig.base.errors import KeyStoreError
from keyrig.base.outside_files import Unreadable, pem_of, read_octets
from keyrig.base.private_files import make_folder
from keyrig.keys.folder_store import write_private_key

if TYPE_CHECKING:
    from pathlib import Path

_ECDSA: Final = ec.ECDSA(hashes.SHA256())


class EvidenceKey:
    """Signs evidence; the private key is on NIST P-256 and never leaves this object."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private

    @property
    def public_der(self) -> bytes:
        """The public key as SubjectPublicKeyInfo in DER."""
        return self._private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, octets: bytes) -> bytes:
        """Return the ECDSA signature, with SHA-256, in DER."""
        return self._private.sign(octets, _ECDSA)


def evidence_key(folder: Path, rig_name: str) -> EvidenceKey:
    """Return a rig's evidence key; it is made when first needed, and never overwritten.

    Args:
        folder: Where the rigs' own files are.
        rig_name: The rig.

    Raises:
        KeyStoreError: It cannot be read or made, or others may read it.
    """
    stem = f"{rig_name}.evidence"
    path = folder / f"{stem}.key"
    if not path.exists():
        make_folder(folder)
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            write_private_key(folder, stem, pem)
        except KeyStoreError:
            # Another agent made it meanwhile; theirs is the rig's.
            if not path.exists():
                raise
    return _read(path)


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a public key's or certificate's DER, 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def read_public_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Read a public key on NIST P-256.

    Raises:
        ValueError: It is something else.
    """
    key = load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("no key on NIST P-256")
    return key


def verify_seal(key: ec.EllipticCurvePublicKey, signature: bytes, octets: bytes) -> None:
    """Verify a seal, an ECDSA signature in DER, by a key.

    Raises:
        InvalidSignature: It does not verify.
    """
    key.verify(signature, octets, _ECDSA)


def _read(path: Path) -> EvidenceKey:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyStoreError(str(path), "others may read this private key", "chmod it to 600")
        private = load_pem_private_key(pem_of(read_octets(path)), None)
    except OSError as error:
        raise KeyStoreError(str(path), str(error.strerror), "check its owner") from None
    except Unreadable as error:
        raise KeyStoreError(str(path), str(error), "check its owner") from None
    except (TypeError, ValueError):
        raise KeyStoreError(str(path), "no private key in PEM", "restore it from a copy") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise KeyStoreError(str(path), "no key on NIST P-256", "restore it from a copy")
    return EvidenceKey(private)
