"""Key holders for tests, with keys that are made in the run or read from a vector."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class HeldKey:
    """A private key that signs and agrees, and counts how often it agreed."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=_new_key, repr=False)
    agreements: int = 0

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.private.public_key()

    def sign(self, octets: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(octets, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        self.agreements += 1
        return self.private.exchange(ec.ECDH(), peer)
