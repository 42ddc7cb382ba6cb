import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier

DEVICE = EntityIdentifier(bytes.fromhex("00DB1234567890A0"))


@pytest.mark.parametrize(
    "text",
    [
        "00DB1234567890A0",
        "00db1234567890a0",
        "00-DB-12-34-56-78-90-A0",
        " 00:db:12:34:56:78:90:a0\n",
    ],
)
def test_every_usual_form_is_read(text: str) -> None:
    assert EntityIdentifier.parse(text) == DEVICE


@pytest.mark.parametrize(
    "text",
    ["", "00DB1234567890A", "00DB1234567890A00", "00-DB1234567890A0", "0x00DB1234567890", "00 DB"],
)
def test_other_forms_are_refused_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an Entity Identifier: .*00-DB-12-34-56-78-90-A0"):
        EntityIdentifier.parse(text)


def test_long_text_is_cut_in_the_error() -> None:
    with pytest.raises(ValueError, match="not an Entity Identifier") as caught:
        EntityIdentifier.parse("A" * 500)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("octets", [b"", bytes(7), bytes(9)])
def test_other_than_eight_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=f"has 8 octets, not {len(octets)}"):
        EntityIdentifier(octets)


def test_it_is_shown_in_pairs_and_names_files_in_lower_case() -> None:
    assert str(DEVICE) == "00-DB-12-34-56-78-90-A0"
    assert repr(DEVICE) == "EntityIdentifier(00-DB-12-34-56-78-90-A0)"
    assert DEVICE.stem == "00db1234567890a0"


@given(st.binary(min_size=8, max_size=8))
def test_what_is_shown_is_read_back(octets: bytes) -> None:
    entity = EntityIdentifier(octets)
    assert EntityIdentifier.parse(str(entity)) == entity == octets
    assert EntityIdentifier.parse(entity.stem) == entity
    assert hash(entity) == hash(octets)
