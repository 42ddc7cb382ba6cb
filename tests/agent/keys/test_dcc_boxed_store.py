"""A `keystore.json` as DCC Boxed's tools write it."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jsonschema import Draft202012Validator

from authorities import DURING, SUPPLIER, Authorities, new_key
from gbcs.key_holders import public_octets
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyMissing, KeyStoreError
from keyrig.keys.dcc_boxed_store import DCCBoxedKeyStore
from keyrig.keys.folder_store import write_certificate
from keyrig.keys.lab_pki import initialise
from keyrig.keys.store_copying import export_dcc_boxed
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from pathlib import Path

AGREES = KeyUsage.KEY_AGREEMENT


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def entry(authorities: Authorities, usage: KeyUsage, **fields: Any) -> tuple[str, dict[str, Any]]:
    key = new_key()
    certificate = authorities.organisation(public_key=key.public_key(), key_usage=usage)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return str(certificate.serial), {
        "role": 2,
        "certificate": certificate.decoded.public_bytes(Encoding.PEM).decode(),
        "privateKey": pem,
    } | fields


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_keys_are_found_by_party_use_and_cell(authorities: Authorities, tmp_path: Path) -> None:
    document = {
        SUPPLIER.stem: {
            "digitalSignature": dict([entry(authorities, KeyUsage.DIGITAL_SIGNATURE)]),
            "keyAgreement": dict(
                [
                    entry(authorities, AGREES, name="Z1-supplier-ka"),
                    entry(authorities, AGREES, name="Z1-supplier-pp-ka"),
                ]
            ),
        }
    }
    store = open_keystore(write(tmp_path / "keystore.json", document))
    assert isinstance(store, DCCBoxedKeyStore)
    assert store.problems == ()
    serials = list(document[SUPPLIER.stem]["keyAgreement"])
    for serial, cell_usage in zip(serials, CellUsage, strict=True):
        certificate = store.certificate(SUPPLIER, key_usage=AGREES, cell_usage=cell_usage)
        assert str(certificate.serial) == serial
        agreer = store.agreer(SUPPLIER, cell_usage)
        assert public_octets(agreer.public_key) == public_octets(certificate.public_key)
    assert len(store.signer(SUPPLIER).sign(b"")) == 64


@pytest.mark.parametrize(
    ("name", "cell_usage"),
    [
        ("Z1-supplier-pp", CellUsage.PREPAYMENT_TOP_UP),
        ("PP_KA", CellUsage.PREPAYMENT_TOP_UP),
        ("supplier2 prepayment", CellUsage.PREPAYMENT_TOP_UP),
        ("supplier top-up", CellUsage.PREPAYMENT_TOP_UP),
        ("Supplier", CellUsage.MANAGEMENT),
        ("apparatus", CellUsage.MANAGEMENT),
        (None, CellUsage.MANAGEMENT),
    ],
)
def test_entry_name_tells_the_cell(
    authorities: Authorities, tmp_path: Path, name: str | None, cell_usage: CellUsage
) -> None:
    document = {SUPPLIER.stem: {"keyAgreement": dict([entry(authorities, AGREES, name=name)])}}
    store = open_keystore(write(tmp_path / "keystore.json", document))
    assert [stored.cell_usage for stored in store.stored()] == [cell_usage]


def test_entry_without_key_serves_its_certificate_alone(
    authorities: Authorities, tmp_path: Path
) -> None:
    serial, fields = entry(authorities, AGREES)
    del fields["privateKey"]
    document = {SUPPLIER.stem: {"keyAgreement": {serial: fields}}}
    store = open_keystore(write(tmp_path / "keystore.json", document))
    store.certificate(SUPPLIER, key_usage=AGREES)
    with pytest.raises(KeyMissing, match="private key"):
        store.agreer(SUPPLIER)


def test_entry_in_the_wrong_place_is_left_out_and_named(
    authorities: Authorities, tmp_path: Path
) -> None:
    serial, fields = entry(authorities, AGREES)
    document = {
        "90b3d51f30020000": {"keyAgreement": {serial: fields}},
        "somebody": {"keyAgreement": {serial: fields}},
        SUPPLIER.stem: {
            "digitalSignature": {serial: fields},
            "other": {serial: fields},
            "keyAgreement": {
                "5": fields,
                serial: fields | {"role": 3},
                "6": fields | {"certificate": "none"},
            },
        },
    }
    store = open_keystore(write(tmp_path / "keystore.json", document))
    assert store.stored() == ()
    assert len(store.problems) == 7
    assert not any("PRIVATE KEY" in str(problem) for problem in store.problems)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "the top"),
        ('{"a": {"keyAgreement": {"1": {"privateKey": "SECRET"}}}}', "certificate: Field required"),
        ('{"a": {"keyAgreement": {"1": {"certificate": "", "privateKey": ["SECRET"]}}}}', "string"),
    ],
)
def test_file_of_another_form_is_refused_without_quoting_keys(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "keystore.json"
    path.write_text(text)
    with pytest.raises(KeyStoreError, match=reason) as caught:
        open_keystore(path)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


THE_FORM = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {
        "^[0-9a-f]{16}$": {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {
                "^(digitalSignature|keyAgreement)$": {
                    "type": "object",
                    "additionalProperties": False,
                    "patternProperties": {
                        "^[1-9][0-9]*$": {
                            "type": "object",
                            "required": ["certificate"],
                            "additionalProperties": False,
                            "properties": {
                                "certificate": {"type": "string"},
                                "privateKey": {"type": "string"},
                                "role": {"type": "integer"},
                                "name": {"type": "string"},
                            },
                        }
                    },
                }
            },
        }
    },
}
"""What dccboxed-keystore 0.4.2 reads and writes, by its KeyStoreDB."""


def made_at(folder: Path) -> Path:
    initialise(folder, DURING, os.urandom)
    return folder


@pytest.mark.parametrize("private", [True, False])
def test_an_export_has_the_tools_form_and_is_the_same_store_again(
    tmp_path: Path, *, private: bool
) -> None:
    store = open_keystore(made_at(tmp_path / "pki"))
    to = tmp_path / "keystore.json"
    report = export_dcc_boxed(store, to, private=private)
    assert (len(report.copied), report.refused, len(report.without_place)) == (18, (), 3)
    document = json.loads(to.read_bytes())
    Draft202012Validator(THE_FORM).validate(document)
    assert stat.S_IMODE(to.stat().st_mode) == (0o600 if private else 0o644)
    again = open_keystore(to)
    assert isinstance(again, DCCBoxedKeyStore)
    assert again.problems == ()
    expected = {
        (each.certificate, each.cell_usage) for each in store.stored() if each.authority is None
    }
    assert {(each.certificate, each.cell_usage) for each in again.stored()} == expected
    assert {each.has_private_key for each in again.stored()} == {private}
    supplier = document[SUPPLIER.stem]["keyAgreement"].values()
    assert sorted(each["name"] for each in supplier) == ["supplier-ka", "supplier-pp-ka"]
    assert {each["role"] for each in supplier} == {2}
    if private:
        again.signer(SUPPLIER).sign(b"m")
        text = next(iter(supplier))["privateKey"]
        assert re.match("-----BEGIN PRIVATE KEY-----\n", text)
        load_pem_private_key(text.encode(), None)
    else:
        assert b"PRIVATE KEY" not in to.read_bytes()


def test_an_encrypted_key_is_left_out_and_named_and_its_certificate_is_there(
    tmp_path: Path,
) -> None:
    folder = made_at(tmp_path / "pki")
    path = folder / f"{SUPPLIER.stem}-ds.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    to = tmp_path / "keystore.json"
    report = export_dcc_boxed(open_keystore(folder), to, private=True)
    (told,) = report.refused
    assert told.startswith(f"{path}: the private key is encrypted")
    assert len(report.copied) == 18
    entries = json.loads(to.read_bytes())[SUPPLIER.stem]["digitalSignature"].values()
    assert {each["role"]: "privateKey" in each for each in entries} == {2: False, 135: True}
    assert b"ENCRYPTED" not in to.read_bytes()


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    store = open_keystore(made_at(tmp_path / "pki"))
    to = tmp_path / "keystore.json"
    to.write_text("mine")
    with pytest.raises(KeyStoreError, match="exists already"):
        export_dcc_boxed(store, to, private=True)
    assert to.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keystore.json", "pki"]


def test_two_certificates_that_the_form_cannot_tell_apart_are_named(tmp_path: Path) -> None:
    authorities, others = Authorities("A"), Authorities("B")
    folder = tmp_path / "pki"
    folder.mkdir()
    first, second = authorities.organisation(), others.organisation()
    assert first.serial == second.serial
    write_certificate(folder, f"{SUPPLIER.stem}-ds", first)
    write_certificate(folder, f"{SUPPLIER.stem}-ds.other", second)
    report = export_dcc_boxed(open_keystore(folder), tmp_path / "keystore.json", private=False)
    (told,) = report.refused
    assert f"has serial number {first.serial}" in told
    assert len(report.copied) == 1
