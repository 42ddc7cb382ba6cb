from __future__ import annotations

import http.client
import io
import threading
import zipfile
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from authorities import DEVICE
from dccstub import Fault, Running, running
from dccstub.http_listeners import BODY_MAXIMUM_OCTETS, Listener
from dccstub.key_folder import BUNDLE_PATH
from dccstub.smki_repository import SEARCH_PATH
from dccstub.web_services import HTTPReply, WebService
from duis.alert_messages import DCCAlertMessage, DeviceStatusChangeEvent, DeviceSuspended
from duis.duis_enumerations import SMIStatus
from duis.request_documents import RetrieveDeviceSecurityCredentialsKRP
from duis.smki_documents import (
    CertificateSearchRequest,
    CertificateSearchResponse,
    build_smki,
    parse_smki,
)
from firmware_stubs.dccstub.bench import StandInBench
from gbcs.roles import RemotePartyRole
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=(RemotePartyRole.SUPPLIER,))
XML = {"Content-Type": "application/xml"}


class Receiver:
    """A user's receive address, which takes documents after refusing some."""

    def __init__(self, refusals: int = 0) -> None:
        self.documents: list[bytes] = []
        self.asked: list[tuple[str, str, str]] = []
        self._refusals = refusals
        self._came = threading.Condition()
        self.listener = Listener("127.0.0.1", 0, self._answer)

    def _answer(self, method: str, target: str, content_type: str, body: bytes) -> HTTPReply:
        with self._came:
            self.asked.append((method, target, content_type))
            if self._refusals:
                self._refusals -= 1
                return HTTPReply(503)
            self.documents.append(body)
            self._came.notify_all()
        return HTTPReply(204)

    def wait(self, count: int) -> list[bytes]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.documents) >= count, HANG_S)
            return list(self.documents)


@contextmanager
def receiving(refusals: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(refusals)
    receiver.listener.start()
    try:
        yield receiver
    finally:
        receiver.listener.stop()


@contextmanager
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=HANG_S) as made:
        yield made


def send(stand_in: Running, bench: StandInBench) -> httpx.Response:
    octets = bench.signed(READ, bench.next_id())
    url = stand_in.duis_url + WebService.SEND_COMMAND.value
    with client() as web:
        return web.post(url, content=octets, headers=XML)


def test_request_is_acknowledged_and_its_response_posted_to_the_default_path() -> None:
    bench = StandInBench()
    with (
        receiving() as receiver,
        running(bench.boxed, receive_address=receiver.listener.url) as stand_in,
    ):
        reply = send(stand_in, bench)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/xml")
        acknowledged = bench.read(reply.content)
        assert acknowledged.header.response_code == "I99"
        (document,) = receiver.wait(1)
        assert stand_in.wait_delivered(HANG_S)
    response = bench.read(document)
    assert response.header.request_id == acknowledged.header.request_id
    assert receiver.asked == [("POST", "/smartdcc/duis", "application/xml")]


def test_document_that_is_not_taken_comes_again() -> None:
    bench = StandInBench(options={"retry_interval": timedelta(0)})
    with (
        receiving(refusals=2) as receiver,
        running(bench.boxed, receive_address=receiver.listener.url + "/own/path") as stand_in,
    ):
        send(stand_in, bench)
        receiver.wait(1)
        assert stand_in.wait_delivered(HANG_S)
    assert [target for _, target, _ in receiver.asked] == ["/own/path"] * 3


def test_responses_wait_until_there_is_a_receive_address_that_listens() -> None:
    bench = StandInBench(options={"retry_interval": timedelta(0), "attempts_maximum": 10_000})
    with running(bench.boxed) as stand_in:
        send(stand_in, bench)
        unused = Listener("127.0.0.1", 0, lambda *_: HTTPReply(204))
        unused.start()
        unused.stop()
        stand_in.set_receive_address(unused.url)
        with receiving() as receiver:
            stand_in.set_receive_address(receiver.listener.url)
            receiver.wait(1)


def test_status_set_by_the_dcc_is_told_by_an_alert() -> None:
    bench = StandInBench()
    with (
        receiving() as receiver,
        running(bench.boxed, receive_address=receiver.listener.url) as stand_in,
    ):
        stand_in.set_status(DEVICE, SMIStatus.SUSPENDED)
        stand_in.set_status(DEVICE, SMIStatus.COMMISSIONED)
        documents = receiver.wait(2)
    changes = []
    for document in documents:
        body = bench.read(document).body
        assert isinstance(body, DCCAlertMessage)
        assert isinstance(body.dcc_alert, DeviceStatusChangeEvent)
        changes.append(type(body.dcc_alert.device_status_change))
    assert changes[0] is DeviceSuspended
    assert len(set(changes)) == 2


def test_lost_reply_closes_the_connection_after_the_request_was_taken() -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.LOST_REPLY)
    with (
        receiving() as receiver,
        running(bench.boxed, receive_address=receiver.listener.url) as stand_in,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            send(stand_in, bench)
        receiver.wait(1)


def test_slow_reply_ends_when_the_stand_in_stops() -> None:
    bench = StandInBench()
    bench.faults.delay_s = 3600.0
    bench.faults.inject(Fault.SLOW_REPLY)
    with running(bench.boxed) as stand_in:
        url = stand_in.duis_url + WebService.SEND_COMMAND.value
        octets = bench.signed(READ, bench.next_id())
        timeout = httpx.Timeout(HANG_S, read=0.2)
        with (
            httpx.Client(trust_env=False, timeout=timeout) as web,
            pytest.raises(httpx.ReadTimeout),
        ):
            web.post(url, content=octets, headers=XML)


def test_http_error_is_answered_once_and_nothing_done() -> None:
    bench = StandInBench()
    bench.faults.inject(Fault.HTTP_ERROR)
    with running(bench.boxed) as stand_in:
        assert [send(stand_in, bench).status_code for _ in range(2)] == [500, 200]


def test_port_that_is_taken_leaves_none_of_the_others_open() -> None:
    bench = StandInBench()
    with receiving() as receiver:
        taken = int(receiver.listener.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Running(bench.boxed, bundle_port=taken)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/v1/serviceX", XML, 404),
        ("GET", WebService.TRANSFORM.value, XML, 405),
        ("POST", WebService.TRANSFORM.value, {"Content-Type": "text/plain"}, 415),
        ("POST", WebService.TRANSFORM.value, XML, 400),
        ("PUT", WebService.TRANSFORM.value, XML, 501),
    ],
)
def test_what_is_no_request_gets_its_http_status(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    bench = StandInBench()
    with running(bench.boxed) as stand_in, client() as web:
        answer = web.request(method, stand_in.duis_url + path, content=b"<x/>", headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("length", "status"),
    [(str(BODY_MAXIMUM_OCTETS + 1), 413), ("-1", 400), ("many", 400)],
)
def test_body_without_an_acceptable_length_is_not_read(length: str, status: int) -> None:
    bench = StandInBench()
    with running(bench.boxed) as stand_in:
        connection = http.client.HTTPConnection(stand_in.duis_url[7:], timeout=HANG_S)
        with closing(connection):
            connection.putrequest("POST", WebService.TRANSFORM.value)
            connection.putheader("Content-Length", length)
            connection.endheaders()
            assert connection.getresponse().status == status


def test_smki_listens_on_a_port_of_its_own() -> None:
    bench = StandInBench(options={"api_key": "right"})
    asked = build_smki(CertificateSearchRequest(certificate_subject_alt_name=DEVICE))
    with running(bench.boxed) as stand_in, client() as web:
        url = stand_in.smki_url + SEARCH_PATH
        found = web.post(url, params={"apikey": "right"}, content=asked, headers=XML)
        assert (found.status_code, found.headers["content-type"]) == (200, "application/xml")
        assert len(parse_smki(found.content, "answer", CertificateSearchResponse).results) == 2
        for params in ({}, {"apikey": "wrong"}):
            assert web.post(url, params=params, content=asked, headers=XML).status_code == 403
        assert web.get(url).status_code == 405
        plain = {"Content-Type": "text/plain"}
        assert web.post(url, content=asked, headers=plain).status_code == 415
        assert web.post(stand_in.smki_url + "/else", headers=XML).status_code == 404


def test_bundle_listens_on_a_port_of_its_own() -> None:
    bench = StandInBench()
    with running(bench.boxed) as stand_in, client() as web:
        found = web.get(stand_in.bundle_url + BUNDLE_PATH)
        assert (found.status_code, found.headers["content-type"]) == (200, "application/zip")
        assert web.get(stand_in.bundle_url + "/else").status_code == 404
        assert web.post(stand_in.bundle_url + BUNDLE_PATH).status_code == 405
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        assert archive.testzip() is None


def leave_after_a_failed_poll(bench: StandInBench) -> None:
    def fail() -> None:
        raise RuntimeError("no memory")

    with running(bench.boxed) as stand_in:
        bench.boxed.poll = fail  # type: ignore[method-assign] # the fault is what is tested
        stand_in._thread.join(HANG_S)
        assert not stand_in._thread.is_alive()


def leave_after_a_failed_request(bench: StandInBench) -> None:
    def fail(service: WebService, octets: bytes) -> HTTPReply:
        raise RuntimeError(f"no memory for {len(octets)} octets to {service.value}")

    with running(bench.boxed) as stand_in:
        bench.boxed.receive = fail  # type: ignore[method-assign] # as above
        with pytest.raises(httpx.RemoteProtocolError):
            send(stand_in, bench)


@pytest.mark.parametrize("leave", [leave_after_a_failed_poll, leave_after_a_failed_request])
def test_failure_of_the_stand_in_itself_is_raised_where_it_is_left(
    leave: Callable[[StandInBench], None],
) -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        leave(StandInBench())
