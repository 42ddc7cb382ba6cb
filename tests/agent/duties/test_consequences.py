from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.domain.device_facts import DeviceFacts, Outcome
from keyrig.domain.smi_status import SMIStatus, Standing, Suspension
from keyrig.duties.consequences import (
    Consequences,
    decide,
    lacking_for_done,
    replacement_permission,
)
from keyrig.duties.rules import Restoring, built_in_rules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULES = built_in_rules()
ELECTRICITY = EntityIdentifier.parse("90b3d51f30010000")
GAS = EntityIdentifier.parse("90b3d51f30020000")
COMMISSIONED = Standing(status=SMIStatus.COMMISSIONED, status_since=NOON)
BOTH_USAGES = {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT}


def device(name: str, **facts: Any) -> DeviceFacts:
    kind = next(t for t in DeviceType if t in RULES.requirement_by_id(name).device_types)
    kind = facts.pop("device_type", kind)
    facts.setdefault("responsible_suppliers", (ELECTRICITY, GAS))
    return DeviceFacts(
        entity_id=EntityIdentifier.parse("00db1234567890a0"),
        device_type=kind,
        commissioned_at=NOON,
        **facts,
    )


def after(
    name: str, outcome: Outcome, standing: Standing = COMMISSIONED, **facts: Any
) -> Consequences:
    requirement = RULES.requirement_by_id(name)
    return decide(RULES, requirement, device(name, **facts), outcome, standing, "no answer")


def suspended(
    clause: str, *failed: str, before: SMIStatus | None = SMIStatus.COMMISSIONED
) -> Standing:
    return Standing(
        status=SMIStatus.SUSPENDED,
        status_since=NOON,
        suspension=Suspension(
            clause=clause, held_before=before, since=NOON, failed_steps=frozenset(failed)
        ),
    )


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("R33a", "H5.34(a)"),
        ("R33b", "H5.34(a)"),
        ("R33c", "H5.34(a)"),
        ("R37c", "H5.38(a)"),
        ("R37d", "H5.38(a)"),
        ("R37e", "H5.38(a)"),
    ],
)
def test_failure_suspends_under_its_clause_and_keeps_the_status_before(
    name: str, clause: str
) -> None:
    followed = after(name, Outcome.FAILED)
    assert followed.suspend is not None
    assert (followed.suspend.clause, followed.suspend.held_before) == (
        clause,
        SMIStatus.COMMISSIONED,
    )
    assert followed.step_failed
    assert "no answer" in followed.suspend.reason
    assert not followed.flags


@pytest.mark.parametrize("name", ["R37a", "R37b", "R40"])
def test_trap_6_failures_without_a_stated_consequence_suspend_nothing(name: str) -> None:
    assert after(name, Outcome.FAILED) == Consequences()
    standing = suspended("H5.38(a)", "R37c")
    assert after(name, Outcome.FAILED, standing) == Consequences()
    assert after(name, Outcome.DONE, standing) == Consequences()


@pytest.mark.parametrize("name", ["R33a", "R37c", "R40"])
def test_interrupted_attempt_entails_nothing(name: str) -> None:
    assert after(name, Outcome.INTERRUPTED) == Consequences()


def test_trap_9_every_responsible_supplier_of_a_hub_is_told_once_and_of_a_meter_none() -> None:
    hub = after("R33a", Outcome.FAILED, responsible_suppliers=(ELECTRICITY, GAS, ELECTRICITY))
    assert [(n.to, n.clause, n.of_step, n.status) for n in hub.notices] == [
        (ELECTRICITY, "H5.35", "H5.34(a)", SMIStatus.SUSPENDED),
        (GAS, "H5.35", "H5.34(a)", SMIStatus.SUSPENDED),
    ]
    assert all(n.reason == "H5.33(a) (regenerate-keys) failed: no answer" for n in hub.notices)
    assert after("R37c", Outcome.FAILED).notices == ()
    assert after("R37c", Outcome.DONE, suspended("H5.38(a)", "R37c")).notices == ()


def test_hub_without_a_known_responsible_supplier_is_flagged() -> None:
    followed = after("R33a", Outcome.FAILED, responsible_suppliers=())
    assert followed.suspend is not None
    assert [f.name for f in followed.flags] == ["no-responsible-supplier"]


def test_trap_7_device_suspended_for_another_reason_is_flagged_and_not_guessed() -> None:
    followed = after("R33a", Outcome.FAILED, Standing(status=SMIStatus.SUSPENDED))
    assert followed.suspend is None
    assert not followed.step_failed
    assert not followed.notices
    assert [f.name for f in followed.flags] == ["suspended-for-another-reason"]
    later = after("R33a", Outcome.DONE, Standing(status=SMIStatus.SUSPENDED))
    assert later == Consequences()


def test_trap_7_status_restored_is_the_one_held_immediately_before() -> None:
    for before in set(SMIStatus) - {SMIStatus.SUSPENDED}:
        followed = after("R33a", Outcome.DONE, suspended("H5.34(a)", "R33a", before=before))
        assert followed.restore is not None
        assert followed.restore.to is before


def test_unknown_status_before_is_flagged_when_suspending_and_not_restored() -> None:
    failed = after("R33a", Outcome.FAILED, Standing())
    assert failed.suspend is not None
    assert failed.suspend.held_before is None
    assert [f.name for f in failed.flags] == ["status-before-unknown"]
    done = after("R33a", Outcome.DONE, suspended("H5.34(a)", "R33a", before=None))
    assert (done.restore, done.step_completed) == (None, True)
    assert [f.name for f in done.flags] == ["status-before-unknown"]


def test_trap_8_dcc_must_restore_and_for_the_lead_supplier_only_a_bar_is_lifted() -> None:
    of_dcc = after("R33a", Outcome.DONE, suspended("H5.34(a)", "R33a"))
    assert of_dcc.restore is not None
    assert (of_dcc.restore.clause, of_dcc.restore.restoring) == ("H5.34(c)", Restoring.MUST)
    assert [(n.to, n.of_step, n.status) for n in of_dcc.notices] == [
        (ELECTRICITY, "H5.34(c)", SMIStatus.COMMISSIONED),
        (GAS, "H5.34(c)", SMIStatus.COMMISSIONED),
    ]
    of_supplier = after("R37c", Outcome.DONE, suspended("H5.38(a)", "R37c"))
    assert of_supplier.restore is not None
    assert (of_supplier.restore.clause, of_supplier.restore.restoring) == (
        "H5.38(c)",
        Restoring.BAR_LIFTED,
    )


def test_status_is_restored_only_when_every_failed_step_is_complete() -> None:
    standing = suspended("H5.34(a)", "R33a", "R33c")
    first = after("R33a", Outcome.DONE, standing)
    assert (first.step_completed, first.restore, first.notices) == (True, None, ())
    assert after("R33c", Outcome.DONE, suspended("H5.34(a)", "R33c")).restore is not None


def test_step_that_had_not_failed_restores_nothing_by_being_done() -> None:
    assert after("R33b", Outcome.DONE, suspended("H5.34(a)", "R33a")) == Consequences()


def test_second_failed_step_joins_the_suspension_without_a_second_notice() -> None:
    followed = after("R33b", Outcome.FAILED, suspended("H5.34(a)", "R33a"))
    assert followed == Consequences(step_failed=True)
    again = after("R33a", Outcome.FAILED, suspended("H5.34(a)", "R33a"))
    assert again == Consequences()


@pytest.mark.parametrize("fact", ["replaced", "decommissioned"])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_trap_10_nothing_follows_on_a_replaced_device(fact: str, outcome: Outcome) -> None:
    for name in ("R33a", "R37c"):
        assert after(name, outcome, COMMISSIONED, **{fact: True}) == Consequences()
        clause = "H5.34(a)" if name == "R33a" else "H5.38(a)"
        assert after(name, outcome, suspended(clause, name), **{fact: True}) == Consequences()


def test_decommissioned_status_is_not_changed_by_a_failure() -> None:
    standing = Standing(status=SMIStatus.DECOMMISSIONED)
    assert after("R33a", Outcome.FAILED, standing) == Consequences()


def test_trap_11_hub_may_be_replaced_only_while_suspended_under_the_rules_own_clause() -> None:
    def clause(kind: DeviceType, standing: Standing) -> str | None:
        permission = replacement_permission(RULES, kind, standing)
        return permission.clause if permission else None

    assert clause(DeviceType.CHF, suspended("H5.34(a)", "R33a")) == "H5.36"
    assert clause(DeviceType.GPF, suspended("H5.38(a)", "R37c")) == "H5.39"
    assert clause(DeviceType.ESME, suspended("H5.38(a)", "R37c")) is None
    assert clause(DeviceType.CHF, Standing(status=SMIStatus.SUSPENDED)) is None
    assert clause(DeviceType.CHF, suspended("product list")) is None
    assert clause(DeviceType.CHF, COMMISSIONED) is None


def test_trap_12_suspension_does_not_end_the_attempts() -> None:
    # H5.34(b) and H5.38(b): a failure while suspended keeps the step among those to be done.
    standing = suspended("H5.38(a)", "R37c", "R37e")
    assert after("R37c", Outcome.FAILED, standing) == Consequences()
    assert after("R37c", Outcome.DONE, standing).step_completed


def test_trap_1_done_needs_evidence_and_for_a_supplier_of_the_request_too() -> None:
    ensured = lacking_for_done(RULES.requirement_by_id("R33c"), "", BOTH_USAGES)
    assert ensured == "there is no evidence of its outcome"
    requested = lacking_for_done(RULES.requirement_by_id("R37e"), "", BOTH_USAGES)
    assert requested == "there is no evidence of the request sent and of its outcome"
    assert lacking_for_done(RULES.requirement_by_id("R37e"), "exchange 1", ()) is None


@pytest.mark.parametrize("name", ["R33a", "R37c"])
def test_trap_2_keys_are_done_when_both_usages_are_stored_and_read_back(name: str) -> None:
    requirement = RULES.requirement_by_id(name)
    assert lacking_for_done(requirement, "x", BOTH_USAGES) is None
    for usage in BOTH_USAGES:
        (other,) = BOTH_USAGES - {usage}
        lacking = lacking_for_done(requirement, "x", {usage})
        assert lacking is not None
        assert other.gbcs_name in lacking
        assert usage.gbcs_name not in lacking


def test_suspension_under_a_clause_that_the_rules_lack_is_flagged() -> None:
    done = after("R33a", Outcome.DONE, suspended("H9.1", "R33a"))
    assert (done.restore, done.step_completed) == (None, True)
    assert [f.name for f in done.flags] == ["suspending-clause-unknown"]


def test_device_that_is_no_longer_suspended_is_flagged_and_left_as_it_is() -> None:
    standing = Standing(
        status=SMIStatus.RECOVERY, suspension=suspended("H5.34(a)", "R33a").suspension
    )
    done = after("R33a", Outcome.DONE, standing)
    assert (done.restore, [f.name for f in done.flags]) == (None, ["no-longer-suspended"])
