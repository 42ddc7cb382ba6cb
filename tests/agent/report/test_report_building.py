from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from agent.report.documents import RAN, RUN
from agent.report.html_reading import read_page
from agent.report.reading import device_of, duties_of, report_of
from gbcs.entity_identifier import EntityIdentifier
from homes.recorded import ESME, HUB, SWITCH
from keyrig.base.errors import LedgerRefused
from keyrig.documents.report_document import CellChange, Direction, schema_text
from keyrig.domain.device_facts import Cause, Outcome
from keyrig.domain.known_facts import FactName
from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import ExchangeOutcome
from keyrig.duties.plan import DutyState
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.run_record import gather
from keyrig.report.html_report import html_report
from keyrig.report.junit_report import junit_report
from keyrig.report.report_building import compose

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Recorded
    from keyrig.documents.report_document import Report


def junit_counts(report: Report) -> dict[str, int]:
    root = ET.fromstring(junit_report(report))
    return {name: int(root.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}


def check_formats(report: Report) -> None:
    """See that each format can be made of a report and is what it says it is."""
    Draft202012Validator(json.loads(schema_text())).validate(json.loads(report.to_json()))
    read_page(html_report(report))
    assert junit_counts(report)["tests"] == sum(len(d.duties) for d in report.devices)


def test_run_in_which_everything_is_done(recorded: Recorded) -> None:
    home = recorded("all done")
    report = report_of(home)
    check_formats(report)
    assert report.run.outcome is RunResult.DONE
    assert report.rules.edition == "SEC H5.33-H5.40, consultation draft"
    counts = report.summary
    assert (counts.devices, counts.due, counts.done) == (6, 19, 19)
    assert (counts.failed, counts.left, counts.overdue, counts.not_due) == (0, 0, 0, 1)
    assert junit_counts(report) == {"tests": 20, "failures": 0, "errors": 0, "skipped": 1}
    assert "All that was due is done." in read_page(html_report(report)).words
    for device in report.devices:
        said = {fact.name: fact for fact in device.facts}
        assert said[FactName.DEVICE_TYPE].value == device.type.value
        assert said[FactName.DEVICE_TYPE].source == "rig emulated-home"
        assert device.smi_status is SMIStatus.COMMISSIONED
        commands = [m for m in device.messages if m.direction is Direction.COMMAND]
        answers = [m for m in device.messages if m.direction is Direction.RESPONSE]
        assert [m.number for m in commands] == [m.number for m in answers]
        assert all(m.verified for m in answers)
        assert all(m.counter for m in commands)
        for duty in device.duties:
            if duty.was_due:
                (attempt,) = duty.attempts
                assert attempt.outcome is Outcome.DONE
                assert attempt.messages
                assert set(attempt.messages) <= {m.number for m in commands}


def test_cells_show_who_was_trusted_before_and_after(recorded: Recorded) -> None:
    home = recorded("switch and hub done")
    report = report_of(home)
    cells = {
        (cell.role, cell.key_usage): cell
        for cell in device_of(report, SWITCH).cells
        if cell.role == "supplier"
    }
    assert set(cells) == {("supplier", "digitalSignature"), ("supplier", "keyAgreement")}
    for cell in cells.values():
        assert cell.change is CellChange.CHANGED
        assert cell.before is not None
        assert cell.before.holder.entity_id == "90-B3-D5-1F-30-00-00-02"
        assert "DCC access control broker" in cell.before.holder.name
        assert cell.after.holder.entity_id == "90-B3-D5-1F-30-01-00-00"
        assert cell.after.holder.name == "Lead Supplier (KEYRIGTESTSUPPLIER)"
        assert cell.before.key_identifier != cell.after.key_identifier
    broker = {
        cell.key_usage: cell.change
        for cell in device_of(report, HUB).cells
        if cell.role == "accessControlBroker"
    }
    assert broker["digitalSignature"] is CellChange.REPLACED_BY_SAME
    assert broker["keyAgreement"] is not CellChange.REPLACED_BY_SAME


def test_only_the_devices_that_the_run_was_to_reach_are_in_it(recorded: Recorded) -> None:
    home = recorded("all done, and the switch again")
    second, first = report_of(home, 0), report_of(home, 1)
    assert len(first.devices) == 6
    assert [device.entity_id for device in second.devices] == [SWITCH]
    assert second.summary.due == 0
    (duty,) = second.devices[0].duties
    assert duty.standing.state is DutyState.DONE
    assert [attempt.in_this_run for attempt in duty.attempts] == [False]
    assert second.devices[0].cells == ()
    check_formats(second)
    assert "Nothing was due on 1 device." in read_page(html_report(second)).words


def test_failure_suspension_and_restoring_are_told_by_the_run_that_brought_them(
    recorded: Recorded,
) -> None:
    home = recorded("hub suspended and restored")
    second, first = report_of(home, 0), report_of(home, 1)
    check_formats(first)
    check_formats(second)

    hub = device_of(first, HUB)
    failed = duties_of(hub)["R33a"]
    assert failed.standing.state is DutyState.FAILED
    assert failed.standing.failed_at_attempt == failed.attempts[0].finished_at
    assert failed.standing.failed_at_deadline is None
    assert failed.standing_now.state is DutyState.DONE
    assert [attempt.outcome for attempt in failed.attempts] == [Outcome.FAILED]
    assert (hub.smi_status, hub.smi_status_now) == (SMIStatus.SUSPENDED, SMIStatus.COMMISSIONED)
    assert [(n.clause, n.of_step, n.status) for n in hub.notices] == [
        ("H5.35", "H5.34(a)", "Suspended")
    ] * 2
    assert {notice.to.entity_id for notice in hub.notices} == {
        "90-B3-D5-1F-30-01-00-00", "90-B3-D5-1F-30-03-00-00",
    }  # fmt: skip
    assert junit_counts(first) == {"tests": 3, "failures": 1, "errors": 0, "skipped": 0}

    hub = device_of(second, HUB)
    mended = duties_of(hub)["R33a"]
    assert [(a.outcome, a.in_this_run) for a in mended.attempts] == [
        (Outcome.FAILED, False), (Outcome.DONE, True),
    ]  # fmt: skip
    assert (second.summary.due, second.summary.done, second.summary.not_due) == (1, 1, 2)
    assert {notice.status for notice in hub.notices} == {"Commissioned"}
    assert [status.status for status in hub.smi_status_history] == [
        SMIStatus.COMMISSIONED, SMIStatus.SUSPENDED, SMIStatus.COMMISSIONED,
    ]  # fmt: skip
    assert hub.smi_status_history[1].clause == "H5.34(a)"
    assert "certificate_storage_failed" in hub.smi_status_history[1].cause
    case = next(ET.fromstring(junit_report(second)).iter("testcase"))
    said = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert (said["attempt.1.outcome"], said["attempt.2.outcome"]) == ("failed", "done")


def test_suspended_hub_says_that_it_may_be_replaced_and_with_which_reason(
    recorded: Recorded,
) -> None:
    home = recorded("hub suspended")
    report = report_of(home)
    held = device_of(report, HUB).suspension
    assert held is not None
    assert (held.clause, held.held_before) == ("H5.34(a)", SMIStatus.COMMISSIONED)
    assert held.failed_steps == ("R33a",)
    assert held.replacement is not None
    assert held.replacement.reason == "F9.5(f)"
    words = read_page(html_report(report)).words
    assert "return it with the reason F9.5(f)" in words
    waits = device_of(report, HUB).status_instruction
    assert waits is not None
    assert (waits.status, waits.clause) == (SMIStatus.SUSPENDED, "H5.34(a)")
    assert "That it is to be Suspended under H5.34(a) was instructed" in words
    assert "waits until the inventory shows it: no request of DUIS 5.4 sets it" in words


def test_damaged_response_stands_as_an_incident_with_its_message(recorded: Recorded) -> None:
    home = recorded("meter's answer damaged")
    report = report_of(home)
    check_formats(report)
    meter = device_of(report, ESME)
    (incident,) = meter.incidents
    rejected = [m for m in meter.messages if m.outcome is ExchangeOutcome.REJECTED]
    assert {m.number for m in rejected} == {incident.message}
    assert [m.verified for m in rejected] == [None, False]
    assert report.summary.for_a_person == 1
    assert junit_counts(report)["errors"] == 5
    assert "security incident" in read_page(html_report(report)).words


def test_device_that_does_not_answer_is_left_for_a_person(recorded: Recorded) -> None:
    home = recorded("switch silent")
    report = report_of(home)
    check_formats(report)
    switch = device_of(report, SWITCH)
    assert (switch.summary.due, switch.summary.left) == (1, 1)
    assert {m.outcome for m in switch.messages} == {ExchangeOutcome.NO_RESPONSE}
    assert junit_counts(report) == {"tests": 1, "failures": 0, "errors": 1, "skipped": 0}
    (duty,) = switch.duties
    assert duty.not_begun is not None
    assert (duty.not_begun.cause, duty.attempts) == (Cause.LINE, ())
    words = read_page(html_report(report)).words
    assert "not begun HCALCS" in words
    assert f"R40: {duty.not_begun.reason}; {duty.not_begun.mend}" in words
    assert "not reached" not in words


def test_report_made_after_the_deadline_keeps_how_the_run_ended_and_says_how_it_stands_now(
    recorded: Recorded,
) -> None:
    home = recorded("hub suspended")
    duty = duties_of(device_of(report_of(home, days_later=8), HUB))["R33a"]
    assert not duty.standing.overdue
    assert duty.standing_now.overdue
    assert duty.standing_now.failed_at_deadline == duty.deadline
    assert duty.standing.failed_at_deadline is None


def test_report_of_a_run_that_goes_on_can_be_made(recorded: Recorded) -> None:
    home = recorded("switch done")
    with Ledger(home.ledger, create=False) as ledger:
        (ended,) = ledger.runs.runs()
        begun = ended.started_at + timedelta(hours=1)
        ledger.runs.start_run("f" * 32, ended.rig_name, begun)
        device = gather(ledger, ended.id).devices[0].entity_id
        ledger.runs.start_attempt("f" * 32, device, "R40", begun)
        report = compose(gather(ledger, "f" * 32), begun + timedelta(minutes=1))
        earlier = compose(gather(ledger, ended.id), begun + timedelta(minutes=1))
    check_formats(report)
    assert report.run.outcome is None
    (duty,) = report.devices[0].duties
    assert [attempt.outcome for attempt in duty.attempts] == [Outcome.DONE, None]
    assert [len(duty.attempts) for duty in earlier.devices[0].duties] == [1]


def test_facts_learned_before_the_clock_was_set_back_still_count(recorded: Recorded) -> None:
    home = recorded("hub done")
    with Ledger(home.ledger, create=False) as ledger:
        (run,) = ledger.runs.runs()
        record = gather(ledger, run.id)
    set_back = replace(
        record,
        run=replace(
            run,
            started_at=run.started_at - timedelta(hours=2),
            finished_at=run.started_at - timedelta(hours=3),
        ),
    )
    report = compose(set_back, run.started_at - timedelta(hours=1))
    check_formats(report)
    assert duties_of(device_of(report, HUB))["R33a"].standing.state is DutyState.DONE


def test_run_that_was_cut_off_says_when_that_was_found(recorded: Recorded) -> None:
    home = recorded("switch done")
    with Ledger(home.ledger, create=False) as ledger:
        (ended,) = ledger.runs.runs()
        begun = ended.started_at + timedelta(hours=1)
        device = gather(ledger, ended.id).devices[0].entity_id
        ledger.runs.start_run("f" * 32, ended.rig_name, begun)
        ledger.runs.start_attempt("f" * 32, device, "R40", begun)
        ledger.runs.close_interrupted(ended.rig_name, begun + timedelta(days=1))
        report = compose(gather(ledger, "f" * 32), begun + timedelta(days=2))
    check_formats(report)
    (duty,) = report.devices[0].duties
    assert duty.attempts[-1].outcome is Outcome.INTERRUPTED
    words = read_page(html_report(report)).words
    assert "Found ended" in words
    assert "the next run goes on with it" in words


def test_run_of_which_the_ledger_knows_no_device_type_is_refused_with_the_mend(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.runs.start_run(RUN, "bench", RAN)
        ledger.runs.start_attempt(RUN, EntityIdentifier.parse(HUB), "R33a", RAN)
        with pytest.raises(LedgerRefused, match="run its rig once with this keyrig"):
            compose(gather(ledger, RUN), RAN)
