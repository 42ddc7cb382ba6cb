"""The planner, the ledger and the consequences against a second, naive statement of the duties."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import Outcome
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.known_facts import FactName, KnownFact
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.consequences import replacement_permission
from keyrig.duties.rules import Actor, built_in_rules, rules_with
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import fail_overdue, finish_duty
from keyrig.run.outside_facts import learn, learn_status

from .reference_model import ModelDevice, Reading, Try

LONG = bool(os.environ.get("KEYRIG_LONG"))
START = datetime(2026, 11, 20, 9, tzinfo=UTC)
RUN = "1" * 32
PARTIES = {
    name: EntityIdentifier.parse(f"90b3d51f300{number}0000")
    for number, name in enumerate(("one", "two", "three"))
}
USAGES = {"signing": KeyUsage.DIGITAL_SIGNATURE, "agreeing": KeyUsage.KEY_AGREEMENT}
DEVICES = {
    kind.value: EntityIdentifier.parse(f"00db1234567890{number:02x}")
    for number, kind in enumerate(DeviceType)
}

devices = st.sampled_from(sorted(DEVICES))
suppliers = st.sampled_from(sorted(PARTIES))
statuses = st.sampled_from([status.value for status in SMIStatus])
durations = st.one_of(
    st.integers(1, 3600).map(lambda s: timedelta(seconds=s)),
    st.integers(1, 15 * 24).map(lambda h: timedelta(hours=h)),
    st.just(timedelta(days=7)),
)


class Duties(RuleBasedStateMachine):
    """Lives through histories on both sides, and compares after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.db")
        self.ledger.runs.start_run(RUN, "bench", START)
        self.now = START
        self.model = {kind: ModelDevice(kind) for kind in DEVICES}
        self.under_way: dict[str, tuple[int, Try]] = {}
        self.reading = Reading()
        self.rule_set = built_in_rules()
        self.touched: set[str] = set()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @initialize(
        gas_proxy=st.sampled_from(["owed", "not-owed"]),
        runs=st.sampled_from(["from-inventory", "never"]),
        days=st.sampled_from([7, 14]),
        failing=st.sampled_from(["failed-attempt", "deadline", "either"]),
        counting=st.sampled_from(["24-hours", "calendar-days"]),
        date_only=st.sampled_from(["end-of-nth-day", "start-of-commissioning-day"]),
        held=st.lists(st.none() | statuses, min_size=len(DEVICES), max_size=len(DEVICES)),
    )
    def begin(
        self,
        gas_proxy: str,
        runs: str,
        days: int,
        failing: str,
        counting: str,
        date_only: str,
        held: list[str | None],
    ) -> None:
        choices = {
            "gas_proxy_organisation_certificate": gas_proxy,
            "other_type_1_commissioning": runs,
            "other_type_1_deadline": days,
            "failing": failing,
            "day_counting": counting,
            "date_only": date_only,
        }
        self.rule_set = rules_with(built_in_rules(), choices, "test")
        self.reading = Reading(
            gas_proxy_owes_37d=gas_proxy == "owed",
            days_run_for_other_type_1=runs == "from-inventory",
            other_type_1_days=days,
            attempt_fails=failing != "deadline",
            deadline_fails=failing != "failed-attempt",
            calendar_days=counting == "calendar-days",
            date_until_end_of_day=date_only == "end-of-nth-day",
        )
        for (kind, device), status in zip(DEVICES.items(), held, strict=True):
            self.say(kind, FactName.DEVICE_TYPE, DeviceType(kind))
            self.is_commissioned(kind, 0, date_only=False)
            if status is not None and status != "Decommissioned":
                self.status_is_set_elsewhere(kind, status)
            self.ledger.open_duties.adopt(
                device, rig_name="bench", rules=self.rule_set, actors=tuple(Actor), now=self.now
            )

    # ------------------------------------------------------------ what happens

    @rule(duration=durations)
    def time_passes(self, duration: timedelta) -> None:
        self.touched |= set(DEVICES)
        self.pass_time(duration)

    def pass_time(self, duration: timedelta) -> None:
        self.now += duration
        for device in self.model.values():
            for at, supplier in device.lead_to_come:
                if at <= self.now:
                    device.lead = supplier
            device.lead_to_come = [each for each in device.lead_to_come if each[0] > self.now]

    @rule(kind=devices, ago=st.integers(0, 72), date_only=st.booleans())
    def is_commissioned(self, kind: str, ago: int, *, date_only: bool) -> None:
        at: Any = self.now - timedelta(hours=ago)
        if date_only:
            at = at.date()
        self.say(kind, FactName.COMMISSIONED_AT, at)
        self.model[kind].commissioned = at

    @rule(kind=devices, ahead=st.integers(1, 48))
    def will_be_commissioned(self, kind: str, ahead: int) -> None:
        at = self.now + timedelta(hours=ahead)
        self.say(kind, FactName.COMMISSIONED_AT, at)
        self.model[kind].commissioned = at

    @rule(kind=devices, value=st.booleans())
    def dcc_replaced_one_during_commissioning(self, kind: str, *, value: bool) -> None:
        self.say(kind, FactName.ORGANISATION_CERTIFICATE_REPLACED, value)
        self.model[kind].dcc_replaced_one = value

    @rule(kind=devices, who=st.sampled_from(["dcc", None, *PARTIES]))
    def recovery_was_checked(self, kind: str, who: str | None) -> None:
        self.say(kind, FactName.RECOVERY_CHECKED_BY, PARTIES.get(who or "", who))
        self.model[kind].recovery_seen_by = who

    @rule(kind=devices, who=suppliers)
    def supplier_changes(self, kind: str, who: str) -> None:
        self.say(kind, FactName.LEAD_SUPPLIER, PARTIES[who])
        self.model[kind].lead = who

    @rule(kind=devices, who=suppliers, ahead=st.integers(1, 100))
    def supplier_will_change(self, kind: str, who: str, ahead: int) -> None:
        at = self.now + timedelta(hours=ahead)
        device = self.model[kind]
        self.say(kind, FactName.LEAD_SUPPLIER, PARTIES[who], at=at)
        device.lead_to_come = sorted(
            [*(each for each in device.lead_to_come if each[0] != at), (at, who)]
        )

    @rule(kind=devices, who=st.lists(suppliers, max_size=3))
    def responsible_suppliers_are(self, kind: str, who: list[str]) -> None:
        self.say(kind, FactName.RESPONSIBLE_SUPPLIERS, tuple(PARTIES[each] for each in who))
        self.model[kind].responsible = who

    @rule(kind=devices, value=st.booleans())
    def is_replaced(self, kind: str, *, value: bool) -> None:
        self.say(kind, FactName.REPLACED, value)
        self.model[kind].replaced = value

    @rule(kind=devices, status=statuses)
    def status_is_set_elsewhere(self, kind: str, status: str) -> None:
        self.tick()
        self.touched.add(kind)
        learn_status(
            self.ledger,
            DEVICES[kind],
            SMIStatus(status),
            at=self.now,
            source="elsewhere",
            now=self.now,
        )
        self.model[kind].status_set_elsewhere(status, self.now)

    @rule(kind=devices, usage=st.sampled_from(sorted(USAGES)), confirmed=st.booleans())
    def key_is_re_generated(self, kind: str, usage: str, *, confirmed: bool) -> None:
        self.tick()
        self.touched.add(kind)
        changes, device = self.ledger.key_changes, DEVICES[kind]
        history = changes.history(device, USAGES[usage])
        last = history[-1] if history else None
        if last is None or last.state in {KeyChangeState.CONFIRMED, KeyChangeState.ABANDONED}:
            last = changes.request(device, USAGES[usage], RUN, self.now)
            changes.csr_received(last.id, b"csr", self.now)
            changes.certificate_issued(last.id, b"new", self.now)
            changes.storing(last.id, self.now)
        if confirmed:
            changes.confirmed(last.id, self.now)
        self.model[kind].keys_stored[usage] = self.now if confirmed else None

    @rule(kind=devices, choice=st.randoms(use_true_random=False))
    def attempt_begins(self, kind: str, choice: Any) -> None:
        due = sorted(self.model[kind].open(self.reading, self.now))
        if due and kind not in self.under_way:
            self.begin_attempt(kind, choice.choice(due))

    def begin_attempt(self, kind: str, name: str) -> None:
        self.tick()
        self.touched.add(kind)
        attempt_id = self.ledger.runs.start_attempt(RUN, DEVICES[kind], name, self.now)
        self.model[kind].tries.append(Try(name, self.now))
        self.under_way[kind] = (attempt_id, self.model[kind].tries[-1])

    @rule(
        kind=st.sampled_from(["CHF", "GPF", "ESME"]),
        choice=st.randoms(use_true_random=False),
        ends=st.lists(st.booleans(), min_size=1, max_size=4),
    )
    def is_attempted(self, kind: str, choice: Any, ends: list[bool]) -> None:
        due = sorted(self.model[kind].open(self.reading, self.now))
        name = choice.choice(due) if due else ""
        for succeeds in ends:
            if name not in self.model[kind].open(self.reading, self.now):
                return
            if kind not in self.under_way:
                self.begin_attempt(kind, name)
            self.end_attempt(kind, succeeds=succeeds)

    @rule(
        kind=st.sampled_from(["CHF", "GPF", "ESME"]),
        names=st.lists(
            st.sampled_from(["R33b", "R33c", "R37a", "R37d", "R37e"]), min_size=2, max_size=4
        ),
    )
    def steps_fail_and_then_succeed(self, kind: str, names: list[str]) -> None:
        for succeeds in (False, True):
            for name in names:
                if name in self.model[kind].open(self.reading, self.now):
                    if kind not in self.under_way:
                        self.begin_attempt(kind, name)
                    self.end_attempt(kind, succeeds=succeeds)
                    self.both_sides_agree()

    @rule(
        kind=st.sampled_from(["CHF", "GPF", "ESME"]),
        beyond=st.sampled_from([-1, 0, 1, 3600]).map(lambda s: timedelta(seconds=s)),
    )
    def deadline_comes(self, kind: str, beyond: timedelta) -> None:
        deadline = self.model[kind].deadline("R33a", self.reading)
        if deadline is not None and deadline + beyond > self.now:
            self.time_passes(deadline + beyond - self.now)
            self.both_sides_agree()
            for name in sorted(self.model[kind].open(self.reading, self.now))[-1:]:
                if kind not in self.under_way:
                    self.begin_attempt(kind, name)
                self.end_attempt(kind, succeeds=False)

    @precondition(lambda self: self.under_way)
    @rule(choice=st.randoms(use_true_random=False), succeeds=st.booleans())
    def attempt_ends(self, choice: Any, *, succeeds: bool) -> None:
        self.end_attempt(choice.choice(sorted(self.under_way)), succeeds=succeeds)

    def end_attempt(self, kind: str, *, succeeds: bool) -> None:
        self.tick()
        self.touched.add(kind)
        attempt_id, tried = self.under_way[kind]
        device = self.model[kind]
        if succeeds and tried.requirement in ("R33a", "R37c") and not device.keys_done():
            with pytest.raises(LedgerRefused, match="cannot be called done"):
                self.finish(kind, attempt_id, Outcome.DONE)
            return
        del self.under_way[kind]
        self.finish(kind, attempt_id, Outcome.DONE if succeeds else Outcome.FAILED)
        tried.ended, tried.outcome = self.now, "done" if succeeds else "failed"
        if succeeds:
            device.step_succeeds(tried.requirement, self.now)
        else:
            device.try_failed(tried.requirement, self.reading, self.now)

    @rule()
    def agent_crashes_and_comes_back(self) -> None:
        self.tick()
        self.touched |= set(DEVICES)
        path = self.ledger.path
        self.ledger.close()
        self.ledger = Ledger(path)
        closed = self.ledger.runs.close_interrupted("bench", self.now)
        assert {each.id for each in closed} == {each[0] for each in self.under_way.values()}
        for _, tried in self.under_way.values():
            tried.ended, tried.outcome = self.now, "interrupted"
        self.under_way = {}

    @rule()
    def run_begins_and_counts_what_is_late(self) -> None:
        self.tick()
        self.touched |= set(DEVICES)
        for kind, entity in DEVICES.items():
            planned = self.ledger.open_duties.planned(entity, self.now)
            assert planned is not None
            facts = self.ledger.open_duties.facts(entity, self.now)
            for duty in planned.to_do():
                model = self.model[kind]
                late = model.late(duty.requirement, self.reading, self.now)
                late = late and not model.cut_short_last(duty.requirement)
                fail_overdue(
                    self.ledger, rules=self.rule_set, device=facts, duty=duty, now=self.now
                )
                if late and self.reading.deadline_fails:
                    model.step_fails(duty.requirement, self.now)

    # ------------------------------------------------------------ what must agree

    @invariant()
    def both_sides_agree(self) -> None:
        kinds, self.touched = self.touched, set()
        with self.ledger.reading():
            self.duties_agree(kinds)
            self.statuses_agree(kinds)
            self.what_is_told_agrees(kinds)
        if kinds == set(DEVICES):
            self.what_is_due_next_agrees()

    def duties_agree(self, kinds: set[str]) -> None:
        for kind in kinds:
            entity = DEVICES[kind]
            device = self.model[kind]
            planned = self.ledger.open_duties.planned(entity, self.now)
            assert planned is not None
            expected = {
                name: (
                    device.state(name, self.reading, self.now),
                    device.deadline(name, self.reading),
                    device.late(name, self.reading, self.now),
                    len(device.counting_tries(name)),
                )
                for name in device.requirements()
            }
            assert {
                d.requirement: (d.state.value, d.deadline, d.overdue, d.attempts)
                for d in planned.duties
            } == expected, kind

    def what_is_due_next_agrees(self) -> None:
        open_here = {
            (entity, name)
            for kind, entity in DEVICES.items()
            for name in self.model[kind].open(self.reading, self.now)
        }
        held = self.ledger.open_duties.next_due(self.now, 1000)
        assert {(duty.device, duty.requirement) for duty in held} == open_here

    def statuses_agree(self, kinds: set[str]) -> None:
        for kind in kinds:
            entity, device = DEVICES[kind], self.model[kind]
            standing = self.ledger.smi_statuses.standing(entity)
            assert (standing.status.value if standing.status else None) == device.status
            suspension = standing.suspension
            assert (suspension.clause if suspension else None) == device.suspended_under
            if suspension is not None:
                before = suspension.held_before
                assert (before.value if before else None) == device.status_before
                assert suspension.failed_steps == device.failed_steps
            permission = replacement_permission(self.rule_set, DeviceType(kind), standing)
            assert (permission.clause if permission else None) == device.hub_may_be_replaced()

    def what_is_told_agrees(self, kinds: set[str]) -> None:
        for kind in kinds:
            entity, device = DEVICES[kind], self.model[kind]
            events = self.ledger.outbox.all(entity)
            told = [event.body for event in events if event.type is EventType.NOTICE]
            names = {party.stem: name for name, party in PARTIES.items()}
            assert [(names[n["to"]], n["clause"], n["of_step"]) for n in told] == device.notices
            flags = [event.body["flag"] for event in events if event.type is EventType.FLAG]
            assert sorted(flags) == sorted(flag for flag, _, _ in device.flags), kind
            outcomes = [e.body for e in events if e.type is EventType.DUTY_OUTCOME]
            finished = [t for t in device.tries if t.outcome in ("done", "failed")]
            assert len([o for o in outcomes if "attempt" in o]) == len(finished)
            assert len({o["attempt"] for o in outcomes if "attempt" in o}) == len(finished)

    # ------------------------------------------------------------ by which means

    def tick(self) -> None:
        self.pass_time(timedelta(seconds=1))

    def say(self, kind: str, name: FactName, value: Any, *, at: datetime | None = None) -> None:
        self.tick()
        self.touched.add(kind)
        source = "test" if at is None else f"test of {at}"
        fact = KnownFact(name=name, value=value, at=at, source=source, recorded_at=self.now)
        learn(self.ledger, DEVICES[kind], [fact], self.now)

    def finish(self, kind: str, attempt_id: int, outcome: Outcome) -> None:
        finish_duty(
            self.ledger,
            attempt_id=attempt_id,
            outcome=outcome,
            detail="as drawn",
            evidence="exchange 1",
            rules=self.rule_set,
            device=self.ledger.open_duties.facts(DEVICES[kind], self.now),
            now=self.now,
        )


@pytest.mark.sweep
def test_any_history_ends_alike_on_both_sides() -> None:
    run_state_machine_as_test(
        Duties,
        settings=settings(
            max_examples=1000 if LONG else 30,
            stateful_step_count=80 if LONG else 30,
            derandomize=not LONG,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
