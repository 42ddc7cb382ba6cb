from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.protocol_errors import SignatureMismatch
from keyrig.base.errors import LedgerLocked, ReceiverUnusable
from keyrig.transports.dcc import dcc_receiver as receiving
from keyrig.transports.dcc.dcc_receiver import DOCUMENT_MAXIMUM_OCTETS, Receiver
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/smartdcc/duis"
XML = {"Content-Type": "application/xml"}


class Taken:
    """Takes documents, or raises what it is told to."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.error: Exception | None = None

    def __call__(self, document: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.documents.append(document)


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def receiver(taken: Taken) -> Iterator[Receiver]:
    with Receiver("127.0.0.1:0", PATH, taken) as started:
        yield started


def ask(
    receiver: Receiver,
    body: Any = b"<a/>",
    *,
    method: str = "POST",
    path: str = PATH,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    host, port = receiver.address.split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=HANG_S)) as connection:
        connection.request(method, path, body, XML if headers is None else headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_document_is_taken_and_answered_without_content(receiver: Receiver, taken: Taken) -> None:
    assert ask(receiver, b"<a/>") == (204, b"")
    assert ask(receiver, b"<b/>", headers={"Content-Type": "Application/XML; charset=utf-8"}) == (
        204,
        b"",
    )
    assert taken.documents == [b"<a/>", b"<b/>"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"path": "/"}, 404),
        ({"path": PATH + "/more"}, 404),
        ({"headers": {}}, 415),
        ({"headers": {"Content-Type": "text/xml"}}, 415),
        ({"headers": XML | {"Content-Length": "99999999999999999999"}, "body": b""}, 413),
        ({"headers": XML | {"Content-Length": "-1"}, "body": b""}, 400),
        ({"body": bytes(DOCUMENT_MAXIMUM_OCTETS + 1)}, 413),
        ({"body": iter([bytes(DOCUMENT_MAXIMUM_OCTETS), b"1"])}, 413),
    ],
)
def test_everything_else_is_refused(
    changes: dict[str, Any], status: int, receiver: Receiver, taken: Taken
) -> None:
    assert ask(receiver, **changes)[0] == status
    assert taken.documents == []
    assert ask(receiver)[0] == 204


def test_document_that_does_not_verify_is_refused_with_the_reason(
    receiver: Receiver, taken: Taken
) -> None:
    taken.error = SignatureMismatch("nobody\nknown signed it")
    status, reason = ask(receiver)
    assert status == 400
    assert b"signed it" in reason
    assert b"\n" not in reason


def test_document_that_cannot_be_kept_is_to_be_sent_again(receiver: Receiver, taken: Taken) -> None:
    taken.error = LedgerLocked("ledger.sqlite")
    assert ask(receiver)[0] == 503
    taken.error = None
    assert ask(receiver)[0] == 204


def test_fault_of_ours_ends_neither_receiver_nor_run(receiver: Receiver, taken: Taken) -> None:
    taken.error = ZeroDivisionError()
    assert ask(receiver)[0] == 500
    taken.error = None
    assert ask(receiver)[0] == 204


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"POST ",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/xml\r\n"
        b"Content-Length: 10\r\n\r\n<a",
        b"G" * 70_000,
    ],
)
def test_sender_that_stops_halfway_keeps_nobody_else_out(
    octets: bytes, receiver: Receiver, taken: Taken
) -> None:
    host, port = receiver.address.split(":")
    with closing(socket.create_connection((host, int(port)), HANG_S)) as stuck:
        try:
            stuck.sendall(octets)
        except OSError:
            assert octets.startswith(b"G")
        assert ask(receiver)[0] == 204
    assert taken.documents == [b"<a/>"]


def test_connections_without_a_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "REQUEST_TIMEOUT_S", 0.1)
    with Receiver("127.0.0.1:0", PATH, Taken()) as receiver:
        host, port = receiver.address.split(":")
        with closing(socket.create_connection((host, int(port)), HANG_S)) as idle:
            idle.settimeout(HANG_S)
            assert idle.recv(1) == b""


def test_document_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "REQUEST_TIMEOUT_S", 0.1)
    with Receiver("127.0.0.1:0", PATH, Taken()) as receiver:
        host, port = receiver.address.split(":")
        with closing(socket.create_connection((host, int(port)), HANG_S)) as slow:
            slow.sendall(
                b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n"
                b"Content-Type: application/xml\r\nContent-Length: 100\r\n\r\n<a"
            )
            slow.settimeout(HANG_S)
            assert b" 408 " in slow.recv(100)


def test_many_documents_at_once_are_all_taken(receiver: Receiver, taken: Taken) -> None:
    threads = [threading.Thread(target=ask, args=(receiver, b"<%d/>" % i)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken.documents)) == 40


def test_port_that_is_taken_says_what_to_do(receiver: Receiver) -> None:
    with pytest.raises(ReceiverUnusable, match=r"another program has it; correct dcc_boxed\.rec"):
        Receiver(receiver.address, PATH, Taken()).start()


def test_address_that_is_not_this_machines_says_so() -> None:
    with pytest.raises(ReceiverUnusable, match=r"192\.0\.2\.1:0"):
        Receiver("192.0.2.1:0", PATH, Taken()).start()


def test_unix_socket_is_for_its_owner_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "receive"
    path.touch()
    path.unlink()
    with Receiver(f"unix:{path}", PATH, Taken()) as receiver:
        assert receiver.address == f"unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ReceiverUnusable, match="another program"):
            Receiver(f"unix:{path}", PATH, Taken()).start()
    assert not path.exists()


def test_port_is_free_again_once_it_stops(taken: Taken) -> None:
    with Receiver("127.0.0.1:0", PATH, taken) as receiver:
        address = receiver.address
    with Receiver(address, PATH, taken) as again:
        assert ask(again)[0] == 204
