"""The emulated radio under zigpy's own command-line tool, which knows nothing of this project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from homes.radio_home import ESME, GSME, RadioHome
from meterstub.radio.zigbee_stack import WELL_KNOWN_KEY
from patience import HANG_S

ZIGPY = Path(sys.executable).with_name("zigpy")
needs_zigpy_cli = pytest.mark.skipif(not ZIGPY.exists(), reason="zigpy-cli is not installed")


def zigpy(home: RadioHome, *arguments: str) -> str:
    done = subprocess.run(
        [ZIGPY, "-v", "radio", "ezsp", home.host.url, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@needs_zigpy_cli
@pytest.mark.parametrize("version", [8, 13])
def test_it_forms_a_network_and_sees_the_devices_join(version: int) -> None:
    known = dict.fromkeys((ESME, GSME), WELL_KNOWN_KEY)
    with RadioHome(version=version, codes=known) as home:
        zigpy(home, "form")
        shown = zigpy(home, "info")
        pan_id = re.search(r"PAN ID: +0x([0-9A-F]{4})", shown)
        state = home.radio.memory.kept.network
        assert pan_id is not None
        assert state is not None
        assert int(pan_id[1], 16) == state.pan_id
        assert "Device IEEE:           00:db:12:34:56:78:90:af" in shown
        seen = zigpy(home, "permit", "--join-time", "4")
        for device in (ESME, GSME):
            address = ":".join(f"{octet:02x}" for octet in device)
            assert re.search(rf"\({address}\) joined the network", seen), seen[-2000:]
        assert all(node.stack.is_up for node in home.nodes)
