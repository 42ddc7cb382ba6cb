"""An emulated device: verifies commands, carries them out, answers, and raises alerts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gbcs import cosem_time, protection, use_cases
from gbcs.der import encode_length
from gbcs.key_holders import SharedSecrets
from gbcs.message import Message, compose_pre_command
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage
from gbcs.security_credentials import ProvideCredentialsCommand, UpdateCredentialsCommand
from gbcs.use_cases import MessageCode
from meterstub.command_execution import Environment, EventCode, Execution
from meterstub.command_verification import CommandRefused, VerifiedCommand, verify_command
from meterstub.device_description import DeviceDescription, describe_state
from meterstub.device_faults import Faults
from meterstub.device_keys import (
    issue_credentials,
    provide_device_certificate,
    update_device_certificate,
)
from meterstub.device_memory import DeviceMemory, PowerLost
from meterstub.device_options import DeviceOptions, SigningKey
from meterstub.device_state import accept_counter
from meterstub.future_dated_commands import due_command, execute_due, receive_update
from meterstub.key_pair import generate_key
from meterstub.provide_credentials import provide_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType
    from meterstub.device_state import DeviceState

    Handler = Callable[[VerifiedCommand, DeviceState, Environment], Execution]

_CONSTRUCTED: Final = 0x20
_HANDLERS: Final[Mapping[int, Handler]] = {
    MessageCode.PROVIDE_CREDENTIALS: provide_credentials,
    MessageCode.ISSUE_CREDENTIALS: issue_credentials,
    MessageCode.UPDATE_DEVICE_CERTIFICATE: update_device_certificate,
    MessageCode.PROVIDE_DEVICE_CERTIFICATE: provide_device_certificate,
}


def utc_now() -> datetime:
    """Return the host's time in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _LateResponse:
    octets: bytes = field(repr=False)
    polls_left: int


class EmulatedDevice:
    """The device's side of CS02a to CS02e, octets in and octets out.

    A command that fails a check before its content gets no response and leaves a security log
    entry. Everything that a command changes is written to the memory at once, before its
    response leaves.

    Args:
        memory: What it remembers; two devices never share one.
        options: How it behaves where GBCS's text is not at hand.
        clock: Returns its time, aware.
        new_key: Generates a private key on P-256.
        faults: The faults that it is given.
    """

    def __init__(
        self,
        memory: DeviceMemory,
        *,
        options: DeviceOptions | None = None,
        clock: Callable[[], datetime] = utc_now,
        new_key: Callable[[], ec.EllipticCurvePrivateKey] = generate_key,
        faults: Faults | None = None,
    ) -> None:
        self.memory = memory
        self.options = DeviceOptions() if options is None else options
        self.faults = Faults() if faults is None else faults
        self._clock = clock
        self._new_key = new_key
        self._secrets = SharedSecrets()
        self._alerts: list[bytes] = []
        self._late: list[_LateResponse] = []
        self._has_power = True
        if self.options.lose_pending_on_power_loss and memory.state.pending:
            self._commit(replace(memory.state, pending={}))

    @property
    def entity_id(self) -> EntityIdentifier:
        """Who it is."""
        return self.memory.state.entity_id

    @property
    def device_type(self) -> DeviceType:
        """What it is."""
        return self.memory.state.device_type

    def describe(self) -> DeviceDescription:
        """Return what may be shown of it; nothing private."""
        return describe_state(self.memory.state)

    def receive_message(self, octets: bytes) -> list[bytes]:
        """Process one message from the line.

        Args:
            octets: Whole messages only; anything is survived.

        Returns:
            The response, or nothing.

        Raises:
            PowerLost: Its power went, now or before; make a new device of its storage.
            MemoryUnwritable: Its memory cannot be written; it remembers what it did before.
        """
        self._check_power()
        self._carry_out_due()
        state = self.memory.state
        environment = self._environment(state)
        try:
            command = verify_command(octets, state, self._secrets)
        except CommandRefused as refused:
            self._commit(environment.log(state, refused.event, refused.reason))
            return []
        header = command.message.header
        accepted = accept_counter(state, command.role, header.originator_counter)
        handler = (
            receive_update
            if isinstance(command.payload, UpdateCredentialsCommand)
            else _HANDLERS[header.message_code]
        )
        execution = handler(command, accepted, environment)
        try:
            response = self._respond(command, execution, environment)
        except LocalProtocolError as error:
            # A command may ask for more than one message can carry; then none of it is done.
            what = f"its response cannot be made: {error}"
            self._commit(environment.log(state, EventCode.INTEGRITY_CHECK_FAILED, what))
            return []
        self._commit(execution.state)
        return self._send(response)

    def poll(self) -> list[bytes]:
        """Carry out what is due; return alerts and late responses that are ready.

        Raises:
            PowerLost: As `receive_message`.
            MemoryUnwritable: As `receive_message`.
        """
        self._check_power()
        self._carry_out_due()
        for late in self._late:
            late.polls_left -= 1
        ready = [late.octets for late in self._late if late.polls_left <= 0]
        self._late = [late for late in self._late if late.polls_left > 0]
        alerts, self._alerts = self._alerts, []
        return ready + alerts

    def _environment(self, state: DeviceState) -> Environment:
        now = self._clock().astimezone(UTC)
        return Environment(now, self.options, self.faults, self._new_key, state)

    def _carry_out_due(self) -> None:
        state = self.memory.state
        if not state.future_dated:
            return
        while (due := due_command(state, self._clock())) is not None:
            state, alert = execute_due(due, state, self._environment(state))
            signed = self._protect(self._with_lengths(alert), state, shared_secret=None)
            self._commit(state)
            self._alerts.append(signed.octets)

    def _respond(
        self, command: VerifiedCommand, execution: Execution, environment: Environment
    ) -> bytes:
        """Compose and protect the response, with the keys of the moment the command came."""
        is_dated = isinstance(command.payload, UpdateCredentialsCommand)
        date_time = cosem_time.encode_date_time(environment.now) if is_dated else b""
        response = use_cases.compose(
            command.message.header.reply(date_time=date_time), execution.payload
        )
        if is_dated or isinstance(command.payload, ProvideCredentialsCommand):
            response = self._with_lengths(response)
        demanded = use_cases.response_protection(command.payload)
        secret = command.shared_secret if demanded.mac else None
        by_old = self.options.cs02d_response_signed_with is SigningKey.OLD
        signing_state = environment.before if by_old else execution.state
        if not demanded.signature:
            return protection.protect(response, shared_secret=secret).octets
        return self._protect(response, signing_state, shared_secret=secret).octets

    def _with_lengths(self, message: Message) -> Message:
        if self.options.minimal_lengths:
            return message
        return compose_pre_command(message.header, with_three_octet_lengths(message.content))

    def _protect(
        self, message: Message, state: DeviceState, *, shared_secret: bytes | None
    ) -> Message:
        signer = state.key_pairs[KeyUsage.DIGITAL_SIGNATURE]
        return protection.protect(message, signer=signer, shared_secret=shared_secret)

    def _send(self, response: bytes) -> list[bytes]:
        octets = self.faults.on_response(response)
        if octets is None:
            return []
        if self.faults.late_polls:
            self._late.append(_LateResponse(octets, self.faults.late_polls))
            return []
        return [octets]

    def _commit(self, state: DeviceState) -> None:
        try:
            self.memory.commit(state, self.faults.write_steps())
        except PowerLost:
            self._has_power = False
            self._alerts.clear()
            self._late.clear()
            raise

    def _check_power(self) -> None:
        if not self._has_power:
            raise PowerLost(f"{self.entity_id} has no power: make a new device of its storage")

    def __repr__(self) -> str:
        return f"EmulatedDevice({self.device_type.value} {self.entity_id})"


def with_three_octet_lengths(octets: bytes) -> bytes:
    """Write a run of DER elements again with lengths of 128 to 255 as 82 00 xx.

    Source: RTDS 4.5.0, responses and alerts of CS02a and CS02b.
    """
    parts: list[bytes] = []
    offset = 0
    while offset < len(octets):
        tag = octets[offset]
        start, stop = _contents(octets, offset)
        contents = octets[start:stop]
        if tag & _CONSTRUCTED:
            contents = with_three_octet_lengths(contents)
        parts.append(bytes((tag,)) + _length(len(contents)) + contents)
        offset = stop
    return b"".join(parts)


def _contents(octets: bytes, offset: int) -> tuple[int, int]:
    first = octets[offset + 1]
    if first < 0x80:
        return offset + 2, offset + 2 + first
    start = offset + 2 + (first & 0x7F)
    return start, start + int.from_bytes(octets[offset + 2 : start])


def _length(length: int) -> bytes:
    return b"\x82\x00" + bytes((length,)) if 0x80 <= length <= 0xFF else encode_length(length)
