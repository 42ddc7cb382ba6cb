from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from authorities import DEVICE, DURING, SUPPLIER, Authorities, new_key
from duis import xml_signatures
from duis.alert_messages import (
    CommandFailure,
    DCCAlertMessage,
    DeviceAlertMessage,
    DeviceStatusChangeEvent,
    DeviceSuspended,
)
from duis.document_errors import DocumentInvalid
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.response_documents import Response, ResponseMessage, build_response
from gbcs.message import (
    CRAFlag,
    Header,
    OtherInformation,
    compose_pre_command,
    compose_protected,
)
from gbcs.protocol_errors import (
    CertificateRejected,
    DecodeError,
    ProtectionMissing,
    SignatureMismatch,
    WrongEntity,
)
from keyrig.domain.states import ServiceDocumentKind
from keyrig.keys.pem_keys import PEMSigner
from keyrig.ledger.ledger import Ledger
from keyrig.transports.dcc.dcc_inbox import Inbox
from keyrig.transports.dcc.duis_signing import ResponseVerifier, Unverified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "1" * 32
COUNTER = 1000
ALERT = compose_protected(
    compose_pre_command(
        Header(
            cra_flag=CRAFlag.ALERT,
            originator_counter=1,
            originator=DEVICE,
            recipient=SUPPLIER,
            other_information=OtherInformation(0x1000),
        ),
        b"\x00",
    ),
    signature=bytes(64),
    mac=None,
).octets


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        opened.runs.start_run(RUN, "bench", DURING)
        opened.exchanges.record_command(
            b"",
            run_id=RUN,
            attempt_id=None,
            device=DEVICE,
            originator=SUPPLIER,
            counter=COUNTER,
            message_code=8,
            now=DURING,
        )
        yield opened


class DCC:
    """Makes and signs documents."""

    def __init__(self, authority: str = "T") -> None:
        key = new_key()
        self.signer = PEMSigner(key, "the DCC")
        self.certificate = Authorities(authority).organisation(public_key=key.public_key())

    def document(self, body: Any = None, *, counter: int = COUNTER, signed: bool = True) -> bytes:
        is_alert = isinstance(body, (DeviceAlertMessage, DCCAlertMessage))
        request_id = RequestIdentifier(SUPPLIER, DEVICE, counter)
        response = Response(
            header=ResponseHeader(
                request_id=None if is_alert else request_id,
                response_id=None if is_alert else request_id.answered(),
                response_code="I0",
                response_date_time=DURING,
            ),
            body=body,
            service_reference_variant=None if is_alert else "6.24.1",
        )
        document = build_response(response)
        return xml_signatures.sign(document, self.signer, self.certificate) if signed else document


@pytest.fixture
def dcc() -> DCC:
    return DCC()


def inbox_of(ledger: Ledger, dcc: DCC, unverified: Unverified = Unverified.REFUSE) -> Inbox:
    verifier = ResponseVerifier(certificates=(dcc.certificate,), unverified=unverified)
    inbox = Inbox(ledger, verifier, lambda: DURING)
    inbox.run_id = RUN
    return inbox


def test_response_is_kept_before_it_is_told_and_wakes_who_waits(ledger: Ledger, dcc: DCC) -> None:
    inbox = inbox_of(ledger, dcc)
    inbox.expect(f"{SUPPLIER}:{DEVICE}:{COUNTER}")
    body = ResponseMessage(gbcs_payload=b"\xdf")
    document = dcc.document(body)
    sender = threading.Thread(target=inbox.take, args=(document,))
    sender.start()
    arrived = inbox.response(10)
    sender.join()
    assert arrived is not None
    assert arrived.response.body == body
    (kept,) = ledger.service_documents.of_run(RUN)
    assert (kept.id, kept.document, kept.exchange_id) == (arrived.document_id, document, 1)
    assert (kept.kind, kept.device) == (ServiceDocumentKind.RESPONSE, DEVICE)
    assert kept.signer == str(dcc.certificate)
    assert kept.taken_at is None
    assert inbox.response(0) is None


def test_same_document_again_changes_nothing_and_wakes_nobody(ledger: Ledger, dcc: DCC) -> None:
    inbox = inbox_of(ledger, dcc)
    inbox.expect(f"{SUPPLIER}:{DEVICE}:{COUNTER}")
    document = dcc.document(ResponseMessage(gbcs_payload=b"\xdf"))
    for _ in range(3):
        inbox.take(document)
    assert inbox.response(0) is not None
    assert inbox.response(0) is None
    assert len(ledger.service_documents.of_run(RUN)) == 1


def test_response_to_another_request_wakes_nobody_and_waits(ledger: Ledger, dcc: DCC) -> None:
    inbox = inbox_of(ledger, dcc)
    inbox.expect(f"{SUPPLIER}:{DEVICE}:{COUNTER}")
    inbox.take(dcc.document(ResponseMessage(gbcs_payload=b"\xdf"), counter=COUNTER + 1))
    assert inbox.response(0) is None
    (kept,) = ledger.service_documents.waiting(DEVICE, [ServiceDocumentKind.RESPONSE])
    assert kept.exchange_id is None


def test_counter_that_no_ledger_holds_is_no_trouble(ledger: Ledger, dcc: DCC) -> None:
    inbox_of(ledger, dcc).take(dcc.document(counter=2**64 - 1))
    assert len(ledger.service_documents.waiting(DEVICE, [ServiceDocumentKind.RESPONSE])) == 1


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (lambda dcc: dcc.document(signed=False), ProtectionMissing),
        (
            lambda dcc: dcc.document().replace(b">I0<", b">E5<"),
            SignatureMismatch,
        ),
        (lambda _: DCC("F").document(), CertificateRejected),
        (lambda dcc: dcc.document()[:-20], DocumentInvalid),
        (
            lambda _: b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
            DocumentInvalid,
        ),
        (lambda _: b"<a/>" * 2, DocumentInvalid),
        (lambda _: b"<" + b"a><" * 500, DocumentInvalid),
        (lambda _: b"", DocumentInvalid),
    ],
)
def test_what_is_not_believed_is_refused_kept_nowhere_and_told(
    changed: Any, error: type[Exception], ledger: Ledger, dcc: DCC
) -> None:
    inbox = inbox_of(ledger, dcc)
    with pytest.raises(error):
        inbox.take(changed(dcc))
    assert ledger.service_documents.of_run(RUN) == ()
    assert len(inbox.refusals()) == 1
    assert inbox.refusals() == ()


def test_unsigned_answer_to_a_request_of_ours_can_be_accepted_and_is_kept_as_such(
    ledger: Ledger, dcc: DCC
) -> None:
    inbox = inbox_of(ledger, dcc, Unverified.ACCEPT)
    inbox.take(dcc.document(signed=False))
    (kept,) = ledger.service_documents.of_run(RUN)
    assert kept.signer == ""


def test_what_nobody_signed_and_nobody_asked_for_never_fills_the_ledger(
    ledger: Ledger, dcc: DCC
) -> None:
    inbox = inbox_of(ledger, dcc, Unverified.ACCEPT)
    with pytest.raises(WrongEntity, match="answers no request of this agent"):
        inbox.take(dcc.document(counter=7, signed=False))
    assert ledger.service_documents.of_run(RUN) == ()


@pytest.mark.parametrize(
    ("alert", "match"),
    [
        (
            DCCAlertMessage(
                dcc_alert_code="N28",
                dcc_alert=DeviceStatusChangeEvent(
                    device_id=DEVICE, device_status_change=DeviceSuspended()
                ),
            ),
            "an alert of the DCC that is not signed",
        ),
        (DeviceAlertMessage(alert_code=0x8F66, gbcs_payload=ALERT), "is not known"),
    ],
)
def test_unsigned_alerts_that_nothing_can_rest_on_are_refused(
    alert: Any, match: str, ledger: Ledger, dcc: DCC
) -> None:
    inbox = inbox_of(ledger, dcc, Unverified.ACCEPT)
    with pytest.raises(WrongEntity, match=match):
        inbox.take(dcc.document(alert, signed=False))
    inbox.take(dcc.document(alert))
    kinds = [ServiceDocumentKind.DCC_ALERT, ServiceDocumentKind.DEVICE_ALERT]
    assert len(ledger.service_documents.waiting(DEVICE, kinds)) == 1


def test_alert_without_a_message_of_a_device_is_refused(ledger: Ledger, dcc: DCC) -> None:
    alert = DeviceAlertMessage(alert_code=0x8F66, gbcs_payload=b"nonsense")
    with pytest.raises(DecodeError, match="no GBCS message"):
        inbox_of(ledger, dcc).take(dcc.document(alert))


def test_failure_that_the_dcc_tells_of_by_an_alert_wakes_who_waits(
    ledger: Ledger, dcc: DCC
) -> None:
    inbox = inbox_of(ledger, dcc)
    request_id = RequestIdentifier(SUPPLIER, DEVICE, COUNTER)
    inbox.expect(str(request_id))
    failure = CommandFailure(command_request_id=request_id, device_id=DEVICE)
    inbox.take(dcc.document(DCCAlertMessage(dcc_alert_code="N12", dcc_alert=failure)))
    arrived = inbox.response(0)
    assert arrived is not None
    (kept,) = ledger.service_documents.of_run(RUN)
    assert (kept.kind, kept.exchange_id) == (ServiceDocumentKind.DCC_ALERT, 1)


def test_reasons_of_a_flood_are_bounded(ledger: Ledger, dcc: DCC) -> None:
    inbox = inbox_of(ledger, dcc)
    for _ in range(100):
        with pytest.raises(DocumentInvalid):
            inbox.take(b"<")
    assert 0 < len(inbox.refusals()) < 100
