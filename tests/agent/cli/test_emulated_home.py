from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from agent.published_events import assert_valid
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.message import CRAFlag, Message
from gbcs.protection import verify_signature
from gbcs.roles import KeyUsage
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from keyrig.keys.store_opening import open_keystore
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

DUTIES_BY_DEVICE = {
    "CHF": ["R33a", "R33b", "R33c"],
    "GPF": ["R37b", "R37a", "R37c", "R37d", "R37e"],
    "ESME": ["R37b", "R37a", "R37c", "R37d", "R37e"],
    "GSME": ["R37b", "R37c", "R37d", "R37e"],
    "HCALCS": ["R40"],
    "PPMID": ["R40"],
}


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        assert_valid(line)
    return lines


def write_rig(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def with_fault(device: str, fault: str, *, timeout_s: float = 0.4) -> str:
    """Give the emulated home with one fault, on lines that do not wait long."""
    text = emulated_home_text().replace('" }', f'", timeout_s = {timeout_s} }}')
    marker = f'entity_id = "{device}"\n'
    assert marker in text
    return text.replace(marker, f'{marker}faults = ["{fault}"]\n')


def states(plan: dict[str, Any]) -> dict[str, str]:
    return {duty["id"]: duty["state"] for device in plan["devices"] for duty in device["duties"]}


def test_run_does_every_duty_once_and_a_second_run_none(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "--json"]) == 0
    told = events(capsys)
    done = [e for e in told if e["type"] == "duty-finished"]
    assert {e["outcome"] for e in done} == {"done"}
    types = {e["device"]: e["device_type"] for e in told if e["type"] == "device-started"}
    by_type: dict[str, list[str]] = {}
    for event in done:
        by_type.setdefault(types[event["device"]], []).append(event["requirement"])
    assert by_type == DUTIES_BY_DEVICE
    plan = told[-1]
    assert plan["type"] == "plan"
    assert set(states(plan).values()) == {"done", "exempt"}
    assert {device["smi_status"] for device in plan["devices"]} == {"Commissioned"}

    assert run_cli(["run", "--json"]) == 0
    again = events(capsys)
    assert not [e for e in again if e["type"] in {"duty-started", "command-sent"}]
    assert set(states(again[-1]).values()) == {"done", "exempt"}
    assert (home / "ledger.sqlite").exists()


def test_transcript_has_every_message_and_each_verifies_by_certificates_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transcript = tmp_path / "transcript.jsonl"
    assert run_cli(["run", "--device", "00-DB-12-34-56-78-90-A0", "--transcript",
                        str(transcript), "--json"]) == 0  # fmt: skip
    sent = [e for e in events(capsys) if e["type"] == "command-sent"]
    lines = [json.loads(line) for line in transcript.read_text(encoding="utf-8").splitlines()]
    assert [line["direction"] for line in lines] == ["command", "response"] * len(sent)
    assert all(line["verified"] for line in lines)
    store = open_keystore(home / "pki")
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        device = Message.parse(bytes.fromhex(lines[0]["octets"])).header.recipient
        held = ledger.key_changes.certificates(device, KeyUsage.DIGITAL_SIGNATURE)
    certificates = [*store.certificates(), *map(GBCSCertificate.from_der, (
        each.certificate for each in held))]  # fmt: skip
    signed = 0
    counters: dict[bytes, list[int]] = {}
    for line in lines:
        message = Message.parse(bytes.fromhex(line["octets"]))
        if message.header.cra_flag is CRAFlag.COMMAND:
            counters.setdefault(message.header.originator, []).append(
                message.header.originator_counter
            )
        if not message.signature:
            continue
        signers = [
            each
            for each in certificates
            if each.entity_id == message.header.originator
            and each.key_usage == KeyUsage.DIGITAL_SIGNATURE
        ]
        assert any(verifies(message, each) for each in signers)
        signed += 1
    assert signed > 15
    assert all(used == sorted(set(used)) for used in counters.values())


def verifies(message: Message, certificate: GBCSCertificate) -> bool:
    from gbcs.protocol_errors import SignatureMismatch  # noqa: PLC0415 - beside its one use

    try:
        verify_signature(message, certificate.public_key)
    except SignatureMismatch:
        return False
    return True


def test_device_that_refuses_its_certificate_is_suspended_and_restored_by_the_next_run(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "00-DB-12-34-56-78-90-A2"
    broken = write_rig(tmp_path / "broken.toml", with_fault(device, "fail-storage=1"))
    assert run_cli(["run", broken, "--device", device, "--json"]) == 3
    told = events(capsys)
    assert [e["status"] for e in told if e["type"] == "smi-status"] == ["Suspended"]
    assert len([e for e in told if e["type"] == "notice"]) == 2
    assert states(told[-1])["00db1234567890a2/R33a"] == "failed"
    waits = told[-1]["devices"][0]["status_instruction"]
    assert (waits["status"], waits["clause"], waits["state"]) == (
        "Suspended", "H5.34(a)", "waiting",
    )  # fmt: skip
    assert waits["channel"] == "no request of DUIS 5.4 sets it; the DCC has to"
    assert run_cli(["status", broken, "--device", device]) == 0
    assert "waits for the inventory" in capsys.readouterr().out

    mended = write_rig(tmp_path / "mended.toml", emulated_home_text())
    assert run_cli(["run", mended, "--device", device, "--json"]) == 0
    told = events(capsys)
    assert [e["status"] for e in told if e["type"] == "smi-status"] == ["Commissioned"]
    assert [e["clause"] for e in told if e["type"] == "notice"] == ["H5.35", "H5.35"]
    assert states(told[-1])["00db1234567890a2/R33a"] == "done"
    assert home.exists()


def test_lost_answers_are_made_good_by_repetition(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "00-DB-12-34-56-78-90-A0"
    rig = write_rig(tmp_path / "lossy.toml", with_fault(device, "drop-responses=1"))
    assert run_cli(["run", rig, "--device", device, "--json"]) == 0
    told = events(capsys)
    assert len([e for e in told if e["type"] == "no-response"]) == 1
    assert home.exists()


def test_damaged_response_is_an_incident_that_is_not_retried(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "00-DB-12-34-56-78-90-A0"
    rig = write_rig(tmp_path / "damaged.toml", with_fault(device, "corrupt-response=1"))
    assert run_cli(["run", rig, "--device", device, "--json"]) == 3
    told = events(capsys)
    assert len([e for e in told if e["type"] == "security-incident"]) == 1
    assert len([e for e in told if e["type"] == "command-sent"]) == 1
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        assert [e.type.value for e in ledger.outbox.all()].count("security-incident") == 1


def test_device_that_does_not_answer_needs_a_person_and_fails_no_duty(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "00-DB-12-34-56-78-90-A4"
    rig = write_rig(tmp_path / "silent.toml", with_fault(device, "drop-responses=9"))
    assert run_cli(["run", rig, "--device", device, "--json"]) == 4
    told = events(capsys)
    reason = next(e["reason"] for e in told if e["type"] == "person-needed")
    assert "no other device is on this line" in reason
    assert states(told[-1])["00db1234567890a4/R40"] == "due"
    assert home.exists()


def test_plan_status_dry_run_and_doctor_change_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["plan"], ["status"], ["run", "--dry-run"], ["doctor"]):
        assert run_cli(arguments) == 0
        assert capsys.readouterr().out
        assert not home.exists()


def test_text_run_shows_each_step_and_the_closing_table(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "--device", "00-DB-12-34-56-78-90-A5"]) == 0
    shown = capsys.readouterr().out
    assert "R40 done: 2 supplier cells hold 90-B3-D5-1F-30-01-00-00" in shown
    assert "SMI Status" in shown
    assert run_cli(["doctor"]) == 0
    assert "readable" in capsys.readouterr().out
    assert home.exists()


def test_misspelt_key_in_a_rig_file_is_named_with_its_mend(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = emulated_home_text().replace('framing = "hdlc"', 'framming = "hdlc"', 1)
    assert run_cli(["run", write_rig(tmp_path / "rig.toml", text), "--json"]) == 2
    said = capsys.readouterr().err
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "framming" in row)
    assert f"line {line}: unknown key 'device[1].link.framming'" in said
    assert "did you mean 'framing'" in said
    assert not home.exists()


def test_missing_port_needs_a_person(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = "00-DB-12-34-56-78-90-A2"
    text = emulated_home_text().replace(
        f'"{device}"', f'"{device}"\ncommissioned_at = 2026-11-20T09:00:00Z'
    )
    assert run_cli(["run", "--device", device, "--json"]) == 0
    capsys.readouterr()
    (home / "ledger.sqlite").unlink()
    rig = write_rig(tmp_path / "rig.toml", text.replace('"emulated:"', '"/dev/keyrig-none"', 1))
    assert run_cli(["run", rig, "--device", device, "--json"]) == 4
    told = events(capsys)
    assert "/dev/keyrig-none" in next(e["reason"] for e in told if e["type"] == "person-needed")


def test_foreign_ledger_is_refused_and_left_alone(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    foreign = sqlite3.connect(home / "ledger.sqlite")
    foreign.execute("create table notes (text text)")
    foreign.commit()
    foreign.close()
    before = (home / "ledger.sqlite").read_bytes()
    assert run_cli(["run", "--json"]) == 4
    assert "ledger" in capsys.readouterr().err
    assert (home / "ledger.sqlite").read_bytes() == before


def test_exported_certificates_and_keys_verify_everything_a_run_sent_and_received(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transcript, exported = tmp_path / "transcript.jsonl", tmp_path / "exported"
    assert run_cli(["run", "--transcript", str(transcript), "--json"]) == 0
    assert run_cli(["pki", "export", str(exported), "--private"]) == 0
    messages = tmp_path / "messages"
    messages.mkdir()
    lines = [json.loads(line) for line in transcript.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines):
        (messages / f"{number:04}.HEX").write_text(line["octets"], encoding="ascii")
    capsys.readouterr()
    assert run_cli(["conformance", str(messages), "--keystore", str(exported), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["messages"] == len(lines) == summary["payloads_reencoded"]
    assert summary["signatures_invalid"] == summary["macs_invalid"] == 0
    assert summary["not_checkable"] == summary["unreadable"] == 0
    assert home.exists()


def test_another_program_reaches_the_hosted_devices_by_the_rig_file_that_is_written(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "there.toml"
    command = [sys.executable, "-m", "keyrig", "emulate", "--tcp", "--json"]
    with subprocess.Popen(
        [*command, "--write-rig", str(written)], stdout=subprocess.PIPE, text=True
    ) as hosting:
        assert hosting.stdout is not None
        for line in hosting.stdout:
            if json.loads(line)["type"] == "ready":
                break
        try:
            assert run_cli(["run", str(written), "--json"]) == 0
        finally:
            hosting.terminate()
    assert hosting.returncode == 0
    assert set(states(events(capsys)[-1]).values()) == {"done", "exempt"}
    assert home.exists()
