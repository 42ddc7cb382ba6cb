"""Explanations of duties as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.printable import printable
from keyrig.base.clock import second_text
from keyrig.domain.known_facts import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyrig.domain.device_facts import AttemptFact
    from keyrig.duties.explain import Explanation, FactUsed


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """Return an explanation as text, line by line."""
    duty = explanation.duty
    late = ", overdue" if duty.overdue else ", late" if duty.is_done_late else ""
    title = f"{duty.requirement} {duty.device_type.value} {duty.device}"
    yield f"{title}: {duty.state.value}{late} ({printable(duty.reason, 200)})"
    yield from _section("rule", explanation.rule)
    yield from _section("facts", (_fact(used) for used in explanation.facts))
    yield from _section(
        "read as",
        (f"{r.ambiguity} {r.name} = {r.choice}: {r.reason}" for r in explanation.readings),
    )
    yield from _section("days", [explanation.days])
    yield from _section("tried", (_attempt(each) for each in explanation.attempts))
    yield from _section("failed", explanation.failing)
    yield from _section("failing", explanation.entails)
    yield from _section("changes", explanation.changes)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {title if not number else '':8} {line}"


def _fact(used: FactUsed) -> str:
    value = plain_value(used.value)
    text = ", ".join(value) if isinstance(value, list) else str(value)
    if used.known is None:
        shown = "not known" if value in (None, []) else f"{text}, as nobody says otherwise"
        return f"{used.name.value}: {shown}"
    source = printable(used.known.source, 60)
    since = f", from {second_text(used.known.at)}" if used.known.at else ""
    recorded = second_text(used.known.recorded_at)
    return f"{used.name.value}: {text} ({source}, recorded {recorded}{since})"


def _attempt(attempt: AttemptFact) -> str:
    ended = second_text(attempt.finished_at) if attempt.finished_at else "under way"
    outcome = attempt.outcome.value if attempt.outcome else "under way"
    why = f": {printable(attempt.detail, 160)}" if attempt.detail else ""
    return f"{second_text(attempt.started_at)} to {ended}: {outcome}{why}"
