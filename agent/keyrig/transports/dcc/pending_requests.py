"""Service requests to the DCC: transformed where they are critical, and sent.

What the party signs is the command that the agent composed itself. The pre-command that the DCC
transforms a request into is compared with it, octet by octet, and anything else is an incident:
what comes from outside is never signed.

Theory of operation. The originator counter names the request, and every document is recorded with
its exchange before it is posted, or before its content is used. What is known when something fails:

| failure | the device | recorded outcome |
|---|---|---|
| TRANSFORM fails, is refused or is not believed | was sent nothing | not sent |
| SEND: the first posting cannot have arrived, or is refused | was sent nothing | not sent |
| SEND: the answer is lost | may get it | none yet; posted again, then awaited |
| SEND: the second posting is refused | may get it, by the first | none yet; awaited |
| SEND: the answer is not believed | may get it | interrupted |
| the run is stopped while it awaits the response | may get it | interrupted |
| the agent crashes | may get it | none; the next run's step finds out |

Posting a document again is safe: TRANSFORM changes nothing, and SEND carries the same identifier,
by which the DCC can recognise it, and in a critical command the same counter, which the device
executes once. A refusal of the second posting may be due to the first, so it proves nothing. A
document is posted POSTINGS times at most; after that, waiting for the response decides.

An answer counts only if its signature is accepted and it names this request; it is recorded first
in either case, since a forged one is evidence. Nothing that a refusal tells is a failure of the
device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from duis.request_documents import SignedPreCommand, build_request, request_of
from duis.response_codes import Outcome, meaning_of
from duis.response_documents import PreCommand, parse_response
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.protection import describe
from gbcs.protocol_errors import DecodeError, ProtocolError, SecurityError
from keyrig.base.errors import DCCNotBelieved, DCCUnreachable, ServiceRefused
from keyrig.domain.states import ExchangeOutcome, ServiceDocumentKind
from keyrig.ledger.service_documents import About
from keyrig.transports.dcc.duis_client import WebService

if TYPE_CHECKING:
    from duis.document_headers import RequestIdentifier
    from duis.response_documents import Response
    from keyrig.domain.service_requests import ServiceRequest
    from keyrig.session.device_messages import DeviceMessages, Sent
    from keyrig.session.session_context import SessionContext
    from keyrig.transports.dcc.dcc_service import DCCService

POSTINGS: Final = 2
"""How often the same document is posted where its answer is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A request that awaits its response.

    Args:
        sent: The expectations of the device's answer.
        request: The service request.
        request_id: Its identifier, the same at every stage.
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


class NoAnswer(Exception):
    """No response will come; the text says why."""


class ServiceRequests:
    """Posts the requests about one device, and records every document.

    Args:
        service: The DCC's interface.
        session: The run's shared objects.
        messages: Records the exchanges with the device.
    """

    def __init__(
        self, service: DCCService, session: SessionContext, messages: DeviceMessages
    ) -> None:
        self._service = service
        self._run = session
        self._messages = messages

    def record_request(self, pending: PendingRequest) -> None:
        """Record a request that is about to be sent."""
        is_critical = pending.request.is_critical
        service = WebService.TRANSFORM if is_critical else WebService.SEND
        self._record(pending, pending.document, ServiceDocumentKind.REQUEST, service)

    def transformed(self, pending: PendingRequest) -> bytes:
        """Request the transformation; return the signed pre-command's document, recorded.

        Nothing is sent to the device before this returns, whatever happens.
        """
        try:
            answer = self._post(pending, WebService.TRANSFORM, pending.document)
            response = self._believed(pending, WebService.TRANSFORM, answer)
            if response.header.outcome is Outcome.ERROR:
                raise refused(pending.sent.what, response.header.response_code)
        except (DCCUnreachable, ServiceRefused, DCCNotBelieved) as error:
            self.end(pending, ExchangeOutcome.NOT_SENT, str(error))
            raise
        composed, signed = pending.composed, pending.signed
        assert composed is not None
        assert signed is not None
        body = response.body
        transformed = body.gbcs_payload if isinstance(body, PreCommand) else b""
        if transformed != composed.octets:
            self._refuse_pre_command(pending, transformed, composed)
        # No ExecutionDateTime: the device holds such a command, whose payload has the instant,
        # and the DCC, which could hold it as well, is to send it now.
        request = request_of(
            SignedPreCommand(gbcs_payload=signed.octets),
            pending.request_id,
            service_reference_variant=pending.variant,
        )
        document = self._service.signer.sign(build_request(request), pending.request.originator)
        self._record(pending, document, ServiceDocumentKind.REQUEST, WebService.SEND)
        self._messages.transcribe("command", signed.octets, verified=True)
        return document

    def _refuse_pre_command(
        self, pending: PendingRequest, transformed: bytes, composed: Message
    ) -> None:
        difference = _difference(transformed, composed)
        reason = f"the DCC's pre-command is not the command asked for: {difference}"
        self._messages.incident(pending.sent, transformed, reason)
        raise DCCNotBelieved(
            pending.sent.what, reason, "it is not signed; see what stands between here and the DCC"
        )

    def send(self, pending: PendingRequest, document: bytes) -> None:
        """Post the document to be sent; return once the DCC may be about to send the command.

        Raises:
            NoAnswer: The DCC says at once that no response will come.
        """
        for posting in range(POSTINGS):
            try:
                answer = self._service.client.post(WebService.SEND, document, pending.sent.what)
            except DCCUnreachable as error:
                if posting == 0 and not error.may_have_arrived:
                    self.end(pending, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                self._messages.noise(str(error))
                continue
            except ServiceRefused as error:
                if posting == 0:
                    self.end(pending, ExchangeOutcome.NOT_SENT, str(error))
                    raise
                # The first posting may have been accepted, and be the reason for this refusal.
                return
            try:
                self._acknowledged(pending, answer, is_first=posting == 0)
            except DCCNotBelieved as error:
                self.end(pending, ExchangeOutcome.INTERRUPTED, str(error))
                raise
            return

    def _acknowledged(self, pending: PendingRequest, answer: bytes, *, is_first: bool) -> None:
        response = self._believed(pending, WebService.SEND, answer)
        if response.header.outcome is not Outcome.ERROR or not is_first:
            return
        code = response.header.response_code
        if is_no_response(code):
            raise NoAnswer(f"the DCC answers {code}, {response.header.meaning}")
        error = refused(pending.sent.what, code)
        self.end(pending, ExchangeOutcome.NOT_SENT, str(error))
        raise error

    def _post(self, pending: PendingRequest, service: WebService, document: bytes) -> bytes:
        """Post a document that may be posted again without further effect."""
        for posting in range(POSTINGS):
            try:
                return self._service.client.post(service, document, pending.sent.what)
            except DCCUnreachable as error:
                if posting == POSTINGS - 1:
                    raise
                self._messages.noise(str(error))
        raise AssertionError("unreachable")

    def _believed(self, pending: PendingRequest, service: WebService, answer: bytes) -> Response:
        """Verify, record and parse the answer on a request's connection."""
        what, source = pending.sent.what, f"the answer of {service.value}"
        signer, response, error = "", None, None
        try:
            believed = self._service.verifier.verify(answer, source)
            signer = believed.signer
            response = parse_response(believed.octets, source)
        except (SecurityError, ProtocolError) as found:
            error = found
        self._record(pending, answer, ServiceDocumentKind.ANSWER, service, signer)
        if isinstance(error, SecurityError):
            self._tell_incident(pending, str(error))
            raise DCCNotBelieved(
                what, str(error), "correct dcc_boxed.response_certificates in the settings"
            ) from error
        if response is None or response.header.request_id != pending.request_id:
            reason = str(error) if error else f"{source} is to another request"
            raise DCCNotBelieved(what, reason, "see what stands between here and the DCC")
        return response

    def end(self, pending: PendingRequest, outcome: ExchangeOutcome, detail: str) -> None:
        """Record how an exchange ended without a response."""
        self._messages.end(pending.sent, outcome, printable(detail))

    def _tell_incident(self, pending: PendingRequest, reason: str) -> None:
        run = self._run
        about = {"exchange": pending.sent.exchange_id}
        self._messages.queue_incident(about, reason, run.clock())
        self._messages.tell_incident(reason)

    def transcribe(self, kind: ServiceDocumentKind, document: bytes, *, is_signed: bool) -> None:
        """Write a document into the run's transcript."""
        self._messages.transcribe(f"service-{kind.value}", document, verified=is_signed)

    def _record(
        self,
        pending: PendingRequest,
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
                exchange_id=pending.sent.exchange_id,
                device=self._messages.device,
                request_id=str(pending.request_id),
            ),
            signer=signer,
        )


def _difference(transformed: bytes, composed: Message) -> str:
    """Return how a pre-command differs from the command that was composed."""
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


NO_RESPONSE: Final = frozenset({"E20", "E21", "E30"})
"""The DCC asked, and the device did not answer; it may have executed the command."""

INCOMPATIBLE_STATUS: Final = "E5"

_USERS: Final = "see that the party that acts, and dcc_boxed.signer, are Users of that role there"
_DEVICE: Final = "see that the rig file has the device's type and Entity Identifier right"
_MENDS: Final = {
    "E1": _USERS,
    "E2": _USERS,
    "E3": _USERS,
    "E4": "see that the rig file names the party that is responsible for the device today",
    INCOMPATIBLE_STATUS: (
        "a device that is suspended under H5.34(a) or H5.38(a) may be refused the very requests "
        "by which H5.34(b) and H5.38(b) have its steps tried again: have its SMI Status restored, "
        "or reach it by a line"
    ),
    "E11": _DEVICE,
    "E12": "tell keyrig's authors: the command variant does not go with the request",
    "E13": "see that dcc_boxed.duis_port is that of the DUIS services",
    "E17": "reach the device by a line",
    "E19": _DEVICE,
}
_OTHERWISE: Final = "look the code up in the DUIS tables"


def is_no_response(code: str) -> bool:
    """Return True if a code means that the device gave no response."""
    return code in NO_RESPONSE


def refused(what: str, code: str) -> ServiceRefused:
    """Return the error for a request that the DCC refuses with a code.

    Args:
        what: The request, for people.
        code: The response code.
    """
    return ServiceRefused(
        what, response_code=code, reason=meaning_of(code), mend=_MENDS.get(code, _OTHERWISE)
    )
