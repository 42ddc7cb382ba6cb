from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gbcs.roles import KeyUsage
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.ledger.ledger import Ledger
from patience import HANG_S

from .writer import HUB, NOON, RUN, begin_duty, fail_duty

WRITER = Path(__file__).with_name("writer.py")
# One more than there are, so that the last case ends by itself and every write is covered.
DUTY_WRITES = 16
CHANGE_WRITES = 18


def killed(what: str, folder: Path, writes: int) -> list[int]:
    """Kill a process at each of so many writes; gives how each ended."""
    done = subprocess.run(
        [sys.executable, str(WRITER), what, str(folder), str(writes)],
        stdout=subprocess.PIPE,
        timeout=HANG_S,
        check=True,
        text=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    folder = tmp_path_factory.mktemp("failing")
    return folder, killed("fail-duty", folder, DUTY_WRITES)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    folder = tmp_path_factory.mktemp("changing")
    return folder, killed("change-key", folder, CHANGE_WRITES)


def tables(ledger: Ledger) -> tuple[object, ...]:
    return (
        ledger.runs.attempts(RUN),
        ledger.smi_statuses.history(HUB.entity_id),
        ledger.smi_statuses.standing(HUB.entity_id),
        ledger.outbox.all(),
        ledger.event_queue.batch("office", 100).events,
    )


@pytest.mark.parametrize("write", range(1, DUTY_WRITES + 1))
def test_outcome_whose_process_is_killed_at_any_write_leaves_nothing_of_it(
    tmp_path: Path, failing: tuple[Path, list[int]], write: int
) -> None:
    with Ledger(tmp_path / "expected.db") as expected:
        attempt_id = begin_duty(expected)
        before = tables(expected)
        fail_duty(expected, attempt_id)
        after = tables(expected)
    folder, statuses = failing
    status = statuses[write - 1]
    with Ledger(folder / f"{write}.db") as ledger:
        if write < DUTY_WRITES:
            assert status == -signal.SIGKILL
            assert tables(ledger) == before
            (interrupted,) = ledger.runs.close_interrupted("bench", NOON)
            assert interrupted.duty_id == "00db1234567890a2/R33a"
            assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.COMMISSIONED
            fail_duty(ledger, interrupted.id)
        else:
            assert status == 0
            assert tables(ledger) == after
        kinds = [event.type for event in ledger.outbox.all()]
        assert kinds.count(EventType.NOTICE) == 2
        assert ledger.event_queue.batch("office", 100).events == ledger.outbox.all()
        assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.SUSPENDED


@pytest.mark.parametrize("write", range(1, CHANGE_WRITES + 1))
def test_key_change_killed_at_any_write_keeps_every_certificate_that_may_be_in_use(
    changing: tuple[Path, list[int]], write: int
) -> None:
    folder, statuses = changing
    status = statuses[write - 1]
    assert status == (-signal.SIGKILL if write < CHANGE_WRITES else 0)
    with Ledger(folder / f"{write}.db") as ledger:
        changes = ledger.key_changes
        candidates = [
            c.certificate for c in changes.candidates(HUB.entity_id, KeyUsage.KEY_AGREEMENT)
        ]
        history = changes.history(HUB.entity_id, KeyUsage.KEY_AGREEMENT)
        state = history[-1].state if history else None
        if state in {KeyChangeState.STORING, KeyChangeState.STORED}:
            assert candidates == [b"new", b"old"]
        elif state is KeyChangeState.CONFIRMED:
            assert candidates == [b"new"]
        else:
            assert candidates == [b"old"]
        if history:
            moves = changes.moves(history[-1].id)
            assert moves[-1].state is state
