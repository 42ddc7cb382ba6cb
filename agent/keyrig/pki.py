"""A whole test PKI, and the certification authority that certifies devices with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gbcs.certification_request import CertificationRequest
from gbcs.entity import EntityIdentifier
from gbcs.issuing import (
    SERIAL_OCTETS,
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    organisation_certificate,
    root_certificate,
    serial_of,
)
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole, XMLSigningRole
from keyrig.keystore import Authority
from keyrig.keystore.base import StoredCertificate
from keyrig.keystore.checking import CheckReport, Finding, check
from keyrig.keystore.copying import (
    CopyReport,
    export,
    export_dcc_boxed,
    import_,
    whole_directory,
)
from keyrig.keystore.folder import (
    FolderKeyStore,
    file_stem,
    write_certificate,
    write_private_key,
)
from keyrig.keystore.pem import PEMCertificateSigner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gbcs.certificates import GBCSCertificate
    from keyrig.keystore import KeyStore

__all__ = [
    "ACCESS_CONTROL_BROKER",
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

AUTHORITY_VALIDITY: Final = timedelta(days=9131)
"""Some 25 years, as the authorities of RTDS 4.5.0."""

ORGANISATION_VALIDITY: Final = timedelta(days=3652)
"""Some 10 years, as the organisations of RTDS 4.5.0."""

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""A device certificate starts this much before it is issued, for devices whose clocks lag."""


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation of the test PKI.

    Args:
        entity_id: Its Entity Identifier.
        role: Its remote party role.
        has_key_agreement: Whether it has a key agreement key beside the signing one.
        has_top_up: Whether it has a prepayment top-up key.
        business_name: The common name of its signing certificate, or None.
        xml_signing: The role by which it signs DUIS documents, or None where it signs none.
    """

    entity_id: EntityIdentifier
    role: RemotePartyRole
    has_key_agreement: bool = True
    has_top_up: bool = False
    business_name: str | None = None
    xml_signing: XMLSigningRole | None = None


RECOVERY: Final = Party(
    EntityIdentifier.parse("90b3d51f30000001"), RemotePartyRole.RECOVERY, has_key_agreement=False
)
ACCESS_CONTROL_BROKER: Final = Party(
    EntityIdentifier.parse("90b3d51f30000002"),
    RemotePartyRole.ACCESS_CONTROL_BROKER,
    xml_signing=XMLSigningRole.DSP_XML_SIGN,
)
"""Its certificates are also what the supplier's and network operator's cells hold at first."""
TRANSITIONAL_COS: Final = Party(
    EntityIdentifier.parse("90b3d51f30000004"),
    RemotePartyRole.TRANSITIONAL_COS,
    has_key_agreement=False,
)
WAN_PROVIDER: Final = Party(
    EntityIdentifier.parse("90b3d51f30000007"), RemotePartyRole.WAN_PROVIDER
)
SUPPLIER: Final = Party(
    EntityIdentifier.parse("90b3d51f30010000"),
    RemotePartyRole.SUPPLIER,
    has_top_up=True,
    business_name="KEYRIGTESTSUPPLIER",
    xml_signing=XMLSigningRole.XML_SIGN,
)
NETWORK_OPERATOR: Final = Party(
    EntityIdentifier.parse("90b3d51f30020000"),
    RemotePartyRole.NETWORK_OPERATOR,
    xml_signing=XMLSigningRole.XML_SIGN,
)
SECOND_SUPPLIER: Final = Party(
    EntityIdentifier.parse("90b3d51f30030000"),
    RemotePartyRole.SUPPLIER,
    has_top_up=True,
    business_name="KEYRIGTESTSUPPLIER2",
    xml_signing=XMLSigningRole.XML_SIGN,
)

TEST_PARTIES: Final = (
    RECOVERY,
    ACCESS_CONTROL_BROKER,
    TRANSITIONAL_COS,
    WAN_PROVIDER,
    SUPPLIER,
    NETWORK_OPERATOR,
    SECOND_SUPPLIER,
)
"""The organisations of the test PKI, with the identifiers of RTDS 4.5.0."""

ROOT_NAME: Final = "KA"
ISSUING_NAME: Final = "K1"
DEVICE_ISSUING_NAME: Final = "KD1"


def initialise(directory: Path, now: datetime, random: Callable[[int], bytes]) -> FolderKeyStore:
    """Make the whole test PKI, keys and all, in a folder; wholly or not at all.

    Args:
        directory: The folder; it must not exist, or be empty.
        now: The time, aware; certificates are valid from the start of its day in UTC.
        random: Gives that many random octets; for serial numbers. Keys are made by the library.

    Returns:
        The folder, opened.

    Raises:
        KeyStoreError: The folder exists and is not empty, or cannot be written.
    """
    with whole_directory(directory) as partial:
        _TestPKI(partial, now, random).make()
    return FolderKeyStore(directory)


class _TestPKI:
    def __init__(self, directory: Path, now: datetime, random: Callable[[int], bytes]) -> None:
        self._directory = directory
        self._start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._random = random

    def make(self) -> None:
        root = self._root()
        issuing = self._issuing(
            root, Authority.ISSUING, ISSUING_NAME, RemotePartyRole.ISSUING_AUTHORITY
        )
        self._issuing(root, Authority.DEVICE_ISSUING, DEVICE_ISSUING_NAME, None)
        for party in TEST_PARTIES:
            self._organisation(issuing, party, KeyUsage.DIGITAL_SIGNATURE, party.business_name)
            if party.has_key_agreement:
                self._organisation(issuing, party, KeyUsage.KEY_AGREEMENT)
            if party.has_top_up:
                self._organisation(issuing, party, KeyUsage.KEY_AGREEMENT, is_top_up=True)
            if party.xml_signing is not None:
                self._organisation(
                    issuing, party, KeyUsage.DIGITAL_SIGNATURE, xml_signing=party.xml_signing
                )

    def _issuance(self, validity: timedelta) -> Issuance:
        return Issuance(
            serial=serial_of(self._random(SERIAL_OCTETS)),
            not_before=self._start,
            not_after=self._start + validity - timedelta(seconds=1),
        )

    def _root(self) -> Issuer:
        key = _new_key()
        signer = PEMCertificateSigner(key, Authority.ROOT.value)
        certificate = root_certificate(
            signer, self._issuance(AUTHORITY_VALIDITY), common_name=ROOT_NAME
        )
        self._keep(Authority.ROOT.value, certificate, key)
        return Issuer(signer, certificate)

    def _issuing(
        self, root: Issuer, authority: Authority, name: str, role: RemotePartyRole | None
    ) -> Issuer:
        key = _new_key()
        certificate = issuing_certificate(
            root,
            self._issuance(AUTHORITY_VALIDITY),
            common_name=name,
            public_key=key.public_key(),
            role=role,
        )
        self._keep(authority.value, certificate, key)
        return Issuer(PEMCertificateSigner(key, authority.value), certificate)

    def _organisation(
        self,
        issuing: Issuer,
        party: Party,
        key_usage: KeyUsage,
        business_name: str | None = None,
        *,
        is_top_up: bool = False,
        xml_signing: XMLSigningRole | None = None,
    ) -> None:
        key = _new_key()
        certificate = organisation_certificate(
            issuing,
            self._issuance(ORGANISATION_VALIDITY),
            role=party.role if xml_signing is None else xml_signing,
            entity_id=party.entity_id,
            key_usage=key_usage,
            public_key=key.public_key(),
            business_name=business_name,
        )
        cell_usage = CellUsage.PREPAYMENT_TOP_UP if is_top_up else CellUsage.MANAGEMENT
        stored = StoredCertificate(certificate, cell_usage=cell_usage, source="the test PKI")
        self._keep(file_stem(stored), certificate, key)

    def _keep(
        self, stem: str, certificate: GBCSCertificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private_key(self._directory, stem, pem)
        write_certificate(self._directory, stem, certificate)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class TestCertificationAuthority:
    """Certifies devices with the device issuing authority of a key store.

    Args:
        issuer: The device issuing authority.
        random: Gives that many random octets, for serial numbers.
    """

    __test__: ClassVar[bool] = False
    """Pytest would take the name for that of a test."""

    def __init__(self, issuer: Issuer, random: Callable[[int], bytes]) -> None:
        self._issuer = issuer
        self._random = random

    @classmethod
    def of(cls, store: KeyStore, random: Callable[[int], bytes]) -> TestCertificationAuthority:
        """Make it of the device issuing authority in `store`.

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
            request: PKCS#10 in DER, as the device gave it in its verified response.
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
        return device_certificate(
            self._issuer,
            serial=serial_of(self._random(SERIAL_OCTETS)),
            not_before=max(now - CLOCK_TOLERANCE, self._issuer.certificate.not_before),
            entity_id=entity,
            key_usage=key_usage,
            public_key=decoded.public_key,
        ).der
