"""Certificates that a run lacks, from the SMKI services, validated before use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from duis.smki_documents import CertificateStatus
from gbcs.certificate_profiles import CertificateProfile
from gbcs.path_validation import is_self_signed, validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import CertificateLookupFailed, KeyMissing
from keyrig.keys.key_store import StoredCertificate
from keyrig.keys.store_copying import add_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.keys.key_store import KeyStore
    from keyrig.transports.dcc.smki_client import SMKI

SOURCE: Final = "the SMKI repository"
FETCHED_MAXIMUM: Final = 32
"""How many certificates of one party are retrieved at most."""


class CertificateLookup:
    """Looks up certificates, and accepts those whose path leads to a root of the key store.

    Args:
        smki: The services.
        store: Has the authorities that are trusted.
    """

    def __init__(self, smki: SMKI, store: KeyStore) -> None:
        self._smki = smki
        self._store = store

    def in_use(
        self, entity: EntityIdentifier, *, is_device: bool, at: datetime
    ) -> tuple[GBCSCertificate, ...]:
        """Return the certificates of a party that are in use, newest first.

        Self-signed ones that sign XML are passed over: no root vouches for them.

        Args:
            entity: The party.
            is_device: Whether it is a device.
            at: When they and their paths must be valid.

        Raises:
            CertificateLookupFailed: A service refuses, or a certificate in use is not what the
                repository calls it or leads to no root of the key store.
            DCCUnreachable: The services do not answer.
        """
        found = tuple(self._fetched(entity, is_device=is_device, at=at))
        return tuple(sorted(found, key=lambda each: (each.not_before, each.serial), reverse=True))

    def certificate(
        self, entity: EntityIdentifier, key_usage: KeyUsage, *, is_device: bool, at: datetime
    ) -> GBCSCertificate:
        """Return the certificate in use of a party for one use; add it to a key store folder.

        It is for messages to devices: one that signs XML is passed over.

        Nothing in a key agreement certificate of an organisation tells whether it is for
        management or for prepayment top-ups, so one of several is not guessed.

        Raises:
            KeyMissing: The repository has none.
            CertificateLookupFailed: As `in_use`; or it has several that cannot be told apart.
            DCCUnreachable: The services do not answer.
            KeyStoreError: It cannot be added to the key store.
        """
        what = f"{key_usage.gbcs_name} certificate of {entity}"
        found = [
            each
            for each in self.in_use(entity, is_device=is_device, at=at)
            if each.key_usage == key_usage and not each.signs_xml
        ]
        if not found:
            raise KeyMissing(f"{self._store.location} and {SOURCE}", what)
        if len(found) > 1 and not is_device and key_usage == KeyUsage.KEY_AGREEMENT:
            raise CertificateLookupFailed(
                what,
                f"{SOURCE} has {len(found)} in use, one of which may be for prepayment top-ups",
            )
        if Path(self._store.location).is_dir():
            stored = StoredCertificate(found[0], cell_usage=CellUsage.MANAGEMENT, source=SOURCE)
            add_certificate(self._store, stored)
        return found[0]

    def _fetched(
        self, entity: EntityIdentifier, *, is_device: bool, at: datetime
    ) -> Iterator[GBCSCertificate]:
        results = [
            result
            for result in self._smki.search(entity, is_device=is_device)
            if result.certificate_status is CertificateStatus.IN_USE
        ]
        for result in results[:FETCHED_MAXIMUM]:
            certificate = self._smki.retrieve(result.certificate_serial)
            if certificate is None:
                continue
            what = f"certificate {result.certificate_serial} of {entity}"
            try:
                self._validate(certificate, entity, result.certificate_usage, at)
            except CertificateRejected as error:
                # No root vouches for DCC Boxed's own; they come with the bundle.
                if certificate.signs_xml and is_self_signed(certificate):
                    continue
                raise CertificateLookupFailed(what, str(error)) from error
            if certificate.serial != int(result.certificate_serial, 16):
                raise CertificateLookupFailed(what, f"{SOURCE} gives another serial number's")
            yield certificate

    def _validate(
        self,
        certificate: GBCSCertificate,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        at: datetime,
    ) -> None:
        authorities = [each for each in self._store.certificates() if each.profile.is_authority]
        validate_path(
            certificate,
            path_certificates=authorities,
            trust_anchors=[each for each in authorities if each.profile is CertificateProfile.ROOT],
            at=at,
            key_usage=key_usage,
            entity=entity,
        )
