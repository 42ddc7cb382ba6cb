"""The server of tunnels: an ESME, HCALCS or PPMID towards its hub, a hub towards its GSME.

Source: GBCS 10.2.2; ZSE 1.4, annex D.6.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import SequenceError
from meterlink.link_events import NEED_DATA, NeedData
from zse import smart_energy_assumptions
from zse.smart_energy_commands import (
    NO_TUNNEL,
    TUNNELING,
    CloseTunnel,
    Command,
    DefaultResponse,
    Direction,
    GetSupportedTunnelProtocols,
    RequestTunnel,
    RequestTunnelResponse,
    SupportedTunnelProtocolsResponse,
    TransferData,
    TransferDataError,
    TransferDataErrorToClient,
    TransferDataToClient,
    TunnelClosureNotification,
)
from zse.smart_energy_enumerations import TransferDataStatus, TunnelStatus
from zse.tunnel import (
    CLAUSE,
    LAYER,
    MALFORMED_COMMAND,
    NOT_AUTHORIZED,
    NOT_FOUND,
    SUCCESS,
    UNSUP_COMMAND,
    CloseReason,
    DataReceived,
    DataSender,
    Refused,
    TunnelClosed,
    TunnelEvent,
    TunnelOpened,
    TunnelParameters,
)
from zse.zcl_frames import Frame, Outgoing, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server allows.

    Args:
        tunnels: How many tunnels there may be.
        reuses_tunnel: Whether a client that asks again is given the tunnel it has.
        close_tunnel_timeout_s: CloseTunnelTimeout, seconds without data; 0xFFFF at most.
        notifies_closure: Whether a client is told of it.
        response_timeout_s: How long the answer to data is waited for.

    Source: ZSE 1.4, annex D.6 (CloseTunnelTimeout); the rest is assumed.
    """

    tunnels: int = smart_energy_assumptions.SERVER_TUNNELS
    reuses_tunnel: bool = smart_energy_assumptions.SERVER_REUSES_TUNNEL
    close_tunnel_timeout_s: float = smart_energy_assumptions.CLOSE_TUNNEL_TIMEOUT_S
    notifies_closure: bool = smart_energy_assumptions.SERVER_NOTIFIES_CLOSURE
    response_timeout_s: float = smart_energy_assumptions.RESPONSE_TIMEOUT_S


_DEFAULT_LIMITS: Final = ServerLimits()
_DEFAULT_PARAMETERS: Final = TunnelParameters()


@dataclass(slots=True)
class _Tunnel:
    tunnel_id: int
    client: int
    maximum_transfer_octets: int
    inactive_at: float


@dataclass(slots=True)
class _Client:
    sender: DataSender
    tunnels: list[_Tunnel] = field(default_factory=list)

    @property
    def tunnel(self) -> _Tunnel | None:
        """The tunnel that data goes through: the newest."""
        return self.tunnels[-1] if self.tunnels else None


class TunnelServer:
    """Assigns tunnels to clients, and carries data both ways through them.

    Used as `TunnelClient` is. A device that loses its power loses this object and its tunnels.

    Args:
        next_sequence: Returns the transaction sequence number of the next command.
        parameters: Which tunnels there are.
        limits: What is allowed.
        first_tunnel_id: The first TunnelID given out; after a restart another than before, so
            that a client with an old one is told that there is no such tunnel.

    Attributes:
        is_busy: Whether RequestTunnel is answered with Busy.
    """

    def __init__(
        self,
        *,
        next_sequence: Callable[[], int],
        parameters: TunnelParameters = _DEFAULT_PARAMETERS,
        limits: ServerLimits = _DEFAULT_LIMITS,
        first_tunnel_id: int = 0,
    ) -> None:
        self.is_busy = False
        self._next_sequence = next_sequence
        self._parameters = parameters
        self._limits = limits
        self._next_tunnel_id = first_tunnel_id % NO_TUNNEL
        self._tunnels: dict[int, _Tunnel] = {}
        self._clients: dict[int, _Client] = {}
        self._answers: deque[Outgoing] = deque()
        self._events: deque[TunnelEvent] = deque()

    @property
    def tunnels(self) -> dict[int, int]:
        """The client of each tunnel, by TunnelID."""
        return {each.tunnel_id: each.client for each in self._tunnels.values()}

    def waiting(self, client: int) -> tuple[bytes, ...]:
        """Return the data for a client that is not yet settled, oldest first."""
        known = self._clients.get(client)
        return known.sender.waiting if known else ()

    def send_data(self, octets: bytes, client: int) -> None:
        """Queue data for a client; it waits for a tunnel of that client.

        Raises:
            LocalProtocolError: It does not fit a tunnel, or too much waits.
        """
        self._client(client).sender.push(octets)

    def receive(self, frame: Frame, client: int, now: float) -> None:
        """Process one frame of the Tunneling cluster that came from a client."""
        command = frame.command
        match command:
            case RequestTunnel():
                self._receive_request(command, client, frame.sequence, now)
            case CloseTunnel():
                self._receive_close(command, client, frame)
            case TransferData():
                self._receive_data(command, client, frame, now)
            case TransferDataError():
                self._receive_error(command, client)
            case GetSupportedTunnelProtocols():
                self._receive_get_protocols(command, client, frame.sequence)
            case DefaultResponse():
                self._receive_default_response(command, client, frame.sequence)
            case Unknown() | Command():
                self._refuse(client, f"command 0x{command.command_id:02X} is not for a server")
                if command.direction is Direction.TO_SERVER:
                    self._answer_default(command.command_id, UNSUP_COMMAND, client, frame.sequence)
            case _:
                self._refuse(client, "a general command that no tunnel needs")

    def handle_delivered(self, sequence: int, client: int) -> None:
        """Record that the client's APS layer has what went out with `sequence`."""
        if client in self._clients:
            self._clients[client].sender.radio_has_delivered(sequence)

    def handle_undelivered(self, sequence: int, client: int) -> None:
        """Record that what went out with `sequence` did not reach the client."""
        if client in self._clients:
            self._tell(self._clients[client].sender.radio_could_not(sequence))

    def next_event(self) -> TunnelEvent | NeedData:
        """Return the next event; nothing is raised, whatever a client sends."""
        return self._events.popleft() if self._events else NEED_DATA

    def frames_to_send(self, now: float) -> list[Outgoing]:
        """Return the commands to send now, each with its address; they count as sent."""
        found = list(self._answers)
        self._answers.clear()
        for address, client in self._clients.items():
            tunnel = client.tunnel
            if tunnel is None or client.sender.is_on_its_way:
                continue
            self._events.extend(client.sender.drop_longer_than(tunnel.maximum_transfer_octets))
            if not len(client.sender):
                continue
            sequence = self._next_sequence()
            data = client.sender.take(sequence, now)
            self._used(tunnel, now)
            found.append(Outgoing(TransferDataToClient(tunnel.tunnel_id, data), sequence, address))
        return found

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        deadlines = [each.inactive_at for each in self._tunnels.values()]
        deadlines += [
            each.sender.deadline
            for each in self._clients.values()
            if each.sender.deadline is not None
        ]
        return min(deadlines, default=None)

    def handle_deadline(self, now: float) -> None:
        """Handle whatever is due at `now`."""
        for client in self._clients.values():
            self._tell(client.sender.overdue(now))
        for tunnel in [each for each in self._tunnels.values() if now >= each.inactive_at]:
            self._drop(tunnel, CloseReason.INACTIVE)
            if self._limits.notifies_closure:
                notification = TunnelClosureNotification(tunnel.tunnel_id)
                self._answers.append(Outgoing(notification, self._next_sequence(), tunnel.client))

    def _client(self, address: int) -> _Client:
        known = self._clients.get(address)
        if known is None:
            sender = DataSender(address=address, timeout_s=self._limits.response_timeout_s)
            known = self._clients[address] = _Client(sender)
        return known

    def _tell(self, event: TunnelEvent | None) -> None:
        if event is not None:
            self._events.append(event)

    def _used(self, tunnel: _Tunnel, now: float) -> None:
        tunnel.inactive_at = now + self._limits.close_tunnel_timeout_s

    def _receive_request(
        self, request: RequestTunnel, client: int, sequence: int, now: float
    ) -> None:
        status, tunnel_id = self._grant(request, client, now)
        response = RequestTunnelResponse(
            tunnel_id, status, self._parameters.maximum_incoming_transfer_octets
        )
        self._answers.append(Outgoing(response, sequence, client))

    def _grant(self, request: RequestTunnel, client: int, now: float) -> tuple[TunnelStatus, int]:
        parameters = self._parameters
        asked = (request.protocol_id, request.manufacturer_code)
        if asked != (parameters.protocol_id, parameters.manufacturer_code):
            return TunnelStatus.Protocol_Not_Supported, NO_TUNNEL
        if request.flow_control_support:
            return TunnelStatus.Flow_Control_Not_Supported, NO_TUNNEL
        if self.is_busy:
            return TunnelStatus.Busy, NO_TUNNEL
        known = self._clients.get(client)
        held = known.tunnel if known else None
        if held is not None and self._limits.reuses_tunnel:
            tunnel = held
            tunnel.maximum_transfer_octets = request.maximum_incoming_transfer_size
        elif len(self._tunnels) >= self._limits.tunnels:
            return TunnelStatus.No_More_Tunnel_IDs, NO_TUNNEL
        else:
            tunnel = _Tunnel(
                self._free_tunnel_id(), client, request.maximum_incoming_transfer_size, now
            )
            self._tunnels[tunnel.tunnel_id] = tunnel
            self._client(client).tunnels.append(tunnel)
        self._used(tunnel, now)
        self._events.append(TunnelOpened(tunnel.tunnel_id, tunnel.maximum_transfer_octets, client))
        return TunnelStatus.Success, tunnel.tunnel_id

    def _free_tunnel_id(self) -> int:
        while self._next_tunnel_id in self._tunnels:
            self._next_tunnel_id = (self._next_tunnel_id + 1) % NO_TUNNEL
        found = self._next_tunnel_id
        self._next_tunnel_id = (found + 1) % NO_TUNNEL
        return found

    def _receive_close(self, command: CloseTunnel, client: int, frame: Frame) -> None:
        tunnel = self._tunnels.get(command.tunnel_id)
        if tunnel is None:
            status = NOT_FOUND
        elif tunnel.client != client:
            status = NOT_AUTHORIZED
        else:
            self._drop(tunnel, CloseReason.REQUESTED)
            status = SUCCESS
        if status != SUCCESS or frame.wants_default_response:
            self._answer_default(command.command_id, status, client, frame.sequence)

    def _drop(self, tunnel: _Tunnel, reason: CloseReason) -> None:
        known = self._clients[tunnel.client]
        was_used = known.tunnel is tunnel
        known.tunnels.remove(tunnel)
        del self._tunnels[tunnel.tunnel_id]
        if was_used:
            self._tell(known.sender.put_back())
        self._events.append(TunnelClosed(tunnel.tunnel_id, reason, tunnel.client))

    def _receive_data(self, command: TransferData, client: int, frame: Frame, now: float) -> None:
        tunnel = self._tunnels.get(command.tunnel_id)
        limit = self._parameters.maximum_incoming_transfer_octets
        error: TransferDataStatus | None = None
        if tunnel is None:
            error = TransferDataStatus.No_Such_Tunnel
            self._refuse(client, f"data for tunnel {command.tunnel_id}, which is not open")
        elif tunnel.client != client:
            error = TransferDataStatus.Wrong_Device
            self._refuse(client, f"data for tunnel {command.tunnel_id}, which is another's")
        elif len(command.data) > limit:
            error = TransferDataStatus.Data_Overflow
            self._refuse(client, f"{len(command.data)} octets of data, more than {limit}")
        if error is not None:
            self._answers.append(
                Outgoing(
                    TransferDataErrorToClient(command.tunnel_id, error), frame.sequence, client
                )
            )
            return
        if tunnel is not None:
            self._used(tunnel, now)
        status = SUCCESS if command.data else MALFORMED_COMMAND
        if command.data:
            self._events.append(DataReceived(command.data, client))
        else:
            self._refuse(client, "data of no octets")
        if status != SUCCESS or frame.wants_default_response:
            self._answer_default(command.command_id, status, client, frame.sequence)

    def _receive_error(self, error: TransferDataError, client: int) -> None:
        tunnel = self._tunnels.get(error.tunnel_id)
        if tunnel is None or tunnel.client != client:
            self._refuse(client, f"an error about tunnel {error.tunnel_id}, which is not open")
            return
        known = self._clients[client]
        if known.tunnel is tunnel:
            self._tell(known.sender.refused(error.transfer_data_status))
        if error.transfer_data_status == TransferDataStatus.No_Such_Tunnel:
            self._drop(tunnel, CloseReason.NO_SUCH_TUNNEL)
        elif error.transfer_data_status == TransferDataStatus.Wrong_Device:
            self._drop(tunnel, CloseReason.WRONG_DEVICE)

    def _receive_get_protocols(
        self, command: GetSupportedTunnelProtocols, client: int, sequence: int
    ) -> None:
        parameters = self._parameters
        supported = ((parameters.manufacturer_code, int(parameters.protocol_id)),)
        response = SupportedTunnelProtocolsResponse(True, supported[command.protocol_offset :])
        self._answers.append(Outgoing(response, sequence, client))

    def _receive_default_response(
        self, response: DefaultResponse, client: int, sequence: int
    ) -> None:
        if client in self._clients:
            self._tell(self._clients[client].sender.answered(sequence, response.status))

    def _answer_default(self, command_id: int, status: int, client: int, sequence: int) -> None:
        response = DefaultResponse(command_id, status, Direction.TO_CLIENT)
        self._answers.append(Outgoing(response, sequence, client))

    def _refuse(self, client: int, reason: str) -> None:
        error = SequenceError(
            reason, layer=LAYER, field=f"cluster 0x{TUNNELING:04X}", clause=CLAUSE
        )
        self._events.append(Refused(error, client))
