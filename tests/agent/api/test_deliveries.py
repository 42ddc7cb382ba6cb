"""Field mode over the API: handed over, watched, gone on with, and its answers taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.api.serving import ESME, HUB, RIG, Serving, events_of, serving
from agent.delivery.dcc_side import DCCSide
from duis.request_documents import ReturnLocalCommandResponse, parse_request
from duis_schemas import assert_valid
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.roles import RemotePartyRole
from keyrig.base.device_locks import holding
from keyrig.cli import run_cli
from keyrig.config.rig_file import load_rig
from keyrig.domain.api_tokens import Scope
from keyrig.keys.store_opening import open_keystore
from keyrig.run.hosting import emulated_rig

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = EntityIdentifier.parse(ESME)
URL = "/api/v1/deliveries"


@pytest.fixture(name="dcc")
def fixture_dcc(home: Path) -> DCCSide:
    """Make the emulated devices, whose certificates the DCC's side needs."""
    with emulated_rig(load_rig(None)):
        pass
    return DCCSide(open_keystore(home / "pki"), DEVICE)


def hexadecimal(*commands: bytes) -> list[dict[str, str]]:
    return [{"form": "hex", "content": each.hex()} for each in commands]


def hand_over(served: Serving, *commands: bytes, **more: Any) -> dict[str, Any]:
    asked = {"rig": RIG, "device": ESME, "commands": hexadecimal(*commands), **more}
    response = served.client.post(URL, json=asked)
    assert response.status_code == 202, response.text
    accepted: dict[str, Any] = response.json()
    assert response.headers["location"] == accepted["href"]
    return accepted


def events(served: Serving, accepted: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
    with served.client.stream("GET", accepted["events"], params={"after": after}) as response:
        assert response.status_code == 200
        return list(events_of(response.iter_lines()))


def finished(served: Serving, accepted: dict[str, Any]) -> dict[str, Any]:
    events(served, accepted)
    document: dict[str, Any] = served.client.get(accepted["href"]).json()
    return document


def test_commands_are_delivered_watched_and_their_answers_given(
    dcc: DCCSide, served: Serving
) -> None:
    accepted = hand_over(served, dcc.provide(RemotePartyRole.ROOT), dcc.issue())
    told = events(served, accepted)
    kinds = [event["type"] for event in told]
    assert kinds[0] == "operation-accepted"
    assert kinds.count("local-answer") == 2
    assert (kinds[-1], told[-1]["result"]) == ("operation-finished", "done")
    assert events(served, accepted, after=3) == told[3:]
    delivery = served.client.get(accepted["href"]).json()
    assert (delivery["state"], delivery["left"], delivery["problem"]) == ("done", 0, None)
    assert delivery["operation_id"] == accepted["operation_id"]
    first, second = delivery["commands"]
    assert (first["verification"], second["verification"]) == ("not-verifiable-here", "verified")
    for command in (first, second):
        assert_valid(command["answer"].encode())
        request = parse_request(command["answer"].encode(), "answer")
        assert str(request.header.request_id) == command["return_id"]
        assert isinstance(request.body, ReturnLocalCommandResponse)
        header = Message.parse(request.body.device_gbcs_response).header
        assert (header.originator, header.originator_counter) == (DEVICE, command["counter"])
    (listed,) = served.client.get(URL, params={"device": ESME}).json()["deliveries"]
    assert listed["states"] == {"answered": 2}
    assert served.client.get(URL, params={"device": HUB}).json()["deliveries"] == []
    assert served.client.get("/api/v1/runs").json()["runs"] == []
    assert served.client.get(f"/api/v1/runs/{accepted['operation_id']}").status_code == 404


def test_same_commands_are_the_same_delivery_and_nothing_is_sent_again(
    dcc: DCCSide, home: Path
) -> None:
    command = dcc.issue()
    with serving(home) as served:
        first = hand_over(served, command)
        before = finished(served, first)
    with serving(home) as served:
        again = hand_over(served, command)
        assert again["delivery_id"] == first["delivery_id"]
        assert again["operation_id"] != first["operation_id"]
        kinds = [event["type"] for event in events(served, again)]
        assert "command-sent" not in kinds
        after = served.client.get(again["href"]).json()
        assert after["commands"] == before["commands"]


@pytest.mark.parametrize(
    ("asked", "code", "where"),
    [
        ({"commands": []}, "request-invalid", "body.commands"),
        ({"commands": [{"form": "hex", "content": "zz"}]}, "request-invalid", "content"),
        ({"commands": [{"form": "duis", "content": "DD00"}]}, "request-invalid", "content"),
        ({"commands": [{"form": "duis", "content": "<a/>"}]}, "request-invalid", "content"),
        ({"commands": [{"form": "hex", "content": "<a/>"}]}, "request-invalid", "content"),
        ({"commands": [{"form": "hex", "content": "DF09"}]}, "request-invalid", "body.commands"),
    ],
)
def test_what_cannot_be_delivered_is_refused_before_anything_is_recorded(
    served: Serving, asked: dict[str, Any], code: str, where: str
) -> None:
    refused = served.client.post(URL, json={"rig": RIG, "device": ESME, **asked})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, code)
    assert where in problem["errors"][0]["where"]
    assert served.client.get(URL).json() == {"deliveries": [], "next": None}


def test_command_for_another_device_is_refused(dcc: DCCSide, served: Serving) -> None:
    asked = {"rig": RIG, "device": HUB, "commands": hexadecimal(dcc.issue())}
    refused = served.client.post(URL, json=asked)
    assert refused.status_code == 422
    assert f"a command for {ESME}, not for {HUB}" in refused.json()["detail"]
    unknown = served.client.post(URL, json=asked | {"device": "00-00-00-00-00-00-00-00"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "device-not-on-rig")


def test_false_signature_is_refused(dcc: DCCSide, served: Serving) -> None:
    octets = bytearray(dcc.issue())
    octets[-20] ^= 1
    asked = {"rig": RIG, "device": ESME, "commands": hexadecimal(bytes(octets))}
    refused = served.client.post(URL, json=asked)
    assert refused.status_code == 422
    assert "is by no key known of" in refused.json()["detail"]


def test_device_that_is_held_is_refused_and_the_delivery_goes_on_when_resumed(
    home: Path, dcc: DCCSide, served: Serving
) -> None:
    command = dcc.issue()
    asked = {"rig": RIG, "device": ESME, "commands": hexadecimal(command)}
    with holding(home, [DEVICE], wait_s=0, holder="a" * 32):
        refused = served.client.post(URL, json=asked)
        assert (refused.status_code, refused.json()["code"]) == (409, "device-busy")
        (waiting,) = served.client.get(URL).json()["deliveries"]
        assert (waiting["state"], waiting["left"]) == ("waiting", 1)
        href = f"{URL}/{waiting['delivery_id']}"
        withdrawal = served.client.post(f"{href}/withdraw")
        assert (withdrawal.status_code, withdrawal.json()["code"]) == (409, "device-busy")
    resumed = served.client.post(f"{href}/resume", json={})
    assert resumed.status_code == 202
    assert finished(served, resumed.json())["state"] == "done"
    assert served.client.post(f"{href}/withdraw").json()["withdrawn"] == 0
    stopped = served.client.post(f"{href}/stop")
    assert (stopped.status_code, stopped.json()["code"]) == (409, "not-running")


def test_delivery_of_the_command_line_stands_in_the_list(
    home: Path, dcc: DCCSide, served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "1.hex"
    path.write_text(dcc.issue().hex(), encoding="ascii")
    assert run_cli(["deliver", str(path), "--device", ESME, "--json"]) == 0
    capsys.readouterr()
    first = hand_over(served, dcc.issue())
    finished(served, first)
    page = served.client.get(URL, params={"limit": 1}).json()
    assert [each["delivery_id"] for each in page["deliveries"]] == [first["delivery_id"]]
    rest = served.client.get(URL, params={"before": page["next"]}).json()
    (other,) = rest["deliveries"]
    assert (other["state"], other["operation_id"], rest["next"]) == ("done", None, None)
    watched = served.client.get(f"{URL}/{other['delivery_id']}/events")
    assert (watched.status_code, watched.json()["code"]) == (409, "events-not-kept")


def test_delivering_needs_the_scope_run(served: Serving) -> None:
    reader = served.token(Scope.READ)
    asked = {"rig": RIG, "device": ESME, "commands": hexadecimal(b"\xdf")}
    assert served.client.post(URL, json=asked, headers=reader).status_code == 403
    assert served.client.get(URL, headers=reader).status_code == 200
    for path in ("stop", "withdraw"):
        refused = served.client.post(f"{URL}/{'0' * 32}/{path}", headers=reader)
        assert refused.status_code == 403
        unknown = served.client.post(f"{URL}/{'0' * 32}/{path}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "delivery-unknown")


def test_request_of_unusual_size_is_taken_as_an_upload(home: Path) -> None:
    with serving(home, body_maximum_octets=2048, upload_maximum_octets=8192) as served:
        asked = {"rig": RIG, "device": ESME, "commands": [{"form": "hex", "content": "z" * 4000}]}
        assert served.client.post(URL, json=asked).status_code == 422
        asked["commands"] = [{"form": "hex", "content": "z" * 9000}]
        assert served.client.post(URL, json=asked).status_code == 413
