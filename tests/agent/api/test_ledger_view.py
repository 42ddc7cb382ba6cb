"""What is kept of answers, and that it never outlives what it was made from."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from agent.api.serving import ESME, HUB, RIG, Serving
from keyrig.api.ledger_view import LedgerWatch
from keyrig.cli import run_cli
from keyrig.ledger.ledger import Ledger
from keyrig.run.outlook import outlook_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GSME = "00-DB-12-34-56-78-90-A1"


def test_every_commit_is_seen_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger, Ledger(path) as other:
        watch = LedgerWatch(path)
        seen = [watch.version()]
        assert watch.version() == seen[0]
        with ledger.reading():
            ledger.runs.runs()
        assert watch.version() == seen[0]
        for writer in (ledger, other, ledger):
            with writer.transaction() as connection:
                assert watch.version() == seen[-1]
                connection.exec_driver_sql("INSERT INTO ledger_schema VALUES (?)", (-len(seen),))
            seen.append(watch.version())
        assert len(set(seen)) == 4
        with sqlite3.connect(path) as outside:
            outside.execute("INSERT INTO ledger_schema VALUES (-9)")
        outside.close()
        assert watch.version() not in seen
        watch.close()


def test_ledger_that_is_replaced_or_gone_is_never_taken_for_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    watch = LedgerWatch(path)
    before = watch.version()
    path.rename(tmp_path / "elsewhere")
    gone = [watch.version(), watch.version()]
    assert len({before, *gone}) == 3
    Ledger(path).close()
    assert watch.version() != before
    watch.close()


def states(served: Serving, device: str) -> set[str]:
    plan = served.client.get(f"/api/v1/rigs/{RIG}/plan", params={"duties": "all"}).json()
    return {
        duty["state"]
        for each in plan["devices"]
        if each["entity_id"] == device
        for duty in each["duties"]
    }


def test_plan_shows_at_once_what_this_server_and_others_did(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "due" in states(served, HUB)
    served.finished(served.start_run(devices=[HUB]))
    assert "due" not in states(served, HUB)
    assert "due" in states(served, ESME)
    assert run_cli(["run", "--device", ESME, "--json"]) == 0
    capsys.readouterr()
    assert "due" not in states(served, ESME)
    said = {"name": "decommissioned", "value": True}
    assert served.client.post(f"/api/v1/devices/{GSME}/facts", json=said).status_code == 200
    assert states(served, GSME) == {"void"}


def test_plan_is_made_once_while_nothing_changes(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def count(*args: Any, **kwargs: Any) -> Any:
        made.append(1)
        return original(*args, **kwargs)

    original = outlook_of
    monkeypatch.setattr("keyrig.api.rig_routes.outlook_of", count)
    monkeypatch.setattr(served.service, "seconds", lambda: 5.0)
    for _ in range(10):
        assert served.client.get(f"/api/v1/rigs/{RIG}/plan").status_code == 200
    assert len(made) == 1
    monkeypatch.setattr(served.service, "seconds", lambda: 6.0)
    served.client.get(f"/api/v1/rigs/{RIG}/plan")
    assert len(made) == 2
