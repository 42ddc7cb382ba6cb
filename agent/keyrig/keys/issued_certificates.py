"""Validation of certificates issued for devices' requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.certificate_profiles import CertificateProfile, check_profile
from gbcs.key_holders import public_octets
from gbcs.path_validation import validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage
from keyrig.base.errors import AuthorityMistaken
from keyrig.keys.key_store import Authority, StoredCertificate
from keyrig.keys.lab_pki import CLOCK_TOLERANCE
from keyrig.keys.store_copying import add_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.certification_order import CertificationOrder
    from keyrig.keys.given_certificates import GivenCertificate
    from keyrig.keys.key_store import KeyStore


class IssuedCertificates:
    """Validates certificates issued for devices, by a key store's authorities.

    Args:
        store: Has the root, and the issuing authorities of devices; a folder keeps what is issued.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        stored = [each for each in store.stored() if each.authority is not None]
        self._authorities = [each.certificate for each in stored]
        self._roots = [each.certificate for each in stored if each.authority is Authority.ROOT]

    def check(self, certificate: GBCSCertificate, order: CertificationOrder, at: datetime) -> None:
        """Check that a certificate is for an order's device, use and key, and leads to the root.

        Raises:
            CertificateRejected: It breaks a rule, which is named: "wrong-key", or one of
                `gbcs.path_validation.validate_path`.
        """
        if public_octets(certificate.public_key) != order.public_octets:
            raise CertificateRejected(
                "wrong-key", f"its key is not that of the {order}", str(certificate)
            )
        check_profile(certificate, CertificateProfile.DEVICE)
        # The authority's clock may be somewhat ahead of ours.
        is_of_now = at < certificate.not_before <= at + CLOCK_TOLERANCE
        validate_path(
            certificate,
            path_certificates=self._authorities,
            trust_anchors=self._roots,
            at=certificate.not_before if is_of_now else at,
            key_usage=order.key_usage,
            entity=order.device,
        )

    def choose(
        self,
        given: Sequence[GivenCertificate],
        order: CertificationOrder,
        *,
        authority: str,
        at: datetime,
    ) -> GBCSCertificate:
        """Return the one certificate for an order among those from an authority.

        Certificates of authorities, which come along in a chain, are passed over.

        Args:
            given: The certificates from it.
            order: The order.
            authority: Its name.
            at: The time, aware, at which the path must be valid.

        Raises:
            AuthorityMistaken: None is, or more than one.
        """
        reasons: list[str] = []
        right: dict[bytes, GBCSCertificate] = {}
        for each in given:
            try:
                if each.certificate.profile.is_authority:
                    continue
                self.check(each.certificate, order, at)
            except CertificateRejected as error:
                reasons.append(str(error))
            else:
                right[each.certificate.der] = each.certificate
        if len(right) == 1 and not reasons:
            return next(iter(right.values()))
        if len(right) > 1:
            reasons.append(f"{len(right)} certificates for one key")
        raise AuthorityMistaken(
            authority,
            f"for the {order} it gave {reasons[0] if reasons else 'no certificate of a device'}",
            "have the authority correct it; nothing was kept of it",
        )

    def keep(self, certificate: GBCSCertificate) -> None:
        """Add an issued certificate to the key store, where that is a folder.

        Raises:
            KeyStoreError: It cannot be written.
        """
        if self._store.directory is not None:
            add_certificate(
                self._store,
                StoredCertificate(certificate, CellUsage.MANAGEMENT, source="issued"),
            )
