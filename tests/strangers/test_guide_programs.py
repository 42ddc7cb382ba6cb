"""The programs of the guide on certification, run as they stand there."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from authorities import new_key
from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate, check_profile
from gbcs.certification_request import build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.path_validation import validate_path
from gbcs.roles import KeyUsage
from gbcs.x509_extensions import subject_key_identifier_of
from patience import HANG_S
from programs import needed_program
from strangers.enrolment import Enrolment, enrolment_server
from strangers.guide import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from strangers.openssl_pki import OpenSSLPKI

DEVICE = EntityIdentifier.parse("04e676000000c4bb")
OTHER = EntityIdentifier.parse("04e676000000c4bc")
DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT


@dataclass
class Called:
    """A program of the guide, called as keyrig calls it."""

    path: Path
    variables: Mapping[str, str]
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    def run(self, argument: str, given: bytes = b"", **variables: str) -> tuple[int, bytes, str]:
        done = subprocess.run(
            [self.path, argument],
            input=given,
            capture_output=True,
            check=False,
            timeout=HANG_S,
            cwd=self.path.parent,
            env={**os.environ, **self.variables, **variables},
        )
        return done.returncode, done.stdout, done.stderr.decode()

    def certify(
        self,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        device: EntityIdentifier = DEVICE,
        usage: KeyUsage = DS,
        variables: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        own = key or self.key
        der = build_certification_request(own, usage, device)
        pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
        told = {
            "KEYRIG_DEVICE": str(device),
            "KEYRIG_KEY_USAGE": usage.gbcs_name,
            "KEYRIG_KEY_IDENTIFIER": subject_key_identifier_of(own.public_key()).hex(),
        } | dict(variables or {})
        return self.run("certify", pem, **told)


@pytest.fixture(name="by_openssl")
def fixture_by_openssl(pki: OpenSSLPKI, tmp_path: Path) -> Called:
    needed_program("flock")
    folder = pki.folder / "authorities" / "device-issuing"
    return Called(
        program("certify-by-openssl", tmp_path),
        {"KEYRIG_CA": str(folder), "KEYRIG_CA_POLICY": "1.3.6.1.4.1.32473.7.7"},
    )


@pytest.fixture(name="server")
def fixture_server(pki: OpenSSLPKI) -> Iterator[Enrolment]:
    with enrolment_server(pki) as server:
        yield server


@pytest.fixture(name="by_est")
def fixture_by_est(server: Enrolment, tmp_path: Path) -> Called:
    needed_program("curl")
    settings = tmp_path / "est.conf"
    settings.touch()
    return Called(
        program("certify-by-est", tmp_path),
        {"KEYRIG_EST": server.url, "KEYRIG_EST_CONFIG": str(settings), "no_proxy": "127.0.0.1"},
    )


def certificate(answer: tuple[int, bytes, str]) -> GBCSCertificate:
    code, out, said = answer
    assert code == 0, said
    return GBCSCertificate.from_x509(x509.load_pem_x509_certificate(out))


@pytest.mark.parametrize("usage", [DS, KA])
def test_openssl_certifies_what_is_asked_and_under_the_profile(
    by_openssl: Called, pki: OpenSSLPKI, usage: KeyUsage
) -> None:
    assert by_openssl.run("probe")[0] == 0
    made = certificate(by_openssl.certify(usage=usage))
    check_profile(made, CertificateProfile.DEVICE)
    path = [GBCSCertificate.from_der(pki.certificate(each)) for each in ("root", "device-issuing")]
    validate_path(
        made,
        path_certificates=path,
        trust_anchors=path[:1],
        at=made.not_before,
        key_usage=usage,
        entity=DEVICE,
    )
    assert public_octets(made.public_key) == public_octets(by_openssl.key.public_key())


def test_a_request_that_comes_again_gets_the_same_certificate_and_a_new_key_another(
    by_openssl: Called,
) -> None:
    first = certificate(by_openssl.certify())
    assert certificate(by_openssl.certify()) == first
    assert certificate(by_openssl.certify(key=new_key())).serial != first.serial


@pytest.mark.parametrize(
    ("changes", "said"), [({"device": OTHER}, "another device"), ({"usage": KA}, "another use")]
)
def test_a_key_is_not_certified_twice(
    by_openssl: Called, changes: dict[str, EntityIdentifier | KeyUsage], said: str
) -> None:
    certificate(by_openssl.certify())
    code, out, told = by_openssl.certify(**changes)  # type: ignore[arg-type]
    assert (code, out) == (77, b"")
    assert said in told


def test_a_certificate_half_written_before_a_loss_of_power_is_made_again(
    by_openssl: Called, pki: OpenSSLPKI
) -> None:
    first = certificate(by_openssl.certify())
    folder = pki.folder / "authorities" / "device-issuing"
    (file,) = folder.joinpath("issued").glob("5A*.pem")
    file.write_bytes(file.read_bytes()[:200])
    index = folder / "index.txt"
    kept = [line for line in index.read_text().splitlines() if f"{first.serial:X}" not in line]
    index.write_text("".join(f"{line}\n" for line in kept))
    assert certificate(by_openssl.certify()).serial == first.serial


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KEYRIG_DEVICE": str(OTHER)}, "does not name device"),
        ({"KEYRIG_KEY_USAGE": "keyAgreement"}, "is for Digital Signature"),
        ({"KEYRIG_KEY_USAGE": "digitalSignature,keyAgreement"}, "no use"),
        ({"KEYRIG_KEY_IDENTIFIER": "4000000000000000"}, "is for key 4"),
    ],
)
def test_a_request_that_is_not_what_was_asked_for_is_refused(
    by_openssl: Called, variables: dict[str, str], said: str
) -> None:
    code, out, told = by_openssl.certify(variables=variables)
    assert (code, out) == (77, b"")
    assert said in told


def test_what_is_no_request_and_an_authority_without_its_key_are_failures(
    by_openssl: Called, pki: OpenSSLPKI
) -> None:
    code, out, _ = by_openssl.run(
        "certify", b"nothing", KEYRIG_DEVICE="a", KEYRIG_KEY_USAGE="b", KEYRIG_KEY_IDENTIFIER="c"
    )
    assert code not in {0, 75}
    assert out == b""
    (pki.folder / "authorities" / "device-issuing" / "own.key").unlink()
    assert by_openssl.run("probe")[0] not in {0, 75, 77}
    code, out, _ = by_openssl.certify()
    assert code not in {0, 75, 77}
    assert out == b""


def test_server_answers_with_the_certificate_in_pkcs7(by_est: Called, server: Enrolment) -> None:
    assert by_est.run("probe")[0] == 0
    code, out, said = by_est.certify()
    assert code == 0, said
    bag = f"-----BEGIN PKCS7-----\n{out.decode()}-----END PKCS7-----\n"
    found = [GBCSCertificate.from_x509(each) for each in
             pkcs7.load_pem_pkcs7_certificates(bag.encode())]  # fmt: skip
    (made,) = [each for each in found if each.profile is CertificateProfile.DEVICE]
    assert public_octets(made.public_key) == public_octets(by_est.key.public_key())
    assert server.requests == [
        x509.load_der_x509_csr(server.requests[0]).public_bytes(Encoding.DER)
    ]


def tbs_of(request: bytes) -> bytes:
    return x509.load_der_x509_csr(request).tbs_certrequest_bytes


def test_server_that_takes_longer_is_asked_later(by_est: Called, server: Enrolment) -> None:
    server.status = 202
    code, out, said = by_est.certify()
    assert (code, out) == (75, b"")
    assert "after 3600" in said


@pytest.mark.parametrize(("status", "expected"), [(403, 77), (400, 77), (401, 1), (503, 1)])
def test_server_that_refuses_or_fails_is_told_apart(
    by_est: Called, server: Enrolment, status: int, expected: int
) -> None:
    server.status = status
    code, out, said = by_est.certify()
    assert (code, out) == (expected, b"")
    assert f"answers {status}: this device is not known here" in said


def test_server_that_is_not_there_is_a_failure(by_est: Called) -> None:
    for argument in ("probe", "certify"):
        code, out, said = by_est.run(argument, KEYRIG_EST="http://127.0.0.1:9/.well-known/est")
        assert code not in {0, 75, 77}
        assert out == b""
        assert "curl" in said
