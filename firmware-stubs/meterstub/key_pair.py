"""A device's private key, which signs and agrees but does not show itself."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def generate_key() -> ec.EllipticCurvePrivateKey:
    """Generate a private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


class KeyPair:
    """One key pair of a device; meets `gbcs.key_holders.Signer` and `gbcs.key_holders.KeyAgreer`.

    Args:
        private_key: On P-256.

    Raises:
        ValueError: The key is on another curve.
    """

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private_key.curve, ec.SECP256R1):
            msg = f"a device's key is on P-256, not {private_key.curve.name}"
            raise ValueError(msg)  # noqa: TRY004 - the curve is a value, not a type, to the caller
        self.private_key = private_key

    @classmethod
    def from_pem(cls, pem: str) -> KeyPair:
        """Read an unencrypted PKCS#8 key.

        Raises:
            ValueError: `pem` is none, or not on P-256.
        """
        try:
            key = load_pem_private_key(pem.encode("ascii"), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            msg = "not an unencrypted private key in PEM"
            raise ValueError(msg) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            msg = "not an elliptic curve private key"
            raise ValueError(msg)  # noqa: TRY004 - the text is wrong, not the caller's type
        return cls(key)

    @cached_property
    def pem(self) -> str:
        """The private key as unencrypted PKCS#8, for the device's memory alone."""
        octets = self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return octets.decode("ascii")

    @cached_property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        return self.private_key.public_key()

    def sign(self, octets: bytes) -> bytes:
        """Sign `octets` by ECDSA on P-256 with SHA-256; returns 64 octets, r then s."""
        r, s = decode_dss_signature(self.private_key.sign(octets, _ECDSA))
        return r.to_bytes(32) + s.to_bytes(32)

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """Compute the shared secret Z of 32 octets with `peer` by ECDH on P-256."""
        return self.private_key.exchange(ec.ECDH(), peer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyPair) and self.public_key == other.public_key

    def __hash__(self) -> int:
        return hash(self.public_key.public_numbers())

    def __repr__(self) -> str:
        return "KeyPair(private key hidden)"
