"""A part of the campaign: one key change of one device. `make interruptions` is the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.trials import Base, Trial, interruptions, make_base_of, try_interruption
from gbcs.entity_identifier import EntityIdentifier
from homes.points import Action, Cut, PointKind
from homes.virtual_home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from homes.points import Interruption

# On its line nothing is acknowledged, so that every octet lost is for the agent to make good.
METER = EntityIdentifier.parse("00db1234567890a0")
KEY_AGREEMENT = 1
"""The place of that key among those that are changed; it is the harder of the two, since the
device's answers depend on it."""
DUTIES_BEFORE = 3
"""How many duties of the meter have begun when the one that changes its keys has ended."""

MOVES = (
    *("ds received", "ka received", "ds issued", "ka issued"),
    *("ds storing", "ds stored", "ds confirmed"),
    *("ka storing", "ka stored", "ka confirmed"),
)
"""What the meter's key changes go through, in order."""

WANTED = {
    Action.KILL: {PointKind.AFTER_COMMIT, PointKind.AFTER_SEND, PointKind.AFTER_RECEIVE},
    Action.POWER: {PointKind.MEMORY, PointKind.FROM_DEVICE},
    Action.DISK_REFUSES: {PointKind.BEFORE_COMMIT},
    Action.PORT: {PointKind.TO_DEVICE, PointKind.FROM_DEVICE},
}


@pytest.fixture(name="base", scope="module")
def fixture_base(quick: Path) -> Base:
    """A home with the meter's run, and its points while the key agreement key is changed.

    Between its request and its storing the other key is certified and stored; those points are the
    whole campaign's.
    """
    base = make_base_of(quick / "interruptions", METER)
    changed = numbers(base, "INSERT INTO key_changes")[KEY_AGREEMENT]
    moves = numbers(base, "UPDATE key_changes")
    assert len(moves) == len(MOVES)
    requested = moves[MOVES.index("ka received")]
    storing = moves[MOVES.index("ds confirmed")]
    ended = numbers(base, "INSERT INTO attempts")[DUTIES_BEFORE]
    points = base.points[changed:requested] + base.points[storing:ended]
    return Base(base.name, base.home, points, base.only)


def numbers(base: Base, label: str) -> list[int]:
    return [number for number, point in base.points if point.label.startswith(label)]


def is_wanted(interruption: Interruption) -> bool:
    """Leave out what only other devices' lines or the whole campaign would show."""
    if interruption.action is Action.POWER:
        is_cut = interruption.cut in {None, Cut.HALF} and interruption.back_at_once
        return is_cut and not interruption.point.label.endswith(("BEFORE", "SYNCED"))
    return True


@pytest.mark.sweep
@pytest.mark.parametrize("action", WANTED, ids=lambda action: action.name.lower())
def test_key_change_that_is_interrupted_anywhere_is_completed_by_the_next_run(
    base: Base, quick: Path, action: Action
) -> None:
    home = Home.below(quick / "interrupted")
    tried: list[Trial] = [
        try_interruption(base, each, home)
        for each in interruptions([base], small_disk=False)
        if each.action is action and each.point.kind in WANTED[action] and is_wanted(each)
    ]
    assert len(tried) >= 6
    assert [(str(trial.interruption), trial.broken) for trial in tried if trial.broken] == []
    assert {trial.runs for trial in tried} == {1}
