"""A conversation with one device through the DCC: each command is a service request.

What the party signs is the command that the agent composed itself. The pre-command that the
DCC transforms a request into is compared with it, octet by octet, and anything else is an
incident: what comes from outside is never signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from duis.alerts import DCCAlertMessage
from duis.header import RequestIdentifier
from duis.requests import SignedPreCommand, build_request, request_of
from duis.response_codes import Outcome
from duis.responses import PreCommand, ResponseMessage, parse_response
from gbcs.errors import CounterReplayed, DecodeError, ProtocolError, SecurityError
from gbcs.message import Message
from gbcs.protection import describe
from gbcs.use_cases import command_protection
from keyrig.commands import composed_command, protect_checked
from keyrig.dcc_boxed.duis_client import WebService
from keyrig.dcc_boxed.inbox import described
from keyrig.dcc_boxed.refusals import is_no_response, refused
from keyrig.dcc_boxed.service_requests import service_request
from keyrig.device_messages import DeviceMessages, Sent
from keyrig.errors import DCCNotBelieved, DCCUnreachable, RunStopped, ServiceRefused
from keyrig.ledger.service_documents import About
from keyrig.ledger.states import EventType, ExchangeOutcome, ServiceDocumentKind
from keyrig.printable import printable
from keyrig.steps.effects import NoResponse

if TYPE_CHECKING:
    from duis.responses import Response
    from gbcs.entity import EntityIdentifier
    from keyrig.conversation import Surroundings
    from keyrig.dcc_boxed.inbox import Arrived
    from keyrig.dcc_boxed.link import DCCService
    from keyrig.dcc_boxed.service_requests import ServiceRequest, Users
    from keyrig.device_messages import OnAlert
    from keyrig.ledger.service_documents import ServiceDocument
    from keyrig.observing import Observer
    from keyrig.steps.effects import Answer, Ask

SENDINGS: Final = 2
"""How often a command that is repeatable is asked for before it counts as unanswered."""
POSTINGS: Final = 2
"""How often one and the same document is posted where the answer to it is lost."""
WAIT_SLICE_S: Final = 0.5
"""How often a run that waits looks whether it is to stop."""
_KINDS: Final = (
    ServiceDocumentKind.RESPONSE,
    ServiceDocumentKind.DEVICE_ALERT,
    ServiceDocumentKind.DCC_ALERT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """A request on its way.

    Args:
        sent: What the device's answer must be.
        request: What is asked.
        request_id: Names it at every stage.
        variant: The service reference variant.
        document: The request, signed.
        composed: The command as the agent composes it, unprotected; None where the DCC makes it.
        signed: The same with the party's signature; None where the DCC makes it.
    """

    sent: Sent
    request: ServiceRequest
    request_id: RequestIdentifier
    variant: str
    document: bytes
    composed: Message | None
    signed: Message | None


class _Unanswered(Exception):  # noqa: N818 - not an error of anybody's
    """No response will come; the text says why."""


class ServiceConversation:
    """Exchanges verified messages with one device through the DCC.

    Args:
        device: Whom the commands are for, and who must have made what comes.
        service: What the requests go through.
        users: Who may ask.
        surroundings: What the run shares.
        timeout_s: How long the device's answer to one request may take, in seconds.
        on_alert: As for every conversation.
    """

    def __init__(
        self,
        *,
        device: EntityIdentifier,
        service: DCCService,
        users: Users,
        surroundings: Surroundings,
        timeout_s: float,
        on_alert: OnAlert | None = None,
    ) -> None:
        self.device = device
        self._service = service
        self._users = users
        self._run = surroundings
        self._timeout_s = timeout_s
        self._messages = DeviceMessages(device, surroundings, on_alert)

    def exchange(self, ask: Ask, attempt_id: int | None) -> Answer:
        """Ask the DCC for a command and give the device's verified response.

        A command that is repeatable is asked for anew, with another counter, when no response
        comes. Any other is asked for once: the DCC sends it again itself, and what the device
        did is for the step to find out.

        Raises:
            NoResponse: None came; the device may have executed the command.
            SecurityError: One came that fails verification; recorded as an incident.
            StepFailed: A verified one came that cannot be read.
            NoServiceRequest: No User can ask for the command.
            ServiceRefused: The DCC refuses the request.
            DCCNotBelieved: The DCC's answer does not verify, or its pre-command is another.
            DCCUnreachable: The DCC's interface does not answer; nothing was sent.
            KeyStoreError: A key that is needed is missing or locked.
            RunStopped: Somebody asked the run to stop.
        """
        sendings = SENDINGS if ask.repeatable else 1
        for _ in range(sendings):
            self._run.go_on()
            going = self._prepare(ask, attempt_id)
            try:
                response = self._carry(going)
            except _Unanswered as reason:
                self._messages.unanswered(going.sent, self._timeout_s, str(reason))
                continue
            return self._messages.accept(going.sent, response)
        raise NoResponse(ask.what, self._timeout_s * sendings)

    def receive_alerts(self, wait_s: float = 0) -> bool:
        """Take what came about the device and nobody took; see `keyrig.conversation`."""
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

    def _prepare(self, ask: Ask, attempt_id: int | None) -> _Going:
        """Reserve the counter, and have command and request in the ledger."""
        run = self._run
        now = run.clock()
        # The counter shows in what is signed alone, which no request has in it.
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
            going = _Going(
                sent=sent,
                request=request,
                request_id=request_id,
                variant=asked.header.service_reference_variant,
                document=document,
                composed=composed,
                signed=signed,
            )
            self._record(going, document, ServiceDocumentKind.REQUEST, self._first_service(going))
        return going

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

    @staticmethod
    def _first_service(going: _Going) -> WebService:
        return WebService.TRANSFORM if going.request.is_critical else WebService.SEND

    def _carry(self, going: _Going) -> Message:
        """Have a request carried out, and give the device's response.

        Raises:
            _Unanswered: None will come, or none came in time.
        """
        run = self._run
        self._service.inbox.expect(str(going.request_id))
        run.observe(
            "command-sent",
            device=str(self.device),
            what=going.sent.what,
            counter=going.request_id.counter,
            octets=len(going.document),
            timeout_s=self._timeout_s,
            service_request=going.variant,
        )
        document = self._transformed(going) if going.request.is_critical else going.document
        self._send(going, document)
        try:
            return self._await(going)
        except RunStopped as stopped:
            self._end(going, ExchangeOutcome.INTERRUPTED, str(stopped))
            raise

    def _transformed(self, going: _Going) -> bytes:
        """Have a request transformed; give the signed pre-command's document, recorded.

        Nothing has been sent to the device until this returns, whatever happens.
        """
        try:
            answer = self._post(going, WebService.TRANSFORM, going.document)
            response = self._believed(going, WebService.TRANSFORM, answer)
            if response.header.outcome is Outcome.ERROR:
                raise refused(going.sent.what, response.header.response_code)
        except (DCCUnreachable, ServiceRefused, DCCNotBelieved) as error:
            self._end(going, ExchangeOutcome.NOT_SENT, str(error))
            raise
        composed, signed = going.composed, going.signed
        assert composed is not None
        assert signed is not None
        body = response.body
        transformed = body.gbcs_payload if isinstance(body, PreCommand) else b""
        if transformed != composed.octets:
            self._refuse_pre_command(going, transformed, composed)
        # No ExecutionDateTime: the device holds such a command, whose payload has the instant,
        # and the DCC, which could hold it as well, is to send it now.
        request = request_of(
            SignedPreCommand(gbcs_payload=signed.octets),
            going.request_id,
            service_reference_variant=going.variant,
        )
        document = self._service.signer.sign(build_request(request), going.request.originator)
        self._record(going, document, ServiceDocumentKind.REQUEST, WebService.SEND)
        self._messages.transcribe("command", signed.octets, verified=True)
        return document

    def _refuse_pre_command(self, going: _Going, transformed: bytes, composed: Message) -> None:
        difference = _difference(transformed, composed)
        reason = f"the DCC's pre-command is not the command asked for: {difference}"
        self._messages.incident(going.sent, transformed, reason)
        raise DCCNotBelieved(
            going.sent.what, reason, "it is not signed; see what stands between here and the DCC"
        )

    def _send(self, going: _Going, document: bytes) -> None:
        """Post what is to be sent; return once the DCC may be about to send it.

        Raises:
            _Unanswered: The DCC says at once that no response will come.
        """
        for posting in range(POSTINGS):
            try:
                answer = self._service.client.post(WebService.SEND, document, going.sent.what)
            except DCCUnreachable as error:
                if posting == 0 and not error.may_have_arrived:
                    self._end(going, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                self._messages.noise(str(error))
                continue
            except ServiceRefused as error:
                if posting == 0:
                    self._end(going, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                # What was posted before may be on its way, and this refusal for that reason.
                return
            try:
                self._acknowledged(going, answer, is_first=posting == 0)
            except DCCNotBelieved as error:
                self._end(going, ExchangeOutcome.INTERRUPTED, str(error))
                raise
            return

    def _acknowledged(self, going: _Going, answer: bytes, *, is_first: bool) -> None:
        response = self._believed(going, WebService.SEND, answer)
        if response.header.outcome is not Outcome.ERROR or not is_first:
            return
        code = response.header.response_code
        if is_no_response(code):
            raise _Unanswered(f"the DCC answers {code}, {response.header.meaning}")
        error = refused(going.sent.what, code)
        self._end(going, ExchangeOutcome.NOT_SENT, str(error))
        raise error

    def _post(self, going: _Going, service: WebService, document: bytes) -> bytes:
        """Post a document that changes nothing however often it is posted."""
        for posting in range(POSTINGS):
            try:
                return self._service.client.post(service, document, going.sent.what)
            except DCCUnreachable as error:
                if posting == POSTINGS - 1:
                    raise
                self._messages.noise(str(error))
        raise AssertionError("unreachable")

    def _believed(self, going: _Going, service: WebService, answer: bytes) -> Response:
        """Verify what a request's connection brought, record it and read it."""
        what, source = going.sent.what, f"the answer of {service.value}"
        signer, response, error = "", None, None
        try:
            believed = self._service.verifier.verify(answer, source)
            signer = believed.signer
            response = parse_response(believed.octets, source)
        except (SecurityError, ProtocolError) as found:
            error = found
        self._record(going, answer, ServiceDocumentKind.ANSWER, service, signer)
        if isinstance(error, SecurityError):
            self._tell_incident(going, str(error))
            raise DCCNotBelieved(
                what, str(error), "correct dcc_boxed.response_certificates in the settings"
            ) from error
        if response is None or response.header.request_id != going.request_id:
            reason = str(error) if error else f"{source} is to another request"
            raise DCCNotBelieved(what, reason, "see what stands between here and the DCC")
        return response

    def _await(self, going: _Going) -> Message:
        """Wait for the device's response, and do what else comes meanwhile."""
        run = self._run
        deadline = run.monotonic() + self._timeout_s
        while True:
            remaining_s = deadline - run.monotonic()
            if remaining_s <= 0:
                raise _Unanswered("")
            arrived = self._service.inbox.response(min(remaining_s, WAIT_SLICE_S))
            self._tell_refusals()
            if arrived is None:
                run.go_on()
                continue
            message = self._answered(going, arrived)
            if message is not None:
                return message

    def _answered(self, going: _Going, arrived: Arrived) -> Message | None:
        """Give the device's response out of the DCC's; None where it is something else."""
        response = arrived.response
        kind = ServiceDocumentKind.RESPONSE
        self._transcribe(kind, arrived.document, is_signed=arrived.is_signed)
        if isinstance(response.body, DCCAlertMessage):
            raise _Unanswered(f"the DCC tells of {described(response.body.dcc_alert)}")
        code = response.header.response_code
        if isinstance(response.body, ResponseMessage):
            self._taken(arrived.document_id, "")
            return self._of_device(going, response.body.gbcs_payload)
        if response.header.outcome is Outcome.ERROR:
            self._taken(arrived.document_id, code)
            if is_no_response(code):
                raise _Unanswered(f"the DCC answers {code}, {response.header.meaning}")
            error = refused(going.sent.what, code)
            self._end(going, ExchangeOutcome.INTERRUPTED, str(error))
            raise error
        return None

    def _of_device(self, going: _Going, octets: bytes) -> Message:
        try:
            message = Message.parse(octets)
        except DecodeError as error:
            self._messages.transcribe("response", octets, verified=False)
            raise _Unanswered(f"the DCC gives what is no GBCS message: {error}") from error
        if going.sent.is_by_the_dcc:
            self._refuse_replay(going, message)
        return message

    def _refuse_replay(self, going: _Going, message: Message) -> None:
        """Refuse an answer to a command of the DCC's that came before, or could have.

        The DCC's counter is not known here, but it ascends.
        """
        header = message.header
        last = self._run.ledger.exchanges.last_answer_to_the_dcc(self.device, header.recipient)
        if last is None or header.originator_counter > last:
            return
        reason = f"{describe(header)} is not above counter {last}, which was answered before"
        self._messages.transcribe("response", message.octets, verified=False)
        self._messages.incident(going.sent, message.octets, reason)
        raise CounterReplayed(reason)

    def _take(self, document: ServiceDocument) -> None:
        """Deal with something that came by itself."""
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

    def _end(self, going: _Going, outcome: ExchangeOutcome, detail: str) -> None:
        run = self._run
        run.ledger.exchanges.record_outcome(
            going.sent.exchange_id, outcome, run.clock(), detail=printable(detail)
        )

    def _tell_incident(self, going: _Going, reason: str) -> None:
        run = self._run
        run.ledger.outbox.append(
            EventType.SECURITY_INCIDENT,
            self.device,
            run.clock(),
            {"exchange": going.sent.exchange_id, "reason": reason},
        )
        run.observe("security-incident", device=str(self.device), reason=printable(reason))

    def _tell_refusals(self) -> None:
        for reason in self._service.inbox.refusals():
            self._run.observe("document-refused", device=str(self.device), reason=reason)

    def _transcribe(self, kind: ServiceDocumentKind, document: bytes, *, is_signed: bool) -> None:
        self._messages.transcribe(f"service-{kind.value}", document, verified=is_signed)

    def _record(
        self,
        going: _Going,
        document: bytes,
        kind: ServiceDocumentKind,
        service: WebService,
        signer: str = "",
    ) -> None:
        run = self._run
        self._transcribe(
            kind, document, is_signed=bool(signer) or kind is ServiceDocumentKind.REQUEST
        )
        run.ledger.service_documents.record(
            document,
            kind=kind,
            service=service.value,
            now=run.clock(),
            about=About(
                run_id=run.run_id,
                exchange_id=going.sent.exchange_id,
                device=self.device,
                request_id=str(going.request_id),
            ),
            signer=signer,
        )


def tell_dcc_alert(observe: Observer, document: ServiceDocument, alert: DCCAlertMessage) -> None:
    """Tell whoever watches of a DCC alert, by its payload element."""
    observe(
        "dcc-alert",
        device=None if document.device is None else str(document.device),
        alert=described(alert.dcc_alert),
        code=alert.dcc_alert_code,
        signed=bool(document.signer),
    )


def _difference(transformed: bytes, composed: Message) -> str:
    """Say how a pre-command differs from the command that was composed."""
    if not transformed:
        return "there is none"
    try:
        message = Message.parse(transformed)
    except DecodeError as error:
        return f"it is no GBCS message ({error})"
    if message.header != composed.header:
        return f"its header is of {describe(message.header)} for {message.header.recipient}"
    if message.content != composed.content:
        return "its payload is another"
    return "it is protected already"
