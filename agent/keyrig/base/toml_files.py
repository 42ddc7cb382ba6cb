"""Reading TOML files into models, with the line and the mend of each mistake."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from gbcs.entity_identifier import EntityIdentifier
from gbcs.printable import printable
from keyrig.base.outside_files import KEY_PARTS_MAXIMUM, Unreadable
from keyrig.base.outside_files import parse_toml as parse_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TAG: Final = "#"
"""The prefix of the tags that distinguish the forms of a value."""
ModelT = TypeVar("ModelT", bound=BaseModel)
Location = tuple[str | int, ...]
# Each of these matches a line in a time that is linear in its length.
_HEADER: Final = re.compile(r"^\s*(\[\[?)([^\[\]#]+)\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\")(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")
_NESTED_KEY: Final = re.compile(r"[{,]\s*([A-Za-z0-9_-]+)\s*=")


class TOMLFault(ValueError):
    """A fault in a TOML file: where it is, what is wrong, and what to write instead.

    Args:
        line: The line, from 1, or None.
        reason: What is wrong.
        mend: What to write instead.
        location: The keys, and indexes from 0, that lead to the value.
    """

    def __init__(self, line: int | None, reason: str, mend: str, location: Location = ()) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.mend = mend
        self.location = location


class Misplaced(ValueError):
    """A fault that a model's own check found, with its location below the model."""

    def __init__(self, location: Location, reason: str) -> None:
        super().__init__(reason)
        self.location = location


class Concealed(ValueError):
    """A fault of a value that must not be shown."""


def read_toml(text: str, model: type[ModelT]) -> ModelT:
    """Read TOML text into a model.

    Raises:
        TOMLFault: Not TOML, an unknown or missing key, or a value that is not allowed.
    """
    return into_model(text, parse_toml(text), model)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML text.

    Raises:
        TOMLFault: As `keyrig.base.outside_files.parse_toml`.
    """
    try:
        return parse_bounded(text)
    except Unreadable as error:
        line, reason = error.line, error.reason
        if error.location:
            line = line_of(text, error.location)
            reason = f"'{printable(_dotted(error.location))}' is {reason}"
        raise TOMLFault(line, reason, error.mend, error.location) from None


def into_model(text: str, values: dict[str, Any], model: type[ModelT]) -> ModelT:
    """Validate parsed values as a model; `text` is used to find line numbers.

    Raises:
        TOMLFault: An unknown or missing key, or a value that is not allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _fault(text, values, model, error) from None


def _fault(
    text: str, values: dict[str, Any], model: type[BaseModel], error: ValidationError
) -> TOMLFault:
    faults = error.errors(include_url=False)
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    # Where pydantic chose among several forms of a value, it names the form's tag too.
    location: Location = tuple(p for p in fault["loc"] if not str(p).startswith(TAG))
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, Misplaced):
        location += cause.location
    line = line_of(text, location)
    where = _dotted(location)
    if fault["type"] == "extra_forbidden":
        known = sorted(set(_field_names(model)))
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(known)}"
        return TOMLFault(line, f"unknown key '{printable(where)}'", mend, location)
    if fault["type"] == "missing":
        return TOMLFault(line, f"'{where}' is missing", "add it", location)
    where = _dotted(_in_file(values, location))
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if fault["type"] == "tuple_type":
        message = 'it is a list, such as ["…"]'
    if not where:
        return TOMLFault(None, message, "correct it", location)
    if isinstance(cause, Concealed):
        return TOMLFault(line, f"'{printable(where)}'", message, location)
    if isinstance(fault["input"], dict):
        return TOMLFault(line, f"'{printable(where)}': {message}", "correct it", location)
    shown = printable(repr(fault["input"]), 60)
    return TOMLFault(line, f"'{printable(where)}' is {shown}", message, location)


def _in_file(values: Any, location: Location) -> Location:
    """Return the part of a location that is in the file: pydantic appends types' alternatives."""
    for depth, part in enumerate(location):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return location[:depth]
    return location


def _dotted(location: Location) -> str:
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


def _field_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for inner in _models_in(field.annotation):
            yield from _field_names(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def line_of(text: str, location: Sequence[str | int]) -> int | None:
    """Return the line, from 1, of the value at a location, or of the nearest one around it.

    Args:
        text: The TOML text, which parses.
        location: Keys, and indexes from 0 into arrays of tables.
    """
    best: tuple[int, int] | None = None
    for line, path in _places(text):
        depth = _shared(path, location)
        if depth and (best is None or depth > best[0]):
            best = (depth, line)
    return None if best is None else best[1]


def _shared(path: Sequence[str | int], location: Sequence[str | int]) -> int:
    """Return how many leading parts two locations share; 0 where `path` leads elsewhere."""
    if len(path) > len(location):
        return 0
    return len(path) if tuple(location[: len(path)]) == tuple(path) else 0


def _places(text: str) -> Iterator[tuple[int, Location]]:
    """Yield each line's number and location: those of tables, keys, and keys of inline tables."""
    table: Location = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            names = _split(header.group(2))
            if len(names) > KEY_PARTS_MAXIMUM:
                continue  # A line of a long text: no header has so many.
            if header.group(1) == "[[":
                counts[".".join(names)] = counts.get(".".join(names), -1) + 1
            table = _within_arrays(names, counts)
            yield number, table
            continue
        key = _KEY.match(line)
        if key:
            path = (*table, *_split(key.group(1)))
            yield number, path
            for nested in _NESTED_KEY.finditer(line, key.end()):
                yield number, (*path, nested.group(1))


def _within_arrays(names: list[str], counts: dict[str, int]) -> Location:
    """Return the location of a table whose name leads through the last items of arrays."""
    location: list[str | int] = []
    for depth, name in enumerate(names, 1):
        location.append(name)
        index = counts.get(".".join(names[:depth]))
        if index is not None:
            location.append(index)
    return tuple(location)


def _split(dotted: str) -> list[str]:
    return [part.strip().strip('"') for part in dotted.split(".")]


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
