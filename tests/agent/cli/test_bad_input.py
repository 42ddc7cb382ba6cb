from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text, load_rig
from keyrig.ledger.ledger import Ledger
from keyrig.run.hosting import emulated_rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHF = "00-DB-12-34-56-78-90-A2"
ESME = "00-DB-12-34-56-78-90-A0"
HCALCS = "00-DB-12-34-56-78-90-A4"


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


@pytest.fixture(name="hosted")
def fixture_hosted(home: Path) -> Iterator[str]:
    """The emulated home's devices on ptys; gives the text of a rig file that reaches them."""
    assert not home.exists()
    rig = load_rig(None)
    with emulated_rig(rig) as devices:
        text = rig.with_urls(devices.urls, devices.commissioned_at)
        yield text.replace("[device.link]", "[device.link]\ntimeout_s = 0.3")


def refused(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int, starts: str = "keyrig: "
) -> str:
    """Run a command that must be refused in one line; give the line."""
    assert run_cli(list(arguments)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(starts)
    return line.removeprefix(starts)


def contents(home: Path) -> dict[str, bytes]:
    """Give every file below the home, but for locks and what SQLite keeps beside a ledger."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    }


def rig_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "rig.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_device_that_is_not_on_the_rig_is_named_and_nothing_is_made(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "run", "--device", "00-11-22-33-44-55-66-77", code=2)
    assert line == (
        "device 00-11-22-33-44-55-66-77: not on the rig emulated-home; name one of its devices"
    )
    assert not home.exists()


def test_misspelt_key_is_named_with_its_line_and_the_key_that_was_meant(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = emulated_home_text().replace("framing", "framming", 1)
    at = next(n for n, line in enumerate(text.splitlines(), 1) if "framming" in line)
    path = rig_file(tmp_path, text)
    line = refused(capsys, "run", path, code=2)
    assert line.startswith(f"{path}, line {at}: unknown key")
    assert line.endswith("did you mean 'framing'?")
    assert not home.exists()


def test_rig_of_real_devices_without_keys_is_told_how_to_get_them(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = emulated_home_text().replace('"emulated:"', '"/dev/null"', 1)
    text = re.sub(r'"emulated:"', lambda m: f'"/dev/keyrig-none-{m.start()}"', text)
    line = refused(capsys, "run", rig_file(tmp_path, text), code=4)
    assert line.startswith(f"{home / 'pki'}: no key store; make one with `keyrig pki init`")


@pytest.mark.parametrize("what", ["text", "other program's"])
def test_foreign_ledger_is_refused_and_left_as_it_was(
    home: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    path = home / "ledger.sqlite"
    if what == "text":
        path.write_text("a shopping list\n" * 100, encoding="utf-8")
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table shopping (item)")
            connection.commit()
    before = path.read_bytes()
    for command in ("run", "status", "plan"):
        line = refused(capsys, command, code=4)
        assert line.startswith(f"ledger {path}: not this version's ledger: ")
    assert path.read_bytes() == before


def test_locked_ledger_is_named_and_no_device_is_spoken_to(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli(["run", "--device", HCALCS, "--json"]) == 0
    capsys.readouterr()
    defaults = Ledger.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "busy_timeout_s", 0.05)
    memories = contents(home / "emulated")
    with closing(sqlite3.connect(home / "ledger.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        line = refused(capsys, "run", "--json", code=4)
        other.execute("ROLLBACK")
    assert line == (
        f"ledger {home / 'ledger.sqlite'}: locked; stop the other agent or wait until it ends"
    )
    after = contents(home / "emulated")
    assert {name: after[name] for name in memories} == memories


def test_port_that_is_missing_needs_a_person_and_leaves_the_duties_due(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"/dev/pts/\d+", "/dev/keyrig-none", hosted, count=1)
    assert run_cli(["run", rig_file(tmp_path, text), "--device", CHF, "--json"]) == 4
    out = capsys.readouterr().out
    assert "/dev/keyrig-none: " in out
    assert "connect the adapter or correct the rig file's url" in out
    assert '"type": "smi-status"' not in out


def test_busy_port_is_told_apart_from_a_missing_one(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = re.findall(r"/dev/pts/\d+", hosted)[0]
    holder = os.open(url, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert run_cli(["run", rig_file(tmp_path, hosted), "--device", CHF, "--json"]) == 4
    finally:
        os.close(holder)
    out = capsys.readouterr().out
    assert f"{url}: in use by another program; close that program first" in out
    assert '"type": "command-sent"' not in out


def test_wrong_device_on_a_port_is_not_touched(
    hosted: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = re.findall(r"/dev/pts/\d+", hosted)[2:4]
    text = hosted.replace(first, "@").replace(second, first).replace("@", second)
    memories = contents(home / "emulated")
    path = rig_file(tmp_path, text)
    assert run_cli(["run", path, "--device", ESME, "--json"]) == 4
    out = capsys.readouterr().out
    assert f"device {ESME} on {second}: no response" in out
    assert "no other device is on this line" in out
    assert '"type": "duty-started"' not in out
    changed = {
        name for name, octets in contents(home / "emulated").items() if memories[name] != octets
    }
    # The device that was asked in error notes in its security log that it was, and no more.
    assert len(changed) <= 1


def test_dry_run_makes_and_sends_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", "--dry-run", "--json"]) == 0
    assert '"state": "due"' in capsys.readouterr().out
    assert not home.exists()
