from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from agent.report.html_reading import read_page
from keyrig.cli import run_cli
from keyrig.documents.report_document import schema_text
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Recorded


@pytest.fixture(name="home")
def fixture_home(recorded: Recorded) -> Path:
    return recorded("switch done").agent


@pytest.fixture(name="run_id")
def fixture_run_id(home: Path) -> str:
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        (run,) = ledger.runs.runs()
    return run.id


def test_each_format_is_written_to_its_file(run_id: str, tmp_path: Path) -> None:
    made = {form: tmp_path / f"report.{form}" for form in ("html", "json", "junit")}
    for form, path in made.items():
        assert run_cli(["report", "last", "--format", form, "--output", str(path)]) == 0
    page = read_page(made["html"].read_text(encoding="utf-8"))
    assert run_id in page.words
    written = json.loads(made["json"].read_text(encoding="utf-8"))
    Draft202012Validator(json.loads(schema_text())).validate(written)
    assert written["run"]["id"] == run_id
    root = ET.fromstring(made["junit"].read_text(encoding="utf-8"))
    assert root.get("tests") == "1"
    assert {path.name for path in tmp_path.iterdir()} == {
        "recorded", "report.html", "report.json", "report.junit",
    }  # fmt: skip


@pytest.mark.parametrize("digits", [1, 8, 32])
def test_run_is_named_by_the_beginning_of_its_id(
    run_id: str, digits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["report", run_id[:digits].upper(), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["id"] == run_id


@pytest.mark.parametrize("name", ["x", "", "%", "0123456789abcdef" * 3])
def test_unknown_run_is_refused_with_those_that_there_are(
    run_id: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["report", name, "--format", "json"]) == 2
    assert f"no such run; name one, such as {run_id} of emulated-home" in capsys.readouterr().err


def test_beginning_of_several_runs_is_refused(
    home: Path, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        other = run_id[:4] + ("0" if run_id[4] != "0" else "1") * 28
        ledger.runs.start_run(other, "bench", ledger.runs.run(run_id).started_at)
    assert run_cli(["report", run_id[:4], "--format", "json"]) == 2
    assert "2 runs begin so" in capsys.readouterr().err


def test_report_without_a_ledger_says_that_a_run_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    assert run_cli(["report", "last", "--format", "html"]) == 4
    assert "a run makes it" in capsys.readouterr().err
    assert not home.exists()


def test_report_that_cannot_be_written_leaves_nothing_behind(
    run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "missing" / "report.html"
    assert run_cli(["report", run_id, "--format", "html", "--output", str(output)]) == 2
    assert "the report cannot be written" in capsys.readouterr().err
    assert not output.parent.exists()


def test_report_changes_nothing_in_the_ledger(home: Path, run_id: str) -> None:
    before = (home / "ledger.sqlite").read_bytes()
    assert run_cli(["report", run_id, "--format", "junit", "--output", str(home / "r")]) == 0
    assert (home / "ledger.sqlite").read_bytes() == before


def test_report_into_a_device_file_does_not_replace_it(run_id: str, tmp_path: Path) -> None:
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    assert run_cli(["report", run_id, "--format", "json", "--output", str(null)]) == 0
    assert null.is_symlink()
