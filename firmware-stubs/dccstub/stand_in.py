"""The stand-in as a whole, without sockets: HTTP bodies in, replies and deliveries out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dccstub import stand_in_options as codes
from dccstub.access_control_broker import Broker
from dccstub.answer_effects import Effects
from dccstub.asynchronous_responses import Answers
from dccstub.certificate_directory import Directory
from dccstub.command_dispatch import Alerted, Answered, Dispatcher, Job
from dccstub.delivery_queue import Deliveries
from dccstub.key_folder import key_bundle
from dccstub.local_command_delivery import LocalDelivery
from dccstub.pre_commands import PreCommands
from dccstub.request_admission import Admission
from dccstub.request_authentication import Authentication, RefusedByHeader
from dccstub.request_commands import OwnCommands
from dccstub.signed_documents import Composer
from dccstub.smki_repository import SMKIRepository
from dccstub.stand_in_faults import Fault, Faults
from dccstub.stand_in_inventory import Inventory, carry_out_on_inventory
from dccstub.stand_in_options import Refused, StandInOptions
from dccstub.web_services import LOCAL, SERVICE_OF, TEXT, XML, HTTPReply
from duis.alert_messages import (
    DCCAlertMessage,
    DeviceRestored,
    DeviceStatusChangeEvent,
    DeviceSuspended,
)
from duis.document_errors import DocumentInvalid
from duis.duis_enumerations import CANCELLED, SMIStatus
from duis.request_documents import ReturnLocalCommandResponse, SignedPreCommand
from duis.service_references import CommandVariant
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protocol_errors import SecurityError
from meterstub.emulated_device import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from dccstub.key_folder import KeyFolder
    from dccstub.stand_in_inventory import InventoryDevice
    from dccstub.web_services import WebService
    from duis.request_documents import Request
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message


class DCCBoxed:
    """A stand-in for DCC Boxed, whose devices are emulated ones.

    It is not safe for threads; `dccstub.running_stand_in` calls it under a lock.

    Args:
        keys: The organisations' certificates and keys, the DCC's own among them.
        devices: The devices behind it; nobody else may talk to them.
        options: How it behaves.
        clock: Returns its time, aware.
        counters: The next originator counters of the DCC's parties; by default they start from
            the time in milliseconds.
        faults: The faults that it is given.

    Raises:
        KeyFolderUnusable: The broker has no key that signs XML.
        ValueError: A device is there twice.
    """

    def __init__(
        self,
        keys: KeyFolder,
        devices: Iterable[InventoryDevice],
        *,
        options: StandInOptions | None = None,
        clock: Callable[[], datetime] = utc_now,
        counters: Mapping[EntityIdentifier, int] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.options = StandInOptions() if options is None else options
        self.faults = Faults() if faults is None else faults
        self.clock = clock
        self.inventory = Inventory(devices)
        self.directory = _directory(keys, self.inventory)
        self.deliveries = Deliveries(self.options)
        self.smki = SMKIRepository(self.directory, self.options.api_key)
        self.bundle = key_bundle(keys)
        broker = Broker(keys, self.directory, self.options.parties, clock, counters)
        effects = Effects(self.directory, self.options)
        self.dispatcher = Dispatcher(self.inventory, broker, self.options, self.faults)
        self._effects = effects
        self._authentication = Authentication(keys)
        self._admission = Admission(self.directory, self.inventory, self.options, self.faults)
        self._compose = Composer(keys, self.options, self.faults, clock)
        self._pre_commands = PreCommands(self.inventory, self.directory, self.faults)
        self._own_commands = OwnCommands(broker, self.options.parties)
        self._local = LocalDelivery(broker)
        self._answers = Answers(self._compose, self.deliveries, effects, self.options, self.faults)

    def receive(self, service: WebService, octets: bytes) -> HTTPReply:
        """Process one request to a DUIS web service, and return the HTTP reply.

        What is not XML, not valid, or not signed by anybody known gets HTTP 400, as DCC Boxed
        expects of its users in turn; everything else gets HTTP 200 and a response code.
        """
        if self.faults.takes_effect(Fault.HTTP_ERROR):
            return HTTPReply(500, TEXT, b"internal error")
        reply = self._reply(service, octets)
        if self.faults.takes_effect(Fault.SLOW_REPLY):
            reply = replace(reply, delay_s=self.faults.delay_s)
        if self.faults.takes_effect(Fault.LOST_REPLY):
            reply = replace(reply, is_lost=True)
        return reply

    def poll(self) -> None:
        """Send devices what is due, and queue what comes of it for the receive address."""
        now = self.clock()
        for event in self.dispatcher.poll(now):
            if isinstance(event, Answered):
                self._answers.answered(event.device, event.job, event.answer, now)
            elif isinstance(event, Alerted):
                self._answers.alerted(event.device, event.alert, now)
            else:
                self._answers.unanswered(event.job, "E21" if event.is_reachable else "E20", now)
        self._answers.give_up_alerts(now)

    def set_status(self, device: EntityIdentifier, status: SMIStatus) -> None:
        """Set a device's SMI Status as the DCC itself does.

        Users learn of Suspended and of what follows it, by alerts that have no reasons.

        Raises:
            KeyError: The device is not there.
        """
        found = self.inventory[device]
        was, found.status = found.status, status
        if status is was or SMIStatus.SUSPENDED not in {status, was}:
            return
        is_suspended = status is SMIStatus.SUSPENDED
        number = codes.DEVICE_SUSPENDED_ALERT if is_suspended else codes.DEVICE_RESTORED_ALERT
        event = DeviceStatusChangeEvent(
            device_id=device,
            device_status_change=DeviceSuspended() if is_suspended else DeviceRestored(),
        )
        alert = DCCAlertMessage(dcc_alert_code=number, dcc_alert=event)
        self._answers.alert(alert, found.supplier, self.clock())

    def _reply(self, service: WebService, octets: bytes) -> HTTPReply:
        try:
            request = self._authentication.authentic(octets)
        except RefusedByHeader as refused:
            return _document(self._compose.reply(refused.header, refused.response_code))
        except (DocumentInvalid, SecurityError) as error:
            return HTTPReply(400, TEXT, str(error).encode("utf-8", "replace"))
        try:
            return _document(self._carry_out(service, request))
        except Refused as refused:
            return _document(self._compose.reply(request.header, refused.response_code))

    def _carry_out(self, service: WebService, request: Request) -> bytes:
        """Carry out a request as far as that goes at once, and return the response.

        Raises:
            Refused: It is not carried out.
        """
        variant = request.header.command_variant
        if SERVICE_OF.get(variant) is not service:
            raise Refused("E13", f"{service.value} takes no command variant {int(variant)}")
        self._admission.admit(request)
        if variant is CommandVariant.TRANSFORM:
            message = self._pre_commands.transform(request)
            return self._compose.pre_command(request.header, message)
        if variant is CommandVariant.NON_DEVICE:
            return self._answer_itself(request)
        job = self._job(request)
        if variant in LOCAL:
            return self._compose.local_command(request.header, self._local.command(job))
        if getattr(request.body, "execution_date_time", None) == CANCELLED:
            self.dispatcher.cancel(job)
        if job.due != CANCELLED:
            self.dispatcher.put(job)
        return self._compose.reply(request.header, "I99")

    def _job(self, request: Request) -> Job:
        due: datetime | None
        command: Message
        if isinstance(request.body, SignedPreCommand):
            command, signature = self._pre_commands.signed(request)
            due = request.body.execution_date_time
        else:
            command, signature, due = self._own_commands.command(request)
        self._admission.use_up(request.header.request_id)
        self._effects.of_sending(command)
        return Job(
            request_id=request.header.request_id,
            variant=request.header.service_reference_variant,
            command=command,
            signature=signature,
            due=due or self.clock(),
        )

    def _answer_itself(self, request: Request) -> bytes:
        self._admission.use_up(request.header.request_id)
        user, now = request.header.request_id.originator, self.clock()
        if isinstance(request.body, ReturnLocalCommandResponse):
            job, answer = self._local.returned(request.body)
            device = self.inventory[job.command.header.recipient]
            alerts = self._answers.take_notice(device, job, answer, now)
            found = None
        else:
            found, alerts = carry_out_on_inventory(self.inventory, request.body)
        for alert in alerts:
            self._answers.alert(alert, user, now)
        return self._compose.reply(request.header, "I0", found)

    def __repr__(self) -> str:
        return f"DCCBoxed({len(list(self.inventory))} devices, {self.deliveries})"


def _directory(keys: KeyFolder, inventory: Inventory) -> Directory:
    """Make the repository: the folder's certificates, and the devices' own in their place."""
    directory = Directory.of(keys)
    for device in inventory:
        for der in device.emulated.memory.state.certificates.values():
            directory.bring_into_use(GBCSCertificate.from_der(der))
    return directory


def _document(octets: bytes) -> HTTPReply:
    return HTTPReply(200, XML, octets)
