"""Requests that wait for an authority, and duties that a run held back, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from agent.api.serving import ESME, HUB, RIG, Serving, serving
from agent.certifying import (
    certified,
    certified_for,
    home_without_supplier_key,
    pem_of,
)
from gbcs.certification_request import build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from homes.recorded import by_hand_rig
from keyrig.domain.api_tokens import Scope
from keyrig.keys.store_opening import open_keystore
from meterstub.key_pair import generate_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUESTS = f"/api/v1/rigs/{RIG}/certification-requests"


@pytest.fixture(name="waiting", scope="module")
def fixture_waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A home whose ESME's requests wait for a person; nothing is taken in by its tests."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYRIG_HOME", str(folder / "home"))
        with serving(folder / "home", rigs=[by_hand_rig(folder)]) as served:
            run = served.finished(served.start_run(devices=[ESME]))
            assert run["state"] == "needs-person"
            yield served


def listed(served: Serving) -> list[dict[str, Any]]:
    answer = served.client.get(REQUESTS)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["requests"]
    return found


def given(served: Serving, *pems: str) -> dict[str, Any]:
    answer = served.client.post(f"{REQUESTS}/certificates", json={"pem": "".join(pems)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_request_that_waits_is_listed_as_a_file_for_the_authority(waiting: Serving) -> None:
    requests = listed(waiting)
    assert [each["key_usage"] for each in requests] == ["digitalSignature", "keyAgreement"]
    for each in requests:
        assert each["device"] == ESME
        assert each["due_by"] > each["since"]
        assert "by hand" in each["authority"]
        request = x509.load_pem_x509_csr(each["pem"].encode())
        assert request.is_signature_valid
    answer = waiting.client.get(REQUESTS, headers=waiting.token(Scope.RUN))
    assert answer.status_code == 403


def test_devices_show_what_waits_and_the_duty_as_waiting(waiting: Serving) -> None:
    devices = waiting.client.get(f"/api/v1/rigs/{RIG}/devices").json()["devices"]
    shown = {each["entity_id"]: each["certification_requests"] for each in devices}
    without_pem = [
        {k: v for k, v in each.items() if k not in {"pem", "sha256"}} for each in listed(waiting)
    ]
    assert shown.pop(ESME) == without_pem
    assert not any(shown.values())
    (esme,) = [each for each in devices if each["entity_id"] == ESME]
    (duty,) = [each for each in esme["duties"] if each["state"] == "waiting"]
    # Its days run on, whoever has the request.
    assert (esme["open_duties"], esme["next_deadline"]) == (1, duty["deadline"])
    assert duty["id"].endswith("/R37c")
    assert duty["not_begun"] is None


def test_only_a_token_for_keys_may_give_certificates(waiting: Serving) -> None:
    headers = waiting.token(Scope.READ, Scope.RUN)
    answer = waiting.client.post(
        f"{REQUESTS}/certificates", json={"pem": "nothing"}, headers=headers
    )
    assert answer.json()["code"] == "scope-missing"


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("no certificate", "no certificate in it"),
        ("-----BEGIN EC PRIVATE KEY-----", "a private key is among them"),
        ("\N{SNOWMAN}", "no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be read"),
    ],
)
def test_what_holds_no_certificate_is_refused_whole(waiting: Serving, pem: str, said: str) -> None:
    answer = waiting.client.post(f"{REQUESTS}/certificates", json={"pem": pem})
    assert (answer.status_code, answer.json()["code"]) == (422, "document-invalid")
    assert said in answer.json()["detail"]


def test_wrong_certificates_are_told_one_by_one_and_change_nothing(waiting: Serving) -> None:
    home, before = waiting.service.data_folder, listed(waiting)
    usage = KeyUsage.DIGITAL_SIGNATURE
    other_key = build_certification_request(generate_key(), usage, EntityIdentifier.parse(ESME))
    stranger = "04-E6-76-00-00-00-C4-CC"
    strange = build_certification_request(generate_key(), usage, EntityIdentifier.parse(stranger))
    authority = next(e for e in open_keystore(home / "pki").stored() if e.authority is not None)
    answer = given(
        waiting,
        certified(home, other_key, ESME),
        pem_of(authority.certificate.der),
        certified(home, strange, stranger),
    )
    told = [(each["taken"], each["refused"], each["rule"]) for each in answer["certificates"]]
    assert told == [
        (False, True, "wrong-key"),
        (False, False, None),
        (False, True, "device-not-on-rig"),
    ]
    assert [each["source"].rpartition(", ")[2] for each in answer["certificates"]] == [
        "block 1",
        "block 2",
        "block 3",
    ]
    assert answer["waiting"] == 2
    assert listed(waiting) == before


def figures(served: Serving) -> dict[str, float]:
    text = served.client.get("/metrics").text
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_requests_that_wait_are_counted(waiting: Serving) -> None:
    found = figures(waiting)
    assert found["keyrig_certification_requests_waiting"] == len(listed(waiting)) == 2
    oldest = found["keyrig_certification_requests_oldest_waiting_timestamp_seconds"]
    since = datetime.fromisoformat(listed(waiting)[0]["since"])
    assert 0 <= oldest - since.timestamp() < 1
    assert found['keyrig_duties_not_begun{cause="keys"}'] == 0


def test_duties_held_back_are_counted_until_they_are_begun(home: Path) -> None:
    key = home_without_supplier_key(home)
    with serving(home) as served:
        run = served.finished(served.start_run(devices=[ESME]))
        found = figures(served)
        assert found['keyrig_duties_not_begun{cause="keys"}'] == len(run["not_begun"]) > 0
        assert found['keyrig_duties_not_begun{cause="line"}'] == 0
        again = served.finished(served.start_run(devices=[ESME]))
        assert len(again["not_begun"]) == len(run["not_begun"])
        assert figures(served)['keyrig_duties_not_begun{cause="keys"}'] == len(run["not_begun"])
        key.rename(home / "pki" / key.name)
        served.finished(served.start_run(devices=[ESME]))
        assert figures(served)['keyrig_duties_not_begun{cause="keys"}'] == 0


def test_certificates_that_fit_are_taken_and_the_next_run_stores_them(
    home: Path, tmp_path: Path
) -> None:
    with serving(home, rigs=[by_hand_rig(tmp_path)]) as served:
        served.finished(served.start_run(devices=[ESME]))
        pems = [certified_for(home, each) for each in listed(served)]
        first = given(served, pems[0])
        assert [each["taken"] for each in first["certificates"]] == [True]
        assert first["waiting"] == 1
        both = given(served, *pems)
        assert [each["taken"] for each in both["certificates"]] == [False, True]
        assert "taken before" in both["certificates"][0]["outcome"]
        assert both["waiting"] == 0
        assert listed(served) == []
        run = served.finished(served.start_run(devices=[ESME]))
        assert run["state"] == "done"
        assert [each["outcome"] for each in run["duties"]] == ["done"]


def test_run_says_which_duties_it_held_back_and_why(home: Path) -> None:
    home_without_supplier_key(home)
    with serving(home) as served:
        run = served.finished(served.start_run(devices=[HUB, ESME]))
        assert run["state"] == "needs-person"
        held = {(each["entity_id"], each["requirement"]) for each in run["not_begun"]}
        assert (ESME, "R37c") in held
        assert not any(device == HUB for device, _ in held)
        assert {each["requirement"] for each in run["duties"] if each["entity_id"] == HUB}
        for each in run["not_begun"]:
            assert each["cause"] == "keys"
            assert "90-B3-D5-1F-30-01-00-00" in each["reason"]
            assert "keyrig pki import" in each["mend"]
        plan = served.client.get(f"/api/v1/rigs/{RIG}/plan").json()
        shown = {
            (device["entity_id"], duty["requirement"]): duty["not_begun"]
            for device in plan["devices"]
            for duty in device["duties"]
            if duty["not_begun"] is not None
        }
        assert set(shown) == held
        assert shown[ESME, "R37c"].keys() == {"at", "cause", "reason", "mend"}


def test_all_or_nothing_reaches_no_device_where_a_key_is_missing(home: Path) -> None:
    home_without_supplier_key(home)
    with serving(home) as served:
        run_id = served.start_run(all_or_nothing=True)
        events = served.events(run_id)
        run = served.client.get(f"/api/v1/runs/{run_id}").json()
    types = {each["type"] for each in events}
    assert {"duty-not-begun", "run-refused"} <= types
    assert "device-started" not in types
    assert run["request"]["all_or_nothing"] is True
    assert run["duties"] == []
    assert run["not_begun"]
    assert run["state"] == "needs-person"


def test_run_recorded_before_the_option_was_there_is_given_without_it(served: Serving) -> None:
    run_id = served.start_run(devices=[HUB])
    served.finished(run_id)
    assert served.client.get(f"/api/v1/runs/{run_id}").json()["request"]["all_or_nothing"] is False
