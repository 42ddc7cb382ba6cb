from __future__ import annotations

from typing import Any

import pytest
import zigpy.types as t

from gbcs.octet_cursor import OctetCursor
from gbcs.protocol_errors import DecodeError
from zse.zcl_fields import (
    BOOLEAN,
    OCTETS,
    PROTOCOL_LIST,
    UINT8,
    UINT16,
    UINT24,
    UINT32,
    UINT32_LIST,
    FieldType,
)


@pytest.mark.parametrize(
    ("field_type", "zigpys", "value"),
    [
        (UINT8, t.uint8_t, 0xFE),
        (UINT16, t.uint16_t, 0xFEDC),
        (UINT24, t.uint24_t, 0xFEDCBA),
        (UINT32, t.uint32_t, 0xFEDCBA98),
        (BOOLEAN, t.Bool, True),
        (BOOLEAN, t.Bool, False),
        (OCTETS, t.Bytes, b"\x00\xff"),
        (UINT32_LIST, t.List[t.uint32_t], (1, 0xFEDCBA98)),
    ],
)
def test_a_value_has_the_octets_that_zigpy_gives_it(
    field_type: FieldType, zigpys: Any, value: Any
) -> None:
    octets = field_type.write(value)
    assert octets == zigpys(value).serialize()
    cursor = OctetCursor(octets, "ZCL")
    assert field_type.read(cursor, "field") == value
    assert cursor.is_at_end


def test_pairs_stand_behind_their_number() -> None:
    octets = bytes.fromhex("02 FFFF06 3412C7")
    pairs = ((0xFFFF, 6), (0x1234, 199))
    assert PROTOCOL_LIST.write(pairs) == octets
    assert PROTOCOL_LIST.read(OctetCursor(octets, "ZCL"), "field") == pairs


def test_any_octet_but_0_is_read_as_true() -> None:
    assert BOOLEAN.read(OctetCursor(b"\x02", "ZCL"), "field") is True


@pytest.mark.parametrize(("field_type", "value"), [(UINT8, 256), (UINT16, -1), (UINT24, 1 << 24)])
def test_a_number_that_does_not_fit_is_not_written(field_type: FieldType, value: int) -> None:
    with pytest.raises(OverflowError):
        field_type.write(value)


@pytest.mark.parametrize(
    ("field_type", "octets", "offset"),
    [
        (UINT24, "0102", 0),
        (BOOLEAN, "", 0),
        (UINT32_LIST, "01000000 02", 4),
        (PROTOCOL_LIST, "02 FFFF06 34", 4),
    ],
)
def test_octets_that_end_too_early_are_refused_where_they_do(
    field_type: FieldType, octets: str, offset: int
) -> None:
    with pytest.raises(DecodeError) as caught:
        field_type.read(OctetCursor(bytes.fromhex(octets), "ZCL"), "field")
    assert caught.value.field == "field"
    assert caught.value.offset == offset
