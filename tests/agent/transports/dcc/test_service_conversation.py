"""One conversation with a DCC that says what the test has it say."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from authorities import DEVICE, DURING, SUPPLIER, Authorities, new_key
from duis import xml_signatures
from duis.alert_messages import CommandFailure, DCCAlertMessage
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.request_documents import parse_request
from duis.response_documents import PreCommand, Response, ResponseMessage, build_response
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_protected
from gbcs.protocol_errors import CounterReplayed
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    KeyUsageCommand,
    ProvideCredentialsCommand,
    RemotePartyDetails,
    StatusCode,
    TrustAnchorCellIdentifier,
)
from gbcs.use_cases import MessageCode, compose
from keyrig.base.errors import (
    DCCNotBelieved,
    DCCUnreachable,
    KeyMissing,
    RunStopped,
    ServiceRefused,
)
from keyrig.base.observing import StopAsked, never_stopped
from keyrig.domain.service_requests import Users
from keyrig.domain.states import ExchangeOutcome
from keyrig.keys.pem_keys import PEMSigner
from keyrig.ledger.ledger import Ledger
from keyrig.session.session_context import SessionContext
from keyrig.session.steps.effects import Ask, NoResponse
from keyrig.transports.dcc import service_conversation as conversing
from keyrig.transports.dcc.dcc_inbox import Inbox
from keyrig.transports.dcc.dcc_service import DCCService
from keyrig.transports.dcc.duis_client import WebService
from keyrig.transports.dcc.duis_signing import RequestSigner, ResponseVerifier
from keyrig.transports.dcc.service_conversation import ServiceConversation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.key_holders import KeyAgreer, Signer

BROKER = EntityIdentifier.parse("90b3d51f30000002")
COS = EntityIdentifier.parse("90b3d51f30000004")
OTHER = EntityIdentifier.parse("00db1234567890a9")
QUESTION = Ask(
    message_code=MessageCode.PROVIDE_CREDENTIALS,
    originator=BROKER,
    payload=lambda _: ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
        ),
        remote_party_roles_credentials_required=(RemotePartyRole.RECOVERY,),
    ),
    repeatable=False,
)
CRITICAL = Ask(
    message_code=MessageCode.ISSUE_CREDENTIALS,
    originator=SUPPLIER,
    payload=lambda _: KeyUsageCommand(key_usage=KeyUsage.DIGITAL_SIGNATURE),
    repeatable=False,
)
ANSWER = (
    RemotePartyDetails(
        remote_party_role=RemotePartyRole.RECOVERY, status_code=StatusCode.TRUST_ANCHOR_NOT_FOUND
    ),
)


class Keys:
    """Signs for the supplier; has nothing of the DCC's."""

    def __init__(self) -> None:
        key = new_key()
        self._signer = PEMSigner(key, "the supplier")
        self._certificate = Authorities().organisation(public_key=key.public_key())

    def xml_signer(
        self, entity: EntityIdentifier, named: int | None
    ) -> tuple[Signer, GBCSCertificate]:
        assert (entity, named) == (SUPPLIER, None)
        return self._signer, self._certificate

    def signer(
        self, entity: EntityIdentifier, subject_key_identifier: bytes | None = None
    ) -> Signer:
        del subject_key_identifier
        assert entity == SUPPLIER
        return self._signer

    def agreer(self, entity: EntityIdentifier) -> KeyAgreer:
        raise KeyMissing("the key store", f"key of {entity}")


@dataclass
class Scripted:
    """What the DCC says, in order: to each posting, and by itself after it."""

    ledger: Ledger
    postings: list[Callable[[bytes], bytes]]
    later: list[Callable[[RequestIdentifier], bytes]] = field(default_factory=list)
    should_stop: StopAsked = never_stopped
    posted: list[tuple[WebService, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = new_key()
        self._signer = PEMSigner(key, "the DCC")
        self._certificate = Authorities("D").organisation(public_key=key.public_key())
        self.run_id = uuid.uuid4().hex
        self.ledger.runs.start_run(self.run_id, "bench", DURING)
        verifier = ResponseVerifier(certificates=(self._certificate,))
        self.inbox = Inbox(self.ledger, verifier, lambda: DURING)
        self.inbox.run_id = self.run_id
        keys = Keys()
        client: Any = self
        self.conversation = ServiceConversation(
            device=DEVICE,
            service=DCCService(
                client=client,
                signer=RequestSigner(keys),
                verifier=verifier,
                inbox=self.inbox,
                address="box",
            ),
            users=Users(supplier=SUPPLIER, access_control_broker=BROKER, transitional_cos=COS),
            session=SessionContext(
                run_id=self.run_id,
                ledger=self.ledger,
                keys=keys,
                access_control_broker=BROKER,
                clock=lambda: DURING,
                monotonic=iter(range(1000)).__next__,
                should_stop=self._asked_to_stop,
            ),
            timeout_s=5,
        )

    def _asked_to_stop(self) -> str | None:
        return self.should_stop()

    def post(self, service: WebService, document: bytes, what: str) -> bytes:
        del what
        self.posted.append((service, document))
        answer = self.postings.pop(0)(document)
        if service is WebService.SEND:
            request_id = parse_request(document, "it").header.request_id
            while self.later:
                self.inbox.take(self.later.pop(0)(request_id))
        return answer

    def signed(self, response: Response) -> bytes:
        return xml_signatures.sign(build_response(response), self._signer, self._certificate)

    def response(self, request_id: RequestIdentifier, code: str = "I0", body: Any = None) -> bytes:
        header = ResponseHeader(
            request_id=request_id,
            response_id=request_id.answered(),
            response_code=code,
            response_date_time=DURING,
        )
        return self.signed(Response(header=header, body=body, service_reference_variant="6.24.1"))

    def alert(self, request_id: RequestIdentifier) -> bytes:
        failure = CommandFailure(command_request_id=request_id, device_id=DEVICE)
        header = ResponseHeader(response_code="I0", response_date_time=DURING)
        alert = DCCAlertMessage(dcc_alert_code="N12", dcc_alert=failure)
        return self.signed(Response(header=header, body=alert))

    def acknowledging(self, code: str = "I99") -> Callable[[bytes], bytes]:
        return lambda document: self.response(parse_request(document, "it").header.request_id, code)

    def transforming(self, change: Callable[[Message], bytes]) -> Callable[[bytes], bytes]:
        def transformed(document: bytes) -> bytes:
            request_id = parse_request(document, "it").header.request_id
            payload = KeyUsageCommand(key_usage=KeyUsage.DIGITAL_SIGNATURE)
            header = Header(
                cra_flag=CRAFlag.COMMAND,
                originator_counter=request_id.counter,
                originator=SUPPLIER,
                recipient=DEVICE,
                other_information=OtherInformation(MessageCode.ISSUE_CREDENTIALS),
            )
            octets = change(compose(header, payload))
            body = PreCommand(gbcs_version="4.1", gbcs_payload=octets) if octets else None
            return self.response(request_id, body=body)

        return transformed

    def outcome(self) -> tuple[ExchangeOutcome | None, str]:
        exchange = self.ledger.exchanges.of_run(self.run_id)[-1]
        return exchange.outcome, exchange.detail


def answer_of_device(counter: int, device: EntityIdentifier = DEVICE) -> ResponseMessage:
    header = Header(
        cra_flag=CRAFlag.RESPONSE,
        originator_counter=counter,
        originator=device,
        recipient=BROKER,
        other_information=OtherInformation(MessageCode.PROVIDE_CREDENTIALS),
    )
    message = compose_protected(compose(header, ANSWER), signature=b"", mac=bytes(12))
    return ResponseMessage(gbcs_payload=message.octets)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "WAIT_SLICE_S", 0.01)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def dcc(ledger: Ledger) -> Scripted:
    made = Scripted(ledger, [])
    made.postings = [made.acknowledging()]
    return made


def lost(_: bytes) -> bytes:
    raise DCCUnreachable("box", "the connection breaks", may_have_arrived=True)


def refused_as_wrong(_: bytes) -> bytes:
    raise ServiceRefused("it", response_code="HTTP 400", reason="no", mend="see")


def test_answer_to_the_dccs_command_is_taken_under_its_counter(dcc: Scripted) -> None:
    dcc.later = [lambda request: dcc.response(request, body=answer_of_device(7))]
    assert dcc.conversation.exchange(QUESTION, None).payload == ANSWER
    assert dcc.outcome() == (
        ExchangeOutcome.VERIFIED,
        f"its MAC is for {BROKER}, whose key is not here",
    )


@pytest.mark.parametrize("counter", [7, 6])
def test_answer_that_was_given_before_is_a_replay(counter: int, dcc: Scripted) -> None:
    dcc.postings = [dcc.acknowledging(), dcc.acknowledging()]
    dcc.later = [lambda request: dcc.response(request, body=answer_of_device(7))]
    dcc.conversation.exchange(QUESTION, None)
    dcc.later = [lambda request: dcc.response(request, body=answer_of_device(counter))]
    with pytest.raises(CounterReplayed, match="not above counter 7"):
        dcc.conversation.exchange(QUESTION, None)
    assert dcc.outcome()[0] is ExchangeOutcome.REJECTED


def test_answer_of_another_device_is_an_incident(dcc: Scripted) -> None:
    dcc.later = [lambda request: dcc.response(request, body=answer_of_device(7, OTHER))]
    with pytest.raises(Exception, match="does not answer"):
        dcc.conversation.exchange(QUESTION, None)
    assert dcc.outcome()[0] is ExchangeOutcome.REJECTED


@pytest.mark.parametrize(
    ("later", "detail"),
    [
        (lambda dcc, request: dcc.response(request, "E21"), "E21"),
        (lambda dcc, request: dcc.alert(request), "CommandFailure"),
        (
            lambda dcc, request: dcc.response(request, body=ResponseMessage(gbcs_payload=b"\x00")),
            "no GBCS message",
        ),
        (lambda dcc, request: dcc.response(request), "none within 5 s"),
    ],
)
def test_what_brings_no_answer_counts_as_none(later: Any, detail: str, dcc: Scripted) -> None:
    dcc.later = [lambda request: later(dcc, request)]
    with pytest.raises(NoResponse):
        dcc.conversation.exchange(QUESTION, None)
    outcome, said = dcc.outcome()
    assert outcome is ExchangeOutcome.NO_RESPONSE
    assert detail in said


def test_refusal_that_comes_later_leaves_open_what_the_device_did(dcc: Scripted) -> None:
    dcc.later = [lambda request: dcc.response(request, "E4")]
    with pytest.raises(ServiceRefused, match="E4"):
        dcc.conversation.exchange(QUESTION, None)
    assert dcc.outcome()[0] is ExchangeOutcome.INTERRUPTED


@pytest.mark.parametrize(
    ("code", "error", "outcome"),
    [
        ("E20", NoResponse, ExchangeOutcome.NO_RESPONSE),
        ("E2", ServiceRefused, ExchangeOutcome.NOT_SENT),
    ],
)
def test_refusal_at_once_says_whether_anything_was_sent(
    code: str, error: type[Exception], outcome: ExchangeOutcome, dcc: Scripted
) -> None:
    dcc.postings = [dcc.acknowledging(code)]
    with pytest.raises(error):
        dcc.conversation.exchange(QUESTION, None)
    assert dcc.outcome()[0] is outcome


@pytest.mark.parametrize("second", [lost, refused_as_wrong, None])
def test_answer_is_awaited_whatever_becomes_of_the_second_posting(
    second: Callable[[bytes], bytes] | None, dcc: Scripted
) -> None:
    dcc.postings = [lost, second or dcc.acknowledging("E49")]
    post, request_ids = dcc.post, []

    def posted(service: WebService, document: bytes, what: str) -> bytes:
        request_id = parse_request(document, "it").header.request_id
        request_ids.append(request_id)
        if len(request_ids) == 2:
            dcc.inbox.take(dcc.response(request_id, body=answer_of_device(7)))
        return post(service, document, what)

    dcc.post = posted  # type: ignore[method-assign]
    assert dcc.conversation.exchange(QUESTION, None).payload == ANSWER
    (first, second_posted) = dcc.posted
    assert first == second_posted


def test_run_that_is_stopped_while_it_waits_leaves_the_exchange_open(dcc: Scripted) -> None:
    asked = iter(range(10))

    dcc.should_stop = lambda: "somebody" if next(asked) else None
    with pytest.raises(RunStopped):
        dcc.conversation.exchange(QUESTION, None)
    assert dcc.outcome()[0] is ExchangeOutcome.INTERRUPTED


def other_device(message: Message) -> bytes:
    header = replace(message.header, recipient=OTHER)
    payload = KeyUsageCommand(key_usage=KeyUsage.DIGITAL_SIGNATURE)
    return compose(header, payload).octets


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_device, f"for {OTHER}"),
        (lambda message: message.octets[:-1], "no GBCS message"),
        (lambda _: b"", "there is none"),
        (
            lambda message: compose_protected(message, signature=bytes(64), mac=None).octets,
            "protected already",
        ),
    ],
)
def test_pre_command_that_is_not_ours_is_refused_with_what_differs(
    change: Callable[[Message], bytes], reason: str, dcc: Scripted
) -> None:
    dcc.postings = [dcc.transforming(change)]
    with pytest.raises(DCCNotBelieved, match=reason):
        dcc.conversation.exchange(CRITICAL, None)
    assert dcc.outcome()[0] is ExchangeOutcome.REJECTED
    assert [service for service, _ in dcc.posted] == [WebService.TRANSFORM]


def test_answer_to_another_request_is_not_believed(dcc: Scripted) -> None:
    foreign = RequestIdentifier(SUPPLIER, DEVICE, 1)
    dcc.postings = [lambda _: dcc.response(foreign)]
    with pytest.raises(DCCNotBelieved, match="to another request"):
        dcc.conversation.exchange(CRITICAL, None)
    assert dcc.outcome()[0] is ExchangeOutcome.NOT_SENT


def test_transform_that_never_answers_sends_nothing(dcc: Scripted) -> None:
    dcc.postings = [lost, lost]
    with pytest.raises(DCCUnreachable):
        dcc.conversation.exchange(CRITICAL, None)
    assert dcc.outcome()[0] is ExchangeOutcome.NOT_SENT
    assert len(dcc.posted) == 2
