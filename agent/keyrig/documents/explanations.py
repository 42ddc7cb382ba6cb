"""Explanations of duties, as text for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gbcs.printable import printable
from keyrig.documents.fact_listing import fact_document
from keyrig.domain.known_facts import encode_value
from keyrig.duties.explain import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyrig.domain.device_facts import AttemptFact
    from keyrig.duties.explain import Explanation, FactUsed
    from keyrig.run.outlook import Outlook


def explanations_of(outlook: Outlook) -> list[Explanation]:
    """Explain every duty of a rig's plan, in its order."""
    return [
        explain(
            outlook.rules,
            duty,
            outlook.records[duty.device],
            outlook.attempts.of(duty.device, duty.requirement),
            outlook.statuses[duty.device],
        )
        for duty in outlook.plan.duties
    ]


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Make the JSON object of an explanation."""
    duty = explanation.duty
    return {
        "id": duty.id,
        "requirement": duty.requirement,
        "state": duty.state.value,
        "reason": duty.reason,
        "deadline": duty.deadline.isoformat() if duty.deadline else None,
        "overdue": duty.overdue,
        "rule": list(explanation.rule),
        "facts": [
            {"name": used.name.value, "value": json.loads(encode_value(used.value))}
            | ({"said": fact_document(used.known)} if used.known else {"said": None})
            for used in explanation.facts
        ],
        "readings": [
            {
                "name": used.name,
                "ambiguity": used.ambiguity,
                "choice": used.choice,
                "reason": used.reason,
            }
            for used in explanation.readings
        ],
        "days": explanation.days,
        "attempts": [
            {
                "started_at": attempt.started_at.isoformat(),
                "finished_at": attempt.finished_at.isoformat() if attempt.finished_at else None,
                "outcome": attempt.outcome.value if attempt.outcome else None,
                "detail": attempt.detail,
            }
            for attempt in explanation.attempts
        ],
        "failed_at_attempt": _iso(duty.failed_at_attempt),
        "failed_at_deadline": _iso(duty.failed_at_deadline),
        "entails": list(explanation.entails),
        "would_change_it": list(explanation.changes),
    }


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """Write an explanation for people to read."""
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
    value = json.loads(encode_value(used.value))
    text = ", ".join(value) if isinstance(value, list) else str(value)
    if used.known is None:
        shown = "not known" if value in (None, []) else f"{text}, as nobody says otherwise"
        return f"{used.name.value}: {shown}"
    source = printable(used.known.source, 60)
    since = f", from {used.known.at:%Y-%m-%dT%H:%M:%SZ}" if used.known.at else ""
    recorded = f"{used.known.recorded_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{used.name.value}: {text} ({source}, recorded {recorded}{since})"


def _attempt(attempt: AttemptFact) -> str:
    ended = f"{attempt.finished_at:%Y-%m-%dT%H:%M:%SZ}" if attempt.finished_at else "under way"
    outcome = attempt.outcome.value if attempt.outcome else "under way"
    why = f": {printable(attempt.detail, 160)}" if attempt.detail else ""
    return f"{attempt.started_at:%Y-%m-%dT%H:%M:%SZ} to {ended}: {outcome}{why}"


def _iso(instant: Any) -> str | None:
    return instant.isoformat() if instant else None
