"""Who is asked to certify, and when.

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
    """Whoever turns devices' certification requests into certificates."""

    @property
    def name(self) -> str:
        """What it is called in what people read."""
        ...

    def probe(self) -> str:
        """Check that it can be asked now, and have it certify nothing.

        Returns:
            What was found, in one line.

        Raises:
            AuthorityError: It cannot be asked.
        """
        ...

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Ask for the certificate of one request; asking again does no harm.

        Returns:
            What it gave, unchecked; or that it is to be asked again later.

        Raises:
            AuthorityUnavailable: It cannot be asked.
            AuthorityRefused: It says no.
        """
        ...


class NoAuthority:
    """Stands for the authority of a rig whose file names none.

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
    """The authority of the test PKI, whose issuing key stands in the key store itself.

    It is for emulated devices, and for a laboratory whose whole PKI is its own.

    Args:
        store: The key store.
        random: Gives that many random octets, for serial numbers.
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
