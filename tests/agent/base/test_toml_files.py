from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from effort import at_most
from keyrig.base.toml_files import TOMLFault, line_of, read_toml

TEXT = """\
top = 1

[[room]]
name = "hall"
lamp = { watts = 40, colour = "warm" }

[room.door]
width = 80

[[room]]
name = "attic"

[room.door]
width = 60 # low

[[room.shelf]]
length = 1
[[room.shelf]]
length = 2
"""


class Door(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int


class Room(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    door: Door


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")
    room: list[Room]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("top",), 1),
        (("room", 0), 3),
        (("room", 0, "name"), 4),
        (("room", 0, "lamp", "colour"), 5),
        (("room", 0, "lamp", "shade"), 5),
        (("room", 0, "door", "width"), 8),
        (("room", 1, "name"), 11),
        (("room", 1, "door"), 13),
        (("room", 1, "door", "width"), 14),
        (("room", 1, "shelf", 0, "length"), 17),
        (("room", 1, "shelf", 1, "length"), 19),
        (("room", 1, "window"), 10),
        (("cellar",), None),
    ],
)
def test_line_is_that_of_what_is_named_or_of_the_nearest_around_it(
    location: tuple[str | int, ...], line: int | None
) -> None:
    assert line_of(TEXT, location) == line


@pytest.mark.parametrize(
    ("text", "line", "reason", "mend"),
    [
        ('[[room]]\nname = "a', 2, "not TOML: Unterminated string", "correct the syntax"),
        (
            '[[room]]\nname = "a"\n[room.door]\nwitdh = 1\n',
            4,
            "unknown key 'room[1].door.witdh'",
            "did you mean 'width'?",
        ),
        ('[[room]]\nname = "a"\n', 1, "'room[1].door' is missing", "add it"),
        (
            '[[room]]\nname = "a"\n[room.door]\nwidth = "wide"\n',
            4,
            "'room[1].door.width' is 'wide'",
            "input should be a valid integer",
        ),
        (
            '[[room]]\nname = "a"\n[room.door]\nzzzz = 1\n',
            4,
            "unknown key 'room[1].door.zzzz'",
            "known keys are door, name, room, width",
        ),
    ],
)
def test_mistake_is_told_with_its_line_and_its_mend(
    text: str, line: int, reason: str, mend: str
) -> None:
    with pytest.raises(TOMLFault) as caught:
        read_toml(text, House)
    assert caught.value.line == line
    assert caught.value.reason.startswith(reason)
    assert caught.value.mend.startswith(mend)


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = ""


@pytest.mark.parametrize(
    "line", ["[" + " " * 50_000, "[" + "a." * 50_000 + "a]", "a" * 90_000, ("{" + " " * 100) * 900]
)
def test_line_of_a_fault_is_found_soon_however_long_a_text_beside_it_is(line: str) -> None:
    with at_most(2.0), pytest.raises(TOMLFault, match="unknown key 'note'") as fault:
        read_toml(f"text = '''\n{line}\n'''\nnote = 1\n", Note)
    assert fault.value.line == 4


def test_line_is_counted_by_line_ends_alone() -> None:
    with pytest.raises(TOMLFault) as fault:
        read_toml("text = '\u2028\u0085'\nnote = 1\n", Note)
    assert fault.value.line == 2


def test_value_that_no_model_may_have_is_named_with_its_line() -> None:
    with pytest.raises(TOMLFault, match="'text' is a text with a NUL") as fault:
        read_toml('# a note\ntext = "a\\u0000"\n', Note)
    assert fault.value.line == 2
