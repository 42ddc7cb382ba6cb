"""The interface of key stores: certificates, and private keys held for them."""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from gbcs.certificate_issuing import Issuer
from gbcs.certificate_profiles import CertificateProfile
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.clock import second_text
from keyrig.base.errors import KeyMissing, KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from gbcs.certificate_issuing import CertificateSigner
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import KeyAgreer, Signer
    from gbcs.roles import RemotePartyRole

    Use = tuple[EntityIdentifier, KeyUsage, CellUsage, bool]
    """Party, key usage, cell usage, and whether it signs XML."""


class Authority(enum.Enum):
    """An authority of a key infrastructure; the value is the stem of its files."""

    ROOT = "root"
    ISSUING = "issuing"
    DEVICE_ISSUING = "device-issuing"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or entry of a store that cannot be used."""

    source: str
    reason: str

    @classmethod
    def by(cls, source: str, error: Exception) -> LeftOut:
        """Return why `source` is left out; an error that names it too names it once."""
        if isinstance(error, KeyStoreError) and error.where == source:
            return cls(source, f"{error.reason}; {error.mend}")
        return cls(source, str(error))

    def __str__(self) -> str:
        """Return the one line that a technician reads."""
        return f"{self.source}: {self.reason}"


class HeldKey(Protocol):
    """A private key that a store holds, wherever it is: it can be used and not be read."""

    @property
    def stays(self) -> bool:
        """True if it never leaves the place where it is, so that no copy of it can be had."""
        ...

    def signer(self) -> Signer:
        """Return it as a signer of messages.

        Raises:
            KeyLocked: It needs a passphrase that was not given.
            KeyStoreError: It cannot be used, or its certificate is not for digitalSignature.
        """
        ...

    def agreer(self) -> KeyAgreer:
        """Return it as a key agreer, the same one each time, as `SharedSecrets` requires.

        Raises:
            KeyLocked: It needs a passphrase that was not given.
            KeyStoreError: It cannot be used, or its certificate is not for keyAgreement.
        """
        ...

    def certificate_signer(self) -> CertificateSigner:
        """Return it as a signer of certificates.

        Raises:
            KeyLocked: It needs a passphrase that was not given.
            KeyStoreError: It cannot be used, or its certificate is not for keyCertSign.
        """
        ...

    def check(self) -> None:
        """Check that it can be used, and that it is the key of its certificate.

        Raises:
            KeyLocked: It needs a passphrase that was not given.
            KeyStoreError: It cannot be used, or is another certificate's.
        """
        ...

    def write_to(self, write: Callable[[bytes], None]) -> None:
        """Pass its PEM text, encrypted if it was, to `write` after `check`; for copying a store.

        Raises:
            KeyLocked: As `check`.
            KeyStoreError: As `check`, or it never leaves the place where it is.
        """
        ...


def require_use(name: str, certificate: GBCSCertificate, key_usage: KeyUsage) -> None:
    """Raise unless a key's certificate says that the key is for `key_usage`.

    Args:
        name: The key's name, for people.
        certificate: Its certificate.
        key_usage: What it is to be used for.

    Raises:
        KeyStoreError: The certificate says otherwise.
    """
    if key_usage not in certificate.key_usage:
        raise KeyStoreError(
            name, f"its certificate is not for {key_usage.gbcs_name}", "use another key"
        )


@dataclass(frozen=True)
class StoredCertificate:
    """One certificate of a store, with the store's own facts about it.

    Args:
        certificate: The certificate.
        cell_usage: The use of its key; certificates themselves do not tell.
        source: The file or entry that holds it, for people.
        authority: Which authority's it is, or None for an organisation's or device's.
        key: The private key, not read before it is used; None when the store has none.
    """

    certificate: GBCSCertificate
    cell_usage: CellUsage
    source: str
    authority: Authority | None = None
    key: HeldKey | None = field(default=None, repr=False, compare=False)

    @property
    def has_private_key(self) -> bool:
        """True if the store has its private key, locked or not."""
        return self.key is not None


class KeyStore(Protocol):
    """Certificates of organisations, devices and authorities, and private keys held for them.

    Where several certificates serve one party and use, as after a renewal, the newest is the
    default: the one whose validity starts last, and among those that start together the one with
    the greatest serial number.
    """

    @property
    def location(self) -> str:
        """Where the store is, for people."""
        ...

    @property
    def directory(self) -> Path | None:
        """The folder that further certificates are added to, or None where there is none."""
        ...

    @property
    def problems(self) -> Sequence[LeftOut]:
        """The files and entries that were left out because they cannot be used."""
        ...

    def stored(self) -> Sequence[StoredCertificate]:
        """Return every certificate with the store's facts about it, in a stable order."""
        ...

    def certificates(self) -> Iterable[GBCSCertificate]:
        """Return every certificate, in a stable order."""
        ...

    def organisation_certificates(self) -> Sequence[GBCSCertificate]:
        """Return the certificates of organisations and authorities; none of a device."""
        ...

    def held_for(
        self, entity: EntityIdentifier, key_usage: KeyUsage
    ) -> Sequence[StoredCertificate]:
        """Return every certificate of `entity` for one use but those that sign XML."""
        ...

    def certificate_of_key(
        self, entity: EntityIdentifier, key_usage: KeyUsage, subject_key_identifier: bytes
    ) -> GBCSCertificate | None:
        """Return the certificate of `entity` for one use that has this key, or None."""
        ...

    def issuer_certificate(self, certificate: GBCSCertificate) -> GBCSCertificate | None:
        """Return the authority's certificate that `certificate` names as its issuer, or None.

        It is found by name and key identifier; path validation checks that its key made the
        signature.
        """
        ...

    def certificate(
        self,
        entity: EntityIdentifier,
        *,
        key_usage: KeyUsage,
        role: RemotePartyRole | None = None,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        at: datetime | None = None,
    ) -> GBCSCertificate:
        """Return the default certificate of `entity` for one use.

        Args:
            entity: Organisation or device.
            key_usage: digitalSignature or keyAgreement.
            role: The remote party role that it must have, or None for any.
            cell_usage: The use that its key must have.
            at: When it must be valid, aware; None looks at no time.

        Raises:
            KeyMissing: There is none.
        """
        ...

    def signer(
        self, entity: EntityIdentifier, *, certificate: GBCSCertificate | None = None
    ) -> Signer:
        """Return the holder of the digital signature key of `entity`.

        Args:
            entity: Organisation or device.
            certificate: The one whose key is wanted; None takes the newest with a key here.

        Raises:
            KeyMissing: The store has no such key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...

    def xml_signing_certificates(self, entity: EntityIdentifier) -> Sequence[StoredCertificate]:
        """Return the certificates by which `entity` signs XML, in a stable order.

        No other look-up by party finds them, or their keys: `certificate` and `signer` are for
        what goes to devices. `signer` has the key of one that is given to it.
        """
        ...

    def agreer(
        self,
        entity: EntityIdentifier,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        *,
        certificate: GBCSCertificate | None = None,
    ) -> KeyAgreer:
        """Return the holder of the key agreement key of `entity`.

        Args:
            entity: Organisation or device.
            cell_usage: The use that the key must have.
            certificate: The one whose key is wanted; None takes the newest with a key here.

        Raises:
            KeyMissing: The store has no such key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...

    def authority_certificate(self, authority: Authority) -> GBCSCertificate:
        """Return the certificate of an authority.

        Raises:
            KeyMissing: There is none.
        """
        ...

    def certificate_signer(self, authority: Authority) -> CertificateSigner:
        """Return the holder of an authority's key.

        Raises:
            KeyMissing: The store has no such key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...

    def issuer(self, authority: Authority) -> Issuer:
        """Return an authority's certificate with the holder of its key.

        Raises:
            KeyMissing: The store has no such certificate or key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...


class IndexedKeyStore(KeyStore):
    """A key store whose certificates were all read when it was opened."""

    def __init__(
        self, location: str, stored: Iterable[StoredCertificate], problems: Iterable[LeftOut]
    ) -> None:
        self._location = location
        self._stored = _distinct(stored)
        self._problems = tuple(problems)
        # Look-ups are on the path of every message, so none may scan the store.
        self._by_use: Mapping[Use, Sequence[StoredCertificate]] = _by_use(self._stored)

    @property
    @override
    def location(self) -> str:
        return self._location

    @property
    def _places(self) -> str:
        """The places searched, for errors."""
        return self._location

    @property
    @override
    def directory(self) -> Path | None:
        return None

    @property
    @override
    def problems(self) -> Sequence[LeftOut]:
        return self._problems

    @override
    def stored(self) -> Sequence[StoredCertificate]:
        return self._stored

    @override
    def certificates(self) -> Iterable[GBCSCertificate]:
        return self._certificates

    @cached_property
    def _certificates(self) -> tuple[GBCSCertificate, ...]:
        return tuple(each.certificate for each in self._stored)

    @override
    def organisation_certificates(self) -> Sequence[GBCSCertificate]:
        return self._organisation_certificates

    @cached_property
    def _organisation_certificates(self) -> tuple[GBCSCertificate, ...]:
        return tuple(
            each for each in self._certificates if each.profile is not CertificateProfile.DEVICE
        )

    @override
    def held_for(
        self, entity: EntityIdentifier, key_usage: KeyUsage
    ) -> Sequence[StoredCertificate]:
        return [
            each for cell_usage in CellUsage for each in self._of(entity, key_usage, cell_usage)
        ]

    @override
    def certificate_of_key(
        self, entity: EntityIdentifier, key_usage: KeyUsage, subject_key_identifier: bytes
    ) -> GBCSCertificate | None:
        for each in self.held_for(entity, key_usage):
            if each.certificate.subject_key_identifier == subject_key_identifier:
                return each.certificate
        return None

    @override
    def issuer_certificate(self, certificate: GBCSCertificate) -> GBCSCertificate | None:
        named = (certificate.issuer, certificate.authority_key_identifier)
        return self._issuers.get(named)

    @cached_property
    def _issuers(self) -> Mapping[tuple[x509.Name, bytes | None], GBCSCertificate]:
        issuers: dict[tuple[x509.Name, bytes | None], GBCSCertificate] = {}
        for each in self._organisation_certificates:
            if each.profile.is_authority:
                issuers.setdefault((each.subject, each.subject_key_identifier), each)
        return issuers

    @override
    def certificate(
        self,
        entity: EntityIdentifier,
        *,
        key_usage: KeyUsage,
        role: RemotePartyRole | None = None,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        at: datetime | None = None,
    ) -> GBCSCertificate:
        held = [
            each.certificate
            for each in self._of(entity, key_usage, cell_usage)
            if role is None or each.certificate.role is role
        ]
        valid = [each for each in held if at is None or each.is_valid_at(at)]
        if not valid:
            what = f"certificate {_described(entity, key_usage, cell_usage)}"
            if role is not None:
                what += f" as {role.gbcs_name}"
            if held and at is not None:
                what += f" that is valid at {second_text(at)}"
            raise self._missing(what, entity)
        return max(valid, key=_age)

    @override
    def signer(
        self, entity: EntityIdentifier, *, certificate: GBCSCertificate | None = None
    ) -> Signer:
        usage = KeyUsage.DIGITAL_SIGNATURE
        return self._key(entity, usage, CellUsage.MANAGEMENT, certificate).signer()

    @override
    def xml_signing_certificates(self, entity: EntityIdentifier) -> Sequence[StoredCertificate]:
        usage = KeyUsage.DIGITAL_SIGNATURE
        return self._of(entity, usage, CellUsage.MANAGEMENT, signs_xml=True)

    @override
    def agreer(
        self,
        entity: EntityIdentifier,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        *,
        certificate: GBCSCertificate | None = None,
    ) -> KeyAgreer:
        usage = KeyUsage.KEY_AGREEMENT
        return self._key(entity, usage, cell_usage, certificate).agreer()

    @override
    def authority_certificate(self, authority: Authority) -> GBCSCertificate:
        return self._authority(authority).certificate

    @override
    def certificate_signer(self, authority: Authority) -> CertificateSigner:
        key = self._authority(authority).key
        if key is None:
            raise KeyMissing(self._places, f"private key of the {authority.value} authority")
        return key.certificate_signer()

    @override
    def issuer(self, authority: Authority) -> Issuer:
        signer = self.certificate_signer(authority)
        return Issuer(signer, self.authority_certificate(authority))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._location!r}, {len(self._stored)} certificates)"

    def _of(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage,
        *,
        signs_xml: bool = False,
    ) -> Sequence[StoredCertificate]:
        return self._by_use.get((entity, key_usage, cell_usage, signs_xml), ())

    def _key(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage,
        certificate: GBCSCertificate | None,
    ) -> HeldKey:
        signs_xml = certificate is not None and certificate.signs_xml
        held = [
            (each.certificate, each.key)
            for each in self._of(entity, key_usage, cell_usage, signs_xml=signs_xml)
            if each.key is not None and (certificate is None or certificate == each.certificate)
        ]
        if not held:
            raise self._missing(f"private key {_described(entity, key_usage, cell_usage)}", entity)
        return max(held, key=lambda pair: _age(pair[0]))[1]

    def _authority(self, authority: Authority) -> StoredCertificate:
        held = self._authorities.get(authority)
        if held is None:
            raise KeyMissing(self._places, f"certificate of the {authority.value} authority")
        return held

    @cached_property
    def _authorities(self) -> Mapping[Authority, StoredCertificate]:
        """The newest certificate of each authority."""
        held: defaultdict[Authority, list[StoredCertificate]] = defaultdict(list)
        for each in self._stored:
            if each.authority is not None:
                held[each.authority].append(each)
        return {
            authority: max(each, key=lambda stored: _age(stored.certificate))
            for authority, each in held.items()
        }

    def _missing(self, what: str, entity: EntityIdentifier) -> KeyMissing:
        """Return the error, with the reason if a file or entry of that party was left out."""
        reasons = [each for each in self._problems if entity.stem in each.source]
        return KeyMissing(self._places, f"{what} ({reasons[0]})" if reasons else what)


def _age(certificate: GBCSCertificate) -> tuple[datetime, int]:
    return certificate.not_before, certificate.serial


def _described(entity: EntityIdentifier, key_usage: KeyUsage, cell_usage: CellUsage) -> str:
    top_up = " for prepayment top-up" if cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
    return f"of {entity} for {key_usage.gbcs_name}{top_up}"


def _by_use(stored: Iterable[StoredCertificate]) -> Mapping[Use, Sequence[StoredCertificate]]:
    """Group the certificates of organisations and devices by party and use."""
    held: defaultdict[Use, list[StoredCertificate]] = defaultdict(list)
    for each in stored:
        if each.authority is not None:
            continue
        try:
            certificate = each.certificate
            entity, key_usage = certificate.entity_id, certificate.key_usage
            signs_xml = certificate.signs_xml
        except CertificateRejected:
            # Nobody can ask for it; what is wrong with it is `keyrig pki check`'s to say.
            continue
        if entity is not None:
            held[entity, key_usage, each.cell_usage, signs_xml].append(each)
    return dict(held)


def _distinct(stored: Iterable[StoredCertificate]) -> tuple[StoredCertificate, ...]:
    """Return one of each certificate and cell usage, with a private key if there is one."""
    kept: dict[tuple[GBCSCertificate, CellUsage], StoredCertificate] = {}
    for each in stored:
        place = (each.certificate, each.cell_usage)
        if place not in kept or (each.has_private_key and not kept[place].has_private_key):
            kept[place] = each
    return tuple(kept.values())
