from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from keyrig.base.errors import DCCUnreachable
from keyrig.base.http_client import ANSWER_MAXIMUM_OCTETS, HTTPClient, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
