"""Certificate-based key establishment, suite 2: who says what when, and what is refused.

The mathematics is the radio's. The machines ask for it by events and are given its results, so
that no key and no secret passes through here; the key confirmations do, and are compared here.

Source: ZSE 1.4, annex C; GBCS 10.2 for the suite.
"""

from __future__ import annotations

import enum
import hmac
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import RemoteProtocolError, SequenceError
from meterlink.link_events import NEED_DATA, NeedData
from zse import smart_energy_assumptions
from zse.smart_energy_commands import (
    Command,
    ConfirmKeyDataRequest,
    ConfirmKeyDataResponse,
    DefaultResponse,
    EphemeralDataRequest,
    EphemeralDataResponse,
    InitiateKeyEstablishmentRequest,
    InitiateKeyEstablishmentResponse,
    TerminateByInitiator,
    TerminateByResponder,
)
from zse.smart_energy_enumerations import KeyEstablishmentStatus, KeyEstablishmentSuite
from zse.zcl_frames import Frame, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

LAYER: Final = "key establishment"
CLAUSE: Final = "ZSE annex C"

SUITE: Final = KeyEstablishmentSuite.Certificate_based_2
IDENTITY_OCTETS: Final = 74
"""An implicit certificate on sect283k1."""
EPHEMERAL_DATA_OCTETS: Final = 37
"""A compressed point on sect283k1."""
MAC_OCTETS: Final = 16
ISSUER_OFFSET: Final = smart_energy_assumptions.IDENTITY_ISSUER_OFFSET
SUBJECT_OFFSET: Final = smart_energy_assumptions.IDENTITY_SUBJECT_OFFSET
ADDRESS_OCTETS: Final = 8
_STATUS_NAMES: Final = {int(each): each.name for each in KeyEstablishmentStatus}


class FailureReason(enum.Enum):
    """Why no key was established."""

    TERMINATED = "ended by a Terminate"
    NO_ANSWER = "the partner fell silent"
    REFUSED = "the partner does not know the command"
    COMPUTATION = "the radio could not compute it"


@dataclass(frozen=True, slots=True)
class EphemeralKeyNeeded:
    """The radio is to make an ephemeral key; the answer is `provide_ephemeral_key`."""

    partner: int


@dataclass(frozen=True, slots=True)
class SecretNeeded:
    """The radio is to compute the secret; the answer is `provide_macs`.

    Args:
        partner: With whom, its EUI-64.
        is_initiator: Whether this end began.
        identity: The partner's implicit certificate.
        ephemeral_data: The partner's ephemeral public key.
    """

    partner: int
    is_initiator: bool
    identity: bytes
    ephemeral_data: bytes


@dataclass(frozen=True, slots=True)
class KeyEstablished:
    """Both ends have shown that they have the key; the radio is to keep it."""

    partner: int


@dataclass(frozen=True, slots=True)
class KeyEstablishmentFailed:
    """There is no key; the radio is to forget the exchange.

    Args:
        partner: With whom there is none.
        reason: Why.
        status: The `KeyEstablishmentStatus` of a Terminate, or None.
        wait_until: When another attempt may be made.
        is_by_partner: Whether the partner ended it.
    """

    partner: int
    reason: FailureReason
    status: int | None
    wait_until: float
    is_by_partner: bool

    @property
    def why(self) -> str:
        """The reason in words, with the status by its ZSE name."""
        if self.status is None:
            return self.reason.value
        return f"{self.reason.value}, {_STATUS_NAMES.get(self.status, self.status)}"


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A frame was not acted upon.

    Args:
        error: Why not.
        partner: Who sent it.
    """

    error: RemoteProtocolError
    partner: int


KeyEstablishmentEvent = (
    EphemeralKeyNeeded | SecretNeeded | KeyEstablished | KeyEstablishmentFailed | MessageRefused
)


def issuer_of(identity: bytes) -> int:
    """Return the issuer of an implicit certificate, as its EUI-64."""
    return int.from_bytes(identity[ISSUER_OFFSET : ISSUER_OFFSET + ADDRESS_OCTETS], "big")


def subject_of(identity: bytes) -> int:
    """Return the subject of an implicit certificate, as its EUI-64."""
    return int.from_bytes(identity[SUBJECT_OFFSET : SUBJECT_OFFSET + ADDRESS_OCTETS], "big")


# Theory of operation.
#
#     Initiator                                    Responder
#     INITIATE       -- Initiate, certificate -->
#                    <-- Initiate, certificate --  EPHEMERAL
#     OWN_EPHEMERAL     (the radio makes QEU)
#     EPHEMERAL      -- Ephemeral Data, QEU ---->  OWN_EPHEMERAL (the radio makes QEV)
#                    <-- Ephemeral Data, QEV ----  OWN_MACS      (the radio computes)
#     OWN_MACS          (the radio computes)
#     CONFIRMATION   -- Confirm Key, MACU ------>  CONFIRMATION, or still OWN_MACS
#                    <-- Confirm Key, MACV ------  established
#     established
#
# What always holds:
#
# - There is one exchange at a time. A frame from anybody but its partner changes nothing in it;
#   a second initiator is told No_Resources and when to come back. A partner that initiates again
#   has given up, and begins from the start.
# - The certificate must name the partner by the address its frames come from, an issuer that is
#   accepted, and not this end itself, before the radio is asked for anything.
# - In OWN_EPHEMERAL and OWN_MACS this end's radio is at work and there is no deadline; in every
#   other state the partner is waited for, for the time it stated and a margin.
# - A key counts as established only after the partner's confirmation was compared, in constant
#   time. The responder shows MACV only once MACU was right, so that a partner without the key
#   learns nothing that depends on it.
# - A command of the right partner out of its turn ends the exchange with Bad_Message: a
#   handshake of which a part was repeated or skipped proves nothing.
# - An exchange ends in one KeyEstablished or one KeyEstablishmentFailed, unless it is begun anew.


class _Awaits(enum.Enum):
    """What an exchange waits for."""

    INITIATE = "the partner's certificate"
    OWN_EPHEMERAL = "this end's ephemeral key"
    EPHEMERAL = "the partner's ephemeral key"
    OWN_MACS = "this end's key confirmations"
    CONFIRMATION = "the partner's key confirmation"


@dataclass(slots=True)
class _Exchange:
    partner: int
    awaits: _Awaits
    deadline: float | None
    sequence: int = 0
    identity: bytes = b""
    ephemeral_time_s: int = 0
    confirm_time_s: int = 0
    ephemeral: bytes = b""
    macs: tuple[bytes, bytes] | None = field(default=None, repr=False)
    confirmation: bytes | None = field(default=None, repr=False)


class _Machine:
    """What both roles share."""

    _is_initiator: bool

    def __init__(
        self, *, own_address: int, identity: bytes, issuers: frozenset[int] | None = None
    ) -> None:
        self._own_address = own_address
        self._identity = identity
        self._issuers = issuers
        self._exchange: _Exchange | None = None
        self._output: deque[Outgoing] = deque()
        self._events: deque[KeyEstablishmentEvent] = deque()

    @property
    def partner(self) -> int | None:
        """The partner with whom keys are being established, or None."""
        return self._exchange.partner if self._exchange else None

    def frames_to_send(self, now: float) -> list[Outgoing]:
        """Return the commands to send now, each with its address; they count as sent."""
        del now
        found = list(self._output)
        self._output.clear()
        return found

    def next_event(self) -> KeyEstablishmentEvent | NeedData:
        """Return the next event; nothing is raised, whatever a partner sends."""
        return self._events.popleft() if self._events else NEED_DATA

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        return self._exchange.deadline if self._exchange else None

    def handle_deadline(self, now: float) -> None:
        """End the exchange if its partner is overdue at `now`."""
        exchange = self._exchange
        if exchange is None or exchange.deadline is None or now < exchange.deadline:
            return
        if smart_energy_assumptions.TERMINATES_ON_TIMEOUT:
            self._send_terminate(exchange.partner, KeyEstablishmentStatus.Bad_Message)
        self._fail(FailureReason.NO_ANSWER, None, now)

    def handle_undelivered(self, now: float) -> None:
        """End the exchange: the radio could not deliver a message of it."""
        if self._exchange is not None:
            self._fail(FailureReason.NO_ANSWER, None, now)

    def fail_computation(
        self, now: float, status: int = KeyEstablishmentStatus.No_Resources
    ) -> None:
        """End the exchange: the radio could not compute what it was asked for."""
        exchange = self._exchange
        if exchange is not None:
            self._send_terminate(exchange.partner, status)
            self._fail(FailureReason.COMPUTATION, status, now)

    # Shared steps.

    def _begin_waiting(self, awaits: _Awaits, deadline: float | None) -> None:
        assert self._exchange is not None
        self._exchange.awaits = awaits
        self._exchange.deadline = deadline

    def _fault_of_identity(self, suite: int, identity: bytes, partner: int) -> int | None:
        """Return the status with which a partner's certificate is refused, or None."""
        if not suite & SUITE:
            return int(KeyEstablishmentStatus.Unsupported_Suite)
        if len(identity) != IDENTITY_OCTETS:
            return int(KeyEstablishmentStatus.Bad_Message)
        if self._issuers is not None and issuer_of(identity) not in self._issuers:
            return int(KeyEstablishmentStatus.Unknown_Issuer)
        if subject_of(identity) != partner or partner == self._own_address:
            return int(KeyEstablishmentStatus.Invalid_Certificate)
        return None

    def _terminate(self, status: int, now: float) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._send_terminate(exchange.partner, status)
        self._fail(FailureReason.TERMINATED, status, now)

    def _send_terminate(self, partner: int, status: int) -> None:
        kind = TerminateByInitiator if self._is_initiator else TerminateByResponder
        command = kind(int(status), smart_energy_assumptions.TERMINATE_WAIT_TIME_S, int(SUITE))
        sequence = self._exchange.sequence if self._exchange else 0
        self._output.append(Outgoing(command, sequence, partner))

    def _terminated(self, command: TerminateByInitiator | TerminateByResponder, now: float) -> None:
        self._fail(
            FailureReason.TERMINATED,
            command.status,
            now,
            wait_s=command.wait_time,
            is_by_partner=True,
        )

    def _fail(
        self,
        reason: FailureReason,
        status: int | None,
        now: float,
        *,
        wait_s: float | None = None,
        is_by_partner: bool = False,
    ) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        wait_until = now + (
            smart_energy_assumptions.FAILURE_WAIT_TIME_S if wait_s is None else wait_s
        )
        self._events.append(
            KeyEstablishmentFailed(exchange.partner, reason, status, wait_until, is_by_partner)
        )

    def _established(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._events.append(KeyEstablished(exchange.partner))

    def _need_secret(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._begin_waiting(_Awaits.OWN_MACS, None)
        self._events.append(
            SecretNeeded(
                exchange.partner, self._is_initiator, exchange.identity, exchange.ephemeral
            )
        )

    def _refuse(self, reason: str, partner: int) -> None:
        error = SequenceError(reason, layer=LAYER, clause=CLAUSE)
        self._events.append(MessageRefused(error, partner))

    def _default_response(self, response: DefaultResponse, partner: int, now: float) -> None:
        if response.status and self._exchange is not None and self._exchange.partner == partner:
            self._fail(FailureReason.REFUSED, None, now, is_by_partner=True)


class Initiator(_Machine):
    """The end that begins: a device towards its hub.

    The owner passes in what came, drains `next_event`, does what it asks for, sends what
    `frames_to_send` gives, and calls `handle_deadline` no later than `next_deadline`. `now` is
    monotonic seconds.

    Args:
        own_address: This end's EUI-64.
        identity: Its implicit certificate.
        next_sequence: Returns the transaction sequence number of the next command.
        issuers: Whose certificates are taken; None for anybody's.
    """

    _is_initiator = True

    def __init__(
        self,
        *,
        own_address: int,
        identity: bytes,
        next_sequence: Callable[[], int],
        issuers: frozenset[int] | None = None,
    ) -> None:
        super().__init__(own_address=own_address, identity=identity, issuers=issuers)
        self._next_sequence = next_sequence

    def start(self, partner: int, now: float) -> None:
        """Begin with a partner; what was under way is dropped."""
        self._exchange = _Exchange(partner, _Awaits.INITIATE, self._due(now, 0))
        self._output.clear()
        self._send(
            InitiateKeyEstablishmentRequest(
                int(SUITE),
                smart_energy_assumptions.EPHEMERAL_DATA_GENERATE_TIME_S,
                smart_energy_assumptions.CONFIRM_KEY_GENERATE_TIME_S,
                self._identity,
            )
        )

    def receive(self, frame: Frame, partner: int, now: float) -> None:
        """Process one frame of the Key Establishment cluster that came from `partner`."""
        command, exchange = frame.command, self._exchange
        if exchange is None or partner != exchange.partner:
            self._refuse("a message to no exchange that is under way", partner)
            return
        match command, exchange.awaits:
            case InitiateKeyEstablishmentResponse(), _Awaits.INITIATE:
                self._take_identity(exchange, command, now)
            case EphemeralDataResponse(data), _Awaits.EPHEMERAL:
                if len(data) != EPHEMERAL_DATA_OCTETS:
                    self._terminate(KeyEstablishmentStatus.Bad_Message, now)
                    return
                exchange.ephemeral = data
                self._need_secret()
            case ConfirmKeyDataResponse(mac), _Awaits.CONFIRMATION:
                assert exchange.macs is not None
                if hmac.compare_digest(mac, exchange.macs[1]):
                    self._established()
                else:
                    self._terminate(KeyEstablishmentStatus.Bad_Key_Confirm, now)
            case TerminateByResponder(), _:
                self._terminated(command, now)
            case DefaultResponse(), _:
                self._default_response(command, partner, now)
            case (Command(), _):
                self._refuse(f"{type(command).__name__} out of its turn", partner)
                self._terminate(KeyEstablishmentStatus.Bad_Message, now)
            case _:
                self._refuse("a frame that key establishment does not have", partner)

    def provide_ephemeral_key(self, ephemeral_data: bytes, now: float) -> None:
        """Accept the radio's ephemeral public key."""
        exchange = self._exchange
        if exchange is None or exchange.awaits is not _Awaits.OWN_EPHEMERAL:
            return
        self._begin_waiting(_Awaits.EPHEMERAL, self._due(now, exchange.ephemeral_time_s))
        self._send(EphemeralDataRequest(ephemeral_data))

    def provide_macs(self, initiator_mac: bytes, responder_mac: bytes, now: float) -> None:
        """Accept both key confirmations from the radio."""
        exchange = self._exchange
        if exchange is None or exchange.awaits is not _Awaits.OWN_MACS:
            return
        exchange.macs = (initiator_mac, responder_mac)
        self._begin_waiting(_Awaits.CONFIRMATION, self._due(now, exchange.confirm_time_s))
        self._send(ConfirmKeyDataRequest(initiator_mac))

    def _take_identity(
        self, exchange: _Exchange, command: InitiateKeyEstablishmentResponse, now: float
    ) -> None:
        fault = self._fault_of_identity(
            command.key_establishment_suite, command.identity, exchange.partner
        )
        if fault is not None:
            self._terminate(fault, now)
            return
        exchange.identity = command.identity
        exchange.ephemeral_time_s = command.ephemeral_data_generate_time
        exchange.confirm_time_s = command.confirm_key_generate_time
        self._begin_waiting(_Awaits.OWN_EPHEMERAL, None)
        self._events.append(EphemeralKeyNeeded(exchange.partner))

    def _send(self, command: Command) -> None:
        assert self._exchange is not None
        self._exchange.sequence = self._next_sequence()
        self._output.append(Outgoing(command, self._exchange.sequence, self._exchange.partner))

    @staticmethod
    def _due(now: float, partner_time_s: int) -> float:
        return now + partner_time_s + smart_energy_assumptions.KEY_ESTABLISHMENT_MARGIN_S


class Responder(_Machine):
    """The end that answers: a hub towards its devices, one at a time.

    Used as `Initiator` is; it begins by itself when a partner does.

    Args:
        own_address: This end's EUI-64.
        identity: Its implicit certificate.
        issuers: Whose certificates are taken; None for anybody's.
    """

    _is_initiator = False

    def receive(self, frame: Frame, partner: int, now: float) -> None:
        """Process one frame of the Key Establishment cluster that came from `partner`."""
        command, exchange = frame.command, self._exchange
        if isinstance(command, InitiateKeyEstablishmentRequest):
            self._begin(command, partner, frame.sequence, now)
            return
        if exchange is None or partner != exchange.partner:
            self._refuse("a message to no exchange that is under way", partner)
            return
        if isinstance(command, Command):
            exchange.sequence = frame.sequence
        match command, exchange.awaits:
            case EphemeralDataRequest(data), _Awaits.EPHEMERAL:
                if len(data) != EPHEMERAL_DATA_OCTETS:
                    self._terminate(KeyEstablishmentStatus.Bad_Message, now)
                    return
                exchange.ephemeral = data
                self._begin_waiting(_Awaits.OWN_EPHEMERAL, None)
                self._events.append(EphemeralKeyNeeded(partner))
            case ConfirmKeyDataRequest(mac), _Awaits.OWN_MACS | _Awaits.CONFIRMATION:
                exchange.confirmation = mac
                self._confirm(now)
            case TerminateByInitiator(), _:
                self._terminated(command, now)
            case DefaultResponse(), _:
                self._default_response(command, partner, now)
            case (Command(), _):
                self._refuse(f"{type(command).__name__} out of its turn", partner)
                self._terminate(KeyEstablishmentStatus.Bad_Message, now)
            case _:
                self._refuse("a frame that key establishment does not have", partner)

    def provide_ephemeral_key(self, ephemeral_data: bytes, now: float) -> None:
        """Accept the radio's ephemeral public key."""
        del now
        exchange = self._exchange
        if exchange is None or exchange.awaits is not _Awaits.OWN_EPHEMERAL:
            return
        self._answer(EphemeralDataResponse(ephemeral_data))
        self._need_secret()

    def provide_macs(self, initiator_mac: bytes, responder_mac: bytes, now: float) -> None:
        """Accept both key confirmations from the radio."""
        exchange = self._exchange
        if exchange is None or exchange.awaits is not _Awaits.OWN_MACS:
            return
        exchange.macs = (initiator_mac, responder_mac)
        self._begin_waiting(
            _Awaits.CONFIRMATION,
            now + exchange.confirm_time_s + smart_energy_assumptions.KEY_ESTABLISHMENT_MARGIN_S,
        )
        self._confirm(now)

    def _begin(
        self, command: InitiateKeyEstablishmentRequest, partner: int, sequence: int, now: float
    ) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.partner != partner:
            # It is told to come back; the exchange under way goes on.
            terminate = TerminateByResponder(
                int(KeyEstablishmentStatus.No_Resources),
                smart_energy_assumptions.TERMINATE_WAIT_TIME_S,
                int(SUITE),
            )
            self._output.append(Outgoing(terminate, sequence, partner))
            self._refuse("another exchange is under way", partner)
            return
        # A partner that begins again has given up what was under way.
        exchange = self._exchange = _Exchange(
            partner,
            _Awaits.EPHEMERAL,
            now
            + command.ephemeral_data_generate_time
            + smart_energy_assumptions.KEY_ESTABLISHMENT_MARGIN_S,
            sequence,
        )
        fault = self._fault_of_identity(command.key_establishment_suite, command.identity, partner)
        if fault is not None:
            self._terminate(fault, now)
            return
        exchange.identity = command.identity
        exchange.ephemeral_time_s = command.ephemeral_data_generate_time
        exchange.confirm_time_s = command.confirm_key_generate_time
        self._answer(
            InitiateKeyEstablishmentResponse(
                int(SUITE),
                smart_energy_assumptions.EPHEMERAL_DATA_GENERATE_TIME_S,
                smart_energy_assumptions.CONFIRM_KEY_GENERATE_TIME_S,
                self._identity,
            )
        )

    def _confirm(self, now: float) -> None:
        """Compare the partner's key confirmation once both are there."""
        exchange = self._exchange
        assert exchange is not None
        if exchange.macs is None or exchange.confirmation is None:
            return
        if not hmac.compare_digest(exchange.confirmation, exchange.macs[0]):
            self._terminate(KeyEstablishmentStatus.Bad_Key_Confirm, now)
            return
        self._answer(ConfirmKeyDataResponse(exchange.macs[1]))
        self._established()

    def _answer(self, command: Command) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._output.append(Outgoing(command, exchange.sequence, exchange.partner))
