from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from authorities import Authorities
from duis.document_errors import DocumentInvalid
from duis.document_headers import RequestIdentifier
from duis.request_documents import (
    DecommissionDevice,
    Request,
    build_request,
    parse_request,
    request_of,
)
from duis.response_documents import PreCommand, parse_response
from duis.xml_documents import SIGNATURE, SIGNATURE_NAMESPACE, named
from duis.xml_signatures import FindCertificate, among, sign, verify
from duis_schemas import assert_valid
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protocol_errors import (
    CertificateRejected,
    LocalProtocolError,
    ProtectionMissing,
    SecurityError,
    SignatureMismatch,
)
from gbcs.roles import KeyUsage
from vectors.keys import HeldKey

from .examples import DCC, METER, REQUESTS, SUPPLIER

if TYPE_CHECKING:
    from collections.abc import Callable

    from duis.distinguished_names import DistinguishedName

VECTORS = Path(__file__).parents[2] / "vectors" / "duis"
DS = f"{{{SIGNATURE_NAMESPACE}}}"
SIGNER = HeldKey()
CERTIFICATE = Authorities().organisation(public_key=SIGNER.public_key)
KNOWN = among([CERTIFICATE])
REQUEST = request_of(DecommissionDevice(device_id=METER), RequestIdentifier(SUPPLIER, DCC, 1000))
DOCUMENT = build_request(REQUEST)
SIGNED = sign(DOCUMENT, SIGNER, CERTIFICATE)
XMLSEC1 = shutil.which("xmlsec1")


def known_of_vectors() -> FindCertificate:
    pem = (VECTORS / "signer.pem").read_bytes()
    return among([GBCSCertificate.from_x509(x509.load_pem_x509_certificate(pem))])


@pytest.mark.parametrize("name", ["signed_inclusive.xml", "signed_exclusive.xml"])
def test_signature_of_another_program_is_verified(name: str) -> None:
    octets = (VECTORS / name).read_bytes()
    assert_valid(octets)
    verified = verify(octets, known_of_vectors(), name)
    assert SIGNATURE.encode() not in verified
    assert parse_response(verified, name).body == PreCommand(
        gbcs_version="4.3 & later é", gbcs_payload=bytes.fromhex("DF0901000000")
    )


@pytest.mark.parametrize("name", ["signed_inclusive.xml", "signed_exclusive.xml"])
def test_changed_document_of_another_program_is_refused(name: str) -> None:
    octets = (VECTORS / name).read_bytes()
    for old, new in ((b"AAAA", b"AAAB"), (b":1000<", b":1001<"), (b"  <sr:Body>", b" <sr:Body>")):
        with pytest.raises(SignatureMismatch, match="Digest mismatch"):
            verify(octets.replace(old, new, 1), known_of_vectors(), name)


def test_digest_is_that_of_another_program() -> None:
    theirs = etree.parse(VECTORS / "digest_of_built.xml").findtext(f".//{DS}DigestValue")
    ours = etree.fromstring(SIGNED).findtext(f".//{DS}DigestValue")
    assert theirs == ours


@pytest.mark.peer
@pytest.mark.skipif(XMLSEC1 is None, reason="xmlsec1 is not installed")
def test_another_program_verifies_what_is_signed_here(tmp_path: Path) -> None:
    key = SIGNER.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(key)

    def verified(document: bytes) -> bool:
        (tmp_path / "signed.xml").write_bytes(document)
        arguments = [str(XMLSEC1), "--verify", "--pubkey-pem", "key.pem", "signed.xml"]
        return (
            subprocess.run(arguments, cwd=tmp_path, check=False, capture_output=True).returncode
            == 0
        )

    assert verified(SIGNED)
    assert not verified(SIGNED.replace(b":1000<", b":1001<"))


@pytest.mark.parametrize("request_", REQUESTS[::4], ids=lambda each: type(each.body).__name__)
def test_signed_request_is_valid_and_what_is_verified_reads_the_same(request_: Request) -> None:
    signed = sign(build_request(request_), SIGNER, CERTIFICATE)
    assert_valid(signed)
    assert parse_request(verify(signed, KNOWN, "a.xml"), "a.xml") == request_


def test_signer_is_named_by_issuer_and_serial_and_not_brought_along() -> None:
    signature = etree.fromstring(SIGNED)[-1]
    issuer = signature.findtext(f".//{DS}X509IssuerName")
    assert issuer == CERTIFICATE.issuer.rfc4514_string()
    assert signature.findtext(f".//{DS}X509SerialNumber") == str(CERTIFICATE.serial)
    names = [etree.QName(each).localname for each in signature.iter()]
    assert "X509Certificate" not in names
    assert "KeyValue" not in names


# What is done to the signed document, as a tree.


def change(where: str) -> Callable[[etree._Element], None]:
    def changed(root: etree._Element) -> None:
        element = root.find(where)
        assert element is not None
        element.text = (element.text or "")[:-1] + "9"

    return changed


def attribute(where: str, name: str, value: str) -> Callable[[etree._Element], None]:
    def changed(root: etree._Element) -> None:
        element = root if where == "." else root.find(where)
        assert element is not None
        element.set(name, value)

    return changed


def second_signature(root: etree._Element) -> None:
    root.append(etree.fromstring(etree.tostring(root[-1])))


def second_signature_within(root: etree._Element) -> None:
    root[1].append(etree.fromstring(etree.tostring(root[-1])))


def moved_into_the_body(root: etree._Element) -> None:
    root[1].append(root[-1])


def moved_to_the_front(root: etree._Element) -> None:
    root.insert(0, root[-1])


def wrapped(root: etree._Element) -> None:
    """Move the signed document aside and put another in its place."""
    original = etree.fromstring(etree.tostring(root))
    original.remove(original[-1])
    original.set("Id", "signed")
    root.find(f".//{named('DeviceID')}").text = str(SUPPLIER)  # type: ignore[union-attr]
    root[-1].find(f".//{DS}Reference").set("URI", "#signed")  # type: ignore[union-attr]
    etree.SubElement(root[-1], f"{DS}Object").append(original)


def reference_to_a_part(root: etree._Element) -> None:
    root[1].set("Id", "body")
    root[-1].find(f".//{DS}Reference").set("URI", "#body")  # type: ignore[union-attr]


def second_reference(root: etree._Element) -> None:
    reference = root[-1].find(f".//{DS}Reference")
    assert reference is not None
    reference.addnext(etree.fromstring(etree.tostring(reference)))


def no_transform(root: etree._Element) -> None:
    transforms = root[-1].find(f".//{DS}Transforms")
    assert transforms is not None
    transforms.remove(transforms[0])


def xpath_transform(root: etree._Element) -> None:
    transforms = root[-1].find(f".//{DS}Transforms")
    assert transforms is not None
    uri = "http://www.w3.org/TR/1999/REC-xpath-19991116"
    transform = etree.SubElement(transforms, f"{DS}Transform", Algorithm=uri)
    etree.SubElement(transform, f"{DS}XPath").text = "false()"


def inclusive_prefixes(root: etree._Element) -> None:
    method = root[-1].find(f".//{DS}CanonicalizationMethod")
    assert method is not None
    uri = "http://www.w3.org/2001/10/xml-exc-c14n#"
    etree.SubElement(method, f"{{{uri}}}InclusiveNamespaces", PrefixList="sr")


def own_certificate(root: etree._Element) -> None:
    data = root[-1].find(f".//{DS}X509Data")
    assert data is not None
    etree.SubElement(data, f"{DS}X509Certificate").text = "AAAA"


def own_key(root: etree._Element) -> None:
    etree.SubElement(root[-1][-1], f"{DS}KeyName").text = "mine"


def no_key_info(root: etree._Element) -> None:
    root[-1].remove(root[-1][-1])


def another_child(root: etree._Element) -> None:
    etree.SubElement(root[1], named("DeviceID")).text = str(SUPPLIER)


def text_within(root: etree._Element) -> None:
    root[1].text = "x"


SHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"
HMAC = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
ECDSA_SHA1 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"
WITH_COMMENTS = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
TAMPERED: dict[str, Callable[[etree._Element], None]] = dict(
    (
        *(
            (f"{where.rsplit('}', 1)[1]} changed", change(where))
            for where in (
                f".//{named('RequestID')}",
                f".//{named('CommandVariant')}",
                f".//{named('ServiceReference')}",
                f".//{named('ServiceReferenceVariant')}",
                f".//{named('DeviceID')}",
                f".//{DS}DigestValue",
                f".//{DS}SignatureValue",
                f".//{DS}X509IssuerName",
                f".//{DS}X509SerialNumber",
            )
        ),
        ("version", attribute(".", "schemaVersion", "5.3")),
        ("attribute", attribute(f".//{named('DeviceID')}", "a", "b")),
        ("child", another_child),
        ("text", text_within),
        ("second signature", second_signature),
        ("second signature within", second_signature_within),
        ("moved into the body", moved_into_the_body),
        ("moved to the front", moved_to_the_front),
        ("wrapped", wrapped),
        ("part", reference_to_a_part),
        ("no URI", attribute(f".//{DS}Reference", "URI", "http://127.0.0.1:9/")),
        ("type", attribute(f".//{DS}Reference", "Type", "x")),
        ("second reference", second_reference),
        ("no transform", no_transform),
        ("xpath", xpath_transform),
        ("prefixes", inclusive_prefixes),
        ("sha1 digest", attribute(f".//{DS}DigestMethod", "Algorithm", SHA1)),
        ("sha1 signature", attribute(f".//{DS}SignatureMethod", "Algorithm", ECDSA_SHA1)),
        ("hmac", attribute(f".//{DS}SignatureMethod", "Algorithm", HMAC)),
        ("comments", attribute(f".//{DS}CanonicalizationMethod", "Algorithm", WITH_COMMENTS)),
        ("identifier", attribute(f".//{SIGNATURE}", "Id", "s")),
        ("certificate", own_certificate),
        ("key name", own_key),
        ("no key", no_key_info),
    )
)


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_tampered_document_is_refused_as_a_security_matter(
    tamper: Callable[[etree._Element], None],
) -> None:
    root = etree.fromstring(SIGNED)
    tamper(root)
    with pytest.raises(SecurityError) as caught:
        verify(etree.tostring(root), KNOWN, "a.xml")
    assert "\n" not in str(caught.value)


def test_document_without_signature_is_told_from_one_with_a_wrong_one() -> None:
    with pytest.raises(ProtectionMissing, match="no XML signature"):
        verify(DOCUMENT, KNOWN, "a.xml")


def test_signature_under_another_key_is_refused() -> None:
    other = Authorities().organisation(public_key=HeldKey().public_key, issuer=None)

    def find(_issuer: DistinguishedName, _serial: int) -> GBCSCertificate:
        return other

    with pytest.raises(SignatureMismatch, match="does not verify"):
        verify(SIGNED, find, "a.xml")


def test_signer_that_is_not_known_is_refused() -> None:
    with pytest.raises(CertificateRejected, match="may sign this"):
        verify(SIGNED, among([]), "a.xml")


def test_certificate_for_key_agreement_signs_nothing() -> None:
    certificate = Authorities().organisation(
        public_key=SIGNER.public_key, key_usage=KeyUsage.KEY_AGREEMENT
    )
    signed = sign(DOCUMENT, SIGNER, certificate)
    with pytest.raises(CertificateRejected, match="key-usage"):
        verify(signed, among([certificate]), "a.xml")


@pytest.mark.parametrize("issuer", ["", "nonsense", "CN=" + "x" * 600, "CN=a,,", "\u202e=1"])
def test_issuer_that_is_no_name_is_refused(issuer: str) -> None:
    root = etree.fromstring(SIGNED)
    root.find(f".//{DS}X509IssuerName").text = issuer  # type: ignore[union-attr]
    with pytest.raises(SecurityError):
        verify(etree.tostring(root), KNOWN, "a.xml")


@pytest.mark.parametrize("serial", ["", "-1", "0x4", "9" * 51, "4 4", "\u0664"])
def test_serial_number_that_is_none_is_refused(serial: str) -> None:
    root = etree.fromstring(SIGNED)
    root.find(f".//{DS}X509SerialNumber").text = serial  # type: ignore[union-attr]
    with pytest.raises(SignatureMismatch, match="no serial number"):
        verify(etree.tostring(root), KNOWN, "a.xml")


def renamed(issuer: str, serial: str | None = None) -> bytes:
    """Name the signer otherwise; KeyInfo is nothing that the signature covers."""
    root = etree.fromstring(SIGNED)
    root.find(f".//{DS}X509IssuerName").text = issuer  # type: ignore[union-attr]
    if serial is not None:
        root.find(f".//{DS}X509SerialNumber").text = serial  # type: ignore[union-attr]
    return etree.tostring(root)


@pytest.mark.parametrize(
    "issuer",
    [
        "CN=T1,OU=07",
        "CN=T1, OU=07",
        " CN = T1 , OU = 07 ",
        "cn=T1,ou=07",
        "CN=T1,2.5.4.11=07",
        "CN=T1,2.5.4.11=#0c023037",
        "CN=#13025431,2.5.4.11=#13023037",
        "CN=#1E0400540031,ou=#1C080000003000000037",
        "OID.2.5.4.3=T1,oid.2.5.4.11=07",
        'CN="T1",OU="07"',
        "CN=T1;OU=07",
        "CN=T1 ;\tOU=07",
        r"CN=\54\31,OU=0\37",
        "CN=t1,OU=07",
        "commonName=T1,organizationalUnitName=07",
    ],
)
def test_issuer_is_found_in_every_form_of_its_name(issuer: str) -> None:
    assert CERTIFICATE.issuer.rfc4514_string() == "CN=T1,OU=07"
    verify(renamed(issuer), KNOWN, "a.xml")


@pytest.mark.parametrize("issuer", ["OU=07,CN=T1", "OU=07+CN=T1", "CN=T1", "CN=T1,OU=07,C=GB"])
def test_issuer_of_another_name_is_not_found(issuer: str) -> None:
    with pytest.raises(CertificateRejected, match="signer"):
        verify(renamed(issuer), KNOWN, "a.xml")


def test_issuer_in_reverse_order_is_told_the_order_that_is_taken() -> None:
    with pytest.raises(CertificateRejected, match=r"reverse of RFC 4514's order, .* CN=T1,OU=07"):
        verify(renamed("OU=07, CN=T1"), KNOWN, "a.xml")


def test_issuer_that_is_not_read_is_told_where() -> None:
    with pytest.raises(SignatureMismatch, match=r"such as CN=Z1,OU=07: .*at character 0 \(/OU=07"):
        verify(renamed("/OU=07/CN=T1"), KNOWN, "a.xml")


@pytest.mark.parametrize("form", ["{}", "+{}", "000{}", " {}\n", "+00{}"])
def test_serial_number_is_found_in_every_form_of_an_integer(form: str) -> None:
    verify(renamed("CN=T1,OU=07", form.format(CERTIFICATE.serial)), KNOWN, "a.xml")


def test_hostile_document_is_no_signature_failure() -> None:
    with pytest.raises(DocumentInvalid, match="document type"):
        verify(b"<!DOCTYPE a>" + SIGNED.split(b"?>", 1)[1], KNOWN, "a.xml")


def test_comment_does_not_cut_what_is_read() -> None:
    hidden = SIGNED.replace(b"<sr:CommandVariant>8", b"<sr:CommandVariant><!-- 1 -->8")
    assert parse_request(verify(hidden, KNOWN, "a.xml"), "a.xml") == REQUEST


def test_signing_twice_or_with_another_certificate_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="signed already"):
        sign(SIGNED, SIGNER, CERTIFICATE)
    with pytest.raises(LocalProtocolError, match="not of the key"):
        sign(DOCUMENT, HeldKey(), CERTIFICATE)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b'<a Id="x"/>', "identifier"),
        (b'<a xmlns:b="urn:b"><c><b:d/></c></a>', "name space"),
    ],
)
def test_document_whose_signature_would_cover_something_else_is_not_signed(
    document: bytes, told: str
) -> None:
    with pytest.raises(LocalProtocolError, match=told):
        sign(document, SIGNER, CERTIFICATE)


def test_version_is_covered() -> None:
    older = sign(build_request(replace(REQUEST, schema_version="5.3")), SIGNER, CERTIFICATE)
    assert parse_request(verify(older, KNOWN, "a.xml"), "a.xml").schema_version == "5.3"
