"""What openssl makes is what the profiles ask for, so that a test's failure is the agent's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import NameOID

from authorities import MemorySigner, new_key
from gbcs import certificate_assumptions
from gbcs.certificate_issuing import (
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    organisation_certificate,
    root_certificate,
)
from gbcs.certificate_profiles import GBCSCertificate, check_profile
from gbcs.certification_request import build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.path_validation import validate_path
from gbcs.roles import KeyUsage, XMLSigningRole
from strangers.openssl_pki import DEVICE_POLICY, ORGANISATION_POLICY, ORGANISATIONS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from strangers.openssl_pki import OpenSSLPKI

DEVICE = EntityIdentifier.parse("04e676000000c4aa")
USES = {"ds": KeyUsage.DIGITAL_SIGNATURE, "ka": KeyUsage.KEY_AGREEMENT}
STEMS = [f"{each.entity}-{use}" for each in ORGANISATIONS for use in each.uses]


def read(pki: OpenSSLPKI, stem: str) -> GBCSCertificate:
    return GBCSCertificate.from_der(pki.certificate(stem))


def validate(pki: OpenSSLPKI, certificate: GBCSCertificate) -> None:
    validate_path(
        certificate,
        path_certificates=[read(pki, "issuing"), read(pki, "device-issuing")],
        trust_anchors=[read(pki, "root")],
        at=datetime.now(UTC),
    )


def extensions(certificate: GBCSCertificate) -> dict[str, tuple[bool, bytes]]:
    return {
        each.oid.dotted_string: (each.critical, each.value.public_bytes())
        for each in certificate.extensions
    }


class Twin:
    """Issues by the product's own hand what openssl issued, over the same keys."""

    def __init__(self, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificate_assumptions, "TEST_CERTIFICATE_POLICY", ORGANISATION_POLICY)
        monkeypatch.setattr(
            certificate_assumptions, "TEST_DEVICE_CERTIFICATE_POLICY", DEVICE_POLICY
        )
        self.pki = pki

    def issuer(self, stem: str) -> Issuer:
        certificate = read(self.pki, stem)
        return Issuer(SignerFor(certificate), certificate)

    def issuance(self, certificate: GBCSCertificate) -> Issuance:
        return Issuance(certificate.serial, certificate.not_before, certificate.not_after)


class SignerFor(MemorySigner):
    """Signs by a key that is not that of the certificate: only the signature is another."""

    def __init__(self, certificate: GBCSCertificate) -> None:
        super().__init__()
        object.__setattr__(self, "shown", certificate.public_key)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        shown: ec.EllipticCurvePublicKey = self.__dict__["shown"]
        return shown


def test_every_certificate_has_its_profile_and_a_path_to_the_root(made_pki: OpenSSLPKI) -> None:
    for stem in [*STEMS, "issuing", "device-issuing", "root"]:
        check_profile(read(made_pki, stem))
        validate(made_pki, read(made_pki, stem))


@pytest.mark.parametrize("stem", STEMS)
def test_organisation_is_as_the_product_would_issue_it(
    stem: str, made_pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, made = Twin(made_pki, monkeypatch), read(made_pki, stem)
    organisation = next(each for each in ORGANISATIONS if stem.startswith(each.entity))
    assert made.role is not None
    assert made.entity_id == EntityIdentifier.parse(organisation.entity)
    own = organisation_certificate(
        twin.issuer("issuing"),
        twin.issuance(made),
        role=made.role,
        entity_id=made.entity_id,
        key_usage=USES[stem[-2:]],
        public_key=made.public_key,
        business_name=organisation.name,
    )
    assert made.decoded.tbs_certificate_bytes == own.decoded.tbs_certificate_bytes


@pytest.mark.parametrize("stem", ["root", "issuing", "device-issuing"])
def test_authority_is_as_the_product_would_issue_it(
    stem: str, made_pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, made = Twin(made_pki, monkeypatch), read(made_pki, stem)
    (name,) = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if stem == "root":
        own = root_certificate(SignerFor(made), twin.issuance(made), common_name=str(name.value))
    else:
        assert not isinstance(made.role, XMLSigningRole)
        own = issuing_certificate(
            twin.issuer("root"),
            twin.issuance(made),
            common_name=str(name.value),
            public_key=made.public_key,
            role=made.role,
        )
    assert made.decoded.tbs_certificate_bytes == own.decoded.tbs_certificate_bytes


@pytest.mark.parametrize("usage", USES.values())
def test_device_is_as_the_product_would_issue_it(
    usage: KeyUsage, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, key = Twin(pki, monkeypatch), new_key()
    made = GBCSCertificate.from_der(pki.certify(build_certification_request(key, usage, DEVICE)))
    check_profile(made)
    validate(pki, made)
    assert public_octets(made.public_key) == public_octets(key.public_key())
    own = device_certificate(
        twin.issuer("device-issuing"),
        serial=made.serial,
        not_before=made.not_before,
        entity_id=DEVICE,
        key_usage=usage,
        public_key=made.public_key,
    )
    assert extensions(made) == extensions(own)
    assert made.not_after == own.not_after
    # The order alone is another: what the request brought comes last.
    assert list(extensions(made)) != list(extensions(own))


def test_many_at_once_are_certified_under_serial_numbers_of_their_own(pki: OpenSSLPKI) -> None:
    requests = [
        build_certification_request(new_key(), KeyUsage.KEY_AGREEMENT, DEVICE) for _ in range(6)
    ]
    with ThreadPoolExecutor(max_workers=3) as pool:
        certificates = [GBCSCertificate.from_der(der) for der in pool.map(pki.certify, requests)]
    assert len({each.serial for each in certificates}) == len(requests)


def test_key_files_are_for_their_owner_and_no_issuing_key_is_among_them(
    made_pki: OpenSSLPKI,
) -> None:
    keys = list(made_pki.agent.glob("*.key"))
    assert {key.name.removesuffix(".key") for key in keys} == set(STEMS)
    assert not [key.name for key in keys if key.stat().st_mode & 0o077]
