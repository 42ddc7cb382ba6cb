"""What the user is told later: devices' answers, their alerts, and the DCC's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dccstub.access_control_broker import payload_of
from dccstub.stand_in_faults import Fault
from dccstub.stand_in_options import FutureDatedAlertForm
from duis.alert_messages import DeviceAlertMessage
from duis.response_documents import FutureDatedDeviceAlertMessage, ResponseMessage
from gbcs.security_credentials import (
    NEVER,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
)

if TYPE_CHECKING:
    from datetime import datetime

    from dccstub.answer_effects import Effects
    from dccstub.command_dispatch import Job
    from dccstub.delivery_queue import Deliveries
    from dccstub.signed_documents import Composer
    from dccstub.stand_in_faults import Faults
    from dccstub.stand_in_inventory import InventoryDevice
    from dccstub.stand_in_options import StandInOptions
    from duis.alert_messages import DCCAlertMessage
    from duis.response_documents import ResponseBody
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message


class Answers:
    """Makes asynchronous documents and queues them for the receive address.

    Args:
        compose: Writes and signs documents.
        deliveries: Where they go.
        effects: Takes the consequences of what devices say.
        options: In which form alerts go.
        faults: What may become of a response.
    """

    def __init__(
        self,
        compose: Composer,
        deliveries: Deliveries,
        effects: Effects,
        options: StandInOptions,
        faults: Faults,
    ) -> None:
        self._compose = compose
        self._deliveries = deliveries
        self._effects = effects
        self._options = options
        self._faults = faults
        self._future_dated: list[Job] = []

    def answered(self, device: InventoryDevice, job: Job, answer: Message, now: datetime) -> None:
        """Queue a device's answer, and alerts of what it changes."""
        alerts = self.take_notice(device, job, answer, now)
        payload = self._faults.on_payload(answer.octets)
        self._respond(job, "I0", ResponseMessage(gbcs_payload=payload), now)
        for alert in alerts:
            self.alert(alert, job.request_id.originator, now)

    def take_notice(
        self, device: InventoryDevice, job: Job, answer: Message, now: datetime
    ) -> list[DCCAlertMessage]:
        """Apply the consequences of an answer; return the alerts that it calls for."""
        self._watch_for_later(job, answer)
        return self._effects.of_answer(device, job.command, answer, now)

    def unanswered(self, job: Job, response_code: str, now: datetime) -> None:
        """Queue a response that says that there is no answer."""
        self._respond(job, response_code, None, now)

    def alerted(self, device: InventoryDevice, alert: Message, now: datetime) -> None:
        """Queue a device's alert, as the outcome of a future dated command where it is one."""
        said = payload_of(alert)
        assert isinstance(said, UpdateCredentialsAlert), "emulated devices send no other alert"
        job = self._command_of(device, alert, said)
        recipient = alert.header.recipient if job is None else job.request_id.originator
        if job is None or self._options.future_dated_alert is FutureDatedAlertForm.ALERT:
            self._pass_alert(alert, said.alert_code, recipient, now)
        else:
            body = FutureDatedDeviceAlertMessage(
                future_dated_alert_code=said.alert_code,
                gbcs_payload=self._faults.on_payload(alert.octets),
                instruction_number=1,
                total_command_instructions=1,
            )
            self._respond(job, "I0", body, now)
        if job is not None:
            self._future_dated.remove(job)
            for told in self._effects.of_alert(device.entity_id, job.command, alert):
                self.alert(told, job.request_id.originator, now)

    def alert(self, alert: DCCAlertMessage, user: EntityIdentifier | None, now: datetime) -> None:
        """Queue a DCC alert to a user."""
        self._deliveries.put(self._compose.dcc_alert(alert, user), now)

    def give_up_alerts(self, now: datetime) -> None:
        """Queue E30 for future dated commands whose alert did not come."""
        for job in self._future_dated.copy():
            payload = payload_of(job.command)
            if now - payload.execution_date_time >= self._options.alert_timeout:
                self._future_dated.remove(job)
                self._respond(job, "E30", None, now)

    def _pass_alert(
        self, alert: Message, code: int, recipient: EntityIdentifier, now: datetime
    ) -> None:
        body = DeviceAlertMessage(
            alert_code=code, gbcs_payload=self._faults.on_payload(alert.octets)
        )
        self._deliveries.put(self._compose.device_alert(body, recipient, alert), now)

    def _respond(
        self, job: Job, response_code: str, body: ResponseBody | None, now: datetime
    ) -> None:
        request_id = job.request_id
        if self._faults.takes_effect(Fault.WRONG_COUNTER):
            request_id = replace(request_id, counter=request_id.counter + 1)
        octets = self._compose.response(request_id, job.variant, response_code, body)
        if self._faults.takes_effect(Fault.LOST_RESPONSE):
            return
        is_late = self._faults.takes_effect(Fault.LATE_RESPONSE)
        due = now + timedelta(seconds=self._faults.delay_s) if is_late else now
        self._deliveries.put(octets, due)
        if self._faults.takes_effect(Fault.DUPLICATE_RESPONSE):
            self._deliveries.put(octets, due)

    def _watch_for_later(self, job: Job, answer: Message) -> None:
        said, payload = payload_of(answer), payload_of(job.command)
        if not isinstance(said, UpdateCredentialsResponse) or said.execution_outcome is not None:
            return
        assert isinstance(payload, UpdateCredentialsCommand)
        if payload.execution_date_time == NEVER:
            header = job.command.header
            self._future_dated = [
                each
                for each in self._future_dated
                if (each.command.header.recipient, each.command.header.message_code)
                != (header.recipient, header.message_code)
            ]
        else:
            self._future_dated.append(job)

    def _command_of(
        self, device: InventoryDevice, alert: Message, said: UpdateCredentialsAlert
    ) -> Job | None:
        counter = said.execution_outcome.authorising_remote_party_seq_number
        for job in self._future_dated:
            header = job.command.header
            if (header.recipient, header.originator, header.originator_counter) == (
                device.entity_id,
                alert.header.recipient,
                counter,
            ):
                return job
        return None
