"""One event of each kind, made from the types of its fields."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from keyrig.base.events import EVENT_TYPES, Event

AT = datetime(2026, 11, 24, 9, 0, 0, 250_999, tzinfo=UTC)
AT_TEXT = "2026-11-24T09:00:00.250Z"


def made(kind: type[Event], *, bare: bool = False, **fields: Any) -> Event:
    """Return an event whose fields all hold something; `bare`, as little as their types allow.

    A text is its field's name between stars, so that it is found again where it is shown.
    """
    hints = get_type_hints(kind)
    names = [each.name for each in dataclasses.fields(kind)]
    return kind(**{name: _value(name, hints[name], bare=bare) for name in names} | fields)


def every_event(*, bare: bool = False) -> list[Event]:
    """Return one event of each kind."""
    return [made(kind, bare=bare) for kind in EVENT_TYPES.values()]


def _value(name: str, hint: Any, *, bare: bool) -> Any:
    origin, within = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return None if bare else _value(name, within[0], bare=bare)
    if origin is Literal:
        return within[0]
    if origin is tuple:
        return () if bare else (_value(name, within[0], bare=bare),)
    if origin is Mapping:
        return {} if bare else {"key": _value(name, within[1], bare=bare)}
    simple: dict[Any, Any] = {
        str: f"*{name}*",
        int: 7,
        float: 7.5,
        bool: True,
        datetime: AT,
        Any: 7,
    }
    return type(simple[hint])() if bare and hint is not datetime else simple[hint]
