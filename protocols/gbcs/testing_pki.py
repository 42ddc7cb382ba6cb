"""A whole PKI for tests: its parties, certificates and keys, and its devices' certificates.

Time, dice and keys are passed in; where the files go is for whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes

from gbcs.certificate_issuing import (
    SERIAL_OCTETS,
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    organisation_certificate,
    root_certificate,
    serial_of,
)
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage, RemotePartyRole, XMLSigningRole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.certification_request import CertificationRequest

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


ROOT: Final = "root"
ISSUING: Final = "issuing"
DEVICE_ISSUING: Final = "device-issuing"
"""The stems of the authorities' files, as in the reference test data set."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate of the test PKI, and the private key that belongs to it.

    Args:
        stem: What its files are called without suffix: an authority's name, or
            `<eui>[-pp]-{ds,ka,xml}`.
        certificate: The certificate.
        private_key: The key, on P-256.
    """

    stem: str
    certificate: GBCSCertificate
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    def issuer(self) -> Issuer:
        """Return it as an authority that issues.

        Raises:
            ValueError: It is not an authority's.
        """
        return Issuer(_Signer(self.private_key), self.certificate)


class _Signer:
    """A `CertificateSigner` with an authority's private key."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        return self._private_key.public_key()

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what `builder` holds by ECDSA on P-256 with SHA-256."""
        return builder.sign(self._private_key, hashes.SHA256())

    def __repr__(self) -> str:
        return "_Signer(private key hidden)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPKI:
    """Makes the test PKI.

    Args:
        now: The time, aware; certificates are valid from the start of its day in UTC.
        random: Returns that many random octets, for serial numbers.
        new_key: Generates a private key on P-256.
    """

    __test__ = False

    now: datetime
    random: Callable[[int], bytes]
    new_key: Callable[[], ec.EllipticCurvePrivateKey]

    def credentials(self) -> Iterator[Credential]:
        """Make root, issuing authorities and every party's credentials, in that order."""
        root = self._root()
        yield root
        issuing = self._issuing(root, ISSUING, ISSUING_NAME, RemotePartyRole.ISSUING_AUTHORITY)
        yield issuing
        yield self._issuing(root, DEVICE_ISSUING, DEVICE_ISSUING_NAME, None)
        issuer = issuing.issuer()
        for party in TEST_PARTIES:
            stem = party.entity_id.stem
            signs, agrees = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
            yield self._organisation(
                issuer, party, signs, f"{stem}-ds", business_name=party.business_name
            )
            if party.has_key_agreement:
                yield self._organisation(issuer, party, agrees, f"{stem}-ka")
            if party.has_top_up:
                yield self._organisation(issuer, party, agrees, f"{stem}-pp-ka")
            if party.xml_signing is not None:
                yield self._organisation(
                    issuer, party, signs, f"{stem}-xml", xml_signing=party.xml_signing
                )

    def _issuance(self, validity: timedelta) -> Issuance:
        start = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Issuance(
            serial=serial_of(self.random(SERIAL_OCTETS)),
            not_before=start,
            not_after=start + validity - timedelta(seconds=1),
        )

    def _root(self) -> Credential:
        key = self.new_key()
        certificate = root_certificate(
            _Signer(key), self._issuance(AUTHORITY_VALIDITY), common_name=ROOT_NAME
        )
        return Credential(ROOT, certificate, key)

    def _issuing(
        self, root: Credential, stem: str, name: str, role: RemotePartyRole | None
    ) -> Credential:
        key = self.new_key()
        certificate = issuing_certificate(
            root.issuer(),
            self._issuance(AUTHORITY_VALIDITY),
            common_name=name,
            public_key=key.public_key(),
            role=role,
        )
        return Credential(stem, certificate, key)

    def _organisation(
        self,
        issuer: Issuer,
        party: Party,
        key_usage: KeyUsage,
        stem: str,
        *,
        business_name: str | None = None,
        xml_signing: XMLSigningRole | None = None,
    ) -> Credential:
        key = self.new_key()
        certificate = organisation_certificate(
            issuer,
            self._issuance(ORGANISATION_VALIDITY),
            role=party.role if xml_signing is None else xml_signing,
            entity_id=party.entity_id,
            key_usage=key_usage,
            public_key=key.public_key(),
            business_name=business_name,
        )
        return Credential(stem, certificate, key)


def certify_device(
    issuer: Issuer,
    request: CertificationRequest,
    *,
    random: Callable[[int], bytes],
    now: datetime,
) -> GBCSCertificate:
    """Issue the certificate that a device's certification request, which is not verified, asks for.

    Args:
        issuer: The device issuing authority.
        request: The request.
        random: Returns that many random octets, for the serial number.
        now: The time, aware.

    Raises:
        CertificateRejected: What is asked for breaks the profile.
    """
    return device_certificate(
        issuer,
        serial=serial_of(random(SERIAL_OCTETS)),
        not_before=max(now - CLOCK_TOLERANCE, issuer.certificate.not_before),
        entity_id=request.entity_id,
        key_usage=request.key_usage,
        public_key=request.public_key,
    )
