"""X.509 extensions that GBCS certificates and certification requests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gbcs import assumptions
from gbcs.entity import ENTITY_IDENTIFIER_OCTETS, EntityIdentifier
from gbcs.errors import CertificateRejected
from gbcs.keys import public_octets
from gbcs.roles import KeyUsage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

KEY_IDENTIFIER_OCTETS: Final = 8
HARDWARE_MODULE_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""Type of the otherName that carries a device's Entity Identifier (RFC 4108, 5)."""

_SEQUENCE = 0x30
_OBJECT_IDENTIFIER = 0x06
_OCTET_STRING = 0x04
_SHORT_LENGTH_MAXIMUM = 0x7F


def subject_key_identifier_of(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """Compute the key identifier of `public_key`: 0100, then the low 60 bits of its SHA-1.

    Returns:
        8 octets.

    Source: RFC 5280, 4.2.1.2, method (2); GBCS v0.8.1, 12.
    """
    digest = hashes.Hash(hashes.SHA1())  # noqa: S303 - the identifier's definition, no protection
    digest.update(public_octets(public_key))
    octets = digest.finalize()[-KEY_IDENTIFIER_OCTETS:]
    return bytes([0x40 | (octets[0] & 0x0F)]) + octets[1:]


def x509_key_usage(key_usage: KeyUsage) -> x509.KeyUsage:
    """Make the X.509 extension of `key_usage`.

    Raises:
        ValueError: encipherOnly or decipherOnly without keyAgreement.

    Source: RFC 5280, 4.2.1.3.
    """
    return x509.KeyUsage(
        digital_signature=KeyUsage.DIGITAL_SIGNATURE in key_usage,
        content_commitment=KeyUsage.NON_REPUDIATION in key_usage,
        key_encipherment=KeyUsage.KEY_ENCIPHERMENT in key_usage,
        data_encipherment=KeyUsage.DATA_ENCIPHERMENT in key_usage,
        key_agreement=KeyUsage.KEY_AGREEMENT in key_usage,
        key_cert_sign=KeyUsage.KEY_CERT_SIGN in key_usage,
        crl_sign=KeyUsage.CRL_SIGN in key_usage,
        encipher_only=KeyUsage.ENCIPHER_ONLY in key_usage,
        decipher_only=KeyUsage.DECIPHER_ONLY in key_usage,
    )


def key_usage_in(extension: x509.KeyUsage) -> KeyUsage:
    """Read the flags of an X.509 key usage extension.

    Source: RFC 5280, 4.2.1.3.
    """
    agrees = extension.key_agreement
    present = (
        (extension.digital_signature, KeyUsage.DIGITAL_SIGNATURE),
        (extension.content_commitment, KeyUsage.NON_REPUDIATION),
        (extension.key_encipherment, KeyUsage.KEY_ENCIPHERMENT),
        (extension.data_encipherment, KeyUsage.DATA_ENCIPHERMENT),
        (agrees, KeyUsage.KEY_AGREEMENT),
        (extension.key_cert_sign, KeyUsage.KEY_CERT_SIGN),
        (extension.crl_sign, KeyUsage.CRL_SIGN),
        (agrees and extension.encipher_only, KeyUsage.ENCIPHER_ONLY),
        (agrees and extension.decipher_only, KeyUsage.DECIPHER_ONLY),
    )
    flags = KeyUsage(0)
    for is_set, flag in present:
        if is_set:
            flags |= flag
    return flags


def device_alternative_name(entity_id: EntityIdentifier) -> x509.SubjectAlternativeName:
    """Make the subjectAltName of a device: one HardwareModuleName with its Entity Identifier.

    Source: GBCS v0.8.1, 12 (device certificates); RFC 4108, 5.
    """
    hardware_type = _encode_object_identifier(assumptions.HARDWARE_TYPE)
    contents = hardware_type + _tlv(_OCTET_STRING, entity_id)
    name = x509.OtherName(HARDWARE_MODULE_NAME, _tlv(_SEQUENCE, contents))
    return x509.SubjectAlternativeName([name])


def entity_in_alternative_name(extension: x509.SubjectAlternativeName) -> EntityIdentifier:
    """Read the Entity Identifier out of a device's subjectAltName.

    Raises:
        CertificateRejected: Rule "subject-alternative-name" when it is not exactly one
            HardwareModuleName in DER; rule "entity-identifier" when its hwSerialNum has not
            8 octets.

    Source: GBCS v0.8.1, 12 (device certificates); RFC 4108, 5.
    """
    names = list(extension)
    if len(names) != 1:
        raise _malformed(f"it has {len(names)} names, not one")
    name = names[0]
    if not isinstance(name, x509.OtherName) or name.type_id != HARDWARE_MODULE_NAME:
        raise _malformed("its name is no HardwareModuleName")
    contents, rest = _split(name.value, _SEQUENCE)
    if rest:
        raise _malformed("octets follow its HardwareModuleName")
    _, after_type = _split(contents, _OBJECT_IDENTIFIER)
    serial_number, rest = _split(after_type, _OCTET_STRING)
    if rest:
        raise _malformed("octets follow its hwSerialNum")
    if len(serial_number) != ENTITY_IDENTIFIER_OCTETS:
        raise CertificateRejected(
            rule="entity-identifier",
            reason=f"hwSerialNum has {len(serial_number)} octets, not {ENTITY_IDENTIFIER_OCTETS}",
        )
    return EntityIdentifier(serial_number)


def has_unused_bits(der: bytes, signature: bytes) -> bool:
    """Answer whether the BIT STRING that ends a signed structure has unused bits.

    The library reads such a signature as if it had none, so one signature would have several
    encodings.
    """
    return der[-len(signature) - 1] != 0


def _malformed(reason: str) -> CertificateRejected:
    return CertificateRejected(rule="subject-alternative-name", reason=reason)


def _tlv(tag: int, contents: bytes) -> bytes:
    if len(contents) > _SHORT_LENGTH_MAXIMUM:
        msg = f"a HardwareModuleName of {len(contents)} octets is not supported (at most 127)"
        raise ValueError(msg)
    return bytes([tag, len(contents)]) + contents


def _split(octets: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one element of `tag` off the front: its contents, and what follows it."""
    if len(octets) < 2 or octets[0] != tag:
        raise _malformed(f"its HardwareModuleName lacks an element of tag {tag:#04x}")
    length = octets[1]
    if length > _SHORT_LENGTH_MAXIMUM or len(octets) < 2 + length or not length:
        raise _malformed("a length in its HardwareModuleName does not fit")
    return octets[2 : 2 + length], octets[2 + length :]


def _encode_object_identifier(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    contents = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        contents.extend(reversed(groups))
    return _tlv(_OBJECT_IDENTIFIER, bytes(contents))
