"""Issued certificates: octets of the reference set's shape, and OpenSSL's own verdict."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import (
    DEVICE,
    END,
    REFERENCE_KEYSTORE,
    REFERENCE_MESSAGES,
    START,
    SUPPLIER,
    Authorities,
    MemorySigner,
    needs,
    new_key,
)
from gbcs.certificate_issuing import (
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    organisation_certificate,
    serial_of,
)
from gbcs.certificate_profiles import NEVER_EXPIRES, GBCSCertificate, check_profile
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage, RemotePartyRole

if TYPE_CHECKING:
    from pathlib import Path

SIGNS = KeyUsage.DIGITAL_SIGNATURE


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def reference(name: str) -> GBCSCertificate:
    pem = (REFERENCE_KEYSTORE / f"{name}.pem").read_bytes()
    return GBCSCertificate.from_x509(x509.load_pem_x509_certificate(pem))


def reference_authority() -> GBCSCertificate:
    name = "CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS_COMMAND_GBCS.HEX"
    message = bytes.fromhex(re.sub(r"\s", "", (REFERENCE_MESSAGES / name).read_text()))
    start = message.index(bytes.fromhex("71872BDBC82789BC1401CE01BA06ADA3")) - 15
    length = 4 + int.from_bytes(message[start + 2 : start + 4])
    return GBCSCertificate.from_der(message[start : start + length])


def issuer_like(certificate: GBCSCertificate) -> Issuer:
    """Make an issuer whose certificate has the name and key identifier that this one names."""

    class Named:
        profile = authorities_profile()
        subject = certificate.issuer
        subject_key_identifier = certificate.authority_key_identifier

        def __init__(self, public_key: Any) -> None:
            self.public_key = public_key

    signer = MemorySigner()
    named: Any = Named(signer.public_key)
    return Issuer(signer, named)


def authorities_profile() -> Any:
    return Authorities().issuing.certificate.profile


def issuance_of(certificate: GBCSCertificate) -> Issuance:
    return Issuance(certificate.serial, certificate.not_before, certificate.not_after)


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
@pytest.mark.parametrize(
    "name",
    [
        path.stem
        for path in sorted(REFERENCE_KEYSTORE.glob("90b3*.pem"))
        if not path.stem.startswith("90b3d51f30010008")
    ],
)
def test_organisation_certificate_is_octet_for_octet_the_reference_before_its_signature(
    name: str,
) -> None:
    original = reference(name)
    assert original.role is not None
    assert original.entity_id is not None
    made = organisation_certificate(
        issuer_like(original),
        issuance_of(original),
        role=original.role,
        entity_id=original.entity_id,
        key_usage=original.key_usage,
        public_key=original.public_key,
        business_name=original.business_name,
    )
    assert made.decoded.tbs_certificate_bytes == original.decoded.tbs_certificate_bytes


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(REFERENCE_KEYSTORE.glob("00db*.pem"))]
)
def test_device_certificate_is_octet_for_octet_the_reference_before_its_signature(
    name: str,
) -> None:
    original = reference(name)
    assert original.entity_id is not None
    made = device_certificate(
        issuer_like(original),
        serial=original.serial,
        not_before=original.not_before,
        entity_id=original.entity_id,
        key_usage=original.key_usage,
        public_key=original.public_key,
    )
    assert made.decoded.tbs_certificate_bytes == original.decoded.tbs_certificate_bytes


@pytest.mark.reference
@needs(REFERENCE_MESSAGES)
def test_issuing_certificate_is_octet_for_octet_the_reference_before_its_signature() -> None:
    original = reference_authority()
    made = issuing_certificate(
        issuer_like(original),
        issuance_of(original),
        common_name="Z1",
        public_key=original.public_key,
    )
    assert made.decoded.tbs_certificate_bytes == original.decoded.tbs_certificate_bytes


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("openssl")
    assert program is not None
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.peer
def test_openssl_verifies_what_is_issued(authorities: Authorities, tmp_path: Path) -> None:
    def write(name: str, certificate: GBCSCertificate) -> str:
        path = tmp_path / name
        path.write_bytes(certificate.decoded.public_bytes(Encoding.PEM))
        return str(path)

    root = write("root", authorities.root.certificate)
    seconds = str(int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()))
    # OpenSSL does not know HardwareModuleName; it must find nothing else to object to.
    base = ["verify", "-x509_strict", "-attime", seconds, "-ignore_critical", "-CAfile", root]
    issuing = write("issuing", authorities.issuing.certificate)
    device_issuing = write("device-issuing", authorities.device_issuing.certificate)
    organisation = write("organisation", authorities.organisation(business_name="A"))
    device = write("device", authorities.device())
    for between, certificate in ((issuing, organisation), (device_issuing, device)):
        result = openssl(*base, "-untrusted", between, certificate)
        assert result.returncode == 0, result.stderr
        assert openssl(*base, certificate).returncode != 0
    swapped = openssl(*base, "-untrusted", issuing, device)
    assert swapped.returncode != 0


def test_device_certificate_never_expires(authorities: Authorities) -> None:
    certificate = authorities.device()
    assert certificate.not_after == NEVER_EXPIRES
    assert b"\x18\x0f99991231235959Z" in certificate.der
    assert certificate.entity_id == DEVICE


def test_validity_is_written_in_whole_seconds_of_utc(authorities: Authorities) -> None:
    start = START.replace(microsecond=999_999)
    assert authorities.organisation(start=start).not_before == START


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("key-usage", {"key_usage": KeyUsage.DIGITAL_SIGNATURE | KeyUsage.KEY_AGREEMENT}),
        ("key-usage", {"key_usage": KeyUsage.KEY_CERT_SIGN}),
        ("role", {"role": RemotePartyRole.ROOT}),
        ("role", {"role": RemotePartyRole.ISSUING_AUTHORITY}),
    ],
)
def test_organisation_certificate_outside_its_profile_is_not_given_out(
    authorities: Authorities, rule: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(CertificateRejected) as caught:
        authorities.organisation(**changes)
    assert caught.value.rule == rule


def test_naive_validity_is_a_mistake_of_the_caller(authorities: Authorities) -> None:
    with pytest.raises(ValueError, match="aware"):
        authorities.organisation(start=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_issuer_with_another_key_or_without_authority_is_refused(authorities: Authorities) -> None:
    with pytest.raises(ValueError, match="not that of"):
        Issuer(MemorySigner(), authorities.issuing.certificate)
    signer = MemorySigner(new_key())
    with pytest.raises(ValueError, match="issues nothing"):
        Issuer(signer, authorities.organisation(public_key=signer.public_key))


def test_role_of_two_digits_is_written_in_hexadecimal(authorities: Authorities) -> None:
    certificate = authorities.organisation(role=RemotePartyRole.OTHER, entity_id=SUPPLIER)
    check_profile(certificate)
    assert certificate.role is RemotePartyRole.OTHER
    assert b"\x0c\x027F" in certificate.der


def test_serial_number_is_positive_and_of_sixteen_octets() -> None:
    assert serial_of(b"\xff" * 16) == (1 << 127) - 1
    assert serial_of(b"\x80" + b"\x00" * 14 + b"\x01") == 1
    for octets in (bytes(16), b"\x80" + bytes(15), b"\x01" * 15, b"\x01" * 17):
        with pytest.raises(ValueError, match="16 random octets"):
            serial_of(octets)


def test_validity_ends_where_it_is_told(authorities: Authorities) -> None:
    assert authorities.organisation().not_after == END
    assert authorities.organisation().key_usage == SIGNS
