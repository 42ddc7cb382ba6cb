"""The emulated radio of a rig and the emulated devices on its air."""

from __future__ import annotations

import os
import random  # noqa: TID251 - the edge of the program, where the dice are made
import time  # noqa: TID251 - the edge of the program, where time is read
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterstub.radio.emulated_radio import EmulatedRadio
from meterstub.radio.ezsp_handlers import RadioKind
from meterstub.radio.hub_node import EmulatedHub
from meterstub.radio.mains_node import MainsNode
from meterstub.radio.neighbourhood import Neighbourhood
from meterstub.radio.radio_air import Air, Conditions
from meterstub.radio.radio_faults import parse_radio_fault
from meterstub.radio.radio_memory import NetworkMemory
from meterstub.radio.sleepy_node import SleepyNode
from meterstub.radio.zigbee_node import NodeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType
    from keyrig.config.rig_file import EmulatedAir
    from meterstub.hosts.line_host import Station

RADIO_EUI64: Final = 0x00DB_1234_5678_90AF
"""The address of every emulated radio; two of them never share an air."""


@dataclass(frozen=True, slots=True)
class NodeOnAir:
    """A device of the rig, as it is put on an air."""

    entity: EntityIdentifier
    device_type: DeviceType
    station: Station
    link_key: bytes
    sleeps: bool
    memory: Path


def emulated_neighbourhood(
    settings: EmulatedAir,
    *,
    radio_memory: Path,
    nodes: Sequence[NodeOnAir],
    announces_reset: bool = False,
    hub: EntityIdentifier | None = None,
    channel: int = 15,
) -> Neighbourhood:
    """Make a radio, its air and its devices.

    Args:
        settings: What the air is like.
        radio_memory: Where the radio keeps its network.
        nodes: The devices.
        announces_reset: Whether the radio tells a new user that it started, as network bridges
            do.
        hub: The hub that the radio is to join, which has the devices behind it; without one the
            radio is the hub's own and the devices are on the air.
        channel: Where that hub has its network.
    """
    air = Air(
        conditions=Conditions(
            bit_rate=settings.bit_rate,
            loss=settings.loss,
            duplication=settings.duplication,
            delay_s=settings.delay_s,
            out_of_range={int.from_bytes(entity, "big") for entity in settings.out_of_range},
        ),
        dice=random.Random(settings.seed).random,  # noqa: S311 - what is lost, no secret
    )
    radio = EmulatedRadio(
        RadioKind(
            RADIO_EUI64,
            version=settings.ezsp,
            has_smart_energy=settings.smart_energy,
            announces_reset=announces_reset,
        ),
        air=air,
        memory=NetworkMemory(radio_memory),
        random_octets=os.urandom,
    )
    faults = [parse_radio_fault(text) for text in settings.faults]
    if hub is not None:
        behind = EmulatedHub(
            int.from_bytes(hub, "big"),
            {node.entity: node.station for node in nodes},
            air=air,
            memory=NetworkMemory(radio_memory.with_suffix(".hub.json")),
            random_octets=os.urandom,
            channel=channel,
        )
        return Neighbourhood(radio, [behind], time.monotonic, faults)
    made = []
    for node in nodes:
        kind = SleepyNode if node.sleeps else MainsNode
        made.append(
            kind(
                NodeSettings(
                    eui64=int.from_bytes(node.entity, "big"),
                    device_type=node.device_type.value,
                    install_code_key=node.link_key,
                    wake_interval_s=settings.wake_interval_s,
                ),
                node.station,
                air=air,
                memory=NetworkMemory(node.memory),
                random_octets=os.urandom,
            )
        )
    return Neighbourhood(radio, made, time.monotonic, faults)
