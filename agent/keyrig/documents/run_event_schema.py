"""The JSON Schema of every event, made from `keyrig.base.events`.

It is published in docs/run-events.schema.json, and the OpenAPI document has it too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from keyrig.base.events import EVENT_SCHEMA, EVENT_TYPES

if TYPE_CHECKING:
    from keyrig.base.events import Event

SCHEMA_ID: Final = f"urn:keyrig:run-events:{EVENT_SCHEMA}"
UNION: Final = "RunEvent"
"""The name of the schema of whichever event it is."""
_DESCRIPTION: Final = (
    "A line of `keyrig run --json` and of every other `--json` that tells of events, and the data "
    "of each Server-Sent Event. Take no notice of types and keys that you don't know."
)


def event_schemas(reference: str) -> dict[str, dict[str, Any]]:
    """Return the schema of each event by its name, and last the one of them all, `UNION`.

    Args:
        reference: How a schema refers to another, with `{name}` for its name.
    """
    schemas = {f"{kind.__name__}Event": _schema(kind) for kind in EVENT_TYPES.values()}
    to = {
        kind.type: reference.format(name=name)
        for kind, name in zip(EVENT_TYPES.values(), schemas, strict=True)
    }
    schemas[UNION] = {
        "title": UNION,
        "description": _DESCRIPTION,
        "oneOf": [{"$ref": each} for each in to.values()],
        "discriminator": {"propertyName": "type", "mapping": to},
    }
    return schemas


def schema_text() -> str:
    """Return the JSON Schema (2020-12) of events, as published in docs/run-events.schema.json."""
    schemas = event_schemas("#/$defs/{name}")
    union = schemas.pop(UNION)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return json.dumps(head | union | {"$defs": schemas}, indent=1, ensure_ascii=True) + "\n"


def _schema(kind: type[Event]) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema(mode="serialization")
    fields = {
        name: {key: value for key, value in told.items() if key not in {"title", "default"}}
        for name, told in made.get("properties", {}).items()
    }
    return {
        "title": made["title"],
        "description": made["description"],
        "type": "object",
        "properties": {
            "schema": {"const": EVENT_SCHEMA},
            "number": {
                "type": "integer",
                "minimum": 1,
                "description": "Its number in its operation; in streams alone.",
            },
            "type": {"const": kind.type},
            "at": {"type": "string", "format": "date-time"},
            **fields,
        },
        "required": ["schema", "type", "at", *made.get("required", [])],
    }
