"""A complete test PKI, and its certification authority for devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gbcs.certification_request import CertificationRequest
from gbcs.testing_pki import (
    ACCESS_CONTROL_BROKER,
    CLOCK_TOLERANCE,
    NETWORK_OPERATOR,
    RECOVERY,
    SECOND_SUPPLIER,
    SUPPLIER,
    TEST_PARTIES,
    TRANSITIONAL_COS,
    WAN_PROVIDER,
    Party,
    TestPKI,
    certify_device,
)
from keyrig.keys.folder_store import FolderKeyStore, write_certificate, write_private_key
from keyrig.keys.key_store import Authority
from keyrig.keys.store_copying import CopyReport, export, export_dcc_boxed, import_, whole_directory
from keyrig.keys.store_validation import CheckReport, Finding, check

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from gbcs.certificate_issuing import Issuer
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage
    from keyrig.keys.key_store import KeyStore

__all__ = [
    "ACCESS_CONTROL_BROKER",
    "CLOCK_TOLERANCE",
    "NETWORK_OPERATOR",
    "RECOVERY",
    "SECOND_SUPPLIER",
    "SUPPLIER",
    "TEST_PARTIES",
    "TRANSITIONAL_COS",
    "WAN_PROVIDER",
    "CheckReport",
    "CopyReport",
    "Finding",
    "Party",
    "TestCertificationAuthority",
    "check",
    "export",
    "export_dcc_boxed",
    "import_",
    "initialise",
]


def initialise(directory: Path, now: datetime, random: Callable[[int], bytes]) -> FolderKeyStore:
    """Make the complete test PKI with its keys in a folder; wholly or not at all.

    Args:
        directory: The folder; it must not exist, or be empty.
        now: The time, aware; certificates are valid from the start of its day in UTC.
        random: Returns that many random octets; for serial numbers. Keys are made by the library.

    Returns:
        The folder, opened.

    Raises:
        KeyStoreError: The folder exists and is not empty, or cannot be written.
    """
    with whole_directory(directory) as partial:
        made = TestPKI(
            now=now, random=random, new_key=lambda: ec.generate_private_key(ec.SECP256R1())
        )
        for each in made.credentials():
            pem = each.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private_key(partial, each.stem, pem)
            write_certificate(partial, each.stem, each.certificate)
    return FolderKeyStore(directory)


class TestCertificationAuthority:
    """Certifies devices with the device issuing authority of a key store.

    Args:
        issuer: The device issuing authority.
        random: Returns that many random octets, for serial numbers.
    """

    __test__: ClassVar[bool] = False
    """Pytest would take the name for that of a test."""

    def __init__(self, issuer: Issuer, random: Callable[[int], bytes]) -> None:
        self._issuer = issuer
        self._random = random

    @classmethod
    def of(cls, store: KeyStore, random: Callable[[int], bytes]) -> TestCertificationAuthority:
        """Return the authority with the device issuing key in `store`.

        Raises:
            KeyMissing: `store` has no such certificate or key.
            KeyLocked: The key needs a passphrase that was not given.
        """
        return cls(store.issuer(Authority.DEVICE_ISSUING), random)

    @property
    def certificate(self) -> GBCSCertificate:
        """The certificate under which it issues."""
        return self._issuer.certificate

    def certify_device(
        self, request: bytes, *, entity: EntityIdentifier, key_usage: KeyUsage, now: datetime
    ) -> bytes:
        """Certify the key of a device's request.

        Args:
            request: PKCS#10 in DER, from the device's verified response.
            entity: The device that was asked.
            key_usage: The use that was asked for.
            now: The time, aware.

        Returns:
            The certificate in DER.

        Raises:
            DecodeError: `request` is no certification request.
            CertificateRejected: It names another device or use, or lacks proof of its key.
            KeyStoreError: The authority's key cannot be used.
        """
        decoded = CertificationRequest.from_der(request)
        decoded.verify(entity=entity, key_usage=key_usage)
        return certify_device(self._issuer, decoded, random=self._random, now=now).der
