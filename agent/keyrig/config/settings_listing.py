"""The listing of the settings: every key with its form, value and origin."""

from __future__ import annotations

import builtins
import enum
import json
import types
import typing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic_core import PydanticUndefined

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.clock import instant_text
from keyrig.config.secret_references import SecretPlace
from keyrig.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

KIND: Final = "kind"
NAME: Final = "NAME"
"""The placeholder for the name of a table of which there may be several."""

_FORMS: Final[dict[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    AwareDatetime: "instant with its zone",
    EntityIdentifier: "Entity Identifier",
    SecretPlace: 'secret: { file = "…" }, { environment = "…" } or { keyring = "SERVICE/USER" }',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedKey:
    """One key of the settings.

    Args:
        location: Where it stands; `NAME` for the name of one table of several.
        form: How its value is written, for people.
        default: The value where it is left out; None for none.
        required: Whether its table needs it.
        description: What it does.
        kind: The kind of table that it is a key of, where there are several kinds.
    """

    location: tuple[str, ...]
    form: str
    default: Any
    required: bool
    description: str
    kind: str = ""

    @property
    def name(self) -> str:
        """The location as TOML writes it."""
        return ".".join(self.location)

    @property
    def is_kind(self) -> bool:
        """True if it tells which kind its table is of."""
        return self.location[-1] == KIND


def described_keys() -> tuple[DescribedKey, ...]:
    """Return every key, in the order of declaration."""
    return tuple(_keys(Settings, ()))


def _keys(model: type[BaseModel], at: tuple[str, ...]) -> Iterator[DescribedKey]:
    kind = (
        str(plain_setting(get_args(model.model_fields[KIND].annotation)[0]))
        if KIND in model.model_fields
        else ""
    )
    fields = sorted(model.model_fields.items(), key=lambda item: item[0] != KIND)
    for name, field in fields:
        location = (*at, name)
        tables = tuple(_tables_in(field.annotation))
        if not tables:
            yield DescribedKey(
                location=location,
                form=_form(field.annotation),
                default=_default(field),
                required=field.is_required(),
                description=field.description or "",
                kind=kind,
            )
        for table, is_named in tables:
            yield from _keys(table, (*location, NAME) if is_named else location)


def _tables_in(annotation: Any) -> Iterator[tuple[type[BaseModel], bool]]:
    """Yield the tables that a key holds, and whether each is below a name of its own."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not SecretPlace:
            yield annotation, False
        return
    is_named = get_origin(annotation) is dict
    for argument in get_args(annotation):
        for table, below in _tables_in(argument):
            yield table, is_named or below


def _form(annotation: Any) -> str:
    if annotation in _FORMS:
        return _FORMS[annotation]
    arguments = get_args(annotation)
    match get_origin(annotation):
        case typing.Annotated:
            form = _form(arguments[0])
        case typing.Literal:
            form = " or ".join(json.dumps(each) for each in arguments)
        case typing.Union | types.UnionType:
            form = " or ".join(_form(each) for each in arguments if each is not type(None))
        case builtins.tuple:
            form = f"list of {_form(arguments[0])}"
        case builtins.dict:
            form = f"table of {_form(arguments[1])}"
        case _:
            form = str(getattr(annotation, "__name__", annotation))
    return form


def _default(field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else plain_setting(value)


def plain_setting(value: Any) -> Any:
    """Return a value as TOML would hold it; a secret as where it is kept."""
    found = value
    match value:
        case SecretPlace():
            found = value.model_dump(exclude_none=True)
        case BaseModel():
            names = type(value).model_fields
            found = {name: plain_setting(getattr(value, name)) for name in names}
        case dict():
            found = {name: plain_setting(each) for name, each in value.items()}
        case tuple() | list():
            found = [plain_setting(each) for each in value]
        case EntityIdentifier():
            found = str(value)
        case datetime():
            found = instant_text(value)
        case enum.Enum():
            found = value.value
    return found


def toml_text(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {toml_text(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)


def example_lines() -> Iterator[str]:
    """Yield the lines of a settings file with every key, described and commented out.

    Without the # at its beginning, the line of a key or table holds.
    """
    yield "# Settings of keyrig. Every key may be left out; what stands here are the defaults."
    yield "# Secrets are named by where they are kept, and never written here."
    table: tuple[str, ...] = ()
    for key in described_keys():
        if key.location[:-1] != table or key.is_kind:
            table = key.location[:-1]
            yield ""
            yield f"#[{'.'.join(table)}]"
        yield f"# {key.description} ({key.form}{'; needed' if key.required else ''})"
        yield f"#{key.location[-1]} = {_shown(key)}"


def _shown(key: DescribedKey) -> str:
    if key.default is not None:
        return toml_text(key.default)
    if key.is_kind:
        return key.form
    if key.form.startswith("secret"):
        return '{ file = "…" }'
    if key.form == _FORMS[AwareDatetime]:
        return "2026-11-20T09:00:00Z"
    return "0" if "number" in key.form else '"…"'
