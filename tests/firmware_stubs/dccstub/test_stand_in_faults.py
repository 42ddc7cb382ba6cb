from __future__ import annotations

from datetime import timedelta

import pytest

from dccstub import Fault, Faults
from dccstub.delivery_queue import Deliveries
from dccstub.stand_in_options import StandInOptions
from dccstub.web_services import WebService
from duis import xml_signatures
from duis.document_errors import DocumentInvalid
from duis.request_documents import RetrieveDeviceSecurityCredentialsKRP
from duis.response_documents import parse_response
from firmware_stubs.dccstub.bench import Role, StandInBench
from firmware_stubs.support import SettableClock
from gbcs import protection
from gbcs.message import Message
from gbcs.protocol_errors import MACMismatch, SignatureMismatch
from gbcs.roles import RemotePartyRole

READ = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=(RemotePartyRole.SUPPLIER,))


def faulty(fault: Fault) -> StandInBench:
    """A bench on which one response waits for its device, and a fault for the response."""
    bench = StandInBench()
    assert bench.code(READ) == "I99"
    bench.faults.inject(fault)
    return bench


def test_fault_happens_as_often_as_it_was_asked_for() -> None:
    faults = Faults()
    faults.inject(Fault.LOST_RESPONSE, 2)
    assert [faults.takes_effect(Fault.LOST_RESPONSE) for _ in range(3)] == [True, True, False]
    faults.inject(Fault.LOST_RESPONSE)
    faults.clear()
    assert not faults.takes_effect(Fault.LOST_RESPONSE)
    with pytest.raises(ValueError, match="at least once"):
        faults.inject(Fault.LOST_RESPONSE, 0)


def test_lost_response_never_comes() -> None:
    bench = faulty(Fault.LOST_RESPONSE)
    assert bench.delivered() == []
    bench.clock.now += timedelta(hours=1)
    assert bench.delivered() == []


def test_duplicate_response_comes_twice() -> None:
    first, second = faulty(Fault.DUPLICATE_RESPONSE).delivered()
    assert first == second


def test_late_response_comes_when_its_time_has() -> None:
    bench = faulty(Fault.LATE_RESPONSE)
    assert bench.delivered() == []
    bench.clock.now += timedelta(seconds=bench.faults.delay_s)
    assert len(bench.delivered()) == 1


def test_wrong_counter_is_signed_all_the_same() -> None:
    bench = StandInBench()
    request_id = bench.next_id()
    bench.code(READ, request_id)
    bench.faults.inject(Fault.WRONG_COUNTER)
    (response,) = bench.responses()
    assert response.header.request_id is not None
    assert response.header.request_id.counter == request_id.counter + 1


def test_wrong_signature_does_not_verify() -> None:
    bench = faulty(Fault.WRONG_SIGNATURE)
    (document,) = bench.delivered()
    parse_response(document, "response")
    with pytest.raises(SignatureMismatch):
        bench.read(document)


def test_altered_payload_is_signed_by_the_dsp_and_not_by_the_device() -> None:
    bench = faulty(Fault.ALTERED_PAYLOAD)
    (response,) = bench.responses()
    payload = response.body.gbcs_payload  # type: ignore[union-attr] # a response has one
    broker = bench.keys.key(bench.boxed.options.parties.access_control_broker, "ka")
    state = bench.device.memory.state
    secret = broker.agree(next(iter(state.key_pairs.values())).public_key)
    with pytest.raises(MACMismatch):
        protection.verify_mac(Message.parse(payload), secret)


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.ENTITY_BOMB])
def test_document_that_cannot_be_read(fault: Fault) -> None:
    bench = faulty(fault)
    (document,) = bench.delivered()
    with pytest.raises(DocumentInvalid):
        parse_response(document, "response")


def test_unanswered_command_does_not_reach_its_device() -> None:
    bench = faulty(Fault.UNANSWERED)
    before = bench.device.memory.state.counters
    assert bench.delivered() == []
    assert bench.device.memory.state.counters == before
    bench.clock.now += timedelta(seconds=5)
    (response,) = bench.responses()
    assert response.header.response_code == "E21"


def test_synchronous_replies_have_faults_too() -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.WRONG_SIGNATURE)
    certificate = bench.credential(Role.ACCESS_CONTROL_BROKER).certificate
    reply = bench.post(bench.signed(READ, bench.next_id()), WebService.SEND_COMMAND)
    with pytest.raises(SignatureMismatch):
        xml_signatures.verify(reply.body, xml_signatures.among([certificate]), "reply")


def test_document_is_given_up_after_its_last_attempt() -> None:
    clock = SettableClock()
    options = StandInOptions(attempts_maximum=2, retry_interval=timedelta(seconds=3))
    deliveries = Deliveries(options)
    deliveries.put(b"first", clock.now)
    deliveries.put(b"second", clock.now)
    first = deliveries.next_due(clock.now)
    assert first is not None
    assert first.octets == b"first"
    deliveries.done(first, taken=False, now=clock.now)
    second = deliveries.next_due(clock.now)
    assert second is not None
    assert second.octets == b"second"
    deliveries.done(second, taken=True, now=clock.now)
    assert deliveries.next_due(clock.now) is None
    clock.now += timedelta(seconds=3)
    again = deliveries.next_due(clock.now)
    assert again is first
    deliveries.done(first, taken=False, now=clock.now)
    assert (len(deliveries), deliveries.given_up, deliveries.taken) == (0, [first], [second])
