"""Replacements that a device holds for later: sent, held, told of by an alert, taken back."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.security_credentials import NEVER, CredentialsReplacementMode
from gbcs.use_cases import decode_payload
from keyrig.base import events
from keyrig.config.places import places_of
from keyrig.config.rig_file import Rig, emulated_home_text, load_rig, parse_rig
from keyrig.domain.device_facts import Outcome
from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType, ScheduledState
from keyrig.duties.plan import Duty, DutyState
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.scheduled_replacements import ScheduledReplacements
from keyrig.run.outlook import outlook_of
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled

if TYPE_CHECKING:
    from pathlib import Path

CHF = EntityIdentifier.parse("00-DB-12-34-56-78-90-A2")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT = NOON + 24 * HOUR


class Clock:
    """A clock that a test sets; it advances by a millisecond at each reading."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Bench:
    """The emulated home's hub in a home of its own, at whatever time a test wants."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Clock()
        self.rig: Rig = load_rig(None)
        self.told = Observed()

    def run(
        self, at: datetime, *, execute_at: datetime | None = None, cancel: bool = False
    ) -> RunResult:
        self.clock.now = at
        self.told = Observed()
        with assembled(
            self.rig, clock=self.clock, only=[CHF], observe=self.told, execute_at=execute_at
        ) as ready:
            return run(ready.bench, ready.devices, run_id=uuid.uuid4().hex, cancel=cancel)

    def ledger(self) -> Ledger:
        return Ledger(self.home / "ledger.sqlite", create=False)

    def duty(self) -> Duty:
        made = outlook_of(places_of(self.rig), now=self.clock(), only=[CHF]).plan
        return next(duty for duty in made.duties if duty.requirement == "R33b")

    def attempts(self) -> list[tuple[Outcome | None, str]]:
        with self.ledger() as ledger:
            return [
                (attempt.outcome, attempt.detail)
                for attempt in ledger.runs.attempts_on(CHF)
                if attempt.requirement == "R33b"
            ]

    def scheduled(self) -> list[ScheduledState]:
        with self.ledger() as ledger:
            return [each.state for each in ledger.scheduled.history(CHF)]

    def commands(self) -> int:
        return len(self.told.of(events.CommandSent))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return Bench(home)


HELD = (Outcome.INTERRUPTED, "the device holds it until 2026-11-25T12:00:00Z")
DONE = (Outcome.DONE, "carried out by the device at 2026-11-25T12:00:00Z")


def test_device_holds_the_replacement_and_the_duty_waits_with_its_deadline(bench: Bench) -> None:
    assert bench.run(NOON, execute_at=AT) is RunResult.DONE
    assert bench.attempts() == [HELD]
    duty = bench.duty()
    assert (duty.state, duty.overdue) == (DutyState.SCHEDULED, False)
    assert duty.reason == "the device holds it until 2026-11-25T12:00:00Z"
    assert duty.deadline is not None
    assert duty.done_at is None
    with bench.ledger() as ledger:
        (held,) = ledger.scheduled.waiting(CHF)
        command = Message.parse(ledger.exchanges.command_of(held.exchange_id))
        decoded = decode_payload(command)
        assert decoded is not None
        assert decoded.value.execution_date_time == held.execution_at == AT
        assert command.header.originator_counter == held.counter
        assert ledger.open_duties.next_due(AT + HOUR, 9) == ()
        (due,) = ledger.open_duties.next_due(AT + HOUR + timedelta(seconds=1), 9)
        assert due.requirement == "R33b"


def test_device_is_left_alone_before_the_time_and_heard_after_it(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    assert bench.run(AT - HOUR) is RunResult.DONE
    assert bench.commands() == 0
    assert bench.run(AT + HOUR / 2) is RunResult.DONE
    assert bench.attempts() == [HELD, DONE]
    assert bench.duty().state is DutyState.DONE
    assert bench.scheduled() == [ScheduledState.DONE]
    with bench.ledger() as ledger:
        (alert,) = ledger.exchanges.alerts_of(CHF)
        assert (alert.alert_code, alert.verified) == (0x8F66, True)
        done = ledger.runs.attempts_on(CHF)[-1]
        (exchange,) = [each.exchange_id for each in ledger.scheduled.history(CHF)]
        assert done.evidence == f"attempt {done.id}: exchange {exchange}, alert {alert.id}"
        outcomes = [e for e in ledger.outbox.all(CHF) if e.type is EventType.DUTY_OUTCOME]
        assert len([e for e in outcomes if e.body["requirement"] == "R33b"]) == 1
    assert bench.run(AT + HOUR) is RunResult.DONE
    assert bench.commands() == 0


def test_replacement_that_the_device_could_not_make_fails_and_suspends(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    marker = f'entity_id = "{CHF}"\n'
    code = CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB.message_code
    text = emulated_home_text().replace(marker, f'{marker}faults = ["refuse={code:04X}:30"]\n')
    bench.rig = parse_rig(text, "refusing")
    assert bench.run(AT + HOUR / 2) is RunResult.FAILED
    outcome, detail = bench.attempts()[-1]
    assert outcome is Outcome.FAILED
    assert "{accessControlBroker, digitalSignature}: resources_busy" in detail
    assert bench.scheduled() == [ScheduledState.FAILED]
    with bench.ledger() as ledger:
        assert ledger.exchanges.alerts_of(CHF)[0].alert_code == 0x8F67
        assert ledger.smi_statuses.current(CHF) is SMIStatus.SUSPENDED
    assert bench.duty().state is DutyState.FAILED


def test_crash_before_it_was_recorded_loses_neither_the_alert_nor_the_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ScheduledReplacements, "record", _crash)
        with pytest.raises(RuntimeError, match="the agent ends here"):
            bench.run(NOON, execute_at=AT)
    assert bench.scheduled() == []
    assert bench.run(AT + HOUR / 2) is RunResult.DONE
    assert bench.attempts() == [(Outcome.INTERRUPTED, "the agent ended"), DONE]


def test_crash_while_an_alert_is_settled_leaves_the_duty_to_be_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(NOON, execute_at=AT)
    with monkeypatch.context() as patch:
        patch.setattr(ScheduledReplacements, "settle_by_alert", _crash)
        with pytest.raises(RuntimeError, match="the agent ends here"):
            bench.run(AT + HOUR / 2)
    with bench.ledger() as ledger:
        assert ledger.exchanges.alerts_of(CHF) == ()
    assert bench.scheduled() == [ScheduledState.WAITING]
    # The device told it once; no alert comes any more, so it is done again.
    assert bench.run(AT + 2 * HOUR) is RunResult.DONE
    assert bench.scheduled() == [ScheduledState.LAPSED]
    assert [outcome for outcome, _ in bench.attempts()] == [Outcome.INTERRUPTED, Outcome.DONE]


def _crash(*_: Any, **__: Any) -> None:
    raise RuntimeError("the agent ends here")


def test_late_alert_counts_and_the_command_is_not_sent_again(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    assert bench.run(AT + 3 * HOUR) is RunResult.DONE
    assert bench.told.of(events.ReplacementLapsed)
    assert bench.attempts() == [HELD, DONE]
    assert bench.duty().state is DutyState.DONE


def test_cancelled_replacement_is_forgotten_by_the_device_and_due_again(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    assert bench.run(NOON + HOUR, cancel=True) is RunResult.DONE
    assert bench.scheduled() == [ScheduledState.CANCELLED]
    assert bench.duty().state is DutyState.DUE
    with bench.ledger() as ledger:
        run_id = ledger.runs.runs()[0].id
        command = Message.parse(ledger.exchanges.of_run(run_id)[-1].command)
    decoded = decode_payload(command)
    assert decoded is not None
    assert decoded.value.execution_date_time == NEVER
    control = decoded.value.authorising_remote_party_control
    assert control.authorising_remote_party_seq_number == command.header.originator_counter
    assert bench.run(AT + HOUR) is RunResult.DONE
    with bench.ledger() as ledger:
        assert ledger.exchanges.alerts_of(CHF) == ()
    assert bench.attempts()[-1][0] is Outcome.DONE
    assert bench.run(AT + HOUR, cancel=True) is RunResult.DONE
    assert bench.commands() == 0


def test_cancelling_too_late_leaves_what_the_device_carried_out(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    assert bench.run(AT + HOUR / 2, cancel=True) is RunResult.DONE
    assert bench.attempts() == [HELD, DONE]
    assert bench.scheduled() == [ScheduledState.DONE]
    assert bench.duty().state is DutyState.DONE


def test_command_is_known_by_originator_and_counter_alone(bench: Bench) -> None:
    bench.run(NOON, execute_at=AT)
    with bench.ledger() as ledger:
        (held,) = ledger.scheduled.waiting(CHF)
        known = ledger.scheduled.requirement_of
        assert known(CHF, held.originator, held.counter) == ("R33b", held.exchange_id)
        assert known(CHF, held.originator, held.counter + 1) is None
        assert known(CHF, CHF, held.counter) is None
        assert known(held.originator, held.originator, held.counter) is None
