"""`keyrig pki` as people and programs call it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from keyrig.cli import run_cli
from keyrig.config.places import default_keystore, find_data_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_init_makes_the_pki_in_the_home_folder_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["pki", "init"]) == 0
    assert "21 certificates made" in capsys.readouterr().out
    assert (home / "pki" / "root.key").is_file()
    assert run_cli(["pki", "init"]) == 4
    assert "exists already" in capsys.readouterr().err
    assert run_cli(["pki", "check"]) == 0
    assert "21 certificates, 21 keys, 0 findings" in capsys.readouterr().out


def test_show_lists_every_certificate(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keystore = str(home / "other")
    run_cli(["pki", "init", "--keystore", keystore])
    capsys.readouterr()
    assert run_cli(["pki", "show", "--keystore", keystore]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 22
    supplier = [line.split() for line in table if "prePaymentTopUp" in line]
    assert [row[:4] for row in supplier] == [
        ["90-B3-D5-1F-30-01-00-00", "supplier", "keyAgreement", "prePaymentTopUp"],
        ["90-B3-D5-1F-30-03-00-00", "supplier", "keyAgreement", "prePaymentTopUp"],
    ]
    assert all(len(row[6]) == 16 and row[7] == "yes" for row in supplier)


def test_json_carries_its_schema_on_every_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(home / "pki")
    run_cli(["pki", "init", "--json"])
    (made,) = lines(capsys)
    assert made == {"schema": 1, "kind": "pki-made", "keystore": source, "certificates": 21}
    run_cli(["pki", "show", "--json"])
    shown = lines(capsys)
    assert len(shown) == 21
    assert all(line["schema"] == 1 and line["kind"] == "certificate" for line in shown)
    named = {line["source"]: line for line in shown}
    supplier = named["90b3d51f30010000-ds.pem"]
    assert supplier["entity_id"] == "90-B3-D5-1F-30-01-00-00"
    assert supplier["role"] == "supplier"
    assert supplier["private_key"] is True
    run_cli(["pki", "export", "--json", str(home / "out")])
    (exported,) = lines(capsys)
    assert len(exported["copied"]) == 21
    run_cli(["pki", "check", "--json"])
    assert lines(capsys)[-1]["findings"] == 0


def test_export_leaves_private_keys_behind_unless_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli(["pki", "init"])
    assert run_cli(["pki", "export", str(home / "public")]) == 0
    assert run_cli(["pki", "export", "--private", str(home / "whole")]) == 0
    assert not list((home / "public").glob("*.key"))
    assert len(list((home / "whole").glob("*.key"))) == 21
    assert run_cli(["pki", "export", str(home / "whole")]) == 4
    assert "exists already" in capsys.readouterr().err


def test_import_copies_and_says_what_was_left_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = home / "source"
    run_cli(["pki", "init", "--keystore", str(source)])
    assert run_cli(["pki", "import", str(source)]) == 0
    assert (home / "pki" / "issuing.key").is_file()
    shutil.copy(source / "root.key", source / "issuing.key")
    capsys.readouterr()
    target = ["--keystore", str(home / "third")]
    assert run_cli(["pki", "import", str(source), *target]) == 3
    captured = capsys.readouterr()
    assert "20 copied, 0 there already, 1 left out" in captured.out
    assert "left out: issuing.pem" in captured.err


def test_check_ends_with_three_when_something_is_wrong(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli(["pki", "init"])
    (home / "pki" / "root.key").chmod(0o640)
    capsys.readouterr()
    assert run_cli(["pki", "check", "--ignore-time"]) == 3
    assert "root.key: others than its owner may read it" in capsys.readouterr().out


def test_missing_key_store_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "check"):
        assert run_cli(["pki", command]) == 4
        assert f"{home / 'pki'}: no key store there; make one" in capsys.readouterr().err


def test_help_loads_no_cryptography() -> None:
    program = (
        "import sys; from keyrig.cli import run_cli; run_cli(['pki', '--help']);"
        "sys.exit(any(name.startswith(('cryptography', 'rich', 'gbcs')) for name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert result.returncode == 0


def test_home_is_the_named_folder_or_the_platforms(tmp_path: Path) -> None:
    environment = {"KEYRIG_HOME": str(tmp_path)}
    assert find_data_folder(environment) == tmp_path
    assert default_keystore(environment) == tmp_path / "pki"
    assert find_data_folder({}).name == "keyrig"
    assert find_data_folder({"KEYRIG_HOME": ""}).name == "keyrig"
