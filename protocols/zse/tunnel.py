"""What both ends of a tunnel share: what they agree on, tell their owner, and how they send.

One message is on its way at a time. It counts as delivered when a Default Response says so, or,
where none comes, when the radio says that the peer's APS layer has it.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gbcs.protocol_errors import LocalProtocolError, RemoteProtocolError
from zse import smart_energy_assumptions
from zse.smart_energy_enumerations import TransferDataStatus, TunnelProtocol

LAYER: Final = "ZSE tunnel"
CLAUSE: Final = "GBCS 10.2.2"

MANUFACTURER_CODE: Final = 0xFFFF
"""Not used. Source: GBCS 10.2.2."""
TRANSFER_OCTETS_MAXIMUM: Final = 1500
"""MaximumIncomingTransferSize of both ends. Source: GBCS 10.2.2; ZSE 1.4, annex D.6."""
REOPEN_AFTER_S: Final = 0xFFFF
"""Seconds from one RequestTunnelResponse to the next RequestTunnel. Source: GBCS 10.2.2.1."""
BUSY_RETRY_S: Final = 180.0
"""Seconds to the next RequestTunnel where the answer was Busy. Source: GBCS 10.2.2.1."""

SUCCESS: Final = 0x00
NOT_AUTHORIZED: Final = 0x7E
FAILURE: Final = 0x01
MALFORMED_COMMAND: Final = 0x80
UNSUP_COMMAND: Final = 0x81
NOT_FOUND: Final = 0x8B


@dataclass(frozen=True, slots=True)
class TunnelParameters:
    """What a tunnel is to be.

    Args:
        protocol_id: What it carries.
        manufacturer_code: Whose protocol, or 0xFFFF.
        maximum_incoming_transfer_octets: The longest data this end takes.

    Source: GBCS 10.2.2.
    """

    protocol_id: int = TunnelProtocol.GB_HRGP
    manufacturer_code: int = MANUFACTURER_CODE
    maximum_incoming_transfer_octets: int = TRANSFER_OCTETS_MAXIMUM


class CloseReason(enum.Enum):
    """Why a tunnel ended."""

    REQUESTED = "closed as asked"
    NO_SUCH_TUNNEL = "the peer does not know the tunnel"
    WRONG_DEVICE = "the peer says the tunnel is another's"
    NOTIFIED = "the peer closed it"
    INACTIVE = "nothing was sent for the close tunnel time-out"
    REPLACED = "another tunnel took its place"
    NO_ANSWER = "the peer stopped answering"
    REFUSED = "the peer refuses tunnels"


class FailureReason(enum.Enum):
    """Why a message did not get through."""

    NO_ANSWER = "no answer; it may have arrived"
    NOT_SENT = "the radio could not deliver it"
    NO_TUNNEL = "the peer keeps losing the tunnel"
    REFUSED = "the peer refuses tunnels"
    TOO_LONG = "longer than the peer takes"
    REJECTED = "the peer rejected it"
    CLOSED = "the tunnel was closed on purpose"


@dataclass(frozen=True, slots=True)
class TunnelOpened:
    """A tunnel was opened.

    Args:
        tunnel_id: Its identifier.
        maximum_transfer_octets: The longest data that the peer takes.
        address: Whose it is where there are several peers.
    """

    tunnel_id: int
    maximum_transfer_octets: int
    address: int | None = None


@dataclass(frozen=True, slots=True)
class TunnelRefused:
    """RequestTunnel was answered with something other than success.

    Args:
        status: A `TunnelStatus` or, where `is_zcl_status`, a ZCL status.
        retry_at: When it will be sent again, or None for not by itself before the re-opening.
        is_zcl_status: The cluster itself was refused.
    """

    status: int
    retry_at: float | None
    is_zcl_status: bool = False


@dataclass(frozen=True, slots=True)
class TunnelUnanswered:
    """RequestTunnel or CloseTunnel was not answered; it goes out again at `retry_at`."""

    retry_at: float


@dataclass(frozen=True, slots=True)
class TunnelClosed:
    """A tunnel ended.

    Args:
        tunnel_id: Which it was.
        reason: Why.
        address: Whose it was where there are several peers.
    """

    tunnel_id: int
    reason: CloseReason
    address: int | None = None


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Data came through a tunnel.

    Args:
        octets: All of it.
        address: From whom where there are several peers.
    """

    octets: bytes
    address: int | None = None


@dataclass(frozen=True, slots=True)
class DataDelivered:
    """The oldest data not yet settled is with the peer.

    Args:
        octets: The data.
        address: With whom where there are several peers.
    """

    octets: bytes = field(repr=False)
    address: int | None = None


@dataclass(frozen=True, slots=True)
class DataFailed:
    """The oldest data not yet settled is given up.

    Args:
        octets: The data.
        reason: Why.
        address: Whose it was to be where there are several peers.
    """

    octets: bytes = field(repr=False)
    reason: FailureReason
    address: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame was not acted upon; the machine goes on.

    Args:
        error: Why not.
        address: Whose it was where there are several peers.
    """

    error: RemoteProtocolError
    address: int | None = None


TunnelEvent = (
    TunnelOpened
    | TunnelRefused
    | TunnelUnanswered
    | TunnelClosed
    | DataReceived
    | DataDelivered
    | DataFailed
    | Refused
)


def check_data(octets: bytes, maximum_octets: int = TRANSFER_OCTETS_MAXIMUM) -> None:
    """Check that `octets` fit a tunnel.

    Raises:
        LocalProtocolError: There are none, or too many.
    """
    if not 0 < len(octets) <= maximum_octets:
        raise LocalProtocolError(
            f"a tunnel takes 1 to {maximum_octets} octets, not {len(octets)}; "
            "longer messages go by block transfer"
        )


# Theory of operation.
#
# A tunnel is the server's: it gives out the TunnelID and may lose it at any time, by a power
# failure too, without a word. A client therefore keeps two things apart: the one tunnel that data
# goes through, and every TunnelID that the device may still hold for it (`possibly_active`, which
# contains the first). The second set is what is closed when the device says that it has no more
# to give, and is worth keeping over a restart of the client.
#
# A client does one thing at a time: either one RequestTunnel or CloseTunnel waits for its answer,
# or one piece of data is on its way. What an answer is about is then never in doubt. Answers to
# the other end go out whenever they are due.
#
# Data is settled in the order it was queued, each piece exactly once:
#
# - delivered, when a Default Response to its sequence number says success, or, where none comes
#   in time, when the radio had its APS acknowledgement;
# - failed, when neither came. It may have arrived all the same, so it is not sent again here:
#   a GBCS message with a counter that the device has seen is worth nothing to it, and whether to
#   try again is for the owner to say;
# - put back to the head of the queue, when the peer says that the tunnel is none or closes it
#   before the data was settled: another tunnel may carry it. This ends after TRANSFER_ATTEMPTS.


@dataclass(slots=True)
class _Waiting:
    octets: bytes
    attempts: int = 0


@dataclass(slots=True)
class _OnItsWay:
    sequence: int
    deadline: float
    is_with_radio: bool = False


class DataSender:
    """The data that waits for one peer, of which one piece is on its way at a time.

    Args:
        address: The peer where there are several.
        timeout_s: How long an answer is waited for.
    """

    def __init__(
        self,
        *,
        address: int | None = None,
        timeout_s: float = smart_energy_assumptions.RESPONSE_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._waiting: deque[_Waiting] = deque()
        self._on_its_way: _OnItsWay | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """The data not yet settled, oldest first."""
        return tuple(each.octets for each in self._waiting)

    @property
    def is_on_its_way(self) -> bool:
        """True if an answer is waited for."""
        return self._on_its_way is not None

    @property
    def deadline(self) -> float | None:
        """The time at which the answer is overdue, or None."""
        return self._on_its_way.deadline if self._on_its_way else None

    def push(self, octets: bytes) -> None:
        """Queue data.

        Raises:
            LocalProtocolError: It does not fit a tunnel, or too much waits.
        """
        check_data(octets)
        if len(self._waiting) >= smart_energy_assumptions.TUNNEL_QUEUE_LIMIT:
            raise LocalProtocolError(
                f"{smart_energy_assumptions.TUNNEL_QUEUE_LIMIT} messages wait already"
            )
        self._waiting.append(_Waiting(bytes(octets)))

    def drop_longer_than(self, maximum_octets: int) -> list[TunnelEvent]:
        """Fail data longer than the peer accepts, as far as it is next in the queue."""
        found: list[TunnelEvent] = []
        while self._waiting and len(self._waiting[0].octets) > maximum_octets:
            found.append(self._fail(FailureReason.TOO_LONG))
        return found

    def take(self, sequence: int, now: float) -> bytes:
        """Return the oldest data; it is on its way from now on."""
        self._on_its_way = _OnItsWay(sequence, now + self._timeout_s)
        self._waiting[0].attempts += 1
        return self._waiting[0].octets

    def radio_has_delivered(self, sequence: int) -> None:
        """Record that the peer's APS layer has what went out with `sequence`."""
        if self._is(sequence) and self._on_its_way:
            self._on_its_way.is_with_radio = True

    def radio_could_not(self, sequence: int) -> DataFailed | None:
        """Fail what went out with `sequence`, for it never reached the peer."""
        return self._fail(FailureReason.NOT_SENT) if self._is(sequence) else None

    def answered(self, sequence: int, status: int) -> DataDelivered | DataFailed | None:
        """Process a Default Response to data; one to something earlier changes nothing."""
        if not self._is(sequence):
            return None
        return self._settle() if status == SUCCESS else self._fail(FailureReason.REJECTED)

    def refused(self, status: int) -> DataFailed | None:
        """Process a TransferDataError; data that a new tunnel may carry stays at the head."""
        if self._on_its_way is None:
            return None
        if status == TransferDataStatus.Data_Overflow:
            return self._fail(FailureReason.TOO_LONG)
        return self.put_back()

    def put_back(self) -> DataFailed | None:
        """Keep the data for another tunnel, unless that was tried often enough."""
        if self._on_its_way is None:
            return None
        self._on_its_way = None
        if self._waiting[0].attempts >= smart_energy_assumptions.TRANSFER_ATTEMPTS:
            return self._fail(FailureReason.NO_TUNNEL)
        return None

    def overdue(self, now: float) -> DataDelivered | DataFailed | None:
        """Settle data whose answer is overdue at `now`."""
        if self._on_its_way is None or now < self._on_its_way.deadline:
            return None
        return (
            self._settle()
            if self._on_its_way.is_with_radio
            else self._fail(FailureReason.NO_ANSWER)
        )

    def fail_all(self, reason: FailureReason) -> list[DataFailed]:
        """Fail everything that waits."""
        return [self._fail(reason) for _ in range(len(self._waiting))]

    def _is(self, sequence: int) -> bool:
        return self._on_its_way is not None and self._on_its_way.sequence == sequence

    def _settle(self) -> DataDelivered:
        self._on_its_way = None
        return DataDelivered(self._waiting.popleft().octets, self._address)

    def _fail(self, reason: FailureReason) -> DataFailed:
        self._on_its_way = None
        return DataFailed(self._waiting.popleft().octets, reason, self._address)
