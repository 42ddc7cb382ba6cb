"""Strategies for whatever a structure may hold, made from its own declaration."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from duis.document_headers import REQUEST_ID, RequestIdentifier
from duis.response_codes import CODES, ResponseCode
from duis.service_references import COMMAND_VARIANTS, ServiceReferenceVariant
from duis.simple_types import (
    AlertCode,
    Boolean,
    Day,
    Entity,
    Enumerated,
    Instant,
    Integer,
    Named,
    Octets,
    String,
)
from duis.xml_elements import Empty, OneOf, Part, Simple, Structure, parts_of
from gbcs.entity_identifier import EntityIdentifier

if TYPE_CHECKING:
    from collections.abc import Callable

ENTITIES = st.binary(min_size=8, max_size=8).map(EntityIdentifier)
IDENTIFIERS = st.builds(RequestIdentifier, ENTITIES, ENTITIES, st.integers(0, 2**64 - 1))
INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))]),
)
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]).filter(
    lambda c: c not in "\ufffe\uffff"
)


def _strings(kind: String) -> st.SearchStrategy[str]:
    # A limit of the project's own is no reason for long texts here.
    most = min(kind.maximum, kind.minimum + 30)
    alphabet = "0123456789abcdefABCDEF" if kind.pattern else CHARACTERS
    return st.text(alphabet, min_size=kind.minimum, max_size=most)


_TEXTS: dict[type[Any], Callable[[Any], st.SearchStrategy[Any]]] = {
    Integer: lambda kind: st.integers(kind.minimum, kind.maximum),
    String: _strings,
    Octets: lambda _: st.binary(min_size=1, max_size=70),
    AlertCode: lambda _: st.integers(0, 0xFFFF),
    Boolean: lambda _: st.booleans(),
    Instant: lambda _: INSTANTS,
    Day: lambda _: st.dates(min_value=date(1, 1, 1)),
    Entity: lambda _: ENTITIES,
    Enumerated: lambda kind: st.sampled_from(list(kind.members)),
    Named: lambda kind: st.sampled_from(list(kind._values.values())),
    ResponseCode: lambda _: st.sampled_from(sorted(CODES)),
    ServiceReferenceVariant: lambda _: st.sampled_from(sorted(COMMAND_VARIANTS)),
    type(REQUEST_ID): lambda _: IDENTIFIERS,
}
"""Values of every simple type, up to its limits."""


def values(content: Any) -> st.SearchStrategy[Any]:
    """Give values of what an element may contain."""
    match content:
        case Simple():
            return _TEXTS[type(content._type)](content._type)
        case Structure():
            return instances(content.cls)
        case OneOf():
            return st.one_of(*(instances(cls) for cls in content._by_name.values()))
        case Empty():
            return st.just(value=True)
    raise AssertionError(content)


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Give instances of a structure, with every choice of what may be left out."""
    parts = parts_of(cls)
    alternatives = [part for part in parts if part.alternative]
    fixed = {part.field: _values_of(part) for part in parts if not part.alternative}
    if not alternatives:
        return st.builds(cls, **fixed)
    return st.one_of(
        *(st.builds(cls, **fixed, **{part.field: values(part.content)}) for part in alternatives)
    )


def _values_of(part: Part) -> st.SearchStrategy[Any]:
    each = values(part.content)
    if part.many:
        most = min(part.at_most, part.at_least + 8)
        return st.lists(each, min_size=part.at_least, max_size=most).map(tuple)
    return each if part.at_least else st.none() | each
