"""`keyrig radio`, and what the other commands show of radios."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from serial.tools import list_ports

from keyrig.cli import run_cli
from keyrig.config.rig_file import load_rig
from keyrig.run.hosting import emulated_rig
from keyrig.run.radio_inspection import usb_ports

if TYPE_CHECKING:
    from collections.abc import Callable

ESME = "00-DB-12-34-56-78-90-A0"
RIG = Path(__file__).parents[3] / "hil-rigs" / "emulated-zigbee-home.toml"
Said = Any


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "home"))


@pytest.fixture(name="said")
def fixture_said(capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run_cli(list(arguments)) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return said


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Callable[..., str]:
    """Write a rig of one emulated ESME, with what is given said of its air."""

    def write(extra: str = "", ezsp: int = 13) -> str:
        text = RIG.read_text(encoding="utf-8").replace("ezsp = 13", f"ezsp = {ezsp}\n{extra}")
        head, *devices = text.split("[[device]]")
        esme = next(each for each in devices if ESME in each)
        path = tmp_path / f"rig-{ezsp}-{len(extra)}.toml"
        path.write_text(f"{head}[[device]]{esme}", encoding="utf-8")
        return str(path)

    return write


def facts_of(said: Said, *where: str) -> dict[str, Any]:
    lines = said("radio", "show", "--json", *where).splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    assert found["type"] == "radio-facts"
    return found


@pytest.mark.parametrize("ezsp", [8, 13])
def test_a_network_is_formed_joined_backed_up_and_restored(
    said: Said, rig: Callable[..., str], tmp_path: Path, ezsp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rig(ezsp=ezsp)
    before = facts_of(said, "--rig", path)
    assert (before["ezsp_version"], before["channel"], before["smart_energy"]) == (ezsp, None, True)
    assert "keys established" in said("radio", "permit", ESME, "--rig", path)
    formed = facts_of(said, "--rig", path)
    assert (formed["channel"], formed["link_keys"]) == (15, 1)
    file = tmp_path / "network.json"
    said("radio", "backup", str(file), "--rig", path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["metadata"]["format"] == "zigpy/open-coordinator-backup"
    assert "is there already" in said("radio", "backup", str(file), "--rig", path, code=2)
    said("radio", "backup", str(file), "--force", "--rig", path)

    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "another"))
    assert facts_of(said, "--rig", path)["channel"] is None
    said("radio", "restore", str(file), "--yes", "--rig", path)
    restored = facts_of(said, "--rig", path)
    same = ("eui64", "channel", "pan_id", "extended_pan_id", "network_key_sequence", "link_keys")
    assert {name: restored[name] for name in same} == {name: formed[name] for name in same}


def test_no_key_shows(said: Said, rig: Callable[..., str], tmp_path: Path) -> None:
    path = rig()
    shown = said("radio", "permit", ESME, "--rig", path)
    file = tmp_path / "network.json"
    said("radio", "backup", str(file), "--rig", path)
    shown += said("radio", "show", "--rig", path) + said("status", path)
    key = json.loads(file.read_text())["network_key"]["key"]
    assert len(key) == 32
    assert key not in shown.lower()


def test_a_restore_is_confirmed_and_takes_nothing_but_a_backup(
    said: Said, rig: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"metadata": {"format": "zigbee2mqtt"}}')
    path = rig()
    wrong = said("radio", "restore", str(other), "--yes", "--rig", path, code=2)
    assert "no network backup in zigpy's open format" in wrong
    missing = said("radio", "restore", "none.json", "--yes", "--rig", path, code=2)
    assert "No such file" in missing or "cannot be read" in missing
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run_cli(["radio", "restore", str(other), "--rig", path]) == 130


def test_a_radio_without_smart_energy_is_named(said: Said, rig: Callable[..., str]) -> None:
    path = rig("smart_energy = false")
    facts = facts_of(said, "--rig", path)
    assert (facts["smart_energy"], facts["smart_energy_status"]) == (False, "LIBRARY_NOT_PRESENT")
    assert "no Smart Energy key establishment" in said(
        "radio", "permit", ESME, "--rig", path, code=4
    )
    run_cli(["doctor", path])
    assert run_cli(["doctor", path]) == 4


@pytest.mark.parametrize(("extra", "found"), [("", "good"), ("smart_energy = false", "bad")])
def test_doctor_asks_a_radio_what_it_is(
    rig: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: str,
    found: str,
) -> None:
    opened = load_rig(Path(rig(extra)))
    there = tmp_path / "there.toml"
    with emulated_rig(opened, line="tcp") as hosted:
        text = opened.with_urls(hosted.urls, hosted.commissioned_at, hosted.radio_urls)
        there.write_text(text, encoding="utf-8")
        capsys.readouterr()
        run_cli(["doctor", "--json", str(there)])
    findings = json.loads(capsys.readouterr().out)["findings"]
    (radio,) = [each for each in findings if each["what"] == "radio"]
    assert radio["health"] == found
    assert "keyrig emulated radio, EZSP 13" in radio["detail"]
    assert ("no Smart Energy security (LIBRARY_NOT_PRESENT)" in radio["detail"]) == bool(extra)


def test_a_port_without_a_radio_is_one_line(said: Said) -> None:
    line = said("radio", "show", "--port", "/dev/none", code=4)
    assert line.startswith("keyrig: radio port on /dev/none: the radio does not start")
    assert line.count("\n") == 1


def test_it_is_said_what_radio_is_meant(said: Said, rig: Callable[..., str]) -> None:
    assert "name a rig or a port" in said("radio", "show", code=2)
    assert "has no radio x" in said("radio", "show", "--rig", rig(), "--radio", "x", code=2)
    assert "not on the rig" in said("radio", "permit", ESME[:-2] + "FF", "--rig", rig(), code=2)
    assert "its install code is not known" in said(
        "radio", "permit", ESME, "--port", "/dev/none", code=2
    )


def test_ports_are_listed_by_what_they_are(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "ttyUSB3"
    stick.touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-Acme_Stick_0001-if00").symlink_to(stick)
    ports = [
        SimpleNamespace(
            device=str(stick),
            vid=0x10C4,
            pid=0xEA60,
            manufacturer="Acme",
            product="Stick\x1b[31m",
            serial_number="0001",
        ),
        SimpleNamespace(
            device="/dev/ttyACM0", vid=1, pid=2, manufacturer=None, product=None, serial_number=None
        ),
        SimpleNamespace(device="/dev/ttyS0", vid=None, pid=None),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    monkeypatch.setattr("keyrig.run.radio_inspection.BY_ID", by_id)
    found = {port.path: port for port in usb_ports(by_id)}
    assert set(found) == {str(by_id / "usb-Acme_Stick_0001-if00"), "/dev/ttyACM0"}
    acme = found[str(by_id / "usb-Acme_Stick_0001-if00")]
    assert acme.has_stable_name
    assert "EZSP" in acme.hint
    assert "\x1b" not in acme.product
    shown = said("radio", "list")
    assert "10C4:EA60" in shown
    assert "its name may change" in shown
    assert len(json.loads(said("radio", "list", "--json"))["ports"]) == 2
    monkeypatch.setattr(list_ports, "comports", list)
    assert said("radio", "list") == "no serial port on USB\n"


def test_six_devices_have_every_duty_carried_out_over_the_radio_and_a_second_run_finds_them(
    said: Said, tmp_path: Path
) -> None:
    text = RIG.read_text(encoding="utf-8").replace("wake_interval_s = 1.0", "wake_interval_s = 0.5")
    path = tmp_path / "home.toml"
    path.write_text(text.replace("channel = 15", "channel = 20", 1), encoding="utf-8")
    lines = [json.loads(line) for line in said("run", "--json", str(path)).splitlines()]
    (plan,) = [line for line in lines if line["type"] == "plan"]
    states = [duty["state"] for device in plan["devices"] for duty in device["duties"]]
    assert states.count("done") == 19
    assert set(states) <= {"done", "exempt", "void", "not ours"}
    (network,) = [line for line in lines if line["type"] == "network"]
    assert network["channel"] == 20
    shown = said("status", str(path))
    assert f"radio hub: not in use, since {network['at'][:13]}" in shown
    again = [json.loads(line) for line in said("run", "--json", str(path)).splitlines()]
    assert "duty-started" not in {line["type"] for line in again}


def test_a_handheld_terminal_carries_out_every_duty_through_the_hub(said: Said) -> None:
    rig = str(RIG.with_name("emulated-handheld.toml"))
    lines = [json.loads(line) for line in said("run", "--json", rig).splitlines()]
    (plan,) = [line for line in lines if line["type"] == "plan"]
    states = [duty["state"] for device in plan["devices"] for duty in device["duties"]]
    assert states.count("done") == 19
    assert "waiting-for-wake" not in {line["type"] for line in lines}


def test_lines_and_a_radio_carry_one_run(said: Said, tmp_path: Path) -> None:
    text = RIG.read_text(encoding="utf-8")
    head, *devices = text.split("[[device]]")
    link = re.compile(r"link = .*")
    line = 'link = { url = "emulated:", framing = "hdlc" }'
    esme = next(each for each in devices if ESME in each)
    mixed = [
        esme,
        *(link.sub(line, each) for each in devices if '"PPMID"' in each or "CHF" in each),
    ]
    path = tmp_path / "mixed.toml"
    path.write_text("[[device]]".join((head, *mixed)), encoding="utf-8")
    lines = [json.loads(each) for each in said("run", "--json", str(path)).splitlines()]
    links = [each["link"] for each in lines if each["type"] == "device-started"]
    assert sorted("by radio hub" in each for each in links) == [False, False, True]
    (plan,) = [each for each in lines if each["type"] == "plan"]
    states = [duty["state"] for device in plan["devices"] for duty in device["duties"]]
    assert states.count("done") == 9
