"""The public certificates that a field agent has; private keys are never asked for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.path_validation import validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage
from keyrig.base.errors import SettingsError
from keyrig.keys.folder_store import read_certificate
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier

_OWN_KEYS = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)


class PublicCertificates:
    """Certificates by whom they identify; one that cannot be read is left out.

    Args:
        certificates: Of organisations, devices and authorities.
    """

    def __init__(self, certificates: Iterable[GBCSCertificate] = ()) -> None:
        self._signing: dict[EntityIdentifier, list[GBCSCertificate]] = defaultdict(list)
        self._authorities: list[GBCSCertificate] = []
        for certificate in dict.fromkeys(certificates):
            self._index(certificate)

    def _index(self, certificate: GBCSCertificate) -> None:
        try:
            entity, usage = certificate.entity_id, certificate.key_usage
            profile, _ = certificate.profile, certificate.public_key
        except CertificateRejected:
            return
        if profile.is_authority:
            self._authorities.append(certificate)
        elif entity is not None and usage == KeyUsage.DIGITAL_SIGNATURE:
            self._signing[entity].append(certificate)

    def signing(self, entity: EntityIdentifier) -> tuple[GBCSCertificate, ...]:
        """Return the certificates by which an organisation or device signs GBCS messages."""
        return tuple(each for each in self._signing.get(entity, ()) if not each.signs_xml)

    def all_signing(self) -> tuple[GBCSCertificate, ...]:
        """Return every digital signature certificate, those that sign XML among them."""
        return tuple(each for held in self._signing.values() for each in held)

    def vouch_for_device(self, certificate: GBCSCertificate, device: EntityIdentifier) -> bool:
        """True if an authority that is known says that a certificate is the device's."""
        try:
            validate_path(
                certificate,
                path_certificates=self._authorities,
                trust_anchors=self._authorities,
                at=None,
                entity=device,
            )
        except CertificateRejected:
            return False
        return is_of_device(certificate, device)


def is_of_device(certificate: GBCSCertificate, device: EntityIdentifier) -> bool:
    """Return True if a certificate claims to be for one of the device's own keys."""
    try:
        return (
            certificate.profile is CertificateProfile.DEVICE
            and certificate.entity_id == device
            and certificate.key_usage in _OWN_KEYS
        )
    except CertificateRejected:
        return False


def public_certificates(keystore: Path, files: Iterable[Path] = ()) -> PublicCertificates:
    """Return the certificates of a key store, if there is one, and of files.

    Args:
        keystore: The rig's key store; it need not exist.
        files: PEM files of one certificate each.

    Raises:
        KeyStoreError: The key store or a file cannot be read.
        SettingsError: A file's certificate identifies nobody who signs.
    """
    held = list(open_keystore(keystore).certificates()) if keystore.exists() else []
    for file in files:
        certificate = read_certificate(file)
        if not _is_usable(certificate):
            raise SettingsError(
                str(file),
                "a certificate by which no signature of a party or device can be checked",
                "name a digital signature certificate, or an authority's",
            )
        held.append(certificate)
    return PublicCertificates(held)


def _is_usable(certificate: GBCSCertificate) -> bool:
    try:
        identifies = certificate.entity_id is not None
        is_signing = certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE
        is_authority = certificate.profile.is_authority
    except CertificateRejected:
        return False
    return is_authority or (identifies and is_signing)
