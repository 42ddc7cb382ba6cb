from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.domain.device_facts import Fuel
from keyrig.domain.known_facts import (
    FactName,
    KnownFact,
    decode_value,
    encode_value,
    fold,
    form_of,
    news,
    read_value,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEVICE = EntityIdentifier.parse("00db1234567890a0")
ONE = EntityIdentifier.parse("90b3d51f30010000")
TWO = EntityIdentifier.parse("90b3d51f30030000")
N = FactName


def fact(
    name: FactName,
    value: Any,
    *,
    hour: int = 0,
    source: str = "rig bench",
    at: datetime | None = None,
) -> KnownFact:
    return KnownFact(name=name, value=value, at=at, source=source, recorded_at=NOON + hour * HOUR)


TYPE = fact(N.DEVICE_TYPE, DeviceType.ESME)


def supplier(*said: KnownFact, now: datetime = NOON + 100 * HOUR) -> EntityIdentifier | None:
    return fold(DEVICE, [TYPE, *said], now).facts.lead_supplier


def test_what_was_said_last_holds_and_its_origin_is_kept() -> None:
    first, second = fact(N.LEAD_SUPPLIER, ONE), fact(N.LEAD_SUPPLIER, TWO, hour=1, source="ticket")
    record = fold(DEVICE, [TYPE, first, second], NOON + HOUR)
    assert record.facts.lead_supplier == TWO
    assert record.origins[N.LEAD_SUPPLIER] is second
    assert record.facts.replaced is False
    assert N.REPLACED not in record.origins


def test_what_holds_since_later_outweighs_what_was_merely_recorded_later() -> None:
    since_long = fact(N.LEAD_SUPPLIER, ONE, hour=5, source="history", at=NOON - 999 * HOUR)
    assert supplier(fact(N.LEAD_SUPPLIER, TWO), since_long) == TWO


def test_what_comes_into_force_later_waits() -> None:
    change = fact(N.LEAD_SUPPLIER, TWO, source="ticket", at=NOON + 10 * HOUR)
    before = fact(N.LEAD_SUPPLIER, ONE)
    assert supplier(before, change, now=NOON + 9 * HOUR) == ONE
    assert supplier(before, change, now=NOON + 10 * HOUR) == TWO


def test_taking_back_leaves_what_other_sources_say() -> None:
    rig, ticket = fact(N.LEAD_SUPPLIER, ONE), fact(N.LEAD_SUPPLIER, TWO, hour=1, source="ticket")
    taken_back = fact(N.LEAD_SUPPLIER, None, hour=2, source="ticket")
    assert supplier(rig, ticket, taken_back) == ONE
    assert supplier(rig, ticket, taken_back, fact(N.LEAD_SUPPLIER, None, hour=3)) is None


def test_clock_that_stepped_back_loses_no_fact_that_has_no_instant_of_its_own() -> None:
    assert supplier(fact(N.LEAD_SUPPLIER, ONE, hour=50), now=NOON) == ONE


def test_device_without_a_type_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="type of device 00-DB-12-34-56-78-90-A0 is not known"):
        fold(DEVICE, [fact(N.LEAD_SUPPLIER, ONE)], NOON)


@pytest.mark.parametrize(
    ("instant", "day", "kept"),
    [
        (NOON, date(2026, 11, 20), True),
        (NOON, date(2026, 11, 21), False),
        # 00:30 of the 21st by the clocks of Great Britain in summer.
        (datetime(2026, 6, 20, 23, 30, tzinfo=UTC), date(2026, 6, 21), True),
        (datetime(2026, 6, 20, 23, 30, tzinfo=UTC), date(2026, 6, 20), True),
    ],
)
def test_date_does_not_outweigh_an_instant_within_it(
    instant: datetime, day: date, *, kept: bool
) -> None:
    rig = fact(N.COMMISSIONED_AT, instant)
    inventory = fact(N.COMMISSIONED_AT, day, hour=1, source="Read Inventory")
    record = fold(DEVICE, [TYPE, rig, inventory], NOON + 2 * HOUR)
    assert record.facts.commissioned_at == (instant if kept else day)


def test_source_records_only_what_it_says_anew_and_takes_back_what_it_leaves_out() -> None:
    known = [TYPE, fact(N.LEAD_SUPPLIER, ONE), fact(N.REPLACED, value=True, source="ticket")]
    said = {N.DEVICE_TYPE: DeviceType.ESME, N.NETWORK_OPERATOR: TWO}
    fresh = news(said, known, "rig bench", NOON + HOUR)
    assert [(f.name, f.value) for f in fresh] == [
        (N.NETWORK_OPERATOR, TWO),
        (N.LEAD_SUPPLIER, None),
    ]
    assert news(said, [*known, *fresh], "rig bench", NOON + 2 * HOUR) == ()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (N.DEVICE_TYPE, DeviceType.CHF, '"CHF"'),
        (N.COMMISSIONED_AT, NOON, '"2026-11-20T12:00:00Z"'),
        (N.COMMISSIONED_AT, NOON.date(), '"2026-11-20"'),
        (N.REPLACED, True, "true"),
        (N.RECOVERY_CHECKED_BY, "dcc", '"dcc"'),
        (N.RECOVERY_CHECKED_BY, ONE, '"90-B3-D5-1F-30-01-00-00"'),
        (N.FUELS, frozenset(Fuel), '["electricity","gas"]'),
        (
            N.RESPONSIBLE_SUPPLIERS,
            (TWO, ONE),
            '["90-B3-D5-1F-30-03-00-00","90-B3-D5-1F-30-01-00-00"]',
        ),
        (N.LEAD_SUPPLIER, None, "null"),
    ],
)
def test_value_is_written_and_read_back(name: FactName, value: Any, text: str) -> None:
    assert encode_value(value) == text
    assert decode_value(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (N.DEVICE_TYPE, "IHD"),
        (N.COMMISSIONED_AT, "yesterday"),
        (N.COMMISSIONED_AT, "2026-11-20T12:00:00"),
        (N.COMMISSIONED_AT, "2026-11-20T12:00:00+01:00"),
        (N.REPLACED, "yes"),
        (N.RECOVERY_CHECKED_BY, "DCC"),
        (N.LEAD_SUPPLIER, "supplier"),
        (N.RESPONSIBLE_SUPPLIERS, "90b3d51f30010000,"),
        (N.FUELS, "oil"),
        (N.LEAD_SUPPLIER, 7),
    ],
)
def test_value_of_another_form_is_refused_with_the_form(name: FactName, text: Any) -> None:
    with pytest.raises(ValueError, match=f"is no {name.value}; write ") as caught:
        read_value(name, text)
    assert form_of(name) in str(caught.value)


def test_value_from_a_command_line_is_read_as_people_write_it() -> None:
    assert read_value(N.REPLACED, "false") is False
    assert read_value(N.FUELS, "gas, electricity") == frozenset(Fuel)
    assert read_value(N.RESPONSIBLE_SUPPLIERS, f"{ONE}, {TWO.stem}") == (ONE, TWO)
