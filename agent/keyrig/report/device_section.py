"""The section of one device in the HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.duties.plan import DutyState
from keyrig.report.cell_picture import cell_picture
from keyrig.report.html_builder import Markup, element, joined
from keyrig.report.html_formatting import NONE, clock_time, code, moment, sign, state, table
from keyrig.report.timeline import time_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.documents.document_model import NotBegunPart
    from keyrig.documents.report_document import (
        AlertPart,
        DevicePart,
        DutyPart,
        MessagePart,
        Report,
    )


def device_anchor(device: DevicePart) -> str:
    """Return the id of a device's section."""
    return f"device-{device.entity_id.lower()}"


def device_section(report: Report, device: DevicePart) -> Markup:
    """Return the section of one device."""
    anchor = device_anchor(device)
    return element(
        "section",
        element("h2", device.type.value, " ", code(device.entity_id), id=anchor),
        _standing(device),
        time_line(report, device),
        _duties(device),
        cell_picture(device),
        _own_keys(device),
        _requests(device),
        _messages(device),
        _statuses(device),
        _facts(device),
        aria_labelledby=anchor,
        class_="device",
    )


def _standing(device: DevicePart) -> Markup:
    then, now = (
        status.value if status else "not known"
        for status in (device.smi_status, device.smi_status_now)
    )
    changed = f" as the run ended, {now} as this report was made" if now != then else None
    held = device.suspension
    if held is None:
        return element("p", "SMI Status: ", element("b", then), changed, ".", _waiting(device))
    before = held.held_before.value if held.held_before else "not known"
    leave = held.replacement
    return element(
        "p",
        sign("▨"),
        " SMI Status: ",
        element("b", then, class_="suspended"),
        changed,
        f"; suspended under {held.clause} since ",
        moment(held.since),
        f"; before it: {before}. Failed steps that are not complete: "
        f"{', '.join(held.failed_steps) or 'none'}.",
        f" Meanwhile the Responsible Supplier may replace the Communications Hub under "
        f"{leave.clause} and return it with the reason {leave.reason}."
        if leave
        else None,
        _waiting(device),
    )


def _waiting(device: DevicePart) -> Markup | None:
    waits = device.status_instruction
    if waits is None:
        return None
    return element(
        "span",
        f" That it is to be {waits.status.value} under {waits.clause} was instructed ",
        moment(waits.since),
        f" and waits until the inventory shows it: {waits.channel}.",
    )


def _duties(device: DevicePart) -> Markup:
    return element(
        "div",
        element("h3", "Duties"),
        table(
            "As the run ended; both readings of when a duty fails are given",
            ["duty", "what", "deadline", "state", "attempts", "failed at"],
            [_duty_row(duty) for duty in device.duties],
            class_="duties",
        ),
    )


def _duty_row(duty: DutyPart) -> list[object]:
    standing, now = duty.standing, duty.standing_now
    later = (
        element("p", f"By {now.at:%Y-%m-%d %H:%M:%S}: {now.state.value}; {now.reason}")
        if (now.state, now.overdue) != (standing.state, standing.overdue)
        else None
    )
    tried = [
        element(
            "li",
            attempt.outcome.value if attempt.outcome else "under way",
            " ", clock_time(attempt.started_at), None if attempt.in_this_run
            else f" in run {attempt.run[:8]}", f": {attempt.detail}" if attempt.detail else None,
        )
        for attempt in duty.attempts
    ]  # fmt: skip
    failed = [
        element("p", f"{reading} ", moment(at))
        for reading, at in (
            ("attempt", standing.failed_at_attempt),
            ("deadline", standing.failed_at_deadline),
        )
        if at
    ]
    told_by_attempts = standing.state is DutyState.FAILED and tried
    reason = None if told_by_attempts else element("p", standing.reason, class_="small-print")
    held = duty.not_begun
    if held is not None and standing.state is not DutyState.DONE:
        reason = joined(
            element("p", f"not begun ({held.cause.value}): {held.reason}", class_="small-print"),
            element("p", f"what to do: {held.mend}", class_="small-print"),
        )
    return [
        joined(duty.requirement, " ", duty.clause),
        joined(
            element("p", duty.text),
            element("p", f"{duty.step.value}, owed by {duty.actor.title}", class_="small-print"),
        ),
        moment(duty.deadline),
        joined(state(duty), reason, later),
        element("ol", tried, class_="attempts") if tried else NONE,
        joined(failed) if failed else NONE,
    ]


def _own_keys(device: DevicePart) -> Markup | None:
    if not device.key_changes:
        return None
    rows = [
        [
            change.key_usage,
            change.state.value.replace("-", " "),
            moment(change.requested_at),
            moment(change.changed_at),
        ]
        for change in device.key_changes
    ]
    columns = ["key", "state", "begun (UTC)", "last move (UTC)"]
    return element(
        "div",
        element("h3", "The device's own keys"),
        table("Re-generations that the run began or moved", columns, rows),
    )


def _requests(device: DevicePart) -> Markup | None:
    if not device.certification_requests:
        return None
    rows = [
        [
            request.key_usage,
            element("code", request.key_identifier),
            moment(request.since),
            moment(request.due_by),
            request.authority,
        ]
        for request in device.certification_requests
    ]
    columns = ["request for", "key identifier", "since (UTC)", "due (UTC)", "authority"]
    return element(
        "div",
        element("h3", "Certification requests"),
        table("Those that waited for an authority as the run ended", columns, rows),
    )


def not_begun(device: DevicePart) -> Iterator[tuple[str, NotBegunPart]]:
    """Return the reasons why duties of a device were not begun, each with the duties' names."""
    found: dict[tuple[str, str], tuple[list[str], NotBegunPart]] = {}
    for duty in device.duties:
        why = duty.not_begun
        if why is not None and duty.standing.state is not DutyState.DONE:
            found.setdefault((why.reason, why.mend), ([], why))[0].append(duty.requirement)
    for names, why in found.values():
        yield " ".join(names), why


def _messages(device: DevicePart) -> Markup:
    heading = element("h3", "Messages")
    if not device.messages and not device.alerts:
        return element("div", heading, element("p", "None were sent, and none came."))
    rows = [(message.at, _message_row(message)) for message in device.messages]
    rows += [(alert.at, _alert_row(alert)) for alert in device.alerts]
    rows.sort(key=lambda row: (row[0] is None, row[0]))
    columns = ["time", "direction", "use case", "counter", "octets", "verified", "outcome"]
    return element(
        "div", heading, table("Every message of the run", columns, [r for _, r in rows],
                              class_="messages"),
    )  # fmt: skip


def _message_row(message: MessagePart) -> list[object]:
    outcome = message.outcome.value.replace("-", " ") if message.outcome else "open"
    return [
        clock_time(message.at),
        message.direction.value,
        joined(code(message.code), " ", message.name),
        element("code", message.counter),
        message.octets,
        _verified(message.verified),
        f"{outcome}: {message.detail}" if message.detail else outcome,
    ]


def _alert_row(alert: AlertPart) -> list[object]:
    return [
        clock_time(alert.at),
        "alert",
        code(alert.code) if alert.code else "not decoded",
        NONE,
        alert.octets,
        _verified(alert.verified),
        alert.detail or "received",
    ]


def _verified(verified: bool | None) -> object:  # noqa: FBT001 - the value is what is shown
    if verified is None:
        return NONE
    return joined(sign("✓"), " yes") if verified else joined(sign("✕"), " no")


def _statuses(device: DevicePart) -> Markup:
    heading = element("h3", "SMI Status")
    if not device.smi_status_history:
        return element("div", heading, element("p", "Nothing is known of it."))
    rows = [
        [moment(status.at), status.status.value, status.clause or NONE, status.cause,
         moment(status.recorded_at)]
        for status in device.smi_status_history
    ]  # fmt: skip
    columns = ["since (UTC)", "status", "clause", "cause", "recorded (UTC)"]
    return element("div", heading, table("Its history, oldest first", columns, rows))


def _facts(device: DevicePart) -> Markup:
    rows = [
        [fact.name.value.replace("_", " "), _value(fact.value), fact.source, moment(fact.at),
         moment(fact.recorded_at)]
        for fact in device.facts
    ]  # fmt: skip
    columns = ["fact", "value", "said by", "holds from", "recorded (UTC)"]
    return element(
        "div",
        element("h3", "Facts"),
        table("What holds of the device, and who said so", columns, rows)
        if rows
        else element("p", "Nothing was recorded of it."),
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value)
    return str(value)
