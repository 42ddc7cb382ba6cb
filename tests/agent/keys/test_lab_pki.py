"""The test PKI made whole or not at all, its authority, and copies and checks of stores."""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - seeded
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from authorities import DEVICE, DURING, REFERENCE_KEYSTORE, SUPPLIER, Remake, needs, new_key
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequestRejected, build_certification_request
from gbcs.key_holders import public_octets
from gbcs.path_validation import validate_path
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.base.errors import KeyMissing, KeyStoreError
from keyrig.keys import lab_pki as pki
from keyrig.keys.folder_store import write_certificate
from keyrig.keys.key_store import Authority
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNS = KeyUsage.DIGITAL_SIGNATURE
AGREES = KeyUsage.KEY_AGREEMENT


def seeded(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki") / "home" / "pki"
    pki.initialise(directory, DURING, seeded())
    return directory


def test_every_party_has_its_certificates_and_keys(made: Path) -> None:
    store = open_keystore(made)
    assert store.problems == ()
    expected = {"root", "issuing", "device-issuing"}
    for party in pki.TEST_PARTIES:
        expected.add(f"{party.entity_id.stem}-ds")
        if party.has_key_agreement:
            expected.add(f"{party.entity_id.stem}-ka")
        if party.has_top_up:
            expected.add(f"{party.entity_id.stem}-pp-ka")
        xml = store.xml_signing_certificates(party.entity_id)
        assert [each.certificate.role for each in xml] == [party.xml_signing] * len(xml)
        assert len(xml) == (party.xml_signing is not None)
        if xml:
            expected.add(f"{party.entity_id.stem}-xml")
        certificate = store.certificate(party.entity_id, key_usage=SIGNS, role=party.role)
        signer = store.signer(party.entity_id)
        assert public_octets(signer.public_key) == public_octets(certificate.public_key)
        assert certificate.business_name == party.business_name
    assert {path.stem for path in made.iterdir()} == expected
    assert len(list(made.iterdir())) == 42


def test_parties_are_those_of_the_reference_set(made: Path) -> None:
    store = open_keystore(made)
    roles = {
        str(each.certificate.entity_id.stem): each.certificate.role
        for each in store.stored()
        if each.certificate.entity_id is not None and not each.certificate.signs_xml
    }
    assert roles == {
        "90b3d51f30000001": RemotePartyRole.RECOVERY,
        "90b3d51f30000002": RemotePartyRole.ACCESS_CONTROL_BROKER,
        "90b3d51f30000004": RemotePartyRole.TRANSITIONAL_COS,
        "90b3d51f30000007": RemotePartyRole.WAN_PROVIDER,
        "90b3d51f30010000": RemotePartyRole.SUPPLIER,
        "90b3d51f30020000": RemotePartyRole.NETWORK_OPERATOR,
        "90b3d51f30030000": RemotePartyRole.SUPPLIER,
    }
    management = store.certificate(SUPPLIER, key_usage=AGREES)
    top_up = store.certificate(SUPPLIER, key_usage=AGREES, cell_usage=CellUsage.PREPAYMENT_TOP_UP)
    assert management != top_up


def test_made_pki_passes_its_own_check_from_its_first_day_on(made: Path) -> None:
    store = open_keystore(made)
    first_day = DURING.replace(hour=0)
    for at in (first_day, DURING, None):
        report = pki.check(store, at)
        assert report.findings == ()
        assert (report.certificates, report.keys) == (21, 21)
    for at in (first_day - timedelta(seconds=1), DURING + timedelta(days=4000)):
        assert {finding.rule for finding in pki.check(store, at).findings} == {"validity"}


def test_private_files_are_their_owners_alone(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in made.glob("*.key"))


def test_existing_pki_is_never_overwritten(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    with pytest.raises(KeyStoreError, match="exists already"):
        pki.initialise(made, DURING, seeded(2))
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert [path.name for path in made.parent.iterdir()] == ["pki"]


def test_file_or_link_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("file", "link"):
        with pytest.raises(KeyStoreError, match="exists already"):
            pki.initialise(tmp_path / name, DURING, seeded())
    pki.initialise(tmp_path / "empty", DURING, seeded())
    assert (tmp_path / "empty" / "root.pem").is_file()


def test_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    source, calls = seeded(), 0

    def failing(octets: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise OSError(28, "No space left on device")
        return source(octets)

    with pytest.raises(KeyStoreError, match="No space left"):
        pki.initialise(tmp_path / "pki", DURING, failing)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, random, sys
from datetime import UTC, datetime
from pathlib import Path
from keyrig.keys import lab_pki as pki
left = int(sys.argv[2])
def source(octets):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return random.Random(left).randbytes(octets)
pki.initialise(Path(sys.argv[1]), datetime(2026, 6, 1, tzinfo=UTC), source)
"""


@pytest.mark.parametrize("certificates", [0, 1, 8, 20])
def test_process_killed_half_way_leaves_no_pki_in_place(tmp_path: Path, certificates: int) -> None:
    directory = tmp_path / "pki"
    command = [sys.executable, "-c", KILLED, str(directory), str(certificates)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not directory.exists()
    assert len(pki.initialise(directory, DURING, seeded()).stored()) == 21


def test_device_is_certified_under_the_root(made: Path) -> None:
    store = open_keystore(made)
    authority = pki.TestCertificationAuthority.of(store, seeded())
    key = new_key()
    der = authority.certify_device(
        build_certification_request(key, AGREES, DEVICE),
        entity=DEVICE,
        key_usage=AGREES,
        now=DURING + timedelta(days=1),
    )
    certificate = GBCSCertificate.from_der(der)
    assert public_octets(certificate.public_key) == public_octets(key.public_key())
    for at in (DURING + timedelta(days=1) - pki.CLOCK_TOLERANCE, DURING + timedelta(days=2)):
        validate_path(
            certificate,
            path_certificates=[authority.certificate],
            trust_anchors=[store.authority_certificate(Authority.ROOT)],
            at=at,
            key_usage=AGREES,
            entity=DEVICE,
        )


def test_each_certified_device_has_another_serial_number(made: Path) -> None:
    authority = pki.TestCertificationAuthority.of(open_keystore(made), seeded())
    request = build_certification_request(new_key(), SIGNS, DEVICE)
    serials = {
        GBCSCertificate.from_der(
            authority.certify_device(request, entity=DEVICE, key_usage=SIGNS, now=DURING)
        ).serial
        for _ in range(3)
    }
    assert len(serials) == 3


@pytest.mark.parametrize(
    ("rule", "entity", "usage"),
    [("wrong-entity", SUPPLIER, SIGNS), ("wrong-use", DEVICE, AGREES)],
)
def test_request_of_another_device_or_use_is_not_certified(
    made: Path, rule: str, entity: bytes, usage: KeyUsage
) -> None:
    authority = pki.TestCertificationAuthority.of(open_keystore(made), seeded())
    request = build_certification_request(new_key(), SIGNS, DEVICE)
    with pytest.raises(CertificationRequestRejected) as caught:
        authority.certify_device(request, entity=type(DEVICE)(entity), key_usage=usage, now=DURING)
    assert caught.value.rule == rule


@pytest.mark.parametrize("private", [True, False])
def test_export_is_the_same_store_with_or_without_keys(
    made: Path, tmp_path: Path, *, private: bool
) -> None:
    to = tmp_path / "exported"
    report = pki.export(open_keystore(made), to, private=private)
    assert (len(report.copied), report.refused) == (21, ())
    store = open_keystore(to)
    assert set(store.certificates()) == set(open_keystore(made).certificates())
    assert len(list(to.glob("*.key"))) == (21 if private else 0)
    assert pki.check(store, DURING).findings == ()
    if not private:
        with pytest.raises(KeyMissing):
            store.signer(SUPPLIER)


def test_export_into_a_folder_with_something_in_it_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("x")
    with pytest.raises(KeyStoreError, match="exists already"):
        pki.export(open_keystore(made), tmp_path, private=False)


def as_boxed(made: Path) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    document: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for stored in open_keystore(made).stored():
        certificate = stored.certificate
        if certificate.entity_id is not None:
            uses = document.setdefault(certificate.entity_id.stem, {})
            uses.setdefault(certificate.key_usage.gbcs_name, {})[str(certificate.serial)] = {
                "certificate": (made / stored.source).read_text(),
                "privateKey": (made / stored.source).with_suffix(".key").read_text(),
                "name": stored.source.removesuffix(".pem"),
            }
    return document


def test_keystore_json_is_imported_into_the_same_folder_form(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "keystore.json"
    source.write_text(json.dumps(as_boxed(made)))
    directory = tmp_path / "imported"
    report = pki.import_(source, directory)
    assert (len(report.copied), report.refused) == (18, ())
    for path in directory.iterdir():
        assert path.read_bytes() == (made / path.name).read_bytes()
    again = pki.import_(source, directory)
    assert (again.copied, len(again.already_there)) == ((), 18)


def test_import_adds_a_renewal_beside_what_is_there(made: Path, tmp_path: Path) -> None:
    directory = tmp_path / "imported"
    pki.import_(made, directory)
    renewed = tmp_path / "renewed"
    pki.initialise(renewed, DURING + timedelta(days=2), seeded(2))
    report = pki.import_(renewed, directory)
    assert report.refused == ()
    store = open_keystore(directory)
    newest = open_keystore(renewed).certificate(SUPPLIER, key_usage=SIGNS)
    assert store.certificate(SUPPLIER, key_usage=SIGNS) == newest
    assert len(store.stored()) == 42
    assert f"{SUPPLIER.stem}-ds.{newest.serial:032x}" in report.copied


def test_import_adds_a_key_to_a_certificate_that_was_alone(made: Path, tmp_path: Path) -> None:
    public, directory = tmp_path / "public", tmp_path / "imported"
    pki.export(open_keystore(made), public, private=False)
    pki.import_(public, directory)
    assert len(pki.import_(made, directory).copied) == 21
    open_keystore(directory).signer(SUPPLIER)


def test_import_refuses_a_key_of_another_certificate_and_copies_the_rest(
    made: Path, tmp_path: Path
) -> None:
    source, directory = tmp_path / "source", tmp_path / "imported"
    shutil.copytree(made, source)
    shutil.copy(source / "root.key", source / f"{SUPPLIER.stem}-ds.key")
    report = pki.import_(source, directory)
    assert len(report.copied) == 20
    assert "not that of the certificate" in report.refused[0]
    assert not (directory / f"{SUPPLIER.stem}-ds.pem").exists()


def test_import_does_not_pair_a_certificate_with_a_stray_key(made: Path, tmp_path: Path) -> None:
    directory = tmp_path / "imported"
    directory.mkdir()
    shutil.copy(made / "root.key", directory / f"{SUPPLIER.stem}-ds.key")
    report = pki.import_(made, directory)
    assert len(report.refused) == 1
    assert not (directory / f"{SUPPLIER.stem}-ds.pem").exists()


def test_encrypted_key_is_copied_encrypted_once_it_was_unlocked(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(made, source)
    path = source / f"{SUPPLIER.stem}-ds.key"
    key = load_pem_private_key(path.read_bytes(), None)
    encryption = BestAvailableEncryption(b"horse")
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    path.write_bytes(text)
    locked = pki.import_(source, tmp_path / "locked")
    assert len(locked.refused) == 1
    assert "locked" in locked.refused[0]
    opened = pki.import_(source, tmp_path / "opened", lambda _: b"horse")
    assert opened.refused == ()
    assert (tmp_path / "opened" / path.name).read_bytes() == text


def test_store_is_not_imported_into_itself(made: Path) -> None:
    with pytest.raises(KeyStoreError, match="itself"):
        pki.import_(made, made)


def test_check_names_each_thing_that_is_wrong(made: Path, tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    shutil.copytree(made, directory)
    (directory / f"{SUPPLIER.stem}-ds.key").chmod(0o644)
    shutil.copy(directory / "root.key", directory / "90b3d51f30020000-ds.key")
    forged = Remake(open_keystore(made).certificate(pki.RECOVERY.entity_id, key_usage=SIGNS))
    (directory / "90b3d51f30000001-ds.pem").unlink()
    (directory / "90b3d51f30000001-ds.key").unlink()
    write_certificate(directory, "90b3d51f30000001-ds", forged.signed(new_key()))
    (directory / "90b3d51f30000004-ds.pem").write_text("nothing")
    found = {
        (each.source, each.rule) for each in pki.check(open_keystore(directory), None).findings
    }
    assert found == {
        ("90b3d51f30000001-ds.pem", "signature"),
        ("90b3d51f30000004-ds.pem", "file"),
        ("90b3d51f30020000-ds.pem", "key"),
        (f"{SUPPLIER.stem}-ds.key", "file-mode"),
    }


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_folder_is_checked_without_any_authority() -> None:
    report = pki.check(open_keystore(REFERENCE_KEYSTORE), datetime(2026, 6, 1, tzinfo=UTC))
    rules = sorted(each.rule for each in report.findings if each.rule != "file-mode")
    assert rules == [
        "authority-key-identifier",
        "authority-key-identifier",
        "file",
        "no-trust-anchor",
    ]
    assert (report.certificates, report.keys) == (27, 16)


def test_unwritable_place_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeyStoreError, match=r"Not a directory|File exists"):
        pki.initialise(tmp_path / "file" / "pki", DURING, os.urandom)


def test_key_made_for_the_pki_is_not_encrypted(made: Path) -> None:
    key = load_pem_private_key((made / "root.key").read_bytes(), None)
    assert key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
