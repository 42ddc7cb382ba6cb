"""`keyrig pki fetch`, `keyrig pki bundle` and `keyrig facts fetch`, against the stand-in."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

from homes.boxed_home import API_KEY, DEVICE, ESME, RIG, TYPES, BoxedHome
from keyrig.cli import run_cli
from keyrig.keys.lab_pki import SUPPLIER
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_devices_first_certificates_are_fetched_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], keep_device_certificates=False) as home:
        assert run_cli(["pki", "fetch", str(ESME), "--json"]) == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {each["key_usage"] for each in told} == {"digitalSignature", "keyAgreement"}
        assert all(each["added"] for each in told)
        store = open_keystore(home.path / "pki")
        kept = {c.der for c in store.certificates() if c.entity_id == ESME}
        assert kept == set(home.emulated[ESME].memory.state.certificates.values())
        assert run_cli(["pki", "fetch", str(ESME)]) == 0
        assert capsys.readouterr().out.count("there already") == 2


def test_management_and_top_up_keys_of_a_supplier_are_not_guessed_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]):
        assert run_cli(["pki", "fetch", str(SUPPLIER.entity_id)]) == 3
        out = capsys.readouterr().out
        assert out.count("top-ups") == 2
        assert out.count("there already") == 2


def test_party_that_the_repository_has_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]):
        assert run_cli(["pki", "fetch", "00-DB-12-34-56-78-90-FF"]) == 4
        assert "00-DB-12-34-56-78-90-FF" in capsys.readouterr().err


def test_wrong_key_of_the_services_is_told_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]):
        monkeypatch.setenv("TEST_SMKI_API_KEY", "not-the-key-9b7e")
        assert run_cli(["pki", "fetch", str(ESME)]) == 4
        err = capsys.readouterr().err
        assert "HTTP 403; correct dcc_boxed.smki_api_key in the settings" in err
        assert "not-the-key-9b7e" not in err
        assert API_KEY not in err


def test_bundle_is_imported_with_its_keys_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        new = tmp_path / "fetched"
        assert run_cli(["pki", "bundle", "--keystore", str(new)]) == 0
        capsys.readouterr()
        fetched = {(each.certificate, each.cell_usage) for each in open_keystore(new).stored()}
        there = open_keystore(home.path / "pki").stored()
        assert fetched == {(each.certificate, each.cell_usage) for each in there}
        keys = list(new.glob("*.key"))
        assert keys
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_run_fetches_the_first_certificates_that_the_key_store_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], keep_device_certificates=False) as home:
        assert home.run() == 0
        store = open_keystore(home.path / "pki")
        assert any(each.entity_id == ESME for each in store.certificates())


def rig_file(folder: Path) -> Path:
    rig = folder / "rig.toml"
    link = '{ service = "dcc-boxed" }'
    rig.write_text(
        RIG.format(name="boxed", supplier=SUPPLIER.entity_id)
        + DEVICE.format(entity=ESME, type=TYPES[ESME].value, link=link)
    )
    return rig


def test_doctor_says_whether_the_box_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]):
        rig = rig_file(tmp_path)
        run_cli(["doctor", str(rig)])
        assert "127.0.0.1 answers; answers are received on 127.0.0.1:" in capsys.readouterr().out
    assert run_cli(["doctor", str(rig)]) == 4
    assert "cannot be connected to" in capsys.readouterr().out


def test_inventory_is_read_through_the_dcc_and_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        rig = rig_file(tmp_path)
        assert run_cli(["facts", "fetch", str(rig), "--json"]) == 0
        (device,) = json.loads(capsys.readouterr().out)["devices"]
        assert device["entity_id"] == str(ESME)
        assert "device_type" in device["news"]
        with home.ledger() as ledger:
            held = {fact.source for fact in ledger.device_facts.history(ESME)}
        assert "Read Inventory" in held
