"""A radio with the devices around it, as one station for a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterstub.radio.node import EmulatedNode
    from meterstub.radio.radio import EmulatedRadio


class Neighbourhood:
    """Lets the devices on a radio's air act; they live in the thread of the radio's host.

    Args:
        radio: The radio.
        nodes: The devices.
        clock: Gives the monotonic seconds that the host has too.
    """

    def __init__(
        self, radio: EmulatedRadio, nodes: Sequence[EmulatedNode], clock: Callable[[], float]
    ) -> None:
        self.radio = radio
        self.nodes = tuple(nodes)
        self._clock = clock
        self._is_powered = False

    def connection(self) -> EmulatedRadio:
        """Give the radio to a user of its line."""
        self.radio.line_taken()
        return self.radio

    def receive_message(self, octets: bytes) -> list[bytes]:
        """Take nothing: a radio's line carries commands, which the radio takes itself."""
        del octets
        return []

    def poll(self) -> list[bytes]:
        """Let every device act on time; nothing of that comes back here."""
        now = self._clock()
        if not self._is_powered:
            self._is_powered = True
            for node in self.nodes:
                node.power_on(now)
        for node in self.nodes:
            node.poll(now)
        return []
