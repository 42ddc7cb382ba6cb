"""Stands for the mathematics of certificate-based key establishment, which is not done here.

Real devices use ECQV certificates and ECMQV on sect283k1 with keys that only they hold. Here the
shared secret follows from what is sent in the clear, so that both ends get the same, and it
protects nothing. Sizes and layout are those of suite 2.

Source: ZSE 1.4, annex C, for sizes and layout.
"""

from __future__ import annotations

import hashlib
from typing import Final

from zse.key_establishment import (
    ADDRESS_OCTETS,
    EPHEMERAL_DATA_OCTETS,
    IDENTITY_OCTETS,
    ISSUER_OFFSET,
    MAC_OCTETS,
    SUBJECT_OFFSET,
)

ISSUER: Final = 0x7465_7374_5345_4341
"""The made-up certification authority of emulated nodes."""
LINK_KEY_OCTETS: Final = 16


def emulated_identity(eui64: int, *, issuer: int = ISSUER) -> bytes:
    """Make a node's implicit certificate; nobody has signed it."""
    filler = hashlib.sha512(b"emulated certificate" + eui64.to_bytes(8, "big")).digest()
    identity = bytearray((filler * 2)[:IDENTITY_OCTETS])
    identity[ISSUER_OFFSET : ISSUER_OFFSET + ADDRESS_OCTETS] = issuer.to_bytes(8, "big")
    identity[SUBJECT_OFFSET : SUBJECT_OFFSET + ADDRESS_OCTETS] = eui64.to_bytes(8, "big")
    return bytes(identity)


def emulated_ephemeral_data(seed: bytes) -> bytes:
    """Make what stands for an ephemeral public key."""
    return hashlib.sha512(b"emulated ephemeral" + seed).digest()[:EPHEMERAL_DATA_OCTETS]


class EmulatedSecret:
    """What both ends compute from both certificates and both ephemeral keys.

    Args:
        initiator: The initiator's certificate and ephemeral data.
        responder: The responder's.
    """

    def __init__(self, *, initiator: tuple[bytes, bytes], responder: tuple[bytes, bytes]) -> None:
        self._secret = hashlib.sha256(b"".join((*initiator, *responder))).digest()

    @property
    def initiator_mac(self) -> bytes:
        """The initiator's key confirmation."""
        return self._derive(b"initiator", MAC_OCTETS)

    @property
    def responder_mac(self) -> bytes:
        """The responder's key confirmation."""
        return self._derive(b"responder", MAC_OCTETS)

    @property
    def link_key(self) -> bytes:
        """The link key."""
        return self._derive(b"link key", LINK_KEY_OCTETS)

    def _derive(self, label: bytes, octets: int) -> bytes:
        return hashlib.sha256(label + self._secret).digest()[:octets]

    def __repr__(self) -> str:
        return "EmulatedSecret()"
