"""The JUnit report of a run: a suite per device, and in it one case per duty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from keyrig.base.clock import instant_text
from keyrig.duties.plan import DutyState

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.documents.document_model import NotBegunPart
    from keyrig.documents.report_document import (
        AttemptPart,
        DevicePart,
        DutyPart,
        Report,
        RequestPart,
    )

_SKIPPED: Final = frozenset(
    {
        DutyState.EXEMPT,
        DutyState.VOID,
        DutyState.NOT_OURS,
        DutyState.AWAITING_COMMISSIONING,
        DutyState.SCHEDULED,
        DutyState.WAITING,
    }
)


def junit_report(report: Report) -> str:
    """Return the JUnit report; its cases are the duties as the run ended, however often tried.

    A duty that is done passes; one that failed or is overdue is a failure; one that was due and
    not done is an error, "not-begun" where what it needs was missing; one that nobody had to do,
    or that waits for the device's instant or for the certificate authority, is skipped, with the
    reason.
    """
    run = report.run
    root = ET.Element("testsuites", name=f"keyrig {run.rig}")
    for device in report.devices:
        root.append(_suite(report, device))
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    root.set("time", _seconds(run.started_at, run.finished_at))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(report: Report, device: DevicePart) -> ET.Element:
    run = report.run
    cases = [_case(report, device, duty) for duty in device.duties]
    suite = ET.Element(
        "testsuite",
        name=f"{device.type.value} {device.entity_id}",
        timestamp=instant_text(run.started_at).removesuffix("Z"),
        tests=str(len(cases)),
        failures=_count(cases, "failure"),
        errors=_count(cases, "error"),
        skipped=_count(cases, "skipped"),
        time=f"{sum(float(case.get('time', '0')) for case in cases):.3f}",
    )
    status = device.smi_status
    _properties(
        suite,
        {
            "run": run.id,
            "rig": run.rig,
            "edition": report.rules.edition,
            "smi_status": status.value if status else "not known",
        },
    )
    suite.extend(cases)
    return suite


def _case(report: Report, device: DevicePart, duty: DutyPart) -> ET.Element:
    made = [attempt for attempt in duty.attempts if attempt.in_this_run]
    case = ET.Element(
        "testcase",
        classname=f"{device.type.value}.{device.entity_id}",
        name=f"{duty.requirement} {duty.clause}",
        time=f"{sum(_lasted(attempt) for attempt in made):.3f}",
    )
    said = {
        "duty": duty.id,
        "step": duty.step.value,
        "actor": duty.actor.value,
        "state": duty.standing.state.value,
        "deadline": instant_text(duty.deadline) if duty.deadline else "none",
        "attempts": str(len(duty.attempts)),
    }
    for number, attempt in enumerate(duty.attempts, 1):
        said |= {f"attempt.{number}.{name}": text for name, text in _told(attempt).items()}
    if duty.not_begun is not None:
        said |= {f"not_begun.{name}": text for name, text in _held_back(duty.not_begun).items()}
    if duty.standing.state is DutyState.WAITING:
        for number, request in enumerate(device.certification_requests, 1):
            said |= {f"request.{number}.{name}": text for name, text in _asked(request).items()}
    _properties(case, said)
    _result(case, report, duty)
    return case


def _told(attempt: AttemptPart) -> dict[str, str]:
    return {
        "outcome": attempt.outcome.value if attempt.outcome else "under-way",
        "started_at": instant_text(attempt.started_at),
        "seconds": f"{_lasted(attempt):.3f}",
        "run": attempt.run,
        "detail": attempt.detail,
    }


def _held_back(why: NotBegunPart) -> dict[str, str]:
    return {
        "at": instant_text(why.at),
        "cause": why.cause.value,
        "reason": why.reason,
        "mend": why.mend,
    }


def _asked(request: RequestPart) -> dict[str, str]:
    return {
        "key_usage": request.key_usage,
        "key_identifier": request.key_identifier,
        "since": instant_text(request.since),
        "due_by": instant_text(request.due_by) if request.due_by else "none",
        "authority": request.authority,
    }


def _result(case: ET.Element, report: Report, duty: DutyPart) -> None:
    standing = duty.standing
    if standing.state is DutyState.DONE:
        return
    if standing.state in _SKIPPED:
        late = "; overdue" if standing.overdue else ""
        ET.SubElement(case, "skipped", message=f"{standing.state.value}: {standing.reason}{late}")
        return
    if standing.state is DutyState.FAILED or standing.overdue:
        kind = "failed-attempt" if standing.state is DutyState.FAILED else "overdue"
        told = ET.SubElement(case, "failure", type=kind, message=standing.reason)
    elif report.run.outcome is None:
        ET.SubElement(case, "skipped", message=f"still to be done: {standing.reason}")
        return
    else:
        kind = "not-done" if duty.not_begun is None else "not-begun"
        told = ET.SubElement(case, "error", type=kind, message=standing.reason)
    told.text = f"{duty.text}: {standing.reason}"


def _properties(parent: ET.Element, said: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in said.items():
        ET.SubElement(properties, "property", name=name, value=value)


def _count(cases: list[ET.Element], kind: str) -> str:
    return str(sum(case.find(kind) is not None for case in cases))


def _lasted(attempt: AttemptPart) -> float:
    return float(_seconds(attempt.started_at, attempt.finished_at))


def _seconds(begun: datetime, ended: datetime | None) -> str:
    """Return a duration as text; None where the clock was set back, or no end is known."""
    return f"{max(0.0, (ended - begun).total_seconds()) if ended else 0.0:.3f}"
