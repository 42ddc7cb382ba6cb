from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from authorities import END, START, Authorities, new_key
from effort import at_most
from gbcs.certification_request import build_certification_request
from keyrig.base.errors import FileInvalid
from keyrig.keys.given_certificates import GIVEN_MAXIMUM_OCTETS, certificates_in, read_given

from .bench import DEVICE, DS, pem, private_pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate

AUTHORITIES = Authorities()
CERTIFICATE = AUTHORITIES.device()
CHAIN = [AUTHORITIES.root.certificate, AUTHORITIES.device_issuing.certificate, CERTIFICATE]
REQUEST = build_certification_request(new_key(), DS, DEVICE)
REQUEST_PEM = x509.load_der_x509_csr(REQUEST).public_bytes(Encoding.PEM)


def read(octets: bytes) -> list[GBCSCertificate]:
    return [each.certificate for each in certificates_in(octets, "the answer")]


def zipped(files: dict[str, bytes]) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return octets.getvalue()


def bag(*certificates: GBCSCertificate, encoding: Encoding = Encoding.DER) -> bytes:
    return pkcs7.serialize_certificates([each.decoded for each in certificates], encoding)


def crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "form",
    [
        lambda: pem(CERTIFICATE),
        lambda: CERTIFICATE.der,
        lambda: crlf(pem(CERTIFICATE)),
        lambda: pem(CERTIFICATE).replace(b"\n", b"\r"),
        lambda: b"\xef\xbb\xbf" + crlf(pem(CERTIFICATE)),
        lambda: pem(CERTIFICATE).decode().encode("utf-16"),
        lambda: b"\xff\xfe" + pem(CERTIFICATE).decode().encode("utf-16-le"),
        lambda: b"Subject: your certificate\r\n\r\nD\xe9j\xe0 vu\r\n" + crlf(pem(CERTIFICATE)),
        lambda: b"\n".join(b"    " + line for line in pem(CERTIFICATE).splitlines()),
        lambda: pem(CERTIFICATE).rstrip() + b"\n-- \nThe authority\n\x1a\0\0",
        lambda: pem(CERTIFICATE).replace(b"BEGIN C", b"BEGIN X509 C").replace(b"D C", b"D X509 C"),
        lambda: REQUEST_PEM + pem(CERTIFICATE),
        lambda: b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + pem(CERTIFICATE),
        lambda: base64.encodebytes(CERTIFICATE.der),
        lambda: base64.b64encode(bag(CERTIFICATE)),
        lambda: bag(CERTIFICATE),
        lambda: bag(CERTIFICATE, encoding=Encoding.PEM),
        lambda: bag(CERTIFICATE, encoding=Encoding.PEM).replace(b"PKCS7", b"CMS"),
        lambda: zipped({"a.pem": pem(CERTIFICATE)}),
        lambda: zipped({"f/g/": b"", "f/g/Zertifikat für Gerät.CER": CERTIFICATE.der}),
        lambda: zipped({"f\\answer.p7b": bag(CERTIFICATE)}),
        lambda: zipped({"a.pem": pem(CERTIFICATE), "a.csr.pem": REQUEST_PEM, "a.csr": REQUEST}),
        lambda: zipped({"a.csr.der": REQUEST, "a.crt": CERTIFICATE.der}),
        lambda: zipped(
            {
                "a.pem": pem(CERTIFICATE),
                "__MACOSX/._a.pem": b"\0\x05\x16\x07 Mac OS X",
                ".DS_Store": b"\0\0\0\1Bud1",
                "._a.pem": b"\0\x05\x16\x07",
                "Thumbs.db": b"\xd0\xcf\x11\xe0",
                "READ ME.txt": b"Yours sincerely",
                "letter.pdf": b"%PDF-1.7",
            }
        ),
    ],
)
def test_certificate_is_found_in_every_form_that_authorities_and_systems_give_it(
    form: Callable[[], bytes],
) -> None:
    assert read(form()) == [CERTIFICATE]


def test_chain_is_read_in_the_order_in_which_it_stands() -> None:
    assert read(b"".join(map(pem, CHAIN))) == CHAIN
    assert read(b"".join(map(pem, reversed(CHAIN)))) == CHAIN[::-1]
    assert set(read(bag(*CHAIN))) == set(CHAIN)


def test_pkcs7_of_a_thousand_certificates_is_read_alone_and_in_a_zip() -> None:
    many = [AUTHORITIES.device(serial=serial) for serial in range(1 << 64, (1 << 64) + 1000)]
    octets = bag(*many)
    assert set(read(octets)) == set(many)
    assert set(read(zipped({"all.p7b": octets}))) == set(many)


def test_source_names_file_and_place() -> None:
    found = certificates_in(
        zipped({"x/\x1b[2J.pem": pem(CERTIFICATE) * 2, "b.p7b": bag(*CHAIN)}), "answer.zip"
    )
    assert [each.source for each in found[:3]] == [
        "answer.zip/x/\N{REPLACEMENT CHARACTER}[2J.pem, block 1",
        "answer.zip/x/\N{REPLACEMENT CHARACTER}[2J.pem, block 2",
        "answer.zip/b.p7b, certificate 1",
    ]


def pkcs8(*, passphrase: bytes | None = None, encoding: Encoding = Encoding.DER) -> bytes:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return new_key().private_bytes(encoding, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    "form",
    [
        lambda: pem(CERTIFICATE) + private_pem(new_key()),
        lambda: private_pem(new_key()) + pem(CERTIFICATE),
        lambda: crlf(private_pem(new_key())).decode().encode("utf-16"),
        lambda: new_key().private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ),
        lambda: pem(CERTIFICATE) + pkcs8(passphrase=b"x", encoding=Encoding.PEM),
        lambda: private_pem(new_key()).partition(b"-----END")[0] + pem(CERTIFICATE),
        pkcs8,
        lambda: pkcs8(passphrase=b"x"),
        lambda: base64.encodebytes(pkcs8()),
        lambda: zipped({"a.pem": pem(CERTIFICATE), "key.txt": private_pem(new_key())}),
        lambda: zipped({"a.pem": pem(CERTIFICATE), "a.key": pkcs8()}),
    ],
)
def test_private_key_beside_a_certificate_is_refused_and_not_quoted(
    form: Callable[[], bytes],
) -> None:
    octets = form()
    with pytest.raises(FileInvalid, match="a private key is in it") as refused:
        read(octets)
    assert "BEGIN" not in str(refused.value)
    assert "MIG" not in str(refused.value)


def rsa_root() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another Root")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(START.replace(tzinfo=None))
        .not_valid_after(END.replace(tzinfo=None))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def test_root_of_another_pki_beside_the_certificate_is_read_as_one_of_an_authority() -> None:
    root, certificate = read(rsa_root() + pem(CERTIFICATE))
    assert root.profile.is_authority
    assert certificate == CERTIFICATE


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "no certificate in it"),
        (b"hello", "no certificate in it"),
        (b"aGVsbG8=", "no certificate in it"),
        (bytes(range(0x80, 0x100)) * 40, "no certificate in it"),
        (REQUEST, "a certification request"),
        (REQUEST_PEM, "a certification request"),
        (b"\x30\x82\xff\xff", "X.509"),
        (CERTIFICATE.der[:-20], "X.509"),
        (CERTIFICATE.der * 2, "X.509"),
        (pem(CERTIFICATE)[:-30], "a PEM block without its end"),
        (pem(CERTIFICATE) + pem(CERTIFICATE)[:-30], "a PEM block without its end"),
        (pem(CERTIFICATE)[:-90] + pem(CERTIFICATE), "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "cannot be read"),
        (b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n", "cannot be read"),
        (zipped({}), "no certificate in it"),
        (zipped({"readme.txt": b"later"}), "no certificate in it"),
        (zipped({"a.pem": pem(CERTIFICATE), "b.pem": b"oops"}), r"answer/b\.pem: no certificate"),
        (zipped({"a.pem": pem(CERTIFICATE), "b.der": b"\x30\x01\0"}), r"answer/b\.der: "),
        (zipped({"a.zip": zipped({"a.pem": pem(CERTIFICATE)})}), r"a\.zip: a zip within a zip"),
        (zipped({"a.pem": pem(CERTIFICATE)})[:-30], "no zip that can be read"),
        (b"PK\x03\x04", "no zip that can be read"),
        # A locator of zip64 that points nowhere.
        (b"PK\x06\x07" + b"\xff" * 16 + b"PK\x05\x06" + b"\0" * 18, "no zip that can be read"),
    ],
)
def test_what_holds_no_certificate_is_refused_with_the_reason(octets: bytes, reason: str) -> None:
    with pytest.raises(FileInvalid, match=reason) as refused:
        read(octets)
    assert str(refused.value).startswith("the answer")
    assert "\n" not in str(refused.value)


def test_zips_within_each_other_are_no_endless_reading() -> None:
    inner = zipped({"a.pem": pem(CERTIFICATE)})
    for _ in range(1500):
        inner = zipped({"again.zip": inner})
    with pytest.raises(FileInvalid, match="a zip within a zip"):
        read(inner)


@pytest.mark.parametrize(
    "octets",
    [
        b"-----BEGIN A-----" * 200_000,
        b"-----BEGIN CERTIFICATE-----" * 100_000,
        b"-----BEGIN " * 300_000,
        b"A" * GIVEN_MAXIMUM_OCTETS,
        b"0" * GIVEN_MAXIMUM_OCTETS,
        b"\x30\x84\xff\xff\xff\xff" * 500_000,
    ],
)
def test_four_megabytes_of_nothing_are_refused_soon(octets: bytes) -> None:
    with at_most(5), pytest.raises(FileInvalid):
        read(octets)


def test_too_many_certificates_are_refused() -> None:
    with pytest.raises(FileInvalid, match="more than 2000 certificates"):
        read(pem(CERTIFICATE) * 2001)
    with pytest.raises(FileInvalid, match="more than 2000 certificates"):
        read(zipped({"a.pem": pem(CERTIFICATE) * 1500, "b.pem": pem(CERTIFICATE) * 1500}))


def test_file_that_cannot_be_read_or_is_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"gone\.pem: cannot be read"):
        read_given(tmp_path / "gone.pem")
    with pytest.raises(FileInvalid, match="cannot be read"):
        read_given(tmp_path)
    large = tmp_path / "large"
    large.write_bytes(b"0" * (GIVEN_MAXIMUM_OCTETS + 1))
    with pytest.raises(FileInvalid, match="large: more than"):
        read_given(large)
    odd = tmp_path / "a\x1b[2Jb.pem"
    odd.write_bytes(b"")
    with pytest.raises(FileInvalid) as refused:
        read_given(odd)
    assert "\x1b" not in str(refused.value)
