"""A mains-powered device: it gives the hub a tunnel, and messages go through it whole.

Source: GBCS 10.2.2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from meterlink.link_events import NeedData
from meterstub.radio.zigbee_node import BASIC, EmulatedNode
from zse import tunnel
from zse.smart_energy_commands import KEY_ESTABLISHMENT, METERING, TUNNELING, TransferDataToClient
from zse.tunnel_server import ServerLimits, TunnelServer

if TYPE_CHECKING:
    from zse.zcl_frames import Frame, Outgoing

HUB: Final = 0
"""The tunnel server's name for its one client."""


class MainsNode(EmulatedNode):
    """An ESME, HCALCS or PPMID; takes `limits` of its tunnels beside what every node takes."""

    def __init__(self, *args: Any, limits: ServerLimits | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.tunnels = TunnelServer(
            next_sequence=self._next_sequence,
            limits=limits or ServerLimits(),
            # Another than before the last loss of power, as far as chance goes.
            first_tunnel_id=self.settings.eui64 & 0xFF,
        )

    @override
    def clusters(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (BASIC, METERING, TUNNELING, KEY_ESTABLISHMENT), (KEY_ESTABLISHMENT,)

    @override
    def keys_established(self, now: float) -> None:
        """Do nothing: the hub opens the tunnel."""

    @override
    def network_lost(self, now: float) -> None:
        """Do nothing: the hub opens its tunnel anew."""

    @override
    def receive_tunnelling(self, frame: Frame, now: float) -> None:
        self.tunnels.receive(frame, HUB, now)

    @override
    def carry(self, octets: bytes) -> None:
        self.tunnels.send_data(octets, HUB)

    @override
    def pump(self, now: float) -> None:
        self.tunnels.handle_deadline(now)
        while True:
            event = self.tunnels.next_event()
            if isinstance(event, tunnel.DataReceived):
                self.take_data(event.octets, now)
                continue
            if not isinstance(event, NeedData):
                continue
            frames = self.tunnels.frames_to_send(now)
            if not frames:
                return
            for outgoing in frames:
                self._send(outgoing, now)

    def _send(self, outgoing: Outgoing, now: float) -> None:
        def on_sent(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
            if isinstance(outgoing.command, TransferDataToClient):
                if is_delivered:
                    self.tunnels.handle_delivered(outgoing.sequence, HUB)
                else:
                    self.tunnels.handle_undelivered(outgoing.sequence, HUB)
                self.act(at)

        self.send_command(outgoing, TUNNELING, now, on_sent=on_sent)

    @override
    def deadlines(self) -> list[float | None]:
        return [self.tunnels.next_deadline()]
