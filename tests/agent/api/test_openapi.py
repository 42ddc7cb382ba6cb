"""The OpenAPI document: complete, with examples that are what it says, and published as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator, FormatChecker

from agent.api.serving import ESME, RIG, Serving, events_of, serving
from agent.delivery.dcc_side import DCCSide
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import RemotePartyRole
from keyrig.api.application import application, openapi_text
from keyrig.api.openapi import OPENAPI_PATH
from keyrig.api.problem_documents import MEDIA_TYPE
from keyrig.documents.document_model import Document, example_of
from keyrig.domain.api_tokens import Scope
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = Path(__file__).parents[3] / "docs" / "openapi.json"
COMMON = {"401", "403", "413", "422", "429", "500", "503"}
PEM_MARKER = re.compile(rb"PRIVATE KEY")


def deliver_one(served: Serving) -> None:
    """Deliver a command of the DCC's to the home's ESME."""
    store = open_keystore(served.service.data_folder / "pki")
    # Runs take their counters from the clock.
    counter = int(served.service.clock().timestamp() * 1000)
    command = DCCSide(store, EntityIdentifier.parse(ESME), counter).provide(RemotePartyRole.ROOT)
    commands = [{"form": "hex", "content": command.hex()}]
    asked = {"rig": RIG, "device": ESME, "commands": commands}
    accepted = served.client.post("/api/v1/deliveries", json=asked).json()
    assert '"result": "done"' in served.client.get(accepted["events"]).text


@pytest.fixture(name="shared", scope="module")
def fixture_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The emulated home after a whole run and a delivery."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYRIG_HOME", str(home))
        with serving(home) as served:
            served.finished(served.start_run())
            deliver_one(served)
            yield served


@pytest.fixture(name="document", scope="module")
def fixture_document(shared: Serving) -> dict[str, Any]:
    document: dict[str, Any] = shared.client.get(OPENAPI_PATH).json()
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Give method, path and description of each operation, shared answers put in."""
    shared = document["components"]["responses"]
    return [
        (
            method,
            path,
            {
                **operation,
                "responses": {
                    status: shared[answer["$ref"].rpartition("/")[2]]
                    if "$ref" in answer
                    else answer
                    for status, answer in operation["responses"].items()
                },
            },
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    whole = {**schema, "components": document["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def examples_of(media: dict[str, Any]) -> list[Any]:
    named = [each["value"] for each in media.get("examples", {}).values()]
    return named + ([media["example"]] if "example" in media else [])


def media_of(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give place, media type and description of everything that is sent and answered."""
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", media_type, media
    for status, answer in operation["responses"].items():
        for media_type, media in answer.get("content", {}).items():
            yield status, media_type, media


def test_document_is_published_as_it_is(document: dict[str, Any]) -> None:
    text = openapi_text()
    assert json.loads(text) == document
    assert PUBLISHED.read_text(encoding="utf-8") == text, (
        "write it anew with `keyrig serve --openapi > docs/openapi.json`"
    )


def test_every_answer_in_json_is_a_document_that_the_route_returns(
    document: dict[str, Any], shared: Serving
) -> None:
    routes = {
        route.operation_id: route
        for route in application(shared.service).routes
        if isinstance(route, APIRoute)
    }
    checked = 0
    for _, path, operation in operations(document):
        good = next(each for status, each in operation["responses"].items() if status[0] == "2")
        media = good.get("content", {}).get("application/json")
        if media is None or path.endswith("/report"):
            continue
        model = routes[operation["operationId"]].response_model
        assert issubclass(model, Document), path
        assert media["example"] == example_of(model)
        checked += 1
    assert checked > 20


def test_data_of_streamed_events_have_their_schema_and_examples_are_valid_by_it(
    document: dict[str, Any],
) -> None:
    streams = [
        media
        for _, _, operation in operations(document)
        for _, kind, media in media_of(operation)
        if kind == "text/event-stream"
    ]
    assert len(streams) == 2
    for media in streams:
        data = media["schema"]["properties"]["data"]
        assert data["contentSchema"] == {"$ref": "#/components/schemas/RunEvent"}
        told = list(events_of(iter(media["example"].split("\n"))))
        assert len(told) == 2
        for event in told:
            validator(document, data["contentSchema"]).validate(event)


def test_every_operation_says_what_it_is_and_every_error_that_it_may_answer(
    document: dict[str, Any],
) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) >= 23
    for method, path, operation in operations(document):
        assert operation["description"], path
        assert operation["tags"], path
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses)
        if path != "/api/v1/health":
            assert statuses >= COMMON, path
        if "{" in path and "entity_id" not in path:
            assert "404" in statuses, path
        if method == "post":
            assert "requestBody" in operation or path.endswith(("/stop", "/withdraw"))
        for status, answer in operation["responses"].items():
            if status[0] in "45":
                assert set(answer["content"]) == {MEDIA_TYPE}


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    checked = 0
    for _, path, operation in operations(document):
        for place, media_type, media in media_of(operation):
            examples = examples_of(media)
            schema = media.get("schema", {})
            body_examples = schema.get("examples", [])
            if not path.endswith(("/report", "/evidence")) or place[0] in "45":
                assert examples or body_examples or "$ref" in schema, (path, place, media_type)
            for example in [*examples, *body_examples]:
                validator(document, schema).validate(example)
                checked += 1
    assert checked > 200


def test_request_examples_are_there_for_every_body(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            found = examples_of(media) + media["schema"].get("examples", [])
            assert found, path


def filled(path: str, shared: Serving) -> str:
    """Fill a path with what the home has."""
    (run,) = shared.client.get("/api/v1/runs").json()["runs"]
    (delivery,) = shared.client.get("/api/v1/deliveries").json()["deliveries"]
    return path.format(
        rig=RIG,
        entity_id=ESME,
        run_id=run["operation_id"],
        delivery_id=delivery["delivery_id"],
    )


def test_answers_are_what_their_schemas_say(shared: Serving, document: dict[str, Any]) -> None:
    seen = set()
    for method, path, operation in operations(document):
        if method != "get":
            continue
        answer = shared.client.get(filled(path, shared))
        assert answer.status_code == 200, path
        media = operation["responses"]["200"]["content"]
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in media, path
        if media_type == "application/json":
            validator(document, media[media_type]["schema"]).validate(answer.json())
            seen.add(operation["operationId"])
    assert len(seen) >= 13


def test_no_get_gives_a_private_key_whatever_it_is_asked_for(
    shared: Serving, document: dict[str, Any]
) -> None:
    home = shared.service.data_folder
    keys = [path.read_bytes() for path in home.rglob("*.key")]
    assert len(keys) > 10
    secrets = {
        b"".join(line for line in key.splitlines() if not line.startswith(b"-----"))[:44]
        for key in keys
    }
    stored = next(home.rglob("*.key"))
    inside = [f"..%2F..%2Fpki%2F{stored.name}", stored.stem, f"..%2fpki%2f{stored.name}%00"]
    asked = 0
    for method, path, _ in operations(document):
        if method != "get":
            continue
        paths = {filled(path, shared)}
        paths |= {re.sub(r"\{\w+\}", text, path) for text in inside}
        paths |= {f"{path}?format={form}" for path in paths for form in ("json", "junit")}
        for asked_for in paths:
            octets = shared.client.get(asked_for).content
            assert not PEM_MARKER.search(octets), asked_for
            joined = octets.replace(b"\\n", b"").replace(b"\n", b"")
            assert not [secret for secret in secrets if secret in joined], asked_for
            asked += 1
    for text in [f"/page/..%2F..%2F..%2F{stored.name}", f"/page/{stored}", "/page/../../pki"]:
        assert shared.client.get(text).status_code == 404
    assert asked > 80


def test_health_needs_no_token_and_says_little(shared: Serving) -> None:
    answer = shared.client.get("/api/v1/health", headers={"Authorization": ""})
    assert set(answer.json()) == {"live", "ready", "version", "checks"}
    assert RIG not in answer.text
    assert str(shared.service.data_folder) not in answer.text


def test_figures_are_prometheus_text(shared: Serving) -> None:
    for _ in range(3):
        shared.client.get(f"/api/v1/rigs/{RIG}/plan")
    text = shared.client.get("/metrics", headers=shared.token(Scope.READ)).text
    figures = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")
    )
    plan = 'keyrig_http_requests_total{method="GET",route="/api/v1/rigs/{rig}/plan",status="200"}'
    assert float(figures[plan]) >= 3
    assert float(figures['keyrig_operations_ended_total{result="done"}']) == 1
    assert float(figures["keyrig_duties_open"]) == 0
    assert float(figures["keyrig_operations_running"]) == 0
