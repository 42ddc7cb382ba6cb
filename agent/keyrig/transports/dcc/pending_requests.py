"""Having a request carried out by the DCC: transformed where it is critical, and sent.

What the party signs is the command that the agent composed itself. The pre-command that the
DCC transforms a request into is compared with it, octet by octet, and anything else is an
incident: what comes from outside is never signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from duis.requests import SignedPreCommand, build_request, request_of
from duis.response_codes import Outcome
from duis.responses import PreCommand, parse_response
from gbcs.errors import DecodeError, ProtocolError, SecurityError
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.protection import describe
from keyrig.base.errors import DCCNotBelieved, DCCUnreachable, ServiceRefused
from keyrig.domain.states import ExchangeOutcome, ServiceDocumentKind
from keyrig.ledger.service_documents import About
from keyrig.transports.dcc.dcc_refusals import is_no_response, refused
from keyrig.transports.dcc.duis_client import WebService

if TYPE_CHECKING:
    from duis.header import RequestIdentifier
    from duis.responses import Response
    from keyrig.domain.service_requests import ServiceRequest
    from keyrig.session.device_messages import DeviceMessages, Sent
    from keyrig.session.session_context import SessionContext
    from keyrig.transports.dcc.dcc_service import DCCService

POSTINGS: Final = 2
"""How often one and the same document is posted where the answer to it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
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


class Unanswered(Exception):  # noqa: N818 - not an error of anybody's
    """No response will come; the text says why."""


class Requesting:
    """Posts the requests about one device, and keeps every document.

    Args:
        service: What the requests go through.
        session: What the run shares.
        messages: Records what becomes of exchanges with the device.
    """

    def __init__(
        self, service: DCCService, session: SessionContext, messages: DeviceMessages
    ) -> None:
        self._service = service
        self._run = session
        self._messages = messages

    def record_request(self, going: Going) -> None:
        """Keep a request that is about to leave."""
        is_critical = going.request.is_critical
        service = WebService.TRANSFORM if is_critical else WebService.SEND
        self._record(going, going.document, ServiceDocumentKind.REQUEST, service)

    def transformed(self, going: Going) -> bytes:
        """Have a request transformed; give the signed pre-command's document, recorded.

        Nothing has been sent to the device until this returns, whatever happens.
        """
        try:
            answer = self._post(going, WebService.TRANSFORM, going.document)
            response = self._believed(going, WebService.TRANSFORM, answer)
            if response.header.outcome is Outcome.ERROR:
                raise refused(going.sent.what, response.header.response_code)
        except (DCCUnreachable, ServiceRefused, DCCNotBelieved) as error:
            self.end(going, ExchangeOutcome.NOT_SENT, str(error))
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

    def _refuse_pre_command(self, going: Going, transformed: bytes, composed: Message) -> None:
        difference = _difference(transformed, composed)
        reason = f"the DCC's pre-command is not the command asked for: {difference}"
        self._messages.incident(going.sent, transformed, reason)
        raise DCCNotBelieved(
            going.sent.what, reason, "it is not signed; see what stands between here and the DCC"
        )

    def send(self, going: Going, document: bytes) -> None:
        """Post what is to be sent; return once the DCC may be about to send it.

        Raises:
            Unanswered: The DCC says at once that no response will come.
        """
        for posting in range(POSTINGS):
            try:
                answer = self._service.client.post(WebService.SEND, document, going.sent.what)
            except DCCUnreachable as error:
                if posting == 0 and not error.may_have_arrived:
                    self.end(going, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                self._messages.noise(str(error))
                continue
            except ServiceRefused as error:
                if posting == 0:
                    self.end(going, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                # What was posted before may be on its way, and this refusal for that reason.
                return
            try:
                self._acknowledged(going, answer, is_first=posting == 0)
            except DCCNotBelieved as error:
                self.end(going, ExchangeOutcome.INTERRUPTED, str(error))
                raise
            return

    def _acknowledged(self, going: Going, answer: bytes, *, is_first: bool) -> None:
        response = self._believed(going, WebService.SEND, answer)
        if response.header.outcome is not Outcome.ERROR or not is_first:
            return
        code = response.header.response_code
        if is_no_response(code):
            raise Unanswered(f"the DCC answers {code}, {response.header.meaning}")
        error = refused(going.sent.what, code)
        self.end(going, ExchangeOutcome.NOT_SENT, str(error))
        raise error

    def _post(self, going: Going, service: WebService, document: bytes) -> bytes:
        """Post a document that changes nothing however often it is posted."""
        for posting in range(POSTINGS):
            try:
                return self._service.client.post(service, document, going.sent.what)
            except DCCUnreachable as error:
                if posting == POSTINGS - 1:
                    raise
                self._messages.noise(str(error))
        raise AssertionError("unreachable")

    def _believed(self, going: Going, service: WebService, answer: bytes) -> Response:
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

    def end(self, going: Going, outcome: ExchangeOutcome, detail: str) -> None:
        """Record how an exchange ended without a response."""
        self._messages.end(going.sent, outcome, printable(detail))

    def _tell_incident(self, going: Going, reason: str) -> None:
        run = self._run
        self._messages.queue_incident({"exchange": going.sent.exchange_id}, reason, run.clock())
        self._messages.tell_incident(reason)

    def transcribe(self, kind: ServiceDocumentKind, document: bytes, *, is_signed: bool) -> None:
        """Write a document into the run's transcript."""
        self._messages.transcribe(f"service-{kind.value}", document, verified=is_signed)

    def _record(
        self,
        going: Going,
        document: bytes,
        kind: ServiceDocumentKind,
        service: WebService,
        signer: str = "",
    ) -> None:
        run = self._run
        self.transcribe(
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
                device=self._messages.device,
                request_id=str(going.request_id),
            ),
            signer=signer,
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
