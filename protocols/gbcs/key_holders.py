"""What the protocols ask of a private key, so that no private key is ever passed as octets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


class Signer(Protocol):
    """Holds a digital signature private key and signs with it."""

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        ...

    def sign(self, octets: bytes) -> bytes:
        """Sign `octets` by ECDSA on P-256 with SHA-256; returns 64 octets, r then s."""
        ...


class KeyAgreer(Protocol):
    """Holds a key agreement private key and agrees secrets with it."""

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        ...

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """Compute the shared secret Z of 32 octets with `peer` by ECDH on P-256."""
        ...


def public_octets(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the 65 octets 04, x, y of a public key's uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class SharedSecrets:
    """Computes each shared secret once per pair of keys and keeps it.

    Source: GBCS v0.8.1, 4.3.3 (static unified model, so Z depends on the two keys alone).
    """

    def __init__(self) -> None:
        self._secrets: dict[tuple[bytes, bytes], bytes] = {}
        self._points: dict[int, tuple[ec.EllipticCurvePublicKey, bytes]] = {}

    def secret(self, own: KeyAgreer, peer: ec.EllipticCurvePublicKey) -> bytes:
        """Return Z of `own` and `peer`, 32 octets."""
        pair = (self._point(own.public_key), self._point(peer))
        z = self._secrets.get(pair)
        if z is None:
            z = self._secrets[pair] = own.agree(peer)
        return z

    def _point(self, key: ec.EllipticCurvePublicKey) -> bytes:
        """Return the octets of a key object, written out once; the object is kept with them."""
        known = self._points.get(id(key))
        if known is None:
            known = self._points[id(key)] = (key, public_octets(key))
        return known[1]

    def __repr__(self) -> str:
        return f"SharedSecrets({len(self._secrets)} pairs)"
