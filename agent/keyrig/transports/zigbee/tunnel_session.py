"""A hub's session with one device: the tunnel, the messages in it, and the senders that wait.

Theory of operation. A message passes through up to three machines, none of which does input or
output: block transfer, for messages longer than the tunnel carries; for a GSME, the exchange by
which it learns of waiting messages and fetches them when it wakes; and the tunnel. The hub is the
tunnel's client towards a mains-powered device, and its server towards a GSME.

`pump` runs the machines until none of them moves, then sets one timer for the earliest of their
deadlines. It is called after everything that can move one: a message, a frame, the result of a
frame sent, the timer. A call from within itself does nothing, since its loop goes on anyway; the
loop evaluates all three parts each time (`|`, not `or`), so that none starves.

A sender waits on a future, found by the octets of its message; equal messages are resolved in
order. A sender that gives up withdraws its message, so that a device that returns later does not
get what its sender counts as failed. A block has no sender of its own.

Loss of the radio: machines keep their state while `Hub` reconnects. A message that failed because
of a loss is sent once more for each loss, since the device may have it or not; devices refuse a
counter twice, so a second delivery does no harm. Leaving the network, or a radio that does not come
back, fails every sender.

Source: GBCS 10.2.2.1 for mains-powered devices, 10.2.2.2 for a GSME.
"""

from __future__ import annotations

import abc
import asyncio
import queue
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from typing_extensions import override

from keyrig.base.errors import NodeUnreachable
from meterlink.link_events import NeedData
from zse import block_transfer, sleepy_exchange, tunnel
from zse.block_transfer import BlockTransfer, BlockTransferLimits, needs_block_transfer
from zse.routed_block import is_block
from zse.smart_energy_commands import (
    METERING,
    TUNNELING,
    ConfigureMirror,
    DefaultResponse,
    Direction,
    MirrorReportAttributeResponse,
    NotificationScheme,
    RequestMirror,
    RequestMirrorResponse,
    TransferData,
    TransferDataToClient,
)
from zse.tunnel_client import TunnelClient
from zse.tunnel_server import TunnelServer
from zse.zcl_frames import Frame, General, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_ATTRIBUTES: Final = 0x0A
MIRROR_ENDPOINT: Final = 1
CLIENT: Final = 0
"""The tunnel server's name for the one client of a session."""
SLEEPY_BLOCKS: Final = BlockTransferLimits(timeout_s=3600.0, receive_timeout_s=7200.0)
"""A GSME acknowledges blocks when it wakes."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message whose sender waits for its delivery."""

    octets: bytes
    done: asyncio.Future[None]
    radio_losses: int


class Reached(Protocol):
    """A device as `Radio` uses it."""

    name: str
    sleeps: bool
    frames: int
    inbox: queue.SimpleQueue[bytes]

    async def send_message(self, octets: bytes) -> None:
        """Send a message to it; return once it has it.

        Raises:
            NodeUnreachable: It could not be delivered.
        """
        ...


class Session(abc.ABC):
    """A session with one device; used in the radio's event loop only, except for `inbox`.

    Args:
        name: The device's name in errors.
        next_sequence: Returns the next transaction sequence number.
        send: Queues a command and its cluster, to be sent to the device in order.
        clock: Returns the loop's time.
    """

    sleeps: bool

    def __init__(
        self,
        name: str,
        *,
        next_sequence: Callable[[], int],
        send: Callable[[Outgoing, int], None],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.endpoint: int | None = None
        self.is_open = asyncio.Event()
        self.trouble = ""
        self.frames = 0
        self.is_reached = False
        self.radio_losses = 0
        self._send = send
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_pumping = False
        self.blocks = BlockTransfer()
        self._set_up(next_sequence)

    # Messages.

    async def send_message(self, octets: bytes) -> None:
        """Send a message to the device; return once the device has it.

        Raises:
            NodeUnreachable: It could not be delivered.
            LocalProtocolError: It is empty or too long, or too many wait.
        """
        future = asyncio.get_running_loop().create_future()
        waiting = _Waiting(octets, future, self.radio_losses)
        if needs_block_transfer(octets):
            self.blocks.send_message(octets)
        else:
            self._carry(octets)
        self._waiting.append(waiting)
        self.pump()
        try:
            await waiting.done
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._withdraw(octets)

    def fail(self, error: Exception) -> None:
        """Raise `error` in every sender that waits."""
        self.is_open.clear()
        for waiting in self._waiting:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    def close(self) -> None:
        """Stop all timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pump(self) -> None:
        """Handle due deadlines, process what was received, send what is ready."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            now = self._clock()
            self.blocks.handle_deadline(now)
            self._handle_deadline(now)
            while self._pump_blocks(now) | self._take_events(now) | self._send_some(now):
                pass
        finally:
            self._is_pumping = False
        self._arm()

    def receive(self, cluster: int, endpoint: int, frame: Frame) -> None:
        """Process a frame from the device."""
        self.endpoint = endpoint
        self.frames += 1
        if cluster == TUNNELING:
            self._receive_tunnelling(frame, self._clock())
        elif cluster == METERING:
            self._receive_metering(frame)
        self.pump()

    def _arm(self) -> None:
        due = [
            each for each in (*self._deadlines(), self.blocks.next_deadline()) if each is not None
        ]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due:
            self._timer = asyncio.get_running_loop().call_at(min(due), self.pump)

    def _pump_blocks(self, now: float) -> bool:
        blocks = self.blocks.data_to_send(now)
        for octets in blocks:
            self._carry(octets)
        event = self.blocks.next_event()
        match event:
            case block_transfer.MessageAssembled(octets):
                self.inbox.put(octets)
            case block_transfer.MessageDelivered(octets):
                self._settle(octets)
            case block_transfer.MessageGivenUp(octets, reason):
                self._settle(octets, reason.value)
            case _:
                pass
        return bool(blocks) or not isinstance(event, NeedData)

    def _take_data(self, octets: bytes, now: float) -> None:
        if is_block(octets):
            self.blocks.receive_data(octets, now)
        else:
            self.inbox.put(octets)

    def _settle(self, octets: bytes, reason: str = "") -> None:
        """Resolve the delivery of a message for its sender; no sender waits for a block.

        A message that was on its way while the radio was lost is sent once more: whether the
        device has it is not known, and it takes no command twice.
        """
        for waiting in self._waiting:
            if waiting.octets == octets and not waiting.done.done():
                if reason and waiting.radio_losses < self.radio_losses:
                    waiting.radio_losses = self.radio_losses
                    self._carry(octets)
                elif reason:
                    error = NodeUnreachable(self.name, f"a message is not delivered: {reason}")
                    waiting.done.set_exception(error)
                else:
                    waiting.done.set_result(None)
                return

    def _withdraw(self, octets: bytes) -> None:
        self.blocks.withdraw(octets)

    # What differs between mains-powered and sleepy devices.

    @abc.abstractmethod
    def _set_up(self, next_sequence: Callable[[], int]) -> None:
        """Make the state machines that carry data."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Start to open a tunnel, as far as the hub has to."""

    @abc.abstractmethod
    def handle_sent(self, outgoing: Outgoing, *, is_delivered: bool) -> None:
        """Process the result of sending a command."""

    @abc.abstractmethod
    def _carry(self, octets: bytes) -> None:
        """Queue data."""

    @abc.abstractmethod
    def _receive_tunnelling(self, frame: Frame, now: float) -> None:
        """Process a command of the Tunneling cluster."""

    def _receive_metering(self, frame: Frame) -> None:
        """Process a command of the Metering cluster; a mains-powered device needs none."""
        del frame

    @abc.abstractmethod
    def _handle_deadline(self, now: float) -> None:
        """Handle due deadlines."""

    @abc.abstractmethod
    def _take_events(self, now: float) -> bool:
        """Process one event; return True if there was one."""

    @abc.abstractmethod
    def _send_some(self, now: float) -> bool:
        """Send what is ready; return True if anything was."""

    @abc.abstractmethod
    def _deadlines(self) -> list[float | None]:
        """Return the times at which `pump` is due; None for none."""

    def _tunnel_event(self, event: object) -> bytes | None:
        """Process an event common to both ends of a tunnel; return received data."""
        match event:
            case tunnel.TunnelOpened():
                self.trouble = ""
                self.is_open.set()
            case tunnel.TunnelClosed(_, reason):
                self._tunnel_lost(reason.value)
            case tunnel.TunnelRefused(status):
                self._tunnel_lost(f"it refuses a tunnel (status {status})")
            case tunnel.TunnelUnanswered():
                self._tunnel_lost("it does not answer a request for a tunnel")
            case tunnel.DataReceived(octets):
                return octets
            case tunnel.DataDelivered(octets):
                self._data_settled(octets, "")
            case tunnel.DataFailed(octets, reason):
                self._data_settled(octets, reason.value)
            case _:
                pass
        return None

    def _tunnel_lost(self, why: str) -> None:
        self.trouble = why
        self.is_open.clear()

    @abc.abstractmethod
    def _data_settled(self, octets: bytes, reason: str) -> None:
        """Process the result of sending data; `reason` is why it was given up, or ""."""


class MainsSession(Session):
    """An ESME, HCALCS or PPMID: the hub is the tunnel's client."""

    sleeps = False

    def _set_up(self, next_sequence: Callable[[], int]) -> None:
        self._tunnel = TunnelClient(next_sequence=next_sequence)

    @override
    def begin(self) -> None:
        self._tunnel.open()
        self.pump()

    @override
    def handle_sent(self, outgoing: Outgoing, *, is_delivered: bool) -> None:
        if not is_delivered:
            self._tunnel.handle_undelivered(outgoing.sequence, self._clock())
        elif isinstance(outgoing.command, TransferData):
            self._tunnel.handle_delivered(outgoing.sequence)
        self.pump()

    def _carry(self, octets: bytes) -> None:
        self._tunnel.send_data(octets)

    def _receive_tunnelling(self, frame: Frame, now: float) -> None:
        self._tunnel.receive(frame, now)

    def _handle_deadline(self, now: float) -> None:
        self._tunnel.handle_deadline(now)

    def _take_events(self, now: float) -> bool:
        event = self._tunnel.next_event()
        octets = self._tunnel_event(event)
        if octets is not None:
            self._take_data(octets, now)
        return not isinstance(event, NeedData)

    def _send_some(self, now: float) -> bool:
        frames = self._tunnel.frames_to_send(now)
        for outgoing in frames:
            self._send(outgoing, TUNNELING)
        return bool(frames)

    def _deadlines(self) -> list[float | None]:
        return [self._tunnel.next_deadline()]

    def _data_settled(self, octets: bytes, reason: str) -> None:
        self._settle(octets, reason)


class SleepySession(Session):
    """A GSME: it is the tunnel's client, and fetches what waits for it when it wakes.

    It counts as open once it is known to be in the network.
    """

    sleeps = True

    def _set_up(self, next_sequence: Callable[[], int]) -> None:
        self.blocks = BlockTransfer(limits=SLEEPY_BLOCKS)
        # Another first tunnel id than before a restart, so that an old tunnel is known to be gone.
        self._tunnel = TunnelServer(
            next_sequence=next_sequence, first_tunnel_id=int(self._clock() * 1000) & 0x7FFF
        )
        self._exchange = sleepy_exchange.SleepyHub()
        self.wakes = 0

    @override
    def begin(self) -> None:
        self.is_open.set()

    @override
    def handle_sent(self, outgoing: Outgoing, *, is_delivered: bool) -> None:
        if isinstance(outgoing.command, TransferDataToClient):
            if is_delivered:
                self._tunnel.handle_delivered(outgoing.sequence, CLIENT)
            else:
                self._tunnel.handle_undelivered(outgoing.sequence, CLIENT)
        self.pump()

    def _carry(self, octets: bytes) -> None:
        self._exchange.send_message(octets, self._clock())

    def _receive_tunnelling(self, frame: Frame, now: float) -> None:
        self._tunnel.receive(frame, CLIENT, now)

    def _receive_metering(self, frame: Frame) -> None:
        match frame.command:
            case RequestMirror():
                response = RequestMirrorResponse(MIRROR_ENDPOINT)
                self._send(Outgoing(response, frame.sequence), METERING)
            case ConfigureMirror(command_id=command_id):
                done = DefaultResponse(command_id, tunnel.SUCCESS, Direction.TO_SERVER)
                self._send(Outgoing(done, frame.sequence), METERING)
            case General(command_id=command_id) if command_id == REPORT_ATTRIBUTES:
                self.wakes += 1
                flags = (int(self._exchange.flags), 0, 0, 0, 0)
                answer = MirrorReportAttributeResponse(NotificationScheme.PREDEFINED_B, flags)
                self._send(Outgoing(answer, frame.sequence), METERING)
            case _:
                pass

    def _handle_deadline(self, now: float) -> None:
        self._tunnel.handle_deadline(now)
        self._exchange.handle_deadline(now)

    def _take_events(self, now: float) -> bool:
        event = self._tunnel.next_event()
        octets = self._tunnel_event(event)
        if octets is not None:
            self._exchange.receive_data(octets)
        exchanged = self._exchange.next_event()
        match exchanged:
            case sleepy_exchange.MessageReceived(message):
                self._take_data(message, now)
            case sleepy_exchange.MessageDelivered(message):
                self._settle(message)
            case sleepy_exchange.MessageGivenUp(message, reason):
                self._settle(message, reason.value)
            case _:
                pass
        return not isinstance(event, NeedData) or not isinstance(exchanged, NeedData)

    def _send_some(self, now: float) -> bool:
        for octets in self._exchange.data_to_send():
            self._tunnel.send_data(octets, CLIENT)
        frames = self._tunnel.frames_to_send(now)
        for outgoing in frames:
            self._send(outgoing, TUNNELING)
        return bool(frames)

    def _deadlines(self) -> list[float | None]:
        return [self._tunnel.next_deadline(), self._exchange.next_deadline()]

    def _tunnel_lost(self, why: str) -> None:
        """Stay open: the device asks for another tunnel when it next has something to send."""
        self.trouble = why

    def _data_settled(self, octets: bytes, reason: str) -> None:
        del octets
        self._exchange.handle_settled(is_delivered=not reason)

    def _withdraw(self, octets: bytes) -> None:
        super()._withdraw(octets)
        self._exchange.withdraw(octets)
