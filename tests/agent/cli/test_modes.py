"""Who may read and write what a run leaves behind: nobody but its owner, where it is secret."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyrig.cli import run_cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ZIGBEE = Path(__file__).parents[3] / "hil-rigs" / "emulated-zigbee-home.toml"
ESME = "00-DB-12-34-56-78-90-A0"
PPMID = "00-DB-12-34-56-78-90-A5"
MAY_BE_READ = (
    "pki/*.pem",
    "exported/*.pem",
    "report.*",
    "evidence.jsonl",
)
"""What is public: certificates, and documents that are made to be handed on."""


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that was made beforehand for everybody to read, under a umask that keeps nothing."""
    before = os.umask(0)
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    yield home
    os.umask(before)


def see_that_secrets_are_kept(home: Path) -> set[str]:
    """Walk over all of a home; give the files that others may read."""
    read: set[str] = set()
    for path in home.rglob("*"):
        if path.is_symlink():
            continue
        name, mode = str(path.relative_to(home)), stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o022, f"{name}: others may write it ({mode:o})"
        if path.is_dir() or not mode & 0o044:
            continue
        assert any(fnmatch(name, each) for each in MAY_BE_READ), f"{name}: others may read it"
        assert b"PRIVATE KEY" not in path.read_bytes(), name
        read.add(name)
    return read


def test_nothing_secret_of_the_emulated_home_may_be_read_by_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "--transcript", str(home / "transcript.jsonl"), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (run,) = [each["run"] for each in told if each["type"] == "run-finished"]
    for form, name in (
        ("html", "report.html"),
        ("json", "report.json"),
        ("evidence", "evidence.jsonl"),
    ):
        written = ["report", run, "--format", form, "--output", str(home / name)]
        assert run_cli(written) == 0
    assert run_cli(["token", "create", "tablet", "--scope", "read"]) == 0
    assert run_cli(["pki", "export", "--private", str(home / "exported")]) == 0
    capsys.readouterr()
    read = see_that_secrets_are_kept(home)
    assert {"report.html", "report.json", "evidence.jsonl"} <= read
    assert any(each.startswith("pki/") for each in read)
    assert (home / "transcript.jsonl").stat().st_size
    assert stat.S_IMODE((home / "ledger.sqlite").stat().st_mode) == 0o600

    assert run_cli(["doctor", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (row,) = [each for document in rows for each in document["findings"] if each["what"] == "home"]
    assert row["health"] == "note"
    assert "everybody may enter it; run `chmod 700" in row["detail"]
    home.chmod(0o777)
    assert run_cli(["doctor"]) == 4
    assert "everybody may change what is in it" in capsys.readouterr().out


@pytest.mark.timeout(300)
def test_nothing_secret_of_a_radios_network_may_be_read_by_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", str(ZIGBEE), "--device", ESME, "--json"]) == 0
    capsys.readouterr()
    assert not see_that_secrets_are_kept(home) - {
        str(path.relative_to(home)) for path in (home / "pki").glob("*.pem")
    }
    (database,) = (home / "rigs").glob("*.zigbee.db")
    with closing(sqlite3.connect(database)) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master")]
    assert any(name.startswith("network_backups") for name in tables)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    database.chmod(0o644)
    assert run_cli(["run", str(ZIGBEE), "--device", PPMID, "--json"]) == 0
    capsys.readouterr()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
