"""Paths of the reference set, and each way in which a path is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from authorities import (
    DEVICE,
    DURING,
    END,
    REFERENCE_KEYSTORE,
    REFERENCE_MESSAGES,
    START,
    SUPPLIER,
    Authorities,
    MemorySigner,
    Remake,
    needs,
    new_key,
)
from gbcs.certificate_issuing import Issuer
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.path_validation import NO_TRUST_ANCHOR, validate_path
from gbcs.protocol_errors import CertificateRejected, KeyrigError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.x509_extensions import subject_key_identifier_of, x509_key_usage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def rule_of(certificate: GBCSCertificate, **arguments: Any) -> str:
    with pytest.raises(CertificateRejected) as caught:
        validate_path(certificate, **arguments)
    return caught.value.rule


def test_path_leads_from_organisation_to_root(authorities: Authorities) -> None:
    certificate = authorities.organisation()
    root, issuing = authorities.root.certificate, authorities.issuing.certificate
    path = validate_path(
        certificate,
        path_certificates=[root, authorities.device_issuing.certificate, issuing, issuing],
        trust_anchors=[root],
        at=DURING,
        role=RemotePartyRole.SUPPLIER,
        key_usage=KeyUsage.DIGITAL_SIGNATURE,
        entity=SUPPLIER,
    )
    assert path == (certificate, issuing, root)


def test_path_leads_from_device_to_root(authorities: Authorities) -> None:
    certificate = authorities.device()
    path = validate_path(
        certificate,
        path_certificates=[authorities.device_issuing.certificate],
        trust_anchors=[authorities.root.certificate],
        at=DURING,
        key_usage=KeyUsage.KEY_AGREEMENT,
        entity=DEVICE,
    )
    assert [each.profile.name for each in path] == ["DEVICE", "ISSUING", "ROOT"]


def test_path_may_end_at_an_issuing_authority(authorities: Authorities) -> None:
    issuing = authorities.issuing.certificate
    for between in ([], [issuing], [authorities.root.certificate, issuing]):
        path = validate_path(
            authorities.organisation(), path_certificates=between, trust_anchors=[issuing], at=None
        )
        assert path[-1] is issuing


def test_anchor_itself_and_an_authority_below_it_are_valid(authorities: Authorities) -> None:
    root, issuing = authorities.root.certificate, authorities.issuing.certificate
    for certificate in (root, issuing):
        path = validate_path(
            certificate,
            path_certificates=[],
            trust_anchors=[root],
            at=DURING,
            key_usage=KeyUsage.KEY_CERT_SIGN,
        )
        assert path[-1] is root


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_organisations_lead_to_their_issuing_authority() -> None:
    name = "CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS_COMMAND_GBCS.HEX"
    message = bytes.fromhex(re.sub(r"\s", "", (REFERENCE_MESSAGES / name).read_text()))
    start = message.index(bytes.fromhex("71872BDBC82789BC1401CE01BA06ADA3")) - 15
    length = 4 + int.from_bytes(message[start + 2 : start + 4])
    anchor = GBCSCertificate.from_der(message[start : start + length])
    arguments: dict[str, Any] = {"path_certificates": [], "trust_anchors": [anchor]}
    paths = sorted(REFERENCE_KEYSTORE.glob("90b3*.pem"))
    for path in paths:
        certificate = GBCSCertificate.from_x509(x509.load_pem_x509_certificate(path.read_bytes()))
        if certificate.role is RemotePartyRole.LOAD_CONTROLLER:
            # These two have no authorityKeyIdentifier.
            assert rule_of(certificate, at=None, **arguments) == "authority-key-identifier"
            continue
        validate_path(certificate, at=datetime(2018, 6, 1, tzinfo=UTC), **arguments)
        assert rule_of(certificate, at=datetime(2026, 6, 1, tzinfo=UTC), **arguments) == "validity"
        validate_path(certificate, at=None, **arguments)
    assert len(paths) == 16


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_device_does_not_lead_to_the_organisations_authority(
    authorities: Authorities,
) -> None:
    pem = (REFERENCE_KEYSTORE / "00db1234567890a0-ds.pem").read_bytes()
    certificate = GBCSCertificate.from_x509(x509.load_pem_x509_certificate(pem))
    arguments: dict[str, Any] = {
        "path_certificates": [],
        "trust_anchors": [authorities.issuing.certificate],
    }
    assert rule_of(certificate, at=None, **arguments) == NO_TRUST_ANCHOR


def test_missing_intermediate_is_no_trust_anchor(authorities: Authorities) -> None:
    rule = rule_of(
        authorities.organisation(),
        path_certificates=[authorities.device_issuing.certificate],
        trust_anchors=[authorities.root.certificate],
        at=None,
    )
    assert rule == NO_TRUST_ANCHOR


def test_authority_of_the_same_name_and_another_key_is_no_trust_anchor(
    authorities: Authorities,
) -> None:
    stranger = Authorities()
    assert stranger.root.certificate.subject == authorities.root.certificate.subject
    rule = rule_of(
        authorities.organisation(),
        path_certificates=[authorities.issuing.certificate],
        trust_anchors=[stranger.root.certificate],
        at=None,
    )
    assert rule == NO_TRUST_ANCHOR


def test_no_trust_anchors_at_all_is_no_trust_anchor(authorities: Authorities) -> None:
    rule = rule_of(
        authorities.organisation(),
        path_certificates=[authorities.issuing.certificate, authorities.root.certificate],
        trust_anchors=[],
        at=None,
    )
    assert rule == NO_TRUST_ANCHOR


def test_expectations_that_are_not_met_are_told_apart(authorities: Authorities) -> None:
    arguments: dict[str, Any] = {
        "path_certificates": [authorities.issuing.certificate],
        "trust_anchors": [authorities.root.certificate],
        "at": None,
    }
    certificate = authorities.organisation()
    other = EntityIdentifier.parse("90b3d51f30030000")
    assert rule_of(certificate, role=RemotePartyRole.RECOVERY, **arguments) == "wrong-role"
    assert rule_of(certificate, key_usage=KeyUsage.KEY_AGREEMENT, **arguments) == "wrong-use"
    assert rule_of(certificate, entity=other, **arguments) == "wrong-entity"
    assert rule_of(authorities.device(), entity=SUPPLIER, **arguments) == "wrong-entity"
    assert rule_of(authorities.device(), role=RemotePartyRole.SUPPLIER, **arguments) == "wrong-role"
    assert rule_of(certificate, key_usage=KeyUsage.KEY_CERT_SIGN, **arguments) == "wrong-use"


@pytest.mark.parametrize("at", [START - timedelta(seconds=1), END + timedelta(seconds=1)])
@pytest.mark.parametrize("place", ["end entity", "issuing", "root"])
def test_any_certificate_outside_its_validity_breaks_the_path(place: str, at: datetime) -> None:
    wide: dict[str, Any] = {"start": START - timedelta(days=9), "end": END + timedelta(days=9)}
    authorities = Authorities()
    root = authorities.root
    if place != "root":
        signer = MemorySigner()
        make = Remake(root.certificate).changing(
            not_before=wide["start"], not_after=wide["end"], public_key=signer.public_key
        )
        make.replacing(x509.SubjectKeyIdentifier(subject_key_identifier_of(signer.public_key)))
        root = Issuer(signer, make.signed(signer.key))
    issuing = authorities.below(root) if place == "issuing" else authorities.below(root, **wide)
    certificate = (
        authorities.organisation(issuing)
        if place == "end entity"
        else authorities.organisation(issuing, **wide)
    )
    arguments: dict[str, Any] = {
        "path_certificates": [issuing.certificate],
        "trust_anchors": [root.certificate],
    }
    validate_path(certificate, at=DURING, **arguments)
    validate_path(certificate, at=None, **arguments)
    assert rule_of(certificate, at=at, **arguments) == "validity"


def test_first_and_last_second_are_valid(authorities: Authorities) -> None:
    for at in (START, END):
        validate_path(
            authorities.organisation(),
            path_certificates=[authorities.issuing.certificate],
            trust_anchors=[authorities.root.certificate],
            at=at,
        )


def test_forged_signature_breaks_the_path(authorities: Authorities) -> None:
    forged = Remake(authorities.organisation()).signed(new_key())
    rule = rule_of(
        forged,
        path_certificates=[authorities.issuing.certificate],
        trust_anchors=[authorities.root.certificate],
        at=None,
    )
    assert rule == "signature"


def test_forged_intermediate_breaks_the_path(authorities: Authorities) -> None:
    issuing = authorities.issuing
    forged = Remake(issuing.certificate).signed(new_key())
    arguments: dict[str, Any] = {"trust_anchors": [authorities.root.certificate], "at": None}
    certificate = authorities.organisation()
    assert rule_of(certificate, path_certificates=[forged], **arguments) == "signature"
    path = validate_path(
        certificate,
        path_certificates=[forged, issuing.certificate],
        trust_anchors=[authorities.root.certificate],
        at=None,
    )
    assert path[1] is issuing.certificate


def authority_key(issuer: GBCSCertificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(issuer.subject_key_identifier, None, None)


def test_organisation_that_issues_breaks_the_path(authorities: Authorities) -> None:
    key = new_key()
    supplier = authorities.organisation(public_key=key.public_key())
    make = Remake(authorities.organisation()).changing(issuer=supplier.subject)
    issued = make.replacing(authority_key(supplier)).signed(key)
    rule = rule_of(
        issued,
        path_certificates=[supplier, authorities.issuing.certificate],
        trust_anchors=[authorities.root.certificate],
        at=None,
    )
    assert rule == "issuer"


def below_issuing(
    authorities: Authorities, key: ec.EllipticCurvePrivateKey, usage: KeyUsage
) -> GBCSCertificate:
    issuing = authorities.issuing
    assert isinstance(issuing.signer, MemorySigner)
    make = Remake(issuing.certificate).changing(
        issuer=issuing.certificate.subject,
        public_key=key.public_key(),
        subject=x509.Name([*issuing.certificate.subject.rdns[:1], *authorities_name("lower").rdns]),
    )
    make.replacing(x509.SubjectKeyIdentifier(subject_key_identifier_of(key.public_key())))
    make.replacing(authority_key(issuing.certificate)).replacing(x509_key_usage(usage))
    return make.signed(issuing.signer.key)


def authorities_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def test_authority_below_an_issuing_authority_breaks_its_path_length(
    authorities: Authorities,
) -> None:
    key = new_key()
    lower = below_issuing(authorities, key, KeyUsage.KEY_CERT_SIGN)
    make = Remake(authorities.organisation()).changing(issuer=lower.subject)
    issued = make.replacing(authority_key(lower)).signed(key)
    for anchor in (authorities.root, authorities.issuing):
        rule = rule_of(
            issued,
            path_certificates=[lower, authorities.issuing.certificate],
            trust_anchors=[anchor.certificate],
            at=None,
        )
        assert rule == "path-length"


def test_intermediate_outside_its_profile_breaks_the_path(authorities: Authorities) -> None:
    root = authorities.root
    assert isinstance(root.signer, MemorySigner)
    make = Remake(authorities.issuing.certificate)
    loose = make.without(x509.CertificatePolicies).signed(root.signer.key)
    rule = rule_of(
        authorities.organisation(),
        path_certificates=[loose],
        trust_anchors=[root.certificate],
        at=None,
    )
    assert rule == "certificate-policies"


def test_certificates_that_branch_without_end_are_given_up(authorities: Authorities) -> None:
    name = authorities_name("loop")
    make = Remake(authorities.issuing.certificate).changing(subject=name, issuer=name)
    make.without(x509.AuthorityKeyIdentifier)
    loops = [make.changing(serial=serial).signed() for serial in range(1, 9)]
    certificate = Remake(authorities.organisation()).changing(issuer=name)
    certificate.replacing(authority_key(loops[0]))
    rule = rule_of(
        certificate.signed(),
        path_certificates=loops,
        trust_anchors=[authorities.root.certificate],
        at=None,
    )
    assert rule == NO_TRUST_ANCHOR


def test_naive_time_is_a_mistake_of_the_caller(authorities: Authorities) -> None:
    with pytest.raises(ValueError, match="aware"):
        validate_path(
            authorities.organisation(),
            path_certificates=[],
            trust_anchors=[],
            at=datetime(2026, 1, 1),  # noqa: DTZ001 - what is refused
        )


def test_no_flipped_bit_is_accepted(authorities: Authorities) -> None:
    der = authorities.organisation().der
    arguments: dict[str, Any] = {
        "path_certificates": [authorities.issuing.certificate],
        "trust_anchors": [authorities.root.certificate],
        "at": None,
    }
    for bit in range(len(der) * 8):
        octets = bytearray(der)
        octets[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(KeyrigError):
            validate_path(GBCSCertificate.from_der(bytes(octets)), **arguments)
