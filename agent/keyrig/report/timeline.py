"""The time line of one device: from Commissioning to the deadline, and within the run.

All positions are in per cent of the width, so that a narrow window moves the marks closer and
keeps the size of the text.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from keyrig.documents.report_document import Direction
from keyrig.domain.device_facts import Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.report.html_builder import Markup, element
from keyrig.report.html_formatting import milliseconds, moment, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from keyrig.documents.report_document import AttemptPart, DevicePart, Report

T = TypeVar("T")
_SHAPES: Final = {
    "commissioned": "M-9,0a9,9 0 1,0 18,0a9,9 0 1,0 -18,0z",
    "run": "M-8,-8h16v16h-16z",
    "status": "M0,-11L12,8H-12z",
    "alert": "M0,-12L12,0L0,12L-12,0z",
    "notice": "M-10,-7h20v14h-8l-4,4v-4h-8z",
    "deadline": "M-7,13V-10H11L7,-2L11,6H-5",
    "report": "M-9,0L-5,-8H5L9,0L5,8H-5z",
}
_KINDS: Final = {
    "commissioned": "circle: Commissioning",
    "run": "square: a run",
    "status": "triangle: SMI Status",
    "alert": "diamond: alerts",
    "notice": "balloon: notices",
    "deadline": "flag: deadline",
    "report": "hexagon: this report",
}
_LEVEL: Final = 26
_APART: Final = 8.0
"""Marks closer than this, in per cent of the width, are drawn one above the other."""
_LANE: Final = 42
_SHORTEST: Final = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event on the time line: its instant, the kind of its mark, and its text."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """Places instants between 3 and 97 per cent of the width."""

    first: datetime
    last: datetime

    def __call__(self, instant: datetime) -> float:
        span = (self.last - self.first) / timedelta(seconds=1)
        offset = (instant - self.first) / timedelta(seconds=1)
        return 3 + 94 * min(max(offset / span, 0.0), 1.0)


def time_line(report: Report, device: DevicePart) -> Markup:
    """Return the time line of a device, with the same in words beneath it."""
    happenings = happenings_of(report, device)
    kinds = list(dict.fromkeys(each.kind for each in happenings))
    return element(
        "div",
        element("h3", "Time line"),
        element(
            "figure",
            _overview(report, device, happenings),
            element("figcaption", "; ".join(_KINDS[kind] for kind in kinds), ". Times are UTC."),
            element(
                "ol",
                [element("li", moment(each.at), " ", each.text) for each in happenings],
                class_="happenings",
            ),
        ),
        _within_the_run(report, device),
        class_="time-line",
    )


def happenings_of(report: Report, device: DevicePart) -> list[Happening]:
    """Return what happened to a device, and what is due, in the order of time."""
    found: list[Happening] = []
    begun = device.commissioned_at
    if isinstance(begun, datetime):
        found.append(Happening(begun, "commissioned", "Commissioned"))
    elif begun is not None:
        midnight = datetime.combine(begun, time.min, UTC)
        found.append(Happening(midnight, "commissioned", "Commissioned on this day"))
    found += _runs(report, device)
    for status in device.smi_status_history:
        under = f" under {status.clause}" if status.clause else ""
        text = f"SMI Status {status.status.value}{under}: {status.cause}"
        found.append(Happening(status.at, "status", text))
    if device.alerts:
        codes = ", ".join(dict.fromkeys(alert.code or "not decoded" for alert in device.alerts))
        text = f"{plural(len(device.alerts), 'alert')}: {codes}"
        found.append(Happening(device.alerts[0].at, "alert", text))
    for at, notices in _by_instant((notice.at, notice) for notice in device.notices):
        to = ", ".join(dict.fromkeys(notice.to.name for notice in notices))
        text = f"{plural(len(notices), 'notice')} under {notices[0].clause} to {to}"
        found.append(Happening(at, "notice", text))
    ends = ((duty.deadline, duty.requirement) for duty in device.duties if duty.deadline)
    for at, requirements in _by_instant(ends):
        found.append(Happening(at, "deadline", f"Deadline of {', '.join(requirements)}"))
    found.append(Happening(report.made_at, "report", "This report was made"))
    return sorted(found, key=lambda each: each.at)


def _runs(report: Report, device: DevicePart) -> Iterable[Happening]:
    of_run: dict[str, list[tuple[str, AttemptPart]]] = defaultdict(list)
    for duty in device.duties:
        for attempt in duty.attempts:
            of_run[attempt.run].append((duty.requirement, attempt))
    for run, made in of_run.items():
        ended: dict[str, list[str]] = defaultdict(list)
        for requirement, attempt in made:
            ended[attempt.outcome.value if attempt.outcome else "under way"].append(requirement)
        said = "; ".join(f"{outcome}: {', '.join(those)}" for outcome, those in ended.items())
        name = "This run" if run == report.run.id else f"Run {run[:8]}"
        yield Happening(min(attempt.started_at for _, attempt in made), "run", f"{name}; {said}")


def _by_instant(pairs: Iterable[tuple[datetime, T]]) -> Iterable[tuple[datetime, list[T]]]:
    grouped: dict[datetime, list[T]] = defaultdict(list)
    for at, value in pairs:
        grouped[at].append(value)
    return grouped.items()


def _overview(report: Report, device: DevicePart, happenings: Sequence[Happening]) -> Markup:
    scale = _scale([each.at for each in happenings])
    placed = [scale(each.at) for each in happenings]
    levels = _levels(placed)
    base = _LEVEL * (max(levels, default=0) + 1) + 6
    marks = [
        _mark(number, happening, x, base=base, level=level)
        for number, (happening, x, level) in enumerate(
            zip(happenings, placed, levels, strict=True), 1
        )
    ]
    return _picture(
        f"{_anchor(device)}-whole",
        f"{device.type.value} {device.entity_id} from Commissioning to deadline",
        "The same marks, by their numbers, stand in the list that follows.",
        base + 44,
        element("line", x1="3%", x2="97%", y1=base, y2=base, class_="axis"),
        _status_band(device, scale, report.made_at, base + 6),
        _ticks(scale, base + 38, dates=True),
        marks,
    )


def _mark(number: int, happening: Happening, x: float, *, base: int, level: int) -> Markup:
    y = base - 16 - level * _LEVEL
    place = _percent(x)
    return element(
        "g",
        element("line", x1=place, x2=place, y1=y, y2=base, class_="stem"),
        element(
            "svg",
            element("path", d=_SHAPES[happening.kind], class_=f"mark mark-{happening.kind}"),
            element("text", number, y=4, text_anchor="middle", class_="number"),
            x=place,
            y=y,
            overflow="visible",
        ),
    )


def _status_band(device: DevicePart, scale: _Scale, until: datetime, y: int) -> list[Markup]:
    """Return the band of the SMI Statuses held over time; hatched while Suspended."""
    history = device.smi_status_history
    if not history:
        return []
    ends = [*(status.at for status in history[1:]), until]
    return [
        _bar(
            scale(status.at),
            scale(max(end, status.at)),
            y,
            10,
            "suspended" if status.status is SMIStatus.SUSPENDED else "status",
        )
        for status, end in zip(history, ends, strict=True)
    ]


def _within_the_run(report: Report, device: DevicePart) -> Markup | None:
    made = [
        (duty.requirement, attempt)
        for duty in device.duties
        for attempt in duty.attempts
        if attempt.in_this_run
    ]
    instants = [attempt.started_at for _, attempt in made]
    instants += [attempt.finished_at for _, attempt in made if attempt.finished_at]
    instants += [message.at for message in device.messages if message.at]
    instants += [alert.at for alert in device.alerts]
    if not instants:
        return element("p", "Nothing passed between the rig and this device in the run.")
    scale = _scale(instants)
    lanes = [
        *_attempt_lanes(made, scale),
        _message_lane(device, scale),
        *_alert_lane(device, scale),
        *_status_lane(report, device, scale),
    ]
    drawn = [
        (
            element("text", text, x="3%", y=14 + row * _LANE, class_="lane"),
            element("line", x1="3%", x2="97%", y1=_track(row), y2=_track(row), class_="track"),
            drawing(20 + row * _LANE),
        )
        for row, (text, drawing) in enumerate(lanes)
    ]
    height = _LANE * len(lanes)
    picture = _picture(
        f"{_anchor(device)}-run",
        f"{device.type.value} {device.entity_id} within the run",
        "; ".join(text for text, _ in lanes),
        height + 24,
        drawn,
        element("line", x1="3%", x2="97%", y1=height + 4, y2=height + 4, class_="axis"),
        _ticks(scale, height + 20, dates=False),
    )
    lasted = (scale.last - scale.first).total_seconds()
    caption = (
        f"Within the run: {lasted:.1f} s from the first to the last, of {scale.first:%Y-%m-%d}."
    )
    return element("figure", picture, element("figcaption", caption))


_Lane = tuple[str, "Callable[[int], object]"]


def _track(row: int) -> float:
    return row * _LANE + 24.5


def _attempt_lanes(made: Sequence[tuple[str, AttemptPart]], scale: _Scale) -> Iterable[_Lane]:
    for requirement, attempt in made:
        ended = attempt.outcome.value if attempt.outcome else "under way"
        lasted = ((attempt.finished_at or scale.last) - attempt.started_at).total_seconds()

        def drawing(y: int, attempt: AttemptPart = attempt) -> object:
            kind = attempt.outcome or Outcome.INTERRUPTED
            end = attempt.finished_at or scale.last
            return _bar(scale(attempt.started_at), scale(end), y, 9, kind.value)

        yield f"{requirement} {ended}, {max(lasted, 0.0):.2f} s", drawing


def _message_lane(device: DevicePart, scale: _Scale) -> _Lane:
    commands = [m for m in device.messages if m.direction is Direction.COMMAND]
    answers = [m for m in device.messages if m.direction is Direction.RESPONSE and m.verified]
    lost = len(commands) - len(answers)

    def drawing(y: int) -> object:
        marks: list[object] = []
        for message in device.messages:
            if message.at is None:
                continue
            if message.direction is Direction.COMMAND:
                path, kind = "M0,0L4,9H-4z", "command"
            elif message.verified:
                path, kind = "M0,9L4,0H-4z", "response"
            else:
                path, kind = "M-4,0L4,9M4,0L-4,9", "unverified"
            marks.append(_small(scale(message.at), y, path, kind))
        return marks

    text = f"{plural(len(commands), 'command')} \u25b2, {len(answers)} verified \u25bc"
    return (f"{text}, {lost} without \u2715" if lost else text), drawing


def _alert_lane(device: DevicePart, scale: _Scale) -> Iterable[_Lane]:
    if device.alerts:
        yield (
            f"{plural(len(device.alerts), 'alert')} \u25c6",
            lambda y: [
                _small(scale(alert.at), y, "M0,-1L6,5L0,11L-6,5z", "alert")
                for alert in device.alerts
            ],
        )


def _status_lane(report: Report, device: DevicePart, scale: _Scale) -> Iterable[_Lane]:
    set_in_run = [s for s in device.smi_status_history if s.recorded_at >= report.run.started_at]
    changed = [s for s in set_in_run if scale.first <= s.at <= scale.last]
    if changed:
        said = ", ".join(f"{s.status.value} {milliseconds(s.at)}" for s in changed)
        yield (
            f"SMI Status \u25cf: {said}",
            lambda y: [
                _small(scale(s.at), y, "M-5,5a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "status")
                for s in changed
            ],
        )


def _picture(anchor: str, title: str, description: str, height: int, *content: object) -> Markup:
    return element(
        "svg",
        element("title", title, id=f"{anchor}-title"),
        element("desc", description, id=f"{anchor}-desc"),
        content,
        width="100%",
        height=height,
        role="img",
        aria_labelledby=f"{anchor}-title {anchor}-desc",
    )


def _scale(instants: Sequence[datetime]) -> _Scale:
    first = min(instants)
    return _Scale(first, max(*instants, first + _SHORTEST))


def _levels(placed: Sequence[float]) -> list[int]:
    """Return for each mark the lowest level on which it does not touch another."""
    last_at: list[float] = []
    levels = []
    for x in placed:
        free = (level for level, last in enumerate(last_at) if x - last >= _APART)
        level = next(free, len(last_at))
        if level == len(last_at):
            last_at.append(x)
        last_at[level] = x
        levels.append(level)
    return levels


def _bar(begin: float, end: float, y: int, height: int, kind: str) -> Markup:
    return element(
        "rect",
        x=_percent(begin),
        y=y,
        width=_percent(max(end - begin, 0.8)),
        height=height,
        class_=f"bar bar-{kind}",
    )


def _small(x: float, y: int, path: str, kind: str) -> Markup:
    drawn = element("path", d=path, class_=f"small small-{kind}")
    return element("svg", drawn, x=_percent(x), y=y, overflow="visible")


def _ticks(scale: _Scale, y: int, *, dates: bool) -> list[Markup]:
    middle = scale.first + (scale.last - scale.first) / 2
    places = ((scale.first, "3%", "start"), (middle, "50%", "middle"), (scale.last, "97%", "end"))
    return [
        element(
            "text",
            f"{instant:%Y-%m-%d %H:%M}" if dates else milliseconds(instant),
            x=x,
            y=y,
            text_anchor=where,
            class_="tick",
        )
        for instant, x, where in places
    ]


def _anchor(device: DevicePart) -> str:
    return f"line-{device.entity_id.lower()}"


def _percent(x: float) -> str:
    return f"{x:.2f}%"
