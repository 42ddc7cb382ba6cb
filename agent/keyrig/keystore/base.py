"""What the agent asks of a store of certificates and private keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gbcs.issuing import Issuer
from gbcs.roles import CellUsage, KeyUsage
from keyrig.errors import KeyMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from gbcs.issuing import CertificateSigner
    from gbcs.keys import KeyAgreer, Signer
    from gbcs.roles import RemotePartyRole
    from keyrig.keystore.pem import PEMKey


class Authority(enum.Enum):
    """An authority of a key infrastructure; the value is the stem of its files."""

    ROOT = "root"
    ISSUING = "issuing"
    DEVICE_ISSUING = "device-issuing"


@dataclass(frozen=True)
class StoredCertificate:
    """One certificate of a store, and what the store knows beside it.

    Args:
        certificate: The certificate.
        cell_usage: What its key serves; certificates themselves do not say.
        source: The file or entry that holds it, for people.
        authority: Which authority's it is, or None for an organisation's or device's.
        key: The private key, not read before it is used; None when the store has none.
    """

    certificate: GBCSCertificate
    cell_usage: CellUsage
    source: str
    authority: Authority | None = None
    key: PEMKey | None = field(default=None, repr=False, compare=False)

    @property
    def has_private_key(self) -> bool:
        """Whether the store has its private key, locked or not."""
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
    def problems(self) -> Sequence[str]:
        """One line for each file or entry that was left out because it cannot be used."""
        ...

    def stored(self) -> Sequence[StoredCertificate]:
        """Give every certificate with what the store knows beside it, in a stable order."""
        ...

    def certificates(self) -> Iterable[GBCSCertificate]:
        """Give every certificate, in a stable order."""
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
        """Give the default certificate of `entity` for one use.

        Args:
            entity: Organisation or device.
            key_usage: digitalSignature or keyAgreement.
            role: The remote party role that it must have, or None for any.
            cell_usage: What its key must serve.
            at: When it must be valid, aware; None looks at no time.

        Raises:
            KeyMissing: There is none.
        """
        ...

    def signer(
        self, entity: EntityIdentifier, *, certificate: GBCSCertificate | None = None
    ) -> Signer:
        """Give the holder of the digital signature key of `entity`.

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
        """Give the holder of the key agreement key of `entity`.

        Args:
            entity: Organisation or device.
            cell_usage: What the key must serve.
            certificate: The one whose key is wanted; None takes the newest with a key here.

        Raises:
            KeyMissing: The store has no such key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...

    def authority_certificate(self, authority: Authority) -> GBCSCertificate:
        """Give the certificate of an authority.

        Raises:
            KeyMissing: There is none.
        """
        ...

    def certificate_signer(self, authority: Authority) -> CertificateSigner:
        """Give the holder of an authority's key.

        Raises:
            KeyMissing: The store has no such key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...

    def issuer(self, authority: Authority) -> Issuer:
        """Give an authority's certificate with the holder of its key.

        Raises:
            KeyMissing: The store has no such certificate or key.
            KeyLocked: The key needs a passphrase that was not given.
            KeyStoreError: The key cannot be read, or is not that of its certificate.
        """
        ...


class IndexedKeyStore:
    """A key store whose certificates were all read when it was opened."""

    def __init__(
        self, location: str, stored: Iterable[StoredCertificate], problems: Iterable[str]
    ) -> None:
        self._location = location
        self._stored = _distinct(stored)
        self._problems = tuple(problems)

    @property
    def location(self) -> str:
        """Where the store is, for people."""
        return self._location

    @property
    def problems(self) -> Sequence[str]:
        """One line for each file or entry that was left out because it cannot be used."""
        return self._problems

    def stored(self) -> Sequence[StoredCertificate]:
        """Give every certificate with what the store knows beside it, in a stable order."""
        return self._stored

    def certificates(self) -> Iterable[GBCSCertificate]:
        """Give every certificate, in a stable order."""
        return tuple(each.certificate for each in self._stored)

    def certificate(
        self,
        entity: EntityIdentifier,
        *,
        key_usage: KeyUsage,
        role: RemotePartyRole | None = None,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        at: datetime | None = None,
    ) -> GBCSCertificate:
        """Give the default certificate of `entity` for one use; see `KeyStore`."""
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
                what += f" that is valid at {at:%Y-%m-%dT%H:%M:%SZ}"
            raise self._missing(what, entity)
        return max(valid, key=_age)

    def signer(
        self, entity: EntityIdentifier, *, certificate: GBCSCertificate | None = None
    ) -> Signer:
        """Give the holder of the digital signature key of `entity`; see `KeyStore`."""
        usage = KeyUsage.DIGITAL_SIGNATURE
        return self._key(entity, usage, CellUsage.MANAGEMENT, certificate).signer()

    def xml_signing_certificates(self, entity: EntityIdentifier) -> Sequence[StoredCertificate]:
        """Return the certificates by which `entity` signs XML; see `KeyStore`."""
        usage = KeyUsage.DIGITAL_SIGNATURE
        return self._of(entity, usage, CellUsage.MANAGEMENT, signs_xml=True)

    def agreer(
        self,
        entity: EntityIdentifier,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        *,
        certificate: GBCSCertificate | None = None,
    ) -> KeyAgreer:
        """Give the holder of the key agreement key of `entity`; see `KeyStore`."""
        usage = KeyUsage.KEY_AGREEMENT
        return self._key(entity, usage, cell_usage, certificate).agreer()

    def authority_certificate(self, authority: Authority) -> GBCSCertificate:
        """Give the certificate of an authority; see `KeyStore`."""
        return self._authority(authority).certificate

    def certificate_signer(self, authority: Authority) -> CertificateSigner:
        """Give the holder of an authority's key; see `KeyStore`."""
        key = self._authority(authority).key
        if key is None:
            raise KeyMissing(self._location, f"private key of the {authority.value} authority")
        return key.certificate_signer()

    def issuer(self, authority: Authority) -> Issuer:
        """Give an authority's certificate with the holder of its key; see `KeyStore`."""
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
    ) -> list[StoredCertificate]:
        return [
            each
            for each in self._stored
            if each.authority is None
            and each.certificate.entity_id == entity
            and each.certificate.key_usage == key_usage
            and each.cell_usage is cell_usage
            and each.certificate.signs_xml is signs_xml
        ]

    def _key(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage,
        certificate: GBCSCertificate | None,
    ) -> PEMKey:
        signs_xml = certificate is not None and certificate.signs_xml
        held = {
            each.certificate: each.key
            for each in self._of(entity, key_usage, cell_usage, signs_xml=signs_xml)
            if each.key is not None and certificate in {None, each.certificate}
        }
        if not held:
            raise self._missing(f"private key {_described(entity, key_usage, cell_usage)}", entity)
        return held[max(held, key=_age)]

    def _authority(self, authority: Authority) -> StoredCertificate:
        held = [each for each in self._stored if each.authority is authority]
        if not held:
            raise KeyMissing(self._location, f"certificate of the {authority.value} authority")
        return max(held, key=lambda each: _age(each.certificate))

    def _missing(self, what: str, entity: EntityIdentifier) -> KeyMissing:
        """Say what is missing, and why if a file or entry of that party was left out."""
        reasons = [each for each in self._problems if entity.stem in each]
        return KeyMissing(self._location, f"{what} ({reasons[0]})" if reasons else what)


def _age(certificate: GBCSCertificate) -> tuple[datetime, int]:
    return certificate.not_before, certificate.serial


def _described(entity: EntityIdentifier, key_usage: KeyUsage, cell_usage: CellUsage) -> str:
    top_up = " for prepayment top-up" if cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
    return f"of {entity} for {key_usage.gbcs_name}{top_up}"


def _distinct(stored: Iterable[StoredCertificate]) -> tuple[StoredCertificate, ...]:
    """Keep one of each certificate and cell usage, one with a private key if there is one."""
    kept: dict[tuple[GBCSCertificate, CellUsage], StoredCertificate] = {}
    for each in stored:
        place = (each.certificate, each.cell_usage)
        if place not in kept or (each.has_private_key and not kept[place].has_private_key):
            kept[place] = each
    return tuple(kept.values())
