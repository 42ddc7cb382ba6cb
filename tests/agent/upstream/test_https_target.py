from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cloudevents.core.formats.json import JSONFormat

from agent.upstream.certificates import make_tls_files
from agent.upstream.outboxes import NOON, batch_of
from agent.upstream.servers import answer, web_server
from keyrig.base.clock import monotonic
from keyrig.config.settings import HTTPSUpstream
from keyrig.upstream.https_target import REASON_CHARACTERS, HTTPSTarget
from keyrig.upstream.upstream_target import Answer, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.upstream.certificates import TLSFiles
    from agent.upstream.servers import Request, WebServer
    from keyrig.upstream.cloud_events import Outgoing

TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as serving:
        yield serving


@pytest.fixture
def batch() -> list[Outgoing]:
    return batch_of(1, 2, 1)


@contextmanager
def target(url: str, home: Path, **settings: Any) -> Iterator[HTTPSTarget]:
    made = HTTPSTarget(
        HTTPSUpstream(kind="https", url=url, **settings),
        home,
        clock=lambda: NOON,
        monotonic=monotonic,
    )
    try:
        yield made
    finally:
        made.close()


def test_batch_is_posted_and_acknowledged_over_one_connection(
    server: WebServer, home: Path, batch: list[Outgoing]
) -> None:
    server.answers += [answer("202 Accepted", body=b"thank you"), answer("200 OK")]
    with target(server.url, home) as made:
        assert made.deliver(batch, 60) == Answer(accepted=frozenset({1, 2, 3}))
        made.deliver(batch[:1], 60)
        made.deliver(batch[1:], 60)
    assert server.connections == 1
    request = server.requests[0]
    assert request.path == "/events?tenant=1"
    assert request.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert request.headers["user-agent"].startswith("keyrig/")
    assert "authorization" not in request.headers
    read = [JSONFormat().read(None, each.octets) for each in batch]
    assert [event.get_id() for event in read] == request.ids


def test_server_and_client_know_each_other_by_certificates(
    home: Path, batch: list[Outgoing], files: TLSFiles
) -> None:
    client = {"client_certificate": str(files.client), "client_key": str(files.client_key)}
    with web_server(files, demands_client=True) as server:
        with target(server.url, home, ca_file=str(files.ca), **client) as made:
            assert made.deliver(batch, 60).accepted == {1, 2, 3}
        with target(server.url, home, ca_file=str(files.ca)) as made:
            assert made.deliver(batch, 60).trouble is Trouble.AGAIN
    assert len(server.requests) == 1


def test_server_that_nobody_vouches_for_is_told_nothing(
    home: Path, batch: list[Outgoing], files: TLSFiles, tmp_path: Path
) -> None:
    other = make_tls_files(tmp_path)
    with web_server(files) as server, target(server.url, home, ca_file=str(other.ca)) as made:
        given = made.deliver(batch, 60)
    assert given.trouble is Trouble.AGAIN
    assert "certificate verify failed" in given.reason
    assert server.requests == []


@pytest.mark.parametrize("missing", ["ca_file", "client_certificate"])
def test_missing_or_wrong_certificate_file_needs_a_person(
    home: Path, batch: list[Outgoing], missing: str
) -> None:
    (home / "wrong.pem").write_text("no certificate")
    for name, reason in (("none.pem", "No such file"), ("wrong.pem", "not usable PEM")):
        more = {missing: name}
        if missing == "client_certificate":
            more["client_key"] = name
        with target("https://127.0.0.1:1/", home, **more) as made:
            given = made.deliver(batch, 60)
        assert given.trouble is Trouble.STOPPED
        assert reason in given.reason


def test_token_is_shown_and_read_anew_once_it_is_refused(
    server: WebServer, home: Path, batch: list[Outgoing]
) -> None:
    path = home / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)

    def replace_token(_: Request) -> bytes:
        path.write_text("new-token")
        return answer("401 Unauthorized", body=b"expired")

    server.answers += [answer("204 No Content"), replace_token]
    with target(server.url, home, bearer_token={"file": "token"}) as made:
        assert made.deliver(batch[:1], 60).trouble is None
        assert made.deliver(batch[1:], 60).accepted == {2, 3}
        assert TOKEN not in repr(made)
    shown = [request.headers["authorization"] for request in server.requests]
    assert shown == [f"Bearer {TOKEN}"] * 2 + ["Bearer new-token"]


@pytest.mark.parametrize(
    ("secret", "reason"), [(None, "No such file"), ("a\nb", "no bearer token"), ("", "is empty")]
)
def test_token_that_is_not_to_be_had_needs_a_person(
    server: WebServer, home: Path, batch: list[Outgoing], secret: str | None, reason: str
) -> None:
    if secret is not None:
        (home / "token").write_text(secret)
        (home / "token").chmod(0o600)
    with target(server.url, home, bearer_token={"file": "token"}) as made:
        given = made.deliver(batch, 60)
    assert given.trouble is Trouble.STOPPED
    assert reason in given.reason
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        *[(status, Trouble.AGAIN) for status in (408, 425, 429, 500, 501, 502, 503, 504, 599)],
        *[(status, Trouble.STOPPED) for status in (301, 302, 304, 307, 308)],
        *[(status, Trouble.STOPPED) for status in (401, 403, 404, 405, 407, 410, 415, 426)],
        *[(status, Trouble.REFUSED_WHOLE) for status in (400, 402, 409, 422, 451, 499)],
        (413, Trouble.TOO_LARGE),
    ],
)
def test_status_says_whose_fault_it_is(
    server: WebServer, home: Path, batch: list[Outgoing], status: int, trouble: Trouble
) -> None:
    server.answers.append(
        answer(f"{status} Because", "Location: /elsewhere", "Retry-After: 7", body=b"why\nso")
    )
    with target(server.url, home) as made:
        given = made.deliver(batch, 60)
    assert (given.trouble, given.accepted) == (trouble, frozenset())
    assert given.reason.startswith(f"{status} Because")
    assert given.retry_after_s == (7 if trouble is Trouble.AGAIN else None)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00\xff" * 50,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 503 Down\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 503 Down\r\n" + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 503 Down\r\n\x00bad: \x01\r\n\r\n",
        b"",
    ],
)
def test_answer_that_is_no_http_is_tried_again(
    home: Path, batch: list[Outgoing], octets: bytes
) -> None:
    def garbage(_: Request) -> Iterator[bytes]:
        yield octets
        raise ConnectionAbortedError

    with web_server() as server, target(server.url, home) as made:
        server.answers.append(garbage)
        given = made.deliver(batch, 60)
        assert given.trouble is Trouble.AGAIN
        assert given.reason.startswith("127.0.0.1: ")
        assert len(given.reason) < REASON_CHARACTERS + 50
        assert made.deliver(batch, 60).accepted == {1, 2, 3}


@pytest.mark.parametrize("status", ["200 OK", "400 Bad"])
def test_huge_body_is_read_to_a_bound_and_its_words_are_made_safe(
    server: WebServer, home: Path, batch: list[Outgoing], status: str
) -> None:
    body = b"\x1b[2Jbad \xff event\r\n" + b"A" * 5_000_000
    server.answers.append(answer(status, body=body))
    with target(server.url, home) as made:
        given = made.deliver(batch, 60)
        assert made.deliver(batch, 60).trouble is None
    if status == "200 OK":
        assert given == Answer(accepted=frozenset({1, 2, 3}))
    else:
        assert given.reason.startswith("400 Bad: \ufffd[2Jbad \ufffd event A")
        assert len(given.reason) < REASON_CHARACTERS + 20


def test_acknowledgement_counts_though_its_body_breaks_off(
    server: WebServer, home: Path, batch: list[Outgoing]
) -> None:
    server.answers.append(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")
    with target(server.url, home) as made:
        assert made.deliver(batch, 60).accepted == {1, 2, 3}


@pytest.mark.parametrize("piece", [b"a", b""])
def test_server_that_drips_octets_or_none_does_not_hold_a_request_beyond_its_time(
    home: Path, batch: list[Outgoing], piece: bytes
) -> None:
    over = threading.Event()

    def drip(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-Long: " if piece else b""
        while not over.wait(0.05):
            yield piece

    with web_server() as server, target(server.url, home, timeout_s=0.5) as made:
        server.answers.append(drip)
        given = made.deliver(batch, 60)
        over.set()
    assert given.trouble is Trouble.AGAIN
    assert "no answer in time" in given.reason


def test_nobody_there_is_tried_again(home: Path, batch: list[Outgoing]) -> None:
    with web_server() as server:
        url = server.url
    with target(url, home) as made:
        given = made.deliver(batch, 60)
    assert given.trouble is Trouble.AGAIN
    assert given.reason.startswith("127.0.0.1: ")


@pytest.mark.parametrize("host", ["a..b", "x" * 80 + ".example"])
def test_address_that_no_host_can_have_is_named(
    home: Path, batch: list[Outgoing], host: str
) -> None:
    with target(f"https://{host}/", home) as made:
        given = made.deliver(batch, 60)
    assert given.trouble is Trouble.STOPPED
    assert given.reason == f"https://{host}/: no address; correct it in the settings"
