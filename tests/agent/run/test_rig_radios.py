"""Rig files that name radios."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.observed import Observed
from keyrig.base import events
from keyrig.base.errors import RigFileInvalid
from keyrig.config.rig_file import LineSettings, ZigBeeSettings, parse_rig
from keyrig.run.radio_standings import RadioStandings, read_standings

RIGS = Path(__file__).parents[3] / "hil-rigs"
KEY = "66B6900981E1EE3CA4206B6B861C02BB"
TEXT = """
[rig]
name = "bench"

[radio.hub]
url = "/dev/hub"

[[device]]
entity_id = "00-DB-12-34-56-78-90-A0"
type = "ESME"
link = { zigbee = "hub", install_code = "83FED3407A939723A5C639B26916D505" }

[[device]]
entity_id = "00-DB-12-34-56-78-90-A1"
type = "GSME"
link = { zigbee = "hub", install_code = "83FED3407A939723A5C639B26916D505C3B5" }

[[device]]
entity_id = "00-DB-12-34-56-78-90-A2"
type = "CHF"
link = { url = "/dev/line", framing = "hdlc" }
"""


def test_radios_and_lines_mix() -> None:
    rig = parse_rig(TEXT, "rig")
    esme, gsme, chf = rig.device
    assert isinstance(esme.link, ZigBeeSettings)
    assert isinstance(gsme.link, ZigBeeSettings)
    assert isinstance(chf.link, LineSettings)
    assert esme.link.link_key.hex().upper() == gsme.link.link_key.hex().upper() == KEY
    assert [device.sleeps for device in rig.device] == [False, True, False]
    assert not rig.has_emulated_devices


def test_an_install_code_does_not_show() -> None:
    assert "83FED340" not in repr(parse_rig(TEXT, "rig"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("16D505C3B5", "16D505C3B6", "line 16.*check sum of the install code is wrong"),
        ("16D505C3B5", "16D505", "^$"),
        ("16D505C3B5", "xyz", "line 16.*hexadecimal"),
        ('"hub", install_code = "83FED3407A939723A5C639B26916D505"', '"hub"', "line 11.*missing"),
        ('zigbee = "hub", install', 'zigbee = "hut", install', r"line 11.*no \[radio.hut\]"),
        ('"/dev/line"', '"/dev/hub"', "line 21.*radio hub is on /dev/hub too"),
        ('url = "/dev/hub"', 'url = "/dev/hub"\nrole = "handheld"', "hub .*install_code"),
        ('url = "/dev/hub"', 'url = "/dev/hub"\nchanel = 15', "line 7.*did you mean 'channel'"),
        ('url = "/dev/hub"', 'url = "/dev/hub"\nchannel = 27', "line 7.*27"),
        ("install_code =", "install_cod =", "did you mean 'install_code'"),
        ('framing = "hdlc"', 'framing = "hdlc", zigbee = "hub"', "line 21.*unknown key"),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    if said == "^$":
        parse_rig(text, "rig")
        return
    with pytest.raises(RigFileInvalid, match=said) as caught:
        parse_rig(text, "rig")
    assert "83FED340" not in str(caught.value)


@pytest.mark.parametrize("name", ["emulated-zigbee-home.toml", "emulated-handheld.toml"])
def test_the_rigs_that_come_with_it_are_read_and_written(name: str) -> None:
    rig = parse_rig((RIGS / name).read_text(encoding="utf-8"), name)
    assert rig.has_emulated_devices
    (radio,) = rig.radio
    written = rig.with_urls({}, datetime(2026, 11, 24, tzinfo=UTC), {radio: "socket://h:1"})
    there = parse_rig(written, "written")
    assert there.radio[radio].url == "socket://h:1"
    assert not there.has_emulated_devices
    assert [device.link for device in there.device] == [device.link for device in rig.device]
    assert all(device.commissioned_at is not None for device in there.device)


def test_how_radios_stand_is_kept_and_a_killed_agent_leaves_none_in_use(tmp_path: Path) -> None:
    heard = Observed()
    path = tmp_path / "radios.json"
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    standings = RadioStandings(path, heard, lambda: now)
    told = [
        events.Radio(radio="hub", state="up", reason=""),
        events.Network(radio="hub", channel=15, pan_id="1A62", extended_pan_id="x", version="7"),
        events.NodeState(radio="hub", device="00-DB", state="tunnel open"),
        events.RunStopped(run="r", reason="x"),
    ]
    for event in told:
        standings(event)
    assert heard.all == told
    (found,) = read_standings(path, is_driven=True).values()
    assert (found["state"], found["pan_id"], found["since"]) == (
        "up",
        "1A62",
        "2026-11-24T12:00:00.000Z",
    )
    assert found["devices"] == {"00-DB": "tunnel open"}
    (left,) = read_standings(path, is_driven=False).values()
    assert (left["state"], left["last_state"], left["devices"]) == ("not in use", "up", {})
    assert read_standings(tmp_path / "none", is_driven=True) == {}


def test_a_rig_without_a_radio_does_not_wait_for_zigpy_to_load() -> None:
    program = (
        "import sys, keyrig.run.wiring, keyrig.run.doctor, keyrig.config.rig_file\n"
        "keyrig.config.rig_file.load_rig(None)\n"
        "found = {name.split('.')[0] for name in sys.modules} & {'zigpy', 'bellows'}\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
