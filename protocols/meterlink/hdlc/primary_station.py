"""The primary station: the agent's end, which polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from gbcs.protocol_errors import DecodeError, LocalProtocolError, RemoteProtocolError, SequenceError
from meterlink.hdlc.hdlc_connection import LLC_COMMAND, WIDE_PARAMETERS, HDLCConnection, Timers
from meterlink.hdlc.hdlc_frames import LAYER, Frame, FrameKind
from meterlink.hdlc.hdlc_parameters import LinkParameters, decode_parameters, encode_parameters
from meterlink.hdlc.hdlc_states import RESPONSES, Lapse, LinkState
from meterlink.link_events import DisconnectReason

if TYPE_CHECKING:
    from meterlink.hdlc.hdlc_address import HDLCAddress

_FRAME_OVERHEAD: Final = 14


class PrimaryStation(HDLCConnection):
    """The station that connects, polls and recovers.

    After each turn it waits for the F bit. Where that does not come it asks with RR, and what the
    answer does not acknowledge goes out again.

    Args:
        own: This station's address.
        peer: The secondary station's address.
        parameters: The largest sizes this station takes.
        timers: Times and retries.
        send_reject: Answer a gap with REJ in place of RR.

    Source: IEC 62056-46, 6.4.4; ISO/IEC 13239, 6.11.4.
    """

    _ACCEPTS: ClassVar[frozenset[FrameKind]] = RESPONSES
    _LLC_SENT: ClassVar[bytes] = LLC_COMMAND

    def __init__(
        self,
        *,
        own: HDLCAddress,
        peer: HDLCAddress,
        parameters: LinkParameters = WIDE_PARAMETERS,
        timers: Timers | None = None,
        send_reject: bool = False,
    ) -> None:
        super().__init__(
            own=own, peer=peer, parameters=parameters, timers=timers, send_reject=send_reject
        )
        self._wanted: FrameKind | None = None
        self._deadline: float | None = None
        self._poll_at: float | None = None
        self._asks = False
        self._retries = 0
        self._has_accepted = False
        self._turn_octets = 0

    def connect(self) -> None:
        """Request a connection with the next `data_to_send`.

        Raises:
            LocalProtocolError: There is one, or one is being made or ended.
        """
        if self._state not in {LinkState.DISCONNECTED, LinkState.REJECTED}:
            raise LocalProtocolError(f"cannot connect while {self._state.value}")
        self._deframer.reset()
        self._deadline = self._poll_at = None
        self._retries = 0
        self._wanted = FrameKind.SNRM

    def disconnect(self) -> None:
        """End the connection as soon as this station has its turn."""
        if self._wanted is FrameKind.SNRM and self._state is LinkState.DISCONNECTED:
            self._wanted = None
        elif self._state is not LinkState.DISCONNECTED:
            self._wanted = FrameKind.DISC

    def send_message(self, octets: bytes) -> None:
        """Queue one message; `MessageAcknowledged` tells when the peer has it.

        Raises:
            LocalProtocolError: It is empty or too long, the queue is full, or there is no
                connection.
        """
        if self._state is not LinkState.CONNECTED or self._wanted is FrameKind.DISC:
            raise LocalProtocolError(f"cannot send while {self._state.value}")
        super().send_message(octets)

    def receive_data(self, data: bytes, now: float) -> None:
        """Receive octets as they were read at `now`; an answer under way puts off the time-out."""
        super().receive_data(data, now)
        self._turn_octets += len(data)
        expected = self._agreed.window_rx * (self._agreed.information_octets_rx + _FRAME_OVERHEAD)
        if self._deadline is not None and data and self._turn_octets <= expected:
            self._deadline = max(self._deadline, now + self._timers.response_timeout_s)

    def _frames_to_send(self, now: float) -> list[Frame]:
        if self._deadline is not None:
            return []
        if self._wanted is FrameKind.SNRM or self._state is LinkState.CONNECTING:
            self._wanted = None
            return [self._unnumbered(FrameKind.SNRM, encode_parameters(self._parameters))]
        if self._wanted is FrameKind.DISC and self._owes_acknowledgement:
            return [self._supervisory()]
        if self._wanted is FrameKind.DISC or self._state is LinkState.DISCONNECTING:
            self._wanted = None
            return [self._unnumbered(FrameKind.DISC)]
        return self._connected_turn(now) if self._state is LinkState.CONNECTED else []

    @property
    def _owes_acknowledgement(self) -> bool:
        """True if the peer would take a message for lost if the connection ended now."""
        return self._state is LinkState.CONNECTED and self._has_accepted

    def _connected_turn(self, now: float) -> list[Frame]:
        if not self._asks:
            frames = self._own_numbered_turn(may_start=not self._receive.is_within_message)
            if frames:
                return frames
        if self._asks or self._poll_at is None or now >= self._poll_at:
            return [self._supervisory()]
        return []

    def _sent(self, now: float, *, octets: int) -> None:
        self._asks = self._has_accepted = False
        self._turn_octets = 0
        self._deadline = now + octets * self._timers.octet_time_s + self._timers.response_timeout_s

    def _heard(self, now: float) -> None:
        """Do nothing: the response time-out follows the octets."""

    def _not_allowed(self, frame: Frame) -> None:
        """Do nothing: the frame answers a turn that was given up."""

    def _role_deadline(self) -> float | None:
        if self._deadline is not None:
            return self._deadline
        return self._poll_at if self._state is LinkState.CONNECTED else None

    def _handle_role_deadline(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        self._statistics.timeouts += 1
        if not self._count_failure():
            return
        if self._state is LinkState.CONNECTED:
            self._asks = True
        else:
            self._statistics.retransmissions += 1

    def _count_failure(self) -> bool:
        """Count one more turn without progress; return whether another may be tried."""
        self._retries += 1
        if self._retries <= self._timers.retries:
            return True
        if self._state not in {LinkState.DISCONNECTED, LinkState.REJECTED}:
            was_ending = self._state is LinkState.DISCONNECTING
            self._follow(Lapse.NO_RESPONSE)
            self._end(DisconnectReason.REQUESTED if was_ending else DisconnectReason.NO_RESPONSE)
        return False

    def _receive_numbered(self, frame: Frame) -> bool:
        progress = super()._receive_numbered(frame)
        if frame.kind is FrameKind.I:
            self._has_accepted = True
        return progress

    def _turn_ended(self, now: float, *, progress: bool) -> None:
        if self._state is not LinkState.CONNECTED:
            return
        awaited = self._deadline is not None
        self._deadline = None
        lost = self._receive.has_gap or (self._send.has_outstanding and not self._peer_busy)
        self._send.rewind()
        if progress or not lost:
            self._retries = 0
        elif awaited and not self._count_failure():
            return
        # What came must be acknowledged at once; with nothing to tell, the device is left alone.
        idle = not (self._has_accepted or self._receive.is_within_message)
        self._poll_at = now + self._timers.poll_interval_s if idle else now

    def _receive_unnumbered(self, frame: Frame, before: LinkState, now: float) -> None:
        if frame.kind is FrameKind.FRMR:
            if before is LinkState.CONNECTED:
                error = SequenceError(
                    "the peer rejected a frame",
                    layer=LAYER,
                    field="FRMR",
                    clause="ISO/IEC 13239, 5.5.3.4.2",
                    excerpt=frame.information,
                )
                self._events.append(error)
                self._end(DisconnectReason.PROTOCOL)
        elif before is LinkState.CONNECTING and frame.kind is FrameKind.UA:
            self._receive_ua(frame, now)
        elif before is LinkState.DISCONNECTING:
            self._end(DisconnectReason.REQUESTED)
        elif before in {LinkState.CONNECTING, LinkState.CONNECTED}:
            refused = before is LinkState.CONNECTING
            self._end(DisconnectReason.REFUSED if refused else DisconnectReason.BY_PEER)

    def _receive_ua(self, frame: Frame, now: float) -> None:
        try:
            offered = decode_parameters(frame.information)
        except DecodeError as error:
            self._state = LinkState.CONNECTING
            self._events.append(error)
            self._violated(frame, error)
            return
        self._deadline = None
        self._retries = 0
        self._poll_at = now + self._timers.poll_interval_s
        self._connected(offered)

    def _violated(self, frame: Frame, error: RemoteProtocolError) -> None:
        del frame, error
        self._follow(Lapse.VIOLATION)
        self._end(DisconnectReason.PROTOCOL)

    def _end(self, reason: DisconnectReason) -> None:
        self._deadline = self._poll_at = self._wanted = None
        self._retries = 0
        self._disconnected(reason)
        self._send.clear()
