"""Certificates of the reference set, and each rule of the profiles broken by itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from authorities import (
    DEVICE,
    END,
    REFERENCE_KEYSTORE,
    REFERENCE_MESSAGES,
    START,
    SUPPLIER,
    Authorities,
    Remake,
    needs,
    new_key,
)
from gbcs import certificate_assumptions
from gbcs.certificate_profiles import (
    NEVER_EXPIRES,
    CertificateProfile,
    GBCSCertificate,
    check_profile,
    subject_key_identifier_of,
)
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected, DecodeError, KeyrigError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.x509_extensions import HARDWARE_MODULE_NAME, entity_in_alternative_name, x509_key_usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFERENCE_FILES = sorted(REFERENCE_KEYSTORE.glob("*.pem"))


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def reference(name: str) -> GBCSCertificate:
    pem = (REFERENCE_KEYSTORE / f"{name}.pem").read_bytes()
    return GBCSCertificate.from_x509(x509.load_pem_x509_certificate(pem))


def name_of(*attributes: tuple[x509.ObjectIdentifier, str | bytes]) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(
                oid,
                value,
                _type=_ASN1Type.BitString if isinstance(value, bytes) else _ASN1Type.UTF8String,
            )
            for oid, value in attributes
        ]
    )


UNIT, UNIQUE, COMMON = (
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.X500_UNIQUE_IDENTIFIER,
    NameOID.COMMON_NAME,
)
IDENTIFIER = b"\x00" + SUPPLIER


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
@pytest.mark.parametrize("path", REFERENCE_FILES, ids=lambda path: path.stem)
def test_every_reference_certificate_keeps_its_profile(path: Path) -> None:
    certificate = reference(path.stem)
    if certificate.role is RemotePartyRole.LOAD_CONTROLLER:
        with pytest.raises(CertificateRejected, match="no authorityKeyIdentifier"):
            check_profile(certificate)
    else:
        check_profile(certificate)
    usage = KeyUsage.DIGITAL_SIGNATURE if "-ds" in path.stem else KeyUsage.KEY_AGREEMENT
    assert certificate.key_usage == usage
    assert certificate.subject_key_identifier == subject_key_identifier_of(certificate.public_key)
    is_device = path.stem.startswith("00db")
    assert certificate.profile is (
        CertificateProfile.DEVICE if is_device else CertificateProfile.ORGANISATION
    )
    assert (certificate.not_after == NEVER_EXPIRES) is is_device
    # One file of the set holds the second supplier's certificate under another's name.
    named = "90b3d51f30030000" if path.stem == "90b3d51f30000007-ka" else path.stem[:16]
    assert certificate.entity_id == EntityIdentifier.parse(named)


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_supplier_reads_as_its_file_says() -> None:
    certificate = reference("90b3d51f30010000-ds")
    assert certificate.role is RemotePartyRole.SUPPLIER
    assert certificate.business_name == "GITTESTSUPPLIER"
    assert certificate.serial == 0x4FBC525201A1D7586C1BC1C4734DEB9F
    assert certificate.not_before == datetime(2015, 10, 30, tzinfo=UTC)
    assert certificate.not_after == datetime(2025, 10, 29, 23, 59, 59, tzinfo=UTC)
    assert certificate.authority_key_identifier == bytes.fromhex("4F5688D7EC933BE2")
    assert str(certificate) == "90-B3-D5-1F-30-01-00-00 (supplier, digitalSignature)"


@pytest.mark.reference
@needs(REFERENCE_MESSAGES)
def test_reference_issuing_authority_keeps_its_profile() -> None:
    name = "CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS_COMMAND_GBCS.HEX"
    text = (REFERENCE_MESSAGES / name).read_text()
    message = bytes.fromhex(re.sub(r"\s", "", text))
    serial = bytes.fromhex("71872BDBC82789BC1401CE01BA06ADA3")
    start = message.index(serial) - 15
    der = message[start : start + 4 + int.from_bytes(message[start + 2 : start + 4])]
    certificate = GBCSCertificate.from_der(der)
    check_profile(certificate, CertificateProfile.ISSUING)
    assert certificate.profile is CertificateProfile.ISSUING
    assert certificate.role is RemotePartyRole.ISSUING_AUTHORITY
    assert certificate.entity_id is None
    assert certificate.subject_key_identifier == bytes.fromhex("4F5688D7EC933BE2")


def test_profiles_of_certificates_made_here_are_told_apart(authorities: Authorities) -> None:
    made = {
        CertificateProfile.ROOT: authorities.root.certificate,
        CertificateProfile.ISSUING: authorities.issuing.certificate,
        CertificateProfile.ORGANISATION: authorities.organisation(),
        CertificateProfile.DEVICE: authorities.device(),
    }
    for profile, certificate in made.items():
        assert certificate.profile is profile
        check_profile(certificate)


def test_one_parse_serves_equal_octets(authorities: Authorities) -> None:
    der = authorities.device().der
    assert GBCSCertificate.from_der(der) is GBCSCertificate.from_der(bytes(bytearray(der)))


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x00", bytes(64)])
def test_octets_that_are_no_certificate_do_not_decode(octets: bytes) -> None:
    with pytest.raises(DecodeError, match="not one DER certificate"):
        GBCSCertificate.from_der(octets)


def test_trailing_octets_do_not_decode(authorities: Authorities) -> None:
    with pytest.raises(DecodeError):
        GBCSCertificate.from_der(authorities.device().der + b"\x00")


def organisation_rules() -> list[tuple[str, Callable[[Remake], Remake]]]:
    other = x509.SubjectKeyIdentifier(b"\x40" + bytes(7))
    long_authority = x509.AuthorityKeyIdentifier(bytes(20), None, None)
    full_authority = x509.AuthorityKeyIdentifier(bytes(8), [x509.DirectoryName(x509.Name([]))], 5)
    both = x509_key_usage(KeyUsage.DIGITAL_SIGNATURE | KeyUsage.KEY_AGREEMENT)
    refused = x509_key_usage(KeyUsage.NON_REPUDIATION)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    names = x509.SubjectAlternativeName([x509.DNSName("a.example")])
    unknown = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return [
        ("version", lambda make: make.changing(version=x509.Version.v1, extensions=[])),
        ("serial", lambda make: make.changing(serial=1 << 160)),
        ("signature-algorithm", lambda make: make.changing(hash=hashes.SHA384())),
        ("curve", lambda make: make.changing(public_key=p384())),
        ("unknown-critical-extension", lambda make: make.adding(unknown, critical=True)),
        ("key-usage", lambda make: make.without(x509.KeyUsage)),
        ("key-usage", lambda make: make.with_critical(x509.KeyUsage, critical=False)),
        ("key-usage", lambda make: make.replacing(both)),
        ("key-usage", lambda make: make.replacing(refused)),
        ("subject-key-identifier", lambda make: make.without(x509.SubjectKeyIdentifier)),
        ("subject-key-identifier", lambda make: make.replacing(other)),
        (
            "subject-key-identifier",
            lambda make: make.with_critical(x509.SubjectKeyIdentifier, critical=True),
        ),
        ("authority-key-identifier", lambda make: make.without(x509.AuthorityKeyIdentifier)),
        ("authority-key-identifier", lambda make: make.replacing(long_authority)),
        ("authority-key-identifier", lambda make: make.replacing(full_authority)),
        (
            "authority-key-identifier",
            lambda make: make.with_critical(x509.AuthorityKeyIdentifier, critical=True),
        ),
        ("certificate-policies", lambda make: make.without(x509.CertificatePolicies)),
        (
            "certificate-policies",
            lambda make: make.with_critical(x509.CertificatePolicies, critical=False),
        ),
        ("basic-constraints", lambda make: make.adding(constraints, critical=True)),
        ("subject-alternative-name", lambda make: make.adding(names, critical=True)),
        (
            "subject",
            lambda make: make.changing(
                subject=name_of((COMMON, "A"), (COMMON, "B"), (UNIT, "02"), (UNIQUE, IDENTIFIER))
            ),
        ),
        ("role", lambda make: make.changing(subject=name_of((UNIQUE, IDENTIFIER)))),
        ("role", lambda make: make.changing(subject=name_of((UNIT, "2"), (UNIQUE, IDENTIFIER)))),
        ("role", lambda make: make.changing(subject=name_of((UNIT, "44"), (UNIQUE, IDENTIFIER)))),
        ("role", lambda make: make.changing(subject=name_of((UNIT, "07"), (UNIQUE, IDENTIFIER)))),
        ("entity-identifier", lambda make: make.changing(subject=name_of((UNIT, "02")))),
        (
            "entity-identifier",
            lambda make: make.changing(subject=name_of((UNIT, "02"), (UNIQUE, SUPPLIER[:8]))),
        ),
        ("validity", lambda make: make.changing(not_after=START - timedelta(days=1))),
    ]


def p384() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP384R1()).public_key()


@pytest.mark.parametrize(("rule", "edit"), organisation_rules())
def test_organisation_certificate_breaking_one_rule_is_rejected_by_it(
    authorities: Authorities, rule: str, edit: Callable[[Remake], Remake]
) -> None:
    good = Remake(authorities.organisation())
    check_profile(good.signed(), CertificateProfile.ORGANISATION)
    broken = edit(good).signed()
    with pytest.raises(CertificateRejected) as caught:
        check_profile(broken, CertificateProfile.ORGANISATION)
    assert caught.value.rule == rule


def other_name(value: bytes, kind: x509.ObjectIdentifier = HARDWARE_MODULE_NAME) -> x509.OtherName:
    return x509.OtherName(kind, value)


HARDWARE_TYPE = bytes.fromhex("060D2A863A0001848FB90F01020201")


def hardware_module_name(serial: bytes, after: bytes = b"") -> bytes:
    contents = HARDWARE_TYPE + bytes([4, len(serial)]) + serial + after
    return bytes([0x30, len(contents)]) + contents


def device_rules() -> list[tuple[str, Callable[[Remake], Remake]]]:
    def alternative(*names: x509.GeneralName) -> Callable[[Remake], Remake]:
        return lambda make: make.replacing(x509.SubjectAlternativeName(list(names)))

    good = other_name(hardware_module_name(DEVICE))
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier(f"1.2.3.{arc}"), None) for arc in range(2)]
    )
    return [
        ("subject", lambda make: make.changing(subject=name_of((COMMON, "meter")))),
        ("certificate-policies", lambda make: make.replacing(policies)),
        ("subject-alternative-name", lambda make: make.without(x509.SubjectAlternativeName)),
        (
            "subject-alternative-name",
            lambda make: make.with_critical(x509.SubjectAlternativeName, critical=False),
        ),
        ("subject-alternative-name", alternative(good, good)),
        ("subject-alternative-name", alternative(x509.DNSName("meter.example"))),
        (
            "subject-alternative-name",
            alternative(other_name(good.value, x509.ObjectIdentifier("1.2.3"))),
        ),
        (
            "subject-alternative-name",
            alternative(other_name(hardware_module_name(DEVICE, b"\x05\x00"))),
        ),
        ("subject-alternative-name", alternative(other_name(b"\x04\x08" + DEVICE))),
        ("entity-identifier", alternative(other_name(hardware_module_name(DEVICE[:7])))),
        ("entity-identifier", alternative(other_name(hardware_module_name(DEVICE + b"\x00")))),
        ("validity", lambda make: make.changing(not_after=END)),
    ]


@pytest.mark.parametrize(("rule", "edit"), device_rules())
def test_device_certificate_breaking_one_rule_is_rejected_by_it(
    authorities: Authorities, rule: str, edit: Callable[[Remake], Remake]
) -> None:
    good = Remake(authorities.device())
    check_profile(good.signed(), CertificateProfile.DEVICE)
    broken = edit(good).signed()
    with pytest.raises(CertificateRejected) as caught:
        check_profile(broken, CertificateProfile.DEVICE)
    assert caught.value.rule == rule


def authority_rules() -> list[tuple[str, Callable[[Remake], Remake]]]:
    signs_too = x509_key_usage(KeyUsage.KEY_CERT_SIGN | KeyUsage.DIGITAL_SIGNATURE)
    return [
        ("key-usage", lambda make: make.replacing(signs_too)),
        ("basic-constraints", lambda make: make.without(x509.BasicConstraints)),
        (
            "basic-constraints",
            lambda make: make.with_critical(x509.BasicConstraints, critical=False),
        ),
        (
            "basic-constraints",
            lambda make: make.replacing(x509.BasicConstraints(ca=True, path_length=1)),
        ),
        (
            "basic-constraints",
            lambda make: make.replacing(x509.BasicConstraints(ca=False, path_length=None)),
        ),
        ("authority-key-identifier", lambda make: make.without(x509.AuthorityKeyIdentifier)),
        ("role", lambda make: make.changing(subject=name_of((UNIT, "02"), (COMMON, "T1")))),
        ("subject", lambda make: make.changing(subject=x509.Name([]))),
        (
            "entity-identifier",
            lambda make: make.changing(subject=name_of((UNIT, "07"), (UNIQUE, IDENTIFIER))),
        ),
    ]


@pytest.mark.parametrize(("rule", "edit"), authority_rules())
def test_issuing_certificate_breaking_one_rule_is_rejected_by_it(
    authorities: Authorities, rule: str, edit: Callable[[Remake], Remake]
) -> None:
    good = Remake(authorities.issuing.certificate)
    check_profile(good.signed(), CertificateProfile.ISSUING)
    broken = edit(good).signed()
    with pytest.raises(CertificateRejected) as caught:
        check_profile(broken, CertificateProfile.ISSUING)
    assert caught.value.rule == rule


def test_self_signed_certificate_of_another_role_than_root_is_rejected(
    authorities: Authorities,
) -> None:
    name = name_of((UNIT, "07"), (COMMON, "T1"))
    broken = Remake(authorities.root.certificate).changing(subject=name, issuer=name).signed()
    with pytest.raises(CertificateRejected) as caught:
        check_profile(broken)
    assert caught.value.rule == "role"


def test_compressed_point_is_rejected(authorities: Authorities) -> None:
    certificate = authorities.organisation()
    compressed = certificate.public_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    uncompressed = certificate.public_key.public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    )
    shorter = certificate.der.replace(b"\x59\x30\x13", b"\x39\x30\x13").replace(
        b"\x03\x42\x00" + uncompressed, b"\x03\x22\x00" + compressed
    )
    with pytest.raises(CertificateRejected, match="uncompressed") as caught:
        check_profile(GBCSCertificate.from_der(with_lengths_reduced(shorter, by=32)))
    assert caught.value.rule == "curve"


def with_lengths_reduced(der: bytes, *, by: int) -> bytes:
    """Correct the lengths of the certificate and of what is signed after a cut inside both."""
    outer = int.from_bytes(der[2:4]) - by
    inner = int.from_bytes(der[6:8]) - by
    return der[:2] + outer.to_bytes(2) + der[4:6] + inner.to_bytes(2) + der[8:]


def test_duplicate_extension_is_rejected(authorities: Authorities) -> None:
    make = Remake(authorities.organisation())
    broken = make.adding(*make.extensions[0][:1], critical=True).signed()
    with pytest.raises(CertificateRejected) as caught:
        check_profile(broken)
    assert caught.value.rule == "extensions"


@pytest.mark.parametrize(
    "value",
    [
        hardware_module_name(DEVICE) + b"\x05\x00",
        hardware_module_name(DEVICE)[:-1],
        b"\x30\x81\x19" + hardware_module_name(DEVICE)[2:],
        b"\x30",
        b"",
    ],
)
def test_hardware_module_name_with_another_form_is_rejected(value: bytes) -> None:
    with pytest.raises(CertificateRejected) as caught:
        entity_in_alternative_name(x509.SubjectAlternativeName([other_name(value)]))
    assert caught.value.rule == "subject-alternative-name"


def test_policy_outside_the_accepted_ones_is_rejected(
    authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = authorities.organisation()
    monkeypatch.setattr(
        certificate_assumptions, "ACCEPTED_CERTIFICATE_POLICIES", frozenset({"1.2.3"})
    )
    with pytest.raises(CertificateRejected) as caught:
        check_profile(certificate)
    assert caught.value.rule == "certificate-policies"


def test_every_flipped_bit_is_read_or_refused_with_our_own_error(authorities: Authorities) -> None:
    for der in (authorities.organisation(business_name="A").der, authorities.device().der):
        for bit in range(len(der) * 8):
            octets = bytearray(der)
            octets[bit // 8] ^= 1 << (bit % 8)
            try:
                certificate = GBCSCertificate.from_der(bytes(octets))
                assert str(certificate).isprintable()
                check_profile(certificate)
            except KeyrigError as error:
                assert "\n" not in str(error)  # noqa: PT017 - most bits break something


def test_business_name_is_cleaned_where_it_is_shown(authorities: Authorities) -> None:
    hostile = Remake(authorities.issuing.certificate).changing(
        subject=name_of((UNIT, "07"), (COMMON, "A\x1b[2J\nB" + "x" * 50))
    )
    shown = str(hostile.signed())
    assert shown.isprintable()
    assert shown.startswith("A\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}Bxxx")
    assert len(shown) < 80


def test_key_identifier_is_the_low_sixty_bits_under_0100() -> None:
    identifier = subject_key_identifier_of(new_key().public_key())
    assert len(identifier) == 8
    assert identifier[0] >> 4 == 0b0100
