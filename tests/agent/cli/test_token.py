"""`keyrig token`: made, listed and revoked; shown once, and kept as hashes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyrig.cli import run_cli
from keyrig.domain.api_tokens import Scope, is_text_of, read_duration
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="home", autouse=True)
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run_cli(["token", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_token_is_made_shown_once_listed_and_revoked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = told(capsys, "create", "handheld-7", "--scope", "read", "--scope", "run")
    assert made["scopes"] == ["read", "run"]
    with Ledger(home / "ledger.sqlite") as ledger:
        (kept,) = ledger.tokens.all()
    assert is_text_of(made["token"], kept)
    assert kept.scopes == {Scope.READ, Scope.RUN}
    assert kept.expires_at == kept.created_at + timedelta(days=90)
    assert run_cli(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert made["id"] in listed
    assert made["token"].rpartition("_")[2] not in listed
    assert told(capsys, "list")["tokens"][0]["state"] == "holds"
    assert told(capsys, "revoke", "handheld-7") == {"schema": 1, "revoked": [made["id"]]}
    assert told(capsys, "list")["tokens"][0]["state"] == "revoked"


def test_text_alone_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["token", "create", "x", "--scope", "read", "--expires", "never"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("keyrig_")
    assert len(output.out.splitlines()) == 1
    assert "until revoked" in output.err


def test_name_in_force_is_not_given_twice_and_is_free_once_revoked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    create = ["token", "create", "x", "--scope", "read"]
    assert run_cli(create) == 0
    assert run_cli(create) == 4
    assert "is in force" in capsys.readouterr().err
    assert run_cli(["token", "revoke", "x"]) == 0
    assert run_cli(["token", "revoke", "x"]) == 2
    assert run_cli(create) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "x"],
        ["create", "x", "--scope", "all"],
        ["create", "x", "--scope", "read", "--expires", "soon"],
        ["create", "x", "--scope", "read", "--expires", "0d"],
        ["create", "a\nb", "--scope", "read"],
        ["create", " ", "--scope", "read"],
        ["revoke", "nobody"],
    ],
)
def test_wrong_usage_makes_nothing(
    arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["token", *arguments]) == 2
    assert capsys.readouterr().err
    with Ledger(home / "ledger.sqlite") as ledger:
        assert ledger.tokens.all() == ()


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert read_duration(text) == duration
