from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.octet_cursor import OctetCursor, with_length
from gbcs.protocol_errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable


def cursor(octets: str, offset: int = 0) -> OctetCursor:
    return OctetCursor(bytes.fromhex(octets), "layer", offset)


def test_fields_are_read_one_behind_the_other() -> None:
    read = cursor("DD 0102 0102 AABB 03CCDDEE FF00")
    read.constant(b"\xdd", "tag")
    assert read.number(2, "big") == 0x0102
    assert read.number(2, "little", "little") == 0x0201
    assert read.exactly(2, "fixed") == b"\xaa\xbb"
    assert read.counted("counted") == b"\xcc\xdd\xee"
    assert read.rest() == b"\xff\x00"
    assert read.is_at_end
    read.end()


def test_reading_may_start_anywhere_and_counts_from_the_first_octet() -> None:
    read = cursor("FFFF 0102", offset=2)
    assert read.number(1, "first") == 1
    with pytest.raises(DecodeError) as caught:
        read.number(2, "second")
    assert str(caught.value) == "layer: second: missing or cut short, at octet 3 (02)"


@pytest.mark.parametrize(
    ("octets", "read", "message"),
    [
        ("", lambda c: c.constant(b"\x01", "f"), "layer: f: missing or cut short, at octet 0"),
        (
            "02",
            lambda c: c.constant(b"\x01", "f"),
            "layer: f: 02 where 01 belongs, at octet 0 (02)",
        ),
        ("02", lambda c: c.number(2, "f"), "layer: f: missing or cut short, at octet 0 (02)"),
        (
            "02",
            lambda c: c.exactly(2, "f"),
            "layer: f: cut short: 1 octets of 2 are there, at octet 0 (02)",
        ),
        ("", lambda c: c.counted("f"), "layer: f: cut short: 0 octets of 1 are there, at octet 0"),
        ("80", lambda c: c.counted("f"), "layer: f: a length in 0 octets, at octet 0 (80)"),
        (
            "83000001AA",
            lambda c: c.counted("f"),
            "layer: f: a length in 3 octets, at octet 0 (83000001AA)",
        ),
        (
            "8201",
            lambda c: c.counted("f"),
            "layer: f: cut short: 1 octets of 2 are there, at octet 0 (8201)",
        ),
        (
            "02AA",
            lambda c: c.counted("f"),
            "layer: f: cut short: 1 octets of 2 are there, at octet 0 (02AA)",
        ),
        ("0102", lambda c: c.end(), "layer: 2 octets behind the end, at octet 0 (0102)"),
    ],
)
def test_error_names_layer_field_offset_and_octets(
    octets: str, read: Callable[[OctetCursor], object], message: str
) -> None:
    refused = cursor(octets)
    with pytest.raises(DecodeError) as caught:
        read(refused)
    assert str(caught.value) == message
    assert refused.offset == 0


@pytest.mark.parametrize("padded", ["8101AA", "820001AA"])
def test_a_length_that_is_not_minimal_is_read_and_noted(padded: str) -> None:
    read = cursor("00" + padded, offset=1)
    assert read.counted("field") == b"\xaa"
    assert [str(each) for each in read.not_minimal] == [
        "layer: field: a length that is not minimal, at octet 1"
    ]


@given(st.binary(max_size=300), st.binary(max_size=3))
def test_what_is_written_behind_its_length_is_read_back(octets: bytes, behind: bytes) -> None:
    read = OctetCursor(with_length(octets) + behind, "layer")
    assert read.counted("field") == octets
    assert read.rest() == behind
    assert not read.not_minimal
