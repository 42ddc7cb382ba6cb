"""A process that writes to a ledger, for tests that run several or kill one.

Arguments: what to do, where, and how often. `reserve` takes a file and how many counters;
the others take a folder and a number of writes, and do their work in a child process and a
file of its own for each, killing the child just before that write.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.domain.device_facts import DeviceFacts, Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.rules import built_in_rules
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import finish_duty

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BROKER = EntityIdentifier.parse("90b3d51f30000002")
HUB = DeviceFacts(
    entity_id=EntityIdentifier.parse("00db1234567890a2"),
    device_type=DeviceType.CHF,
    commissioned_at=NOON,
    responsible_suppliers=(
        EntityIdentifier.parse("90b3d51f30010000"),
        EntityIdentifier.parse("90b3d51f30020000"),
    ),
)
RUN = "0123456789abcdef0123456789abcdef"


def say(line: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def reserve(ledger: Ledger, count: int) -> None:
    """Print each counter once it is reserved; the clock stands still."""
    for _ in range(count):
        say(str(ledger.counters.reserve(BROKER, NOON)))


def begin_duty(ledger: Ledger) -> int:
    """Bring the hub to where its first duty is about to fail."""
    ledger.smi_statuses.record(
        HUB.entity_id, SMIStatus.COMMISSIONED, at=NOON, cause="inventory", now=NOON
    )
    ledger.event_queue.register(["office"])
    ledger.runs.start_run(RUN, "bench", NOON)
    return ledger.runs.start_attempt(RUN, HUB.entity_id, "R33a", NOON)


def fail_duty(ledger: Ledger, attempt_id: int) -> None:
    """Let the hub's first duty fail."""
    finish_duty(
        ledger,
        attempt_id=attempt_id,
        outcome=Outcome.FAILED,
        detail="no answer",
        evidence="",
        rules=built_in_rules(),
        device=HUB,
        now=NOON + timedelta(hours=1),
    )


def change_key(ledger: Ledger) -> None:
    """Take a key of the hub through a whole change."""
    changes = ledger.key_changes
    change = changes.request(HUB.entity_id, KeyUsage.KEY_AGREEMENT, None, NOON)
    changes.csr_received(change.id, b"csr", NOON)
    changes.certificate_issued(change.id, b"new", NOON)
    changes.storing(change.id, NOON)
    changes.stored(change.id, NOON)
    changes.confirmed(change.id, NOON)


def kill_at_write(ledger: Ledger, number: int) -> None:
    """Have this process killed just before its `number`th writing statement, from now."""
    left = number

    def before(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal left
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    with ledger.reading() as connection:
        event.listen(connection.engine, "before_cursor_execute", before)


def write_and_die(what: str, path: Path, number: int) -> None:
    """Do `what` to the ledger at `path`, up to the `number`th write."""
    with Ledger(path) as ledger:
        if what == "fail-duty":
            attempt_id = begin_duty(ledger)
            kill_at_write(ledger, number)
            fail_duty(ledger, attempt_id)
        else:
            ledger.key_changes.record_in_use(HUB.entity_id, KeyUsage.KEY_AGREEMENT, b"old", NOON)
            kill_at_write(ledger, number)
            change_key(ledger)


def in_child(what: str, path: Path, number: int) -> int:
    """Do it in a child process, and give how that ended: 0, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        write_and_die(what, path, number)
        status = 0
    finally:
        os._exit(status)


def main(what: str, where: str, number: str) -> None:
    """Do `what`, and tell of it line by line."""
    if what == "reserve":
        with Ledger(Path(where), busy_timeout_s=60) as ledger:
            reserve(ledger, int(number))
        say("finished")
        return
    for write in range(1, int(number) + 1):
        say(str(in_child(what, Path(where) / f"{write}.db", write)))


if __name__ == "__main__":
    main(*sys.argv[1:])
