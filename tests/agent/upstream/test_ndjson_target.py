from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from agent.upstream.outboxes import batch_of
from keyrig.upstream.ndjson_target import EVENT_BEGINNING, NDJSONTarget
from keyrig.upstream.upstream_target import Answer, Trouble

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.upstream.cloud_events import Outgoing


@pytest.fixture
def batch() -> list[Outgoing]:
    return batch_of(1, 2, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def deliver(path: Path, batch: list[Outgoing]) -> Answer:
    target = NDJSONTarget(path, make_folders=False)
    try:
        return target.deliver(batch, 1)
    finally:
        target.close()


def numbers(path: Path) -> list[int]:
    return [int(json.loads(line)["sequence"]) for line in path.read_text("ascii").splitlines()]


def test_each_event_is_a_line_that_only_the_owner_reads(path: Path, batch: list[Outgoing]) -> None:
    assert deliver(path, batch) == Answer(accepted=frozenset({1, 2, 3}))
    assert path.read_bytes() == b"".join(each.octets + b"\n" for each in batch)
    assert path.read_bytes().startswith(EVENT_BEGINNING)
    assert path.stat().st_mode & 0o777 == 0o600
    deliver(path, batch[:1])
    assert numbers(path) == [1, 2, 3, 1]


@pytest.mark.parametrize("kept", [1, 5, len(EVENT_BEGINNING), len(EVENT_BEGINNING) + 40])
def test_line_that_a_crash_left_unfinished_is_cut_off(
    path: Path, batch: list[Outgoing], kept: int
) -> None:
    path.write_bytes(batch[0].octets + b"\n" + batch[1].octets[:kept])
    deliver(path, batch[1:])
    assert numbers(path) == [1, 2, 3]


def test_last_line_of_another_program_is_closed_and_kept(path: Path, batch: list[Outgoing]) -> None:
    path.write_bytes(b"a note without end")
    deliver(path, batch[:1])
    assert path.read_bytes() == b"a note without end\n" + batch[0].octets + b"\n"


def test_unfinished_line_longer_than_what_is_looked_at_is_closed(
    path: Path, batch: list[Outgoing]
) -> None:
    path.write_bytes(EVENT_BEGINNING + b"x" * 100_000)
    deliver(path, batch[:1])
    assert path.read_bytes().endswith(b"x\n" + batch[0].octets + b"\n")


def test_file_that_was_rotated_away_is_begun_anew(path: Path, batch: list[Outgoing]) -> None:
    target = NDJSONTarget(path, make_folders=False)
    target.deliver(batch[:1], 1)
    path.rename(path.with_suffix(".1"))
    target.deliver(batch[1:2], 1)
    path.unlink()
    target.deliver(batch[2:], 1)
    target.close()
    assert numbers(path.with_suffix(".1")) == [1]
    assert numbers(path) == [3]


def test_full_disk_leaves_whole_lines_and_is_tried_again(
    path: Path, batch: list[Outgoing], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(path, batch[:1])
    write = os.write

    def write_a_little(file: int, octets: bytes) -> int:
        if len(octets) < 400:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, octets[:300])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", write_a_little)
        answer = deliver(path, batch[1:])
    assert (answer.trouble, answer.accepted) == (Trouble.AGAIN, frozenset())
    assert answer.reason == f"{path}: No space left on device"
    assert numbers(path) == [1]
    assert deliver(path, batch[1:]).accepted == {2, 3}
    assert numbers(path) == [1, 2, 3]


def test_what_is_not_on_the_disk_is_not_told(
    path: Path, batch: list[Outgoing], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    target = NDJSONTarget(path, make_folders=False)
    target.deliver(batch[:1], 1)
    monkeypatch.setattr("os.fsync", fail)
    assert target.deliver(batch[1:], 1).trouble is Trouble.AGAIN
    target.close()
    assert numbers(path) == [1]


def test_missing_folder_is_made_below_the_home_alone(tmp_path: Path, batch: list[Outgoing]) -> None:
    path = tmp_path / "not" / "mounted" / "events.ndjson"
    answer = deliver(path, batch)
    assert (answer.trouble, answer.reason) == (
        Trouble.AGAIN,
        f"{path}: No such file or directory",
    )
    target = NDJSONTarget(path, make_folders=True)
    assert target.deliver(batch, 1).trouble is None
    target.close()
    assert numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["pipe", "device", "impossible"])
def test_what_is_no_ordinary_file_needs_a_person_and_is_not_waited_for(
    tmp_path: Path, batch: list[Outgoing], kind: str
) -> None:
    path = tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "impossible":
        path = tmp_path / "a\0b"
    else:
        path.symlink_to("/dev/null")
    assert deliver(path, batch).trouble is Trouble.STOPPED
