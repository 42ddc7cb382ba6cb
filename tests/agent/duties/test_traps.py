"""The twelve traps of H5.33 to H5.40, each by name, through the planner and a real ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.base.errors import LedgerRefused
from keyrig.domain.device_facts import DCC, DeviceFacts, Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.consequences import replacement_permission
from keyrig.duties.plan import Duty, DutyState, plan
from keyrig.duties.rules import Actor, built_in_rules
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import finish_duty
from keyrig.run.outside_facts import learn_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyrig.duties.consequences import Consequences

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = built_in_rules()
ELECTRICITY = EntityIdentifier.parse("90b3d51f30010000")
GAS = EntityIdentifier.parse("90b3d51f30030000")
NETWORK = EntityIdentifier.parse("90b3d51f30020000")
BOTH = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
RUN = "1" * 32


def device(device_type: DeviceType, **facts: Any) -> DeviceFacts:
    known: dict[str, Any] = {
        "commissioned_at": NOON,
        "lead_supplier": ELECTRICITY,
        "responsible_suppliers": (ELECTRICITY, GAS),
        "network_operator": NETWORK,
    }
    stem = f"00db1234567890{list(DeviceType).index(device_type):02x}"
    return DeviceFacts(
        entity_id=EntityIdentifier.parse(stem), device_type=device_type, **known | facts
    )


class Home:
    """Devices with a ledger, on which attempts are made an hour apart."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.now = NOON
        self.ledger.runs.start_run(RUN, "bench", NOON)

    def hold(self, device: DeviceFacts, status: SMIStatus, cause: str = "inventory") -> None:
        learn_status(self.ledger, device.entity_id, status, at=self.now, source=cause, now=self.now)

    def attempt(
        self, device: DeviceFacts, name: str, outcome: Outcome, evidence: str = "exchange 1"
    ) -> Consequences:
        if self.ledger.smi_statuses.current(device.entity_id) is None:
            self.hold(device, SMIStatus.COMMISSIONED)
        self.now += HOUR
        attempt_id = self.ledger.runs.start_attempt(RUN, device.entity_id, name, self.now)
        self.now += HOUR
        return finish_duty(
            self.ledger,
            attempt_id=attempt_id,
            outcome=outcome,
            detail="it says so",
            evidence=evidence,
            rules=RULES,
            device=device,
            now=self.now,
        )

    def confirm_keys(self, device: DeviceFacts, *usages: KeyUsage) -> None:
        changes = self.ledger.key_changes
        for usage in usages:
            change = changes.request(device.entity_id, usage, RUN, self.now)
            changes.csr_received(change.id, b"csr", self.now)
            changes.certificate_issued(change.id, b"new", self.now)
            changes.storing(change.id, self.now)
            changes.confirmed(change.id, self.now)

    def duty(self, device: DeviceFacts, name: str) -> Duty:
        made = plan(
            RULES,
            [device],
            self.ledger.facts.ledger_facts([device.entity_id]),
            self.now,
            frozenset(Actor),
        )
        return next(duty for duty in made.duties if duty.requirement == name)

    def status(self, device: DeviceFacts) -> SMIStatus | None:
        return self.ledger.smi_statuses.current(device.entity_id)

    def told(self, kind: EventType) -> list[dict[str, Any]]:
        return [dict(event.body) for event in self.ledger.outbox.all() if event.type is kind]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "ledger.db")
    with home.ledger:
        yield home


HUB = device(DeviceType.CHF)
METER = device(DeviceType.ESME)
PROXY = device(DeviceType.GPF, lead_supplier=GAS, responsible_suppliers=(GAS,))
PPMID = device(DeviceType.PPMID)


@pytest.mark.parametrize(
    ("of", "name", "lacking"), [(HUB, "R33c", "of its outcome"), (METER, "R37e", "request sent")]
)
def test_1_no_duty_is_done_without_evidence_and_a_suppliers_includes_the_request(
    home: Home, of: DeviceFacts, name: str, lacking: str
) -> None:
    with pytest.raises(LedgerRefused, match=lacking):
        home.attempt(of, name, Outcome.DONE, evidence="")
    assert home.duty(of, name).state is not DutyState.DONE
    assert home.told(EventType.DUTY_OUTCOME) == []


@pytest.mark.parametrize("stored", [(), BOTH[:1], BOTH[1:]])
def test_2_key_re_generated_without_both_certificates_stored_is_not_done(
    home: Home, stored: tuple[KeyUsage, ...]
) -> None:
    home.confirm_keys(METER, *stored)
    with pytest.raises(LedgerRefused, match="no re-generated key is confirmed as stored"):
        home.attempt(METER, "R37c", Outcome.DONE)
    home.confirm_keys(METER, *(usage for usage in BOTH if usage not in stored))
    home.attempt(METER, "R37c", Outcome.DONE)
    assert home.duty(METER, "R37c").state is DutyState.DONE


def test_3_replaced_is_an_executed_command_and_not_a_difference(home: Home) -> None:
    # The cells are the same before and after; what counts is the attempt with its evidence.
    home.attempt(METER, "R37d", Outcome.DONE, evidence="exchange 7: CS02b executed, same one")
    assert home.duty(METER, "R37d").state is DutyState.DONE


@pytest.mark.parametrize(("of", "name"), [(HUB, "R33b"), (METER, "R37d")])
def test_4_only_a_command_of_the_dcc_executed_during_commissioning_exempts(
    home: Home, of: DeviceFacts, name: str
) -> None:
    assert home.duty(of, name).state is DutyState.DUE
    by_dcc = replace(of, organisation_certificate_replaced_by_dcc_during_commissioning=True)
    assert home.duty(by_dcc, name).state is DutyState.EXEMPT
    # A replacement that the rig made before Commissioning is neither of these.
    home.attempt(of, name, Outcome.DONE)
    later = replace(of, commissioned_at=home.now + HOUR)
    home.now += 2 * HOUR
    assert home.duty(later, name).state is DutyState.DUE


def test_5_an_earlier_check_exempts_only_the_party_that_made_it(home: Home) -> None:
    for checker, hub, meter in (
        (DCC, DutyState.EXEMPT, DutyState.DUE),
        (ELECTRICITY, DutyState.DUE, DutyState.EXEMPT),
        (GAS, DutyState.DUE, DutyState.DUE),
    ):
        checked: dict[str, Any] = {"recovery_checked_after_receipt_by": checker}
        assert home.duty(replace(HUB, **checked), "R33c").state is hub
        assert home.duty(replace(METER, **checked), "R37e").state is meter
    gained = replace(METER, recovery_checked_after_receipt_by=ELECTRICITY, lead_supplier=GAS)
    assert home.duty(gained, "R37e").state is DutyState.DUE


@pytest.mark.parametrize(
    ("of", "name"), [(METER, "R37a"), (METER, "R37b"), (PROXY, "R37a"), (PPMID, "R40")]
)
def test_6_network_and_supplier_credentials_fail_without_suspension(
    home: Home, of: DeviceFacts, name: str
) -> None:
    home.attempt(of, name, Outcome.FAILED)
    assert home.status(of) is SMIStatus.COMMISSIONED
    assert home.duty(of, name).state is DutyState.FAILED
    assert home.told(EventType.NOTICE) == home.told(EventType.FLAG) == []


@pytest.mark.parametrize(
    "before", [SMIStatus.COMMISSIONED, SMIStatus.RECOVERED, SMIStatus.INSTALLED_NOT_COMMISSIONED]
)
def test_7_exactly_the_status_held_immediately_before_comes_back(
    home: Home, before: SMIStatus
) -> None:
    home.hold(HUB, SMIStatus.PENDING)
    home.now += HOUR
    home.hold(HUB, before)
    home.attempt(HUB, "R33c", Outcome.FAILED)
    assert home.status(HUB) is SMIStatus.SUSPENDED
    home.attempt(HUB, "R33c", Outcome.DONE)
    assert home.status(HUB) is before


def test_7_a_hub_suspended_for_another_reason_is_flagged_and_nothing_is_guessed(
    home: Home,
) -> None:
    home.hold(HUB, SMIStatus.SUSPENDED, cause="taken off the product list")
    home.attempt(HUB, "R33c", Outcome.FAILED)
    assert [flag["flag"] for flag in home.told(EventType.FLAG)] == ["suspended-for-another-reason"]
    home.attempt(HUB, "R33c", Outcome.DONE)
    assert home.status(HUB) is SMIStatus.SUSPENDED
    assert home.told(EventType.NOTICE) == []


def test_8_the_dcc_must_restore_and_the_supplier_is_only_barred(home: Home) -> None:
    for of, name, clause, restoring in (
        (HUB, "R33c", "H5.34(c)", "must"),
        (METER, "R37e", "H5.38(c)", "bar-lifted"),
    ):
        home.attempt(of, name, Outcome.FAILED)
        restore = home.attempt(of, name, Outcome.DONE).restore
        assert restore is not None
        assert (restore.clause, restore.restoring.value) == (clause, restoring)


@pytest.mark.parametrize(
    ("of", "name", "clause"), [(HUB, "R33c", "H5.34(a)"), (METER, "R37e", "H5.38(a)")]
)
def test_8_any_other_change_while_suspended_is_flagged_for_a_person(
    home: Home, of: DeviceFacts, name: str, clause: str
) -> None:
    home.attempt(of, name, Outcome.FAILED)
    home.now += HOUR
    home.hold(of, SMIStatus.COMMISSIONED, cause="Read Inventory")
    flags = home.told(EventType.FLAG)
    assert [flag["flag"] for flag in flags] == ["barred-status-change"]
    assert clause in flags[0]["reason"]
    assert "Read Inventory" in flags[0]["reason"]


def test_8_decommissioning_is_not_barred_and_ends_the_duties(home: Home) -> None:
    home.attempt(HUB, "R33c", Outcome.FAILED)
    home.now += HOUR
    home.hold(HUB, SMIStatus.DECOMMISSIONED)
    assert home.told(EventType.FLAG) == []
    assert home.ledger.smi_statuses.standing(HUB.entity_id).suspension is None
    last = home.ledger.device_facts.history(HUB.entity_id)[-1]
    assert (last.name.value, last.value) == ("decommissioned", True)


def test_9_every_responsible_supplier_of_the_hub_is_told_and_nobody_of_a_meter(
    home: Home,
) -> None:
    home.attempt(HUB, "R33c", Outcome.FAILED)
    home.attempt(HUB, "R33c", Outcome.DONE)
    told = [(n["to"], n["clause"], n["of_step"]) for n in home.told(EventType.NOTICE)]
    assert told == [
        (ELECTRICITY.stem, "H5.35", "H5.34(a)"),
        (GAS.stem, "H5.35", "H5.34(a)"),
        (ELECTRICITY.stem, "H5.35", "H5.34(c)"),
        (GAS.stem, "H5.35", "H5.34(c)"),
    ]
    for of in (METER, PROXY):
        home.attempt(of, "R37e", Outcome.FAILED)
    assert len(home.told(EventType.NOTICE)) == len(told)


@pytest.mark.parametrize("gone", ["replaced", "decommissioned"])
def test_10_what_is_replaced_or_decommissioned_is_neither_suspended_nor_owed(
    home: Home, gone: str
) -> None:
    facts: dict[str, Any] = {gone: True}
    for of, name in ((HUB, "R33a"), (METER, "R37c")):
        ended = replace(of, **facts)
        home.attempt(ended, name, Outcome.FAILED)
        assert home.status(of) is SMIStatus.COMMISSIONED
        assert home.duty(ended, name).state is DutyState.VOID


@pytest.mark.parametrize(
    ("of", "name", "clause"), [(HUB, "R33c", "H5.36"), (PROXY, "R37e", "H5.39")]
)
def test_11_the_hub_may_be_replaced_only_while_suspended_under_the_clause(
    home: Home, of: DeviceFacts, name: str, clause: str
) -> None:
    statuses = home.ledger.smi_statuses
    home.hold(of, SMIStatus.SUSPENDED, cause="taken off the product list")
    assert replacement_permission(RULES, of.device_type, statuses.standing(of.entity_id)) is None
    home.now += HOUR
    home.hold(of, SMIStatus.COMMISSIONED)
    home.attempt(of, name, Outcome.FAILED)
    permission = replacement_permission(RULES, of.device_type, statuses.standing(of.entity_id))
    assert permission is not None
    assert (permission.clause, permission.reason) == (clause, "F9.5(f)")
    suspended = [e for e in home.told(EventType.SMI_STATUS_CHANGED) if "permission" in e]
    assert [e["permission"] for e in suspended] == [{"clause": clause, "reason": "F9.5(f)"}]
    home.attempt(of, name, Outcome.DONE)
    assert replacement_permission(RULES, of.device_type, statuses.standing(of.entity_id)) is None


def test_11_a_suspended_meter_gives_no_leave_to_replace_the_hub(home: Home) -> None:
    home.attempt(METER, "R37e", Outcome.FAILED)
    standing = home.ledger.smi_statuses.standing(METER.entity_id)
    assert replacement_permission(RULES, DeviceType.ESME, standing) is None


@pytest.mark.parametrize(("of", "name"), [(HUB, "R33c"), (METER, "R37e")])
def test_12_a_suspended_device_is_still_tried(home: Home, of: DeviceFacts, name: str) -> None:
    for attempts in (1, 2, 3):
        home.attempt(of, name, Outcome.FAILED)
        duty = home.duty(of, name)
        assert (duty.state, duty.attempts) == (DutyState.FAILED, attempts)
    suspended = [e for e in home.told(EventType.SMI_STATUS_CHANGED) if e["status"] == "Suspended"]
    assert len(suspended) == 1
