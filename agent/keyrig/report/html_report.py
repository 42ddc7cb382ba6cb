"""The HTML report of a run: one file that needs nothing else, for people."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from keyrig.domain.run_results import FOLLOWING, RunResult
from keyrig.duties.plan import DutyState
from keyrig.report.device_section import device_anchor, device_section, not_begun
from keyrig.report.html_builder import Markup, element, joined
from keyrig.report.html_formatting import code, moment, party, plural, sign, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.documents.report_document import DevicePart, Report, RequestPart

_TO_DO: Final = frozenset({DutyState.DUE, DutyState.FAILED})
_HATCH: Final = Markup(
    '<svg width="0" height="0" class="patterns" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" class="hatch-ground"></rect>'
    '<rect width="3" height="6" class="hatch-line"></rect></pattern></defs></svg>'
)


def html_report(report: Report) -> str:
    """Return the HTML report: no script, and no image, font or style from anywhere else."""
    title = f"keyrig: {report.run.rig}, run {report.run.id[:8]}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", _style()),
    )
    body = element(
        "body",
        _HATCH,
        element("header", element("div", _title(report), class_="page")),
        element(
            "main",
            _summary(report),
            [device_section(report, device) for device in report.devices],
            class_="page",
        ),
        element("footer", element("div", _colophon(report), class_="page")),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en-GB')}\n"


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


@cache
def _style() -> Markup:
    text = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return Markup(text)


def _verdict(outcome: RunResult | None) -> str:
    return "The run is under way." if outcome is None else FOLLOWING[outcome].verdict


def _title(report: Report) -> Markup:
    run = report.run
    ending = "Found ended" if run.outcome is RunResult.INTERRUPTED else "Finished"
    said = {
        "Run": code(run.id),
        "Started": joined(moment(run.started_at), " UTC"),
        ending: joined(moment(run.finished_at), " UTC") if run.finished_at else "under way",
        "Rules": report.rules.edition,
        "Duties of": ", ".join(actor.title for actor in run.carried_out) or "nobody known",
    }
    return joined(
        element("p", "keyrig run report", class_="kind"),
        element("h1", run.rig),
        element(
            "dl",
            [element("div", element("dt", n), element("dd", value)) for n, value in said.items()],
            class_="said",
        ),
    )


def _summary(report: Report) -> Markup:
    return element(
        "section",
        element("h2", "Summary", id="summary"),
        element("p", _verdict(report.run.outcome), class_="verdict"),
        element("p", _counted(report)),
        table(
            "Duties by device",
            ["device", "due", "done", "failed", "left", "overdue", "SMI Status"],
            [_summary_row(device) for device in report.devices],
            class_="counts",
        )
        if report.devices
        else element("p", "No device was reached."),
        _to_be_told(report),
        _for_a_person(report),
        aria_labelledby="summary",
    )


def _counted(report: Report) -> str:
    summary = report.summary
    if not summary.due:
        return f"Nothing was due on {plural(summary.devices, 'device')}."
    return (
        f"{plural(summary.due, 'duty')} due on {plural(summary.devices, 'device')}: "
        f"{summary.done} done, {summary.failed} failed, {summary.left} left; "
        f"{summary.overdue} overdue. {plural(summary.not_due, 'more duty')} not due."
    )


def _summary_row(device: DevicePart) -> list[object]:
    counts = device.summary
    name = joined(device.type.value, " ", code(device.entity_id))
    status = device.smi_status.value if device.smi_status else "not known"
    return [
        element("a", name, href=f"#{device_anchor(device)}"),
        *(
            element("span", count, class_="zero" if not count else None)
            for count in (counts.due, counts.done, counts.failed, counts.left, counts.overdue)
        ),
        element("span", status, class_="suspended" if status == "Suspended" else None),
    ]


def _to_be_told(report: Report) -> Markup:
    heading = element("h3", "Who must be told")
    rows = [
        [
            party(notice.to),
            element("a", device.type.value, href=f"#{device_anchor(device)}"),
            notice.clause,
            joined(notice.status, " by ", notice.of_step),
            notice.reason,
            moment(notice.at),
        ]
        for device in report.devices
        for notice in device.notices
    ]
    if not rows:
        return element("div", heading, element("p", "Nobody: the run brought no notice."))
    columns = ["to", "device", "clause", "SMI Status", "why", "since (UTC)"]
    return element("div", heading, table("Notices that the run brought", columns, rows))


def _for_a_person(report: Report) -> Markup:
    heading = element("h3", "For a person")
    items = list(_matters(report))
    if not items:
        return element("div", heading, element("p", "Nothing is left for a person to decide."))
    return element("div", heading, element("ul", items, class_="matters"))


def _matters(report: Report) -> Iterator[Markup]:
    for finding in report.clock_findings:
        yield _matter("clock", finding.detail, moment(finding.at))
    for device in report.devices:
        where = element("a", device.type.value, " ", code(device.entity_id),
                        href=f"#{device_anchor(device)}")  # fmt: skip
        unreached = _unreached(device)
        if unreached:
            yield _matter("not reached", unreached, where)
        yield from _kept_back(device, where)
        for incident in device.incidents:
            yield _matter("security incident", incident.reason, where)
        for flag in device.flags:
            yield _matter(flag.flag, flag.reason, where)
        for duty in device.duties:
            if duty.standing.overdue:
                yield _matter("overdue", f"{duty.requirement} {duty.clause}: {duty.text}", where)
            elif duty.was_due and duty.standing.state in _TO_DO and duty.not_begun is None:
                yield _matter("not done", f"{duty.requirement} {duty.clause}: "
                              f"{duty.standing.reason}", where)  # fmt: skip


def _unreached(device: DevicePart) -> str | None:
    """Return why a device with duties left was perhaps not reached; None if nothing tells."""
    if not device.summary.left or any(message.verified for message in device.messages):
        return None
    if any(duty.not_begun for duty in device.duties):
        # The recorded reason is better than a guess.
        return None
    if not device.messages:
        return "nothing was sent to it; see that its line is there and free"
    return "it answered nothing that verifies; see that it is powered and the only one on its line"


def _kept_back(device: DevicePart, where: object) -> Iterator[Markup]:
    """Yield the requests that wait for an authority, and the duties that were not begun."""
    for request in device.certification_requests:
        yield _matter("waits for the authority", _asked(request), where)
    for names, why in not_begun(device):
        yield _matter("not begun", f"{names}: {why.reason}; {why.mend}", where)


def _asked(request: RequestPart) -> object:
    return joined(
        f"{request.key_usage} request of key ",
        element("code", request.key_identifier),
        ", since ",
        moment(request.since),
        f": {request.authority}",
    )


def _matter(kind: str, said: object, where: object) -> Markup:
    return element("li", sign("▸"), " ", element("b", kind), " ", where, ": ", said)


def _colophon(report: Report) -> Markup:
    return element(
        "p",
        f"Made by keyrig {report.made_by} at ",
        moment(report.made_at),
        f" UTC; the run by keyrig {report.run.agent_version or 'of an unknown version'}. Rule set ",
        element("code", report.rules.digest[:16]),
        ". All times are UTC.",
    )
