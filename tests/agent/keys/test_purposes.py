"""Certificates that sign XML, in each form of key store; and files that are no certificate."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from authorities import DURING, START, SUPPLIER, Authorities, Remake, new_key
from gbcs.key_holders import public_octets
from gbcs.roles import KeyUsage, RemotePartyRole, XMLSigningRole
from keyrig.base.errors import KeyMissing, KeyStoreError
from keyrig.keys.folder_store import FileStem, certificate_in, file_stem
from keyrig.keys.key_bundle import BundleKeyStore
from keyrig.keys.rig_keys import RigKeys
from keyrig.keys.store_copying import export, import_
from keyrig.keys.store_opening import open_keystore
from keyrig.keys.store_validation import check
from vectors.x509_rewriting import with_null_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.key_store import KeyStore

AUTHORITIES = Authorities()
SIGNS = KeyUsage.DIGITAL_SIGNATURE
GBCS_KEY, XML_KEY = new_key(), new_key()
GBCS = AUTHORITIES.organisation(public_key=GBCS_KEY.public_key())
# Newer than the GBCS certificate, as those of DCC Boxed are.
XML = (
    Remake(
        AUTHORITIES.organisation(
            role=XMLSigningRole.XML_SIGN,
            public_key=XML_KEY.public_key(),
            start=START + timedelta(days=60),
        )
    )
    .without(x509.AuthorityKeyIdentifier)
    .signed(AUTHORITIES.issuing.signer.key)  # type: ignore[attr-defined] # the tests' own signer
)


def pem_of(certificate: GBCSCertificate) -> bytes:
    return certificate.decoded.public_bytes(Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def folder(directory: Path, xml_stem: str) -> Path:
    directory.mkdir()
    for stem, certificate, key in (
        (f"{SUPPLIER.stem}-ds", GBCS, GBCS_KEY),
        (xml_stem, XML, XML_KEY),
    ):
        (directory / f"{stem}.pem").write_bytes(pem_of(certificate))
        (directory / f"{stem}.key").write_bytes(key_pem(key))
        (directory / f"{stem}.key").chmod(0o600)
    for stem, certificate in (
        ("root", AUTHORITIES.root.certificate),
        ("issuing", AUTHORITIES.issuing.certificate),
    ):
        (directory / f"{stem}.pem").write_bytes(pem_of(certificate))
    return directory


def json_file(path: Path, *, role: int = 135) -> Path:
    entries = {
        str(certificate.serial): {
            "role": number,
            "name": name,
            "certificate": pem_of(certificate).decode(),
            "privateKey": key_pem(key).decode(),
        }
        for certificate, key, number, name in (
            (GBCS, GBCS_KEY, 2, "Z1-supplier-ds"),
            (XML, XML_KEY, role, "xml-sign-ds"),
        )
    }
    path.write_text(json.dumps({SUPPLIER.stem: {"digitalSignature": entries}}))
    return path


def bundle(path: Path) -> Path:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w") as archive:
        for name, certificate, key in (("a-ds", GBCS, GBCS_KEY), ("b-ds", XML, XML_KEY)):
            archive.writestr(f"org/cert/{name}.pem", pem_of(certificate))
            archive.writestr(f"org/key/{name}.key", key_pem(key))
    path.write_bytes(octets.getvalue())
    return path


@pytest.fixture(params=["folder", "folder of before", "json", "bundle"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    path = {
        "folder": lambda: folder(tmp_path / "pki", f"{SUPPLIER.stem}-xml"),
        "folder of before": lambda: folder(tmp_path / "pki", f"{SUPPLIER.stem}-ds.xml"),
        "json": lambda: json_file(tmp_path / "keystore.json"),
        "bundle": lambda: bundle(tmp_path / "org-crypto.zip"),
    }[request.param]()
    return open_keystore(path)


def test_look_ups_never_find_what_signs_xml(store: KeyStore) -> None:
    assert store.problems == ()
    assert XML in store.certificates()
    assert store.certificate(SUPPLIER, key_usage=SIGNS) == GBCS
    assert store.certificate(SUPPLIER, key_usage=SIGNS, role=RemotePartyRole.SUPPLIER) == GBCS
    assert store.signer(SUPPLIER).public_key == GBCS.public_key


def test_what_signs_xml_is_found_when_it_is_asked_for(store: KeyStore) -> None:
    (stored,) = store.xml_signing_certificates(SUPPLIER)
    assert stored.certificate == XML
    assert stored.has_private_key
    signer = store.signer(SUPPLIER, certificate=XML)
    assert public_octets(signer.public_key) == public_octets(XML.public_key)


def test_no_message_is_signed_by_an_xml_key_that_a_device_names(store: KeyStore) -> None:
    keys = RigKeys(store)
    identifier = XML.subject_key_identifier
    with pytest.raises(KeyMissing, match="which the device trusts"):
        keys.signer(SUPPLIER, identifier)


def test_party_with_nothing_but_an_xml_key_signs_no_message(tmp_path: Path) -> None:
    (tmp_path / f"{SUPPLIER.stem}-xml.pem").write_bytes(pem_of(XML))
    (tmp_path / f"{SUPPLIER.stem}-xml.key").write_bytes(key_pem(XML_KEY))
    store = open_keystore(tmp_path)
    with pytest.raises(KeyMissing):
        store.certificate(SUPPLIER, key_usage=SIGNS)
    with pytest.raises(KeyMissing):
        store.signer(SUPPLIER)


def test_import_and_export_carry_pairs_that_sign_xml(store: KeyStore, tmp_path: Path) -> None:
    directory = tmp_path / "imported"
    report = import_(tmp_path / _name_of(store), directory)
    assert report.refused == ()
    assert f"{SUPPLIER.stem}-xml" in report.copied
    export(open_keystore(directory), tmp_path / "exported", private=True)
    again = open_keystore(tmp_path / "exported")
    assert again.problems == ()
    (stored,) = again.xml_signing_certificates(SUPPLIER)
    assert (stored.certificate, stored.has_private_key) == (XML, True)
    assert stored.source == f"{SUPPLIER.stem}-xml.pem"


def _name_of(store: KeyStore) -> str:
    return store.location.rpartition("/")[2]


def test_check_finds_nothing_wrong_with_what_signs_xml(tmp_path: Path) -> None:
    directory = folder(tmp_path / "pki", f"{SUPPLIER.stem}-xml")
    assert check(open_keystore(directory), DURING).findings == ()


def test_check_takes_what_signs_xml_and_itself_as_dcc_boxed_has_it(tmp_path: Path) -> None:
    directory = folder(tmp_path / "pki", f"{SUPPLIER.stem}-xml")
    path = directory / f"{SUPPLIER.stem}-xml.pem"
    remade = Remake(XML).signed(XML_KEY)
    path.write_bytes(pem_of(remade))
    assert check(open_keystore(directory), DURING).findings == ()
    (late,) = check(open_keystore(directory), DURING + timedelta(days=9000)).findings[-1:]
    assert late.rule == "validity"
    path.write_bytes(pem_of(Remake(XML).signed()))
    (finding,) = check(open_keystore(directory), DURING).findings
    assert finding.rule == "signature"


@pytest.mark.parametrize(
    ("stem", "signs_xml"),
    [
        (f"{SUPPLIER.stem}-xml", True),
        (f"{SUPPLIER.stem}-xml.2018", True),
        (f"{SUPPLIER.stem}-ds", False),
    ],
)
def test_names_of_files_tell_what_signs_xml(stem: str, signs_xml: bool) -> None:  # noqa: FBT001
    read = FileStem.parse(stem)
    assert read is not None
    assert (read.signs_xml, read.key_usage) == (signs_xml, SIGNS)


def test_no_top_up_key_signs_xml() -> None:
    assert FileStem.parse(f"{SUPPLIER.stem}-pp-xml") is None
    assert FileStem.parse(f"{SUPPLIER.stem}-pp-ka") is not None


def test_file_named_for_xml_with_another_certificate_is_left_out(tmp_path: Path) -> None:
    (tmp_path / f"{SUPPLIER.stem}-xml.pem").write_bytes(pem_of(GBCS))
    (problem,) = open_keystore(tmp_path).problems
    assert problem.reason.endswith("which does not sign XML")


def test_entry_that_contradicts_its_role_says_both(tmp_path: Path) -> None:
    (problem,) = open_keystore(json_file(tmp_path / "keystore.json", role=137)).problems
    assert "says role 137, its certificate says role 135; export it again" in problem.reason


def unknown_role() -> GBCSCertificate:
    remade = Remake(GBCS)
    remade.subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "2A", _type=_ASN1Type.UTF8String)
            if each.oid == NameOID.ORGANIZATIONAL_UNIT_NAME
            else each
            for each in remade.subject
        ]
    )
    return remade.signed()


def test_unknown_role_is_left_out_as_unknown(tmp_path: Path) -> None:
    certificate = unknown_role()
    document = {
        SUPPLIER.stem: {
            "digitalSignature": {
                str(certificate.serial): {"role": 42, "certificate": pem_of(certificate).decode()}
            }
        }
    }
    path = tmp_path / "keystore.json"
    path.write_text(json.dumps(document))
    assert open_keystore(path).problems == ()
    (refused,) = import_(path, tmp_path / "imported").refused
    assert "the role that its OU names (2A) is unknown here" in refused


NULL_PARAMETERS = with_null_parameters(GBCS.der)


def block(label: str, der: bytes) -> bytes:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no PEM"),
        (b"hello", "no PEM"),
        (GBCS.der, "DER, not PEM"),
        (key_pem(XML_KEY), "a PRIVATE KEY, where a CERTIFICATE belongs"),
        (block("TRUSTED\x1b[2J", b"a"), "a TRUSTED\ufffd\\[2J, where a CERTIFICATE belongs"),
        (pem_of(GBCS)[:-30], "-----END line of a certificate is missing"),
        (b"-----BEGIN CERTIFICATE-----\n!?\n-----END CERTIFICATE-----\n", "not base64"),
        (block("CERTIFICATE", GBCS.der[:-2]), "not one DER certificate: .* cut short by 2 octets"),
        (block("CERTIFICATE", b"\x30\x00"), "not one DER certificate: DER of something else"),
        (
            block("CERTIFICATE", NULL_PARAMETERS),
            r"tbs_cert\.signature_alg: a certificate that is not read here: .* NULL parameters",
        ),
    ],
    ids=range(10),
)
def test_text_that_is_no_certificate_is_told_for_what_it_is(text: bytes, reason: str) -> None:
    with pytest.raises(KeyStoreError, match=reason) as caught:
        certificate_in(text, "a.pem")
    assert str(caught.value).startswith("a.pem: ")
    assert len(str(caught.value).splitlines()) == 1


def test_private_key_under_a_certificates_label_is_not_quoted() -> None:
    der = XML_KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    with pytest.raises(KeyStoreError, match="DER of something else") as caught:
        certificate_in(block("CERTIFICATE", der), "a.pem")
    assert der[7:15].hex().upper() not in str(caught.value).upper()


def test_what_is_left_out_is_named_once(tmp_path: Path) -> None:
    (tmp_path / f"{SUPPLIER.stem}-ds.pem").write_bytes(block("CERTIFICATE", NULL_PARAMETERS))
    (problem,) = open_keystore(tmp_path).problems
    assert str(problem).count(f"{SUPPLIER.stem}-ds.pem") == 1
    entries = {"5": {"certificate": block("CERTIFICATE", NULL_PARAMETERS).decode()}}
    path = tmp_path / "keystore.json"
    path.write_text(json.dumps({SUPPLIER.stem: {"digitalSignature": entries}}))
    (problem,) = open_keystore(path).problems
    assert str(problem).startswith(
        f"{SUPPLIER.stem}/digitalSignature/5: X.509: tbs_cert.signature_alg"
    )


def test_stem_of_what_signs_xml_is_its_own() -> None:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w") as archive:
        archive.writestr("org/cert/b.pem", pem_of(XML))
    (stored,) = BundleKeyStore(octets.getvalue(), "the bundle").stored()
    assert file_stem(stored) == f"{SUPPLIER.stem}-xml"
