from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import DEVICE, REFERENCE_KEYSTORE, needs
from dccstub import DCCBoxed, StandInOptions
from dccstub.key_folder import HeldCertificate, KeyFolder, KeyFolderUnusable, key_bundle
from firmware_stubs.dccstub.bench import BROKER, PARTIES, SUPPLIER, Role, StandInBench
from firmware_stubs.support import DS, cell
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, XMLSigningRole
from meterstub.key_pair import KeyPair

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, held: HeldCertificate) -> None:
    pem = held.certificate.decoded.public_bytes(Encoding.PEM)
    (folder / f"{held.stem}.pem").write_bytes(pem)
    if held.key is not None:
        (folder / f"{held.stem}.key").write_text(held.key.pem, encoding="ascii")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for held in StandInBench().keys.held:
        write(tmp_path, held)
    return tmp_path


def test_folder_is_read_by_the_names_of_its_files(folder: Path) -> None:
    (folder / "notes.pem").write_text("no certificate", encoding="ascii")
    keys = KeyFolder.read(folder)
    assert {each.stem for each in keys.held} == {
        path.stem for path in folder.glob("*.pem") if path.stem != "notes"
    }
    key = keys.key(SUPPLIER, "ka", CellUsage.PREPAYMENT_TOP_UP)
    assert key != keys.key(SUPPLIER, "ka")
    assert keys.certificate(BROKER, "ds").role is Role.ACCESS_CONTROL_BROKER


def test_newest_certificate_of_a_party_is_taken(folder: Path) -> None:
    credential = StandInBench().pki.new_credential(cell(Role.SUPPLIER, DS), entity_id=SUPPLIER)
    newer = HeldCertificate(
        f"{SUPPLIER.stem}-ds.2", credential.certificate, "ds", CellUsage.MANAGEMENT, credential.pair
    )
    write(folder, newer)
    keys = KeyFolder.read(folder)
    serials = [
        each.certificate.serial for each in keys.held if (each.owner, each.use) == (SUPPLIER, "ds")
    ]
    assert len(serials) == 2
    assert keys.certificate(SUPPLIER, "ds").serial == max(serials)


@pytest.mark.parametrize("name", ["ds.xml-sign", "xml"])
def test_what_signs_xml_is_known_by_its_certificate(folder: Path, name: str) -> None:
    before = KeyFolder.read(folder).certificate(SUPPLIER, "ds")
    credential = StandInBench().pki.new_credential(
        cell(Role.SUPPLIER, DS), entity_id=SUPPLIER, role=XMLSigningRole.XML_SIGN
    )
    write(
        folder,
        HeldCertificate(
            f"{SUPPLIER.stem}-{name}",
            credential.certificate,
            "xml",
            CellUsage.MANAGEMENT,
            credential.pair,
        ),
    )
    keys = KeyFolder.read(folder)
    assert keys.xml_signing(SUPPLIER)[1] == credential.certificate
    assert keys.certificate(SUPPLIER, "ds") == before


def test_xml_is_signed_with_the_xml_key_where_there_is_one() -> None:
    bench = StandInBench()
    assert bench.keys.xml_signing(SUPPLIER)[0] == bench.credential(Role.SUPPLIER).pair
    own = bench.pki.new_credential(cell(Role.SUPPLIER, DS))
    held = HeldCertificate(
        f"{SUPPLIER.stem}-xml", own.certificate, "xml", CellUsage.MANAGEMENT, own.pair
    )
    keys = KeyFolder([*bench.keys.held, held])
    assert keys.xml_signing(SUPPLIER) == (own.pair, own.certificate)
    assert len(keys.signs_xml_for(SUPPLIER)) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{SUPPLIER.stem}-ds.pem", "no certificate"),
        (f"{SUPPLIER.stem}-ds.key", "no key"),
    ],
)
def test_damaged_file_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="ascii")
    with pytest.raises(KeyFolderUnusable, match=name):
        KeyFolder.read(folder)


def test_key_of_another_certificate_is_refused(folder: Path) -> None:
    name = f"{SUPPLIER.stem}-ds.key"
    other = KeyPair.from_pem((folder / f"{BROKER.stem}-ds.key").read_text(encoding="ascii"))
    (folder / name).write_text(other.pem, encoding="ascii")
    with pytest.raises(KeyFolderUnusable, match=name):
        KeyFolder.read(folder)


def test_stand_in_needs_the_brokers_signing_key() -> None:
    bench = StandInBench()
    without = [each for each in bench.keys.held if each.owner != BROKER]
    with pytest.raises(KeyFolderUnusable, match=f"{BROKER.stem}-ds"):
        DCCBoxed(KeyFolder(without), [], options=StandInOptions(parties=PARTIES))


def test_bundle_has_each_certificate_and_its_key_and_no_devices_key() -> None:
    bench = StandInBench()
    der = bench.device.memory.state.certificates[DS]
    pair = bench.device.memory.state.key_pairs[DS]
    device = HeldCertificate(
        f"{DEVICE.stem}-ds",
        type(bench.credential(Role.SUPPLIER).certificate).from_der(der),
        "ds",
        CellUsage.MANAGEMENT,
        pair,
    )
    octets = key_bundle(KeyFolder([*bench.keys.held, device]))
    with zipfile.ZipFile(io.BytesIO(octets)) as archive:
        names = archive.namelist()
        pem = archive.read(f"org-crypto/key/{SUPPLIER.stem}-pp-ka.key").decode("ascii")
    assert f"org-crypto/cert/{DEVICE.stem}-ds.pem" in names
    assert f"org-crypto/key/{DEVICE.stem}-ds.key" not in names
    assert "org-crypto/key/issuing.key" not in names
    certificates = {name.split("/")[-1][:-4] for name in names if "/cert/" in name}
    assert {name.split("/")[-1][:-4] for name in names if "/key/" in name} < certificates
    assert KeyPair.from_pem(pem) == bench.keys.key(SUPPLIER, "ka", CellUsage.PREPAYMENT_TOP_UP)
    assert key_bundle(KeyFolder([*bench.keys.held, device])) == octets


def test_nothing_private_is_shown() -> None:
    bench = StandInBench()
    for shown in (repr(bench.keys), repr(bench.keys.held), repr(bench.boxed)):
        assert "PRIVATE" not in shown
        assert "KeyPair" not in shown


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_key_store_is_read() -> None:
    keys = KeyFolder.read(REFERENCE_KEYSTORE)
    broker = EntityIdentifier.parse("90b3d51f30000002")
    signer, certificate = keys.xml_signing(broker)
    assert signer.public_key == certificate.public_key
    device = [
        each for each in keys.held if each.owner == EntityIdentifier.parse("00db1234567890a0")
    ]
    assert {each.is_device for each in device} == {True}
    assert [each for each in keys.held if each.is_device and each.signs_xml] == []
