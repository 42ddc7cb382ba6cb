from __future__ import annotations

import itertools

import pytest

from gbcs.protocol_errors import LocalProtocolError
from meterlink.hdlc.hdlc_frames import FrameKind
from meterlink.hdlc.hdlc_states import TRANSITIONS, Direction, Lapse, LinkState, Step, follow

STEPS: list[Step] = [*itertools.product(Direction, FrameKind), *Lapse]


@pytest.mark.parametrize("state", LinkState)
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_any_state_and_any_step_moves_or_refuses(state: LinkState, step: Step) -> None:
    if step in TRANSITIONS[state]:
        assert follow(state, step) is TRANSITIONS[state][step]
        return
    with pytest.raises(LocalProtocolError, match=f"while {state.value}"):
        follow(state, step)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(LinkState)
    assert all(set(row.values()) - {state} for state, row in TRANSITIONS.items())


@pytest.mark.parametrize("state", LinkState)
def test_disconnect_mode_ends_every_connection(state: LinkState) -> None:
    assert follow(state, (Direction.RECEIVED, FrameKind.DM)) is LinkState.DISCONNECTED
