"""The key store as steps and conversations use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.base.errors import KeyMissing
from keyrig.keys.xml_signing_keys import xml_signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import KeyAgreer, Signer
    from keyrig.keys.key_store import KeyStore

    LookUp = Callable[[EntityIdentifier, KeyUsage], GBCSCertificate]

PATH_LENGTH_MAXIMUM = 4


class RigKeys:
    """Finds certificates, their paths and the keys that belong to them in one key store.

    Args:
        store: The key store.
        look_up: Returns a certificate that the store lacks, or raises a KeyStoreError; None
            where nothing is looked up.
    """

    def __init__(self, store: KeyStore, look_up: LookUp | None = None) -> None:
        self._store = store
        self._look_up = look_up
        self._looked_up: dict[tuple[EntityIdentifier, KeyUsage], GBCSCertificate] = {}
        self._paths: dict[GBCSCertificate, tuple[GBCSCertificate, ...]] = {}
        self._signers: dict[tuple[EntityIdentifier, bytes | None], Signer] = {}
        self._agreers: dict[EntityIdentifier, KeyAgreer] = {}
        self._xml_signers: dict[
            tuple[EntityIdentifier, int | None], tuple[Signer, GBCSCertificate]
        ] = {}

    def certificate(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        role: RemotePartyRole | None = None,
    ) -> GBCSCertificate:
        """Return the newest certificate of an organisation or device for one use.

        Raises:
            KeyMissing: There is none.
            KeyStoreError: It was looked up, and cannot be used.
            DCCUnreachable: It had to be looked up, and the service does not answer.
        """
        try:
            return self._store.certificate(
                entity, key_usage=key_usage, cell_usage=cell_usage, role=role
            )
        except KeyMissing:
            if self._look_up is None or cell_usage is not CellUsage.MANAGEMENT:
                raise
            wanted = (entity, key_usage)
            if wanted not in self._looked_up:
                self._looked_up[wanted] = self._look_up(entity, key_usage)
            if role is not None and self._looked_up[wanted].role is not role:
                raise
            return self._looked_up[wanted]

    def certification_path(self, certificate: GBCSCertificate) -> tuple[GBCSCertificate, ...]:
        """Return the issuing authorities between a certificate and the root, nearest first.

        Raises:
            KeyMissing: The store lacks the certificate's issuing authority.
        """
        known = self._paths.get(certificate)
        if known is None:
            known = self._paths[certificate] = self._find_path(certificate)
        return known

    def organisation_certificates(self) -> tuple[GBCSCertificate, ...]:
        """Return the certificates of organisations and authorities; none of a device."""
        return tuple(self._store.organisation_certificates())

    def _find_path(self, certificate: GBCSCertificate) -> tuple[GBCSCertificate, ...]:
        path: list[GBCSCertificate] = []
        current = certificate
        while len(path) < PATH_LENGTH_MAXIMUM:
            issuer = self._store.issuer_certificate(current)
            if issuer is None or issuer.profile is CertificateProfile.ROOT:
                break
            path.append(issuer)
            current = issuer
        if not path:
            raise KeyMissing(
                self._store.location, f"issuing authority of the certificate of {certificate}"
            )
        return tuple(path)

    def signer(
        self, entity: EntityIdentifier, subject_key_identifier: bytes | None = None
    ) -> Signer:
        """Return the signer of an organisation: of the named key, or of the newest.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        asked = (entity, subject_key_identifier)
        signer = self._signers.get(asked)
        if signer is None:
            certificate = self._named(entity, subject_key_identifier)
            signer = self._store.signer(entity, certificate=certificate)
            self._signers[asked] = signer
        return signer

    def xml_signer(
        self, entity: EntityIdentifier, named: int | None
    ) -> tuple[Signer, GBCSCertificate]:
        """Return the signer of an organisation's DUIS documents, and its certificate.

        Args:
            entity: The organisation.
            named: The serial number that the settings name for it, or None.

        Raises:
            KeyStoreError: As `xml_signing_key`.
        """
        asked = (entity, named)
        known = self._xml_signers.get(asked)
        if known is None:
            known = self._xml_signers[asked] = xml_signing_key(self._store, entity, named)
        return known

    def _named(
        self, entity: EntityIdentifier, subject_key_identifier: bytes | None
    ) -> GBCSCertificate | None:
        if subject_key_identifier is None:
            return None
        certificate = self._store.certificate_of_key(
            entity, KeyUsage.DIGITAL_SIGNATURE, subject_key_identifier
        )
        if certificate is None:
            raise KeyMissing(
                self._store.location,
                f"certificate of {entity} with key {subject_key_identifier.hex()}, which the "
                "device trusts",
            )
        return certificate

    def agreer(self, entity: EntityIdentifier) -> KeyAgreer:
        """Return the key agreement key of an organisation.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        agreer = self._agreers.get(entity)
        if agreer is None:
            agreer = self._agreers[entity] = self._store.agreer(entity)
        return agreer
