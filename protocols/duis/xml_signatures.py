"""XML signatures of DUIS documents: enveloped, over the whole document, by ECDSA on P-256.

A signature has one form only, that of the DUIS templates: the document without its signature,
as inclusive canonical XML since no transform says otherwise, hashed by SHA-256; SignedInfo as
exclusive canonical XML; the signer's certificate named by issuer and serial number and not
brought along. Verifying also takes an exclusive canonicalisation transform, and nothing else.

Source: XML Signature Syntax and Processing 1.1; DUIS templates for DUIS 5.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from duis.distinguished_names import DistinguishedName
from duis.xml_documents import SIGNATURE, SIGNATURE_NAMESPACE
from duis.xml_elements import local_name
from duis.xml_reading import read_xml
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.key_holders import public_octets
from gbcs.printable import printable
from gbcs.protocol_errors import (
    CertificateRejected,
    LocalProtocolError,
    ProtectionMissing,
    SignatureMismatch,
)
from gbcs.roles import KeyUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gbcs.key_holders import Signer

FindCertificate = Callable[[DistinguishedName, int], GBCSCertificate | None]
"""Finds the certificate of an issuer and serial number, or gives None."""

_EXCLUSIVE: Final = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
_ENVELOPED: Final = SignatureConstructionMethod.enveloped
_METHOD: Final = SignatureMethod.ECDSA_SHA256
_DIGEST: Final = DigestAlgorithm.SHA256
_COORDINATE_OCTETS: Final = 32
_NAME_SHOWN_CHARACTERS: Final = 120
_XML_SPACES: Final = " \t\r\n"
_SERIAL: Final = re.compile(r"\+?[0-9]{1,50}")


class _SigningKey:
    """What signxml takes for a private key, and signs through the project's `Signer`."""

    key_size = 8 * _COORDINATE_OCTETS

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, octets: bytes, *, signature_algorithm: Any) -> bytes:
        """Sign, and give the signature in DER as the library's own keys do."""
        if signature_algorithm.algorithm.name != "sha256":
            raise LocalProtocolError(f"a Signer signs with SHA-256, not {signature_algorithm}")
        signature = self._signer.sign(octets)
        r, s = signature[:_COORDINATE_OCTETS], signature[_COORDINATE_OCTETS:]
        return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def sign(document: bytes, signer: Signer, certificate: GBCSCertificate) -> bytes:
    """Sign a document.

    Args:
        document: What `build_request` or `build_response` gave.
        signer: Holds the private key.
        certificate: The certificate of that key; its issuer and serial number are named.

    Returns:
        The document with its signature as the last child of the root, in UTF-8.

    Raises:
        LocalProtocolError: The document is signed already, has an identifier or name space at
            its root that would change what the signature covers, or the certificate is
            another key's.
        DocumentInvalid: The document is not XML.
    """
    if public_octets(signer.public_key) != public_octets(certificate.public_key):
        raise LocalProtocolError(f"the certificate of {certificate} is not of the key that signs")
    root = read_xml(document, "the document to be signed")
    etree.cleanup_namespaces(root)
    _check_signable(root)
    xml_signer = XMLSigner(
        method=_ENVELOPED,
        signature_algorithm=_METHOD,
        digest_algorithm=_DIGEST,
        c14n_algorithm=_EXCLUSIVE,
    )
    key: Any = _SigningKey(signer)
    signed = xml_signer.sign(
        root, key=key, key_info=_key_info(certificate), exclude_c14n_transform_element=True
    )
    return etree.tostring(signed, xml_declaration=True, encoding="UTF-8")


def _check_signable(root: etree._Element) -> None:
    if next(root.iter(SIGNATURE), None) is not None:
        raise LocalProtocolError("the document is signed already")
    if any(name in root.attrib for name in ("Id", "ID")):
        raise LocalProtocolError("the document's root has an identifier; a signature is for it all")
    # signxml hashes the exclusive form and says nothing of it, where a verifier takes the
    # inclusive one; with no name space but those in use at the root the two are the same.
    forms = {etree.tostring(root, method="c14n", exclusive=each) for each in (False, True)}
    if len(forms) != 1:
        raise LocalProtocolError("a name space is declared above where it is used")


def _key_info(certificate: GBCSCertificate) -> etree._Element:
    key_info = etree.Element(_ds("KeyInfo"), nsmap={"ds": SIGNATURE_NAMESPACE})
    data = etree.SubElement(key_info, _ds("X509Data"))
    issuer_serial = etree.SubElement(data, _ds("X509IssuerSerial"))
    etree.SubElement(
        issuer_serial, _ds("X509IssuerName")
    ).text = certificate.issuer.rfc4514_string()
    etree.SubElement(issuer_serial, _ds("X509SerialNumber")).text = str(certificate.serial)
    return key_info


def _ds(name: str) -> str:
    return f"{{{SIGNATURE_NAMESPACE}}}{name}"


def among(certificates: Iterable[GBCSCertificate]) -> FindCertificate:
    """Return a function that finds one of `certificates` by issuer and serial number.

    It raises CertificateRejected, rule "signer", where a name fits in the reverse order alone.
    """
    known = {(DistinguishedName.of(each.issuer), each.serial): each for each in certificates}

    def find(issuer: DistinguishedName, serial: int) -> GBCSCertificate | None:
        found = known.get((issuer, serial))
        if found is None and (certificate := known.get((issuer.reversed, serial))):
            named = printable(certificate.issuer.rfc4514_string(), _NAME_SHOWN_CHARACTERS)
            raise CertificateRejected(
                rule="signer",
                reason=f"its issuer is named in the reverse of RFC 4514's order, which is {named}",
            )
        return found

    return find


def verify(document: bytes, find_certificate: FindCertificate, source: str) -> bytes:
    """Verify the signature of a document, and give what it covers.

    Args:
        document: The signed document.
        find_certificate: Finds the certificate of that issuer and serial number among those
            of whoever may sign such documents, or gives None. That it is valid now and leads
            to a trusted root is for it to see to.
        source: The document's name for errors.

    Returns:
        The document without its signature, as canonical XML. Parse these octets and no others.

    Raises:
        ProtectionMissing: There is no signature.
        SignatureMismatch: There are several, or one that is not of the one form, stands or
            covers elsewhere, or does not verify.
        CertificateRejected: The signer's certificate is not found, or is not for signing.
        DocumentInvalid: It is hostile, or not XML.
    """
    root = read_xml(document, source)
    signature = _only_signature(root, source)
    named, serial = _check_form(signature, source)
    certificate = _found(find_certificate, _issuer(named, source), serial, named)
    configuration = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset({_METHOD}),
        digest_algorithms=frozenset({_DIGEST}),
        verification_time=certificate.not_before,
        default_reference_c14n_method=CanonicalizationMethod.CANONICAL_XML_1_0,
    )
    try:
        result = XMLVerifier().verify(
            root, x509_cert=certificate.decoded, expect_config=configuration
        )
    except (SignXMLException, etree.LxmlError, UnsupportedAlgorithm, ValueError) as error:
        raise SignatureMismatch(
            f"{source}: the XML signature does not verify under the certificate of {certificate} "
            f"({printable(str(error), 160)})"
        ) from error
    if isinstance(result, list):
        raise SignatureMismatch(f"{source}: the XML signature has {len(result)} references")
    return result.signed_data


def _only_signature(root: etree._Element, source: str) -> etree._Element:
    signatures = list(root.iter(SIGNATURE))
    if not signatures:
        raise ProtectionMissing(f"{source}: it has no XML signature")
    if len(signatures) > 1:
        raise SignatureMismatch(f"{source}: it has {len(signatures)} XML signatures, not one")
    if signatures[0].getparent() is not root or signatures[0] is not root[-1]:
        raise SignatureMismatch(f"{source}: the XML signature is not the root's last child")
    return signatures[0]


_FORM: Final = {
    "Signature": (None, ("SignedInfo", "SignatureValue", "KeyInfo")),
    "SignedInfo": (None, ("CanonicalizationMethod", "SignatureMethod", "Reference")),
    "CanonicalizationMethod": (_EXCLUSIVE.value, ()),
    "SignatureMethod": (_METHOD.value, ()),
    "Reference": (None, ("Transforms", "DigestMethod", "DigestValue")),
    "DigestMethod": (_DIGEST.value, ()),
    "DigestValue": (None, ()),
    "SignatureValue": (None, ()),
    "KeyInfo": (None, ("X509Data",)),
    "X509Data": (None, ("X509IssuerSerial",)),
    "X509IssuerSerial": (None, ("X509IssuerName", "X509SerialNumber")),
    "X509IssuerName": (None, ()),
    "X509SerialNumber": (None, ()),
}
"""Every element but Transforms: its Algorithm, and its children in order."""

_TRANSFORMS: Final = ((_ENVELOPED.value,), (_ENVELOPED.value, _EXCLUSIVE.value))


def _check_form(signature: etree._Element, source: str) -> tuple[str, int]:
    """Check that a signature has the one form; return issuer, as written, and serial number."""
    texts: dict[str, str] = {}
    left = [signature]
    while left:
        element = left.pop()
        name = local_name(element)
        if element.tag == _ds("Transforms"):
            _check_transforms(element, source)
            continue
        algorithm, children = _FORM.get(name, (None, None))
        if children is None or [child.tag for child in element] != [_ds(each) for each in children]:
            raise SignatureMismatch(
                f"{source}: {printable(name, 40)} of the XML signature is not as it must be"
            )
        _check_attributes(element, algorithm, source)
        texts[name] = (element.text or "").strip(_XML_SPACES)
        left += list(element)
    return texts["X509IssuerName"], _serial(texts["X509SerialNumber"], source)


def _check_attributes(element: etree._Element, algorithm: str | None, source: str) -> None:
    name = local_name(element)
    expected: dict[str, str] = {} if algorithm is None else {"Algorithm": algorithm}
    if name == "Reference":
        expected = {"URI": ""}
    found = {str(key): str(value) for key, value in element.attrib.items()}
    if found != expected:
        raise SignatureMismatch(
            f"{source}: {name} of the XML signature has {printable(str(found), 160)}, "
            f"where {expected} must be"
        )


def _check_transforms(transforms: etree._Element, source: str) -> None:
    algorithms = tuple(str(each.get("Algorithm")) for each in transforms)
    is_plain = all(
        each.tag == _ds("Transform") and len(each) == 0 and len(each.attrib) == 1
        for each in transforms
    )
    if not is_plain or transforms.attrib or algorithms not in _TRANSFORMS:
        raise SignatureMismatch(
            f"{source}: transforms of the XML signature are {printable(str(algorithms), 200)}"
        )


def _issuer(text: str, source: str) -> DistinguishedName:
    try:
        return DistinguishedName.parse(text)
    except ValueError as error:
        raise SignatureMismatch(
            f"{source}: the XML signature names no issuer in the form of RFC 4514, such as "
            f"CN=Z1,OU=07: {error} ({printable(text, 80)})"
        ) from error


def _serial(text: str, source: str) -> int:
    if not _SERIAL.fullmatch(text):
        raise SignatureMismatch(
            f"{source}: the XML signature names no serial number ({printable(text, 80)})"
        )
    return int(text)


def _found(
    find_certificate: FindCertificate, issuer: DistinguishedName, serial: int, named: str
) -> GBCSCertificate:
    certificate = find_certificate(issuer, serial)
    if certificate is None:
        raise CertificateRejected(
            rule="signer",
            reason=f"none with serial number {serial} of {printable(named, _NAME_SHOWN_CHARACTERS)}"
            " may sign this",
        )
    if KeyUsage.DIGITAL_SIGNATURE not in certificate.key_usage:
        raise CertificateRejected(
            rule="key-usage", reason="its key is not for signatures", subject=str(certificate)
        )
    public_octets(certificate.public_key)
    return certificate
