"""Two ends of a tunnel and the octets between them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from meterlink.link_events import NEED_DATA, NeedData
from zse.smart_energy_commands import TUNNELING, Command, DefaultResponse
from zse.zcl_frames import Frame, Outgoing, decode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from zse.tunnel import TunnelEvent
    from zse.tunnel_client import TunnelClient
    from zse.tunnel_server import TunnelServer

HUB = 0x90B3D51F30000001
OTHER = 0x90B3D51F30000002


def sequences(start: int = 0) -> Callable[[], int]:
    numbers = itertools.cycle(range(256))
    return itertools.islice(numbers, start, None).__next__


def frame(command: Command | DefaultResponse, sequence: int) -> Frame:
    return decode_frame(TUNNELING, Outgoing(command, sequence).encode())


def drain(machine: TunnelClient | TunnelServer) -> list[TunnelEvent]:
    found: list[TunnelEvent] = []
    event: TunnelEvent | NeedData
    while (event := machine.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def exchange(client: TunnelClient, server: TunnelServer, now: float, *, address: int = HUB) -> int:
    """Carry frames both ways until both are silent; give how many there were."""
    count = 0
    while True:
        outgoing = client.frames_to_send(now)
        incoming = [each for each in server.frames_to_send(now) if each.address == address]
        if not outgoing and not incoming:
            return count
        count += len(outgoing) + len(incoming)
        for each in outgoing:
            server.receive(decode_frame(TUNNELING, each.encode()), address, now)
        for each in incoming:
            client.receive(decode_frame(TUNNELING, each.encode()), now)
