from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import DeviceFacts, Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.plan import DutyState, plan
from keyrig.duties.rules import Actor, built_in_rules
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import finish_duty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyrig.duties.consequences import Consequences

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = built_in_rules()
ELECTRICITY = EntityIdentifier.parse("90b3d51f30010000")
GAS = EntityIdentifier.parse("90b3d51f30020000")
HUB = DeviceFacts(
    entity_id=EntityIdentifier.parse("00db1234567890a2"),
    device_type=DeviceType.CHF,
    commissioned_at=NOON,
    responsible_suppliers=(ELECTRICITY, GAS),
)
METER = DeviceFacts(
    entity_id=EntityIdentifier.parse("00db1234567890a0"),
    device_type=DeviceType.ESME,
    commissioned_at=NOON,
    responsible_suppliers=(ELECTRICITY,),
)
RUN = "1" * 32


def begin(ledger: Ledger, *, status: SMIStatus | None = SMIStatus.COMMISSIONED) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    for device in (HUB, METER):
        if status is not None:
            ledger.smi_statuses.record(
                device.entity_id, status, at=NOON, cause="inventory", now=NOON
            )


def confirm_keys(ledger: Ledger, device: DeviceFacts, *usages: KeyUsage) -> None:
    for usage in usages:
        change = ledger.key_changes.request(device.entity_id, usage, RUN, NOON)
        ledger.key_changes.csr_received(change.id, b"csr", NOON)
        ledger.key_changes.certificate_issued(change.id, b"new", NOON)
        ledger.key_changes.storing(change.id, NOON)
        ledger.key_changes.confirmed(change.id, NOON)


def attempt(
    ledger: Ledger,
    device: DeviceFacts,
    name: str,
    outcome: Outcome,
    *,
    now: datetime = NOON + HOUR,
    evidence: str = "exchange 1",
) -> Consequences:
    attempt_id = ledger.runs.start_attempt(RUN, device.entity_id, name, now)
    return finish_duty(
        ledger,
        attempt_id=attempt_id,
        outcome=outcome,
        detail="" if outcome is Outcome.DONE else "no answer",
        evidence=evidence,
        rules=RULES,
        device=device,
        now=now,
    )


def states(ledger: Ledger, device: DeviceFacts) -> dict[str, DutyState]:
    facts = ledger.facts.ledger_facts([device.entity_id])
    made = plan(RULES, [device], facts, NOON + 2 * HOUR, set(Actor))
    return {duty.requirement: duty.state for duty in made.duties}


def events(ledger: Ledger) -> Counter[EventType]:
    return Counter(event.type for event in ledger.outbox.all())


def test_failed_step_of_a_hub_suspends_it_and_tells_each_responsible_supplier(
    ledger: Ledger,
) -> None:
    begin(ledger)
    before = events(ledger)
    attempt(ledger, HUB, "R33c", Outcome.FAILED)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.SUSPENDED
    assert ledger.smi_statuses.history(HUB.entity_id)[-1].clause == "H5.34(a)"
    assert events(ledger) - before == Counter(
        {EventType.DUTY_OUTCOME: 1, EventType.SMI_STATUS_CHANGED: 1, EventType.NOTICE: 2}
    )
    notices = [e.body for e in ledger.outbox.all(HUB.entity_id) if e.type is EventType.NOTICE]
    assert [(n["to"], n["clause"], n["of_step"], n["status"]) for n in notices] == [
        (ELECTRICITY.stem, "H5.35", "H5.34(a)", "Suspended"),
        (GAS.stem, "H5.35", "H5.34(a)", "Suspended"),
    ]
    assert all("no answer" in notice["reason"] for notice in notices)
    assert states(ledger, HUB)["R33c"] is DutyState.FAILED


def test_status_comes_back_when_the_last_failed_step_is_done(ledger: Ledger) -> None:
    begin(ledger, status=SMIStatus.RECOVERED)
    attempt(ledger, HUB, "R33b", Outcome.FAILED)
    attempt(ledger, HUB, "R33c", Outcome.FAILED)
    attempt(ledger, HUB, "R33b", Outcome.DONE, now=NOON + 2 * HOUR)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.SUSPENDED
    attempt(ledger, HUB, "R33c", Outcome.DONE, now=NOON + 3 * HOUR)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.RECOVERED
    notices = [e.body for e in ledger.outbox.all(HUB.entity_id) if e.type is EventType.NOTICE]
    assert [(n["to"], n["of_step"]) for n in notices] == [
        (ELECTRICITY.stem, "H5.34(a)"),
        (GAS.stem, "H5.34(a)"),
        (ELECTRICITY.stem, "H5.34(c)"),
        (GAS.stem, "H5.34(c)"),
    ]


def test_meter_is_suspended_and_restored_without_any_notice(ledger: Ledger) -> None:
    begin(ledger)
    attempt(ledger, METER, "R37e", Outcome.FAILED)
    assert ledger.smi_statuses.current(METER.entity_id) is SMIStatus.SUSPENDED
    attempt(ledger, METER, "R37e", Outcome.DONE)
    assert ledger.smi_statuses.current(METER.entity_id) is SMIStatus.COMMISSIONED
    assert ledger.smi_statuses.history(METER.entity_id)[-1].clause == "H5.38(c)"
    assert events(ledger)[EventType.NOTICE] == 0


def test_failure_without_a_stated_consequence_is_told_and_no_more(ledger: Ledger) -> None:
    begin(ledger)
    attempt(ledger, METER, "R37b", Outcome.FAILED)
    assert ledger.smi_statuses.current(METER.entity_id) is SMIStatus.COMMISSIONED
    assert events(ledger)[EventType.DUTY_OUTCOME] == 1
    assert states(ledger, METER)["R37b"] is DutyState.FAILED


def test_trap_2_keys_are_not_done_while_one_certificate_is_not_read_back(ledger: Ledger) -> None:
    begin(ledger)
    confirm_keys(ledger, METER, KeyUsage.DIGITAL_SIGNATURE)
    change = ledger.key_changes.request(METER.entity_id, KeyUsage.KEY_AGREEMENT, RUN, NOON)
    ledger.key_changes.csr_received(change.id, b"csr", NOON)
    with pytest.raises(LedgerRefused, match="keyAgreement"):
        attempt(ledger, METER, "R37c", Outcome.DONE)
    assert states(ledger, METER)["R37c"] is DutyState.DUE
    assert events(ledger)[EventType.DUTY_OUTCOME] == 0
    ledger.key_changes.certificate_issued(change.id, b"new", NOON)
    ledger.key_changes.storing(change.id, NOON)
    ledger.key_changes.confirmed(change.id, NOON)
    attempt(ledger, METER, "R37c", Outcome.DONE)
    assert states(ledger, METER)["R37c"] is DutyState.DONE


def test_trap_2_keys_stored_before_commissioning_do_not_count(ledger: Ledger) -> None:
    begin(ledger)
    confirm_keys(ledger, METER, KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
    later = replace(METER, commissioned_at=NOON + timedelta(minutes=1))
    with pytest.raises(LedgerRefused, match=r"digitalSignature and keyAgreement"):
        attempt(ledger, later, "R37c", Outcome.DONE)


def test_trap_1_done_without_evidence_is_refused(ledger: Ledger) -> None:
    begin(ledger)
    with pytest.raises(LedgerRefused, match="no evidence of the request sent"):
        attempt(ledger, METER, "R37d", Outcome.DONE, evidence="")
    assert ledger.runs.attempts(RUN)[0].outcome is None


def test_trap_7_other_suspension_is_flagged_once_however_often_it_is_tried(
    ledger: Ledger,
) -> None:
    begin(ledger, status=SMIStatus.SUSPENDED)
    for hours in (1, 2, 3):
        attempt(ledger, HUB, "R33a", Outcome.FAILED, now=NOON + hours * HOUR)
    flags = [e.body["flag"] for e in ledger.outbox.all() if e.type is EventType.FLAG]
    assert flags == ["suspended-for-another-reason"]
    assert len(ledger.smi_statuses.history(HUB.entity_id)) == 1
    attempt(ledger, HUB, "R33b", Outcome.DONE)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.SUSPENDED


def test_trap_10_replaced_hub_is_neither_suspended_nor_restored(ledger: Ledger) -> None:
    begin(ledger)
    replaced = replace(HUB, replaced=True)
    attempt(ledger, replaced, "R33b", Outcome.FAILED)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.COMMISSIONED
    attempt(ledger, HUB, "R33b", Outcome.FAILED)
    attempt(ledger, replaced, "R33b", Outcome.DONE)
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.SUSPENDED


def test_trap_12_suspended_device_stays_among_those_to_do(ledger: Ledger) -> None:
    begin(ledger)
    attempt(ledger, METER, "R37d", Outcome.FAILED)
    facts = ledger.facts.ledger_facts([METER.entity_id])
    made = plan(RULES, [METER], facts, NOON + 2 * HOUR, {Actor.LEAD_SUPPLIER})
    assert "R37d" in [duty.requirement for duty in made.to_do()]


def test_outcome_for_another_device_or_an_unknown_requirement_is_refused(ledger: Ledger) -> None:
    begin(ledger)
    for device, name, told in ((METER, "R33a", "was made on"), (HUB, "R99", "no requirement")):
        attempt_id = ledger.runs.start_attempt(RUN, HUB.entity_id, name, NOON)
        with pytest.raises(LedgerRefused, match=told):
            finish_duty(
                ledger,
                attempt_id=attempt_id,
                outcome=Outcome.FAILED,
                detail="",
                evidence="",
                rules=RULES,
                device=device,
                now=NOON,
            )
    assert ledger.smi_statuses.current(HUB.entity_id) is SMIStatus.COMMISSIONED


def test_outcome_is_counted_once(ledger: Ledger) -> None:
    begin(ledger)
    attempt(ledger, HUB, "R33b", Outcome.FAILED)
    before = ledger.outbox.all()
    with pytest.raises(LedgerRefused, match="not under way"):
        finish_duty(
            ledger,
            attempt_id=1,
            outcome=Outcome.DONE,
            detail="",
            evidence="x",
            rules=RULES,
            device=HUB,
            now=NOON + HOUR,
        )
    assert ledger.outbox.all() == before


NAMES = ["R33a", "R33b", "R33c"]
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(Outcome)),
    st.tuples(st.just("status"), st.sampled_from(SMIStatus)),
)


@pytest.mark.sweep
@settings(max_examples=40, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=12))
def test_any_sequence_of_outcomes_restores_exactly_the_status_before(
    quick: Path, actions: list[tuple[str, Outcome | SMIStatus]]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=quick))
    with Ledger(folder / "ledger.db") as ledger:
        begin(ledger)
        confirm_keys(ledger, HUB, KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
        held, failed, ours = SMIStatus.COMMISSIONED, set[str](), False
        for number, (name, what) in enumerate(actions, 1):
            now = NOON + number * HOUR
            if isinstance(what, SMIStatus):
                ledger.smi_statuses.record(HUB.entity_id, what, at=now, cause="inventory", now=now)
                if not (ours and what is SMIStatus.SUSPENDED):
                    held, failed, ours = what, set(), False
            else:
                attempt(ledger, HUB, name, what, now=now)
                if what is Outcome.FAILED and (ours or held not in FINAL):
                    failed, ours = failed | {name}, True
                elif what is Outcome.DONE and ours:
                    failed = failed - {name}
                    ours = bool(failed)
            standing = ledger.smi_statuses.standing(HUB.entity_id)
            assert standing.status is (SMIStatus.SUSPENDED if ours else held)
            assert (standing.suspension is not None) == ours
            if standing.suspension is not None:
                assert standing.suspension.held_before is held
                assert standing.suspension.failed_steps == failed
        told = [
            e.body["status"]
            for e in ledger.outbox.all(HUB.entity_id)
            if e.type.value == CHANGED and not is_confirmation(e.body)
        ]
        assert told == [entry.status.value for entry in ledger.smi_statuses.history(HUB.entity_id)]
        steps = Counter(
            e.body["of_step"] for e in ledger.outbox.all() if e.type is EventType.NOTICE
        )
        clauses = Counter(entry.clause for entry in ledger.smi_statuses.history(HUB.entity_id))
        assert steps == Counter({c: 2 * n for c, n in clauses.items() if c})


def is_confirmation(body: Mapping[str, Any]) -> bool:
    return (body["instruction"] or {}).get("state") == "confirmed"


FINAL = {SMIStatus.SUSPENDED, SMIStatus.DECOMMISSIONED}
CHANGED = EventType.SMI_STATUS_CHANGED.value
