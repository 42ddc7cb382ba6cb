"""Measures what goes over the emulated radio: a tunnel's goodput, and a run of six devices."""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - seeded
import subprocess
import sys
import tempfile
import time  # noqa: TID251 - it measures
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.config.rig_file import EmulatedAir
from keyrig.transports.zigbee.hub_radio import Hub
from keyrig.transports.zigbee.radio_role import RoleSettings
from keyrig.transports.zigbee.radio_thread import Radio
from keyrig.transports.zigbee.zigbee_link import ZigBeeLink
from keyrig_emulation.rig_air import NodeOnAir, emulated_neighbourhood
from meterstub.hosts import PtyHost
from meterstub.hosts.line_host import LineOptions
from meterstub.radio.radio_air import Conditions
from meterstub.radio.radio_packets import (
    APS_BLOCK_OCTETS,
    APS_OCTETS,
    APS_SECURITY_OCTETS,
    NETWORK_OCTETS,
)
from zse.install_code import link_key_of
from zse.smart_energy_assumptions import APS_BLOCK_OCTETS as BLOCK_OCTETS

DEVICE: Final = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
CODE: Final = bytes(range(16))
MESSAGE_OCTETS: Final = 1190
MESSAGES: Final = 30
TRANSFER_HEADER_OCTETS: Final = 3 + 2
"""ZCL header and TunnelID."""
RIG: Final = Path(__file__).parents[1] / "hil-rigs" / "emulated-zigbee-home.toml"


class Sink:
    """A device that takes messages and says nothing."""

    def receive_message(self, octets: bytes) -> list[bytes]:
        del octets
        return []

    def poll(self) -> list[bytes]:
        return []


def least_s(octets: int) -> float:
    """Give how long the air takes at least for a tunnelled message: its blocks, one by one, each
    with the acknowledgement of the MAC and that of APS.
    """
    air = Conditions()
    left, total = octets + TRANSFER_HEADER_OCTETS, 0.0
    acknowledgement = NETWORK_OCTETS + APS_OCTETS + APS_BLOCK_OCTETS
    while left > 0:
        part = min(left, BLOCK_OCTETS)
        block = NETWORK_OCTETS + APS_OCTETS + APS_BLOCK_OCTETS + APS_SECURITY_OCTETS + part
        total += air.duration_s(block, wants_acknowledgement=True)
        total += air.duration_s(acknowledgement, wants_acknowledgement=True)
        left -= part
    return total


def goodput(version: int) -> tuple[float, float]:
    """Give kbit/s of GBCS messages to one device, and that as a share of what the air allows."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        node = NodeOnAir(
            DEVICE, DeviceType.ESME, Sink(), link_key_of(CODE), False, directory / "node.json"
        )
        hood = emulated_neighbourhood(
            EmulatedAir.model_validate({"ezsp": version}),
            radio_memory=directory / "radio.json",
            nodes=[node],
        )
        with PtyHost(hood, options=LineOptions(connection=hood.connection)) as host:
            radio = Radio(Hub(RoleSettings(name="hub", url=host.url)))
            link = ZigBeeLink(
                radio,
                DEVICE,
                link_key=link_key_of(CODE),
                sleeps=False,
                timeout_s=30,
                wakes_within_s=30,
                send_timeout_s=30,
            )
            try:
                link.open()
                message = random.Random(1).randbytes(MESSAGE_OCTETS)
                link.send(message)
                started = time.perf_counter()
                for _ in range(MESSAGES):
                    link.send(message)
                elapsed = time.perf_counter() - started
            finally:
                radio.stop()
    rate = MESSAGES * MESSAGE_OCTETS * 8 / elapsed / 1000
    return rate, MESSAGES * least_s(MESSAGE_OCTETS) / elapsed


def six_device_run() -> tuple[float, float]:
    """Give the seconds of a run with every duty over the radio, and those of joining therein."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "KEYRIG_HOME": home}
        command = [sys.executable, "-m", "keyrig", "run", "--json", str(RIG)]
        started = time.perf_counter()
        output = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, text=True
        ).stdout
        elapsed = time.perf_counter() - started
    events: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    joining, since = 0.0, None
    for event in events:
        at = datetime.fromisoformat(event["at"])
        if event["type"] == "device-started":
            since = at
        elif event["type"] == "command-sent" and since is not None:
            joining += (at - since).total_seconds()
            since = None
    return elapsed, joining
