"""The pieces that every section of the HTML report is written with: tables, times and states."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from keyrig.base.clock import instant_text
from keyrig.duties.plan import DutyState
from keyrig.report.html_builder import Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keyrig.documents.report_document import DutyPart, Party

_SIGNS: Final = {
    DutyState.DONE: "✓",
    DutyState.FAILED: "✕",
    DutyState.DUE: "○",
    DutyState.SCHEDULED: "◷",
    DutyState.WAITING: "◔",
    DutyState.AWAITING_COMMISSIONING: "…",
    DutyState.EXEMPT: "\N{MINUS SIGN}",
    DutyState.VOID: "\N{MINUS SIGN}",
    DutyState.NOT_OURS: "\N{MINUS SIGN}",
}
NONE: Final = "—"
"""The text of an empty cell of a table."""


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    class_: str | None = None,
) -> Markup:
    """Return a table; the first cell of each row is its header.

    The roles are written out because narrow windows show each row as a block, by which a
    browser would take it for no table.
    """
    head = element(
        "tr", [element("th", name, scope="col", role="columnheader") for name in columns],
        role="row",
    )  # fmt: skip
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", role="rowheader"),
            [
                element("td", cell, role="cell", data_label=name)
                for name, cell in zip(columns[1:], row[1:], strict=True)
            ],
            role="row",
        )
        for row in rows
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", head, role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
        class_=class_,
    )


def moment(instant: datetime | date | None) -> object:
    """Return an instant to the second, or a date, as the report shows it; all are UTC."""
    if instant is None:
        return NONE
    if not isinstance(instant, datetime):
        return element("time", instant.isoformat(), datetime=instant.isoformat())
    shown = f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return element("time", shown, datetime=instant_text(instant))


def clock_time(instant: datetime | None) -> object:
    """Return the time of an instant to the millisecond."""
    if instant is None:
        return NONE
    return element("time", milliseconds(instant), datetime=instant_text(instant))


def milliseconds(instant: datetime) -> str:
    """Return the time of an instant to the millisecond, as text."""
    return instant.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def sign(text: str) -> Markup:
    """Return a symbol that screen readers skip, since the words beside it say the same."""
    return element("span", text, aria_hidden="true", class_="sign")


def state(duty: DutyPart) -> Markup:
    """Return the state of a duty as the run ended, with its symbol."""
    standing = duty.standing
    late = ", overdue" if standing.overdue else ", late" if standing.done_late else ""
    name = "overdue" if standing.overdue else standing.state.value
    word = standing.state.value.replace("-", " ") + late
    return element(
        "span", sign(_SIGNS[standing.state]), " ", word, class_=f"state state-{name}"
    )  # fmt: skip


def party(who: Party) -> Markup:
    """Return the name of an organisation, with its Entity Identifier."""
    return joined(element("span", who.name, class_="party"), " ", code(who.entity_id))


def code(text: str) -> Markup:
    """Return an identifier that may wrap between its parts."""
    parts = text.split("-")
    broken: list[object] = []
    for number, part in enumerate(parts):
        if number:
            broken += ["-", element("wbr")] if number == len(parts) // 2 else ["-"]
        broken.append(part)
    return element("code", broken)


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 duty" or "3 duties"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
