from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from agent.ledger.kept_ledgers import VERSIONS, said_of, write_kept_ledger
from agent.upstream.outboxes import fill
from agent.upstream.servers import answer, web_server
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

FILE = '[upstream.file]\nkind = "ndjson"\npath = "events.ndjson"\n'
AWAY = '[upstream.away]\nkind = "ndjson"\npath = "/not-there/events.ndjson"\n'
ONE_DEVICE = ["run", "--device", "00-DB-12-34-56-78-90-A5"]


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


def configure(home: Path, *tables: str, after_run_s: float = 20.0) -> None:
    text = f"[outbox]\nafter_run_s = {after_run_s}\n" + "".join(tables)
    (home / "keyrig.toml").write_text(text, encoding="utf-8")


def filled(home: Path, *devices: int) -> list[str]:
    with Ledger(home / "ledger.sqlite") as ledger:
        return [str(event.id) for event in fill(ledger, *devices)]


def told(home: Path) -> list[str]:
    text = (home / "events.ndjson").read_text("ascii")
    return [json.loads(line)["id"] for line in text.splitlines()]


def listing(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert run_cli(["outbox", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    return {upstream["name"]: upstream for upstream in document["upstreams"]}


def test_run_tells_upstreams_and_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(home, FILE)
    assert run_cli(ONE_DEVICE) == 0
    assert capsys.readouterr().out.rstrip().endswith("file was told everything")
    events = [json.loads(line) for line in (home / "events.ndjson").read_text().splitlines()]
    assert [each["type"] for each in events] == [
        "uk.keyrig.smi-status-changed.v1",
        "uk.keyrig.duty-outcome.v1",
    ]
    assert events[1]["data"]["outcome"] == "done"
    assert run_cli([*ONE_DEVICE, "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["type"], last["upstream"], last["waiting"]) == ("upstream-standing", "file", 0)


def test_run_that_is_done_and_not_reported_exits_5_and_a_later_one_makes_it_good(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(home, FILE, AWAY, after_run_s=6)
    assert run_cli(ONE_DEVICE) == 5
    out = capsys.readouterr().out
    assert "file was told everything" in out
    assert "not yet reported: away was not told 2 events" in " ".join(out.split())
    assert "see `keyrig outbox`" in out
    away = listing(capsys)["away"]
    assert (away["waiting"], away["parked"], away["failures"] > 0) == (2, 0, True)
    assert away["last_error"].endswith("No such file or directory")
    assert away["retry_at"] is not None
    # Nothing is due any more, and still it is not reported.
    assert run_cli(ONE_DEVICE) == 5
    configure(home, FILE, AWAY.replace("/not-there", str(home)))
    assert run_cli(ONE_DEVICE) == 0


def test_run_without_time_for_it_leaves_the_telling_to_others(home: Path) -> None:
    configure(home, FILE, after_run_s=0)
    assert run_cli(ONE_DEVICE) == 5
    assert not (home / "events.ndjson").exists()
    assert run_cli(["outbox", "deliver"]) == 0
    assert len(told(home)) == 2


def test_worse_exit_code_wins(home: Path, tmp_path: Path) -> None:
    configure(home, AWAY, after_run_s=0.1)
    marker = 'entity_id = "00-DB-12-34-56-78-90-A5"\n'
    text = emulated_home_text().replace('" }', '", timeout_s = 0.4 }')
    rig = tmp_path / "rig.toml"
    rig.write_text(text.replace(marker, f'{marker}faults = ["drop-responses=99"]\n'))
    assert run_cli([ONE_DEVICE[0], str(rig), *ONE_DEVICE[1:]]) == 4


def test_broken_settings_stop_a_run_before_it_begins(home: Path) -> None:
    (home / "keyrig.toml").write_text('[upstream.x]\nkind = "smtp"\n', encoding="utf-8")
    assert run_cli(ONE_DEVICE) == 2
    assert not (home / "ledger.sqlite").exists()


def test_listing_says_per_upstream_what_waits_and_why(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with web_server() as server:
        web = f'[upstream.web]\nkind = "https"\nurl = "{server.url}"\nbatch_maximum = 1\n'
        configure(home, FILE, web)
        filled(home, 1, 2, 1)
        bad = answer("422 Unprocessable", body=b"unknown device\x1b[2J")
        server.answers += [bad, answer("204 No Content")]
        assert run_cli(["outbox", "deliver", "--wait", "20"]) == 5
    capsys.readouterr()
    assert run_cli(["outbox"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "file  ndjson  events.ndjson"
    assert lines[1] == "  nothing waits"
    start = lines.index(f"web  https  {server.url}")
    assert lines[start + 1] == (
        "  2 wait, the first since 2026-11-20T12:00:00Z, 1 of them parked, 1 held back behind those"
    )
    assert "refused: 422 Unprocessable: unknown device\ufffd[2J" in lines[-1]
    with web_server() as server:
        web = f'[upstream.web]\nkind = "https"\nurl = "{server.url}"\n'
        configure(home, FILE, web)
        assert run_cli(["outbox", "retry", "--target", "web"]) == 0
        assert run_cli(["outbox", "deliver"]) == 0
        assert len(server.told) == 2


def test_person_parks_puts_back_and_discards(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(home, FILE)
    first, second = filled(home, 1, 1)
    assert run_cli(["outbox", "park", first[:10], "--reason", "not now\x1b[2J"]) == 0
    assert run_cli(["outbox", "deliver", "--wait", "20"]) == 5
    (parked,) = listing(capsys)["file"]["parked_events"]
    assert (parked["id"], parked["by_person"]) == (first, True)
    assert parked["reason"] == "not now\ufffd[2J"
    assert run_cli(["outbox", "retry", first]) == 0
    assert run_cli(["outbox", "park", first, "--reason", "never"]) == 0
    assert run_cli(["outbox", "discard", second, "--reason", "x"]) == 4
    assert run_cli(["outbox", "discard", first, "--reason", "on paper"]) == 0
    assert run_cli(["outbox", "deliver"]) == 0
    assert told(home) == [second]
    capsys.readouterr()
    assert run_cli(["outbox", "show", first]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["event"]["id"], shown["upstreams"]) == (first, {"file": "discarded"})
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        kept = database.execute("SELECT upstream, reason FROM discarded_events").fetchall()
    assert kept == [("file", "on paper")]


def test_upstream_is_told_again_on_request(home: Path) -> None:
    configure(home, FILE)
    ids = filled(home, 1, 2)
    assert run_cli(["outbox", "deliver"]) == 0
    assert run_cli(["outbox", "replay", "--since", "2026-11-20T11:00:00Z", "--yes"]) == 0
    assert run_cli(["outbox", "deliver"]) == 0
    assert told(home) == ids * 2


def test_replay_asks_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(home, FILE)
    filled(home, 1)
    assert run_cli(["outbox", "deliver"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run_cli(["outbox", "replay"]) == 130
    assert run_cli(["outbox", "deliver"]) == 0
    assert len(told(home)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["park", "0", "--reason", "x"], 2, "name the upstream with --target"),
        (
            ["park", "0", "--reason", "x", "--target", "no\x1b"],
            2,
            "no\ufffd: is not in the settings",
        ),
        (["deliver", "--target", "none"], 2, "there are: file, away"),
        (["show", "ffffffff-no"], 4, "none begins so"),
    ],
)
def test_what_cannot_be_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    configure(home, FILE, AWAY)
    filled(home, 1)
    assert run_cli(["outbox", *arguments]) == code
    assert said in capsys.readouterr().err


def test_nobody_to_tell_is_said_and_is_no_failure(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(home, 1)
    assert run_cli(["outbox"]) == 0
    assert "nobody is told" in capsys.readouterr().out
    assert run_cli(["outbox", "deliver"]) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_ledger_of_an_older_version_tells_what_it_did_not_tell_yet(
    home: Path, version: int
) -> None:
    configure(home, FILE)
    write_kept_ledger(version, home / "ledger.sqlite")
    said = said_of(version)
    assert run_cli(["outbox", "deliver"]) == 0
    assert told(home) == [event[1] for event in said["events"] if event[0] in said["owed"]["file"]]
