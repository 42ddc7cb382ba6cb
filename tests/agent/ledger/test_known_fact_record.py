from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import Outcome
from keyrig.domain.known_facts import FactName, KnownFact
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.rules import Actor, built_in_rules, rules_with
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import finish_duty
from keyrig.run.outside_facts import learn, learn_status

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
METER = EntityIdentifier.parse("00db1234567890a0")
PPMID = EntityIdentifier.parse("00db1234567890a5")
ONE = EntityIdentifier.parse("90b3d51f30010000")
TWO = EntityIdentifier.parse("90b3d51f30030000")
N = FactName
ACTORS = tuple(Actor)
RUN = "1" * 32


def said(name: FactName, value: Any, *, now: datetime = NOON, **more: Any) -> KnownFact:
    return KnownFact(name=name, value=value, source="test", recorded_at=now, **more)


def meter(ledger: Ledger, **facts: Any) -> None:
    known = {N.DEVICE_TYPE: DeviceType.ESME, N.COMMISSIONED_AT: NOON, N.LEAD_SUPPLIER: ONE}
    known |= {FactName(name): value for name, value in facts.items()}
    learn(ledger, METER, [said(name, value) for name, value in known.items()], NOON)


def due(ledger: Ledger, now: datetime = NOON + HOUR, limit: int = 100) -> list[tuple[str, Any]]:
    return [
        (duty.requirement, duty.due_by - NOON if duty.due_by else None)
        for duty in ledger.open_duties.next_due(now, limit)
    ]


FIVE = [(name, 7 * DAY) for name in ("R37a", "R37b", "R37c", "R37d", "R37e")]


def test_history_is_added_to_and_survives(ledger: Ledger, path: Path) -> None:
    meter(ledger)
    learn(ledger, METER, [said(N.LEAD_SUPPLIER, TWO, now=NOON + HOUR)], NOON + HOUR)
    ledger.close()
    with Ledger(path) as again:
        history = again.device_facts.history(METER)
        assert [f.value for f in history if f.name is N.LEAD_SUPPLIER] == [ONE, TWO]
        assert history[0].source == "test"
        assert again.device_facts.devices() == (METER,)


def test_type_of_a_device_is_corrected_and_not_taken_back(ledger: Ledger) -> None:
    meter(ledger)
    with pytest.raises(LedgerRefused, match="nobody would say its type any more"):
        learn(ledger, METER, [said(N.DEVICE_TYPE, None, now=NOON + HOUR)], NOON + HOUR)
    assert due(ledger) == FIVE
    learn(ledger, METER, [said(N.DEVICE_TYPE, DeviceType.GSME, now=NOON + HOUR)], NOON + HOUR)
    assert "R37a" not in {name for name, _ in due(ledger)}


def test_device_of_unknown_type_is_remembered_and_owes_nothing_yet(ledger: Ledger) -> None:
    learn(ledger, METER, [said(N.COMMISSIONED_AT, NOON)], NOON)
    assert due(ledger) == []
    learn(ledger, METER, [said(N.DEVICE_TYPE, DeviceType.ESME)], NOON)
    assert due(ledger) == FIVE


def test_open_duties_follow_the_facts(ledger: Ledger) -> None:
    meter(ledger)
    assert due(ledger) == FIVE
    name = N.ORGANISATION_CERTIFICATE_REPLACED
    learn(ledger, METER, [said(name, value=True)], NOON)
    assert due(ledger) == [duty for duty in FIVE if duty[0] != "R37d"]
    learn(ledger, METER, [said(name, value=None)], NOON)
    assert due(ledger) == FIVE
    learn(ledger, METER, [said(N.REPLACED, value=True)], NOON)
    assert due(ledger) == []


def test_duty_that_is_done_leaves_and_one_that_failed_stays(ledger: Ledger) -> None:
    meter(ledger)
    ledger.runs.start_run(RUN, "bench", NOON)
    for name, outcome in (("R37b", Outcome.DONE), ("R37e", Outcome.FAILED)):
        attempt_id = ledger.runs.start_attempt(RUN, METER, name, NOON + HOUR)
        facts = ledger.open_duties.facts(METER, NOON + HOUR)
        finish_duty(
            ledger,
            attempt_id=attempt_id,
            outcome=outcome,
            detail="",
            evidence="exchange 1",
            rules=built_in_rules(),
            device=facts,
            now=NOON + 2 * HOUR,
        )
    assert [name for name, _ in due(ledger)] == ["R37a", "R37c", "R37d", "R37e"]


def test_duties_come_in_the_order_of_their_deadlines_over_all_devices(ledger: Ledger) -> None:
    meter(ledger)
    facts = [
        said(N.DEVICE_TYPE, DeviceType.PPMID),
        said(N.COMMISSIONED_AT, NOON - 10 * DAY),
    ]
    learn(ledger, PPMID, facts, NOON)
    assert due(ledger, limit=2) == [("R40", 4 * DAY), FIVE[0]]
    assert ledger.open_duties.count() == 6
    at = [ledger.open_duties.deadline_counts(NOON + days * DAY) for days in (0, 4, 5, 8)]
    assert [each.overdue for each in at] == [0, 0, 1, 6]
    assert [each.next_deadline for each in at] == [
        NOON + 4 * DAY, NOON + 4 * DAY, NOON + 7 * DAY, None,
    ]  # fmt: skip


def test_fact_that_comes_into_force_opens_and_closes_duties_in_its_time(ledger: Ledger) -> None:
    # The supplier that checked the Recovery cell loses the meter at noon of the next day.
    meter(ledger, recovery_checked_after_receipt_by=ONE)
    change = said(N.LEAD_SUPPLIER, TWO, at=NOON + DAY)
    learn(ledger, METER, [change], NOON)
    assert ("R37e", 7 * DAY) not in due(ledger, NOON + DAY - HOUR)
    assert ("R37e", 7 * DAY) in due(ledger, NOON + DAY)


def test_commissioning_that_is_yet_to_come_opens_the_duties_when_it_comes(
    ledger: Ledger,
) -> None:
    meter(ledger, commissioned_at=NOON + DAY)
    assert due(ledger, NOON + DAY - HOUR) == []
    assert len(due(ledger, NOON + DAY)) == 5


def test_rules_of_the_rig_that_has_the_device_decide(ledger: Ledger) -> None:
    learn(
        ledger, PPMID, [said(N.DEVICE_TYPE, DeviceType.PPMID), said(N.COMMISSIONED_AT, NOON)], NOON
    )
    assert due(ledger) == [("R40", 14 * DAY)]
    for choices, expected in (
        ({"other_type_1_deadline": 7}, 7 * DAY),
        ({"other_type_1_commissioning": "never"}, None),
    ):
        rules = rules_with(built_in_rules(), choices, "rig bench")
        ledger.open_duties.adopt(PPMID, rig_name="bench", rules=rules, actors=ACTORS, now=NOON)
        assert due(ledger) == [("R40", expected)]
    ledger.open_duties.adopt(
        PPMID, rig_name="bench", rules=built_in_rules(), actors=[Actor.DCC], now=NOON
    )
    assert due(ledger) == []


def test_decommissioning_elsewhere_ends_the_duties(ledger: Ledger) -> None:
    meter(ledger)
    assert learn_status(
        ledger, METER, SMIStatus.DECOMMISSIONED, at=NOON, source="Read Inventory", now=NOON + HOUR
    )
    assert due(ledger) == []
    assert not learn_status(
        ledger, METER, SMIStatus.DECOMMISSIONED, at=NOON, source="Read Inventory", now=NOON + HOUR
    )


def test_rule_set_that_was_not_kept_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefused, match="rule set 0000000000000000: there is no such rule set"):
        ledger.rule_sets.rules("0" * 64)
    digest = ledger.rule_sets.keep(built_in_rules(), NOON)
    assert ledger.rule_sets.rules(digest) == built_in_rules()
    assert ledger.rule_sets.keep(built_in_rules(), NOON + HOUR) == digest
