"""Reports and evidence of runs that wait for an authority, or held duties back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from jsonschema import Draft202012Validator

from agent.certifying import certified
from agent.report.forging import bodies, duty_of, forged, of_kind, reasons, verdict_of
from agent.report.html_reading import read_page
from agent.report.reading import device_of, duties_of, report_of
from homes.recorded import ESME, Visit, lose_supplier_key
from keyrig.base.clock import utc_now
from keyrig.cli import run_cli
from keyrig.documents.report_document import schema_text
from keyrig.domain.device_facts import Cause, Outcome
from keyrig.domain.states import RunOutcome
from keyrig.duties.plan import DutyState
from keyrig.evidence.evidence_check import Proof
from keyrig.report.html_report import html_report
from keyrig.report.junit_report import junit_report
from keyrig.run.bench import RunResult

if TYPE_CHECKING:
    from conftest import Recorded
    from homes.virtual_home import Home
    from keyrig.documents.report_document import Report


def check_formats(report: Report) -> None:
    """See that each format can be made of a report and is what it says it is."""
    Draft202012Validator(json.loads(schema_text())).validate(json.loads(report.to_json()))
    read_page(html_report(report))
    root = ET.fromstring(junit_report(report))
    assert root.get("failures") == "0"


def certify_all(home: Home) -> None:
    """Certify whatever waits, and have keyrig take it in."""
    for number, file in enumerate(sorted(home.agent.rglob("*.csr.der"))):
        answer = home.disk / f"{number}.pem"
        answer.write_text(certified(home.agent, file.read_bytes(), ESME), encoding="ascii")
        assert run_cli(["pki", "certified", str(answer)]) == 0


def evidence_of(home: Home, run: str = "last") -> bytes:
    file = home.disk / f"{run}.evidence"
    assert run_cli(["report", run, "--format", "evidence", "--output", str(file)]) == 0
    return file.read_bytes()


def test_requests_that_waited_as_the_run_ended_are_told_also_after_they_were_certified(
    recorded: Recorded,
) -> None:
    home = recorded("meter waits for a certificate")
    before = report_of(home)
    check_formats(before)
    device = device_of(before, ESME)
    assert [each.key_usage for each in device.certification_requests] == [
        "digitalSignature",
        "keyAgreement",
    ]
    renewal = duties_of(device)["R37c"]
    for each in device.certification_requests:
        assert each.due_by == renewal.deadline
        assert each.authority.startswith("by hand")
        assert renewal.attempts[-1].started_at <= each.since
        assert list(home.agent.rglob(f"*.{each.key_identifier.lower()}.csr.pem"))
    assert renewal.standing.state is DutyState.WAITING
    assert renewal.attempts[-1].outcome is Outcome.WAITING
    assert renewal.not_begun is None
    certify_all(home)
    after = duties_of(device_of(report_of(home), ESME))["R37c"]
    assert device_of(report_of(home), ESME).certification_requests == device.certification_requests
    assert after.standing.state is DutyState.WAITING
    assert after.standing_now.state is DutyState.DUE


def test_evidence_of_a_duty_that_waits_holds_and_proves_nothing_of_it(recorded: Recorded) -> None:
    home = recorded("meter waits for a certificate")
    first = evidence_of(home)
    verdict = verdict_of(first)
    assert verdict.holds
    duty = duty_of(verdict, "R37c")
    assert (duty.state, duty.proof) == ("waiting", None)
    (attempt,) = [
        each for each in of_kind(bodies(first), "attempt") if each["requirement"] == "R37c"
    ]
    assert attempt["outcome"] == "waiting"
    certify_all(home)
    Visit(only=(ESME,), by_hand=True).carry_out(home, utc_now())
    assert duty_of(verdict_of(evidence_of(home)), "R37c").proof is Proof.SIGNED


def test_duty_that_no_attempt_left_waiting_is_not_believed_to_wait(recorded: Recorded) -> None:
    home = recorded("hub suspended")
    told = bodies(evidence_of(home))
    duty: dict[str, Any] = next(e for e in of_kind(told, "duty") if e["requirement"] == "R33a")
    assert duty["state"] == "failed"
    duty |= {"state": "waiting", "waiting_since": told[0][1]["finished_at"]}
    assert "R33a of 00-DB-12-34-56-78-90-A2 is called waiting" in reasons(verdict_of(forged(told)))


def test_certified_duty_that_a_later_run_could_not_begin_does_not_wait(recorded: Recorded) -> None:
    """What was taken in since is known; the report of the next run says what kept it back."""
    home = recorded("meter waits for a certificate")
    certify_all(home)
    lose_supplier_key(home)
    Visit(only=(ESME,), by_hand=True, ends=RunResult.NEEDS_PERSON).carry_out(home, utc_now())
    report = report_of(home)
    check_formats(report)
    device = device_of(report, ESME)
    renewal = duties_of(device)["R37c"]
    assert renewal.standing.state is DutyState.DUE
    assert device.certification_requests == ()
    assert renewal.not_begun is not None
    assert renewal.not_begun.cause is Cause.KEYS
    assert verdict_of(evidence_of(home)).holds


def test_run_that_held_duties_back_says_why_in_every_format(recorded: Recorded) -> None:
    home = recorded("meter held back")
    report = report_of(home)
    check_formats(report)
    assert report.run.outcome is RunOutcome.NEEDS_PERSON
    held = [each for each in device_of(report, ESME).duties if each.not_begun is not None]
    assert "R37c" in {each.requirement for each in held}
    words = read_page(html_report(report)).words
    root = ET.fromstring(junit_report(report))
    assert {e.get("type") for e in root.iter("error")} == {"not-begun"}
    octets = evidence_of(home)
    told = {e["requirement"]: e["not_begun"] for e in of_kind(bodies(octets), "duty")}
    assert {name for name, why in told.items() if why} == {each.requirement for each in held}
    for each in held:
        assert each.not_begun is not None
        assert each.not_begun.reason in words
        assert each.not_begun.mend in words
        assert told[each.requirement]["reason"] == each.not_begun.reason
    assert verdict_of(octets).holds
