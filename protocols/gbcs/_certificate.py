"""The value of one certificate: octets in, and what they say, read when asked for."""

from __future__ import annotations

import binascii
import enum
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gbcs.entity_identifier import ENTITY_IDENTIFIER_OCTETS, EntityIdentifier
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage, OrganisationRole, RemotePartyRole, XMLSigningRole
from gbcs.x509_der import cause_of, unreadable
from gbcs.x509_extensions import (
    entity_in_alternative_name,
    extensions_in,
    key_usage_in,
    unreadable_extensions,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_CACHED_CERTIFICATES = 1024
_NAME_SHOWN_CHARACTERS = 40
_PEM_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}
_PEM_BEGINS = re.compile(rb"-----BEGIN ([^\r\n]{1,64}?)-----")
_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL
)
_UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_ROLE = re.compile(r"[0-9A-Fa-f]{2}")
_ROLES: Final[dict[int, OrganisationRole]] = {
    int(role): role for kind in (RemotePartyRole, XMLSigningRole) for role in kind
}
ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)
ReadT = TypeVar("ReadT")


class CertificateProfile(enum.Enum):
    """Which of the four certificate profiles a certificate follows."""

    ORGANISATION = "organisation"
    DEVICE = "device"
    ISSUING = "issuing authority"
    ROOT = "root"

    @property
    def is_authority(self) -> bool:
        """True if certificates of this profile issue certificates."""
        return self in {CertificateProfile.ISSUING, CertificateProfile.ROOT}


@dataclass(frozen=True)
class GBCSCertificate:
    """One certificate, known by its DER; what it says is read when it is asked for.

    Every property raises `CertificateRejected` when the part that it reads cannot be read.

    Source: GBCS v0.8.1, 12; RFC 5280; shapes as in RTDS 4.5.0.
    """

    der: bytes
    decoded: x509.Certificate = field(repr=False, compare=False)

    @staticmethod
    def from_der(der: bytes) -> GBCSCertificate:
        """Parse one certificate; the last 1024 different ones are kept.

        Raises:
            DecodeError: `der` is not one DER certificate.
        """
        return _parse(bytes(der))

    @staticmethod
    def all_from_pem(text: bytes) -> tuple[GBCSCertificate, ...]:
        """Parse every certificate of a PEM text; what else stands in it is left alone.

        Raises:
            DecodeError: Layer "PEM": there is no PEM, none of a certificate, or one that is
                broken; layer "X.509": as `from_der`. No octet of the text is quoted.

        Source: RFC 7468, 2 and 5.
        """
        try:
            found = x509.load_pem_x509_certificates(text)
        except (ValueError, x509.InvalidVersion, Warning) as error:
            raise _no_certificates(text, error) from error
        return tuple(_parse(each.public_bytes(Encoding.DER)) for each in found)

    @classmethod
    def from_x509(cls, certificate: x509.Certificate) -> Self:
        """Wrap a certificate of the library."""
        return cls(der=certificate.public_bytes(Encoding.DER), decoded=certificate)

    @cached_property
    def profile(self) -> CertificateProfile:
        """The profile that its contents point to, before any check."""
        names_organisation = bool(self._subject_values(NameOID.X500_UNIQUE_IDENTIFIER))
        names_device = self.extension(x509.SubjectAlternativeName) is not None
        constraints = self.extension(x509.BasicConstraints)
        claims_authority = constraints is not None and constraints.value.ca
        if KeyUsage.KEY_CERT_SIGN in self.key_usage or (
            claims_authority and not names_organisation and not names_device
        ):
            return CertificateProfile.ROOT if self.is_self_issued else CertificateProfile.ISSUING
        if not names_organisation and (names_device or not list(self.subject)):
            return CertificateProfile.DEVICE
        return CertificateProfile.ORGANISATION

    @cached_property
    def subject(self) -> x509.Name:
        """The subject's distinguished name; empty for a device."""
        return self._read("subject", lambda: self.decoded.subject)

    @cached_property
    def issuer(self) -> x509.Name:
        """The issuer's distinguished name."""
        return self._read("issuer", lambda: self.decoded.issuer)

    @property
    def is_self_issued(self) -> bool:
        """True if subject and issuer have the same, non-empty name."""
        return self.subject == self.issuer and bool(list(self.subject))

    @cached_property
    def organizational_unit(self) -> str | None:
        """Its one OU, as it stands there, or None; clean it before printing."""
        values = self._subject_values(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return values[0] if len(values) == 1 and isinstance(values[0], str) else None

    @cached_property
    def role_number(self) -> int | None:
        """The number of its OU, known as a role or not; None unless it has two digits."""
        unit = self.organizational_unit
        return int(unit, 16) if unit is not None and _ROLE.fullmatch(unit) else None

    @cached_property
    def role(self) -> OrganisationRole | None:
        """The role of its OU, or None without one that is known."""
        return None if self.role_number is None else _ROLES.get(self.role_number)

    @property
    def signs_xml(self) -> bool:
        """True if its key signs XML and, for that reason, no GBCS message."""
        return isinstance(self.role, XMLSigningRole)

    @cached_property
    def entity_id(self) -> EntityIdentifier | None:
        """Its subject, by uniqueIdentifier or hwSerialNum; None for an authority."""
        values = self._subject_values(NameOID.X500_UNIQUE_IDENTIFIER)
        if values:
            return _entity_in_unique_identifier(values)
        names = self.extension(x509.SubjectAlternativeName)
        return None if names is None else entity_in_alternative_name(names.value)

    @cached_property
    def key_usage(self) -> KeyUsage:
        """The uses of its key; no flag if the extension is absent."""
        extension = self.extension(x509.KeyUsage)
        return KeyUsage(0) if extension is None else key_usage_in(extension.value)

    @cached_property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Its public key on P-256; another is rejected by rule "curve"."""
        try:
            key = self.decoded.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise self._rejected(
                "curve", f"its public key is not a point of P-256: {cause_of(error)}"
            ) from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise self._rejected("curve", "its public key is not an elliptic curve key")
        if not isinstance(key.curve, ec.SECP256R1):
            raise self._rejected("curve", f"its public key is on {key.curve.name}, not P-256")
        return key

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """The identifier of its key, as it states it, or None."""
        extension = self.extension(x509.SubjectKeyIdentifier)
        return None if extension is None else extension.value.digest

    @cached_property
    def authority_key_identifier(self) -> bytes | None:
        """The identifier of its issuer's key, or None."""
        extension = self.extension(x509.AuthorityKeyIdentifier)
        return None if extension is None else extension.value.key_identifier

    @cached_property
    def serial(self) -> int:
        """Its serial number."""
        return self.decoded.serial_number

    @cached_property
    def not_before(self) -> datetime:
        """The first second of its validity, in UTC."""
        return self._read("validity", lambda: self.decoded.not_valid_before_utc)

    @cached_property
    def not_after(self) -> datetime:
        """The last second of its validity, in UTC."""
        return self._read("validity", lambda: self.decoded.not_valid_after_utc)

    @cached_property
    def business_name(self) -> str | None:
        """The common name, as it stands there, or None; clean it before printing."""
        values = self._subject_values(NameOID.COMMON_NAME)
        return values[0] if values and isinstance(values[0], str) else None

    def is_valid_at(self, at: datetime) -> bool:
        """True if `at`, which must be aware, lies within the validity."""
        return self.not_before <= at <= self.not_after

    def extension(self, kind: type[ExtensionT]) -> x509.Extension[ExtensionT] | None:
        """Return its extension of one kind, or None."""
        for extension in self.extensions:
            if isinstance(extension.value, kind):
                return cast("x509.Extension[ExtensionT]", extension)
        return None

    @cached_property
    def extensions(self) -> tuple[x509.Extension[x509.ExtensionType], ...]:
        """All its extensions, in order."""
        try:
            return tuple(self.decoded.extensions)
        except _UNREADABLE as error:
            written = extensions_in(self.decoded.tbs_certificate_bytes)
            raise unreadable_extensions(written, error) from error

    def __str__(self) -> str:
        """Return a name for people, in characters safe to print, whatever it contains."""
        try:
            usage = self.key_usage.gbcs_name
            if self.entity_id is None:
                return (
                    f"{printable(self.business_name or 'nobody', _NAME_SHOWN_CHARACTERS)} ({usage})"
                )
            who = self._standing
        except CertificateRejected:
            return "an unreadable subject"
        return f"{self.entity_id} ({who}, {usage})"

    @property
    def _standing(self) -> str:
        if self.profile is CertificateProfile.DEVICE:
            return "device"
        if self.role is not None:
            return self.role.gbcs_name
        unit = self.organizational_unit
        if unit is None:
            return "organisation without a role"
        return f"organisation of unknown role {printable(unit, _NAME_SHOWN_CHARACTERS)}"

    def _subject_values(self, oid: x509.ObjectIdentifier) -> list[str | bytes]:
        return [attribute.value for attribute in self.subject.get_attributes_for_oid(oid)]

    def _read(self, rule: str, read: Callable[[], ReadT]) -> ReadT:
        try:
            return read()
        except _UNREADABLE as error:
            raise CertificateRejected(
                rule=rule, reason=f"it cannot be read: {cause_of(error)}"
            ) from error

    def _rejected(self, rule: str, reason: str) -> CertificateRejected:
        return CertificateRejected(rule=rule, reason=reason, subject=str(self))


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def _parse(der: bytes) -> GBCSCertificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning) as error:
        raise unreadable(
            der, error, what="certificate", layer="X.509", clause="RFC 5280, 4.1"
        ) from error
    return GBCSCertificate(der=der, decoded=certificate)


def _no_certificates(text: bytes, error: Exception) -> DecodeError:
    """Return why a text has no certificate; it may be a private key, so nothing is quoted."""
    labels = [each.decode("ascii", "replace") for each in _PEM_BEGINS.findall(text)]
    if not labels:
        what = "DER, not PEM" if text[:1] == b"\x30" else "no PEM: no line begins -----BEGIN"
        return DecodeError(what, layer="PEM", clause="RFC 7468, 2")
    of_certificates = [each for each in labels if each in _PEM_LABELS]
    if not of_certificates:
        named = printable(labels[0], _NAME_SHOWN_CHARACTERS)
        return DecodeError(
            f"a {named}, where a CERTIFICATE belongs", layer="PEM", clause="RFC 7468, 5"
        )
    blocks = list(_PEM_CERTIFICATE.finditer(text))
    if len(blocks) < len(of_certificates):
        return DecodeError(
            "the -----END line of a certificate is missing", layer="PEM", clause="RFC 7468, 2"
        )
    for block in blocks:
        try:
            der = binascii.a2b_base64(b"".join(block[2].split()), strict_mode=True)
            _parse(der)
        except binascii.Error:
            return DecodeError(
                "what stands between the lines is not base64", layer="PEM", clause="RFC 7468, 3"
            )
        except DecodeError as refused:
            return refused
    return DecodeError(f"it cannot be read: {cause_of(error)}", layer="PEM")


def _entity_in_unique_identifier(values: list[str | bytes]) -> EntityIdentifier:
    value = values[0]
    if len(values) != 1 or not isinstance(value, bytes):
        raise CertificateRejected(
            rule="entity-identifier", reason="its uniqueIdentifier is not one BIT STRING"
        )
    if len(value) != 1 + ENTITY_IDENTIFIER_OCTETS or value[0]:
        raise CertificateRejected(
            rule="entity-identifier",
            reason=f"its uniqueIdentifier is not a BIT STRING of 64 bits ({len(value)} octets)",
        )
    return EntityIdentifier(value[1:])
