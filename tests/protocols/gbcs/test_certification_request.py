"""The request of CS02c, against the reference response's and with each rule broken."""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from authorities import DEVICE, REFERENCE_MESSAGES, SUPPLIER, needs, new_key
from gbcs.certification_request import (
    CertificationRequest,
    CertificationRequestRejected,
    build_certification_request,
)
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected, DecodeError, KeyrigError
from gbcs.roles import KeyUsage
from gbcs.x509_extensions import device_alternative_name, x509_key_usage

SIGNS = KeyUsage.DIGITAL_SIGNATURE
AGREES = KeyUsage.KEY_AGREEMENT
PAYLOAD_OFFSET = 36


def reference_request() -> bytes:
    text = (REFERENCE_MESSAGES / "CS02c_6.17_SUCCESS_RESPONSE_GBCS.HEX").read_text()
    message = bytes.fromhex(re.sub(r"\s", "", text))
    length = 4 + int.from_bytes(message[PAYLOAD_OFFSET + 2 : PAYLOAD_OFFSET + 4])
    return message[PAYLOAD_OFFSET : PAYLOAD_OFFSET + length]


@pytest.mark.reference
@needs(REFERENCE_MESSAGES)
def test_reference_request_is_verified() -> None:
    request = CertificationRequest.from_der(reference_request())
    request.verify(entity=DEVICE, key_usage=SIGNS)
    assert request.entity_id == DEVICE
    assert request.key_usage == SIGNS


@pytest.mark.reference
@needs(REFERENCE_MESSAGES)
def test_request_made_here_is_octet_for_octet_the_reference_but_for_its_key() -> None:
    reference = CertificationRequest.from_der(reference_request())
    key = new_key()
    request = CertificationRequest.from_der(build_certification_request(key, SIGNS, DEVICE))
    rebuilt = request.decoded.tbs_certrequest_bytes.replace(
        public_octets(key.public_key()), public_octets(reference.public_key)
    )
    assert rebuilt == reference.decoded.tbs_certrequest_bytes


def test_request_carries_fixed_octets_around_its_key() -> None:
    key = new_key()
    request = build_certification_request(key, AGREES, DEVICE)
    before, after = request.split(public_octets(key.public_key()))
    assert before[4:] == bytes.fromhex(
        "3081BA02010030003059301306072A8648CE3D020106082A8648CE3D030107034200"
    )
    assert after.startswith(
        bytes.fromhex(
            "A05830560609"
            "2A864886F70D01090E"
            "31493047"
            "300E0603551D0F0101FF040403020308"
            "30350603551D110101FF042B3029A02706082B06010505070804A01B3019"
            "060D2A863A0001848FB90F01020201"
            "0408"
            "00DB1234567890A0"
            "300A06082A8648CE3D040302"
        )
    )


@pytest.mark.parametrize("usage", [SIGNS, AGREES])
def test_request_made_here_is_verified(usage: KeyUsage) -> None:
    key = new_key()
    request = CertificationRequest.from_der(build_certification_request(key, usage, DEVICE))
    request.verify(entity=DEVICE, key_usage=usage)
    assert public_octets(request.public_key) == public_octets(key.public_key())


@pytest.mark.parametrize("usage", [KeyUsage(0), SIGNS | AGREES, KeyUsage.KEY_CERT_SIGN])
def test_request_for_another_use_is_not_built(usage: KeyUsage) -> None:
    with pytest.raises(ValueError, match="one use"):
        build_certification_request(new_key(), usage, DEVICE)


def test_request_on_another_curve_is_not_built() -> None:
    with pytest.raises(ValueError, match="P-256"):
        build_certification_request(ec.generate_private_key(ec.SECP384R1()), SIGNS, DEVICE)


USAGE = (x509_key_usage(SIGNS), True)
NAME = (device_alternative_name(DEVICE), True)
UNKNOWN = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True)
NO_SUBJECT = x509.Name([])
NAMED = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meter")])


@pytest.mark.parametrize(
    ("rule", "subject", "extensions", "algorithm"),
    [
        ("subject", NAMED, [USAGE, NAME], hashes.SHA256()),
        ("signature-algorithm", NO_SUBJECT, [USAGE, NAME], hashes.SHA384()),
        ("key-usage", NO_SUBJECT, [NAME], hashes.SHA256()),
        ("key-usage", NO_SUBJECT, [(USAGE[0], False), NAME], hashes.SHA256()),
        (
            "key-usage",
            NO_SUBJECT,
            [(x509_key_usage(SIGNS | AGREES), True), NAME],
            hashes.SHA256(),
        ),
        ("wrong-use", NO_SUBJECT, [(x509_key_usage(AGREES), True), NAME], hashes.SHA256()),
        ("subject-alternative-name", NO_SUBJECT, [USAGE], hashes.SHA256()),
        ("subject-alternative-name", NO_SUBJECT, [USAGE, (NAME[0], False)], hashes.SHA256()),
        (
            "subject-alternative-name",
            NO_SUBJECT,
            [USAGE, (x509.SubjectAlternativeName([x509.DNSName("a.example")]), True)],
            hashes.SHA256(),
        ),
        (
            "wrong-entity",
            NO_SUBJECT,
            [USAGE, (device_alternative_name(SUPPLIER), True)],
            hashes.SHA256(),
        ),
        ("unknown-critical-extension", NO_SUBJECT, [USAGE, NAME, UNKNOWN], hashes.SHA256()),
    ],
)
def test_request_breaking_one_rule_is_rejected_by_it(
    rule: str,
    subject: x509.Name,
    extensions: list[tuple[x509.ExtensionType, bool]],
    algorithm: hashes.SHA256,
) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    der = builder.sign(new_key(), algorithm).public_bytes(Encoding.DER)
    with pytest.raises(CertificationRequestRejected) as caught:
        CertificationRequest.from_der(der).verify(entity=DEVICE, key_usage=SIGNS)
    assert caught.value.rule == rule
    assert isinstance(caught.value, CertificateRejected)
    assert str(caught.value).startswith("certification request rejected (")


def test_request_on_another_curve_is_rejected() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(NO_SUBJECT)
    for value, critical in (USAGE, NAME):
        builder = builder.add_extension(value, critical=critical)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(CertificationRequestRejected) as caught:
        CertificationRequest.from_der(der).verify(entity=DEVICE, key_usage=SIGNS)
    assert caught.value.rule == "curve"


def test_request_with_another_key_put_in_fails_its_proof_of_possession() -> None:
    own, other = new_key(), new_key()
    der = build_certification_request(own, SIGNS, DEVICE)
    swapped = der.replace(public_octets(own.public_key()), public_octets(other.public_key()))
    with pytest.raises(CertificationRequestRejected) as caught:
        CertificationRequest.from_der(swapped).verify(entity=DEVICE, key_usage=SIGNS)
    assert caught.value.rule == "signature"


def test_no_flipped_bit_is_accepted() -> None:
    der = build_certification_request(new_key(), SIGNS, DEVICE)
    for bit in range(len(der) * 8):
        octets = bytearray(der)
        octets[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(KeyrigError):
            CertificationRequest.from_der(bytes(octets)).verify(entity=DEVICE, key_usage=SIGNS)


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", bytes(40)])
def test_octets_that_are_no_request_do_not_decode(octets: bytes) -> None:
    with pytest.raises(DecodeError, match=r"PKCS#10"):
        CertificationRequest.from_der(octets)
