"""The published schema of events, for whoever reads them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

PUBLISHED = Path(__file__).parents[2] / "docs" / "run-events.schema.json"


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each type of event."""
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    mapping: dict[str, str] = schema["discriminator"]["mapping"]
    return {kind: schema["$defs"][to.rpartition("/")[2]] for kind, to in mapping.items()}


def assert_valid(event: dict[str, Any]) -> None:
    """Check that an event is valid by the published schema of its type, and has no other key."""
    schema = schemas().get(event["type"])
    # A type of a newer agent is nobody's fault.
    if schema is not None:
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(event)
        assert set(event) <= set(schema["properties"])
