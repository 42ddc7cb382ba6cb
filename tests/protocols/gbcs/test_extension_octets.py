"""Extensions octet for octet: what a profile knows is written as it would be written here."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import DEVICE, new_key
from gbcs import certificate_assumptions
from gbcs.certificate_profiles import GBCSCertificate, check_profile
from gbcs.certification_request import (
    CertificationRequest,
    CertificationRequestRejected,
    build_certification_request,
)
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage
from gbcs.x509_der import elements, require_der
from vectors.x509_rewriting import (
    ALTERNATIVE_NAME,
    AUTHORITY_KEY_IDENTIFIER,
    BASIC_CONSTRAINTS,
    CHALLENGE_PASSWORD,
    EXTENSION_REQUEST,
    KEY_USAGE,
    MICROSOFT_EXTENSION_REQUEST,
    NOT_CRITICAL,
    POLICIES,
    SUBJECT_KEY_IDENTIFIER,
    attribute,
    extension,
    requested_extensions,
    tlv,
    with_attributes,
    with_extension,
    with_extensions,
    with_null_parameters,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "x509"
SIGNS = KeyUsage.DIGITAL_SIGNATURE
CERTIFICATE = GBCSCertificate.from_x509(
    x509.load_pem_x509_certificate((VECTORS / "openssl-device.pem").read_bytes())
)
OPENSSL_REQUEST = x509.load_pem_x509_csr(
    (VECTORS / "openssl-device.csr").read_bytes()
).public_bytes(Encoding.DER)
IDENTIFIER = bytes(CERTIFICATE.subject_key_identifier or b"")
NAME = "A01B3019060D2A863A0001848FB90F01020201040800DB1234567890A0"
LONG_SERIAL = "81" + NAME[40:]
FALSE = bytes.fromhex("010100")
KEY = new_key()
REQUEST = build_certification_request(KEY, SIGNS, DEVICE)
ASKED = requested_extensions(REQUEST)


def key_usage(octets: str, critical: bytes = bytes.fromhex("0101FF")) -> bytes:
    return extension(KEY_USAGE, bytes.fromhex(octets), critical)


def alternative_name(octets: str) -> bytes:
    return extension(ALTERNATIVE_NAME, bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("written", "rule", "reason"),
    [
        (
            key_usage("03020080"),
            "key-usage",
            "keyUsage is written 03020080, where DER has 03020780",
        ),
        (key_usage("03020580"), "key-usage", "where DER has 03020780"),
        (key_usage("0303078000"), "key-usage", "where DER has 03020780"),
        (key_usage("0381020780"), "key-usage", "keyUsage cannot be read: .*not minimal.* octet 1"),
        (key_usage("05020780"), "key-usage", "keyUsage cannot be read: .*NULL with contents"),
        (
            extension(SUBJECT_KEY_IDENTIFIER, b"\x04\x81\x08" + IDENTIFIER, NOT_CRITICAL),
            "subject-key-identifier",
            "subjectKeyIdentifier cannot be read: .*not minimal",
        ),
        (
            extension(
                AUTHORITY_KEY_IDENTIFIER, bytes.fromhex("300B8081084F5688D7EC933BE2"), NOT_CRITICAL
            ),
            "authority-key-identifier",
            "authorityKeyIdentifier cannot be read: .*not minimal",
        ),
        (
            extension(BASIC_CONSTRAINTS, bytes.fromhex("3003010100"), NOT_CRITICAL),
            "basic-constraints",
            "basicConstraints cannot be read: ca: a default value is written out",
        ),
        (
            alternative_name("308129A02706082B06010505070804" + NAME),
            "subject-alternative-name",
            "subjectAltName cannot be read: .*not minimal, at octet 1",
        ),
        (
            alternative_name("302AA02806082B06010505070804A01C301A060E2A80" + NAME[14:]),
            "subject-alternative-name",
            "HardwareModuleName is not in DER .*OBJECT IDENTIFIER that is not minimal",
        ),
        (
            alternative_name(
                "302AA02806082B06010505070804A01C301A" + NAME[8:40] + "81" + NAME[40:]
            ),
            "subject-alternative-name",
            "HardwareModuleName is not in DER|cannot be read",
        ),
        (
            extension(POLICIES, bytes.fromhex("3008300606022A033000")),
            "certificate-policies",
            "empty list of qualifiers",
        ),
        (
            extension(
                POLICIES,
                bytes.fromhex("301B301906022A033013301106082B0601050507020230051A81026869"),
            ),
            "certificate-policies",
            "certificatePolicies cannot be read: .*not minimal",
        ),
    ],
)
def test_extension_that_is_not_in_der_is_refused_by_its_rule(
    written: bytes, rule: str, reason: str
) -> None:
    certificate = GBCSCertificate.from_der(with_extension(CERTIFICATE.der, written))
    with pytest.raises(CertificateRejected, match=reason) as caught:
        check_profile(certificate)
    assert caught.value.rule == rule


@pytest.mark.parametrize("critical", ["010100", "010101"])
def test_criticality_that_is_not_in_der_is_refused_with_its_field(critical: str) -> None:
    der = with_extension(CERTIFICATE.der, key_usage("03020780", bytes.fromhex(critical)))
    with pytest.raises(DecodeError, match=r"critical: .*default value|BOOLEAN that is"):
        GBCSCertificate.from_der(der)


@pytest.mark.parametrize(
    "written",
    [
        extension(BASIC_CONSTRAINTS, bytes.fromhex("3000"), NOT_CRITICAL),
        # A user notice in VisibleString and in BMPString, and the address of a statement.
        extension(
            POLICIES, bytes.fromhex("301A301806022A033012301006082B0601050507020230041A026869")
        ),
        extension(
            POLICIES,
            bytes.fromhex("301C301A06022A033014301206082B0601050507020230061E0400680069"),
        ),
        extension(
            POLICIES,
            bytes.fromhex("301E301C06022A033016301406082B060105050702011608687474703A2F2F78"),
        ),
    ],
)
def test_what_der_allows_passes(written: bytes) -> None:
    check_profile(GBCSCertificate.from_der(with_extension(CERTIFICATE.der, written)))


def test_qualifiers_are_refused_where_they_are_not_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificate_assumptions, "POLICY_QUALIFIERS_ACCEPTED", False)
    with pytest.raises(CertificateRejected, match="a policy has qualifiers") as caught:
        check_profile(CERTIFICATE)
    assert caught.value.rule == "certificate-policies"


def test_extension_that_stands_twice_is_named() -> None:
    der = with_extensions(CERTIFICATE.der, lambda each: [*each, each[0]])
    with pytest.raises(CertificateRejected, match=r"Duplicate 2\.5\.29\.15"):
        check_profile(GBCSCertificate.from_der(der))


def test_certificate_and_request_of_another_program_pass() -> None:
    check_profile(CERTIFICATE)
    CertificationRequest.from_der(OPENSSL_REQUEST).verify(entity=DEVICE, key_usage=SIGNS)


def test_null_parameters_are_told_with_field_and_clause() -> None:
    with pytest.raises(DecodeError) as caught:
        GBCSCertificate.from_der(with_null_parameters(CERTIFICATE.der))
    assert str(caught.value) == (
        "X.509: tbs_cert.signature_alg: a certificate that is not read here: its "
        "AlgorithmIdentifier has NULL parameters, and ECDSA has none (RFC 5758, 3.2) (ExtraData) "
        "[RFC 5280, 4.1]"
    )


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (CERTIFICATE.der[:-3], "an element is cut short by 3 octets, at octet 0"),
        (CERTIFICATE.der + b"\x05\x00", "2 elements where one belongs"),
        (OPENSSL_REQUEST[:4] + b"\x31" + OPENSSL_REQUEST[5:], "DER of something else"),
        (bytes.fromhex("3000"), "DER of something else"),
        (bytes.fromhex("30800000"), "an indefinite length, at octet 1"),
        (bytes.fromhex("1F8101"), "a tag of several octets"),
        (b"", "0 elements"),
        (b"\x30" * 3, "a length is missing|cut short"),
        (b"0\x80" * 40, "indefinite"),
        (bytes.fromhex("3083"), "a length is cut short"),
    ],
)
def test_octets_that_are_no_certificate_say_where(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=f"not one DER certificate: .*(?:{reason})"):
        GBCSCertificate.from_der(octets)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("02020001", "INTEGER"),
        ("0202FF80", "INTEGER"),
        ("0200", "INTEGER"),
        ("03020701", "BIT STRING"),
        ("030107", "BIT STRING"),
        ("03020880", "BIT STRING"),
        ("010102", "BOOLEAN"),
        ("050100", "NULL"),
        ("0600", "OBJECT IDENTIFIER"),
        ("06022A80", "OBJECT IDENTIFIER"),
    ],
)
def test_primitive_values_that_der_forbids_are_found(octets: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        require_der(tlv(0x30, bytes.fromhex(octets)))


@pytest.mark.parametrize("octets", ["0201FF", "02020080", "0202FF7F", "030100", "03020780", "0500"])
def test_primitive_values_of_der_pass(octets: str) -> None:
    require_der(tlv(0x30, bytes.fromhex(octets)))


def test_depth_has_an_end() -> None:
    octets = b""
    for _ in range(40):
        octets = tlv(0x30, octets)
    with pytest.raises(DecodeError, match="nested deeper"):
        require_der(octets)
    assert len(elements(octets)) == 1


SEQUENCE_OF_ASKED = tlv(0x30, b"".join(ASKED))
GOOD = attribute(EXTENSION_REQUEST, SEQUENCE_OF_ASKED)
PASSWORD = attribute(CHALLENGE_PASSWORD, bytes.fromhex("0C0161"))


def asking(attributes: list[bytes]) -> None:
    request = CertificationRequest.from_der(with_attributes(REQUEST, KEY, attributes))
    request.verify(entity=DEVICE, key_usage=SIGNS)


@pytest.mark.parametrize("attributes", [[GOOD], [PASSWORD, GOOD]])
def test_request_with_one_extension_request_passes(attributes: list[bytes]) -> None:
    asking(attributes)


@pytest.mark.parametrize(
    ("attributes", "rule", "reason"),
    [
        ([], "extension-request", "no attributes extensionRequest"),
        ([PASSWORD], "extension-request", "no attributes extensionRequest"),
        ([GOOD, GOOD], "extension-request", "2 attributes extensionRequest"),
        (
            [attribute(EXTENSION_REQUEST, tlv(0x30, each)) for each in ASKED],
            "extension-request",
            "2 attributes extensionRequest",
        ),
        (
            [attribute(EXTENSION_REQUEST, SEQUENCE_OF_ASKED, SEQUENCE_OF_ASKED)],
            "extension-request",
            "2 values",
        ),
        ([attribute(EXTENSION_REQUEST)], "extension-request", "0 values"),
        (
            [attribute(MICROSOFT_EXTENSION_REQUEST, SEQUENCE_OF_ASKED)],
            "extension-request",
            "Microsoft",
        ),
        (
            [GOOD, attribute(MICROSOFT_EXTENSION_REQUEST, SEQUENCE_OF_ASKED)],
            "extension-request",
            "Microsoft",
        ),
        (
            [attribute(EXTENSION_REQUEST, tlv(0x30, key_usage("03020080") + ASKED[1]))],
            "key-usage",
            "keyUsage is written 03020080",
        ),
        (
            [
                attribute(
                    EXTENSION_REQUEST,
                    tlv(
                        0x30,
                        ASKED[0] + alternative_name("308129A02706082B06010505070804" + NAME),
                    ),
                )
            ],
            "subject-alternative-name",
            "subjectAltName cannot be read: .*not minimal",
        ),
        (
            [
                attribute(
                    EXTENSION_REQUEST,
                    tlv(0x30, key_usage("03020780", FALSE) + ASKED[1]),
                )
            ],
            "key-usage",
            "critical: a default value is written out",
        ),
        (
            [attribute(EXTENSION_REQUEST, tlv(0x30, ASKED[0] + b"".join(ASKED)))],
            "extensions",
            "Duplicate",
        ),
    ],
)
def test_request_whose_extensions_are_not_asked_for_once_in_der_is_refused(
    attributes: list[bytes], rule: str, reason: str
) -> None:
    with pytest.raises(CertificationRequestRejected, match=reason) as caught:
        asking(attributes)
    assert caught.value.rule == rule


def test_request_without_the_field_of_attributes_says_so() -> None:
    with pytest.raises(DecodeError, match=r"PKCS#10: csr_info\.attributes: .*octets are missing"):
        CertificationRequest.from_der(with_attributes(REQUEST, KEY, None))
