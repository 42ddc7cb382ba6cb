"""Certificate authorities, as steps use them.

An authority is asked when a step certifies, and at no other time. A rig of real devices holds no
issuing key; its authority is a person, or a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from keyrig.base.errors import AuthorityMissing, AuthorityUnavailable, KeyStoreError
from keyrig.keys.given_certificates import GivenCertificate
from keyrig.keys.lab_pki import TestCertificationAuthority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyrig.keys.certification_order import CertificationOrder, Later
    from keyrig.keys.key_store import KeyStore


class CertificateAuthority(Protocol):
    """A certificate authority: it turns devices' certification requests into certificates."""

    @property
    def name(self) -> str:
        """Its name, for people."""
        ...

    def probe(self) -> str:
        """Check that it can be reached now; nothing is certified.

        Returns:
            The finding, in one line.

        Raises:
            AuthorityError: It cannot be asked.
        """
        ...

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Request the certificate for one order; may be repeated.

        Returns:
            The certificates that it returned, unchecked; or Later where it has to be asked again.

        Raises:
            AuthorityUnavailable: It cannot be asked.
            AuthorityRefused: It says no.
        """
        ...


class NoAuthority:
    """The authority of a rig whose file names none; it certifies nothing.

    Args:
        rig: The rig's name.
    """

    name = "none"

    def __init__(self, rig: str) -> None:
        self._rig = rig

    def probe(self) -> str:
        """Raise AuthorityMissing."""
        raise self._missing()

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Raise AuthorityMissing."""
        del order, now
        raise self._missing()

    def _missing(self) -> AuthorityMissing:
        return AuthorityMissing(
            f"rig {self._rig}",
            "no certificate authority is chosen, by which a device's new keys are certified",
            'write [certification] by = "by-hand" or "command" into the rig file',
        )


class TestAuthority:
    """The authority of the test PKI, whose issuing key is in the key store itself.

    It is for emulated devices, and for a laboratory whose whole PKI is its own.

    Args:
        store: The key store.
        random: Returns that many random octets, for serial numbers.
    """

    __test__ = False

    def __init__(self, store: KeyStore, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._random = random
        self.name = f"test authority in {store.location}"

    def probe(self) -> str:
        """Check that the issuing key is there and unlocked; see `CertificateAuthority`."""
        return f"{self._authority().certificate}"

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Certify at once; see `CertificateAuthority`."""
        der = self._authority().certify_device(
            order.request, entity=order.device, key_usage=order.key_usage, now=now
        )
        return [GivenCertificate.from_der(der, self.name)]

    def _authority(self) -> TestCertificationAuthority:
        try:
            return TestCertificationAuthority.of(self._store, self._random)
        except KeyStoreError as error:
            raise AuthorityUnavailable(
                self.name,
                error.reason,
                'choose [certification] by = "by-hand" or "command" in the rig file',
            ) from error
