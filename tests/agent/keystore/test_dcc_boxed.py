"""A `keystore.json` as DCC Boxed's tools write it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authorities import SUPPLIER, Authorities, new_key
from gbcs.keys import public_octets
from gbcs.roles import CellUsage, KeyUsage
from keyrig.errors import KeyMissing, KeyStoreError
from keyrig.keystore import open_keystore
from keyrig.keystore.dcc_boxed import DCCBoxedKeyStore

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
    assert not any("PRIVATE KEY" in problem for problem in store.problems)


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
