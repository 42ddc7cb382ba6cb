from __future__ import annotations

import contextlib
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from agent.ledger.kept_ledgers import write_kept_ledger
from keyrig.base.errors import (
    LedgerCorrupt,
    LedgerError,
    LedgerForeign,
    LedgerLocked,
    LedgerRefused,
    LedgerTooNew,
)
from keyrig.domain.device_facts import Outcome
from keyrig.ledger.database import Database
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    attempts,
    complete_for_postgresql,
    ledger_schema,
    metadata,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with Database(path) as opened:
        yield opened


def versions(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.execute(select(ledger_schema.c.version)).scalars())


def pragma(path: Path, name: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_new_ledger_is_a_marked_file_with_a_log_that_is_synced_at_every_commit(
    database: Database, path: Path
) -> None:
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "journal_mode") == "wal"
    with database.reading() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {each}").scalar_one()
            for each in ("synchronous", "foreign_keys")
        ]
    assert found == [2, 1]
    assert versions(database) == [SCHEMA_VERSION]


def test_ledger_is_opened_again_as_it_was(path: Path) -> None:
    Database(path).close()
    with Database(path) as first, Database(path, create=False) as second:
        assert versions(first) == versions(second) == [SCHEMA_VERSION]


def test_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    with Database(path) as database:
        assert versions(database) == [SCHEMA_VERSION]


def test_missing_ledger_and_missing_folder_are_named(path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none"):
        Database(path, create=False)
    assert not path.exists()
    with pytest.raises(LedgerError, match=r"folder .* does not exist"):
        Database(path / "deeper" / "ledger.db")


def test_folder_in_place_of_the_file_is_an_error_of_the_ledger(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError):
        Database(path)


@pytest.mark.parametrize("mark", ["", "PRAGMA application_id=7"])
def test_database_of_another_program_is_refused_and_left_as_it_was(path: Path, mark: str) -> None:
    execute(path, "CREATE TABLE notes (text)", *([mark] if mark else []))
    before = path.read_bytes()
    with pytest.raises(LedgerForeign, match="another program"):
        Database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "octets", [b"x", b"[rig]\nname = 'bench'\n", b"\x00" * 5000, b"SQLite" * 999]
)
def test_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    with pytest.raises(LedgerForeign, match="no database"):
        Database(path)
    assert path.read_bytes() == octets


def test_damaged_ledger_is_refused(path: Path) -> None:
    Database(path).close()
    octets = bytearray(path.read_bytes())
    octets[4096:-4096] = b"\xa5" * len(octets[4096:-4096])
    path.write_bytes(octets)
    with pytest.raises(LedgerCorrupt):
        Database(path)


def test_truncated_ledger_is_refused(path: Path) -> None:
    Database(path).close()
    path.write_bytes(path.read_bytes()[: 4096 * 3])
    with pytest.raises(LedgerCorrupt):
        Database(path)


def test_ledger_of_a_newer_version_is_refused(path: Path) -> None:
    Database(path).close()
    execute(path, f"INSERT INTO ledger_schema VALUES ({SCHEMA_VERSION + 1})")
    with pytest.raises(LedgerTooNew, match=f"version {SCHEMA_VERSION + 1}"):
        Database(path)


def test_ledger_of_the_first_version_gets_what_it_lacks_and_keeps_what_it_has(path: Path) -> None:
    write_kept_ledger(1, path)
    with Ledger(path, create=False) as ledger:
        assert [run.rig_name for run in ledger.runs.runs()] == ["bench"]
        assert ledger.clock.latest() is None
        ledger.clock.advance(NOON)
    with Database(path) as database:
        assert versions(database) == [1, SCHEMA_VERSION]


def test_ledger_of_version_4_takes_the_words_that_came_later_and_keeps_its_rows(
    path: Path,
) -> None:
    script = Path(__file__).with_name("ledger_of_version_4.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("INSERT INTO runs (id, rig_name, started_at) VALUES ('r', 'bench', 'x')")
        connection.execute(
            "INSERT INTO attempts (id, run_id, duty_id, device, requirement, started_at, detail, "
            "evidence) VALUES (1, 'r', 'd', '00db1234567890a0', 'R37c', "
            "'2026-11-20T12:00:00.000000Z', '', '')"
        )
        connection.commit()
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("UPDATE attempts SET outcome = 'waiting'")
    with Database(path) as database:
        assert versions(database)[-1] == SCHEMA_VERSION
        with database.transaction() as connection:
            connection.execute(update(attempts).values(outcome=Outcome.WAITING))
        database.check()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT outcome FROM attempts").fetchall() == [("waiting",)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("UPDATE attempts SET outcome = 'wating'")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(attempts)")]
    assert columns == [column.name for column in attempts.columns]


def test_ledger_of_version_4_has_every_table_as_a_new_one_has_it(
    path: Path, tmp_path: Path
) -> None:
    script = Path(__file__).with_name("ledger_of_version_4.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.commit()
    new = tmp_path / "new.sqlite"
    Database(path).close()
    Database(new).close()

    def tables(of: Path) -> dict[str, str]:
        with closing(sqlite3.connect(of)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {name: " ".join(sql.split()) for name, sql in rows}

    assert tables(path) == tables(new)


def test_ledger_without_a_version_is_refused(path: Path) -> None:
    Database(path).close()
    execute(path, "DELETE FROM ledger_schema")
    with pytest.raises(LedgerCorrupt, match="version"):
        Database(path)


def test_ledger_that_another_holds_for_writing_is_locked_after_the_wait(path: Path) -> None:
    with (
        Database(path) as first,
        Database(path, busy_timeout_s=0.01) as second,
        first.transaction(),
    ):
        assert versions(second) == [SCHEMA_VERSION]
        with pytest.raises(LedgerLocked), second.transaction():
            pass
    with Database(path, busy_timeout_s=0.01) as third, third.transaction():
        pass


def test_ledger_that_another_holds_exclusively_cannot_be_opened(path: Path) -> None:
    Database(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerLocked, match="locked"):
            Database(path, busy_timeout_s=0.01)
    finally:
        holder.close()


V = SCHEMA_VERSION


def add(database: Database, version: int) -> None:
    with database.transaction() as connection:
        connection.execute(insert(ledger_schema).values(version=version))


def test_transaction_keeps_all_or_nothing(database: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), database.transaction():
        add(database, V + 1)
        _ = 1 // 0
    assert versions(database) == [V]
    with database.transaction():
        add(database, V + 1)
        add(database, V + 2)
    assert versions(database) == [V, V + 1, V + 2]


def test_inner_failure_that_is_caught_still_keeps_nothing(database: Database) -> None:
    def swallow() -> None:
        with database.transaction():
            add(database, V + 1)
            with contextlib.suppress(ZeroDivisionError), database.transaction():
                add(database, V + 2)
                _ = 1 // 0

    with pytest.raises(LedgerRefused, match="none was kept"):
        swallow()
    assert versions(database) == [V]
    add(database, V + 1)
    assert versions(database) == [V, V + 1]


def test_reading_does_not_turn_into_writing(database: Database) -> None:
    with pytest.raises(RuntimeError, match="cannot begin to write"), database.reading():
        add(database, V + 1)
    assert versions(database) == [V]


def test_broken_rule_of_the_tables_is_refused_without_its_values(database: Database) -> None:
    with pytest.raises(LedgerRefused, match="UNIQUE constraint") as caught:
        add(database, V)
    assert "parameters" not in str(caught.value)
    orphan = {"run_id": "no such run", "duty_id": "", "requirement": ""}
    with pytest.raises(LedgerRefused, match="constraint"), database.transaction() as connection:
        connection.execute(insert(attempts).values(**orphan))


def test_threads_take_turns(database: Database) -> None:
    def count_up() -> None:
        for _ in range(20):
            with database.transaction() as connection:
                newest = select(func.max(ledger_schema.c.version))
                add(database, connection.execute(newest).scalar_one() + 1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(database) == list(range(V, V + 81))


def test_every_table_can_be_made_in_postgresql() -> None:
    complete_for_postgresql()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # untyped upstream
    made = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    made += [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.sorted_tables
        for index in table.indexes
    ]
    text = "\n".join(made)
    assert len(metadata.sorted_tables) >= 32
    assert "BIGSERIAL" in text
    assert "WHERE ended IS false" in text
