"""A hub's radio with emulated devices around it, and links to them."""

from __future__ import annotations

import itertools
import random  # noqa: TID251 - seeded, as the rule asks
import time  # noqa: TID251 - hosts and radios run in real time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, OtherInformation, compose_pre_command
from keyrig.transports.zigbee.hub_radio import Hub
from keyrig.transports.zigbee.radio_role import RoleSettings
from keyrig.transports.zigbee.radio_thread import Radio
from keyrig.transports.zigbee.zigbee_link import ZigBeeLink
from meterstub.hosts import PtyHost, TCPHost
from meterstub.hosts.line_host import LineOptions
from meterstub.radio.emulated_radio import EmulatedRadio
from meterstub.radio.ezsp_handlers import RadioKind
from meterstub.radio.mains_node import MainsNode
from meterstub.radio.neighbourhood import Neighbourhood
from meterstub.radio.radio_air import Air, Conditions
from meterstub.radio.radio_memory import NetworkMemory
from meterstub.radio.sleepy_node import SleepyNode
from meterstub.radio.zigbee_node import NodeSettings
from patience import HANG_S
from zse.install_code import link_key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from meterstub.radio.radio_faults import RadioFault

ESME = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
GSME = EntityIdentifier.parse("00-DB-12-34-56-78-90-A1")
STRANGER = EntityIdentifier.parse("00-DB-12-34-56-78-90-FF")
PARTY = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
RADIO = 0x00DB1234567890AF
CODE = bytes.fromhex("83FED3407A939723A5C639B26916D505")
KEY = link_key_of(CODE)
QUICK_RECONNECT = (0.05, 0.1, 0.2, 0.4)


def message(size: int, *, counter: int = 1, cra_flag: CRAFlag = CRAFlag.COMMAND) -> bytes:
    """Make a message of about that many octets."""
    header = Header(cra_flag, counter, PARTY, ESME, OtherInformation(0x0102))
    content = bytes(number * 7 % 256 for number in range(size - 60))
    octets = compose_pre_command(header, content).octets
    return octets if cra_flag is CRAFlag.COMMAND else octets + b"\x00"


@dataclass
class Device:
    """Takes messages, and answers each with the next of `answers`."""

    answers: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    due: list[bytes] = field(default_factory=list)

    def receive_message(self, octets: bytes) -> list[bytes]:
        self.got.append(octets)
        return [self.answers.pop(0)] if self.answers else [b"heard " + octets[-8:]]

    def poll(self) -> list[bytes]:
        due, self.due = self.due, []
        return due


class RadioHome:
    """One radio with devices around it; a context."""

    def __init__(
        self,
        *,
        version: int = 13,
        conditions: Conditions | None = None,
        has_smart_energy: bool = True,
        directory: Path | None = None,
        is_tcp: bool = False,
        faults: Sequence[RadioFault] = (),
        codes: dict[EntityIdentifier, bytes] | None = None,
        dice: Callable[[], float] | None = None,
    ) -> None:
        self.told = Observed()
        self.air = Air(conditions=conditions or Conditions(bit_rate=None), dice=dice)
        octets = random.Random(1).randbytes
        self.radio = EmulatedRadio(
            RadioKind(RADIO, version=version, has_smart_energy=has_smart_energy),
            air=self.air,
            memory=NetworkMemory(),
            random_octets=octets,
        )
        self.esme, self.gsme = Device(), Device()
        keys = codes or {}
        self.nodes = [
            MainsNode(
                _settings(ESME, "ESME", keys),
                self.esme,
                air=self.air,
                memory=NetworkMemory(),
                random_octets=octets,
            ),
            SleepyNode(
                _settings(GSME, "GSME", keys),
                self.gsme,
                air=self.air,
                memory=NetworkMemory(),
                random_octets=octets,
            ),
        ]
        self.hood = Neighbourhood(self.radio, self.nodes, time.monotonic, faults)
        options = LineOptions(connection=self.hood.connection)
        if is_tcp:
            self.host: PtyHost | TCPHost = TCPHost(self.hood, options=options)
        else:
            link = directory / "radio.port" if directory is not None else None
            self.host = PtyHost(self.hood, options=options, link=link)
        self.hood.unplug = self.host.unplug
        self._stack = ExitStack()
        self._database = directory / "zigbee.db" if directory is not None else None
        self._counters = itertools.count(1)

    def __enter__(self) -> Self:
        self._stack.enter_context(self.host)
        url = self.host.url.replace("socket://", "tcp://")
        settings = RoleSettings(
            name="hub",
            url=url,
            database=self._database,
            reconnect_delays_s=QUICK_RECONNECT,
        )
        self.agent = Radio(Hub(settings, self.told))
        self._stack.callback(self.agent.stop)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def link(self, device: EntityIdentifier, *, timeout_s: float = HANG_S) -> ZigBeeLink:
        return ZigBeeLink(
            self.agent,
            device,
            link_key=KEY,
            sleeps=device == GSME,
            timeout_s=timeout_s,
            wakes_within_s=60.0,
            send_timeout_s=HANG_S,
            observe=self.told,
        )


def _settings(
    device: EntityIdentifier, device_type: str, keys: dict[EntityIdentifier, bytes]
) -> NodeSettings:
    return NodeSettings(
        eui64=int.from_bytes(device, "big"),
        device_type=device_type,
        install_code_key=keys.get(device, KEY),
        wake_interval_s=0.7,
    )
