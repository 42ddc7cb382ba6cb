from __future__ import annotations

import copy
import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.domain.device_facts import AttemptFact, DeviceFacts, LedgerFacts, Outcome
from keyrig.duties.plan import Duty, DutyState, plan
from keyrig.duties.rules import Actor, Owed, Rules, built_in_rules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = frozenset(Actor)
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
GAINING_SUPPLIER = EntityIdentifier.parse("90b3d51f30020000")
EVERY_DUTY = [(kind, r.id) for kind in DeviceType for r in built_in_rules().owed_by(kind)]


def entity(number: int) -> EntityIdentifier:
    return EntityIdentifier(bytes.fromhex("00db123456789000")[:7] + bytes([number]))


def device(device_type: DeviceType, number: int = 0xA0, **facts: Any) -> DeviceFacts:
    facts.setdefault("commissioned_at", NOON)
    return DeviceFacts(
        entity_id=entity(number), device_type=device_type, lead_supplier=SUPPLIER, **facts
    )


def tried(outcome: Outcome | None, *, at: datetime = NOON + HOUR, detail: str = "") -> AttemptFact:
    finished = None if outcome is None else at + HOUR
    return AttemptFact(started_at=at, finished_at=finished, outcome=outcome, detail=detail)


def duties(
    *devices: DeviceFacts,
    facts: LedgerFacts | None = None,
    now: datetime = NOON + 3 * HOUR,
    parties: frozenset[Actor] = BOTH,
    rules: Rules | None = None,
) -> dict[str, Duty]:
    made = plan(rules or built_in_rules(), devices, facts or LedgerFacts(), now, parties)
    return {duty.requirement: duty for duty in made.duties}


def with_reading(choice: Owed) -> Rules:
    rules = built_in_rules()
    reading = rules.readings.gas_proxy_organisation_certificate
    return rules.model_copy(
        update={
            "readings": rules.readings.model_copy(
                update={
                    "gas_proxy_organisation_certificate": reading.model_copy(
                        update={"choice": choice}
                    )
                }
            )
        }
    )


def test_duty_has_a_stable_name_and_says_who_what_and_until_when() -> None:
    duty = duties(device(DeviceType.ESME))["R37c"]
    assert duty.id == "00db1234567890a0/R37c"
    assert (duty.clause, duty.actor) == ("H5.37(c)", Actor.LEAD_SUPPLIER)
    assert duty.deadline == NOON + timedelta(days=7)
    assert duty.state is DutyState.DUE
    assert duty.reason == "owed within 7 days of commissioning"


@pytest.mark.parametrize("days", [7, 14])
def test_duty_is_overdue_only_after_its_deadline(days: int) -> None:
    kind = DeviceType.CHF if days == 7 else DeviceType.HCALCS
    name = "R33a" if days == 7 else "R40"
    until = NOON + timedelta(days=days)
    assert not duties(device(kind), now=until)[name].overdue
    assert duties(device(kind), now=until + timedelta(microseconds=1))[name].overdue


def test_duty_with_only_a_date_is_in_time_until_that_day_ends() -> None:
    esme = device(DeviceType.ESME, commissioned_at=date(2026, 11, 20))
    midnight = datetime(2026, 11, 28, tzinfo=UTC)
    assert not duties(esme, now=midnight - timedelta(microseconds=1))["R37c"].overdue
    assert duties(esme, now=midnight)["R37c"].overdue


def test_device_awaits_commissioning_until_that_very_instant() -> None:
    esme = device(DeviceType.ESME)
    before = duties(esme, now=NOON - timedelta(microseconds=1))["R37c"]
    assert before.state is DutyState.AWAITING_COMMISSIONING
    assert duties(esme, now=NOON)["R37c"].state is DutyState.DUE
    never = duties(device(DeviceType.ESME, commissioned_at=None))["R37c"]
    assert (never.state, never.deadline) == (DutyState.AWAITING_COMMISSIONING, None)


def test_done_duty_tells_when_and_whether_late() -> None:
    late = NOON + timedelta(days=8)
    key = (entity(0xA0), "R37c")
    for at, is_late in ((NOON + HOUR, False), (late, True)):
        facts = LedgerFacts({key: (tried(Outcome.FAILED), tried(Outcome.DONE, at=at))})
        duty = duties(device(DeviceType.ESME), facts=facts, now=late + 2 * HOUR)["R37c"]
        assert (duty.state, duty.attempts, duty.done_at) == (DutyState.DONE, 2, at + HOUR)
        assert (duty.is_done_late, duty.overdue) == (is_late, False)


def test_failed_duty_stays_to_be_done_and_names_the_last_failure() -> None:
    facts = LedgerFacts(
        {
            (entity(0xA0), "R37c"): (
                tried(Outcome.FAILED, detail="no answer"),
                tried(Outcome.FAILED, detail="refused by the device", at=NOON + 2 * HOUR),
                tried(Outcome.INTERRUPTED, at=NOON + 4 * HOUR),
            )
        }
    )
    made = plan(built_in_rules(), [device(DeviceType.ESME)], facts, NOON + 9 * HOUR, BOTH)
    duty = next(d for d in made.duties if d.requirement == "R37c")
    assert duty.state is DutyState.FAILED
    assert duty.reason == "failed at 2026-11-20T15:00:00Z: refused by the device"
    assert duty in made.to_do()


def test_interrupted_attempt_is_neither_done_nor_failed() -> None:
    facts = LedgerFacts({(entity(0xA0), "R37c"): (tried(Outcome.INTERRUPTED),)})
    duty = duties(device(DeviceType.ESME), facts=facts)["R37c"]
    assert (duty.state, duty.attempts) == (DutyState.DUE, 1)
    assert "interrupted" in duty.reason


def test_what_was_done_before_commissioning_does_not_meet_the_duty() -> None:
    facts = LedgerFacts({(entity(0xA0), "R37c"): (tried(Outcome.DONE, at=NOON - HOUR),)})
    duty = duties(device(DeviceType.ESME), facts=facts)["R37c"]
    assert (duty.state, duty.attempts, duty.done_at) == (DutyState.DUE, 0, None)


def test_duty_of_another_party_is_shown_and_not_carried_out() -> None:
    made = plan(
        built_in_rules(),
        [device(DeviceType.CHF, 0xA2), device(DeviceType.ESME)],
        LedgerFacts(),
        NOON + timedelta(days=9),
        {Actor.LEAD_SUPPLIER},
    )
    of_hub = [d for d in made.duties if d.device_type is DeviceType.CHF]
    assert {d.state for d in of_hub} == {DutyState.NOT_OURS}
    assert all(d.overdue for d in of_hub)
    assert {d.device_type for d in made.to_do()} == {DeviceType.ESME}


@pytest.mark.parametrize("fact", ["replaced", "decommissioned"])
def test_trap_10_replaced_device_owes_nothing_more(fact: str) -> None:
    made = duties(device(DeviceType.CHF, **{fact: True}), now=NOON + timedelta(days=30))
    assert {d.state for d in made.values()} == {DutyState.VOID}
    assert not any(d.overdue for d in made.values())


def test_trap_3_identical_cells_prove_nothing_only_the_outcome_counts() -> None:
    # The planner sees outcomes alone: the same facts with and without an executed Command.
    esme = device(DeviceType.ESME)
    assert duties(esme)["R37d"].state is DutyState.DUE
    facts = LedgerFacts({(esme.entity_id, "R37d"): (tried(Outcome.DONE),)})
    assert duties(esme, facts=facts)["R37d"].state is DutyState.DONE


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DeviceType.CHF, "R33b"), (DeviceType.ESME, "R37d"), (DeviceType.GPF, "R37d")],
)
def test_trap_4_only_a_command_of_the_dcc_during_commissioning_exempts(
    kind: DeviceType, name: str
) -> None:
    key = "organisation_certificate_replaced_by_dcc_during_commissioning"
    exempt = duties(device(kind, **{key: True}))
    assert exempt[name].state is DutyState.EXEMPT
    assert "DCC" in exempt[name].reason
    assert [d.requirement for d in exempt.values() if d.state is DutyState.EXEMPT] == [name]
    # A replacement that the supplier's own Command made before Commissioning is no exemption.
    before = LedgerFacts({(entity(0xA0), name): (tried(Outcome.DONE, at=NOON - HOUR),)})
    assert duties(device(kind), facts=before)[name].state is DutyState.DUE


@pytest.mark.parametrize(
    ("kind", "name", "checked_by", "state"),
    [
        (DeviceType.CHF, "R33c", "dcc", DutyState.EXEMPT),
        (DeviceType.CHF, "R33c", SUPPLIER, DutyState.DUE),
        (DeviceType.CHF, "R33c", None, DutyState.DUE),
        (DeviceType.ESME, "R37e", SUPPLIER, DutyState.EXEMPT),
        (DeviceType.ESME, "R37e", "dcc", DutyState.DUE),
        (DeviceType.ESME, "R37e", GAINING_SUPPLIER, DutyState.DUE),
        (DeviceType.ESME, "R37e", None, DutyState.DUE),
    ],
)
def test_trap_5_only_the_actors_own_check_after_receipt_exempts(
    kind: DeviceType, name: str, checked_by: Any, state: DutyState
) -> None:
    made = duties(device(kind, recovery_checked_after_receipt_by=checked_by))
    assert made[name].state is state


def test_trap_5_gaining_supplier_has_not_checked_what_the_losing_one_did() -> None:
    losing = device(DeviceType.ESME, recovery_checked_after_receipt_by=SUPPLIER)
    assert duties(losing)["R37e"].state is DutyState.EXEMPT
    gaining = DeviceFacts(
        entity_id=losing.entity_id,
        device_type=losing.device_type,
        commissioned_at=losing.commissioned_at,
        recovery_checked_after_receipt_by=SUPPLIER,
        lead_supplier=GAINING_SUPPLIER,
    )
    assert duties(gaining)["R37e"].state is DutyState.DUE


def test_unknown_lead_supplier_is_not_taken_for_who_checked() -> None:
    unknown = DeviceFacts(entity_id=entity(0xA0), device_type=DeviceType.ESME, commissioned_at=NOON)
    assert duties(unknown)["R37e"].state is DutyState.DUE


def test_network_duty_of_a_gas_meter_is_met_on_the_gas_proxy() -> None:
    assert duties(device(DeviceType.GPF))["R37a"].state is DutyState.DUE
    of_meter = duties(device(DeviceType.GSME))["R37a"]
    assert of_meter.state is DutyState.EXEMPT
    assert of_meter.reason == "met on the GPF: a GSME has no such cells"


@pytest.mark.parametrize(
    ("choice", "state"), [(Owed.OWED, DutyState.DUE), (Owed.NOT_OWED, DutyState.EXEMPT)]
)
def test_reading_a1_decides_for_the_gas_proxy_alone(choice: Owed, state: DutyState) -> None:
    rules = with_reading(choice)
    assert duties(device(DeviceType.GPF), rules=rules)["R37d"].state is state
    assert duties(device(DeviceType.GSME), rules=rules)["R37d"].state is DutyState.DUE


def test_other_type_1_device_owes_supplier_credentials_and_no_new_keys() -> None:
    for kind in (DeviceType.HCALCS, DeviceType.PPMID):
        assert list(duties(device(kind))) == ["R40"]


def test_to_do_goes_hub_proxy_meters_others_then_deadline_then_steps() -> None:
    earlier = NOON - HOUR
    devices = [
        device(DeviceType.PPMID, 1, commissioned_at=earlier - timedelta(days=9)),
        device(DeviceType.GSME, 2),
        device(DeviceType.ESME, 3, commissioned_at=earlier),
        device(DeviceType.GPF, 4),
        device(DeviceType.CHF, 5),
    ]
    for order in itertools.permutations(devices):
        made = plan(built_in_rules(), order, LedgerFacts(), NOON + HOUR, BOTH)
        assert [(d.device[-1], d.requirement) for d in made.to_do()] == [
            *((5, r) for r in ("R33a", "R33b", "R33c")),
            *((4, r) for r in ("R37b", "R37a", "R37c", "R37d", "R37e")),
            *((3, r) for r in ("R37b", "R37a", "R37c", "R37d", "R37e")),
            *((2, r) for r in ("R37b", "R37c", "R37d", "R37e")),
            (1, "R40"),
        ]


def test_plan_depends_on_its_arguments_alone_and_leaves_them_as_they_were() -> None:
    devices = (device(DeviceType.CHF, 0xA2), device(DeviceType.ESME))
    facts = LedgerFacts({(entity(0xA0), "R37c"): (tried(Outcome.FAILED),)})
    held = copy.deepcopy((devices, dict(facts.attempts)))
    first = plan(built_in_rules(), devices, facts, NOON, BOTH)
    assert first == plan(built_in_rules(), iter(devices), facts, NOON, BOTH)
    assert (devices, dict(facts.attempts)) == held


@given(
    outcomes=st.lists(st.sampled_from([*Outcome, None]), max_size=6),
    hours=st.integers(0, 400),
    duty=st.sampled_from(EVERY_DUTY),
)
def test_every_duty_has_one_state_that_agrees_with_its_facts(
    outcomes: list[Outcome | None], hours: int, duty: tuple[DeviceType, str]
) -> None:
    kind, name = duty
    facts = LedgerFacts({(entity(0xA0), name): tuple(tried(o) for o in outcomes)})
    planned = duties(device(kind), facts=facts, now=NOON + hours * HOUR)[name]
    assert (
        (planned.state is DutyState.DONE)
        == (Outcome.DONE in outcomes)
        == (planned.done_at is not None)
    )
    if planned.state is DutyState.FAILED:
        assert Outcome.FAILED in outcomes
    if planned.overdue:
        assert hours > 24 * (14 if kind in {DeviceType.HCALCS, DeviceType.PPMID} else 7)


def test_instants_outside_utc_are_refused() -> None:
    with pytest.raises(ValueError, match="aware and in UTC"):
        duties(device(DeviceType.CHF), now=datetime(2026, 11, 20, 12))  # noqa: DTZ001 - refused
    with pytest.raises(ValueError, match="aware and in UTC"):
        device(DeviceType.CHF, commissioned_at=NOON.astimezone(timezone(HOUR)))


def test_device_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        duties(device(DeviceType.CHF), device(DeviceType.CHF))
