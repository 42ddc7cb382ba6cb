from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator, ValidationError

from agent.upstream.outboxes import NOON, batch_of, device
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from keyrig.domain.states import EventType
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.outbox import Event, event_identifier
from keyrig.upstream.cloud_events import (
    batch_octets,
    cloud_event_source,
    cloud_event_type,
    outgoing,
)
from keyrig.upstream.event_data import data_of, schema_id, schema_text

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).parents[3] / "docs" / "events"
SOURCE = "urn:uuid:0f0e7d30-8d5c-4b7e-9a5f-000000000001"
OUTCOME = {
    "duty": "00db120000000001/R33a",
    "requirement": "R33a",
    "clause": "H5.33(a)",
    "edition": "draft",
    "actor": "dcc",
    "step": "regenerate-keys",
    "outcome": "done",
    "detail": "done \x1b[2J",
    "evidence": "attempt 3, exchanges 5, 6, 9",
    "run": "0123456789abcdef0123456789abcdef",
    "attempt": 3,
    "started_at": "2026-11-20T11:59:00+00:00",
}


def event(kind: EventType, body: Mapping[str, Any]) -> Event:
    return Event(
        number=42,
        id=event_identifier(kind, device(1), NOON, body),
        type=kind,
        device=device(1),
        at=NOON,
        body=body,
    )


def published(kind: EventType) -> Draft202012Validator:
    text = (DOCS / f"{kind.value}.v1.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def test_event_has_the_form_that_upstreams_rely_on() -> None:
    # What stands here is out in the world; a change needs a new version of the type.
    made = outgoing(event(EventType.DUTY_OUTCOME, OUTCOME), SOURCE)
    assert json.loads(made.octets) == {
        "specversion": "1.0",
        "id": str(event_identifier(EventType.DUTY_OUTCOME, device(1), NOON, OUTCOME)),
        "source": SOURCE,
        "type": "uk.keyrig.duty-outcome.v1",
        "subject": "00-DB-12-00-00-00-00-01",
        "time": "2026-11-20T12:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:keyrig:event:duty-outcome:1",
        "sequence": "00000000000000000042",
        "data": {
            **{key: OUTCOME[key] for key in OUTCOME if key not in {"run", "attempt"}},
            "evidence": {
                "text": "attempt 3, exchanges 5, 6, 9",
                "run": OUTCOME["run"],
                "attempt": 3,
                "exchanges": [5, 6, 9],
                "alerts": [],
                "obtain": f"keyrig report {OUTCOME['run']} --format evidence",
            },
        },
    }


def test_event_is_one_line_of_ascii_and_the_same_each_time() -> None:
    told = event(EventType.FLAG, {"flag": "x", "reason": "Zähler\r\n\u2028 fehlt"})
    made = outgoing(told, SOURCE).octets
    assert made.isascii()
    assert b"\n" not in made
    assert b"\r" not in made
    assert outgoing(told, SOURCE).octets == made
    read = JSONFormat().read(None, made)
    assert (read.get_specversion(), read.get_time()) == ("1.0", NOON)
    assert read.get_data() == {"flag": "x", "reason": "Zähler\r\n\u2028 fehlt"}


def test_batch_is_a_json_array_of_its_events() -> None:
    batch = batch_of(1, 2)
    assert json.loads(batch_octets(batch)) == [json.loads(each.octets) for each in batch]
    assert json.loads(batch_octets([])) == []


def test_source_is_the_ledgers_and_every_type_has_its_name() -> None:
    assert cloud_event_source(uuid.UUID(int=7)) == "urn:uuid:00000000-0000-0000-0000-000000000007"
    assert {cloud_event_type(kind) for kind in EventType} == {
        "uk.keyrig.duty-outcome.v1",
        "uk.keyrig.smi-status-changed.v1",
        "uk.keyrig.notice.v1",
        "uk.keyrig.flag.v1",
        "uk.keyrig.security-incident.v1",
        "uk.keyrig.certification-request.v1",
    }


@pytest.mark.parametrize(
    ("text", "exchanges", "alerts"),
    [
        ("attempt 3, exchanges none", [], []),
        ("attempt 5: exchange 7, alert 2", [7], [2]),
        ("attempt 12, exchanges 1, 2", [1, 2], []),
        ("service request abc", [], []),
        ("exchanges " + "9" * 40, [], []),
    ],
)
def test_references_of_events_that_an_older_ledger_keeps_are_spelt_out(
    text: str, exchanges: list[int], alerts: list[int]
) -> None:
    data = data_of(EventType.DUTY_OUTCOME, OUTCOME | {"evidence": text})
    assert data["evidence"]["text"] == text
    assert (data["evidence"]["exchanges"], data["evidence"]["alerts"]) == (exchanges, alerts)


def test_references_to_evidence_are_those_that_the_event_holds_whatever_its_text() -> None:
    body = OUTCOME | {"evidence": "by hand: see exchange 9", "exchanges": [7, 8], "alerts": [2]}
    data = data_of(EventType.DUTY_OUTCOME, body)
    assert (data["evidence"]["exchanges"], data["evidence"]["alerts"]) == ([7, 8], [2])
    assert not {"exchanges", "alerts"} & set(data)
    published(EventType.DUTY_OUTCOME).validate(data)


def test_outcome_of_a_deadline_has_no_evidence() -> None:
    untried = {"evidence", "run", "attempt", "started_at"}
    body = {key: value for key, value in OUTCOME.items() if key not in untried}
    data = data_of(EventType.DUTY_OUTCOME, body)
    assert (data["evidence"], data["started_at"]) == (None, None)
    published(EventType.DUTY_OUTCOME).validate(data)


@pytest.mark.parametrize("run", ["0123456789abcdef0123456789abcdef", None])
def test_incident_refers_to_its_exchange(run: str | None) -> None:
    body = {"exchange": 7, "reason": "r"} | ({"run": run} if run else {})
    data = data_of(EventType.SECURITY_INCIDENT, body)
    published(EventType.SECURITY_INCIDENT).validate(data)
    assert data["evidence"]["exchanges"] == [7]
    assert data["evidence"]["run"] == run


@pytest.mark.parametrize("kind", EventType)
def test_published_schema_is_that_of_the_code(kind: EventType) -> None:
    path = DOCS / f"{kind.value}.v1.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(kind), (
        f"write keyrig.upstream.event_data.schema_text({kind}) to {path}; "
        "raise DATA_VERSION where a key changed its meaning or went"
    )
    schema = json.loads(schema_text(kind))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schema_id(kind)
    with pytest.raises(ValidationError):
        published(kind).validate({})


def test_what_a_run_tells_is_valid_by_the_published_schemas(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    text = emulated_home_text().replace('" }', '", timeout_s = 0.4 }')
    for entity, fault in (("A2", "fail-storage=1"), ("A0", "corrupt-response=1")):
        marker = f'entity_id = "00-DB-12-34-56-78-90-{entity}"\n'
        assert marker in text
        text = text.replace(marker, f'{marker}faults = ["{fault}"]\n')
    rig.write_text(text, encoding="utf-8")
    run_cli(["run", str(rig), "--json"])
    capsys.readouterr()
    with Ledger(home / "ledger.sqlite") as ledger:
        events = ledger.outbox.all()
        source = cloud_event_source(ledger.outbox.identity())
    kinds = {event.type for event in events}
    assert kinds >= set(EventType) - {EventType.FLAG, EventType.CERTIFICATION_REQUEST}
    for each in events:
        told = json.loads(outgoing(each, source).octets)
        published(each.type).validate(told["data"])
        instant = datetime.fromisoformat(told["time"])
        assert instant.tzinfo == UTC
        written = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', json.dumps(told))
        assert [text for text in written if not re.search(r"\.\d{3}Z$", text)] == []


def test_request_that_waits_for_its_authority_is_told_by_the_published_schema(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    text = emulated_home_text()
    assert 'by = "test"' in text
    rig.write_text(text.replace('by = "test"', 'by = "by-hand"'), encoding="utf-8")
    run_cli(["run", str(rig), "--device", "00-DB-12-34-56-78-90-A2", "--json"])
    capsys.readouterr()
    with Ledger(home / "ledger.sqlite") as ledger:
        source = cloud_event_source(ledger.outbox.identity())
        told = [
            json.loads(outgoing(each, source).octets)["data"]
            for each in ledger.outbox.all()
            if each.type is EventType.CERTIFICATION_REQUEST
        ]
    for data in told:
        published(EventType.CERTIFICATION_REQUEST).validate(data)
    assert [(data["state"], data["key_usage"]) for data in told] == [
        ("waiting", "digitalSignature"),
        ("waiting", "keyAgreement"),
    ]
