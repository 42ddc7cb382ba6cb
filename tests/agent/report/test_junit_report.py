from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from agent.report.documents import attempt, device, duty, not_begun, report
from keyrig.domain.device_facts import Outcome
from keyrig.domain.run_results import RunResult
from keyrig.duties.plan import DutyState
from keyrig.report.junit_report import junit_report


def cases(text: str) -> dict[str, ET.Element]:
    return {case.get("name", ""): case for case in ET.fromstring(text).iter("testcase")}


def result(state: DutyState, *, overdue: bool = False, outcome: RunResult | None = None) -> str:
    """Give the tag of the result of one duty, and its type or message."""
    hub = device(duties=[duty("R33a", state, overdue=overdue, reason="the reason")])
    (case,) = cases(junit_report(report([hub], outcome=outcome))).values()
    found = [child for child in case if child.tag != "properties"]
    if not found:
        return "passed"
    (child,) = found
    return f"{child.tag} {child.get('type') or child.get('message')}"


def test_one_case_per_duty_with_its_attempts_as_properties() -> None:
    tried = [attempt(1, Outcome.FAILED, detail="refused"), attempt(3, Outcome.DONE)]
    hub = device(duties=[duty("R33a", DutyState.DONE, attempts=tried)])
    text = junit_report(report([hub]))
    suites = ET.fromstring(text)
    (suite,) = suites
    assert suite.get("name") == "CHF 00-DB-12-34-56-78-90-A2"
    assert suites.get("tests") == suite.get("tests") == "1"
    assert suites.get("failures") == suites.get("errors") == suites.get("skipped") == "0"
    (case,) = suite.iter("testcase")
    assert case.get("classname") == "CHF.00-DB-12-34-56-78-90-A2"
    assert case.get("name") == "R33a H5.33(a)"
    assert case.get("time") == "2.000"
    said = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert said["attempts"] == "2"
    assert said["attempt.1.outcome"] == "failed"
    assert said["attempt.1.detail"] == "refused"
    assert said["attempt.2.outcome"] == "done"
    assert said["deadline"] == "2026-11-27T09:00:00.000Z"
    assert said["duty"] == "00db1234567890a2/R33a"


@pytest.mark.parametrize(
    "state",
    [
        DutyState.EXEMPT,
        DutyState.VOID,
        DutyState.NOT_OURS,
        DutyState.AWAITING_COMMISSIONING,
    ],
)
def test_what_nobody_had_to_do_is_skipped_with_the_reason(state: DutyState) -> None:
    assert result(state) == f"skipped {state.value}: the reason"


def test_failed_and_overdue_duties_are_failures() -> None:
    assert result(DutyState.FAILED) == "failure failed-attempt"
    assert result(DutyState.DUE, overdue=True) == "failure overdue"


def test_overdue_duty_of_another_party_is_skipped_and_said_to_be_overdue() -> None:
    told = result(DutyState.NOT_OURS, overdue=True)
    assert told == "skipped not-ours: the reason; overdue"


def test_duty_left_over_is_an_error_once_the_run_has_ended() -> None:
    assert result(DutyState.DUE) == "skipped still to be done: the reason"
    assert result(DutyState.DUE, outcome=RunResult.NEEDS_PERSON) == "error not-done"


def test_duty_that_waits_for_the_authority_is_neither_failure_nor_error() -> None:
    told = result(DutyState.WAITING, outcome=RunResult.NEEDS_PERSON)
    assert told == "skipped waiting: the reason"
    late = result(DutyState.WAITING, overdue=True, outcome=RunResult.NEEDS_PERSON)
    assert late == "skipped waiting: the reason; overdue"
    tried = [attempt(1, Outcome.WAITING, detail="asked")]
    hub = device("by hand", [duty("R33a", DutyState.WAITING, attempts=tried)])
    (case,) = cases(junit_report(report([hub]))).values()
    said = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert said["attempt.1.outcome"] == "waiting"
    assert said["request.1.key_identifier"] == "4C3E0C75A6D13682"
    assert said["request.1.key_usage"] == "digitalSignature"
    assert said["request.1.since"] == "2026-11-22T09:00:04.000Z"
    assert said["request.1.due_by"] == "2026-11-27T09:00:00.000Z"
    assert said["request.1.authority"] == "by hand"


def test_duty_that_was_not_begun_is_an_error_of_its_own_kind_with_what_to_do() -> None:
    held = duty("R33a", DutyState.DUE, not_begun=not_begun("no such key"))
    (case,) = cases(
        junit_report(report([device(duties=[held])], outcome=RunResult.NEEDS_PERSON))
    ).values()
    error = case.find("error")
    assert error is not None
    assert error.get("type") == "not-begun"
    said = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert said["not_begun.cause"] == "keys"
    assert said["not_begun.reason"] == said["not_begun.mend"] == "no such key"


def test_done_duty_passes() -> None:
    assert result(DutyState.DONE) == "passed"


def test_hostile_text_is_carried_as_text_in_characters_that_xml_has() -> None:
    text = "</failure><x a=\"'&\x00\x0b\x1b\ufffe\uffff\u202e]]>\n"
    hub = device(text)
    root = ET.fromstring(junit_report(report([hub], text)))
    assert {element.tag for element in root.iter()} == {
        "testsuites", "testsuite", "properties", "property", "testcase",
        "failure", "error", "skipped",
    }  # fmt: skip
    message = root.find(".//failure")
    assert message is not None
    assert (message.get("message") or "").startswith("</failure><x a=\"'&")
    assert message.get("message", "").isprintable()
