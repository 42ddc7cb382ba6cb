"""What due duties need: said before a run, held back by it, and never missed on the way."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives import serialization

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import RemotePartyRole
from homes.virtual_home import NEXT_RUN_AT, RUN_AT, Home, carry_out
from keyrig.base import events
from keyrig.base.errors import RecoveryUntrusted
from keyrig.config.places import places_of
from keyrig.config.rig_file import emulated_home_text, load_rig, parse_rig
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import EventType
from keyrig.duties.rules import rules_with
from keyrig.keys.certificate_authority import NoAuthority
from keyrig.keys.folder_store import read_certificate
from keyrig.keys.lab_pki import initialise
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.run.doctor import Health, examine
from keyrig.run.outlook import outlook_of
from keyrig.run.preflight import Footing, NeedRule, Preflight
from keyrig.run.rig_organisations import preflight_of
from keyrig.session.steps.regenerate_keys import KEY_USAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from keyrig.run.bench import Bench
    from keyrig.run.doctor import Finding
    from keyrig.run.preflight import Need

METER, GAS_METER, HUB, PROXY, SWITCH = (
    EntityIdentifier.parse(f"00db1234567890a{digit}") for digit in "01234"
)
BROKER, RECOVERY, TRANSITIONAL_COS = "90b3d51f30000002", "90b3d51f30000001", "90b3d51f30000004"
SUPPLIER, NETWORK = "90b3d51f30010000", "90b3d51f30020000"
OTHER_SUPPLIER = EntityIdentifier.parse("90b3d51f30010008")
COUNTERS = "SELECT originator, counter FROM originator_counters ORDER BY originator"


class RunTold(Observed):
    """Sorts what a run tells by its duties."""

    @property
    def held_back(self) -> dict[str, events.DutyNotBegun]:
        return {event.duty: event for event in self.of(events.DutyNotBegun)}

    @property
    def begun(self) -> set[str]:
        return {event.duty for event in self.of(events.DutyStarted)}

    @property
    def ended(self) -> dict[str, str]:
        return {event.duty: event.outcome for event in self.of(events.DutyFinished)}

    @property
    def done(self) -> set[str]:
        return {duty for duty, outcome in self.ended.items() if outcome == "done"}

    def requirements(self, device: EntityIdentifier = METER) -> set[str]:
        return {each.partition("/")[2] for each in self.held_back if device.stem in each}


@pytest.fixture(name="home")
def fixture_home(virtual_home: Home) -> Home:
    return virtual_home


def run_of(
    home: Home, *only: EntityIdentifier, start: datetime = RUN_AT, **options: Any
) -> tuple[RunResult, RunTold]:
    told = RunTold()
    number = 0 if start == RUN_AT else 1
    result = carry_out(home, number=number, start=start, only=only, observe=told, **options)
    return result, told


def doctor(home: Home, *only: EntityIdentifier, at: datetime = RUN_AT) -> list[Finding]:
    with mock.patch.dict(os.environ, KEYRIG_HOME=str(home.agent)):
        found = list(examine(places_of(load_rig(None)), at, only=only))
    return [each for each in found if each.what == "needs"]


def named(found: list[Finding], *healths: Health) -> set[str]:
    return {duty for each in found if each.health in healths for duty in each.duties}


def needs_of(
    home: Home, text: str, at: datetime = RUN_AT, *, cells_are_read: bool = False
) -> list[Need]:
    """Return what the due duties of a rig file need, with the ledger of `home` if it has one."""
    with mock.patch.dict(os.environ, KEYRIG_HOME=str(home.agent)):
        places = places_of(parse_rig(text, "rig.toml"))
        outlook = outlook_of(places, now=at)
        store = open_rig_keystore(places.data_folder, places.rig.pki)
        ledger = Ledger(places.ledger, create=False) if places.ledger.exists() else None
        try:
            preflight = preflight_of(places, store, ledger)
            facts = [record.facts for record in outlook.records.values()]
            duties = outlook.plan.to_do()
            return list(preflight.needs(duties, facts, at, cells_are_read=cells_are_read))
        finally:
            if ledger is not None:
                ledger.close()


def pki(home: Home, name: str) -> Path:
    return home.agent / "pki" / name


def remove(home: Home, stem: str, *suffixes: str) -> None:
    for suffix in suffixes:
        pki(home, stem + suffix).unlink()


BOTH = (".pem", ".key")
FOLLOWING = {EventType.NOTICE, EventType.FLAG}
NO_AUTHORITY = emulated_home_text().replace(
    'by = "test"', 'by = "command"\ncommand = ["/nonexistent/certify"]'
)
MISSING = [
    (f"{BROKER}-ka", BOTH[1:], {"R37a", "R37b", "R37c", "R37d", "R37e"}),
    (f"{BROKER}-ds", BOTH, {"R37a", "R37b", "R37c", "R37d"}),
    (f"{RECOVERY}-ds", BOTH, {"R37e"}),
    (f"{TRANSITIONAL_COS}-ds", BOTH, set()),
    (f"{SUPPLIER}-ds", BOTH[1:], {"R37c", "R37d"}),
    (f"{SUPPLIER}-ds", BOTH, {"R37b", "R37c", "R37d"}),
    (f"{SUPPLIER}-ka", BOTH[:1], {"R37b", "R37c", "R37d"}),
    (f"{SUPPLIER}-ka", BOTH[1:], set()),
    (f"{SUPPLIER}-pp-ka", BOTH, {"R37b", "R37c", "R37d"}),
    (f"{NETWORK}-ds", BOTH, {"R37a"}),
    (f"{NETWORK}-ka", BOTH[:1], {"R37a"}),
    ("root", BOTH, {"R37c", "R37e"}),
]


@pytest.mark.parametrize(("stem", "suffixes", "held_back"), MISSING)
def test_what_the_key_store_lacks_holds_back_what_needs_it_and_nothing_else(
    home: Home, stem: str, suffixes: tuple[str, ...], held_back: set[str]
) -> None:
    remove(home, stem, *suffixes)
    foretold = doctor(home, METER)
    result, told = run_of(home, METER)
    assert told.requirements() == held_back
    assert result is (RunResult.NEEDS_PERSON if held_back else RunResult.DONE)
    # What is begun never stops for a lack, and each duty is either begun or held back.
    assert set(told.ended.values()) <= {"done"}
    assert told.begun == told.done
    assert not told.begun & set(told.held_back)
    assert len(told.begun | set(told.held_back)) == 5
    # What was said before is what came: for certain, or if the cells hold another's.
    assert named(foretold, Health.BAD) <= set(told.held_back)
    for_its_own = {d for d, f in told.held_back.items() if f.rule != NeedRule.CELL_HOLDER.value}
    assert for_its_own <= named(foretold, Health.BAD, Health.NOTE)
    with Ledger(home.ledger) as ledger:
        attempts = ledger.runs.attempts_on(METER)
    assert {each.duty_id for each in attempts} == told.begun
    assert consequences(home) == []


@pytest.mark.parametrize(
    ("stem", "held_back"),
    [(f"{SUPPLIER}-ka", {"R37b", "R37c", "R37d"}), (f"{BROKER}-ds", {"R37a", "R37b"})],
)
def test_doctor_names_what_a_run_holds_back_once_the_cells_were_read(
    home: Home, stem: str, held_back: set[str]
) -> None:
    run_of(home, METER, ask=True)
    remove(home, stem, *BOTH)
    foretold = named(doctor(home, METER, at=NEXT_RUN_AT), Health.BAD)
    _, told = run_of(home, METER, start=NEXT_RUN_AT)
    assert held_back <= told.requirements()
    assert foretold == {
        duty for duty, event in told.held_back.items() if event.rule != NeedRule.CELL_HOLDER.value
    }


def test_doctor_costs_no_counter_and_changes_nothing(home: Home) -> None:
    run_of(home, METER, ask=True)
    with sqlite3.connect(home.ledger) as ledger:
        before = ledger.execute(COUNTERS).fetchall()
        doctor(home, at=NEXT_RUN_AT)
        assert ledger.execute(COUNTERS).fetchall() == before
        assert ledger.execute("SELECT count(*) FROM duties_not_begun").fetchone() == (0,)
        assert ledger.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    ledger.close()


def test_cells_that_another_agent_put_right_meanwhile_hold_nothing_back(
    home: Home, factory: Home, quick: Path
) -> None:
    run_of(home, METER, ask=True)
    other = Home(home.directory, quick / "other-disk")
    shutil.copytree(factory.agent, other.agent, ignore=shutil.ignore_patterns("emulated"))
    (other.agent / "emulated").symlink_to(home.devices)
    run_of(other, METER, faults={METER.stem: "fail-key-generation=9"})
    shutil.rmtree(other.disk)
    # The broker's are the cells that this agent saw; the supplier's are there by now.
    remove(home, f"{SUPPLIER}-pp-ka", *BOTH)
    remove(home, f"{NETWORK}-ka", *BOTH)
    assert len(named(doctor(home, METER, at=NEXT_RUN_AT), Health.BAD)) == 2
    result, told = run_of(home, METER, start=NEXT_RUN_AT)
    assert (result, told.held_back, len(told.done)) == (RunResult.DONE, {}, 5)


def test_another_suppliers_cells_need_the_key_of_the_transitional_change_of_supplier(
    home: Home,
) -> None:
    run_of(home, METER, ask=True)
    with Ledger(home.ledger) as ledger:
        held = [
            replace(seen.cell, entity_id=OTHER_SUPPLIER)
            for seen in ledger.facts.cell_history(METER)
            if seen.cell.role is RemotePartyRole.SUPPLIER
        ]
        ledger.facts.record_cells(METER, held, ledger.runs.runs()[0].id, RUN_AT)
    remove(home, f"{TRANSITIONAL_COS}-ds", *BOTH)
    lacking = {
        need.duty.partition("/")[2]: (need.rule, need.footing, need.lack.reason)
        for need in needs_of(home, emulated_home_text())
        if need.device == METER and need.lack
    }
    assert lacking.keys() == {"R37b"}
    rule, footing, reason = lacking["R37b"]
    assert (rule, footing) == (NeedRule.SIGNING_KEY, Footing.AS_READ)
    assert str(EntityIdentifier.parse(TRANSITIONAL_COS)) in reason


def test_missing_facts_are_told_in_peoples_words_with_the_command_that_names_them(
    home: Home,
) -> None:
    text = emulated_home_text()
    text = (
        "".join(
            line
            for line in text.splitlines(keepends=True)
            if not line.startswith(("supplier =", "network_operator ="))
        )
        .replace("[home.electricity]", "")
        .replace("[home.gas]", "")
    )
    lacks = {
        (need.duty.partition("/")[2], str(need.lack))
        for need in needs_of(home, text)
        if need.rule is NeedRule.PARTY and need.lack and need.device == METER
    }
    assert {requirement for requirement, _ in lacks} == {"R37a", "R37b", "R37c", "R37d"}
    assert all("the device's supplier" in said or "network operator" in said for _, said in lacks)
    assert all("`keyrig facts set 00-DB-12-34-56-78-90-A0 " in said for _, said in lacks)


def test_certificates_that_are_issued_already_need_no_authority(home: Home) -> None:
    def stopped_once_certified() -> str | None:
        with sqlite3.connect(home.ledger) as ledger:
            states = ledger.execute("SELECT state FROM key_changes ORDER BY id").fetchall()
        ledger.close()
        return "a test" if states and states[0] == ("stored",) else None

    result, _ = run_of(home, METER, should_stop=stopped_once_certified)
    assert result is RunResult.INTERRUPTED
    needs = needs_of(home, NO_AUTHORITY, NEXT_RUN_AT)
    lacking = {
        need.duty: need.footing for need in needs if need.rule is NeedRule.AUTHORITY and need.lack
    }
    # The key agreement pair may be lost by now, and is then made anew.
    assert lacking[f"{METER.stem}/R37c"] is Footing.PERHAPS
    assert lacking[f"{PROXY.stem}/R37c"] is Footing.ALWAYS
    result, told = run_of(home, METER, start=NEXT_RUN_AT, changed=without_authority)
    assert (result, told.held_back) == (RunResult.DONE, {})


def without_authority(bench: Bench) -> Bench:
    """Return a bench of a rig whose file names no authority."""
    none = NoAuthority("test")
    preflight = Preflight(
        store=bench.preflight._store,
        keys=bench.preflight._keys,
        parties=bench.parties,
        authority=none,
        ledger=bench.ledger,
    )
    return replace(bench, authority=none, preflight=preflight)


def test_no_authority_holds_new_keys_back_before_any_device_makes_them(home: Home) -> None:
    result, told = run_of(home, METER, changed=without_authority)
    assert (result, told.requirements()) == (RunResult.NEEDS_PERSON, {"R37c"})
    with Ledger(home.ledger) as ledger:
        assert all(ledger.key_changes.open(METER, usage) is None for usage in KEY_USAGES)


@pytest.mark.parametrize("reading", ["failed-attempt", "deadline", "either"])
def test_what_is_held_back_never_fails_by_its_deadline(home: Home, reading: str) -> None:
    remove(home, f"{SUPPLIER}-ds", ".key")
    remove(home, f"{BROKER}-ka", ".key")
    for days in (8, 9):
        start = RUN_AT + timedelta(days=days)
        result, told = run_of(home, METER, HUB, start=start, changed=by(reading))
        assert result is RunResult.NEEDS_PERSON
        assert len(told.held_back) == 8
        assert consequences(home) == []
    with Ledger(home.ledger) as ledger:
        facts = ledger.facts.ledger_facts([METER, HUB])
    assert len(facts.not_begun) == 8
    assert facts.attempts == {}


def by(reading: str) -> Callable[[Bench], Bench]:
    return lambda bench: replace(
        bench, rules=rules_with(bench.rules, {"failing": reading}, "a test")
    )


def test_deadline_of_a_duty_that_lacks_nothing_passes_as_ever(home: Home) -> None:
    late = RUN_AT + timedelta(days=8)
    remove(home, f"{RECOVERY}-ds", *BOTH)
    _, told = run_of(home, METER, start=late, changed=by("deadline"))
    failed = [event.reason for event in told.of(events.SMIStatus)]
    assert len(failed) == 2
    assert "R37e" not in failed[0]
    assert "not done by" in failed[0]


def test_recovery_certificate_of_another_pki_refuses_the_run_and_each_duty_says_so(
    home: Home, tmp_path: Path
) -> None:
    other = tmp_path / "other-pki"
    initialise(other, RUN_AT, os.urandom)
    path = other / f"{RECOVERY}-ds.pem"
    text = emulated_home_text().replace("[pki]\n", f'[pki]\nrecovery_certificate = "{path}"\n')
    refusing = [need for need in needs_of(home, text) if need.lack and need.lack.refuses]
    assert {need.duty.partition("/")[2] for need in refusing} == {"R33c", "R37e"}

    def with_it(bench: Bench) -> Bench:
        parties = replace(bench.parties, recovery_certificate=read_certificate(path))
        preflight = Preflight(
            store=bench.preflight._store,
            keys=bench.preflight._keys,
            parties=parties,
            authority=bench.authority,
            ledger=bench.ledger,
        )
        return replace(bench, parties=parties, preflight=preflight)

    with pytest.raises(RecoveryUntrusted, match="leads to no root"):
        run_of(home, METER, HUB, changed=with_it)
    with Ledger(home.ledger) as ledger:
        not_begun = ledger.facts.not_begun_in(ledger.runs.runs()[0].id)
    assert len(not_begun) == 8
    assert all("leads to no root" in why.reason for _, _, why in not_begun)
    assert consequences(home) == []


@pytest.mark.parametrize(
    ("stem", "lacking"), [(f"{RECOVERY}-ds", {"R37e"}), (f"{NETWORK}-ds", {"R37a"})]
)
def test_all_or_nothing_reaches_no_device_for_what_lacks_or_may(
    home: Home, stem: str, lacking: set[str]
) -> None:
    remove(home, stem, *BOTH)
    result, told = run_of(home, METER, all_or_nothing=True)
    assert (result, told.requirements()) == (RunResult.NEEDS_PERSON, lacking)
    assert not told.of(events.DeviceStarted)
    assert not told.of(events.CommandSent)


@pytest.mark.parametrize("changed", ["wrong", "locked", "garbage"])
def test_keys_that_cannot_be_used_are_held_back_with_what_mends_them(
    home: Home, changed: str
) -> None:
    key = pki(home, f"{SUPPLIER}-ds.key")
    if changed == "wrong":
        shutil.copy(pki(home, f"{NETWORK}-ds.key"), key)
    elif changed == "garbage":
        key.write_text("no key\n")
    else:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
    result, told = run_of(home, METER)
    assert (result, told.requirements()) == (RunResult.NEEDS_PERSON, {"R37c", "R37d"})
    assert set(told.ended.values()) == {"done"}
    for event in told.held_back.values():
        assert (event.rule, event.cause) == ("signing-key", "keys")
        assert event.mend
        if changed == "locked":
            assert "passphrase" in event.mend
            assert "import" not in event.mend


def test_device_that_cannot_be_reached_owes_on_with_the_runs_sentence_until_it_can(
    home: Home,
) -> None:
    result, told = run_of(home, METER, faults={METER.stem: "drop-responses=99"})
    assert result is RunResult.NEEDS_PERSON
    assert told.begun == set()
    assert len(not_begun := standing(home, RUN_AT)) == 5
    assert all("no response" in reason or "answer" in reason for reason in not_begun.values())
    assert run_of(home, METER, start=NEXT_RUN_AT)[0] is RunResult.DONE
    assert standing(home, NEXT_RUN_AT) == {}


def test_device_that_only_gives_what_does_not_verify_says_why_nothing_was_begun(
    home: Home,
) -> None:
    result, told = run_of(home, METER, faults={METER.stem: "corrupt-response=1"})
    assert result is RunResult.FAILED
    assert told.begun == set()
    assert len(not_begun := standing(home, RUN_AT)) == 5
    assert all("MAC" in reason for reason in not_begun.values())
    assert consequences(home) == []


def standing(home: Home, at: datetime) -> dict[str, str]:
    """Return why each duty of the meter that was not begun was not, by the plan."""
    with Ledger(home.ledger) as ledger:
        planned = ledger.open_duties.planned(METER, at)
    assert planned is not None
    return {each.requirement: each.not_begun.reason for each in planned.duties if each.not_begun}


def consequences(home: Home) -> list[str]:
    """Return what was told upstream of suspensions, notices, permissions and failed duties."""
    with Ledger(home.ledger) as ledger:
        events = ledger.outbox.all()
    told = [each.type.value for each in events if each.type in FOLLOWING]
    return told + [
        each.type.value
        for each in events
        if each.type is EventType.DUTY_OUTCOME and each.body["outcome"] == "failed"
    ]
