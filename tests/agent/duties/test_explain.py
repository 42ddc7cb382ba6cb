from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.domain.device_facts import AttemptFact, LedgerFacts, Outcome
from keyrig.domain.known_facts import FactName, KnownFact, fold
from keyrig.domain.smi_status import SMIStatus, Standing, Suspension
from keyrig.duties.explain import Explanation, explain
from keyrig.duties.plan import DutyState, plan
from keyrig.duties.rules import Actor, Rules, built_in_rules, rules_with

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEVICE = EntityIdentifier.parse("00db1234567890a0")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
BOTH = frozenset(Actor)
N = FactName


def explained(
    requirement: str,
    device_type: DeviceType = DeviceType.ESME,
    *attempts: AttemptFact,
    rules: Rules | None = None,
    now: datetime = NOON + 10 * HOUR,
    parties: frozenset[Actor] = BOTH,
    standing: Standing | None = None,
    **facts: Any,
) -> Explanation:
    rules = rules or built_in_rules()
    values = {"device_type": device_type, "commissioned_at": NOON, "lead_supplier": SUPPLIER}
    said = [
        KnownFact(name=FactName(name), value=value, source="rig bench", recorded_at=NOON)
        for name, value in (values | facts).items()
    ]
    record = fold(DEVICE, said, now)
    tried = LedgerFacts({(DEVICE, requirement): attempts})
    made = plan(rules, [record.facts], tried, now, parties)
    duty = next(each for each in made.duties if each.requirement == requirement)
    return explain(rules, duty, record, attempts, standing or Standing())


def tried(outcome: Outcome, hours: int = 1, detail: str = "") -> AttemptFact:
    at = NOON + hours * HOUR
    return AttemptFact(started_at=at, finished_at=at, outcome=outcome, detail=detail)


@pytest.mark.parametrize(
    ("requirement", "device_type", "facts", "state", "changes"),
    [
        (
            "R37d",
            DeviceType.ESME,
            {},
            DutyState.DUE,
            [
                "an attempt at replace-organisation-certificate that succeeds with evidence: done",
                (
                    "knowing that a Command from the DCC, executed during Commissioning, "
                    "replaced an Organisation Certificate "
                    "(organisation_certificate_replaced_by_dcc_during_commissioning): exempt"
                ),
                "the device being replaced or Decommissioned: void",
            ],
        ),
        (
            "R37d",
            DeviceType.ESME,
            {"organisation_certificate_replaced_by_dcc_during_commissioning": True},
            DutyState.EXEMPT,
            ["taking organisation_certificate_replaced_by_dcc_during_commissioning back: due"],
        ),
        (
            "R37e",
            DeviceType.ESME,
            {"recovery_checked_after_receipt_by": SUPPLIER},
            DutyState.EXEMPT,
            [
                "taking recovery_checked_after_receipt_by back: due",
                "another Lead Supplier, who has not made the check itself: due",
            ],
        ),
        (
            "R33c",
            DeviceType.CHF,
            {"recovery_checked_after_receipt_by": "dcc"},
            DutyState.EXEMPT,
            ["taking recovery_checked_after_receipt_by back: due"],
        ),
        (
            "R37a",
            DeviceType.GSME,
            {},
            DutyState.EXEMPT,
            ["nothing: such a device cannot meet it"],
        ),
        (
            "R37c",
            DeviceType.ESME,
            {"replaced": True},
            DutyState.VOID,
            ["taking back that the device is replaced or Decommissioned"],
        ),
        (
            "R37c",
            DeviceType.ESME,
            {"commissioned_at": None},
            DutyState.AWAITING_COMMISSIONING,
            [
                "an instant or date of Commissioning that has come",
                "the device being replaced or Decommissioned: void",
            ],
        ),
    ],
)
def test_what_would_change_a_duty_is_said_by_its_state(
    requirement: str,
    device_type: DeviceType,
    facts: dict[str, Any],
    state: DutyState,
    changes: list[str],
) -> None:
    explanation = explained(requirement, device_type, **facts)
    assert explanation.duty.state is state
    assert list(explanation.changes) == changes


def test_what_is_said_to_change_a_duty_does_change_it() -> None:
    assert explained("R37e").duty.state is DutyState.DUE
    checked: dict[str, Any] = {"recovery_checked_after_receipt_by": SUPPLIER}
    assert explained("R37e", **checked).duty.state is DutyState.EXEMPT
    other = EntityIdentifier.parse("90b3d51f30030000")
    assert explained("R37e", **checked, lead_supplier=other).duty.state is DutyState.DUE


def test_not_ours_and_not_owed_name_the_setting_that_decides() -> None:
    not_ours = explained("R33a", DeviceType.CHF, parties=frozenset({Actor.LEAD_SUPPLIER}))
    assert not_ours.changes[0] == "naming dcc under parties in the rig file"
    rules = rules_with(built_in_rules(), {"gas_proxy_organisation_certificate": "not-owed"}, "test")
    not_owed = explained("R37d", DeviceType.GPF, rules=rules)
    assert not_owed.changes == ("reading gas_proxy_organisation_certificate as owed: due",)
    assert not_owed.readings[0].ambiguity == "A1"


def test_facts_used_are_those_of_the_rule_with_who_said_them() -> None:
    used = {fact.name: fact for fact in explained("R37e").facts}
    assert set(used) == {
        N.DEVICE_TYPE,
        N.COMMISSIONED_AT,
        N.REPLACED,
        N.DECOMMISSIONED,
        N.RECOVERY_CHECKED_BY,
        N.LEAD_SUPPLIER,
    }
    known = used[N.LEAD_SUPPLIER].known
    assert known is not None
    assert (known.source, known.value) == ("rig bench", SUPPLIER)
    assert used[N.REPLACED].known is None
    assert N.RESPONSIBLE_SUPPLIERS in {
        fact.name for fact in explained("R33a", DeviceType.CHF).facts
    }
    assert N.NETWORK_OPERATOR in {fact.name for fact in explained("R37a").facts}


@pytest.mark.parametrize(
    ("facts", "choices", "days", "ambiguities"),
    [
        (
            {},
            {},
            "7 days of 24 hours from 2026-11-20T12:00:00Z, so until 2026-11-27T12:00:00Z",
            ["A4", "A5"],
        ),
        (
            {},
            {"day_counting": "calendar-days"},
            "7 days of the calendar from 2026-11-20T12:00:00Z, so until 2026-11-27T23:59:59Z",
            ["A4", "A5"],
        ),
        (
            {"commissioned_at": date(2026, 11, 20)},
            {},
            "7 days from 2026-11-20, the date that is known, so until 2026-11-27T23:59:59Z",
            ["A4", "A5"],
        ),
        (
            {"commissioned_at": None},
            {},
            "7 days from Commissioning, of which nothing is known yet",
            ["A4"],
        ),
    ],
)
def test_count_of_days_is_said_with_the_readings_behind_it(
    facts: dict[str, Any], choices: dict[str, str], days: str, ambiguities: list[str]
) -> None:
    rules = rules_with(built_in_rules(), choices, "test")
    explanation = explained("R37c", rules=rules, **facts)
    assert explanation.days == days
    assert [reading.ambiguity for reading in explanation.readings] == ambiguities


def test_days_that_never_run_are_said_to() -> None:
    rules = rules_with(built_in_rules(), {"other_type_1_commissioning": "never"}, "test")
    explanation = explained("R40", DeviceType.PPMID, rules=rules)
    assert explanation.days == "no days run, by the reading chosen"
    assert [r.ambiguity for r in explanation.readings] == ["A2", "A3"]
    assert explanation.entails == ("the text states no consequence of failing",)


def test_suspension_attempts_and_both_readings_of_failing_are_shown() -> None:
    standing = Standing(
        status=SMIStatus.SUSPENDED,
        status_since=NOON + HOUR,
        suspension=Suspension(
            clause="H5.34(a)",
            held_before=SMIStatus.COMMISSIONED,
            since=NOON + HOUR,
            failed_steps=frozenset({"R33c"}),
        ),
    )
    explanation = explained(
        "R33c",
        DeviceType.CHF,
        tried(Outcome.FAILED, -1, "before Commissioning"),
        tried(Outcome.FAILED, 1, "no answer"),
        standing=standing,
        now=NOON + 200 * HOUR,
    )
    assert [attempt.detail for attempt in explanation.attempts] == ["no answer"]
    assert explanation.failing == (
        "by a failed attempt: at 2026-11-20T13:00:00Z",
        "by its deadline: at 2026-11-27T12:00:00Z",
    )
    told = "\n".join(explanation.entails)
    assert "failing suspends the device under H5.34(a)" in told
    assert "must come back under H5.34(c)" in told
    assert "each Responsible Supplier is told of both under H5.35" in told
    assert "held before: Commissioned; failed steps: R33c" in told
    assert "may replace the Communications Hub under H5.36" in told
    assert "reason F9.5(f)" in told
    other = replace(standing, suspension=None)
    assert "H5.36" not in "\n".join(explained("R33c", DeviceType.CHF, standing=other).entails)
