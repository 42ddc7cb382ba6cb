"""A device that sleeps, as a GSME does: it reports when it wakes, and fetches what waits for it.

Source: GBCS 10.2.2.2; ZSE 1.4, annex D.3 (mirror, notification scheme B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from meterlink.link_events import NeedData
from meterstub.radio.zigbee_node import BASIC, EmulatedNode
from meterstub.radio.zigbee_stack import Incoming, NetworkStatus, NodeType
from zse import sleepy_exchange, tunnel
from zse.smart_energy_commands import (
    KEY_ESTABLISHMENT,
    METERING,
    MIRROR_REFUSED,
    TUNNELING,
    ConfigureMirror,
    MirrorReportAttributeResponse,
    NotificationScheme,
    RequestMirror,
    RequestMirrorResponse,
    TransferData,
)
from zse.tunnel_client import TunnelClient, TunnelState
from zse.zcl_frames import Frame, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S: Final = 0.1
"""How often a node that is awake asks its parent for what waits."""
IDLE_S: Final = 0.6
"""How long it stays awake with nothing to do; an answer to its report takes less."""
REPORT: Final = 0x0A
CURRENT_SUMMATION: Final = bytes.fromhex("0000 25 000000000000")
"""CurrentSummationDelivered, attribute 0 of Metering, unsigned 48-bit, of a meter at zero."""
FROM_SERVER: Final = 0x18
"""Frame control of a report: general, from the server, no Default Response."""


class SleepyNode(EmulatedNode):
    """A GSME; takes what every node takes."""

    node_type = NodeType.SLEEPY_END_DEVICE

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.tunnel = TunnelClient(next_sequence=self._next_sequence)
        self.exchange = sleepy_exchange.SleepyMeter()
        self.wakes = 0
        self._mirror: int | None = None
        self._awake_until = 0.0
        self._is_polling = False

    @override
    def clusters(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (BASIC, METERING, KEY_ESTABLISHMENT), (TUNNELING, KEY_ESTABLISHMENT)

    def keys_established(self, now: float) -> None:
        """Request a mirror and a tunnel, and start to sleep."""
        self._stay_awake(now)
        request = Outgoing(RequestMirror(), self._next_sequence())
        self.send_command(request, METERING, now)
        self.tunnel.open()
        self.air.call_at(now + self.settings.wake_interval_s, self._wake)

    @override
    def network_changed(self, status: NetworkStatus, now: float) -> None:
        """Poll the parent as long as keys are not established."""
        super().network_changed(status, now)
        if status is NetworkStatus.UP:
            self._stay_awake(now)

    @override
    def message_received(self, message: Incoming, now: float) -> None:
        """Poll the parent again: where there was one frame there may be another."""
        self.stack.poll(now)
        super().message_received(message, now)

    @override
    def network_lost(self, now: float) -> None:
        """Wake: a node that looks for its network is awake."""
        del now
        self.stack.is_awake = True
        self._mirror = None

    @override
    def receive_tunnelling(self, frame: Frame, now: float) -> None:
        self._stay_awake(now)
        self.tunnel.receive(frame, now)

    @override
    def receive_metering(self, frame: Frame, now: float) -> None:
        self._stay_awake(now)
        match frame.command:
            case RequestMirrorResponse(endpoint_id) if endpoint_id != MIRROR_REFUSED:
                self._mirror = endpoint_id
                configuration = ConfigureMirror(
                    issuer_event_id=1,
                    reporting_interval=int(self.settings.wake_interval_s),
                    mirror_notification_reporting=True,
                    notification_scheme=NotificationScheme.PREDEFINED_B,
                )
                outgoing = Outgoing(configuration, self._next_sequence())
                self.send_command(outgoing, METERING, now)
            case MirrorReportAttributeResponse(_, flags) if flags:
                self.exchange.wake(flags[0])
            case _:
                pass

    @override
    def carry(self, octets: bytes) -> None:
        self.exchange.send_message(octets)

    @override
    def poll(self, now: float) -> None:
        """Run the device; one that sleeps acts on what is due all the same."""
        super().poll(now)
        if self.exchange.waiting and not self.stack.is_awake and self.is_ready:
            self._rouse(now)

    # Sleeping and waking.

    def _wake(self, now: float) -> None:
        if self.failure is not None or not self.stack.is_up:
            return
        self.air.call_at(now + self.settings.wake_interval_s, self._wake)
        self._rouse(now)

    def _rouse(self, now: float) -> None:
        self.wakes += 1
        self._stay_awake(now)
        report = bytes((FROM_SERVER, self._next_sequence(), REPORT)) + CURRENT_SUMMATION
        self.send_octets(report, METERING, now, on_sent=self._report_sent)
        self.act(now)

    def _report_sent(self, is_delivered: bool, now: float) -> None:  # noqa: FBT001 - the callback's form
        if not is_delivered and self.stack.is_up:
            # The key may have changed while it slept; the trust centre sends it anew.
            self.stack.rejoin(now, has_key=False)

    def _stay_awake(self, now: float) -> None:
        self.stack.is_awake = True
        self._awake_until = now + IDLE_S
        if not self._is_polling:
            self._is_polling = True
            self.air.call_at(now, self._poll_parent)

    def _poll_parent(self, now: float) -> None:
        is_busy = self.exchange.is_awake or self.tunnel.state is TunnelState.REQUESTING
        if self.failure is not None or not self.stack.is_up:
            self._is_polling = False
        elif now < self._awake_until or is_busy or not self.is_ready:
            self.stack.poll(now)
            self.air.call_at(now + POLL_S, self._poll_parent)
        else:
            self._is_polling = False
            self.stack.is_awake = False

    # Carrying.

    @override
    def pump(self, now: float) -> None:
        self.tunnel.handle_deadline(now)
        self.exchange.handle_deadline(now)
        if not self.stack.is_awake:
            return
        while self._take_events(now) or self._send_some(now):
            pass

    def _take_events(self, now: float) -> bool:
        event = self.tunnel.next_event()
        if isinstance(event, tunnel.DataReceived):
            self.exchange.receive_data(event.octets)
        elif isinstance(event, tunnel.DataDelivered):
            self.exchange.handle_settled(now, is_delivered=True)
        elif isinstance(event, tunnel.DataFailed):
            self.exchange.handle_settled(now, is_delivered=False)
        exchanged = self.exchange.next_event()
        if isinstance(exchanged, sleepy_exchange.MessageReceived):
            self.take_data(exchanged.octets, now)
        elif isinstance(exchanged, sleepy_exchange.MessageGivenUp):
            self.exchange.send_message(exchanged.octets)
        return not isinstance(event, NeedData) or not isinstance(exchanged, NeedData)

    def _send_some(self, now: float) -> bool:
        for octets in self.exchange.data_to_send(now):
            self.tunnel.send_data(octets)
        frames = self.tunnel.frames_to_send(now)
        for outgoing in frames:
            self._stay_awake(now)
            self.send_command(outgoing, TUNNELING, now, on_sent=self._settling(outgoing))
        return bool(frames)

    def _settling(self, outgoing: Outgoing) -> Callable[[bool, float], None]:
        def on_sent(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
            if is_delivered and isinstance(outgoing.command, TransferData):
                self.tunnel.handle_delivered(outgoing.sequence)
            elif not is_delivered:
                self.tunnel.handle_undelivered(outgoing.sequence, at)
            self.act(at)

        return on_sent

    @override
    def deadlines(self) -> list[float | None]:
        return [self.tunnel.next_deadline(), self.exchange.next_deadline()]
