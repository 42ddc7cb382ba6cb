"""Every setting, its value and its origin: for `keyrig settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from keyrig.base.toml_files import line_of
from keyrig.config.settings_listing import (
    KIND,
    NAME,
    described_keys,
    plain_setting,
    toml_text,
)
from keyrig.documents.document_model import Document, TextOrNull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.config.settings import SettingsRead
    from keyrig.config.settings_listing import DescribedKey


class SettingValue(Document):
    """A value that a key has."""

    at: str = Field(description="The key, with the name of its table.", examples=["serve.listen"])
    value: Any = Field(examples=["127.0.0.1:8470"])
    origin: str = Field(
        serialization_alias="from",
        description="'default', an environment variable, or the file and line.",
        examples=["default"],
    )


class SettingKey(Document):
    """One key of the settings."""

    key: str = Field(
        description="Where it stands; NAME for the name of one table of several.",
        examples=["serve.listen"],
    )
    of_kind: TextOrNull = Field(
        description="The kind of table that it is a key of, where there are several.",
        examples=[None],
    )
    form: str = Field(description="How its value is written, for people.", examples=["text"])
    default: Any = Field(
        description="What holds where it is left out; null for nothing.",
        examples=["127.0.0.1:8470"],
    )
    required: bool = Field(description="Whether its table needs it.")
    description: str = Field(examples=["Address and port that the server listens on."])
    variable: str = Field(
        description="The environment variable that overrides it.",
        examples=["KEYRIG_SERVE__LISTEN"],
    )
    values: tuple[SettingValue, ...]


class SettingsDocument(Document):
    """Every setting."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    file: str = Field(examples=["/var/lib/keyrig/keyrig.toml"])
    exists: bool
    keys: tuple[SettingKey, ...]

    @classmethod
    def of(cls, read: SettingsRead) -> SettingsDocument:
        """Return every key with its value and origin."""
        return cls(
            file=str(read.source),
            exists=read.source.exists(),
            keys=tuple(
                SettingKey(
                    key=key.name,
                    of_kind=key.kind,
                    form=key.form,
                    default=key.default,
                    required=key.required,
                    description=key.description,
                    variable=_variable(key.location),
                    values=tuple(
                        SettingValue(at=".".join(at), value=value, origin=_origin(read, at))
                        for at, value in _values(plain_setting(read.settings), key)
                    ),
                )
                for key in described_keys()
            ),
        )


def _variable(location: tuple[str, ...]) -> str:
    return "KEYRIG_" + "__".join(part.replace("-", "_").upper() for part in location)


def _values(
    values: Any, key: DescribedKey, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each value of a key, with its own origin; one for each name."""
    rest = key.location[len(at) :]
    if not rest:
        yield at, values
        return
    if not isinstance(values, dict) or key.kind not in {"", values.get(KIND, key.kind)}:
        return
    for name in values if rest[0] == NAME else [rest[0]]:
        if name in values:
            yield from _values(values[name], key, (*at, name))


def _origin(read: SettingsRead, at: tuple[str, ...]) -> str:
    for location, variable in read.overrides.items():
        if location == at[: len(location)] or at == location[: len(at)]:
            return f"environment variable {variable}"
    if not _is_in_file(read, at):
        return "default"
    line = line_of(read.text, at)
    return f"{read.source}, line {line}" if line else str(read.source)


def _is_in_file(read: SettingsRead, at: tuple[str, ...]) -> bool:
    part: Any = read.settings
    for name in at:
        if isinstance(part, BaseModel):
            if name not in part.model_fields_set:
                return False
            part = getattr(part, name)
        else:
            part = part[name]
    return True


def settings_lines(read: SettingsRead) -> Iterator[str]:
    """Return every key as text, line by line."""
    yield f"settings file: {read.source}{'' if read.source.exists() else ' (none there)'}"
    for key in SettingsDocument.of(read).keys:
        yield ""
        yield key.key + (f"  ({key.of_kind})" if key.of_kind else "")
        yield f"    {key.description}"
        default = "" if key.default is None else f"; {toml_text(key.default)} where left out"
        yield f"    {key.form}{', needed' if key.required else default}"
        for value in key.values:
            if value.origin != "default":
                yield f"    {value.at} = {toml_text(value.value)}  ({value.origin})"
