"""What devices hold for later: given, told of by an alert, lapsed or taken back.

A CS02b with an execution date is accepted at once and carried out by the device itself, unasked,
when its time has come. Its response says only that the device holds it: nothing is replaced yet,
nothing has failed. So the attempt ends over it as neither, the replacement stands as waiting, and
the duty keeps its deadline.

The outcome comes in an alert: 0x8F66 where the cells were replaced, 0x8F67 where not, with a
status code for each cell. Any later run takes it, whatever it came for; a device whose time has
come is visited for that alone, and listened to for one time-out.

1. Only an alert that is signed by the device, verifies and reads as CS02b's counts. Against: an
   outcome that somebody else tells.
2. It is matched by three things: the device that made it, the party that it is for, and the
   counter of that party's command, which it names. The party's counters never repeat, so one
   alert tells of one command. Against: an alert of another device or for another party's command,
   and an older one played again.
3. It counts even if the agent died before it could write down that the device holds the
   replacement: the command with its counter was in the ledger before it left, and that the device
   acted on it is what its alert says. It counts as well after the replacement was given up as
   lapsed, or taken back: what the device did stands.
4. The alert, what it settles and the outcome with its consequences are one transaction. After a
   crash all of it is there, or none; the device tells it once, so where none is, 5 holds.
5. Where no alert comes within the grace, the replacement lapses and its duty is due anew: what
   counts is the executed command, and nobody has told that this one was.
6. The first alert of a command has the word; what is told again changes nothing.

Taking back is the same command with the date that never comes. What the device carried out before
that reached it stands, and its alert, taken with the answer or later, says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.message import Message
from gbcs.protocol_errors import SecurityError
from gbcs.security_credentials import StatusCode
from gbcs.use_cases import decode_payload
from keyrig.base import events
from keyrig.base.clock import second_text
from keyrig.domain.device_facts import Outcome
from keyrig.domain.states import ScheduledState
from keyrig.duties.plan import duty_id
from keyrig.run.bookkeeping import conclude, tell_outcome
from keyrig.session.steps.effects import NoResponse, StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import UpdateCredentialsAlert
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.run.bench import Bench, Tally
    from keyrig.session.steps.effects import StepResult


def lapse_replacements(bench: Bench, devices: Collection[EntityIdentifier]) -> None:
    """Record as lapsed the replacements whose alerts should have come by now."""
    for lapsed in bench.ledger.scheduled.lapse(devices, bench.clock()):
        bench.observe(
            events.ReplacementLapsed(
                device=str(lapsed.device),
                requirement=lapsed.requirement,
                execution_at=lapsed.execution_at,
            )
        )


def expects_alert(bench: Bench, device: EntityIdentifier) -> bool:
    """True if a device should have carried out by now what it held for later."""
    now = bench.clock()
    return any(each.execution_at <= now for each in bench.ledger.scheduled.waiting(device))


class ScheduledOutcomes:
    """What one device holds for later, in one run."""

    def __init__(self, bench: Bench, run_id: str, device: DeviceFacts, tally: Tally) -> None:
        self._bench = bench
        self._run_id = run_id
        self._device = device
        self._entity = device.entity_id
        self._tally = tally
        self.told_done: set[str] = set()
        """The requirements that alerts of this run told to be met."""

    def hold(self, requirement: str, attempt_id: int, result: StepResult, at: datetime) -> None:
        """Close an attempt over what the device holds for later; its alert will begin another."""
        bench = self._bench
        bench.ledger.scheduled.record(attempt_id, result.evidence[-1], at, bench.clock())
        tell_outcome(bench, self._entity, requirement, "scheduled", result.detail)

    def take_back(self, forget: Callable[[Any, EntityIdentifier], object]) -> None:
        """Cancel what the device holds; what it has carried out meanwhile stands.

        Args:
            forget: Has the device forget the command with a payload, of an originator.
        """
        ledger = self._bench.ledger
        for held in ledger.scheduled.waiting(self._entity):
            decoded = decode_payload(Message.parse(ledger.exchanges.command_of(held.exchange_id)))
            assert decoded is not None
            duty = duty_id(self._entity, held.requirement)
            try:
                forget(decoded.value, held.originator)
            except (StepFailed, NoResponse, SecurityError) as error:
                detail = str(error)
                self._tally.failed.append(f"{duty}: not cancelled: {detail}")
            else:
                was_waiting = ledger.scheduled.settle(
                    held.exchange_id, ScheduledState.CANCELLED, self._bench.clock()
                )
                detail = "cancelled; due again" if was_waiting else "carried out before it could be"
            self._bench.observe(
                events.Cancellation(device=str(self._entity), duty=duty, detail=detail)
            )

    def settle(
        self, recipient: EntityIdentifier, alert: UpdateCredentialsAlert, alert_id: int
    ) -> None:
        """Record what the device says of a replacement that it held, in the alert's transaction.

        Args:
            recipient: Whom the alert is for.
            alert: What it says; verified.
            alert_id: The alert in the ledger.
        """
        bench, outcome = self._bench, alert.execution_outcome
        counter = outcome.authorising_remote_party_seq_number
        found = bench.ledger.scheduled.requirement_of(self._entity, recipient, counter)
        if found is None:
            return
        requirement, exchange_id = found
        failed = [
            f"{each.affected_trust_anchor_cell}: {each.status_code.name.lower()}"
            for each in outcome.replacement_outcomes
            if each.status_code is not StatusCode.SUCCESS
        ]
        is_done = not failed and bool(outcome.replacement_outcomes)
        state = ScheduledState.DONE if is_done else ScheduledState.FAILED
        is_news = bench.ledger.scheduled.settle_by_alert(
            exchange_id, state, bench.clock(), alert_id=alert_id, at=alert.execution_date_time
        )
        # Another edition's requirement is no duty any more, whatever the device did for it.
        is_known = any(each.id == requirement for each in bench.rules.requirement)
        if not is_known or not is_news:
            return
        at = second_text(alert.execution_date_time)
        detail = f"carried out by the device at {at}" if is_done else f"not replaced at {at}: "
        detail += "; ".join(failed)
        now = bench.clock()
        attempt_id = bench.ledger.runs.start_attempt(self._run_id, self._entity, requirement, now)
        conclude(
            bench,
            self._device,
            requirement,
            Outcome.DONE if is_done else Outcome.FAILED,
            detail,
            attempt_id=attempt_id,
            evidence=f"attempt {attempt_id}: exchange {exchange_id}, alert {alert_id}",
            exchanges=[exchange_id],
            alerts=[alert_id],
            now=now,
        )
        if is_done:
            self.told_done.add(requirement)
        else:
            self._tally.failed.append(f"{self._entity}/{requirement}: {detail}")
