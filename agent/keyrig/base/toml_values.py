"""Types of values that are common to several TOML files."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from gbcs.entity_identifier import EntityIdentifier


def _entity(value: Any) -> EntityIdentifier:
    if isinstance(value, EntityIdentifier):
        return value
    if not isinstance(value, str):
        # pydantic takes a ValueError, and nothing else, for a fault of the value.
        raise ValueError("an Entity Identifier has the form 00-DB-12-34-56-78-90-A0")  # noqa: TRY004 - see above
    return EntityIdentifier.parse(value)


Entity = Annotated[
    EntityIdentifier,
    BeforeValidator(_entity),
    PlainSerializer(str),
    Field(json_schema_extra={"type": "string"}),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class StrictModel(BaseModel):
    """A table of a TOML file: no unknown keys, not changed once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True
    )
