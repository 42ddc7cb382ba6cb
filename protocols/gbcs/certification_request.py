"""The PKCS#10 certification request that a device answers CS02c with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from gbcs.certificate_profiles import END_ENTITY_KEY_USAGES
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.x509_der import cause_of, unreadable
from gbcs.x509_extensions import (
    check_encoding,
    device_alternative_name,
    entity_in_alternative_name,
    has_unused_bits,
    key_usage_in,
    requested_extensions_in,
    unreadable_extensions,
    x509_key_usage,
)

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage

_EXTENSIONS = frozenset({x509.KeyUsage.oid, x509.SubjectAlternativeName.oid})


class CertificationRequestRejected(CertificateRejected):
    """A certification request breaks a rule; `rule` names it."""

    kind = "certification request"


def build_certification_request(
    private_key: ec.EllipticCurvePrivateKey, key_usage: KeyUsage, entity_id: EntityIdentifier
) -> bytes:
    """Build the request of a device for a certificate over the key that it has made.

    Args:
        private_key: The new key, on P-256; it signs the request.
        key_usage: Exactly digitalSignature or keyAgreement.
        entity_id: The device's own.

    Returns:
        PKCS#10 in DER: empty subject; keyUsage and subjectAltName, both critical, requested.

    Raises:
        ValueError: The key is not on P-256 or `key_usage` is another.

    Source: GBCS v0.8.1, 13.4 (CS02c response, shape as in RTDS 4.5.0); RFC 2986; RFC 5912.
    """
    if private_key.curve.name != ec.SECP256R1.name:
        msg = f"a device's key is on P-256, not {private_key.curve.name}"
        raise ValueError(msg)
    if key_usage not in END_ENTITY_KEY_USAGES:
        msg = f"a device's key has one use, digitalSignature or keyAgreement: {key_usage.gbcs_name}"
        raise ValueError(msg)
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509_key_usage(key_usage), critical=True)
        .add_extension(device_alternative_name(entity_id), critical=True)
    )
    return builder.sign(private_key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class CertificationRequest:
    """A certification request as it came from a device; `verify` it before use.

    The properties raise `CertificationRequestRejected` when what they read breaks a rule.

    Source: GBCS v0.8.1, 13.4 (CS02c response); RFC 2986.
    """

    der: bytes
    decoded: x509.CertificateSigningRequest = field(repr=False, compare=False)

    @staticmethod
    def from_der(der: bytes) -> CertificationRequest:
        """Parse one request.

        Raises:
            DecodeError: `der` is not one PKCS#10 request in DER.
        """
        try:
            decoded = x509.load_der_x509_csr(der)
        except (ValueError, x509.InvalidVersion, Warning) as error:
            raise unreadable(
                der, error, what="PKCS#10 request", layer="PKCS#10", clause="RFC 2986, 4"
            ) from error
        return CertificationRequest(der=bytes(der), decoded=decoded)

    @cached_property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The key to be certified, an uncompressed point of P-256; else rule "curve"."""
        try:
            key = self.decoded.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _rejected(
                "curve", f"its public key is not a point of P-256: {cause_of(error)}"
            ) from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise _rejected("curve", "its public key is not on P-256")
        key_info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key_info not in self.decoded.tbs_certrequest_bytes:
            raise _rejected("curve", "its public key is not an uncompressed point")
        return key

    @cached_property
    def key_usage(self) -> KeyUsage:
        """The intended use of the key; rule "key-usage" when absent or not critical."""
        for extension in self._extensions:
            if isinstance(extension.value, x509.KeyUsage):
                if not extension.critical:
                    raise _rejected("key-usage", "its keyUsage is not critical")
                return key_usage_in(extension.value)
        raise _rejected("key-usage", "it asks for no keyUsage")

    @cached_property
    def entity_id(self) -> EntityIdentifier:
        """The device that it names; rule "subject-alternative-name" or "entity-identifier"."""
        for extension in self._extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                if not extension.critical:
                    raise _rejected(
                        "subject-alternative-name", "its subjectAltName is not critical"
                    )
                try:
                    return entity_in_alternative_name(extension.value)
                except CertificateRejected as error:
                    raise _rejected(error.rule, error.reason) from error
        raise _rejected("subject-alternative-name", "it has no subjectAltName")

    @cached_property
    def _extensions(self) -> tuple[x509.Extension[x509.ExtensionType], ...]:
        try:
            written = requested_extensions_in(self.decoded.tbs_certrequest_bytes)
            try:
                extensions = tuple(self.decoded.extensions)
            except (
                ValueError,
                TypeError,
                x509.DuplicateExtension,
                x509.UnsupportedGeneralNameType,
            ) as error:
                raise unreadable_extensions(written, error) from error
            check_encoding(extensions, written)
        except CertificateRejected as error:
            raise _rejected(error.rule, error.reason) from error
        except DecodeError as error:
            raise _rejected(
                "extension-request", f"its attributes cannot be read: {error}"
            ) from error
        return extensions

    def verify(self, *, entity: EntityIdentifier, key_usage: KeyUsage) -> None:
        """Verify that device `entity` asks, with proof of the key, for a use of `key_usage`.

        Raises:
            CertificationRequestRejected: Its rule is one of extension-request, extensions,
                unknown-critical-extension, curve, signature-algorithm, signature, subject,
                key-usage, wrong-use, subject-alternative-name, entity-identifier and
                wrong-entity.

        Source: GBCS v0.8.1, 13.4 (CS02c response, shape as in RTDS 4.5.0).
        """
        for extension in self._extensions:
            if extension.critical and extension.oid not in _EXTENSIONS:
                oid = extension.oid.dotted_string
                raise _rejected(
                    "unknown-critical-extension", f"it asks for critical extension {oid}"
                )
        self._verify_possession()
        self._verify_subject()
        if self.key_usage not in END_ENTITY_KEY_USAGES:
            raise _rejected(
                "key-usage",
                "its keyUsage is not exactly one of digitalSignature and keyAgreement,"
                f" but {self.key_usage.gbcs_name}",
            )
        if self.key_usage != key_usage:
            raise _rejected(
                "wrong-use",
                f"its key is for {self.key_usage.gbcs_name}, not {key_usage.gbcs_name}",
            )
        if self.entity_id != entity:
            raise _rejected("wrong-entity", f"it names {self.entity_id}, not {entity}")

    def _verify_possession(self) -> None:
        public_key = self.public_key
        algorithm = self.decoded.signature_algorithm_oid
        if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise _rejected(
                "signature-algorithm",
                f"it is signed by {algorithm.dotted_string}, not by ecdsa-with-SHA256",
            )
        if has_unused_bits(self.der, self.decoded.signature):
            raise _rejected("signature", "its signature is not a whole number of octets")
        try:
            public_key.verify(
                self.decoded.signature,
                self.decoded.tbs_certrequest_bytes,
                ec.ECDSA(hashes.SHA256()),
            )
        except InvalidSignature as error:
            raise _rejected("signature", "its signature is not by the key it carries") from error

    def _verify_subject(self) -> None:
        try:
            attributes = list(self.decoded.subject)
        except (ValueError, TypeError) as error:
            raise _rejected("subject", f"it cannot be read: {cause_of(error)}") from error
        if attributes:
            raise _rejected("subject", "the subject of a device's request is empty")


def _rejected(rule: str, reason: str) -> CertificationRequestRejected:
    return CertificationRequestRejected(rule=rule, reason=reason)
