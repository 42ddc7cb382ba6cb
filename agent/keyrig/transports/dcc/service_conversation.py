"""A conversation with one device through the DCC: each command is a service request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from duis.alert_messages import DCCAlertMessage
from duis.document_headers import RequestIdentifier
from duis.request_documents import build_request, request_of
from duis.response_codes import Outcome
from duis.response_documents import ResponseMessage, parse_response
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.protection import describe
from gbcs.protocol_errors import CounterReplayed, DecodeError
from gbcs.use_cases import command_protection
from keyrig.base import events
from keyrig.base.errors import RunStopped
from keyrig.domain.service_requests import service_request
from keyrig.domain.states import ExchangeOutcome, ServiceDocumentKind
from keyrig.session.conversation import composed_command, protect_checked
from keyrig.session.device_messages import DeviceMessages, Sent
from keyrig.session.steps.effects import NoResponse
from keyrig.transports.dcc.dcc_inbox import described
from keyrig.transports.dcc.pending_requests import (
    NoAnswer,
    PendingRequest,
    ServiceRequests,
    is_no_response,
    refused,
)

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.domain.service_requests import ServiceRequest, Users
    from keyrig.ledger.service_documents import ServiceDocument
    from keyrig.session.session_context import OnAlert, SessionContext
    from keyrig.session.steps.effects import Answer, Ask
    from keyrig.transports.dcc.dcc_inbox import Arrived
    from keyrig.transports.dcc.dcc_service import DCCService

SENDINGS: Final = 2
"""How often a repeatable command is requested before it counts as unanswered."""
WAIT_SLICE_S: Final = 0.5
"""The interval at which a waiting run checks whether it has to stop."""
UNSIGNED: Final = "the DCC's document is signed by nobody known, and rests on the line"
"""The remark recorded with a response in an unsigned document."""
_KINDS: Final = (
    ServiceDocumentKind.RESPONSE,
    ServiceDocumentKind.DEVICE_ALERT,
    ServiceDocumentKind.DCC_ALERT,
)


class ServiceConversation:
    """Exchanges verified messages with one device through the DCC.

    Args:
        device: The recipient of the commands, and required originator of the responses.
        service: The DCC's interface.
        users: The Users that may send requests.
        session: The run's shared objects.
        timeout_s: How long the device's answer to one request may take, in seconds.
        on_alert: Called with each verified alert of the device.
    """

    def __init__(
        self,
        *,
        device: EntityIdentifier,
        service: DCCService,
        users: Users,
        session: SessionContext,
        timeout_s: float,
        on_alert: OnAlert | None = None,
    ) -> None:
        self.device = device
        self._service = service
        self._users = users
        self._run = session
        self._timeout_s = timeout_s
        self._messages = DeviceMessages(device, session, on_alert)
        self._requests = ServiceRequests(service, session, self._messages)

    def exchange(self, ask: Ask, attempt_id: int | None) -> Answer:
        """Request a command from the DCC; return the device's verified response.

        A command that is repeatable is requested again, with another counter, when no response
        comes. Any other is requested once: the DCC resends it itself, and the step has to find
        out what the device did.

        Raises:
            NoResponse: None came; the device may have executed the command.
            SecurityError: One came that fails verification; recorded as an incident.
            StepFailed: A verified one came that cannot be read.
            NoServiceRequest: No User can request the command.
            ServiceRefused: The DCC refuses the request.
            DCCNotBelieved: The DCC's answer does not verify, or its pre-command is another.
            DCCUnreachable: The DCC's interface does not answer; nothing was sent.
            KeyStoreError: A key that is needed is missing or locked.
            RunStopped: Somebody asked the run to stop.
        """
        sendings = SENDINGS if ask.repeatable else 1
        for _ in range(sendings):
            self._run.go_on()
            pending = self._prepare(ask, attempt_id)
            try:
                message, remark = self._carry(pending)
            except NoAnswer as reason:
                self._messages.unanswered(pending.sent, self._timeout_s, str(reason))
                continue
            return self._messages.accept(pending.sent, message, remark)
        raise NoResponse(ask.what, self._timeout_s * sendings)

    def receive_alerts(self, wait_s: float = 0) -> bool:
        """Process the unprocessed documents about the device; see `keyrig.session.conversation`."""
        run, inbox = self._run, self._service.inbox
        deadline = run.monotonic() + wait_s
        while True:
            inbox.look()
            self._tell_refusals()
            waiting = run.ledger.service_documents.waiting(self.device, _KINDS)
            for document in waiting:
                self._take(document)
            remaining_s = deadline - run.monotonic()
            if waiting or remaining_s <= 0:
                return bool(waiting)
            run.go_on()
            inbox.wait_for_any(min(remaining_s, WAIT_SLICE_S))

    def _prepare(self, ask: Ask, attempt_id: int | None) -> PendingRequest:
        """Reserve the counter; compose and record the command and its request."""
        run = self._run
        now = run.clock()
        # The counter is in the signed command only, of which the request has no part.
        request = service_request(ask.message_code, ask.payload(0), ask.originator, self._users)
        with run.ledger.transaction():
            counter = run.ledger.counters.reserve(request.originator, now)
            request_id = RequestIdentifier(request.originator, self.device, counter)
            composed, signed, payload = self._command(ask, request, counter)
            exchange_id = run.ledger.exchanges.record_command(
                b"" if signed is None else signed.octets,
                run_id=run.run_id,
                attempt_id=attempt_id,
                device=self.device,
                originator=request.originator,
                counter=counter,
                message_code=ask.message_code,
                now=now,
            )
            sent = Sent(
                what=ask.what,
                originator=ask.originator,
                message_code=ask.message_code,
                counter=counter if request.is_critical else None,
                payload=payload,
                exchange_id=exchange_id,
            )
            asked = request_of(request.body, request_id)
            document = self._service.signer.sign(build_request(asked), request.originator)
            pending = PendingRequest(
                sent=sent,
                request=request,
                request_id=request_id,
                variant=asked.header.service_reference_variant,
                document=document,
                composed=composed,
                signed=signed,
            )
            self._requests.record_request(pending)
        return pending

    def _command(
        self, ask: Ask, request: ServiceRequest, counter: int
    ) -> tuple[Message | None, Message | None, Any]:
        """Compose and sign the command of a critical request; the DCC makes any other."""
        if not request.is_critical:
            return None, None, ask.payload(counter)
        composed, payload = composed_command(ask, self.device, counter)
        assert command_protection(payload).signature
        signer = self._run.keys.signer(ask.originator, ask.signing_key_identifier)
        return composed, protect_checked(composed, signer=signer), payload

    def _carry(self, pending: PendingRequest) -> tuple[Message, str]:
        """Carry out a request; return the device's response, and a remark on how it came.

        Raises:
            NoAnswer: None will come, or none came in time.
        """
        run = self._run
        self._service.inbox.expect(str(pending.request_id))
        run.observe(
            events.CommandSent(
                device=str(self.device),
                what=pending.sent.what,
                counter=pending.request_id.counter,
                octets=len(pending.document),
                timeout_s=self._timeout_s,
                service_request=pending.variant,
            )
        )
        document = pending.document
        if pending.request.is_critical:
            document = self._requests.transformed(pending)
        self._requests.send(pending, document)
        try:
            return self._await(pending)
        except RunStopped as stopped:
            self._requests.end(pending, ExchangeOutcome.INTERRUPTED, str(stopped))
            raise

    def _await(self, pending: PendingRequest) -> tuple[Message, str]:
        """Wait for the device's response, and process other documents meanwhile."""
        run = self._run
        deadline = run.monotonic() + self._timeout_s
        while True:
            remaining_s = deadline - run.monotonic()
            if remaining_s <= 0:
                raise NoAnswer("")
            arrived = self._service.inbox.response(min(remaining_s, WAIT_SLICE_S))
            self._tell_refusals()
            if arrived is None:
                run.go_on()
                continue
            message = self._answered(pending, arrived)
            if message is not None:
                return message, "" if arrived.is_signed else UNSIGNED

    def _answered(self, pending: PendingRequest, arrived: Arrived) -> Message | None:
        """Return the device's response within the DCC's; None where that is something else."""
        response = arrived.response
        self._requests.transcribe(
            ServiceDocumentKind.RESPONSE, arrived.document, is_signed=arrived.is_signed
        )
        if isinstance(response.body, DCCAlertMessage):
            raise NoAnswer(f"the DCC tells of {described(response.body.dcc_alert)}")
        code = response.header.response_code
        if isinstance(response.body, ResponseMessage):
            self._taken(arrived.document_id, "")
            return self._of_device(pending, response.body.gbcs_payload)
        if response.header.outcome is Outcome.ERROR:
            self._taken(arrived.document_id, code)
            if is_no_response(code):
                raise NoAnswer(f"the DCC answers {code}, {response.header.meaning}")
            error = refused(pending.sent.what, code)
            self._requests.end(pending, ExchangeOutcome.INTERRUPTED, str(error))
            raise error
        return None

    def _of_device(self, pending: PendingRequest, octets: bytes) -> Message:
        try:
            message = Message.parse(octets)
        except DecodeError as error:
            self._messages.transcribe("response", octets, verified=False)
            raise NoAnswer(f"the DCC gives what is no GBCS message: {error}") from error
        if pending.sent.is_by_the_dcc:
            self._refuse_replay(pending, message)
        return message

    def _refuse_replay(self, pending: PendingRequest, message: Message) -> None:
        """Refuse an answer to a command of the DCC's that is, or could be, a replay.

        The DCC's counter is not known here, but it ascends.
        """
        header = message.header
        answers = self._run.ledger.exchanges.answers_to_the_dcc(self.device)
        before = (Message.parse(octets).header for octets in answers)
        last = next(
            (each.originator_counter for each in before if each.recipient == header.recipient), None
        )
        if last is None or header.originator_counter > last:
            return
        reason = f"{describe(header)} is not above counter {last}, which was answered before"
        self._messages.transcribe("response", message.octets, verified=False)
        self._messages.incident(pending.sent, message.octets, reason)
        raise CounterReplayed(reason)

    def _take(self, document: ServiceDocument) -> None:
        """Process an unsolicited document."""
        run = self._run
        response = parse_response(document.document, "a document of the ledger")
        body = response.body
        if document.kind is ServiceDocumentKind.DEVICE_ALERT:
            assert body is not None
            with run.ledger.transaction():
                self._messages.take_alert(Message.parse(body.gbcs_payload))  # type: ignore[union-attr]
                self._taken(document.id, "")
        elif isinstance(body, DCCAlertMessage):
            self._taken(document.id, described(body.dcc_alert))
            tell_dcc_alert(run.observe, document, body)
        else:
            detail = "it answers nothing that is awaited; set aside"
            self._taken(document.id, detail)
            self._messages.noise(f"a response to {printable(document.request_id)}: {detail}")

    def _taken(self, document_id: int, detail: str) -> None:
        self._run.ledger.service_documents.take(document_id, self._run.clock(), detail)

    def _tell_refusals(self) -> None:
        for reason in self._service.inbox.refusals():
            self._run.observe(events.DocumentRefused(device=str(self.device), reason=reason))


def tell_dcc_alert(observe: Observer, document: ServiceDocument, alert: DCCAlertMessage) -> None:
    """Report a DCC alert to the observer, by its payload element."""
    observe(
        events.DCCAlert(
            device=None if document.device is None else str(document.device),
            alert=described(alert.dcc_alert),
            code=alert.dcc_alert_code,
            signed=bool(document.signer),
        )
    )
