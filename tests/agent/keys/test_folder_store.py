"""Folders of PEM files: the reference set's, renewals, names that lie, keys of mode 0600."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authorities import (
    DEVICE,
    DURING,
    END,
    REFERENCE_KEYSTORE,
    START,
    SUPPLIER,
    Authorities,
    needs,
    new_key,
)
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.base.errors import KeyMissing, KeyStoreError
from keyrig.keys.folder_store import FolderKeyStore, write_certificate, write_private_key
from keyrig.keys.key_store import Authority
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate

SIGNS = KeyUsage.DIGITAL_SIGNATURE
AGREES = KeyUsage.KEY_AGREEMENT
STEM = f"{SUPPLIER.stem}-ds"


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def keep(
    folder: Path, authorities: Authorities, stem: str, *, start: datetime = START, key: bool = True
) -> GBCSCertificate:
    private_key = new_key()
    certificate = authorities.organisation(public_key=private_key.public_key(), start=start)
    write_certificate(folder, stem, certificate)
    if key:
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private_key(folder, stem, pem)
    return certificate


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_folder_serves_each_party_its_certificates_and_keys() -> None:
    store = open_keystore(REFERENCE_KEYSTORE)
    assert isinstance(store, FolderKeyStore)
    assert len(store.stored()) == 27
    supplier = EntityIdentifier.parse("90b3d51f30010000")
    management = store.certificate(supplier, key_usage=AGREES)
    top_up = store.certificate(supplier, key_usage=AGREES, cell_usage=CellUsage.PREPAYMENT_TOP_UP)
    assert management.serial == 0x3B362657731E6B2BBE078650CFA14F15
    assert top_up.serial == 0x703733774EF2B8E50F7AF2BBB33C198F
    for agreer, certificate in (
        (store.agreer(supplier), management),
        (store.agreer(supplier, CellUsage.PREPAYMENT_TOP_UP), top_up),
        (store.agreer(DEVICE), store.certificate(DEVICE, key_usage=AGREES)),
    ):
        assert public_octets(agreer.public_key) == public_octets(certificate.public_key)
    broker = EntityIdentifier.parse("90b3d51f30000002")
    own, peers = store.agreer(broker), store.agreer(DEVICE)
    assert own.agree(peers.public_key) == peers.agree(own.public_key)
    assert len(store.signer(supplier).sign(b"")) == 64


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_reference_file_with_another_partys_certificate_is_left_out_and_named() -> None:
    store = open_keystore(REFERENCE_KEYSTORE)
    assert len(store.problems) == 1
    wan_provider = EntityIdentifier.parse("90b3d51f30000007")
    with pytest.raises(KeyMissing, match="holds the certificate of 90-B3-D5-1F-30-03-00-00"):
        store.agreer(wan_provider)
    assert store.certificate(wan_provider, key_usage=SIGNS).role is RemotePartyRole.WAN_PROVIDER


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_expired_certificate_is_given_only_where_no_time_is_asked() -> None:
    store = open_keystore(REFERENCE_KEYSTORE)
    store.certificate(SUPPLIER, key_usage=SIGNS)
    with pytest.raises(KeyMissing, match="valid at 2026-06-01"):
        store.certificate(SUPPLIER, key_usage=SIGNS, at=datetime(2026, 6, 1, tzinfo=UTC))


@pytest.mark.reference
@needs(REFERENCE_KEYSTORE)
def test_device_without_its_private_key_here_is_key_missing() -> None:
    store = open_keystore(REFERENCE_KEYSTORE)
    with pytest.raises(KeyMissing, match=r"private key of 00-DB-.* for digitalSignature"):
        store.signer(DEVICE)


def test_newest_valid_certificate_is_the_default_and_all_are_listed(
    authorities: Authorities, tmp_path: Path
) -> None:
    first = keep(tmp_path, authorities, STEM)
    second = keep(tmp_path, authorities, f"{STEM}.renewed", start=DURING)
    coming = keep(tmp_path, authorities, f"{STEM}.2030", start=END - timedelta(days=1))
    store = FolderKeyStore(tmp_path)
    assert set(store.certificates()) == {first, second, coming}
    assert store.certificate(SUPPLIER, key_usage=SIGNS) == coming
    assert store.certificate(SUPPLIER, key_usage=SIGNS, at=DURING) == second
    before = DURING - timedelta(seconds=1)
    assert store.certificate(SUPPLIER, key_usage=SIGNS, at=before) == first
    signer = store.signer(SUPPLIER, certificate=first)
    assert public_octets(signer.public_key) == public_octets(first.public_key)
    default = store.signer(SUPPLIER)
    assert public_octets(default.public_key) == public_octets(coming.public_key)


def test_signer_passes_over_a_newer_certificate_without_a_key(
    authorities: Authorities, tmp_path: Path
) -> None:
    first = keep(tmp_path, authorities, STEM)
    newer = keep(tmp_path, authorities, f"{STEM}.2", start=DURING, key=False)
    store = FolderKeyStore(tmp_path)
    assert public_octets(store.signer(SUPPLIER).public_key) == public_octets(first.public_key)
    with pytest.raises(KeyMissing):
        store.signer(SUPPLIER, certificate=newer)


def test_role_that_the_party_has_not_is_key_missing(
    authorities: Authorities, tmp_path: Path
) -> None:
    keep(tmp_path, authorities, STEM)
    store = FolderKeyStore(tmp_path)
    store.certificate(SUPPLIER, key_usage=SIGNS, role=RemotePartyRole.SUPPLIER)
    with pytest.raises(KeyMissing, match="as recovery"):
        store.certificate(SUPPLIER, key_usage=SIGNS, role=RemotePartyRole.RECOVERY)


def test_authorities_are_found_by_their_files(authorities: Authorities, tmp_path: Path) -> None:
    write_certificate(tmp_path, "root", authorities.root.certificate)
    write_certificate(tmp_path, "issuing", authorities.issuing.certificate)
    store = FolderKeyStore(tmp_path)
    assert store.authority_certificate(Authority.ROOT) == authorities.root.certificate
    with pytest.raises(KeyMissing, match="private key of the root"):
        store.certificate_signer(Authority.ROOT)
    with pytest.raises(KeyMissing, match="device-issuing"):
        store.issuer(Authority.DEVICE_ISSUING)


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        (f"{SUPPLIER.stem}-ka", "not of what its name says"),
        ("90b3d51f30020000-ds", "not of what its name says"),
        ("root", "no root certificate"),
        ("issuing", "no issuing authority certificate"),
    ],
)
def test_file_whose_name_lies_is_left_out(
    authorities: Authorities, tmp_path: Path, stem: str, reason: str
) -> None:
    write_certificate(tmp_path, stem, authorities.organisation())
    store = FolderKeyStore(tmp_path)
    assert not list(store.certificates())
    assert reason in store.problems[0].reason


def test_broken_file_is_named_and_the_rest_serves(authorities: Authorities, tmp_path: Path) -> None:
    keep(tmp_path, authorities, STEM)
    (tmp_path / "90b3d51f30020000-ds.pem").write_text("nothing\n")
    two = authorities.organisation().decoded.public_bytes(Encoding.PEM) * 2
    (tmp_path / "90b3d51f30030000-ds.pem").write_bytes(two)
    (tmp_path / "notes.pem").write_text("no concern of the store\n")
    store = FolderKeyStore(tmp_path)
    assert [problem.source[:16] for problem in store.problems] == [
        "90b3d51f30020000",
        "90b3d51f30030000",
    ]
    store.signer(SUPPLIER)


def test_private_key_is_written_for_its_owner_alone_and_never_over_another(
    tmp_path: Path,
) -> None:
    write_private_key(tmp_path, "k", b"first")
    path = tmp_path / "k.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyStoreError, match="nothing is overwritten"):
        write_private_key(tmp_path, "k", b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["k.key"]


def test_file_left_unfinished_by_a_killed_process_of_the_same_number_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    stem = "90b3d51f30010000-ds"
    unfinished = tmp_path / f".{stem}.key.{os.getpid()}.partial"
    unfinished.write_bytes(b"half")
    write_private_key(tmp_path, stem, b"whole")
    assert (tmp_path / f"{stem}.key").read_bytes() == b"whole"
    assert not unfinished.exists()


def test_path_with_nothing_there_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="keyrig pki init"):
        open_keystore(tmp_path / "absent")
