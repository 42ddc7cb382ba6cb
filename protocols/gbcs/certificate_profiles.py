"""X.509 certificates of the smart metering key infrastructure, and the rules of their profiles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from gbcs import certificate_assumptions
from gbcs._certificate import CertificateProfile, GBCSCertificate
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage, OrganisationRole, RemotePartyRole
from gbcs.x509_extensions import (
    KEY_IDENTIFIER_OCTETS,
    PROCESSED_EXTENSIONS,
    check_encoding,
    entity_in_alternative_name,
    extensions_in,
    subject_key_identifier_of,
)

__all__ = [
    "AUTHORITY_KEY_USAGES",
    "END_ENTITY_KEY_USAGES",
    "NEVER_EXPIRES",
    "CertificateProfile",
    "GBCSCertificate",
    "check_profile",
    "subject_key_identifier_of",
]

NEVER_EXPIRES: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The notAfter of every device certificate, 99991231235959Z."""

END_ENTITY_KEY_USAGES: Final = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
"""What an organisation's or device's key may be for: exactly one of these."""

AUTHORITY_KEY_USAGES: Final = (
    KeyUsage.KEY_CERT_SIGN,
    KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN,
)
"""What an authority's key may be for."""

_SERIAL_MAXIMUM_BITS = 159
_UNIT_SHOWN_CHARACTERS = 40


def check_profile(certificate: GBCSCertificate, profile: CertificateProfile | None = None) -> None:
    """Check one certificate, on its own, against every rule of its profile.

    Its signature, issuer and validity now are path validation's.

    Args:
        certificate: What to check.
        profile: What it must be; None takes `certificate.profile`.

    Raises:
        CertificateRejected: Its rule is one of version, serial, signature-algorithm, curve,
            extensions, unknown-critical-extension, key-usage, subject-key-identifier,
            authority-key-identifier, certificate-policies, basic-constraints, subject, role,
            subject-alternative-name, entity-identifier and validity.

    Source: GBCS v0.8.1, 12; RFC 5280, 4; RFC 5759; shapes as in RTDS 4.5.0.
    """
    try:
        expected = certificate.profile if profile is None else profile
        for check in _CHECKS:
            check(certificate, expected)
    except CertificateRejected as error:
        if error.subject:
            raise
        raise CertificateRejected(error.rule, error.reason, str(certificate)) from error


def _require(condition: object, rule: str, reason: str) -> None:
    if not condition:
        raise CertificateRejected(rule=rule, reason=reason)


def _check_version(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    _require(certificate.decoded.version is x509.Version.v3, "version", "it is not X.509 version 3")


def _check_serial(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    number = certificate.serial
    _require(number > 0, "serial", "its serial number is not positive")
    _require(
        number.bit_length() <= _SERIAL_MAXIMUM_BITS,
        "serial",
        "its serial number has more than 20 octets",
    )


def _check_signature_algorithm(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    oid = certificate.decoded.signature_algorithm_oid
    _require(
        oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        "signature-algorithm",
        f"it is signed by {oid.dotted_string}, not by ecdsa-with-SHA256",
    )


def _check_curve(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    key_info = certificate.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _require(
        key_info in certificate.decoded.tbs_certificate_bytes,
        "curve",
        "its public key is not an uncompressed point of the named curve P-256",
    )


def _check_critical_extensions(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    for extension in certificate.extensions:
        _require(
            not extension.critical or extension.oid in PROCESSED_EXTENSIONS,
            "unknown-critical-extension",
            f"its critical extension {extension.oid.dotted_string} is unknown here",
        )


def _check_encoding(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    written = extensions_in(certificate.decoded.tbs_certificate_bytes)
    check_encoding(certificate.extensions, written)


def _check_key_usage(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    extension = certificate.extension(x509.KeyUsage)
    if extension is None:
        raise CertificateRejected("key-usage", "it has no keyUsage")
    _require(extension.critical, "key-usage", "its keyUsage is not critical")
    if profile.is_authority:
        _require(
            certificate.key_usage in AUTHORITY_KEY_USAGES,
            "key-usage",
            f"an authority's key is for keyCertSign, not {certificate.key_usage.gbcs_name}",
        )
    else:
        _require(
            certificate.key_usage in END_ENTITY_KEY_USAGES,
            "key-usage",
            "its keyUsage is not exactly one of digitalSignature and keyAgreement,"
            f" but {certificate.key_usage.gbcs_name}",
        )
        _require(
            not certificate.signs_xml or certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE,
            "key-usage",
            f"a key that signs XML is for digitalSignature, not {certificate.key_usage.gbcs_name}",
        )


def _check_subject_key_identifier(certificate: GBCSCertificate, _: CertificateProfile) -> None:
    extension = certificate.extension(x509.SubjectKeyIdentifier)
    if extension is None:
        raise CertificateRejected("subject-key-identifier", "it has no subjectKeyIdentifier")
    rule = "subject-key-identifier"
    _require(not extension.critical, rule, "its subjectKeyIdentifier is critical")
    _require(
        extension.value.digest == subject_key_identifier_of(certificate.public_key),
        rule,
        "its subjectKeyIdentifier is not that of its public key by RFC 5280 method (2)",
    )


def _check_authority_key_identifier(
    certificate: GBCSCertificate, profile: CertificateProfile
) -> None:
    rule = "authority-key-identifier"
    extension = certificate.extension(x509.AuthorityKeyIdentifier)
    if extension is None:
        # No XML-signing certificate of DCC Boxed has one.
        is_exempt = certificate.signs_xml or (
            profile is CertificateProfile.ROOT and certificate.is_self_issued
        )
        _require(is_exempt, rule, "it has no authorityKeyIdentifier")
        return
    _require(not extension.critical, rule, "its authorityKeyIdentifier is critical")
    value = extension.value
    _require(
        value.authority_cert_issuer is None and value.authority_cert_serial_number is None,
        rule,
        "its authorityKeyIdentifier has more than a keyIdentifier",
    )
    _require(
        value.key_identifier is not None and len(value.key_identifier) == KEY_IDENTIFIER_OCTETS,
        rule,
        f"its authorityKeyIdentifier has no keyIdentifier of {KEY_IDENTIFIER_OCTETS} octets",
    )


def _check_policies(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    rule = "certificate-policies"
    extension = certificate.extension(x509.CertificatePolicies)
    if extension is None:
        raise CertificateRejected(rule, "it has no certificatePolicies")
    _require(extension.critical, rule, "its certificatePolicies is not critical")
    policies = {policy.policy_identifier.dotted_string for policy in extension.value}
    _require(policies, rule, "it names no certificate policy")
    _require(
        profile is not CertificateProfile.DEVICE or len(extension.value) == 1,
        rule,
        f"a device certificate names one policy, not {len(extension.value)}",
    )
    accepted = certificate_assumptions.ACCEPTED_CERTIFICATE_POLICIES
    _require(
        accepted is None or accepted & policies,
        rule,
        f"none of its certificate policies is accepted ({', '.join(sorted(policies))})",
    )


def _check_basic_constraints(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    rule = "basic-constraints"
    extension = certificate.extension(x509.BasicConstraints)
    if not profile.is_authority:
        is_authority = extension is not None and extension.value.ca
        _require(not is_authority, rule, "it claims to be an authority")
        return
    if extension is None or not extension.value.ca:
        raise CertificateRejected(rule, "an authority has basicConstraints with cA true")
    _require(extension.critical, rule, "its basicConstraints is not critical")
    _require(
        profile is not CertificateProfile.ISSUING or extension.value.path_length == 0,
        rule,
        "an issuing authority has a pathLenConstraint of 0",
    )


def _check_subject(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    attributes = [attribute.oid for attribute in certificate.subject]
    if profile is CertificateProfile.DEVICE:
        _require(not attributes, "subject", "the subject of a device certificate is empty")
        return
    _require(attributes, "subject", "its subject is empty")
    _require(
        len(attributes) == len(set(attributes)), "subject", "its subject names an attribute twice"
    )


_AUTHORITY_ROLES = {
    CertificateProfile.ROOT: (RemotePartyRole.ROOT,),
    # The device issuing authority of RTDS has a common name alone.
    CertificateProfile.ISSUING: (RemotePartyRole.ISSUING_AUTHORITY, None),
}


def _check_role(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    if profile is CertificateProfile.DEVICE:
        return
    attributes = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    role = certificate.role
    if role is None and attributes:
        unit = printable(certificate.organizational_unit or "not text", _UNIT_SHOWN_CHARACTERS)
        raise CertificateRejected("role", f"the role that its OU names ({unit}) is unknown here")
    if profile.is_authority:
        allowed: tuple[OrganisationRole | None, ...] = _AUTHORITY_ROLES[profile]
        _require(
            role in allowed,
            "role",
            f"{'no role' if role is None else role.gbcs_name} is not the role of its profile",
        )
        return
    if role is None:
        raise CertificateRejected("role", "it has no OU with the role of an organisation")
    _require(
        role not in {RemotePartyRole.ROOT, RemotePartyRole.ISSUING_AUTHORITY},
        "role",
        f"{role.gbcs_name} is the role of an authority",
    )


def _check_entity(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    names = certificate.extension(x509.SubjectAlternativeName)
    if profile is CertificateProfile.DEVICE:
        if names is None:
            raise CertificateRejected("subject-alternative-name", "it has no subjectAltName")
        _require(names.critical, "subject-alternative-name", "its subjectAltName is not critical")
        entity_in_alternative_name(names.value)
        return
    _require(
        names is None,
        "subject-alternative-name",
        "only a device certificate has a subjectAltName",
    )
    if profile is CertificateProfile.ORGANISATION:
        _require(certificate.entity_id, "entity-identifier", "it has no uniqueIdentifier")
    else:
        _require(
            certificate.entity_id is None,
            "entity-identifier",
            "an authority has no uniqueIdentifier",
        )


def _check_validity(certificate: GBCSCertificate, profile: CertificateProfile) -> None:
    _require(
        certificate.not_before <= certificate.not_after,
        "validity",
        "its notAfter comes before its notBefore",
    )
    _require(
        profile is not CertificateProfile.DEVICE or certificate.not_after == NEVER_EXPIRES,
        "validity",
        "the notAfter of a device certificate is 99991231235959Z",
    )


_CHECKS: Final = (
    _check_version,
    _check_serial,
    _check_signature_algorithm,
    _check_curve,
    _check_critical_extensions,
    _check_encoding,
    _check_key_usage,
    _check_subject_key_identifier,
    _check_authority_key_identifier,
    _check_policies,
    _check_basic_constraints,
    _check_subject,
    _check_role,
    _check_entity,
    _check_validity,
)
