from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from keyrig.toml_files import TOMLFault, line_of, read_toml

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
