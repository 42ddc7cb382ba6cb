"""The secondary station: the device's end, which speaks only when polled."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gbcs.protocol_errors import DecodeError, RemoteProtocolError, SequenceError
from meterlink.hdlc.hdlc_connection import LLC_RESPONSE, WIDE_PARAMETERS, HDLCConnection, Timers
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, Rejection, encode_rejection
from meterlink.hdlc.hdlc_parameters import LinkParameters, decode_parameters, encode_parameters
from meterlink.hdlc.hdlc_states import COMMANDS, Lapse, LinkState
from meterlink.link_events import DisconnectReason, Refused

if TYPE_CHECKING:
    from meterlink.hdlc.hdlc_address import HDLCAddress


class SecondaryStation(HDLCConnection):
    """The station that answers.

    Its answer is composed when `data_to_send` is called, so that a message queued on the strength
    of what `next_event` gave goes out in the same turn. Messages may be queued at any time; one
    that was not wholly acknowledged when a connection ended goes out again on the next.

    Args:
        own: This station's address.
        peer: The primary station's address.
        parameters: The largest sizes this station takes.
        timers: Times.
        send_reject: Answer a gap with REJ in place of RR.

    Source: IEC 62056-46, 6.4.4; ISO/IEC 13239, 6.11.4.
    """

    _ACCEPTS: ClassVar[frozenset[FrameKind]] = COMMANDS
    _LLC_SENT: ClassVar[bytes] = LLC_RESPONSE

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
        self._polled = False
        self._answer: Frame | None = None
        self._rejection = b""
        self._heard_at: float | None = None

    def _frames_to_send(self, now: float) -> list[Frame]:
        del now
        if self._answer is not None:
            answer, self._answer, self._polled = self._answer, None, False
            return [answer]
        if not self._polled:
            return []
        self._polled = False
        if self._state is LinkState.REJECTED:
            return [self._unnumbered(FrameKind.FRMR, self._rejection)]
        if self._state is not LinkState.CONNECTED:
            return [self._unnumbered(FrameKind.DM)]
        return self._own_numbered_turn(may_start=not self._receive.is_within_message) or [
            self._supervisory()
        ]

    def _sent(self, now: float, *, octets: int) -> None:
        """Do nothing: the primary station recovers what is lost."""

    def _heard(self, now: float) -> None:
        self._heard_at = now

    def _role_deadline(self) -> float | None:
        timeout_s = self._timers.inactivity_timeout_s
        if self._heard_at is None or not timeout_s or self._state is LinkState.DISCONNECTED:
            return None
        return self._heard_at + timeout_s

    def _handle_role_deadline(self, now: float) -> None:
        due = self._role_deadline()
        if due is not None and now >= due:
            was_connected = self._state is LinkState.CONNECTED
            self._follow(Lapse.INACTIVITY)
            self._polled = False
            self._answer = None
            if was_connected:
                self._disconnected(DisconnectReason.INACTIVE)

    def _not_allowed(self, frame: Frame) -> None:
        self._polled = self._polled or frame.poll_final

    def _turn_ended(self, now: float, *, progress: bool) -> None:
        del now, progress
        self._send.rewind()
        self._polled = True

    def _receive_unnumbered(self, frame: Frame, before: LinkState, now: float) -> None:
        del now
        self._polled = False
        if frame.kind is FrameKind.SNRM:
            self._receive_snrm(frame, before)
            return
        kind = FrameKind.DM if before is LinkState.DISCONNECTED else FrameKind.UA
        self._answer = self._unnumbered(kind)
        if before is LinkState.CONNECTED:
            self._disconnected(DisconnectReason.BY_PEER)

    def _receive_snrm(self, frame: Frame, before: LinkState) -> None:
        try:
            asked = decode_parameters(frame.information)
        except DecodeError as error:
            self._state = before
            self._events.append(Refused(error))
            if before is LinkState.DISCONNECTED:
                self._answer = self._unnumbered(FrameKind.DM)
            else:
                self._reject(frame, Rejection.INFORMATION_NOT_PERMITTED)
            return
        self._connected(asked)
        self._answer = self._unnumbered(FrameKind.UA, encode_parameters(self._agreed))

    def _violated(self, frame: Frame, error: RemoteProtocolError) -> None:
        invalid = isinstance(error, SequenceError)
        self._reject(
            frame,
            Rejection.RECEIVE_SEQUENCE_INVALID if invalid else Rejection.INFORMATION_TOO_LONG,
        )

    def _reject(self, frame: Frame, reason: Rejection) -> None:
        """Enter frame rejection until the primary station connects or disconnects."""
        self._rejection = encode_rejection(
            frame.control,
            send_state=self._send.send_state,
            receive_state=self._receive.receive_state,
            reason=reason,
        )
        if self._state is LinkState.CONNECTED:
            self._follow(Lapse.VIOLATION)
            self._disconnected(DisconnectReason.PROTOCOL)
        self._polled = frame.poll_final
