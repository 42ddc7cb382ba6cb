"""Every kind of error is a problem document with a stable code; and what a request may be."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from agent.api.serving import ESME, RIG, Serving, serving
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import KeyrigError, MACMismatch
from keyrig.api.problem_documents import MEDIA_TYPE, Problem, problem_of, unforeseen
from keyrig.base.errors import (
    ClockWrong,
    DeviceBusy,
    KeyLocked,
    LedgerLocked,
    LedgerRefused,
    PortMissing,
    RadioLost,
    RigBusy,
    RigFileInvalid,
    RulesInvalid,
    WrongDevice,
)
from keyrig.config.rig_file import emulated_home_text
from keyrig.ledger.ledger import Ledger
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

UNKNOWN_RUN = "d" * 32
UNKNOWN_DEVICE = "00-DB-12-34-56-78-90-FF"
JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "application/xml"}


def problem_in(answer: httpx.Response) -> Problem:
    """Give the problem document of an answer; all of its parts are there."""
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    assert found.type == f"urn:keyrig:problem:{found.code}"
    assert all((found.title, found.detail, found.step, found.cause, found.hint))
    assert found.instance == answer.request.url.path
    return found


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/api/v1/rigs/no-such-rig/plan", {}, 404, "rig-unknown"),
    (
        "GET",
        f"/api/v1/rigs/{RIG}/devices/{UNKNOWN_DEVICE}/explanation",
        {},
        404,
        "device-not-on-rig",
    ),
    ("GET", f"/api/v1/runs/{UNKNOWN_RUN}", {}, 404, "run-unknown"),
    ("GET", f"/api/v1/runs/{UNKNOWN_RUN}/events", {}, 404, "run-unknown"),
    ("POST", f"/api/v1/runs/{UNKNOWN_RUN}/stop", {}, 404, "run-unknown"),
    ("GET", f"/api/v1/runs?before={UNKNOWN_RUN}", {}, 404, "run-unknown"),
    ("GET", "/api/v1/nothing", {}, 404, "path-unknown"),
    ("GET", "/page/../access.py", {}, 404, "path-unknown"),
    ("DELETE", "/api/v1/runs", {}, 405, "method-not-allowed"),
    ("POST", "/api/v1/runs", {"json": {"rig": RIG, "rigs": 1}}, 422, "request-invalid"),
    ("POST", "/api/v1/runs", {"json": {"rig": RIG, "devices": ["x"]}}, 422, "request-invalid"),
    ("POST", "/api/v1/runs", {"content": b"{", "headers": JSON}, 422, "request-invalid"),
    ("POST", "/api/v1/runs", {"content": b"\xff", "headers": JSON}, 422, "request-invalid"),
    (
        "POST",
        "/api/v1/runs",
        {"content": b"[" * 90_000, "headers": JSON},
        422,
        "request-invalid",
    ),
    ("POST", "/api/v1/runs", {"json": {"rig": "no-such-rig"}}, 404, "rig-unknown"),
    (
        "POST",
        "/api/v1/runs",
        {"json": {"rig": RIG, "devices": [UNKNOWN_DEVICE]}},
        404,
        "device-not-on-rig",
    ),
    (
        "POST",
        "/api/v1/runs",
        {"json": {"rig": RIG, "execute_at": "2020-01-01T00:00:00Z"}},
        409,
        "execute-at-past",
    ),
    ("GET", f"/api/v1/runs/{UNKNOWN_RUN}/report?format=pdf", {}, 422, "request-invalid"),
    ("GET", "/api/v1/duties?limit=0", {}, 422, "request-invalid"),
    ("GET", "/api/v1/devices/not-an-eui/facts", {}, 422, "request-invalid"),
    (
        "POST",
        f"/api/v1/devices/{ESME}/facts",
        {"json": {"name": "commissioned_at", "value": "9999-12-31"}},
        422,
        "request-invalid",
    ),
    (
        "POST",
        f"/api/v1/devices/{ESME}/facts",
        {"json": {"name": "replaced", "value": True, "at": "0001-01-01T00:00:00+14:00"}},
        422,
        "request-invalid",
    ),
    (
        "POST",
        f"/api/v1/devices/{ESME}/status",
        {"json": {"status": "Commissioned", "at": "2999-01-01T00:00:00Z"}},
        409,
        "status-ahead",
    ),
    ("POST", "/api/v1/inventory", {"content": b"<a/>", "headers": XML}, 422, "document-invalid"),
    ("POST", "/api/v1/inventory", {"content": b"<a/>"}, 415, "media-type-unknown"),
    (
        "POST",
        "/api/v1/inventory",
        {"content": b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "headers": XML},
        422,
        "document-invalid",
    ),
    (
        "POST",
        f"/api/v1/rigs/{RIG}/certificates",
        {"json": {"pem": "-----BEGIN PRIVATE KEY-----"}},
        422,
        "document-invalid",
    ),
]


@pytest.fixture(name="shared", scope="module")
def fixture_shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYRIG_HOME", str(home))
        with serving(home) as served:
            served.finished(served.start_run(devices=[ESME]))
            yield served


@pytest.mark.parametrize(("method", "path", "more", "status", "code"), REFUSED)
def test_what_is_refused_is_a_problem_with_its_code(
    shared: Serving, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    found = problem_in(shared.client.request(method, path, **more))
    assert (found.status, found.code) == (status, code)


def test_method_that_a_path_does_not_take_is_answered_by_those_that_it_does(
    shared: Serving,
) -> None:
    answer = shared.client.patch("/api/v1/runs", json={})
    assert problem_in(answer).code == "method-not-allowed"
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


def test_invalid_request_is_told_all_that_is_wrong(shared: Serving) -> None:
    answer = shared.client.post("/api/v1/runs", json={"cancel": "yes", "devices": [1]})
    faults = problem_in(answer).errors
    assert faults is not None
    assert {fault.where for fault in faults} == {"body.rig", "body.cancel", "body.devices.0"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DeviceBusy(ESME, "a" * 32), 409, "device-busy"),
        (RigBusy(RIG), 409, "rig-busy"),
        (ClockWrong("this machine", "the clock was never set", "set it"), 409, "clock-wrong"),
        (RigFileInvalid("bench.toml, line 3", "no", "mend it"), 503, "rig-file-invalid"),
        (RulesInvalid("rules.toml", "no", "mend it"), 503, "rules-invalid"),
        (LedgerLocked("ledger x"), 503, "ledger-locked"),
        (LedgerRefused("run 1", "it has ended", "ask again"), 409, "refused"),
        (KeyLocked("pki", "the private key"), 503, "key-locked"),
        (PortMissing("/dev/ttyUSB0"), 503, "port-missing"),
        (RadioLost("radio hub", "gone"), 503, "radio-unusable"),
        (WrongDevice("line", expected="a", found="b"), 409, "wrong-device"),
        (MACMismatch("the MAC is by no key known"), 502, "security-incident"),
    ],
)
def test_error_of_the_agent_becomes_a_problem_with_cause_and_hint(
    error: KeyrigError, status: int, code: str
) -> None:
    found = problem_of(error, "run")
    assert (found.status, found.code, found.step) == (status, code, "run")
    assert found.cause == error.finding
    assert found.hint
    if error.mend:
        assert f"{found.cause}; {found.hint}" == found.detail == str(error)


def test_error_that_nobody_foresaw_says_nothing_of_the_inside(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of the inside")

    with serving(home) as served, capture_logs() as logs:
        monkeypatch.setattr("keyrig.api.device_routes.DueDocument.of", explode)
        answer = served.client.get("/api/v1/duties")
        assert [each["event"] for each in logs] == ["unexpected error"]
        found = problem_in(answer)
        assert (found.status, found.code, found.step) == (500, "internal-error", "duties")
        assert "secret" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert served.client.get("/api/v1/health").status_code == 200
    assert problem_of(unforeseen("x"), "x").hint


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (LedgerRefused("run 1", "it has ended", "ask again"), 409, "info"),
        (KeyLocked("pki", "the private key"), 503, "warning"),
        (MACMismatch("the MAC is by no key known"), 502, "error"),
    ],
)
def test_error_that_is_answered_is_logged_as_its_kind_says(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: KeyrigError,
    status: int,
    level: str,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    with serving(home) as served, capture_logs() as logs:
        monkeypatch.setattr("keyrig.api.device_routes.DueDocument.of", refuse)
        answer = served.client.get("/api/v1/duties")
    assert problem_in(answer).status == status
    assert [(each["log_level"], each["code"], each["reason"]) for each in logs] == [
        (level, error.code, str(error))
    ]


def test_body_that_is_too_large_is_refused_however_it_is_sent(home: Path) -> None:
    with serving(home, body_maximum_octets=2048, upload_maximum_octets=8192) as served:

        def pieces(octets: int) -> Any:
            for _ in range(octets // 512):
                yield b" " * 512

        def sent(path: str, octets: int, *, chunked: bool, headers: dict[str, str]) -> int:
            content = pieces(octets) if chunked else b" " * octets
            answer = served.client.post(path, content=content, headers=headers)
            found = problem_in(answer)
            assert (found.status == 413) == (found.code == "too-large")
            return found.status

        for chunked in (False, True):
            assert sent("/api/v1/runs", 4096, chunked=chunked, headers=JSON) == 413
            assert sent("/api/v1/runs", 2048, chunked=chunked, headers=JSON) == 422
            assert sent("/api/v1/inventory", 8192, chunked=chunked, headers=XML) == 422
            assert sent("/api/v1/inventory", 8704, chunked=chunked, headers=XML) == 413


def test_length_that_lies_ends_the_connection_and_nothing_else(served: Serving) -> None:
    address = urlsplit(served.url)
    assert address.hostname
    token = served.client.headers["authorization"]
    head = (
        f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 0), HANG_S) as line:
        line.sendall(head.encode() + b'{"rig": "no-such-rig", "devices": []}GET / HTTP/1.1\r\n')
        said = b""
        while octets := line.recv(65536):
            said += octets
    assert said.startswith(b"HTTP/1.1 422")
    assert served.client.get("/api/v1/health").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::", "localhost@x"]
)
def test_host_that_is_not_this_machine_is_refused(shared: Serving, host: str) -> None:
    answer = shared.client.get("/api/v1/health", headers={"Host": host})
    assert answer.status_code in {400, 421}
    if answer.status_code == 421:
        assert problem_in(answer).code == "host-refused"


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:80", "[::1]:8463"])
def test_every_name_of_this_machine_is_taken(shared: Serving, host: str) -> None:
    assert shared.client.get("/api/v1/health", headers={"Host": host}).status_code == 200


def test_no_other_origin_may_read_an_answer(shared: Serving) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        shared.client.options("/api/v1/runs", headers=origin),
        shared.client.get("/api/v1/runs", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "set-cookie" not in answer.headers


def test_broken_rig_file_is_a_problem_of_its_rig_until_it_is_mended(
    home: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(emulated_home_text(), encoding="utf-8")
    text = emulated_home_text().replace('name = "emulated-home"', 'name = "second"')
    bad.write_text(text.replace("[rig]", "[rigg]"), encoding="utf-8")
    with serving(home, rigs=[good, bad]) as served:
        first, second = served.client.get("/api/v1/rigs").json()["rigs"]
        assert (first["name"], first["problem"]) == (RIG, None)
        assert (second["name"], second["problem"]["code"]) == ("bad", "rig-file-invalid")
        assert "line 4" in second["problem"]["cause"]
        assert served.client.get("/api/v1/health").json()["ready"] is False
        for path in ("plan", "devices", "certificates", "radios"):
            found = problem_in(served.client.get(f"/api/v1/rigs/bad/{path}"))
            assert (found.status, found.code) == (503, "rig-file-invalid")
        refused = served.client.post("/api/v1/runs", json={"rig": "bad"})
        assert problem_in(refused).code == "rig-file-invalid"
        bad.write_text(text, encoding="utf-8")
        assert served.client.get("/api/v1/rigs/second/plan").status_code == 200
        bad.write_text(emulated_home_text(), encoding="utf-8")
        names = [rig["name"] for rig in served.client.get("/api/v1/rigs").json()["rigs"]]
        assert names == [RIG, f"{RIG}@1"]
        bad.unlink()
        names = [rig["name"] for rig in served.client.get("/api/v1/rigs").json()["rigs"]]
        assert names[0] == RIG
        assert served.client.get("/api/v1/health").json()["ready"] is False


def test_ledger_that_another_keeps_locked_holds_up_writers_alone(home: Path) -> None:
    with serving(home) as served, Ledger(home / "ledger.sqlite") as other:
        served.service.ledgers.writing.database.busy_timeout_s = 0.1
        release, holds = threading.Event(), threading.Event()

        def hold() -> None:
            with other.transaction():
                holds.set()
                release.wait(HANG_S)

        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(HANG_S)
        said = {"name": "replaced", "value": False}
        answer = served.client.post(f"/api/v1/devices/{ESME}/facts", json=said)
        found = problem_in(answer)
        assert (found.status, found.code, answer.headers["retry-after"]) == (
            503,
            "ledger-locked",
            "1",
        )
        assert served.client.get(f"/api/v1/rigs/{RIG}/plan").status_code == 200
        release.set()
        thread.join()
        answer = served.client.post(f"/api/v1/devices/{ESME}/facts", json=said)
        assert answer.status_code == 200
        known = served.service.ledgers.reading.device_facts.history(EntityIdentifier.parse(ESME))
        assert [fact.source for fact in known] == ["token all"]
