from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.upstream.outboxes import device, fill
from agent.upstream.teller import tell
from keyrig.ledger.ledger import Ledger
from patience import HANG_S

TELLER = Path(__file__).with_name("teller.py")
DEVICES = (1, 2, 1, 3, 1)
# One more than there are, so that the last case ends by itself and every write is covered.
WRITES = 17


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    folder = tmp_path_factory.mktemp("telling")
    with Ledger(folder / "ledger.db") as ledger:
        fill(ledger, *DEVICES)
    for number in range(1, WRITES + 1):
        (folder / str(number)).mkdir()
        shutil.copy(folder / "ledger.db", folder / str(number))
    done = subprocess.run(
        [sys.executable, str(TELLER), str(folder), str(WRITES)],
        stdout=subprocess.PIPE,
        timeout=HANG_S,
        check=True,
        text=True,
    )
    return folder, [int(line) for line in done.stdout.split()]


@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_teller_that_is_killed_at_any_write_tells_everything_in_order_in_the_end(
    killed: tuple[Path, list[int]], write: int
) -> None:
    folder, statuses = killed
    assert statuses[write - 1] == (-signal.SIGKILL if write < WRITES else 0)
    with Ledger(folder / str(write) / "ledger.db") as ledger:
        tell(folder / str(write), ledger)
        assert ledger.event_queue.standing("file").waiting == 0
        owed = {n: [str(e.id) for e in ledger.outbox.all(device(n))] for n in set(DEVICES)}
    lines = (folder / str(write) / "events.ndjson").read_text("ascii").splitlines()
    told = [json.loads(line) for line in lines]
    for n, ids in owed.items():
        of_device = [each["id"] for each in told if each["subject"] == str(device(n))]
        # The first telling of each is in order; some may be told twice.
        assert list(dict.fromkeys(of_device)) == ids
    assert len(told) <= len(DEVICES) + 2
