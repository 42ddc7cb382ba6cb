from __future__ import annotations

import httpx
import pytest

from keyrig.base.errors import DCCUnreachable, ServiceRefused
from keyrig.base.http_client import HTTPClient
from keyrig.transports.dcc.duis_client import DUISClient, WebService


@pytest.mark.parametrize(
    ("response", "error", "match"),
    [
        (httpx.Response(500, content=b"no"), DCCUnreachable, "HTTP 500"),
        (httpx.Response(200, content=b"x"), DCCUnreachable, "application/xml is expected"),
        (httpx.Response(400, content=b"bad\x1b[31m XSD"), ServiceRefused, "HTTP 400, bad"),
        (httpx.Response(404), ServiceRefused, "no reason given"),
    ],
)
def test_answer_that_is_no_document_is_told_for_what_it_is(
    response: httpx.Response, error: type[Exception], match: str
) -> None:
    answering = httpx.MockTransport(lambda _: response)
    with (
        HTTPClient("http://box", timeout_s=5, transport=answering) as http,
        pytest.raises(error, match=match) as raised,
    ):
        DUISClient(http).post(WebService.SEND, b"<a/>", "6.17")
    assert "\x1b" not in str(raised.value)
