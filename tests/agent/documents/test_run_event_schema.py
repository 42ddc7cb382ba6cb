"""The published schema of events: what is told is valid by it, what is not an event is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from agent.made_events import AT, every_event, made
from keyrig.base import events

PUBLISHED = json.loads(
    (Path(__file__).parents[3] / "docs" / "run-events.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(PUBLISHED, format_checker=FormatChecker())


def line(event: events.Event, number: int | None = None) -> dict[str, Any]:
    return events.event_line(event.type, AT, event.to_json(), number)


def test_schema_names_every_event() -> None:
    Draft202012Validator.check_schema(PUBLISHED)
    assert set(PUBLISHED["discriminator"]["mapping"]) == set(events.EVENT_TYPES)
    assert len(PUBLISHED["oneOf"]) == len(PUBLISHED["$defs"]) == len(events.EVENT_TYPES)


@pytest.mark.parametrize(
    "event", every_event() + every_event(bare=True), ids=lambda event: event.type
)
def test_line_and_streamed_event_are_valid_by_the_published_schema(event: events.Event) -> None:
    VALIDATOR.validate(line(event))
    VALIDATOR.validate(line(event, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "donne"},
        {"outcome": None},
        {"type": "duty-ended"},
        {"schema": 2},
        {"number": 0},
        {"device": 7},
    ],
)
def test_what_is_no_event_is_not_valid(change: dict[str, Any]) -> None:
    told = line(made(events.DutyFinished))
    VALIDATOR.validate(told)
    with pytest.raises(ValidationError):
        VALIDATOR.validate(told | change)


def test_every_promised_field_must_be_there_but_for_those_that_came_later() -> None:
    told = line(made(events.CommandSent))
    for name in told:
        rest = {key: value for key, value in told.items() if key != name}
        is_optional = name in {"position", "sending", "service_request"}
        assert VALIDATOR.is_valid(rest) == is_optional, name
