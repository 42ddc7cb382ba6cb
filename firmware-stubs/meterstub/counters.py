"""Protection against replay: the counters that a device holds for remote parties.

Source: GBCS v0.8.1, 4.3.1.5 (the comparison is assumed: strictly greater than the last
accepted one of the role).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gbcs.errors import CounterReplayed
from gbcs.security_credentials import SEQ_NUMBER_MAXIMUM

if TYPE_CHECKING:
    from gbcs.roles import RemotePartyRole
    from meterstub.state import DeviceState


def last_accepted(state: DeviceState, role: RemotePartyRole) -> int:
    """Give the last accepted counter of `role`."""
    return state.counters.get(role, 0)


def verify_counter(state: DeviceState, role: RemotePartyRole, counter: int) -> None:
    """Verify that a command's counter is new.

    Raises:
        CounterReplayed: It is not greater than the last accepted one of `role`, or is
            greater than any that a device can hold.
    """
    last = last_accepted(state, role)
    if counter <= last:
        raise CounterReplayed(
            f"counter {counter} of {role.gbcs_name} is not greater than {last}, the last accepted"
        )
    if counter > SEQ_NUMBER_MAXIMUM:
        raise CounterReplayed(f"counter {counter} of {role.gbcs_name} exceeds what can be held")


def accept_counter(state: DeviceState, role: RemotePartyRole, counter: int) -> DeviceState:
    """Give the state in which `counter` is the last accepted one of `role`."""
    return replace(state, counters={**state.counters, role: counter})


def set_floors(
    state: DeviceState, role: RemotePartyRole, *, floor: int, top_up_floor: int | None
) -> DeviceState:
    """Give the state with new floors for `role`; None leaves the top-up floor as it is."""
    state = accept_counter(state, role, floor)
    if top_up_floor is None:
        return state
    return replace(state, top_up_floors={**state.top_up_floors, role: top_up_floor})


def next_alert_counter(state: DeviceState) -> tuple[DeviceState, int]:
    """Use the device's own originator counter once."""
    counter = state.alert_counter + 1
    return replace(state, alert_counter=counter), counter
