"""The client of a tunnel: a hub towards its mains-powered devices, a GSME towards its hub.

Source: GBCS 10.2.2.1 and 10.2.2.2; ZSE 1.4, annex D.6.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import SequenceError
from meterlink.link_events import NEED_DATA, NeedData
from zse import smart_energy_assumptions
from zse.smart_energy_commands import (
    TUNNELING,
    CloseTunnel,
    Command,
    DefaultResponse,
    Direction,
    RequestTunnel,
    RequestTunnelResponse,
    TransferData,
    TransferDataError,
    TransferDataErrorToClient,
    TransferDataToClient,
    TunnelClosureNotification,
)
from zse.smart_energy_enumerations import TransferDataStatus, TunnelStatus
from zse.tunnel import (
    BUSY_RETRY_S,
    CLAUSE,
    LAYER,
    MALFORMED_COMMAND,
    REOPEN_AFTER_S,
    SUCCESS,
    UNSUP_COMMAND,
    CloseReason,
    DataFailed,
    DataReceived,
    DataSender,
    FailureReason,
    Refused,
    TunnelClosed,
    TunnelEvent,
    TunnelOpened,
    TunnelParameters,
    TunnelRefused,
    TunnelUnanswered,
)
from zse.zcl_frames import Frame, Outgoing, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class TunnelState(enum.Enum):
    """State of a client's tunnel."""

    CLOSED = "no tunnel is asked for"
    REQUESTING = "a tunnel is being asked for"
    CLOSING = "tunnels are being closed"
    WAITING = "a tunnel will be asked for later"
    REFUSED = "the peer refuses tunnels"
    OPEN = "the tunnel is open"


@dataclass(frozen=True, slots=True)
class ClientTimers:
    """How long a client waits.

    Args:
        response_timeout_s: For an answer.
        busy_retry_s: After Busy.
        reopen_after_s: From one RequestTunnelResponse to the next RequestTunnel, or None.
        no_answer_retry_s: After an unanswered RequestTunnel or CloseTunnel.
        exhausted_retry_s: After No More Tunnel IDs with nothing left to close.

    Source: GBCS 10.2.2.1 for `busy_retry_s` and `reopen_after_s`; the rest is assumed.
    """

    response_timeout_s: float = smart_energy_assumptions.RESPONSE_TIMEOUT_S
    busy_retry_s: float = BUSY_RETRY_S
    reopen_after_s: float | None = REOPEN_AFTER_S
    no_answer_retry_s: float = smart_energy_assumptions.NO_ANSWER_RETRY_S
    exhausted_retry_s: float = smart_energy_assumptions.EXHAUSTED_RETRY_S


_DEFAULT_TIMERS: Final = ClientTimers()
_DEFAULT_PARAMETERS: Final = TunnelParameters()


@dataclass(frozen=True, slots=True)
class _Asked:
    command: RequestTunnel | CloseTunnel
    sequence: int
    deadline: float


class TunnelClient:
    """Keeps one tunnel with one device, and carries data both ways through it.

    The owner passes in what came, drains `next_event`, sends what `frames_to_send` gives, and
    calls `handle_deadline` no later than `next_deadline`. `now` is monotonic seconds.

    Args:
        next_sequence: Returns the transaction sequence number of the next command.
        parameters: What the tunnel is to be.
        timers: How long to wait.
        possibly_active: TunnelIDs that the device may still hold from before a restart.
    """

    def __init__(
        self,
        *,
        next_sequence: Callable[[], int],
        parameters: TunnelParameters = _DEFAULT_PARAMETERS,
        timers: ClientTimers = _DEFAULT_TIMERS,
        possibly_active: Iterable[int] = (),
    ) -> None:
        self._next_sequence = next_sequence
        self._parameters = parameters
        self._timers = timers
        self._sender = DataSender(timeout_s=timers.response_timeout_s)
        self._possibly_active = set(possibly_active)
        self._tunnel_id: int | None = None
        self._maximum_transfer_octets = parameters.maximum_incoming_transfer_octets
        self._wants_tunnel = False
        self._is_refused = False
        self._is_ending = False
        self._retry_at: float | None = None
        self._reopen_at: float | None = None
        self._to_close: deque[int] = deque()
        self._asked: _Asked | None = None
        self._answers: deque[Outgoing] = deque()
        self._events: deque[TunnelEvent] = deque()

    @property
    def state(self) -> TunnelState:
        """The state of the tunnel; OPEN as long as data passes, even while it is re-opened."""
        if self._to_close:
            return TunnelState.CLOSING
        if self._tunnel_id is not None:
            return TunnelState.OPEN
        if self._retry_at is not None:
            return TunnelState.WAITING
        if self._wants_tunnel or self._asked is not None:
            return TunnelState.REQUESTING
        return TunnelState.REFUSED if self._is_refused else TunnelState.CLOSED

    @property
    def tunnel_id(self) -> int | None:
        """The tunnel that data goes through, or None."""
        return self._tunnel_id

    @property
    def possibly_active(self) -> frozenset[int]:
        """TunnelIDs that the device may hold; worth keeping over a restart."""
        return frozenset(self._possibly_active)

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """Data not yet settled, oldest first."""
        return self._sender.waiting

    def open(self) -> None:
        """Request a tunnel with the next `frames_to_send`.

        For when keys were established with the device, and for power-on.
        """
        self._is_refused = self._is_ending = False
        self._retry_at = None
        self._wants_tunnel = not self._is_asking

    @property
    def _is_asking(self) -> bool:
        return self._asked is not None and isinstance(self._asked.command, RequestTunnel)

    def close(self) -> None:
        """Close every tunnel that the device may hold, and give up what waits.

        It is opened again by `open` or by the next data.
        """
        self._events.extend(self._sender.fail_all(FailureReason.CLOSED))
        self._lose_tunnel(CloseReason.REQUESTED)
        self._wants_tunnel = False
        self._retry_at = self._reopen_at = None
        self._is_ending = True
        if self._is_asking:
            self._asked = None
        self._close_all()

    def send_data(self, octets: bytes) -> None:
        """Queue data; without a tunnel one is asked for.

        `DataDelivered` or `DataFailed` tells what became of it, in order.

        Raises:
            LocalProtocolError: It does not fit a tunnel, or too much waits.
        """
        self._sender.push(octets)
        self._is_refused = self._is_ending = False

    def receive(self, frame: Frame, now: float) -> None:
        """Process one frame of the Tunneling cluster that came from the device."""
        command = frame.command
        match command:
            case RequestTunnelResponse():
                self._receive_response(command, frame.sequence, now)
            case TransferDataToClient():
                self._receive_data(command, frame)
            case TransferDataErrorToClient():
                self._receive_error(command)
            case TunnelClosureNotification():
                self._receive_closure(command)
            case DefaultResponse():
                self._receive_default_response(command, frame.sequence, now)
            case Unknown() | Command():
                self._refuse(f"command 0x{command.command_id:02X} is not for a client")
                if command.direction is Direction.TO_CLIENT:
                    self._answer(command.command_id, UNSUP_COMMAND, frame.sequence)
            case _:
                self._refuse("a general command that no tunnel needs")

    def handle_delivered(self, sequence: int) -> None:
        """Record that the device's APS layer has what went out with `sequence`."""
        self._sender.radio_has_delivered(sequence)

    def handle_undelivered(self, sequence: int, now: float) -> None:
        """Record that what went out with `sequence` did not reach the device."""
        if self._asked is not None and self._asked.sequence == sequence:
            self._unanswered(now)
        elif failed := self._sender.radio_could_not(sequence):
            self._events.append(failed)
            self._lose_tunnel(CloseReason.NO_ANSWER)

    def next_event(self) -> TunnelEvent | NeedData:
        """Return the next event; nothing is raised, whatever the device sends."""
        return self._events.popleft() if self._events else NEED_DATA

    def frames_to_send(self, now: float) -> list[Outgoing]:
        """Return the commands to send now; they count as sent."""
        found = list(self._answers)
        self._answers.clear()
        if self._asked is None and not self._sender.is_on_its_way:
            command = self._next_command(now)
            if command is not None:
                found.append(command)
        return found

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        deadlines = (
            self._asked.deadline if self._asked else None,
            self._sender.deadline,
            self._retry_at,
            self._reopen_at,
        )
        return min((each for each in deadlines if each is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Handle whatever is due at `now`."""
        if self._asked is not None and now >= self._asked.deadline:
            self._unanswered(now)
        overdue = self._sender.overdue(now)
        if overdue is not None:
            self._events.append(overdue)
            if isinstance(overdue, DataFailed):
                self._lose_tunnel(CloseReason.NO_ANSWER)
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._wants_tunnel = True
        if self._reopen_at is not None and now >= self._reopen_at:
            self._reopen_at = None
            self._wants_tunnel = self._retry_at is None

    def _next_command(self, now: float) -> Outgoing | None:
        if self._to_close:
            return self._ask(CloseTunnel(self._to_close[0]), now)
        if self._tunnel_id is not None:
            self._events.extend(self._sender.drop_longer_than(self._maximum_transfer_octets))
        needs_tunnel = len(self._sender) > 0 and self._tunnel_id is None
        if self._wants_tunnel or (needs_tunnel and self._retry_at is None):
            self._wants_tunnel = False
            parameters = self._parameters
            request = RequestTunnel(
                protocol_id=parameters.protocol_id,
                manufacturer_code=parameters.manufacturer_code,
                flow_control_support=False,
                maximum_incoming_transfer_size=parameters.maximum_incoming_transfer_octets,
            )
            return self._ask(request, now)
        if self._tunnel_id is not None and len(self._sender):
            sequence = self._next_sequence()
            data = self._sender.take(sequence, now)
            return Outgoing(TransferData(self._tunnel_id, data), sequence)
        return None

    def _ask(self, command: RequestTunnel | CloseTunnel, now: float) -> Outgoing:
        sequence = self._next_sequence()
        self._asked = _Asked(command, sequence, now + self._timers.response_timeout_s)
        return Outgoing(command, sequence)

    def _unanswered(self, now: float) -> None:
        was_ending = self._is_ending
        self._asked = None
        self._to_close.clear()
        if was_ending:
            return
        self._wants_tunnel = False
        self._retry_at = now + self._timers.no_answer_retry_s
        self._events.append(TunnelUnanswered(self._retry_at))

    def _receive_response(self, response: RequestTunnelResponse, sequence: int, now: float) -> None:
        asked = self._asked
        if asked is None or asked.sequence != sequence or isinstance(asked.command, CloseTunnel):
            # A tunnel that came too late is still one that the device holds.
            if response.tunnel_status == TunnelStatus.Success:
                self._possibly_active.add(response.tunnel_id)
                if self._is_ending:
                    self._to_close.append(response.tunnel_id)
            self._refuse("an answer to no RequestTunnel that is waited for")
            return
        self._asked = None
        reopen = self._timers.reopen_after_s
        self._reopen_at = None if reopen is None else now + reopen
        if response.tunnel_status == TunnelStatus.Success:
            self._opened(response)
        elif response.tunnel_status == TunnelStatus.Busy:
            self._retry(response.tunnel_status, now + self._timers.busy_retry_s)
        elif response.tunnel_status == TunnelStatus.No_More_Tunnel_IDs:
            self._lose_tunnel(CloseReason.REQUESTED)
            if self._possibly_active:
                self._close_all()
                self._wants_tunnel = True
            else:
                self._retry(response.tunnel_status, now + self._timers.exhausted_retry_s)
        else:
            self._refused(response.tunnel_status)

    def _opened(self, response: RequestTunnelResponse) -> None:
        if self._tunnel_id not in (None, response.tunnel_id):
            self._lose_tunnel(CloseReason.REPLACED)
        self._tunnel_id = response.tunnel_id
        self._possibly_active.add(response.tunnel_id)
        self._maximum_transfer_octets = response.maximum_incoming_transfer_size
        self._events.append(TunnelOpened(response.tunnel_id, self._maximum_transfer_octets))

    def _retry(self, status: int, at: float) -> None:
        self._retry_at = at
        self._events.append(TunnelRefused(status, at))

    def _refused(self, status: int, *, is_zcl_status: bool = False) -> None:
        self._is_refused = True
        self._lose_tunnel(CloseReason.REFUSED)
        self._wants_tunnel = False
        self._events.append(TunnelRefused(status, None, is_zcl_status))
        self._events.extend(self._sender.fail_all(FailureReason.REFUSED))

    def _close_all(self) -> None:
        self._to_close = deque(sorted(self._possibly_active))

    def _lose_tunnel(self, reason: CloseReason) -> None:
        if self._tunnel_id is None:
            return
        self._events.append(TunnelClosed(self._tunnel_id, reason))
        if reason in {CloseReason.NO_SUCH_TUNNEL, CloseReason.WRONG_DEVICE, CloseReason.NOTIFIED}:
            self._possibly_active.discard(self._tunnel_id)
            self._wants_tunnel = smart_energy_assumptions.REOPENS_AT_ONCE
        self._tunnel_id = None

    def _receive_default_response(
        self, response: DefaultResponse, sequence: int, now: float
    ) -> None:
        asked = self._asked
        if asked is not None and asked.sequence == sequence:
            if isinstance(asked.command, CloseTunnel):
                self._closed(asked.command.tunnel_id)
            elif response.status != SUCCESS:
                self._asked = None
                reopen = self._timers.reopen_after_s
                self._reopen_at = None if reopen is None else now + reopen
                self._refused(response.status, is_zcl_status=True)
            return
        event = self._sender.answered(sequence, response.status)
        if event is not None:
            self._events.append(event)

    def _closed(self, tunnel_id: int) -> None:
        """End the tunnel: whatever the answer, the device holds it for this client no longer."""
        self._asked = None
        self._possibly_active.discard(tunnel_id)
        if self._to_close and self._to_close[0] == tunnel_id:
            self._to_close.popleft()

    def _receive_data(self, command: TransferDataToClient, frame: Frame) -> None:
        limit = self._parameters.maximum_incoming_transfer_octets
        if command.tunnel_id not in self._possibly_active:
            self._refuse(f"data for tunnel {command.tunnel_id}, which is not open")
            self._answer_error(command, TransferDataStatus.No_Such_Tunnel, frame.sequence)
        elif len(command.data) > limit:
            self._refuse(f"{len(command.data)} octets of data, more than {limit}")
            self._answer_error(command, TransferDataStatus.Data_Overflow, frame.sequence)
        elif not command.data:
            self._refuse("data of no octets")
            self._answer(command.command_id, MALFORMED_COMMAND, frame.sequence)
        else:
            self._events.append(DataReceived(command.data))
            if frame.wants_default_response:
                self._answer(command.command_id, SUCCESS, frame.sequence)

    def _answer_error(
        self, command: TransferDataToClient, status: TransferDataStatus, sequence: int
    ) -> None:
        self._answers.append(Outgoing(TransferDataError(command.tunnel_id, status), sequence))

    def _answer(self, command_id: int, status: int, sequence: int) -> None:
        response = DefaultResponse(command_id, status, Direction.TO_SERVER)
        self._answers.append(Outgoing(response, sequence))

    def _receive_error(self, error: TransferDataErrorToClient) -> None:
        if error.tunnel_id != self._tunnel_id:
            self._possibly_active.discard(error.tunnel_id)
            self._refuse(f"an error about tunnel {error.tunnel_id}, which is not open")
            return
        failed = self._sender.refused(error.transfer_data_status)
        if failed is not None:
            self._events.append(failed)
        if error.transfer_data_status == TransferDataStatus.No_Such_Tunnel:
            self._lose_tunnel(CloseReason.NO_SUCH_TUNNEL)
        elif error.transfer_data_status == TransferDataStatus.Wrong_Device:
            self._lose_tunnel(CloseReason.WRONG_DEVICE)

    def _receive_closure(self, notification: TunnelClosureNotification) -> None:
        if notification.tunnel_id == self._tunnel_id:
            failed = self._sender.put_back()
            if failed is not None:
                self._events.append(failed)
            self._lose_tunnel(CloseReason.NOTIFIED)
        self._possibly_active.discard(notification.tunnel_id)

    def _refuse(self, reason: str) -> None:
        error = SequenceError(
            reason, layer=LAYER, field=f"cluster 0x{TUNNELING:04X}", clause=CLAUSE
        )
        self._events.append(Refused(error))
