"""What a certificate authority is asked, and what it answers.

An authority is asked when a step certifies, and at no other time. A rig of real devices holds no
issuing key; its authority is a person, or a program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from gbcs.certificates import subject_key_identifier_of
from gbcs.certification_request import CertificationRequest
from gbcs.keys import public_octets
from gbcs.roles import KeyUsage
from keyrig.base.clock import second_text
from keyrig.base.errors import AuthorityMissing, AuthorityUnavailable, KeyStoreError
from keyrig.keys.given_certificates import GivenCertificate
from keyrig.keys.lab_pki import TestCertificationAuthority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from keyrig.keys.key_store import KeyStore

USE_NAMES: Final = {KeyUsage.DIGITAL_SIGNATURE: "ds", KeyUsage.KEY_AGREEMENT: "ka"}
"""The short names of a device's key usages, as in the names of files."""


@dataclass(frozen=True)
class CertificationOrder:
    """One certification request, for an authority.

    Args:
        device: The device that made the key.
        key_usage: What its key is for.
        request: PKCS#10 in DER, verified.
        due_by: By when the duty is to be done; None where no days run.
    """

    device: EntityIdentifier
    key_usage: KeyUsage
    request: bytes = field(repr=False)
    due_by: datetime | None

    @cached_property
    def public_octets(self) -> bytes:
        """The uncompressed point of the key to be certified."""
        return public_octets(CertificationRequest.from_der(self.request).public_key)

    @cached_property
    def key_identifier(self) -> bytes:
        """The identifier of the key to be certified, 8 octets."""
        return subject_key_identifier_of(CertificationRequest.from_der(self.request).public_key)

    @property
    def stem(self) -> str:
        """The beginning of its files' names, such as "00db1234567890a0-ds.4c3e0c75a6d13682"."""
        return f"{self.device.stem}-{USE_NAMES[self.key_usage]}.{self.key_identifier.hex()}"

    @property
    def line(self) -> str:
        """One line for whoever certifies: device, use, key identifier, by when."""
        until = "no deadline" if self.due_by is None else f"by {second_text(self.due_by)}"
        return (
            f"device {self.device}, {self.key_usage.gbcs_name}, key identifier "
            f"{self.key_identifier.hex()}, {until}"
        )

    def __str__(self) -> str:
        """Name the request for a person."""
        return f"{self.key_usage.gbcs_name} request {self.key_identifier.hex()} of {self.device}"


@dataclass(frozen=True, slots=True)
class Later:
    """The authority has the request and will certify it later.

    Args:
        answer: What it says, in one line; safe to print.
        folder: Where the request lies as files, or None.
    """

    answer: str
    folder: str | None = None


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
                str(error).partition(": ")[2].partition("; ")[0],
                'choose [certification] by = "by-hand" or "command" in the rig file',
            ) from error
