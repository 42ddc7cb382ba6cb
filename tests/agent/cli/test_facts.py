from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text

if TYPE_CHECKING:
    from pathlib import Path

ESME = "00-DB-12-34-56-78-90-A0"
CHF = "00-DB-12-34-56-78-90-A2"
OTHER = "00-DB-12-34-56-78-90-B0"
SUPPLIER = "90-B3-D5-1F-30-03-00-00"


@pytest.fixture(name="home", autouse=True)
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


@pytest.fixture(name="said")
def fixture_said(capsys: pytest.CaptureFixture[str]) -> Any:
    def said(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run_cli(list(arguments)) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return said


def test_facts_are_said_taken_back_and_listed_with_their_sources(said: Any) -> None:
    said("facts", "set", OTHER, "device-type", "PPMID", "--source", "delivery note 7")
    assert said("facts", "set", OTHER, "commissioned_at", "2026-11-20") == (
        f"{OTHER}: commissioned_at is 2026-11-20\n"
    )
    said("facts", "status", OTHER, "commissioned")
    (device,) = json.loads(said("facts", "list", "--json"))["devices"]
    told = {fact["name"]: (fact["value"], fact["source"]) for fact in device["facts"]}
    assert told == {
        "device_type": ("PPMID", "delivery note 7"),
        "commissioned_at": ("2026-11-20", "keyrig facts"),
    }
    assert [each["status"] for each in device["smi_status"]] == ["Commissioned"]
    assert said("facts", "set", OTHER, "commissioned_at", "--take-back") == (
        f"{OTHER}: nothing is said of commissioned_at any more\n"
    )
    (device,) = json.loads(said("facts", "list", "--history", "--json"))["devices"]
    assert [fact["value"] for fact in device["facts"]] == ["PPMID", "2026-11-20", None]


def test_fact_moves_the_duties_that_are_due_next(said: Any) -> None:
    said("facts", "set", OTHER, "device_type", "PPMID")
    assert json.loads(said("plan", "--next", "9", "--json"))["duties"] == []
    said("facts", "set", OTHER, "commissioned_at", "2026-11-20")
    document = json.loads(said("plan", "--next", "9", "--json"))
    assert document["open"] == 1
    assert [(d["requirement"], d["due_by"][:10]) for d in document["duties"]] == [
        ("R40", "2026-12-04")
    ]
    assert "R40" in said("plan", "--next", "1")


def test_rig_is_planned_by_what_was_said_and_says_who_said_it(said: Any) -> None:
    said("facts", "set", ESME, "recovery_checked_after_receipt_by", SUPPLIER)
    said("facts", "set", ESME, "lead_supplier", SUPPLIER, "--at", "2099-01-01T00:00:00Z")
    text = said("plan", "--explain", ESME)
    assert "R37e ESME 00-DB-12-34-56-78-90-A0: due" in text
    assert f"recovery_checked_after_receipt_by: {SUPPLIER} (keyrig facts, recorded" in text
    duties = json.loads(said("plan", "--explain", ESME, "--json"))["duties"]
    by_name = {duty["requirement"]: duty for duty in duties}
    assert set(by_name) == {"R37a", "R37b", "R37c", "R37d", "R37e"}
    assert by_name["R37e"]["state"] == "due"
    facts = {fact["name"]: fact for fact in by_name["R37e"]["facts"]}
    assert facts["lead_supplier"]["said"]["source"] == "rig emulated-home"
    assert facts["replaced"]["said"] is None
    assert [r["ambiguity"] for r in by_name["R37e"]["readings"]] == ["A4", "A5"]


def test_fact_that_does_not_count_is_said_to_be_outweighed(said: Any, home: Path) -> None:
    rig = home.parent / "rig.toml"
    rig.write_text(emulated_home_text(), encoding="utf-8")
    assert run_cli(["run", str(rig), "--device", ESME]) == 0
    told = said("facts", "set", ESME, "lead_supplier", SUPPLIER, "--at", "2020-01-01T00:00:00Z")
    assert "recorded, but lead_supplier stays 90-B3-D5-1F-30-01-00-00" in told
    assert "rig emulated-home says since" in told
    explained = said("plan", str(rig), "--explain", ESME)
    assert "R37c ESME 00-DB-12-34-56-78-90-A0: done" in explained
    assert "nothing but a new Commissioning, which opens it again" in explained


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("facts", "set", "meter", "replaced", "true"), "not an Entity Identifier"),
        (("facts", "set", ESME, "replacd", "true"), "did you mean replaced?"),
        (("facts", "set", ESME, "replaced", "yes"), "write true or false"),
        (("facts", "set", ESME, "replaced"), "give a VALUE, or --take-back"),
        (("facts", "set", ESME, "replaced", "true", "--take-back"), "give a VALUE, or --take-back"),
        (("facts", "set", ESME, "replaced", "true", "--at", "noon"), "is no instant such as"),
        (
            ("facts", "set", ESME, "replaced", "true", "--at", "2026-11-20T09:00:00"),
            "needs its zone; write Z for UTC",
        ),
        (("facts", "status", ESME, "Broken"), "is no SMI Status; write one of Pending"),
        (
            ("facts", "status", ESME, "Suspended", "--at", "2099-01-01T00:00:00Z"),
            "a status that is yet to come cannot be held",
        ),
        (("facts", "import", "nothing.xml"), "cannot be read: No such file"),
        (("plan", "--next", "0"), "0 is not in the range"),
        (("plan", "--next", "1", "--explain", ESME), "exclude each other"),
        (("plan", "--explain", OTHER), "not on the rig emulated-home"),
        (("plan", "--explain", "meter"), "not an Entity Identifier"),
    ],
)
def test_mistake_is_refused_with_what_to_write(
    said: Any, arguments: tuple[str, ...], told: str, home: Path
) -> None:
    assert told in said(*arguments, code=2)
    assert not (home / "ledger.sqlite").exists()


def test_file_that_is_no_inventory_is_refused_by_element_and_line(
    said: Any, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "answer.xml"
    file.write_text(
        '<s:Response xmlns:s="http://www.dccinterface.co.uk/ServiceUserGateway" '
        'schemaVersion="5.4">\n<s:Header/>\n<s:Body/></s:Response>'
    )
    told = said("facts", "import", str(file), code=2)
    assert "answer.xml: Response/Header, line 2: ResponseCode is missing" in told
    assert not (home / "ledger.sqlite").exists()


def test_nothing_known_and_no_ledger_are_told_apart(said: Any) -> None:
    assert "there is none; a run makes it" in said("facts", "list", code=4)
    said("facts", "set", OTHER, "device_type", "PPMID")
    assert OTHER in said("facts", "list")


def test_names_and_forms_of_facts_are_shown(said: Any) -> None:
    assert "commissioned_at" in said("facts", "names")
    assert "write an instant such as 2026-11-20T09:00:00Z, or its date" in said("facts", "names")


def test_rules_show_every_reading_with_its_reason(said: Any) -> None:
    text = said("rules")
    for ambiguity in ("A1", "A2", "A3", "A4", "A5"):
        assert f"\n  {ambiguity} " in text
    document = json.loads(said("rules", "--json"))
    assert document["readings"]["failing"]["choice"] == "failed-attempt"
    assert len(document["digest"]) == 64


def test_rig_chooses_readings_and_rule_file_and_a_fault_names_its_line(
    said: Any, home: Path
) -> None:
    rig = home.parent / "rig.toml"
    rig.write_text(
        emulated_home_text() + "\n[rules.readings]\nother_type_1_deadline = 7\n", encoding="utf-8"
    )
    assert "read otherwise: other_type_1_deadline=7" in said("rules", str(rig))
    rules = home.parent / "mine.toml"
    rules.write_text('edition = "mine"\n[readings]\n', encoding="utf-8")
    assert "mine.toml, line 2: 'readings." in said("rules", "--file", str(rules), code=2)
    assert "name a RIG or a --file" in said("rules", str(rig), "--file", str(rules), code=2)
    rig.write_text(emulated_home_text() + f'\n[rules]\nfile = "{rules}"\n', encoding="utf-8")
    assert "mine.toml, line 2" in said("plan", str(rig), code=2)
    assert CHF in said("plan")


def test_rig_file_is_a_source_whose_news_each_run_records_once(said: Any, home: Path) -> None:
    rig = home.parent / "rig.toml"
    text = emulated_home_text()
    rig.write_text(text, encoding="utf-8")

    def history() -> list[tuple[str, Any]]:
        listed = json.loads(said("facts", "list", "--history", "--device", ESME, "--json"))
        return [(fact["name"], fact["value"]) for fact in listed["devices"][0]["facts"]]

    assert run_cli(["run", str(rig), "--device", ESME]) == 0
    first = history()
    assert ("network_operator", "90-B3-D5-1F-30-02-00-00") in first
    assert run_cli(["run", str(rig), "--device", ESME]) == 0
    assert history() == first
    changed = text.replace(
        'supplier = "90-B3-D5-1F-30-01-00-00"\nnetwork_operator = "90-B3-D5-1F-30-02-00-00"',
        f'supplier = "{SUPPLIER}"',
    )
    assert changed != text
    rig.write_text(changed, encoding="utf-8")
    # Planning counts what the file says, and records nothing.
    explained = json.loads(said("plan", str(rig), "--explain", ESME, "--json"))["duties"]
    facts = {fact["name"]: fact["value"] for duty in explained for fact in duty["facts"]}
    assert (facts["lead_supplier"], facts["network_operator"]) == (SUPPLIER, None)
    assert history() == first
    assert run_cli(["run", str(rig), "--device", ESME]) == 0
    assert history()[len(first) :] == [
        ("responsible_suppliers", [SUPPLIER]),
        ("lead_supplier", SUPPLIER),
        ("network_operator", None),
    ]


@pytest.mark.parametrize("value", ["9999-12-31", "9999-12-31T23:00:00Z", "3000-01-01"])
def test_a_commissioning_that_stands_for_none_is_refused(said: Any, value: str) -> None:
    said("facts", "set", OTHER, "device_type", "PPMID")
    refused = said("facts", "set", OTHER, "commissioned_at", value, code=2)
    assert f"'{value}' is no commissioned_at" in refused
    assert json.loads(said("plan", "--next", "9", "--json"))["open"] == 0
    assert said("facts", "set", OTHER, "commissioned_at", "2999-12-31")
    said("plan", "--next", "9")


def test_argument_that_is_no_text_is_refused_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["facts", "set", "00-DB-12-34-56-78-90-A0", "replaced", "true", "--source", "x\udcff"]
    assert run_cli(said) not in {0, 1}
    told = capsys.readouterr().err
    assert "a text that is no Unicode" in told
    assert told.count("\n") == 1
    assert home.exists()
