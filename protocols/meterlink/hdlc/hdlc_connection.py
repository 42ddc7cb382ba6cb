"""What both stations of an HDLC link share."""

from __future__ import annotations

import abc
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from gbcs.protocol_errors import (
    DecodeError,
    LocalProtocolError,
    RemoteProtocolError,
    SequenceError,
)
from meterlink.hdlc.deframer import RECEIVE_BUFFER_LIMIT, Deframer
from meterlink.hdlc.hdlc_frames import (
    LAYER,
    NUMBERED,
    Frame,
    FrameKind,
    encode_frame,
)
from meterlink.hdlc.hdlc_parameters import INFORMATION_OCTETS_LIMIT, LinkParameters
from meterlink.hdlc.hdlc_states import Direction, LinkState, Step, follow
from meterlink.hdlc.hdlc_windows import LLC_OCTETS, ReceiveWindow, SendWindow
from meterlink.link_events import (
    MESSAGE_OCTETS_LIMIT,
    NEED_DATA,
    SEND_QUEUE_LIMIT,
    Connected,
    Damaged,
    Disconnected,
    DisconnectReason,
    Event,
    MessageAcknowledged,
    MessageReceived,
    NeedData,
    Refused,
    Statistics,
)

if TYPE_CHECKING:
    from meterlink.hdlc.hdlc_address import HDLCAddress

LLC_COMMAND: Final = bytes.fromhex("E6E600")
"""LLC octets of what a primary station sends. Source: IEC 62056-46, 5.3.2."""
LLC_RESPONSE: Final = bytes.fromhex("E6E700")
"""LLC octets of what a secondary station sends. Source: IEC 62056-46, 5.3.2."""

RECEIVE_QUEUE_LIMIT: Final = 64
"""Messages not yet taken by the owner at which this end answers that it is not ready."""

WIDE_PARAMETERS: Final = LinkParameters(
    INFORMATION_OCTETS_LIMIT, INFORMATION_OCTETS_LIMIT, window_tx=7, window_rx=7
)
"""The largest sizes there are; what the other end offers decides."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Times in seconds, and how often to try.

    Args:
        response_timeout_s: How long a primary station waits for an answer to begin or go on.
        poll_interval_s: How long it leaves an idle secondary station alone.
        inter_octet_timeout_s: Longest silence within a frame. The standard's 20 ms to 6 s are
            for a bare UART; operating systems and adapters deliver in bursts.
        inactivity_timeout_s: Silence after which a secondary station disconnects; 0 for never.
        octet_time_s: How long one octet is on the line, where writing does not wait for that.
        retries: How often the same thing is tried again before the connection is given up.

    Source: IEC 62056-46, 6.4.4.3 and annex on time-outs; the values are this project's.
    """

    response_timeout_s: float = 2.0
    poll_interval_s: float = 0.2
    inter_octet_timeout_s: float = 0.5
    inactivity_timeout_s: float = 120.0
    octet_time_s: float = 0.0
    retries: int = 5


class HDLCConnection(abc.ABC):
    """One station of a normal-response-mode, two-way-alternate link.

    Args:
        own: This station's address.
        peer: The other station's address.
        parameters: The largest sizes this station takes; the negotiated ones are in `agreed`.
        timers: Times and retries.
        send_reject: Answer a gap with REJ in place of RR. Checkpointing recovers without it, and
            the standard's repertoire does not oblige the peer to know it.

    Source: IEC 62056-46, 6.4.
    """

    _ACCEPTS: ClassVar[frozenset[FrameKind]]
    _LLC_SENT: ClassVar[bytes]

    def __init__(
        self,
        *,
        own: HDLCAddress,
        peer: HDLCAddress,
        parameters: LinkParameters = WIDE_PARAMETERS,
        timers: Timers | None = None,
        send_reject: bool = False,
    ) -> None:
        self.own = own
        self.peer = peer
        self._parameters = parameters
        self._timers = timers or Timers()
        self._send_reject = send_reject
        self._agreed = LinkParameters()
        self._state = LinkState.DISCONNECTED
        self._deframer = Deframer()
        self._send = SendWindow()
        self._receive = ReceiveWindow()
        self._events: deque[Event | RemoteProtocolError] = deque()
        self._messages_waiting = 0
        self._receive_ready = True
        self._peer_busy = False
        self._octet_deadline: float | None = None
        self._statistics = Statistics()
        self._reset_windows()

    @property
    def state(self) -> LinkState:
        """The state of the link."""
        return self._state

    @property
    def agreed(self) -> LinkParameters:
        """The sizes that hold; the standard's defaults until negotiated."""
        return self._agreed

    @property
    def statistics(self) -> Statistics:
        """Counts so far; the object is live."""
        return self._statistics

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """Messages given to `send_message` and not yet acknowledged, oldest first."""
        return tuple(octets[LLC_OCTETS:] for octets in self._send.messages)

    @property
    def is_receive_ready(self) -> bool:
        """True if this end accepts I frames now; if not, it tells the peer by RNR."""
        return self._receive_ready and self._messages_waiting < RECEIVE_QUEUE_LIMIT

    def set_receive_ready(self, *, ready: bool) -> None:
        """Allow the peer to send, or hold it off by RNR."""
        self._receive_ready = ready

    def receive_data(self, data: bytes, now: float) -> None:
        """Receive octets as they were read at `now`."""
        step = RECEIVE_BUFFER_LIMIT // 2
        for start in range(0, len(data), step):
            self._deframer.receive_data(data[start : start + step])
            while (item := self._deframer.next_frame()) is not None:
                self._take(item, now)
        within = self._deframer.is_within_frame
        self._octet_deadline = now + self._timers.inter_octet_timeout_s if within else None

    def next_event(self) -> Event | NeedData:
        """Return the next event.

        Raises:
            RemoteProtocolError: The peer broke the protocol; the link is in `REJECTED`.
        """
        if not self._events:
            return NEED_DATA
        event = self._events.popleft()
        if isinstance(event, RemoteProtocolError):
            raise event
        if isinstance(event, MessageReceived):
            self._messages_waiting -= 1
        return event

    def send_message(self, octets: bytes) -> None:
        """Queue one message; `MessageAcknowledged` tells when the peer has it.

        Raises:
            LocalProtocolError: It is empty or too long, the queue is full, or the state
                allows no sending.
        """
        if not 0 < len(octets) <= MESSAGE_OCTETS_LIMIT:
            raise LocalProtocolError(
                f"a message has 1 to {MESSAGE_OCTETS_LIMIT} octets, not {len(octets)}"
            )
        if len(self._send.messages) >= SEND_QUEUE_LIMIT:
            raise LocalProtocolError(f"{SEND_QUEUE_LIMIT} messages wait already")
        self._send.push(self._LLC_SENT + octets)

    def data_to_send(self, now: float) -> bytes:
        """Return the octets to write now, or none; the call counts as having written them."""
        frames = self._frames_to_send(now)
        octets = bytearray()
        for frame in frames:
            self._follow((Direction.SENT, frame.kind))
            octets += encode_frame(frame)
        self._statistics.frames_sent += len(frames)
        if frames:
            self._sent(now, octets=len(octets))
        return bytes(octets)

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        due = [at for at in (self._octet_deadline, self._role_deadline()) if at is not None]
        return min(due) if due else None

    def handle_deadline(self, now: float) -> None:
        """Handle whatever is due at `now`."""
        if self._octet_deadline is not None and now >= self._octet_deadline:
            self._octet_deadline = None
            for item in self._deframer.time_out():
                self._take(item, now)
        self._handle_role_deadline(now)

    @abc.abstractmethod
    def _frames_to_send(self, now: float) -> list[Frame]:
        """Return the frames of this station's turn, the last with its P or F bit, or none."""

    @abc.abstractmethod
    def _sent(self, now: float, *, octets: int) -> None:
        """Record that a turn went out."""

    @abc.abstractmethod
    def _role_deadline(self) -> float | None:
        """Return the time at which the role has something to do, or None."""

    @abc.abstractmethod
    def _handle_role_deadline(self, now: float) -> None:
        """Handle the role's deadline if it is due at `now`."""

    @abc.abstractmethod
    def _receive_unnumbered(self, frame: Frame, before: LinkState, now: float) -> None:
        """Handle a U frame other than UI, which moved the link on from `before`."""

    @abc.abstractmethod
    def _turn_ended(self, now: float, *, progress: bool) -> None:
        """Handle a P or F bit that came with a numbered frame or a UI."""

    @abc.abstractmethod
    def _violated(self, frame: Frame, error: RemoteProtocolError) -> None:
        """Handle a frame that broke the protocol."""

    @abc.abstractmethod
    def _heard(self, now: float) -> None:
        """Record that an undamaged frame came from the peer."""

    @abc.abstractmethod
    def _not_allowed(self, frame: Frame) -> None:
        """Handle a frame that the state does not allow, beyond reporting it."""

    def _follow(self, step: Step) -> None:
        self._state = follow(self._state, step)

    def _take(self, item: Frame | RemoteProtocolError, now: float) -> None:
        """Handle a frame, or damage, from the deframer."""
        if isinstance(item, DecodeError):
            self._events.append(Refused(item))
            return
        if isinstance(item, RemoteProtocolError):
            self._statistics.damaged += 1
            self._events.append(Damaged(item))
            return
        # On a multi-drop line the others' frames are none of this station's business.
        if item.destination != self.own or item.source != self.peer:
            return
        self._statistics.frames_received += 1
        self._heard(now)
        if item.kind not in self._ACCEPTS:
            self._refuse(item, f"{item.kind.name} is not for this station to receive")
            return
        try:
            following = follow(self._state, (Direction.RECEIVED, item.kind))
        except LocalProtocolError as error:
            self._refuse(item, str(error))
            self._not_allowed(item)
            return
        if item.kind in NUMBERED or item.kind is FrameKind.UI:
            self._receive_exchanged(item, now)
        else:
            before, self._state = self._state, following
            self._receive_unnumbered(item, before, now)

    def _refuse(self, frame: Frame, reason: str) -> None:
        self._events.append(
            Refused(
                SequenceError(
                    reason, layer=LAYER, field=frame.kind.name, clause="IEC 62056-46, 6.4.3"
                )
            )
        )

    def _receive_exchanged(self, frame: Frame, now: float) -> None:
        progress = False
        if self._state is LinkState.CONNECTED and frame.kind in NUMBERED:
            try:
                progress = self._receive_numbered(frame)
            except RemoteProtocolError as error:
                self._events.append(error)
                self._violated(frame, error)
                return
        elif frame.kind is FrameKind.UI and self._state is not LinkState.REJECTED:
            self._deliver(frame.information, unnumbered=True)
        if frame.poll_final:
            self._turn_ended(now, progress=progress)

    def _receive_numbered(self, frame: Frame) -> bool:
        """Process N(R), and N(S) with its segment; return whether either brought something new."""
        acknowledged, messages = self._send.acknowledge(frame.receive_sequence)
        self._events.extend(MessageAcknowledged() for _ in range(messages))
        self._peer_busy = frame.kind is FrameKind.RNR
        if frame.kind is FrameKind.REJ:
            self._send.rewind()
        accepted = False
        if frame.kind is FrameKind.I and self.is_receive_ready:
            accepted = self._receive.accept(
                frame.send_sequence, frame.information, is_last=not frame.segmented
            )
            octets = self._receive.take_message()
            if octets is not None:
                self._deliver(octets, unnumbered=False)
        return accepted or acknowledged > 0

    def _deliver(self, octets: bytes, *, unnumbered: bool) -> None:
        """Queue the event of a message whose LLC octets are right.

        Either direction's LLC octets pass: some devices send the command's in their responses.
        """
        if octets[:LLC_OCTETS] not in {LLC_COMMAND, LLC_RESPONSE} or len(octets) == LLC_OCTETS:
            error = DecodeError(
                "a message begins with the LLC octets E6 E6 00 or E6 E7 00 and is not empty",
                layer="LLC",
                offset=0,
                clause="IEC 62056-46, 5.3.2",
                excerpt=octets[:LLC_OCTETS],
            )
            self._events.append(Refused(error))
            return
        if unnumbered and self._messages_waiting >= RECEIVE_QUEUE_LIMIT:
            return
        self._messages_waiting += 1
        self._events.append(MessageReceived(octets[LLC_OCTETS:], unnumbered=unnumbered))

    def _own_numbered_turn(self, *, may_start: bool) -> list[Frame]:
        """Return this turn's I frames, the last with P or F set, or none."""
        if self._peer_busy or not (may_start or self._send.is_within_message):
            return []
        taken = self._send.take()
        self._statistics.retransmissions += sum(part.is_repeated for part in taken)
        frames = [
            Frame(
                self.peer,
                self.own,
                FrameKind.I,
                poll_final=False,
                send_sequence=part.send_sequence,
                receive_sequence=self._receive.receive_state,
                segmented=not part.segment.is_last,
                information=part.segment.information,
            )
            for part in taken
        ]
        if frames:
            frames[-1] = replace(frames[-1], poll_final=True)
        return frames

    def _supervisory(self) -> Frame:
        """Return the S frame that states N(R) and readiness, with P or F set."""
        kind = FrameKind.RR if self.is_receive_ready else FrameKind.RNR
        if kind is FrameKind.RR and self._send_reject and self._receive.has_gap:
            kind = FrameKind.REJ
        self._receive.forget_gap()
        return Frame(self.peer, self.own, kind, receive_sequence=self._receive.receive_state)

    def _unnumbered(self, kind: FrameKind, information: bytes = b"") -> Frame:
        return Frame(self.peer, self.own, kind, information=information)

    def _reset_windows(self) -> None:
        self._send.reset(
            information_octets=self._agreed.information_octets_tx, size=self._agreed.window_tx
        )
        self._receive.reset()
        self._peer_busy = False

    def _connected(self, peer: LinkParameters) -> None:
        self._agreed = self._parameters.agreed_with(peer)
        self._reset_windows()
        self._events.append(
            Connected(
                self._agreed.information_octets_tx,
                self._agreed.information_octets_rx,
                self._agreed.window_tx,
                self._agreed.window_rx,
            )
        )

    def _disconnected(self, reason: DisconnectReason) -> None:
        self._events.append(Disconnected(reason, len(self._send.messages)))
        self._reset_windows()
