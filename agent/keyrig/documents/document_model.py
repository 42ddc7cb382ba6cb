"""The base of the models of documents: how they are made, serialised and exemplified."""

from __future__ import annotations

import enum
import json
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.fields import FieldInfo

from gbcs.entity_identifier import EntityIdentifier
from gbcs.printable import printable
from keyrig.base.clock import instant_text
from keyrig.domain.device_facts import Cause

LONGEST_TEXT: Final = 4000
DEADLINE_EXAMPLE: Final = "2026-12-01T09:00:00.000Z"


def _told(value: Any) -> Any:
    return printable(value, LONGEST_TEXT) if isinstance(value, str) else value


def _entity_text(value: Any) -> Any:
    return str(value) if isinstance(value, EntityIdentifier) else value


def _none_if_empty(value: Any) -> Any:
    return value or None


Instant = Annotated[
    datetime,
    PlainSerializer(instant_text, return_type=str, when_used="json"),
    Field(
        json_schema_extra={"type": "string", "format": "date-time"},
        examples=["2026-11-24T09:00:00.000Z"],
    ),
]
"""An instant, which every document writes as `keyrig.base.clock.instant_text` does."""
Told = Annotated[str, BeforeValidator(_told)]
"""Text from outside or with parts from outside: in one line, without control characters."""
Eui = Annotated[
    str,
    BeforeValidator(_entity_text),
    Field(
        pattern=r"^[0-9A-F]{2}(-[0-9A-F]{2}){7}$",
        description="An Entity Identifier.",
        examples=["00-DB-12-34-56-78-90-A0"],
    ),
]
Count = Annotated[int, Field(ge=0)]
TextOrNull = Annotated[str | None, BeforeValidator(_none_if_empty)]
"""Text, or null where there is none."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["5e" * 32])]


class Document(BaseModel):
    """A document for others, or a part of one; made from an object's attributes or by fields."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def if_any(cls, source: object) -> Self | None:
        """Return the document of an object that has its attributes, or None of None."""
        return None if source is None else cls.model_validate(source)

    def fields(self) -> dict[str, Any]:
        """Return the document as a JSON object, decoded."""
        return self.model_dump(mode="json")

    def to_json(self, indent: int | None = None) -> str:
        """Return the document as JSON text, ASCII only."""
        return json.dumps(self.fields(), indent=indent)


class NotBegunPart(Document):
    """Why a run did not begin a duty that was due; nothing of it is the device's failure."""

    at: Instant = Field(description="When that was found.")
    cause: Cause = Field(description="Whose matter it is.", examples=["keys"])
    reason: Told = Field(
        description="What is missing or wrong, in one line.",
        examples=["/var/lib/keyrig/pki: no key agreement key of 90-B3-D5-1F-30-00-00-02"],
    )
    mend: Told = Field(
        description="What to do about it, in one line.",
        examples=["`keyrig pki import FOLDER` adds it"],
    )


def example_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return an example of a document, made from the examples of its fields.

    Raises:
        TypeError: A field has none, and its type alone gives none.
    """
    return {
        field.serialization_alias or name: _example(field, field.annotation)
        for name, field in model.model_fields.items()
    }


def _example(field: FieldInfo | None, annotation: Any) -> Any:
    if field is not None and field.examples:
        return field.examples[0]
    arguments = get_args(annotation)
    found: Any
    match get_origin(annotation):
        case _ if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found = example_of(annotation)
        case _ if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            found = next(iter(annotation)).value
        case _ if annotation is bool:
            found = False
        case _ if annotation is int:
            found = 0
        case origin if origin is Annotated:
            told = [each for each in arguments if isinstance(each, FieldInfo) and each.examples]
            found = _example(told[-1] if told else None, arguments[0])
        case origin if origin in {Union, UnionType}:
            found = _example(None, arguments[0])
        case origin if origin is Literal:
            found = arguments[0]
        case origin if origin in {list, tuple}:
            found = [_example(None, arguments[0])]
        case _:
            raise TypeError(f"no example of {annotation}")
    return found
