"""A radio with the devices around it, as one station for a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from meterstub.radio.ash import ResetCode
from meterstub.radio.radio_faults import RadioFault, RadioFaultKind
from meterstub.radio.zigbee_node import EmulatedNode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterstub.radio.emulated_radio import EmulatedRadio


class Neighbour(Protocol):
    """What stands on a radio's air: a device, or a hub."""

    def power_on(self, now: float) -> None:
        """Start, as when power comes."""
        ...

    def poll(self, now: float) -> None:
        """Act on time."""
        ...


KEY_SWITCH_AFTER_S: Final = 0.5
"""How long after giving out a network key a radio with that fault uses it."""


class Neighbourhood:
    """Lets the devices on a radio's air act; they live in the thread of the radio's host.

    Args:
        radio: The radio.
        nodes: The devices.
        clock: Returns the monotonic seconds that the host has too.
        faults: What is to happen.

    Attributes:
        unplug: Closes the radio's line for that many seconds; set by who made the host.
    """

    def __init__(
        self,
        radio: EmulatedRadio,
        nodes: Sequence[Neighbour],
        clock: Callable[[], float],
        faults: Sequence[RadioFault] = (),
    ) -> None:
        self.radio = radio
        self.nodes = tuple(nodes)
        self.unplug: Callable[[float], None] | None = None
        self._clock = clock
        self._faults = list(faults)
        self._is_powered = False

    def connection(self) -> EmulatedRadio:
        """Return the radio, for a new user of its line."""
        self.radio.line_taken()
        return self.radio

    def receive_message(self, octets: bytes) -> list[bytes]:
        """Ignore a message: a radio's line carries commands, which the radio reads itself."""
        del octets
        return []

    def poll(self) -> list[bytes]:
        """Run every device; nothing of that comes back here."""
        now = self._clock()
        if not self._is_powered:
            self._is_powered = True
            for node in self.nodes:
                node.power_on(now)
        for node in self.nodes:
            node.poll(now)
        for fault in [each for each in self._faults if each.commands <= self.radio.commands]:
            self._faults.remove(fault)
            self.happen(fault)
        return []

    def add(self, fault: RadioFault) -> None:
        """Schedule a fault for when its time has come; may be called from any thread."""
        self._faults.append(fault)

    def happen(self, fault: RadioFault) -> None:
        """Cause a fault now; to be called in the host's thread."""
        now, radio = self._clock(), self.radio
        match fault.kind:
            case RadioFaultKind.UNPLUG if self.unplug is not None:
                radio.restart(ResetCode.POWER_ON)
                self.unplug(fault.seconds)
            case RadioFaultKind.RESET:
                radio.restart(ResetCode.ASSERT)
            case RadioFaultKind.ROTATE_KEY:
                radio.stack.announce_key(radio.random_octets(16), now)
                radio.air.call_at(now + KEY_SWITCH_AFTER_S, self._switch_key)
            case RadioFaultKind.LEAVE:
                for node in self.nodes:
                    if isinstance(node, EmulatedNode) and node.settings.eui64 == fault.eui64:
                        node.leave(now)
            case _:
                pass

    def _switch_key(self, now: float) -> None:
        self.radio.stack.switch_key(now)
