from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authorities import SUPPLIER, Authorities, new_key
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base import zip_files
from keyrig.base.errors import KeyStoreError
from keyrig.keys.key_bundle import BundleKeyStore
from keyrig.keys.key_store import Authority
from keyrig.keys.store_copying import import_
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from pathlib import Path


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", compression) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return octets.getvalue()


def bundle_files() -> dict[str, bytes]:
    authorities, key = Authorities(), new_key()
    supplier = authorities.organisation(
        key_usage=KeyUsage.KEY_AGREEMENT, public_key=key.public_key()
    )
    top_up = authorities.organisation(key_usage=KeyUsage.KEY_AGREEMENT)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "org/cert/Z1-supplier-ka.pem": supplier.decoded.public_bytes(Encoding.PEM),
        "org/key/Z1-supplier-ka.key": pem,
        "org/cert/Z1-supplier-pp-ka.pem": top_up.decoded.public_bytes(Encoding.PEM),
        "org/cert/ZA.pem": authorities.root.certificate.decoded.public_bytes(Encoding.PEM),
        "org/cert/Z1.pem": authorities.issuing.certificate.decoded.public_bytes(Encoding.PEM),
        "org/cert/D1.pem": authorities.device_issuing.certificate.decoded.public_bytes(
            Encoding.PEM
        ),
        "readme.txt": b"hello",
    }


def test_certificates_keys_and_authorities_are_told_by_what_they_are() -> None:
    store = BundleKeyStore(zipped(bundle_files()), "the bundle")
    assert store.problems == ()
    assert {each.authority for each in store.stored()} == {None, *Authority}
    assert store.agreer(SUPPLIER) is not None
    uses = {each.cell_usage for each in store.stored() if each.certificate.entity_id == SUPPLIER}
    assert uses == set(CellUsage)


def test_key_of_another_certificate_is_left_out_on_import(tmp_path: Path) -> None:
    files = bundle_files()
    key = new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files["org/key/Z1-supplier-ka.key"] = key
    source = tmp_path / "org-crypto.zip"
    source.write_bytes(zipped(files))
    report = import_(source, tmp_path / "pki")
    assert len(report.refused) == 1
    assert not list((tmp_path / "pki").glob("*.key"))
    assert len(open_keystore(tmp_path / "pki").stored()) == len(report.copied) == 4


def test_names_that_point_elsewhere_are_names_and_nothing_else(tmp_path: Path) -> None:
    files = bundle_files()
    certificate = files.pop("org/cert/Z1-supplier-ka.pem")
    files["../../../../cert/../cert/Z1-supplier-ka.pem"] = certificate
    files["/etc/cert/evil.pem"] = certificate
    source = tmp_path / "home" / "org-crypto.zip"
    source.parent.mkdir()
    source.write_bytes(zipped(files))
    before = set(tmp_path.rglob("*"))
    import_(source, tmp_path / "home" / "pki")
    added = set(tmp_path.rglob("*")) - before
    assert {path.parent for path in added} == {tmp_path / "home", tmp_path / "home" / "pki"}


@pytest.mark.parametrize(
    ("octets", "match"),
    [
        (b"PK\x03\x04 nonsense", "no zip"),
        (b"", "no zip"),
        (zipped({"org/cert/a.pem": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED), "unpacks to"),
        (zipped({"a.txt": b"a"}), "no certificate below a folder cert"),
        (zipped({f"{i}": b"" for i in range(2001)}), "more than 2000 files"),
    ],
)
def test_what_is_no_bundle_is_refused(octets: bytes, match: str) -> None:
    with pytest.raises(KeyStoreError, match=match):
        BundleKeyStore(octets, "the bundle")


def test_many_files_that_unpack_to_too_much_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zip_files, "ZIP_MAXIMUM_OCTETS", 100_000)
    files = {f"org/cert/{i}.pem": bytes(60_000) for i in range(2)}
    with pytest.raises(KeyStoreError, match="more than 100000 octets"):
        BundleKeyStore(zipped(files, compression=zipfile.ZIP_DEFLATED), "the bundle")


def test_size_that_the_zip_states_is_not_believed() -> None:
    octets = bytearray(zipped({"org/cert/a.pem": bytes(200_000)}, compression=zipfile.ZIP_DEFLATED))
    true = (200_000).to_bytes(4, "little")
    while (at := octets.find(true)) >= 0:
        octets[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(KeyStoreError, match="the bundle"):
        BundleKeyStore(bytes(octets), "the bundle")


def test_encrypted_file_is_refused() -> None:
    octets = bytearray(zipped({"org/cert/a.pem": b"x"}))
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        octets[octets.find(header) + offset] |= 1
    with pytest.raises(KeyStoreError, match="is encrypted"):
        BundleKeyStore(bytes(octets), "the bundle")


def test_certificate_that_cannot_be_read_is_named_and_the_rest_taken() -> None:
    files = bundle_files() | {"org/cert/broken\x1b.pem": b"nothing"}
    store = BundleKeyStore(zipped(files), "the bundle")
    (problem,) = store.problems
    assert "broken" in problem.source
    assert "\x1b" not in str(problem)
    assert len(store.stored()) == 5
