"""Files of secrets are their owner's alone, whatever the umask and whatever was there before."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from keyrig.api.server import listen
from keyrig.base.lock_files import open_lock
from keyrig.base.private_files import (
    SHARED_FOLDER,
    exposure_of,
    make_folder,
    make_private_database,
    open_private,
    write_whole,
)
from keyrig.config.settings import ServeSettings
from keyrig.ledger.ledger import Ledger
from keyrig.session.transcript import TranscriptFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKES_THE_LOCK = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute("BEGIN EXCLUSIVE")
"""
DATABASE_FILES = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}


@pytest.fixture(autouse=True)
def fixture_no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_what_is_missing_above_it_are_made_with_one_mode(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "d" / "e", SHARED_FOLDER)
    modes = {each.name: mode_of(each) for each in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "b": 0o700, "c": 0o700, "d": 0o755, "e": 0o755}
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_ledger_and_what_lies_beside_it_are_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path):
        assert {each.name: mode_of(each) for each in tmp_path.iterdir()} == dict.fromkeys(
            DATABASE_FILES, 0o600
        )


def test_ledger_of_an_earlier_version_is_narrowed_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path), Ledger(path):
        for each in tmp_path.iterdir():
            each.chmod(0o644)
        with Ledger(path, create=False):
            assert {mode_of(each) for each in tmp_path.iterdir()} == {0o600}


def test_database_that_is_in_use_keeps_its_locks_while_it_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make_private_database(path)
    path.chmod(0o666)
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        one.execute("CREATE TABLE a (b)")
        one.execute("BEGIN EXCLUSIVE")
        make_private_database(path)
        other = subprocess.run(
            [sys.executable, "-c", TAKES_THE_LOCK, str(path)], check=False, capture_output=True
        )
        assert b"database is locked" in other.stderr
    assert mode_of(path) == 0o600


def test_database_that_is_not_to_be_made_is_not(tmp_path: Path) -> None:
    make_private_database(tmp_path / "x.db", create=False)
    assert not list(tmp_path.iterdir())


def test_file_of_another_kind_keeps_its_mode(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    os.close(open_private(pipe, os.O_RDWR))
    assert mode_of(pipe) == 0o644


def test_transcripts_and_locks_are_made_and_narrowed_for_their_owner(tmp_path: Path) -> None:
    for name in ("new", "old"):
        transcript, lock = tmp_path / f"{name}.jsonl", tmp_path / name / "x.lock"
        if name == "old":
            lock.parent.mkdir()
            transcript.touch(0o666)
            lock.touch(0o666)
        TranscriptFile(transcript).close()
        os.close(open_lock(lock))
        assert (mode_of(transcript), mode_of(lock)) == (0o600, 0o600)


def test_report_is_never_for_others_to_write_and_stays_as_narrow_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_whole(path, b"1", "the report")
    assert mode_of(path) == 0o644
    for was, then in ((0o600, 0o600), (0o640, 0o640), (0o666, 0o644)):
        path.chmod(was)
        write_whole(path, b"2", "the report")
        assert mode_of(path) == then
    write_whole(tmp_path / "rig.toml", b"3", "the rig file", mode=0o600)
    assert mode_of(tmp_path / "rig.toml") == 0o600
    stale = tmp_path / ".report.html.part"
    stale.touch(0o666)
    path.unlink()
    write_whole(path, b"4", "the report")
    assert mode_of(path) == 0o644
    assert not stale.exists()


def test_socket_is_its_owners_alone_and_the_umask_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "umask")
    with closing(listen(ServeSettings(listen="unix:serve.sock"), tmp_path)) as listening:
        assert listening.path is not None
        assert mode_of(listening.path) == 0o600
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(listening.path))
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o700, None),
        (0o750, "its group may enter it"),
        (0o755, "everybody may enter it"),
        (0o705, "everybody may enter it"),
        (0o775, "its group may change what is in it"),
        (0o777, "everybody may change what is in it"),
    ],
)
def test_folder_that_others_may_enter_is_told_by_whom(
    tmp_path: Path, mode: int, told: str | None
) -> None:
    tmp_path.chmod(mode)
    exposure = exposure_of(tmp_path)
    assert (None if exposure is None else str(exposure)) == (
        None if told is None else f"{told}; run `chmod 700 {tmp_path}`"
    )
    tmp_path.chmod(0o700)
    assert exposure_of(tmp_path / "none") is None
