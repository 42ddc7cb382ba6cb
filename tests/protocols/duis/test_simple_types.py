from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from duis.simple_types import (
    ALERT_CODE,
    BOOLEAN,
    DAY,
    ENTITY,
    INSTANT,
    OCTETS,
    Integer,
    String,
    TextType,
)
from gbcs.entity_identifier import EntityIdentifier


@pytest.mark.parametrize(
    ("text_type", "text", "value"),
    [
        (Integer(maximum=9), " +09\n", 9),
        (Integer(maximum=9), "-0", 0),
        (String(maximum=3), " a ", " a "),
        (OCTETS, " A\tQ\nI\r= ", b"\x01\x02"),
        (ALERT_CODE, " 8f66 ", 0x8F66),
        (BOOLEAN, " true ", True),
        (BOOLEAN, "0", False),
        (INSTANT, "2026-11-24T08:00:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        (INSTANT, "2026-11-24T08:00:00.5-00:30", datetime(2026, 11, 24, 8, 30, 0, 500_000, UTC)),
        (
            INSTANT,
            "2026-11-24T08:00:00.123456789Z",
            datetime(2026, 11, 24, 8, 0, 0, 123_456, UTC),
        ),
        (INSTANT, "9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (DAY, "2026-11-24", date(2026, 11, 24)),
        (DAY, "2026-11-24Z", date(2026, 11, 24)),
        (DAY, "2026-11-24+01:00", date(2026, 11, 24)),
        (ENTITY, " 00-db-12-34-56-78-90-A0 ", EntityIdentifier.parse("00db1234567890a0")),
    ],
)
def test_every_form_of_a_value_is_read(text_type: TextType[Any], text: str, value: object) -> None:
    assert text_type.read(text) == value


@pytest.mark.parametrize(
    ("text_type", "text"),
    [
        (Integer(maximum=9), ""),
        (Integer(maximum=9), "10"),
        (Integer(maximum=9), "-1"),
        (Integer(maximum=9), "1 1"),
        (Integer(maximum=9), "1_1"),
        (Integer(maximum=9), "\u0661"),
        (Integer(maximum=9), "\xa01"),
        (OCTETS, ""),
        (OCTETS, "===="),
        (OCTETS, "AQI"),
        (OCTETS, "AQJ="),
        (OCTETS, "AQ-_"),
        (ALERT_CODE, "8F6"),
        (ALERT_CODE, "08F66"),
        (ALERT_CODE, "0x8F"),
        (BOOLEAN, "True"),
        (BOOLEAN, ""),
        (INSTANT, "2026-11-24"),
        (INSTANT, "2026-11-24 08:00:00Z"),
        (INSTANT, "2026-02-30T08:00:00Z"),
        (INSTANT, "2026-11-24T08:00:60Z"),
        (INSTANT, "2026-11-24T08:00:00+25:00"),
        (INSTANT, "0000-11-24T08:00:00Z"),
        (INSTANT, "-2026-11-24T08:00:00Z"),
        (INSTANT, "12026-11-24T08:00:00Z"),
        (DAY, "2026-11-31"),
        (DAY, "2026-W48-2"),
        (DAY, "20261124"),
        (DAY, "2026-11-24T00:00:00"),
        (ENTITY, "00db1234567890a0"),
        (ENTITY, "00:db:12:34:56:78:90:a0"),
        (ENTITY, "00-db-12-34-56-78-90"),
    ],
)
def test_other_text_is_no_value(text_type: TextType[Any], text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        text_type.read(text)
