"""The reference messages and test keys that may lie beside the checkout."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).parents[2].parent / "shared"
MESSAGES = SHARED / "rtds" / "messages"
KEYSTORE = SHARED / "rtds" / "keystore"
ACCESS_CONTROL_BROKER = bytes.fromhex("90B3D51F30000002")

_absent = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="the reference messages are not beside the checkout"
)


TestT = TypeVar("TestT", bound="Callable[..., object]")


def needs_reference(test: TestT) -> TestT:
    """Mark a test that needs the reference messages; it is skipped where they are absent."""
    marked: TestT = pytest.mark.reference(_absent(test))
    return marked


def message_files() -> list[Path]:
    """List the files of the reference messages; none where they are absent."""
    return sorted(MESSAGES.glob("*.HEX"))


def read_octets(path: Path) -> bytes:
    """Read a file of hexadecimal digits."""
    return bytes.fromhex(path.read_text(encoding="ascii"))


def octets_of(name: str) -> bytes:
    """Read the reference message whose file name starts with `name`."""
    return read_octets(MESSAGES / f"{name}_GBCS.HEX")


@functools.cache
def public_key(entity_id: bytes, usage: str) -> ec.EllipticCurvePublicKey:
    """Read the public key of a certificate; `usage` is `ds` or `ka`."""
    pem = (KEYSTORE / f"{entity_id.hex()}-{usage}.pem").read_bytes()
    key = x509.load_pem_x509_certificate(pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@functools.cache
def private_key(entity_id: bytes, usage: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key; `usage` is `ds` or `ka`."""
    octets = (KEYSTORE / f"{entity_id.hex()}-{usage}.key").read_bytes()
    key = load_pem_private_key(octets, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def has_private_key(entity_id: bytes, usage: str) -> bool:
    """Say whether a private key is there."""
    return (KEYSTORE / f"{entity_id.hex()}-{usage}.key").is_file()
