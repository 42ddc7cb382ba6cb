"""Statements about a device with their sources and times, and the facts that hold at an instant."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.domain.device_facts import DCC, DeviceFacts, Fuel, aware_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_SUMMER_TIME: Final = timedelta(hours=1)


LATEST_YEAR: Final = 2999
"""The last year of a plausible Commissioning."""


class FactName(enum.Enum):
    """A fact that a source can state; the values are the fields of `DeviceFacts`."""

    DEVICE_TYPE = "device_type"
    COMMISSIONED_AT = "commissioned_at"
    REPLACED = "replaced"
    DECOMMISSIONED = "decommissioned"
    ORGANISATION_CERTIFICATE_REPLACED = (
        "organisation_certificate_replaced_by_dcc_during_commissioning"
    )
    RECOVERY_CHECKED_BY = "recovery_checked_after_receipt_by"
    FUELS = "fuels"
    RESPONSIBLE_SUPPLIERS = "responsible_suppliers"
    LEAD_SUPPLIER = "lead_supplier"
    NETWORK_OPERATOR = "network_operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFact:
    """One statement about a device.

    Args:
        name: The fact.
        value: The fact's value, of the type of the field of `DeviceFacts`; None withdraws what
            the same source stated before.
        at: The instant from which it holds, or None for the instant of recording.
        source: Its source, such as "rig emulated-home".
        recorded_at: When it was recorded.
    """

    name: FactName
    value: Any
    at: datetime | None = None
    source: str
    recorded_at: datetime

    @property
    def since(self) -> datetime:
        """The instant from which it counts against other sources."""
        return self.at or self.recorded_at


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """The facts that hold of a device, and the statement behind each; others have their default."""

    facts: DeviceFacts
    origins: Mapping[FactName, KnownFact]


def fold(device: EntityIdentifier, known: Iterable[KnownFact], now: datetime) -> DeviceRecord:
    """Return the facts that hold of a device at `now`.

    The last statement of each source counts; among sources, the one that holds since the latest
    instant, and of two such the one recorded last. What comes into force later is left out.
    A mere date of Commissioning does not outweigh an instant within it, by UTC or by the
    clock time of Great Britain.

    Args:
        device: The device.
        known: All statements about it, in the order of recording.
        now: The present instant.

    Raises:
        ValueError: No source stated its type.
    """
    last: dict[tuple[FactName, str], tuple[datetime, int, KnownFact]] = {}
    for order, fact in enumerate(known):
        if fact.at is not None and fact.at > now:
            continue
        key = (fact.name, fact.source)
        rank = (fact.since, order, fact)
        if key not in last or last[key][:2] < rank[:2]:
            last[key] = rank
    origins: dict[FactName, tuple[datetime, int, KnownFact]] = {}
    for (name, _), rank in last.items():
        if rank[2].value is None:
            continue
        if name not in origins or origins[name][:2] < rank[:2]:
            origins[name] = rank
    standing = {name: rank[2] for name, rank in origins.items()}
    if FactName.COMMISSIONED_AT in standing:
        words = [rank[2] for (name, _), rank in last.items() if name is FactName.COMMISSIONED_AT]
        standing[FactName.COMMISSIONED_AT] = _most_exact(standing[FactName.COMMISSIONED_AT], words)
    if FactName.DEVICE_TYPE not in standing:
        raise ValueError(f"the type of device {device} is not known")
    values = {name.value: fact.value for name, fact in standing.items()}
    return DeviceRecord(facts=DeviceFacts(entity_id=device, **values), origins=standing)


def _most_exact(standing: KnownFact, words: Iterable[KnownFact]) -> KnownFact:
    """Return the newest instant within the date that holds, or else the fact that holds."""
    if standing.value is None or isinstance(standing.value, datetime):
        return standing
    within = [
        word
        for word in words
        if isinstance(word.value, datetime)
        and standing.value in {word.value.date(), (word.value + _SUMMER_TIME).date()}
    ]
    return max(within, key=lambda word: word.since, default=standing)


def standing_facts(
    device: EntityIdentifier, known: tuple[KnownFact, ...], now: datetime
) -> tuple[KnownFact, ...]:
    """Return what of all that was said of a device holds at `now`; all of it without a type."""
    try:
        origins = fold(device, known, now).origins
    except ValueError:
        return known
    return tuple(origins[name] for name in FactName if name in origins)


def news(
    said: Mapping[FactName, Any], known: Iterable[KnownFact], source: str, now: datetime
) -> tuple[KnownFact, ...]:
    """Return what a source states now that differs from what it stated last.

    What it no longer states is withdrawn.
    """
    before = last_words(known, source)
    changed = {name: value for name, value in said.items() if before.get(name) != value}
    changed |= {
        name: None for name, value in before.items() if value is not None and name not in said
    }
    return tuple(
        KnownFact(name=name, value=value, source=source, recorded_at=now)
        for name, value in changed.items()
    )


def last_words(known: Iterable[KnownFact], source: str) -> dict[FactName, Any]:
    """Return what a source stated last of each fact; None where it withdrew it."""
    return {fact.name: fact.value for fact in known if fact.source == source}


def encode_value(value: Any) -> str:
    """Write a fact's value as JSON."""
    return json.dumps(plain_value(value), separators=(",", ":"))


def decode_value(name: FactName, text: str) -> Any:
    """Read a fact's value from JSON.

    Raises:
        ValueError: It is no value of that fact.
    """
    value = json.loads(text)
    return None if value is None else read_value(name, value)


def read_value(name: FactName, value: Any) -> Any:
    """Parse a fact's value as JSON, TOML or a command line has it.

    Raises:
        ValueError: It is no value of that fact.
    """
    try:
        return _READERS[name](value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{value!r} is no {name.value}; {form_of(name)}") from error


def form_of(name: FactName) -> str:
    """Return the form in which a fact's value is written."""
    return _FORMS[_READERS[name]]


def plain_value(value: Any) -> Any:
    """Return a fact's value as JSON has it: text, true or false, a list of texts, or None."""
    if isinstance(value, (list, tuple, frozenset)):
        parts = [plain_value(each) for each in value]
        return sorted(parts) if isinstance(value, frozenset) else parts
    match value:
        case None | bool() | str():
            return value
        case enum.Enum():
            return value.value
        case EntityIdentifier():
            return str(value)
        case datetime():
            return aware_utc(value).isoformat().replace("+00:00", "Z")
        case _:
            assert isinstance(value, date)
            return value.isoformat()


def _read_flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value]


def plausible_commissioning(value: datetime | date) -> datetime | date:
    """Return a time of Commissioning unchanged; refuse an implausible one.

    Raises:
        ValueError: It is one that stands for none; deadlines could not be counted from it.
    """
    if value.year > LATEST_YEAR:
        raise ValueError(f"no Commissioning is in the year {value.year}")
    return value


def _read_commissioning(value: Any) -> datetime | date:
    if isinstance(value, str):
        reader = datetime if "T" in value else date
        value = reader.fromisoformat(value)
    if isinstance(value, datetime):
        value = aware_utc(value)
    found: datetime | date = plausible_commissioning(value)
    return found


def _read_checker(value: Any) -> Any:
    return DCC if value == DCC else EntityIdentifier.parse(value)


def _read_entity(value: Any) -> EntityIdentifier:
    return EntityIdentifier.parse(value)


def _read_entities(value: Any) -> tuple[EntityIdentifier, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(EntityIdentifier.parse(part.strip()) for part in parts)


def _read_fuels(value: Any) -> frozenset[Fuel]:
    parts = value.split(",") if isinstance(value, str) else value
    return frozenset(Fuel(part.strip()) for part in parts)


def _read_device_type(value: Any) -> DeviceType:
    return DeviceType(value)


_READERS: Final[Mapping[FactName, Callable[[Any], Any]]] = {
    FactName.DEVICE_TYPE: _read_device_type,
    FactName.COMMISSIONED_AT: _read_commissioning,
    FactName.REPLACED: _read_flag,
    FactName.DECOMMISSIONED: _read_flag,
    FactName.ORGANISATION_CERTIFICATE_REPLACED: _read_flag,
    FactName.RECOVERY_CHECKED_BY: _read_checker,
    FactName.FUELS: _read_fuels,
    FactName.RESPONSIBLE_SUPPLIERS: _read_entities,
    FactName.LEAD_SUPPLIER: _read_entity,
    FactName.NETWORK_OPERATOR: _read_entity,
}
_FORMS: Final[Mapping[Callable[[Any], Any], str]] = {
    _read_device_type: "write one of " + ", ".join(each.value for each in DeviceType),
    _read_flag: "write true or false",
    _read_commissioning: "write an instant such as 2026-11-20T09:00:00Z, or its date",
    _read_checker: "write dcc or an Entity Identifier",
    _read_entity: "write an Entity Identifier such as 90-B3-D5-1F-30-01-00-00",
    _read_entities: "write Entity Identifiers with commas between",
    _read_fuels: "write electricity, gas or both with a comma between",
}
