"""What is known of devices, over the API; and certificates, radios, explanations and upstreams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent.api.serving import ESME, HUB, RIG, Serving, serving
from keyrig.api.request_bodies import INVENTORY_EXAMPLE
from keyrig.cli import run_cli
from keyrig.config.settings import NDJSONUpstream
from keyrig.documents.certificate_document import PEM_EXAMPLE
from keyrig.documents.document_model import example_of
from keyrig.documents.fact_document import InventoryDocument

if TYPE_CHECKING:
    from pathlib import Path


def facts_of(served: Serving, device: str) -> dict[str, tuple[Any, str]]:
    document = served.client.get(f"/api/v1/devices/{device}/facts").json()
    return {fact["name"]: (fact["value"], fact["source"]) for fact in document["facts"]}


def say(served: Serving, **fact: Any) -> dict[str, Any]:
    answer = served.client.post(f"/api/v1/devices/{ESME}/facts", json=fact)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_facts_are_said_and_taken_back_and_history_keeps_all(served: Serving) -> None:
    for name, value, kept in [
        ("device_type", "ESME", "ESME"),
        ("replaced", False, False),
        ("commissioned_at", "2026-11-20", "2026-11-20"),
        ("commissioned_at", "2026-11-20T10:00:00+01:00", "2026-11-20T09:00:00.000Z"),
        ("lead_supplier", "90-b3-d5-1f-30-01-00-00", "90-B3-D5-1F-30-01-00-00"),
        ("responsible_suppliers", ["90-B3-D5-1F-30-01-00-00"], ["90-B3-D5-1F-30-01-00-00"]),
        ("recovery_checked_after_receipt_by", "dcc", "dcc"),
        ("fuels", ["electricity"], ["electricity"]),
    ]:
        said = say(served, name=name, value=value)
        assert said["device"]["entity_id"] == ESME
        assert facts_of(served, ESME)[name] == (kept, "token all")
    told = say(served, name="lead_supplier", value=None, source="ticket 1")
    assert facts_of(served, ESME)["lead_supplier"][1] == "token all"
    assert told["told"].startswith(ESME)
    history = served.client.get(f"/api/v1/devices/{ESME}/facts", params={"history": True}).json()
    assert [fact["source"] for fact in history["facts"]][-1] == "ticket 1"
    assert len(history["facts"]) == 9


def test_facts_are_those_of_the_command_line(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    say(served, name="device_type", value="ESME")
    assert run_cli(["facts", "list", "--device", ESME, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["devices"]
    assert served.client.get(f"/api/v1/devices/{ESME}/facts").json() == listed


def test_status_is_recorded_once(served: Serving) -> None:
    path = f"/api/v1/devices/{ESME}/status"
    said = {"status": "Commissioned", "at": "2026-11-20T09:00:00Z", "source": "ticket 2"}
    first, again = (served.client.post(path, json=said).json() for _ in range(2))
    assert (first["is_news"], again["is_news"]) == (True, False)
    held = served.client.get(f"/api/v1/devices/{ESME}/facts").json()["smi_status"]
    assert [(each["status"], each["source"]) for each in held] == [("Commissioned", "ticket 2")]


def test_inventory_is_taken_in_and_its_duties_are_due(served: Serving) -> None:
    xml = {"Content-Type": "application/xml; charset=utf-8"}
    answer = served.client.post("/api/v1/inventory", content=INVENTORY_EXAMPLE, headers=xml)
    assert answer.json() == example_of(InventoryDocument)
    due = served.client.get("/api/v1/duties", params={"limit": 3}).json()
    assert due["open"] >= 3
    assert {duty["entity_id"] for duty in due["duties"]} == {"00-DB-12-34-56-78-90-B0"}
    assert [duty["overdue"] for duty in due["duties"]]


def test_explanation_is_that_of_the_command_line(
    served_hub: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/api/v1/rigs/{RIG}/devices/{HUB}/explanation"
    told = served_hub.client.get(path).json()
    assert run_cli(["plan", "--explain", HUB, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert told == shown
    assert {duty["state"] for duty in told["duties"]} == {"done"}


def test_plan_is_that_of_the_command_line(
    served_hub: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    told = served_hub.client.get(f"/api/v1/rigs/{RIG}/plan").json()
    assert run_cli(["plan", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["devices"] == shown["devices"]
    assert told.keys() == shown.keys() - {"type", "at"}


def test_what_is_due_facts_upstreams_and_certificates_are_those_of_the_command_line(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    served.finished(served.start_run(devices=[HUB]))

    def told(path: str) -> Any:
        return served.client.get(f"/api/v1/{path}").json()

    def shown(*arguments: str) -> list[Any]:
        assert run_cli([*arguments, "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [told("duties?limit=9")] == shown("plan", "--next", "9")
    (facts,) = shown("facts", "list", "--device", HUB)
    assert [told(f"devices/{HUB}/facts")] == facts["devices"]
    assert [told("outbox")] == shown("outbox")
    certificates = [
        {name: value for name, value in line.items() if name not in {"schema", "kind"}}
        for line in shown("pki", "show")
    ]
    assert told(f"rigs/{RIG}/certificates")["certificates"] == certificates


def test_certificate_is_added_when_an_authority_of_the_store_vouches_for_it(
    served_hub: Serving,
) -> None:
    path = f"/api/v1/rigs/{RIG}/certificates"
    before = served_hub.client.get(path).json()["certificates"]
    assert len(before) > 15
    own = next(each for each in before if each["entity_id"] == HUB)
    again = served_hub.client.post(path, json={"pem": own["pem"]})
    assert (again.status_code, again.json()["certificate"]["sha256"]) == (200, own["sha256"])
    assert served_hub.client.get(path).json()["certificates"] == before
    (served_hub.service.data_folder / "pki" / own["source"].rpartition("/")[2]).unlink()
    assert len(served_hub.client.get(path).json()["certificates"]) == len(before) - 1
    assert served_hub.client.post(path, json={"pem": own["pem"]}).status_code == 200
    assert served_hub.client.get(path).json()["certificates"] == before
    strange = served_hub.client.post(path, json={"pem": PEM_EXAMPLE})
    assert (strange.status_code, strange.json()["code"]) == (422, "document-invalid")
    assert served_hub.client.get(path).json()["certificates"] == before


def test_outbox_says_what_each_upstream_was_told(home: Path) -> None:
    upstream = {"file": NDJSONUpstream(kind="ndjson", path="events.ndjson")}
    with serving(home, upstream=upstream) as served:
        served.finished(served.start_run(devices=[HUB]))
        for _ in range(200):
            (entry,) = served.client.get("/api/v1/outbox").json()["upstreams"]
            if not entry["waiting"] and entry["last_told_at"]:
                break
        else:
            pytest.fail("the upstream was not told")
        assert (entry["name"], entry["kind"], entry["parked"]) == ("file", "ndjson", 0)
    told = (home / "events.ndjson").read_text(encoding="utf-8").splitlines()
    assert len(told) >= 3


@pytest.mark.parametrize("value", [1, "1700000000", "20261120T090000Z", "yesterday", None])
def test_instant_is_written_out(served: Serving, value: Any) -> None:
    said = {"name": "replaced", "value": False, "at": value}
    answer = served.client.post(f"/api/v1/devices/{ESME}/facts", json=said)
    assert answer.status_code == (200 if value is None else 422)
