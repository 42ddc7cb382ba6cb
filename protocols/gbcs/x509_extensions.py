"""X.509 extensions that GBCS certificates and certification requests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gbcs import certificate_assumptions
from gbcs.der import tlv
from gbcs.entity_identifier import ENTITY_IDENTIFIER_OCTETS, EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage
from gbcs.x509_der import (
    BIT_STRING,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    cause_of,
    elements,
    encode_extension,
    encode_object_identifier,
    require_der,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric import ec

KEY_IDENTIFIER_OCTETS: Final = 8
HARDWARE_MODULE_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""Type of the otherName that carries a device's Entity Identifier (RFC 4108, 5)."""

_EXTENSIONS_TAG: Final = 0xA3
_ATTRIBUTES_TAG: Final = 0xA0
_UTC_TIME: Final = 0x17
_EXTENSION_REQUEST: Final = encode_object_identifier("1.2.840.113549.1.9.14")
_MICROSOFT_EXTENSION_REQUEST: Final = encode_object_identifier("1.3.6.1.4.1.311.2.1.14")
_OCTETS_SHOWN: Final = 32


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
    """Return the X.509 extension of `key_usage`.

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
    """Return the subjectAltName of a device: one HardwareModuleName with its Entity Identifier.

    Source: GBCS v0.8.1, 12 (device certificates); RFC 4108, 5.
    """
    hardware_type = encode_object_identifier(certificate_assumptions.HARDWARE_TYPE)
    contents = hardware_type + tlv(OCTET_STRING, entity_id)
    name = x509.OtherName(HARDWARE_MODULE_NAME, tlv(SEQUENCE, contents))
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
    try:
        require_der(name.value)
        (module,) = elements(name.value)
        parts = elements(module.contents)
    except DecodeError as error:
        raise _malformed(f"its HardwareModuleName is not in DER ({error})") from error
    if module.tag != SEQUENCE or [each.tag for each in parts] != [OBJECT_IDENTIFIER, OCTET_STRING]:
        raise _malformed("its HardwareModuleName is no SEQUENCE of hwType and hwSerialNum")
    serial_number = parts[1].contents
    if len(serial_number) != ENTITY_IDENTIFIER_OCTETS:
        raise CertificateRejected(
            rule="entity-identifier",
            reason=f"hwSerialNum has {len(serial_number)} octets, not {ENTITY_IDENTIFIER_OCTETS}",
        )
    return EntityIdentifier(serial_number)


def _malformed(reason: str) -> CertificateRejected:
    return CertificateRejected(rule="subject-alternative-name", reason=reason)


_RULES: Final = {
    x509.KeyUsage.oid: ("key-usage", "keyUsage"),
    x509.SubjectKeyIdentifier.oid: ("subject-key-identifier", "subjectKeyIdentifier"),
    x509.AuthorityKeyIdentifier.oid: ("authority-key-identifier", "authorityKeyIdentifier"),
    x509.CertificatePolicies.oid: ("certificate-policies", "certificatePolicies"),
    x509.BasicConstraints.oid: ("basic-constraints", "basicConstraints"),
    x509.SubjectAlternativeName.oid: ("subject-alternative-name", "subjectAltName"),
}
"""The extensions that a profile knows: the rule that each breaks, and its name."""

PROCESSED_EXTENSIONS: Final = frozenset(_RULES)


def extensions_in(certificate_fields: bytes) -> tuple[bytes, ...]:
    """Return the octets of each Extension of a TBSCertificate, in order.

    Raises:
        DecodeError: The octets are not DER.
    """
    (fields,) = elements(certificate_fields)
    found = [each for each in elements(fields.contents) if each.tag == _EXTENSIONS_TAG]
    if not found:
        return ()
    (listed,) = elements(found[0].contents)
    return tuple(each.octets for each in elements(listed.contents))


def unreadable_extensions(written: Sequence[bytes], error: Exception) -> CertificateRejected:
    """Return the rejection of extensions that the library refused, by the one it cannot read.

    Args:
        written: The octets of each Extension.
        error: What the library raised of them all.
    """
    for octets in written:
        identifier, *_, value = elements(elements(octets)[0].contents)
        names = {encode_object_identifier(oid.dotted_string): oid for oid in _RULES}
        oid = names.get(identifier.octets)
        rule, name = ("extensions", "unknown extension") if oid is None else _RULES[oid]
        try:
            _ = list(x509.load_der_x509_certificate(_skeleton(octets)).extensions)
        except (ValueError, TypeError, x509.UnsupportedGeneralNameType) as alone:
            cause = cause_of(alone)
        else:
            continue
        try:
            require_der(value.contents)
        except DecodeError as fault:
            cause = str(fault)
        return CertificateRejected(rule, f"its {name} cannot be read: {cause}")
    return CertificateRejected("extensions", f"they cannot be read: {cause_of(error)}")


_ECDSA_SHA256: Final = tlv(SEQUENCE, encode_object_identifier("1.2.840.10045.4.3.2"))
_NO_NAME: Final = tlv(SEQUENCE, b"")


def _skeleton(extension: bytes) -> bytes:
    """Return a certificate of nobody with one Extension, for the library to read that alone."""
    algorithm = encode_object_identifier("1.2.840.10045.2.1")
    curve = encode_object_identifier("1.2.840.10045.3.1.7")
    instant = tlv(_UTC_TIME, b"260101000000Z")
    fields = (
        bytes.fromhex("A003020102 020101"),
        _ECDSA_SHA256,
        _NO_NAME,
        tlv(SEQUENCE, instant + instant),
        _NO_NAME,
        tlv(SEQUENCE, tlv(SEQUENCE, algorithm + curve) + tlv(BIT_STRING, bytes(66))),
        tlv(_EXTENSIONS_TAG, tlv(SEQUENCE, extension)),
    )
    contents = tlv(SEQUENCE, b"".join(fields)) + _ECDSA_SHA256 + tlv(BIT_STRING, bytes(1))
    return tlv(SEQUENCE, contents)


def check_encoding(
    extensions: Sequence[x509.Extension[x509.ExtensionType]], written: Sequence[bytes]
) -> None:
    """Check that extensions that a profile knows are written as they are written here.

    The library reads bits that are written otherwise than DER has them; a device compares
    octets. A policy's qualifiers are DER of whatever their type: nothing here uses them.

    Args:
        extensions: What the library read.
        written: The octets of each.

    Raises:
        CertificateRejected: By the extension's rule.

    Source: ITU-T X.690, 11; RFC 5280, 4.1.1.3 and 4.2.1.
    """
    for extension, octets in zip(extensions, written, strict=True):
        if extension.oid not in _RULES:
            continue
        rule, name = _RULES[extension.oid]
        try:
            value = elements(elements(octets)[0].contents)[-1].contents
            expected_value = _value_octets(extension.value, value)
        except (DecodeError, ValueError) as error:
            raise CertificateRejected(rule, f"its {name} is not as it must be: {error}") from error
        expected = encode_extension(
            extension.oid.dotted_string, expected_value, critical=extension.critical
        )
        if octets != expected:
            raise CertificateRejected(
                rule,
                f"its {name} is written {_shown(value)}, where DER has {_shown(expected_value)}",
            )


def _shown(octets: bytes) -> str:
    hexadecimal = octets[:_OCTETS_SHOWN].hex().upper()
    return f"{hexadecimal}…" if len(octets) > _OCTETS_SHOWN else hexadecimal


def _value_octets(value: x509.ExtensionType, written: bytes) -> bytes:
    """Return the DER of what an extension means."""
    if isinstance(value, x509.KeyUsage):
        return x509_key_usage(key_usage_in(value)).public_bytes()
    if isinstance(value, x509.CertificatePolicies):
        return _policies_octets(value, written)
    return value.public_bytes()


def _policies_octets(policies: x509.CertificatePolicies, written: bytes) -> bytes:
    (listed,) = elements(written)
    encoded = []
    for policy, element in zip(policies, elements(listed.contents), strict=True):
        _, *qualifiers = elements(element.contents)
        if qualifiers and not certificate_assumptions.POLICY_QUALIFIERS_ACCEPTED:
            msg = "a policy has qualifiers"
            raise ValueError(msg)
        for each in qualifiers:
            require_der(each.octets)
            if not each.contents:
                msg = "a policy has an empty list of qualifiers"
                raise ValueError(msg)
        identifier = encode_object_identifier(policy.policy_identifier.dotted_string)
        encoded.append(tlv(SEQUENCE, identifier + b"".join(each.octets for each in qualifiers)))
    return tlv(SEQUENCE, b"".join(encoded))


def requested_extensions_in(request_fields: bytes) -> tuple[bytes, ...]:
    """Return the octets of each Extension that a CertificationRequestInfo asks for, in order.

    They stand in one attribute extensionRequest of one value; Microsoft's attribute, which some
    libraries take for it, is none.

    Raises:
        CertificateRejected: Rule "extension-request", where they do not stand so.
        DecodeError: The octets are not DER.

    Source: RFC 2985, 5.4.2 (single value); RFC 2986, 4.1.
    """
    (fields,) = elements(request_fields)
    found = [each for each in elements(fields.contents) if each.tag == _ATTRIBUTES_TAG]
    requests = []
    for attributes in found:
        for attribute in elements(attributes.contents):
            require_der(attribute.octets)
            kind, values = elements(attribute.contents)
            if kind.octets == _MICROSOFT_EXTENSION_REQUEST:
                raise _misplaced("its extensions stand in Microsoft's attribute, not in PKCS #9's")
            if kind.octets == _EXTENSION_REQUEST:
                requests.append(values)
    if len(requests) != 1:
        raise _misplaced(f"it has {len(requests) or 'no'} attributes extensionRequest, not one")
    listed = elements(requests[0].contents)
    if len(listed) != 1:
        raise _misplaced(f"its extensionRequest has {len(listed)} values, not one")
    return tuple(each.octets for each in elements(listed[0].contents))


def _misplaced(reason: str) -> CertificateRejected:
    return CertificateRejected(rule="extension-request", reason=reason)


def has_unused_bits(der: bytes, signature: bytes) -> bool:
    """True if the BIT STRING that ends a signed structure has unused bits.

    The library reads such a signature as if it had none, so one signature would have several
    encodings.
    """
    return der[-len(signature) - 1] != 0
