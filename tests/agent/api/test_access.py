"""Who may: tokens that hold and those that do not, what each allows, and slowing down."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from agent.api.serving import ESME, RIG, Serving, events_of, serving
from keyrig.api.openapi import OPENAPI_PATH
from keyrig.api.rate_limit import (
    ADDRESSES_MAXIMUM,
    FORGOTTEN_AFTER_S,
    FREE_FAILURES,
    LONGEST_S,
    SlowDown,
)
from keyrig.domain.api_tokens import Scope, new_token
from keyrig.ledger.operation_record import Operation

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {"Authorization": f"Bearer keyrig_0123456789ab_{'A' * 43}"}
RUN_ID = "c" * 32
NEEDS_NO_TOKEN = {"/api/v1/health"}
SENT: dict[str, dict[str, Any]] = {
    "start_run": {"json": {"rig": "no-such-rig"}},
    "say_fact": {"json": {"name": "replaced", "value": False}},
    "say_status": {"json": {"status": "Commissioned"}},
    "inventory": {"content": b"<a/>", "headers": {"Content-Type": "application/xml"}},
    "add_certificate": {"json": {"pem": "none"}},
    "deliver": {
        "json": {
            "rig": "no-such-rig",
            "device": ESME,
            "commands": [{"form": "hex", "content": "DF"}],
        }
    },
    "resume_delivery": {"json": {}},
}


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 9, tzinfo=UTC)
        self.seconds = 1000.0

    def utc(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds


def operations_of(served: Serving) -> list[tuple[str, str, dict[str, Any]]]:
    """Give method, path and description of every operation of the OpenAPI document."""
    document = served.client.get(OPENAPI_PATH).json()
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def filled(path: str) -> str:
    values = {"rig": RIG, "entity_id": ESME, "run_id": RUN_ID, "delivery_id": RUN_ID}
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


def request(
    served: Serving, method: str, path: str, operation: dict[str, Any], token: dict[str, str]
) -> Any:
    more = dict(SENT.get(operation["operationId"], {}))
    headers = {**more.pop("headers", {}), **token}
    return served.client.request(method, filled(path), headers=headers, **more)


def test_every_route_demands_the_scope_that_it_names_and_no_other(served: Serving) -> None:
    tokens = {scope.value: served.token(scope, name=scope.value) for scope in Scope}
    scopes: dict[str, set[str]] = {"read": set(), "run": set(), "keys": set()}
    for method, path, operation in operations_of(served):
        if path in NEEDS_NO_TOKEN:
            assert "security" not in operation
            continue
        ((needed,),) = [requirement["token"] for requirement in operation["security"]]
        scopes[needed].add(operation["operationId"])
        for scope, token in tokens.items():
            answer = request(served, method, path, operation, token)
            if scope == needed:
                assert answer.status_code not in {401, 403}, (path, answer.text)
            else:
                assert answer.json()["code"] == "scope-missing", (path, scope)
                assert f'scope="{needed}"' in answer.headers["www-authenticate"]
    assert scopes["run"] == {
        *("start_run", "stop", "say_fact", "say_status", "inventory"),
        *("deliver", "resume_delivery", "stop_delivery", "withdraw_delivery"),
    }
    assert scopes["keys"] == {"add_certificate", "take_certificates"}
    changes = {o["operationId"] for method, _, o in operations_of(served) if method != "get"}
    assert changes == scopes["run"] | scopes["keys"]


def test_every_route_but_health_and_the_page_demands_a_token(served: Serving) -> None:
    bare = {"Authorization": ""}
    for method, path, operation in operations_of(served):
        if path not in NEEDS_NO_TOKEN:
            answer = request(served, method, path, operation, bare)
            assert (answer.status_code, answer.json()["code"]) == (401, "token-missing"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/api/v1/health", "/"):
        assert served.client.get(path, headers=bare).status_code == 200
    for path in (OPENAPI_PATH, "/docs", "/api/v1/health/", "//api/v1/runs", "/anything"):
        assert served.client.get(path, headers=bare).status_code == 401, path


@pytest.mark.parametrize(
    "shown",
    [
        "Basic YTpi",
        "Bearer",
        "bearer not-a-token",
        f"Bearer keyrig_0123456789ab_{'A' * 43}",
        f"Bearer {'x' * 4000}",
        "Bearer \xff\xfe",
    ],
)
def test_what_is_no_token_is_refused(served: Serving, shown: str) -> None:
    answer = served.client.get("/api/v1/rigs", headers={b"Authorization": shown.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["code"] in {"token-missing", "token-refused"}


def test_token_with_another_secret_or_in_the_address_is_refused(served: Serving) -> None:
    text = served.token(Scope.READ)["Authorization"].removeprefix("Bearer ")
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    refused = served.client.get("/api/v1/rigs", headers={"Authorization": f"Bearer {other}"})
    assert refused.json()["code"] == "token-refused"
    in_address = {"token": text, "access_token": text}
    refused = served.client.get("/api/v1/rigs", params=in_address, headers={"Authorization": ""})
    assert refused.json()["code"] == "token-missing"


def test_token_holds_until_its_expiry(home: Path) -> None:
    clock = Clock()
    with serving(home, clock=clock.utc) as served:
        token = served.token(Scope.READ, lasts=timedelta(days=30))
        clock.now += timedelta(days=30, microseconds=-1)
        assert served.client.get("/api/v1/rigs", headers=token).status_code == 200
        clock.now += timedelta(microseconds=1)
        refused = served.client.get("/api/v1/rigs", headers=token)
        assert (refused.status_code, refused.json()["cause"]) == (401, "it is expired")


def test_token_that_is_revoked_is_refused_at_once(served: Serving) -> None:
    token = served.token(Scope.READ, name="lost")
    assert served.client.get("/api/v1/rigs", headers=token).status_code == 200
    served.service.ledgers.writing.tokens.revoke("lost", served.service.clock())
    refused = served.client.get("/api/v1/rigs", headers=token)
    assert (refused.status_code, refused.json()["cause"]) == (401, "it is revoked")


def test_stream_that_is_open_ends_when_its_token_is_revoked(served: Serving) -> None:
    now = served.service.clock()
    operation = Operation(
        id=RUN_ID, rig_name=RIG, requested_by="someone", requested_at=now, request={}
    )
    served.service.ledgers.writing.operations.start(operation)
    token = served.token(Scope.READ, name="lost")
    path = f"/api/v1/runs/{RUN_ID}/events"
    with served.client.stream("GET", path, headers=token) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry: ")
        served.service.ledgers.writing.tokens.revoke("lost", now)
        rest = list(lines)
    assert "event: token-refused" in rest
    assert list(events_of(line for line in rest if not line.startswith('data: {"reason'))) == []


def test_wrong_tokens_are_slowed_down_and_a_right_one_from_there_is_not(home: Path) -> None:
    clock = Clock()
    with serving(home, seconds=clock.monotonic) as served:
        for _ in range(FREE_FAILURES):
            assert served.client.get("/api/v1/rigs", headers=WRONG).status_code == 401
        waits = []
        for _ in range(8):
            refused = served.client.get("/api/v1/rigs", headers=WRONG)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-refused")
            waits.append(int(refused.headers["retry-after"]))
            assert served.client.get("/api/v1/rigs").status_code == 200
            clock.seconds += waits[-1]
        assert waits == sorted(waits)
        assert waits[0] <= 2
        assert waits[-1] >= LONGEST_S
        clock.seconds += FORGOTTEN_AFTER_S + 1
        assert served.client.get("/api/v1/rigs", headers=WRONG).status_code == 401


def test_refusals_are_logged_without_the_token_and_ever_more_rarely(served: Serving) -> None:
    with capture_logs() as logs:
        for _ in range(70):
            served.client.get("/api/v1/rigs", headers=WRONG)
    refused = [each for each in logs if each["event"] == "token refused"]
    assert 5 < len(refused) < 15
    assert "A" * 10 not in json.dumps(logs, default=str)
    assert (refused[0]["reason"], refused[0]["client"]) == ("unknown", "127.0.0.1")


def test_what_slowing_down_keeps_is_bounded_and_networks_count_as_one() -> None:
    clock = Clock()
    slow = SlowDown(clock.monotonic)
    for number in range(ADDRESSES_MAXIMUM + 100):
        slow.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(slow) == ADDRESSES_MAXIMUM
    slow = SlowDown(clock.monotonic)
    assert [slow.failed(f"2001:db8::{n}")[1] for n in (1, 2, 3)] == [1, 2, 3]
    assert slow.failed("::ffff:192.0.2.1")[1] == 1
    assert slow.failed("192.0.2.1")[1] == 2
    assert slow.failed("unix")[1] == 1


def test_only_the_hash_of_a_token_is_kept_anywhere_in_the_home(home: Path) -> None:
    with serving(home) as served:
        text = served.token(Scope.READ)["Authorization"].removeprefix("Bearer ")
        served.client.get("/api/v1/rigs", headers={"Authorization": f"Bearer {text}"})
        secret = text.split("_", 2)[2].encode()
        files = [path for path in home.rglob("*") if path.is_file()]
        assert len(files) >= 1
        assert [path for path in files if secret in path.read_bytes()] == []


def test_token_has_256_random_bits_and_shows_no_digest() -> None:
    drawn: list[int] = []

    def random(octets: int) -> bytes:
        drawn.append(octets)
        return bytes(range(octets))

    now = datetime(2026, 11, 24, tzinfo=UTC)
    made, text = new_token("x", frozenset({Scope.READ}), now=now, lasts=None, random=random)
    assert drawn == [6, 32]
    assert text == "keyrig_000102030405_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert made.digest not in repr(made)
