"""The exchange with a GSME, which sleeps: GET, GET-RESPONSE and PUT inside a tunnel's data.

The GSME is the tunnel's client and the hub its server. While messages wait, the hub's mirror
shows Tunnel Message Pending; the GSME sees that when it next wakes, and fetches them.

Source: GBCS 10.2.2.2 and 10.3.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gbcs.protocol_errors import DecodeError, LocalProtocolError, RemoteProtocolError, SequenceError
from meterlink.link_events import NEED_DATA, NeedData
from zse import smart_energy_assumptions
from zse.smart_energy_commands import FunctionalNotification
from zse.tunnel import TRANSFER_OCTETS_MAXIMUM

LAYER: Final = "GSME exchange"
CLAUSE: Final = "GBCS 10.2.2.2"

GET: Final = 0x01
GET_RESPONSE: Final = 0x02
PUT: Final = 0x03
REMAINING_MAXIMUM: Final = 0xFF

TO_GSME_OCTETS_MAXIMUM: Final = TRANSFER_OCTETS_MAXIMUM - 2
"""The longest message that a GET-RESPONSE carries."""
FROM_GSME_OCTETS_MAXIMUM: Final = TRANSFER_OCTETS_MAXIMUM - 1
"""The longest message that a PUT carries."""


@dataclass(frozen=True, slots=True)
class Get:
    """The GSME asks for a message."""


@dataclass(frozen=True, slots=True)
class GetResponse:
    """The hub gives a message, or says that there is none.

    Args:
        remaining: Messages that wait after this one, 0..255.
        message: The message, or b"".
    """

    remaining: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """The GSME gives a message."""

    message: bytes


def encode_exchange(value: Get | GetResponse | Put) -> bytes:
    """Write the data of one transfer.

    Raises:
        LocalProtocolError: A message is too long, or missing.

    Source: GBCS 10.2.2.2.
    """
    match value:
        case Get():
            return bytes((GET,))
        case GetResponse(remaining, message):
            if not 0 <= remaining <= REMAINING_MAXIMUM or (remaining and not message):
                raise LocalProtocolError(f"no GET-RESPONSE has {remaining} messages remaining")
            _check(message, TO_GSME_OCTETS_MAXIMUM, is_optional=True)
            return bytes((GET_RESPONSE, remaining)) + message
        case Put(message):
            _check(message, FROM_GSME_OCTETS_MAXIMUM)
            return bytes((PUT,)) + message


def _check(message: bytes, maximum_octets: int, *, is_optional: bool = False) -> None:
    if len(message) > maximum_octets or not (message or is_optional):
        raise LocalProtocolError(
            f"a message here has 1 to {maximum_octets} octets, not {len(message)}; "
            "longer ones go by block transfer"
        )


def decode_exchange(octets: bytes) -> Get | GetResponse | Put:
    """Read the data of one transfer.

    Raises:
        DecodeError: It has another form.

    Source: GBCS 10.2.2.2.
    """
    header, rest = octets[:1], octets[1:]
    if header == bytes((GET,)):
        if rest:
            raise _bad(f"{len(rest)} octets behind a GET", 1, octets)
        return Get()
    if header == bytes((GET_RESPONSE,)):
        if not rest:
            raise _bad("a GET-RESPONSE without its number of messages", 1, octets)
        if rest[0] and len(rest) == 1:
            raise _bad("a GET-RESPONSE with messages remaining and none in it", 1, octets)
        return GetResponse(rest[0], rest[1:])
    if header == bytes((PUT,)):
        if not rest:
            raise _bad("a PUT without a message", 1, octets)
        return Put(rest)
    raise _bad("neither GET, GET-RESPONSE nor PUT", 0, octets)


def _bad(reason: str, offset: int, octets: bytes) -> DecodeError:
    return DecodeError(reason, layer=LAYER, offset=offset, excerpt=octets, clause=CLAUSE)


class GiveUpReason(enum.Enum):
    """Why a message for a GSME, or from it, is given up."""

    NOT_RETRIEVED = "the GSME did not retrieve it in time"
    NOT_DELIVERED = "the tunnel did not carry it"


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message came.

    Args:
        octets: The message, without the exchange's header.
    """

    octets: bytes


@dataclass(frozen=True, slots=True)
class MessageDelivered:
    """The oldest message on its way is with the other end.

    Args:
        octets: The message.
    """

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageGivenUp:
    """A message is given up.

    Args:
        octets: The message.
        reason: Why; a hub tells of NOT_RETRIEVED with alert 0x819D.
    """

    octets: bytes = field(repr=False)
    reason: GiveUpReason


@dataclass(frozen=True, slots=True)
class PendingChanged:
    """The mirror's flag is to be set or cleared.

    Args:
        is_pending: Whether Tunnel Message Pending is to be on.
    """

    is_pending: bool


@dataclass(frozen=True, slots=True)
class RetrievalEnded:
    """The GSME asks for nothing more until it next wakes.

    Args:
        is_complete: Whether the hub said that nothing remains.
    """

    is_complete: bool


@dataclass(frozen=True, slots=True)
class ExchangeRefused:
    """Data was not acted upon.

    Args:
        error: Why not.
    """

    error: RemoteProtocolError


SleepyEvent = (
    MessageReceived
    | MessageDelivered
    | MessageGivenUp
    | PendingChanged
    | RetrievalEnded
    | ExchangeRefused
)


@dataclass(slots=True)
class _Kept:
    octets: bytes
    expires_at: float


class SleepyHub:
    """The hub's side towards one GSME: keeps messages until the GSME fetches them.

    What `data_to_send` gives goes into the GSME's tunnel, one piece at a time; what became of it
    is passed to `handle_settled`. `now` is monotonic seconds.

    Args:
        lifetime_s: How long a message is kept.
    """

    def __init__(
        self, *, lifetime_s: float = smart_energy_assumptions.GSME_MESSAGE_LIFETIME_S
    ) -> None:
        self._lifetime_s = lifetime_s
        self._kept: deque[_Kept] = deque()
        self._is_asked = False
        self._on_its_way: _Kept | None = None
        self._awaits_settling = False
        self._is_pending = False
        self._events: deque[SleepyEvent] = deque()

    @property
    def is_pending(self) -> bool:
        """True if the mirror is to show Tunnel Message Pending."""
        return self._is_pending

    @property
    def flags(self) -> FunctionalNotification:
        """The bits that this exchange adds to FunctionalNotificationFlags."""
        pending = FunctionalNotification.TUNNEL_MESSAGE_PENDING
        return pending if self._is_pending else FunctionalNotification(0)

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """Messages not yet with the GSME, oldest first."""
        return tuple(each.octets for each in self._kept)

    def send_message(self, octets: bytes, now: float) -> None:
        """Queue a message for the GSME.

        Raises:
            LocalProtocolError: It is empty or too long, or too many are kept.
        """
        _check(octets, TO_GSME_OCTETS_MAXIMUM)
        if len(self._kept) >= smart_energy_assumptions.GSME_QUEUE_LIMIT:
            raise LocalProtocolError(
                f"{smart_energy_assumptions.GSME_QUEUE_LIMIT} messages are kept already"
            )
        self._kept.append(_Kept(bytes(octets), now + self._lifetime_s))
        self._show()

    def withdraw(self, octets: bytes) -> bool:
        """Remove a message; return whether it was still there and not on its way."""
        for kept in self._kept:
            if kept.octets == octets and kept is not self._on_its_way:
                self._kept.remove(kept)
                self._show()
                return True
        return False

    def receive_data(self, octets: bytes) -> None:
        """Process data that came through the GSME's tunnel; nothing is raised."""
        try:
            value = decode_exchange(octets)
        except DecodeError as error:
            self._events.append(ExchangeRefused(error))
            return
        match value:
            case Get():
                self._is_asked = True
            case Put(message):
                self._events.append(MessageReceived(message))
            case GetResponse():
                self._refuse("a GET-RESPONSE from a GSME")

    def data_to_send(self) -> list[bytes]:
        """Return the answer to a GET, if one is owed; it counts as sent."""
        if not self._is_asked or self._awaits_settling:
            return []
        self._is_asked = False
        self._awaits_settling = True
        if not self._kept:
            return [encode_exchange(GetResponse(0, b""))]
        self._on_its_way = self._kept[0]
        remaining = min(len(self._kept) - 1, REMAINING_MAXIMUM)
        if not remaining and not smart_energy_assumptions.FLAG_CLEARED_ON_DELIVERY:
            self._show(is_pending=False)
        return [encode_exchange(GetResponse(remaining, self._on_its_way.octets))]

    def handle_settled(self, *, is_delivered: bool) -> None:
        """Record whether the tunnel delivered the last of `data_to_send`.

        A message that was not delivered stays the next to be fetched.
        """
        message, self._on_its_way = self._on_its_way, None
        self._awaits_settling = False
        if message is not None and is_delivered and self._kept and self._kept[0] is message:
            self._kept.popleft()
            self._events.append(MessageDelivered(message.octets))
        self._show()

    def next_event(self) -> SleepyEvent | NeedData:
        """Return the next event."""
        return self._events.popleft() if self._events else NEED_DATA

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        return min((k.expires_at for k in self._kept if k is not self._on_its_way), default=None)

    def handle_deadline(self, now: float) -> None:
        """Discard messages whose lifetime is over at `now`."""
        for kept in list(self._kept):
            if now >= kept.expires_at and kept is not self._on_its_way:
                self._kept.remove(kept)
                self._events.append(MessageGivenUp(kept.octets, GiveUpReason.NOT_RETRIEVED))
        self._show()

    def _show(self, *, is_pending: bool | None = None) -> None:
        pending = bool(self._kept) if is_pending is None else is_pending
        if pending != self._is_pending:
            self._is_pending = pending
            self._events.append(PendingChanged(pending))

    def _refuse(self, reason: str) -> None:
        error = SequenceError(reason, layer=LAYER, clause=CLAUSE)
        self._events.append(ExchangeRefused(error))


@dataclass(slots=True)
class _Sent:
    message: bytes | None


class SleepyMeter:
    """The GSME's side: fetches what waits when it wakes, and puts what it has.

    Used as `SleepyHub` is; it is awake while `is_awake`.

    Args:
        response_timeout_s: How long a GET-RESPONSE is waited for.
        attempts: How often GET goes out before the rest is left for the next wake.
    """

    def __init__(
        self,
        *,
        response_timeout_s: float = smart_energy_assumptions.GET_RESPONSE_TIMEOUT_S,
        attempts: int = smart_energy_assumptions.GET_ATTEMPTS,
    ) -> None:
        self._response_timeout_s = response_timeout_s
        self._maximum_attempts = attempts
        self._attempts = 0
        self._wants_get = False
        self._response_due: float | None = None
        self._puts: deque[bytes] = deque()
        self._sent: _Sent | None = None
        self._events: deque[SleepyEvent] = deque()

    @property
    def is_awake(self) -> bool:
        """True if something is still to be sent or waited for."""
        waits = self._response_due is not None or self._sent is not None
        return waits or self._wants_get or bool(self._puts)

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """Messages not yet with the hub, oldest first."""
        return tuple(self._puts)

    def wake(self, flags: int) -> None:
        """Process FunctionalNotificationFlags as the mirror answered or they were read."""
        is_pending = flags & FunctionalNotification.TUNNEL_MESSAGE_PENDING
        if is_pending and self._response_due is None and not self._wants_get:
            self._attempts = 0
            self._wants_get = True

    def send_message(self, octets: bytes) -> None:
        """Queue a response or an alert for PUT.

        Raises:
            LocalProtocolError: It is empty or too long, or too many wait.
        """
        _check(octets, FROM_GSME_OCTETS_MAXIMUM)
        if len(self._puts) >= smart_energy_assumptions.GSME_QUEUE_LIMIT:
            raise LocalProtocolError(
                f"{smart_energy_assumptions.GSME_QUEUE_LIMIT} messages wait already"
            )
        self._puts.append(bytes(octets))

    def receive_data(self, octets: bytes) -> None:
        """Process data that came through the tunnel; nothing is raised."""
        try:
            value = decode_exchange(octets)
        except DecodeError as error:
            self._events.append(ExchangeRefused(error))
            return
        if not isinstance(value, GetResponse):
            self._refuse(f"a {type(value).__name__.upper()} from a hub")
        elif self._response_due is None:
            self._refuse("a GET-RESPONSE that was not asked for")
        else:
            self._take(value)

    def _take(self, response: GetResponse) -> None:
        self._response_due = None
        self._attempts = 0
        if response.message:
            self._events.append(MessageReceived(response.message))
        if response.remaining:
            self._wants_get = True
        else:
            self._events.append(RetrievalEnded(is_complete=True))

    def data_to_send(self, now: float) -> list[bytes]:
        """Return the next piece of data, PUT before GET; it counts as sent."""
        if self._sent is not None:
            return []
        if self._puts:
            self._sent = _Sent(self._puts[0])
            return [encode_exchange(Put(self._puts[0]))]
        if self._wants_get:
            self._wants_get = False
            self._attempts += 1
            self._response_due = now + self._response_timeout_s
            self._sent = _Sent(None)
            return [encode_exchange(Get())]
        return []

    def handle_settled(self, now: float, *, is_delivered: bool) -> None:
        """Record whether the tunnel delivered the last of `data_to_send`."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        if sent.message is None:
            if not is_delivered and self._response_due is not None:
                self._unanswered()
            elif self._response_due is not None:
                self._response_due = now + self._response_timeout_s
            return
        self._puts.popleft()
        self._events.append(
            MessageDelivered(sent.message)
            if is_delivered
            else MessageGivenUp(sent.message, GiveUpReason.NOT_DELIVERED)
        )

    def next_event(self) -> SleepyEvent | NeedData:
        """Return the next event."""
        return self._events.popleft() if self._events else NEED_DATA

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        return self._response_due

    def handle_deadline(self, now: float) -> None:
        """Send GET again, or leave it for the next wake, if a GET-RESPONSE is overdue at `now`."""
        if self._response_due is not None and now >= self._response_due:
            self._unanswered()

    def _unanswered(self) -> None:
        self._response_due = None
        if self._attempts < self._maximum_attempts:
            self._wants_get = True
        else:
            self._events.append(RetrievalEnded(is_complete=False))

    def _refuse(self, reason: str) -> None:
        error = SequenceError(reason, layer=LAYER, clause=CLAUSE)
        self._events.append(ExchangeRefused(error))
