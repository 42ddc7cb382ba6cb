from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from keyrig.base.errors import LedgerRefused, SettingsError
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import BatchRule, LocalCommandState, Verification
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.local_commands import NewLocalCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyrig.ledger.local_commands import LocalBatch

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICE = EntityIdentifier.parse("00db1234567890a0")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
FIRST, SECOND = "a" * 32, "b" * 32
State = LocalCommandState


@pytest.fixture(name="ledger")
def fixture_ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def command(counter: int, octets: bytes = b"") -> NewLocalCommand:
    return NewLocalCommand(
        originator=SUPPLIER,
        counter=counter,
        message_code=0x000A,
        request_id="",
        source=f"{counter}.hex",
        octets=octets or b"command %d" % counter,
        remarks="",
        expires_at=NOON + timedelta(days=7),
    )


def take_in(ledger: Ledger, *commands: NewLocalCommand, batch_id: str = FIRST) -> LocalBatch:
    return ledger.local_commands.take_in(
        batch_id, commands, rig_name="bench", device=DEVICE, rule=BatchRule.STOP, now=NOON
    )


def answer(ledger: Ledger, batch_id: str, state: State = State.ANSWERED) -> None:
    for each in ledger.local_commands.commands(batch_id):
        ledger.local_commands.sending(each.id, NOON)
        ledger.local_commands.answered(
            each.id,
            b"answer",
            state=state,
            verification=Verification.VERIFIED,
            return_id="x",
            detail="why",
            now=NOON,
        )


def test_counter_of_all_64_bits_is_kept(ledger: Ledger) -> None:
    batch = take_in(ledger, command(2**64 - 1))
    assert ledger.local_commands.commands(batch.id)[0].counter == 2**64 - 1


def test_answered_command_can_neither_be_sent_nor_answered_again(ledger: Ledger) -> None:
    batch = take_in(ledger, command(1))
    answer(ledger, batch.id)
    (kept,) = ledger.local_commands.commands(batch.id)
    with pytest.raises(LedgerRefused, match="is settled already"):
        ledger.local_commands.sending(kept.id, NOON)
    with pytest.raises(LedgerRefused, match="is settled already"):
        answer(ledger, batch.id)
    assert ledger.local_commands.commands(batch.id) == (kept,)


@pytest.mark.parametrize("state", [State.ANSWERED, State.REFUSED, State.REJECTED])
def test_command_of_an_earlier_batch_keeps_what_became_of_it(ledger: Ledger, state: State) -> None:
    answer(ledger, take_in(ledger, command(1)).id, state)
    batch = take_in(ledger, command(1), command(2), batch_id=SECOND)
    first, second = ledger.local_commands.commands(batch.id)
    assert first.state is (State.REPLAYED if state is State.ANSWERED else state)
    assert first.answer == b"answer"
    assert first.detail == f"delivered by batch {FIRST}: why"
    assert second.state is State.WAITING


def test_counter_of_another_command_is_refused(ledger: Ledger) -> None:
    take_in(ledger, command(1))
    with pytest.raises(LedgerRefused, match="was used by another command, of batch a"):
        take_in(ledger, command(1, b"other"), batch_id=SECOND)
    assert [batch.id for batch in ledger.local_commands.batches()] == [FIRST]


def test_counter_that_a_run_used_is_refused(ledger: Ledger) -> None:
    ledger.runs.start_run("c" * 32, "bench", NOON)
    ledger.exchanges.record_command(
        b"ours",
        run_id="c" * 32,
        attempt_id=None,
        device=DEVICE,
        originator=SUPPLIER,
        counter=1,
        message_code=8,
        now=NOON,
    )
    with pytest.raises(LedgerRefused, match="was used by a run of this agent"):
        take_in(ledger, command(1))


def test_command_of_a_batch_that_is_not_through_belongs_to_it(ledger: Ledger) -> None:
    take_in(ledger, command(1), command(2))
    with pytest.raises(LedgerRefused, match="go on with `keyrig deliver --resume a"):
        take_in(ledger, command(2), batch_id=SECOND)
    assert ledger.local_commands.withdraw(FIRST, NOON) == 2
    assert take_in(ledger, command(2), batch_id=SECOND).id == SECOND


def test_same_commands_are_the_same_batch_until_they_are_given_up(ledger: Ledger) -> None:
    commands = (command(1), command(2))
    take_in(ledger, *commands)
    assert take_in(ledger, *commands, batch_id=SECOND).id == FIRST
    ledger.local_commands.withdraw(FIRST, NOON)
    assert take_in(ledger, *commands, batch_id=SECOND).id == SECOND


def test_batch_is_named_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    take_in(ledger, command(1))
    take_in(ledger, command(2), batch_id="ab" + "0" * 30)
    assert ledger.local_commands.named("aa").id == FIRST
    with pytest.raises(SettingsError, match="2 batches begin so"):
        ledger.local_commands.named("a")
    with pytest.raises(SettingsError, match="no such batch"):
        ledger.local_commands.named("")


def test_batch_that_is_begun_again_has_no_outcome_until_it_ends(ledger: Ledger) -> None:
    take_in(ledger, command(1))
    ledger.local_commands.finish(FIRST, RunResult.NEEDS_PERSON, NOON, detail="absent")
    assert ledger.local_commands.batch(FIRST).detail == "absent"
    begun = ledger.local_commands.begin(FIRST, BatchRule.GO_ON)
    assert (begun.outcome, begun.finished_at, begun.rule) == (None, None, BatchRule.GO_ON)


def test_command_that_never_left_waits_as_before(ledger: Ledger) -> None:
    batch = take_in(ledger, command(1))
    (before,) = ledger.local_commands.commands(batch.id)
    ledger.local_commands.sending(before.id, NOON)
    assert ledger.local_commands.unsent(before.id, "too long") == replace(before, detail="too long")


def test_possible_certificate_becomes_certain_or_is_withdrawn(ledger: Ledger) -> None:
    usage = KeyUsage.KEY_AGREEMENT
    changes = ledger.key_changes
    changes.record_in_use(DEVICE, usage, b"old", NOON)
    changes.record_possible(DEVICE, usage, b"new", NOON)
    changes.record_possible(DEVICE, usage, b"old", NOON)
    held = [(each.certificate, each.certain) for each in changes.candidates(DEVICE, usage)]
    assert held == [(b"new", False), (b"old", True)]
    changes.withdraw_possible(DEVICE, usage, b"old", NOON)
    changes.record_in_use(DEVICE, usage, b"new", NOON)
    changes.withdraw_possible(DEVICE, usage, b"new", NOON)
    held = [(each.certificate, each.certain) for each in changes.candidates(DEVICE, usage)]
    assert held == [(b"new", True), (b"old", True)]


def test_refused_certificate_leaves_one_of_an_open_change_alone(ledger: Ledger) -> None:
    usage = KeyUsage.KEY_AGREEMENT
    changes = ledger.key_changes
    change = changes.request(DEVICE, usage, None, NOON)
    changes.csr_received(change.id, b"csr", NOON)
    changes.certificate_issued(change.id, b"ours", NOON)
    changes.storing(change.id, NOON)
    changes.withdraw_possible(DEVICE, usage, b"ours", NOON)
    changes.record_in_use(DEVICE, usage, b"ours", NOON)
    (held,) = changes.candidates(DEVICE, usage)
    assert (held.certificate, held.certain, held.key_change_id) == (b"ours", False, change.id)
