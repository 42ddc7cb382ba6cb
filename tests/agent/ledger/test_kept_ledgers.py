from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.ledger.kept_ledgers import VERSIONS, said_of, write_kept_ledger
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from keyrig.base.errors import LedgerLocked
from keyrig.ledger.database import Database
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from keyrig.ledger.event_queue import EventQueue


UPGRADER = Path(__file__).with_name("upgrader.py")
STATEMENTS = (1, 7, 12, 14, 15, 17, 19, 20, 21, 22, 65, 66, 67, 70)


def still_told(queue: EventQueue, name: str) -> list[int]:
    return [event.number for event in queue.batch(name, 1000).events]


@pytest.mark.parametrize("version", VERSIONS)
def test_kept_ledger_has_all_that_its_own_version_read_in_it(path: Path, version: int) -> None:
    write_kept_ledger(version, path)
    said = said_of(version)
    with Ledger(path, create=False) as ledger:
        ledger.check()
        runs = ledger.runs.runs()
        assert [[r.id, r.rig_name, r.outcome and r.outcome.value] for r in runs] == said["runs"]
        attempts = sorted(
            (attempt for run in runs for attempt in ledger.runs.attempts(run.id)),
            key=lambda attempt: attempt.id,
        )
        assert [
            [
                a.id,
                a.device.stem,
                a.requirement,
                a.outcome and a.outcome.value,
                a.detail,
                a.evidence,
            ]
            for a in attempts
        ] == said["attempts"]
        exchanges = sorted(
            (exchange for run in runs for exchange in ledger.exchanges.of_run(run.id)),
            key=lambda exchange: exchange.id,
        )
        assert [
            [e.id, e.device.stem, e.message_code, e.outcome and e.outcome.value, len(e.command)]
            for e in exchanges
        ] == [row[:5] for row in said["exchanges"]]
        for originator, counter in said["counters"]:
            assert ledger.counters.last(EntityIdentifier.parse(originator)) == counter
        for identifier, device, usage, state in said["key_changes"]:
            change = ledger.key_changes.change(identifier)
            assert (change.device.stem, change.key_usage, change.state.value) == (
                device,
                KeyUsage(usage),
                state,
            )
        of_each = {(device, usage) for device, usage, _, _ in said["certificates"]}
        assert sorted(
            [device, usage, known.certificate[:24].hex().upper(), known.certain]
            for device, usage in of_each
            for known in ledger.key_changes.certificates(
                EntityIdentifier.parse(device), KeyUsage(usage)
            )
        ) == sorted([*row[:3], bool(row[3])] for row in said["certificates"])
        for device in {device for device, _ in said["statuses"]}:
            history = ledger.smi_statuses.history(EntityIdentifier.parse(device))
            assert [record.status.value for record in history] == [
                status for known, status in said["statuses"] if known == device
            ]
        for device in {device for device, _, _ in said["facts"]}:
            facts = ledger.device_facts.history(EntityIdentifier.parse(device))
            assert sorted(fact.name.value for fact in facts) == sorted(
                name for known, name, _ in said["facts"] if known == device
            )
        assert [
            [e.number, str(e.id), e.type.value, e.device.stem] for e in ledger.outbox.all()
        ] == said["events"]


@pytest.mark.parametrize("version", VERSIONS)
def test_upstreams_of_a_kept_ledger_are_still_told_what_its_own_version_owed_them(
    path: Path, version: int
) -> None:
    write_kept_ledger(version, path)
    said = said_of(version)
    with Ledger(path, create=False) as ledger:
        queue = ledger.event_queue
        queue.register([*said["owed"], "new"])
        for name, states in said["states"].items():
            found = {str(e.number): queue.state_of(name, e).value for e in ledger.outbox.all()}
            assert found == states
        if version >= 4:
            assert {parked.reason for parked in queue.parked("web")} == {"422 not this one"}
            assert {parked.by_person for parked in queue.parked("site")} == {True}
            site = queue.get("site")
            assert (site.last_error, site.failures, site.retry_asked) == ("503", 1, True)
        for name, owed in said["owed"].items():
            assert queue.standing(name).waiting == len(owed)
            queue.unpark(name)
            assert still_told(queue, name) == owed
        assert still_told(queue, "new") == [event.number for event in ledger.outbox.all()]


@pytest.mark.parametrize("version", VERSIONS)
def test_kept_ledger_has_every_table_as_a_new_one_has_it(
    path: Path, tmp_path: Path, version: int
) -> None:
    def columns() -> dict[str, list[str]]:
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
                for (name,) in names.fetchall()
            }

    write_kept_ledger(version, path)
    before = columns()
    Database(path).close()
    Database(tmp_path / "new.sqlite").close()
    # The texts below are written by the upgrade; that the rows are as they say, is not.
    after = columns()
    replaced = {"deliveries", "lagging_devices", "parked_events", "upstreams"}
    assert {name: after[name] for name in before.keys() - replaced} == {
        name: before[name] for name in before.keys() - replaced
    }

    def tables(of: Path) -> dict[str, str]:
        with closing(sqlite3.connect(of)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {name: " ".join(sql.split()) for name, sql in rows}

    assert tables(path) == tables(tmp_path / "new.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_ledger_is_not_upgraded_under_a_process_that_has_it_open(path: Path) -> None:
    write_kept_ledger(5, path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT count(*) FROM events").fetchone()
        with pytest.raises(LedgerLocked, match="an upgrade of the ledger must not meet"):
            Database(path, busy_timeout_s=0.01)
        assert other.execute("SELECT count(*) FROM upstreams WHERE position > 0").fetchone() == (4,)
    with Database(path) as first, Database(path) as second:
        first.check()
        second.check()


def test_upgrade_that_is_cut_off_leaves_the_ledger_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kept_ledger(5, path)
    with monkeypatch.context() as patch:
        patch.setattr("keyrig.ledger.schema_upgrade._widen_checks", lambda _: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            Database(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(version) FROM ledger_schema").fetchone() == (5,)
        assert connection.execute("SELECT count(*) FROM parked_events").fetchone() == (2,)
    with Ledger(path) as ledger:
        assert len(ledger.event_queue.parked("web")) == 1


def test_upgrade_that_is_killed_at_any_statement_is_done_anew_by_the_next(tmp_path: Path) -> None:
    said = said_of(5)
    for number in STATEMENTS:
        write_kept_ledger(5, tmp_path / f"{number}.sqlite")
    done = subprocess.run(
        [sys.executable, str(UPGRADER), str(tmp_path)],
        stdout=subprocess.PIPE,
        timeout=100,
        check=True,
        text=True,
    )
    ends = [int(line) for line in done.stdout.split()]
    # The last one has fewer statements than it would be killed at.
    assert (set(ends[:-1]), ends[-1]) == ({-signal.SIGKILL}, 0)
    for number in STATEMENTS:
        with Ledger(tmp_path / f"{number}.sqlite") as ledger:
            for name, owed in said["owed"].items():
                assert ledger.event_queue.standing(name).waiting == len(owed)
                assert still_told(ledger.event_queue, name) == [
                    n for n in owed if said["states"].get(name, {}).get(str(n)) in {None, "waiting"}
                ]
