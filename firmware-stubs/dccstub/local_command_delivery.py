"""Commands that the user carries to the device, and the answers that it gives back by 8.13."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dccstub import stand_in_options as codes
from dccstub.stand_in_options import Refused
from gbcs.message import Message
from gbcs.protocol_errors import DecodeError, SecurityError

if TYPE_CHECKING:
    from dccstub.access_control_broker import Broker
    from dccstub.command_dispatch import Job
    from duis.document_headers import RequestIdentifier
    from duis.request_documents import ReturnLocalCommandResponse


class LocalDelivery:
    """Completes commands for local delivery and matches what comes back.

    Args:
        broker: MACs the commands and verifies the answers.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._given: dict[RequestIdentifier, Job] = {}

    def command(self, job: Job) -> bytes:
        """Return the whole command.

        Raises:
            Refused: No key of its device is known.
        """
        completed = self._broker.completed(job.command, job.signature)
        if not completed:
            raise Refused("E20", f"no key of {job.command.header.recipient} is known")
        self._given[job.request_id] = job
        return completed[0].octets

    def returned(self, body: ReturnLocalCommandResponse) -> tuple[Job, Message]:
        """Match a device's answer; return the command and the answer.

        Raises:
            Refused: It is no message, answers no command that was given, or does not verify.
        """
        try:
            answer = Message.parse(body.device_gbcs_response)
        except DecodeError as error:
            raise Refused(codes.LOCAL_RESPONSE_UNREADABLE, str(error)) from error
        job = self._job(body, answer)
        if job is None:
            raise Refused(codes.LOCAL_COMMAND_UNKNOWN, "it answers no command that was given")
        try:
            self._broker.verify_answer(job.command, answer)
        except SecurityError as error:
            raise Refused(codes.LOCAL_RESPONSE_UNVERIFIED, str(error)) from error
        del self._given[job.request_id]
        return job, answer

    def _job(self, body: ReturnLocalCommandResponse, answer: Message) -> Job | None:
        if body.original_request_id is not None:
            return self._given.get(body.original_request_id)
        for job in self._given.values():
            if job.command.header.reply(date_time=answer.header.date_time) == answer.header:
                return job
        return None
