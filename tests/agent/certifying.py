"""The emulated home with its keys certified by hand, or with keys missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import EntityIdentifier
from homes.recorded import SUPPLIER
from keyrig.base.clock import utc_now
from keyrig.keys.lab_pki import TestCertificationAuthority, initialise
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gbcs.roles import KeyUsage


def home_without_supplier_key(home: Path) -> Path:
    """Make the home's key store with the supplier's signing key put aside; return where it is."""
    initialise(home / "pki", utc_now(), os.urandom)
    key = home / "pki" / f"{SUPPLIER}-ds.key"
    return key.rename(home / key.name)


def certified(home: Path, der: bytes, device: str, key_usage: KeyUsage | None = None) -> str:
    """Certify a request by the home's issuing authority; return the certificate in PEM."""
    authority = TestCertificationAuthority.of(open_keystore(home / "pki"), os.urandom)
    certificate = authority.certify_device(
        der,
        entity=EntityIdentifier.parse(device),
        key_usage=key_usage or CertificationRequest.from_der(der).key_usage,
        now=utc_now(),
    )
    return pem_of(certificate)


def certified_for(home: Path, request: Mapping[str, Any]) -> str:
    """Certify a request as the API lists it; return the certificate in PEM."""
    der = x509.load_pem_x509_csr(request["pem"].encode()).public_bytes(Encoding.DER)
    return certified(home, der, request["device"])


def pem_of(der: bytes) -> str:
    """Return a certificate in PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii")
