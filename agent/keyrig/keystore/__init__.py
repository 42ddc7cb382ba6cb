"""Stores of certificates and private keys: a folder of PEM files, or a DCC Boxed keystore.json."""

from __future__ import annotations

from keyrig.keystore.base import Authority, KeyStore, StoredCertificate
from keyrig.keystore.opening import open_keystore

__all__ = ["Authority", "KeyStore", "StoredCertificate", "open_keystore"]
