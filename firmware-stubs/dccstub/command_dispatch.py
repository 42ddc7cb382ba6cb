"""Commands on their way to devices, and what comes back.

8.1.1 is carried out in an emulated device's stead, whose own use cases end at CS02e: by its cells,
counters and keys as it would itself; the command's content and the response's are the stand-in's
own (`dccstub.stand_in_options`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dccstub.stand_in_faults import Fault
from dccstub.stand_in_options import COMMISSION_MESSAGE_CODES
from gbcs import protection
from gbcs.message import Message, compose_pre_command
from gbcs.protocol_errors import DecodeError, KeyrigError, SecurityError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import TrustAnchorCellIdentifier
from meterstub.device_state import accept_counter, verify_counter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dccstub.access_control_broker import Broker
    from dccstub.stand_in_faults import Faults
    from dccstub.stand_in_inventory import Inventory, InventoryDevice
    from dccstub.stand_in_options import StandInOptions
    from duis.document_headers import RequestIdentifier
    from meterstub.emulated_device import EmulatedDevice


CLOCK_SET: Final = bytes.fromhex("020100")
"""The response's content: INTEGER 0, the stand-in's own."""
_SUPPLIER: Final = TrustAnchorCellIdentifier(
    role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
)


@dataclass(slots=True)
class Job:
    """A command that was acknowledged to its user.

    Args:
        request_id: The request it came of.
        variant: That request's service reference variant.
        command: Header and content.
        signature: The originator's, or b"".
        due: When it is to be sent.
        sent_at: When it was, or None.
    """

    request_id: RequestIdentifier
    variant: str
    command: Message
    signature: bytes = field(repr=False)
    due: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A device answered a command, and its answer verifies."""

    device: InventoryDevice
    job: Job
    answer: Message


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer that verifies came in time, or none can."""

    job: Job
    is_reachable: bool


@dataclass(frozen=True, slots=True)
class Alerted:
    """A device sent a message unasked, and it verifies."""

    device: InventoryDevice
    alert: Message


Event = Answered | Unanswered | Alerted


class Dispatcher:
    """Sends commands when they are due, and matches what devices send to them.

    Args:
        inventory: The devices.
        broker: Completes commands and verifies what comes back.
        options: How long a device may take.
        faults: May keep a command from its device.
    """

    def __init__(
        self, inventory: Inventory, broker: Broker, options: StandInOptions, faults: Faults
    ) -> None:
        self._inventory = inventory
        self._broker = broker
        self._options = options
        self._faults = faults
        self._jobs: list[Job] = []
        self._has_new = False
        self.rejected: list[str] = []
        """Why messages from devices were not believed, one line each."""

    @property
    def is_busy(self) -> bool:
        """Whether a command that was sent waits for its answer, or one waits to be sent now."""
        return any(job.sent_at is not None for job in self._jobs) or self._has_new

    def put(self, job: Job) -> None:
        """Queue a command that is to be sent."""
        self._jobs.append(job)
        self._has_new = True

    def cancel(self, job: Job) -> None:
        """Drop what is held for the same device and use case, and is not sent yet."""
        self._jobs = [
            each
            for each in self._jobs
            if each.sent_at is not None
            or each.command.header.recipient != job.command.header.recipient
            or each.command.header.message_code != job.command.header.message_code
        ]

    def poll(self, now: datetime) -> list[Event]:
        """Send what is due, listen to every device, and give up what took too long."""
        events: list[Event] = []
        self._has_new = False
        for job in self._jobs.copy():
            if job.sent_at is None and job.due <= now:
                events += self._send(job, now)
        for device in self._inventory:
            events += self._listen(device)
        for job in self._jobs.copy():
            if job.sent_at is not None and now - job.sent_at >= self._options.answer_timeout:
                self._jobs.remove(job)
                events.append(Unanswered(job, is_reachable=True))
        return events

    def _send(self, job: Job, now: datetime) -> Iterator[Event]:
        device = self._inventory.find(job.command.header.recipient)
        completed = self._broker.completed(job.command, job.signature)
        if device is None or not completed:
            self._jobs.remove(job)
            yield Unanswered(job, is_reachable=False)
            return
        job.sent_at = now
        if self._faults.takes_effect(Fault.UNANSWERED):
            return
        for command in completed:
            for octets in _given_to(device, command):
                yield from self._received(device, octets)
            if job not in self._jobs:
                return

    def _listen(self, device: InventoryDevice) -> Iterator[Event]:
        try:
            messages = device.emulated.poll()
        except KeyrigError as error:
            self.rejected.append(str(error))
            return
        for octets in messages:
            yield from self._received(device, octets)

    def _received(self, device: InventoryDevice, octets: bytes) -> Iterator[Event]:
        """Match one message of a device; what does not verify is noted and left alone."""
        try:
            message = Message.parse(octets)
            job = self._job_of(message)
            if job is None:
                yield Alerted(device, self._broker.verify_alert(message))
                return
            self._broker.verify_answer(job.command, message)
        except (DecodeError, SecurityError) as error:
            self.rejected.append(str(error))
            return
        self._jobs.remove(job)
        yield Answered(device, job, message)

    def _job_of(self, message: Message) -> Job | None:
        for job in self._jobs:
            expected = job.command.header.reply(date_time=message.header.date_time)
            if job.sent_at is not None and message.header == expected:
                return job
        return None


def _given_to(device: InventoryDevice, command: Message) -> list[bytes]:
    try:
        if sets_clock(command):
            return answer_in_stead(device.emulated, command)
        return device.emulated.receive_message(command.octets)
    except KeyrigError:
        return []


def sets_clock(command: Message) -> bool:
    """True if a command is 8.1.1's."""
    return command.header.message_code in COMMISSION_MESSAGE_CODES.values()


def answer_in_stead(device: EmulatedDevice, command: Message) -> list[bytes]:
    """Verify a command as the device would, and return the response, or nothing."""
    state = device.memory.state
    header = command.header
    certificate = state.certificate_in(_SUPPLIER)
    try:
        if certificate is None or certificate.entity_id != header.originator:
            raise SecurityError("its originator is not the supplier")
        verify_counter(state, RemotePartyRole.SUPPLIER, header.originator_counter)
        protection.verify_signature(command, certificate.public_key)
    except KeyrigError:
        return []
    device.memory.commit(accept_counter(state, RemotePartyRole.SUPPLIER, header.originator_counter))
    response = compose_pre_command(header.reply(), CLOCK_SET)
    signer = state.key_pairs[KeyUsage.DIGITAL_SIGNATURE]
    return [protection.protect(response, signer=signer).octets]
