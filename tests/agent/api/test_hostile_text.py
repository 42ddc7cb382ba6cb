"""Text that no answer can carry as it came: half characters, NULs, and numbers without end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from agent.api.serving import ESME, RIG, Serving, serving
from keyrig.api.application import application
from keyrig.api.problem_documents import Problem, RequestRefused, problem_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

JSON = {"Content-Type": "application/json"}
HALF = "\\ud800"
BODIES = [
    f'{{"rig":"{HALF}"}}',
    f'{{"{HALF}":1}}',
    f'{{"rig":"{RIG}","devices":["{HALF}"]}}',
    f'{{"rig":["{HALF}"]}}',
    f'"{HALF}"',
    f'{{"rig":"{RIG}\\u0000"}}',
    f'{{"rig":"{RIG}","rig":"x"}}',
    f'{{"rig":{"1" * 6000}}}',
    '{"rig":NaN}',
    '{"rig":1e999}',
    '{"rig":' + "[" * 200 + "]" * 200 + "}",
    f'{{"status":"{HALF}"}}',
    f'{{"name":"{HALF}","value":"{HALF}"}}',
    f'{{"pem":"{HALF}"}}',
    f'{{"rig":"{RIG}","device":"{ESME}","commands":[{{"form":"hex","content":"{HALF}"}}]}}',
]
PIECES = ["%ED%A0%80", "%FF", "%00", "%F0%9F", "%0D%0AX:y", "%E2%80%AE", "a" * 3000]


@pytest.fixture(name="shared", scope="module")
def fixture_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYRIG_HOME", str(home))
        with serving(home) as served:
            yield served


def routes(served: Serving) -> list[tuple[str, str]]:
    """Give every method and path of the API."""
    return [
        (method, route.path)
        for route in application(served.service).routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]


def refused(answer: httpx.Response) -> Problem:
    """See that an answer is a problem of the request's, in text that everybody can read."""
    assert 400 <= answer.status_code < 500, answer.text
    text = answer.content.decode("utf-8")
    assert "\\ud8" not in text
    return Problem.model_validate_json(text)


@pytest.mark.parametrize("body", BODIES)
def test_body_that_no_answer_can_echo_is_refused_on_every_route(shared: Serving, body: str) -> None:
    with capture_logs() as logs:
        posted = [path for method, path in routes(shared) if method == "POST"]
        assert len(posted) > 5
        for path in posted:
            filled = path.replace("{rig}", RIG).replace("{entity_id}", ESME)
            filled = re.sub(r"\{[^}]*\}", "d" * 32, filled)
            refused(shared.client.post(filled, content=body, headers=JSON))
    assert not logs


def test_half_a_character_in_a_body_is_named_as_what_it_is(shared: Serving) -> None:
    found = refused(shared.client.post("/api/v1/runs", content=BODIES[0], headers=JSON))
    assert (found.status, found.code) == (422, "request-invalid")
    assert found.errors is not None
    assert found.errors[0].model_dump() == {
        "where": "body",
        "reason": "a text with half a character",
    }


@pytest.mark.parametrize("piece", PIECES)
def test_path_query_and_headers_of_any_octets_are_answered(shared: Serving, piece: str) -> None:
    with capture_logs() as logs:
        for method, path in routes(shared):
            names = re.findall(r"\{[^}]*\}", path)
            for name in names:
                others = re.sub(r"\{[^}]*\}", "x", path.replace(name, "@")).replace("@", piece)
                refused(shared.client.request(method, others, content=b"{}", headers=JSON))
            if not names and method == "GET" and path.startswith("/api/v1"):
                raw: Any = {"Last-Event-ID": b"\xed\xa0\x80\xff", "Accept": b"\xff"}
                asked = "&".join(f"{name}={piece}" for name in ("before", "device", "limit", piece))
                answer = shared.client.get(f"{path}?{asked}", headers=raw)
                assert answer.status_code < 500
        for name in ("Authorization", "Content-Type", "Last-Event-ID", "Accept-Language"):
            raw = {name: b"\xed\xa0\x80\xff"}
            answer = shared.client.post("/api/v1/runs", content=b"{}", headers=raw)
            assert 400 <= answer.status_code < 500
        refused(shared.client.get(f"/{piece}"))
    assert not [each for each in logs if each["log_level"] == "error"]


def test_problem_echoes_any_text_as_utf_8() -> None:
    found = RequestRefused("path-unknown", "half \ud800, \x1b[2J", step="s\udfff", mend="h")
    answer = problem_response(found, instance="/a\ud800\r\n")
    told = Problem.model_validate_json(bytes(answer.body))
    assert told.detail == "half \ufffd, \ufffd[2J; h"
    assert told.step == "s\ufffd"
    assert told.instance == "/a\ufffd\ufffd\ufffd"
