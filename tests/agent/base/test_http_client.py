from __future__ import annotations

import logging
import threading
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from agent.upstream.servers import web_server
from keyrig.base.errors import DCCUnreachable, SettingsError
from keyrig.base.http_client import (
    ANSWER_MAXIMUM_OCTETS,
    HTTPClient,
    _Deadline,
    retry_after_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.upstream.servers import Request

KEY = "smki-key-4f1c"
TOKEN = "proxy-token-77aa"


def client(
    handler: Callable[[httpx.Request], httpx.Response], clock: Callable[[], float] = lambda: 0.0
) -> HTTPClient:
    return HTTPClient(
        "http://box:8083",
        timeout_s=5,
        headers={"X-Proxy": SecretStr(TOKEN)},
        parameters={"apikey": SecretStr(KEY)},
        unanswered=DCCUnreachable,
        transport=httpx.MockTransport(handler),
        clock=clock,
    )


def test_secrets_reach_the_server_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers={"content-type": "Application/XML; a=b"}, content=b"x")

    with caplog.at_level(logging.DEBUG), client(handler) as http:
        answer = http.post("/services/certificatesearch", b"<a/>")
    (request,) = seen
    assert request.url.params["apikey"] == KEY
    assert request.headers["x-proxy"] == TOKEN
    assert request.headers["content-type"] == "application/xml"
    assert request.content == b"<a/>"
    assert (answer.status, answer.content_type, answer.octets) == (200, "application/xml", b"x")
    assert caplog.records
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert "certificatesearch" in logged
    assert KEY not in logged
    assert TOKEN not in logged


@pytest.mark.parametrize(
    ("error", "may_have_arrived"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.ReadTimeout, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
    ],
)
def test_error_says_whether_the_request_may_have_arrived_and_no_secret(
    error: type[httpx.TransportError], *, may_have_arrived: bool
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error(f"trouble with {request.url} {request.headers}", request=request)

    with client(handler) as http, pytest.raises(DCCUnreachable) as raised:
        http.post("/services/certificatesearch", b"")
    assert raised.value.may_have_arrived is may_have_arrived
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert "box:8083" in shown
    assert KEY not in shown
    assert TOKEN not in shown


def test_answer_without_end_is_given_up() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(64 * 1024)

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless())

    with (
        client(handler) as http,
        pytest.raises(DCCUnreachable, match=f"longer than {ANSWER_MAXIMUM_OCTETS}"),
    ):
        http.get("/")


def test_answer_that_trickles_is_given_up() -> None:
    def slow() -> Iterator[bytes]:
        while True:
            yield b"x"

    with (
        client(lambda _: httpx.Response(200, content=slow()), iter(range(100)).__next__) as http,
        pytest.raises(DCCUnreachable, match="takes longer than 5 s"),
    ):
        http.get("/")


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 2"])
def test_server_that_drips_its_answer_does_not_hold_a_request_beyond_its_time(
    beginning: bytes,
) -> None:
    over = threading.Event()

    def drip(_: Request) -> Iterator[bytes]:
        yield beginning
        while not over.wait(0.05):
            yield b"a"

    with web_server() as server:
        server.answers.append(drip)
        with (
            HTTPClient(server.url, timeout_s=0.5, unanswered=DCCUnreachable) as http,
            pytest.raises(DCCUnreachable, match="no answer in time") as raised,
        ):
            http.post("", b"[]")
        over.set()
    assert raised.value.may_have_arrived


def test_deadline_of_one_thread_is_not_that_of_another() -> None:
    seconds = [0.0]
    deadline = _Deadline(lambda: seconds[0])
    deadline.at = 5.0
    seen: list[float] = []

    def in_thread() -> None:
        deadline.at = 60.0
        seen.append(deadline.left_s(None))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [60.0]
    assert deadline.left_s(30.0) == 5.0
    seconds[0] = 9.0
    assert 0 < deadline.left_s(30.0) < 0.01


@pytest.mark.parametrize("host", ["a..b", "x" * 80 + ".example"])
def test_address_that_no_host_can_have_is_an_error_of_the_settings(host: str) -> None:
    with (
        HTTPClient(f"http://{host}", timeout_s=5) as http,
        pytest.raises(SettingsError, match="no address"),
    ):
        http.get("/")


def test_redirection_is_not_followed() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"location": "http://elsewhere/"})

    with client(handler) as http:
        assert http.get("/").status == 302
    assert seen == ["box"]


@pytest.mark.parametrize(
    ("value", "date", "wait_s"),
    [
        ("120", None, 120),
        (" 0 ", None, 0),
        ("Fri, 20 Nov 2026 12:01:00 GMT", None, 60),
        ("Fri, 20 Nov 2026 12:01:00 GMT", "Fri, 20 Nov 2026 12:00:30 GMT", 30),
        ("Friday, 20-Nov-26 12:01:00 GMT", None, 60),
        ("Fri, 20 Nov 2026 11:00:00 GMT", None, 0),
        ("Fri, 20 Nov 2026 12:01:00 GMT", "yesterday", 60),
        ("9" * 500, None, 999_999_999),
        *[(value, None, None) for value in (None, "", "soon", "-5", "1.5", "\u0664", "0x10")],
        ("Fri, 20 Nov 99999999999 12:01:00 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_either_form(
    value: str | None, date: str | None, wait_s: float | None
) -> None:
    fields = {"retry-after": value, "date": date}
    headers = {name: text for name, text in fields.items() if text is not None}
    assert retry_after_s(headers, datetime(2026, 11, 20, 12, tzinfo=UTC)) == wait_s
