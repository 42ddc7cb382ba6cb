"""Building certificates of the four profiles; time, serial numbers and keys are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from gbcs import certificate_assumptions
from gbcs.certificate_profiles import (
    END_ENTITY_KEY_USAGES,
    NEVER_EXPIRES,
    CertificateProfile,
    GBCSCertificate,
    check_profile,
)
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage, OrganisationRole, RemotePartyRole
from gbcs.x509_extensions import device_alternative_name, subject_key_identifier_of, x509_key_usage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.entity_identifier import EntityIdentifier

SERIAL_OCTETS: Final = 16
"""Octets of a serial number, as in RTDS 4.5.0; its first bit is clear."""


class CertificateSigner(Protocol):
    """Holds the private key of an authority and signs certificates with it."""

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        ...

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what `builder` holds by ECDSA on P-256 with SHA-256."""
        ...


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority: its key's holder and its certificate.

    Raises:
        ValueError: The certificate is not an authority's, or for another key.
    """

    signer: CertificateSigner
    certificate: GBCSCertificate

    def __post_init__(self) -> None:
        if not self.certificate.profile.is_authority:
            msg = f"{self.certificate} is not an authority and issues nothing"
            raise ValueError(msg)
        if public_octets(self.signer.public_key) != public_octets(self.certificate.public_key):
            msg = f"the signing key is not that of {self.certificate}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Issuance:
    """What is particular to one certificate.

    Args:
        serial: Its serial number; make it by `serial_of`.
        not_before: Its first second, aware.
        not_after: Its last second, aware.
    """

    serial: int
    not_before: datetime
    not_after: datetime


def serial_of(octets: bytes) -> int:
    """Return a serial number of 16 random octets, the first bit cleared.

    Raises:
        ValueError: Another number of octets, or nothing but zeros remains.
    """
    serial = int.from_bytes(octets) & ((1 << (8 * SERIAL_OCTETS - 1)) - 1)
    if len(octets) != SERIAL_OCTETS or not serial:
        msg = f"a serial number is made of {SERIAL_OCTETS} random octets"
        raise ValueError(msg)
    return serial


def root_certificate(
    signer: CertificateSigner, issuance: Issuance, *, common_name: str
) -> GBCSCertificate:
    """Issue the self-signed certificate of a root authority, role 00.

    Raises:
        CertificateRejected: What is asked for breaks the profile.

    Source: GBCS v0.8.1, 12 (self-signed only where the role is root).
    """
    name = _authority_name(common_name, RemotePartyRole.ROOT)
    builder = _builder(name, name, signer.public_key, issuance)
    builder = _with_authority_extensions(builder, signer.public_key, path_length=None)
    return _signed(signer, builder, CertificateProfile.ROOT)


def issuing_certificate(
    issuer: Issuer,
    issuance: Issuance,
    *,
    common_name: str,
    public_key: ec.EllipticCurvePublicKey,
    role: RemotePartyRole | None = RemotePartyRole.ISSUING_AUTHORITY,
) -> GBCSCertificate:
    """Issue the certificate of an issuing authority.

    Args:
        issuer: The root authority.
        issuance: Serial number and validity.
        common_name: Its name.
        public_key: Its key.
        role: Its OU; None for none, as the device issuing authority's in RTDS.

    Raises:
        CertificateRejected: What is asked for breaks the profile.

    Source: GBCS v0.8.1, 12; shape of RTDS 4.5.0's authority Z1.
    """
    name = _authority_name(common_name, role)
    builder = _builder(issuer.certificate.subject, name, public_key, issuance)
    builder = _with_authority_extensions(builder, public_key, path_length=0)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    return _signed(issuer.signer, builder, CertificateProfile.ISSUING)


def organisation_certificate(
    issuer: Issuer,
    issuance: Issuance,
    *,
    role: OrganisationRole,
    entity_id: EntityIdentifier,
    key_usage: KeyUsage,
    public_key: ec.EllipticCurvePublicKey,
    business_name: str | None = None,
) -> GBCSCertificate:
    """Issue a certificate of a remote party.

    Args:
        issuer: The issuing authority.
        issuance: Serial number and validity.
        role: Its OU.
        entity_id: Its uniqueIdentifier.
        key_usage: Exactly digitalSignature or keyAgreement; the former where the role signs XML.
        public_key: Its key.
        business_name: Its common name, or None for none.

    Raises:
        CertificateRejected: What is asked for breaks the profile.

    Source: GBCS v0.8.1, 12; shape as in RTDS 4.5.0.
    """
    _require_one_use(key_usage)
    attributes: list[x509.NameAttribute[str | bytes]] = [
        x509.NameAttribute(
            NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}", _type=_ASN1Type.UTF8String
        ),
        x509.NameAttribute(
            NameOID.X500_UNIQUE_IDENTIFIER, b"\x00" + entity_id, _type=_ASN1Type.BitString
        ),
    ]
    if business_name is not None:
        common_name = x509.NameAttribute(
            NameOID.COMMON_NAME, business_name, _type=_ASN1Type.UTF8String
        )
        attributes.insert(0, common_name)
    subject = x509.Name(attributes)
    builder = (
        _builder(issuer.certificate.subject, subject, public_key, issuance)
        .add_extension(x509_key_usage(key_usage), critical=True)
        .add_extension(_subject_key(public_key), critical=False)
        .add_extension(_policies(certificate_assumptions.TEST_CERTIFICATE_POLICY), critical=True)
        .add_extension(_authority_key(issuer), critical=False)
    )
    return _signed(issuer.signer, builder, CertificateProfile.ORGANISATION)


def device_certificate(
    issuer: Issuer,
    *,
    serial: int,
    not_before: datetime,
    entity_id: EntityIdentifier,
    key_usage: KeyUsage,
    public_key: ec.EllipticCurvePublicKey,
) -> GBCSCertificate:
    """Issue a certificate of a device; it never expires.

    Args:
        issuer: The device issuing authority.
        serial: The serial number; make it by `serial_of`.
        not_before: Its first second, aware.
        entity_id: The device, as its hwSerialNum.
        key_usage: Exactly digitalSignature or keyAgreement.
        public_key: Its key.

    Raises:
        CertificateRejected: What is asked for breaks the profile.

    Source: GBCS v0.8.1, 12 (device certificates); shape as in RTDS 4.5.0.
    """
    _require_one_use(key_usage)
    issuance = Issuance(serial=serial, not_before=not_before, not_after=NEVER_EXPIRES)
    builder = (
        _builder(issuer.certificate.subject, x509.Name([]), public_key, issuance)
        .add_extension(x509_key_usage(key_usage), critical=True)
        .add_extension(_subject_key(public_key), critical=False)
        .add_extension(device_alternative_name(entity_id), critical=True)
        .add_extension(
            _policies(certificate_assumptions.TEST_DEVICE_CERTIFICATE_POLICY), critical=True
        )
        .add_extension(_authority_key(issuer), critical=False)
    )
    return _signed(issuer.signer, builder, CertificateProfile.DEVICE)


def _require_one_use(key_usage: KeyUsage) -> None:
    if key_usage not in END_ENTITY_KEY_USAGES:
        raise CertificateRejected(
            "key-usage",
            f"a key has one use, digitalSignature or keyAgreement, not {key_usage.gbcs_name}",
        )


def _authority_name(common_name: str, role: RemotePartyRole | None) -> x509.Name:
    attributes: list[x509.NameAttribute[str | bytes]] = [
        x509.NameAttribute(NameOID.COMMON_NAME, common_name, _type=_ASN1Type.PrintableString)
    ]
    if role is not None:
        unit = x509.NameAttribute(
            NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}", _type=_ASN1Type.PrintableString
        )
        attributes.insert(0, unit)
    return x509.Name(attributes)


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuance: Issuance,
) -> x509.CertificateBuilder:
    if issuance.not_before.tzinfo is None or issuance.not_after.tzinfo is None:
        msg = "the validity of a certificate must be aware of its zone"
        raise ValueError(msg)
    return (
        x509.CertificateBuilder()
        .serial_number(issuance.serial)
        .issuer_name(issuer)
        .subject_name(subject)
        .not_valid_before(_whole_second(issuance.not_before))
        .not_valid_after(_whole_second(issuance.not_after))
        .public_key(public_key)
    )


def _whole_second(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def _with_authority_extensions(
    builder: x509.CertificateBuilder,
    public_key: ec.EllipticCurvePublicKey,
    *,
    path_length: int | None,
) -> x509.CertificateBuilder:
    usage = KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN
    return (
        builder.add_extension(x509_key_usage(usage), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_policies(certificate_assumptions.TEST_CERTIFICATE_POLICY), critical=True)
        .add_extension(_subject_key(public_key), critical=False)
    )


def _policies(identifier: str) -> x509.CertificatePolicies:
    policy = x509.PolicyInformation(x509.ObjectIdentifier(identifier), None)
    return x509.CertificatePolicies([policy])


def _subject_key(public_key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier(subject_key_identifier_of(public_key))


def _authority_key(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(issuer.certificate.subject_key_identifier, None, None)


def _signed(
    signer: CertificateSigner, builder: x509.CertificateBuilder, profile: CertificateProfile
) -> GBCSCertificate:
    """Sign what `builder` holds, and give nothing out that breaks its own profile."""
    certificate = GBCSCertificate.from_x509(signer.sign_certificate(builder))
    check_profile(certificate, profile)
    return certificate
