"""A home whose devices stand behind a stand-in DCC Boxed, and an agent in front of it."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from agent.observed import Observed
from dccstub import DCCBoxed, Faults, InventoryDevice, KeyFolder, Running, StandInOptions
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.base import events
from keyrig.base.clock import monotonic
from keyrig.base.observing import unobserved
from keyrig.config.places import places_of
from keyrig.config.rig_file import parse_rig
from keyrig.keys.lab_pki import initialise
from keyrig.ledger.ledger import Ledger
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled
from keyrig_emulation.emulated_rig import EmulatedDevices
from meterstub.device_memory import DeviceMemory, FileStorage
from meterstub.emulated_device import EmulatedDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pytest

    from keyrig.config.rig_file import Rig
    from keyrig.domain.run_results import RunResult
    from keyrig.ledger.exchanges import Exchange
    from keyrig.ledger.service_documents import ServiceDocument

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
ESME = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
GSME = EntityIdentifier.parse("00-DB-12-34-56-78-90-A1")
GPF = EntityIdentifier.parse("00-DB-12-34-56-78-90-A3")
HCALCS = EntityIdentifier.parse("00-DB-12-34-56-78-90-A4")
PPMID = EntityIdentifier.parse("00-DB-12-34-56-78-90-A5")
TYPES = {
    ESME: DeviceType.ESME,
    GPF: DeviceType.GPF,
    GSME: DeviceType.GSME,
    HCALCS: DeviceType.HCALCS,
    PPMID: DeviceType.PPMID,
}
API_KEY = "stand-in-key-8d1f"
RIG = """
[rig]
name = "{name}"
parties = ["lead-supplier"]

[certification]
by = "test"

[home.electricity]
supplier = "{supplier}"
network_operator = "90-B3-D5-1F-30-02-00-00"

[home.gas]
supplier = "90-B3-D5-1F-30-03-00-00"
network_operator = "90-B3-D5-1F-30-02-00-00"
"""
DEVICE = """
[[device]]
entity_id = "{entity}"
type = "{type}"
commissioned_at = 2026-11-23T09:00:00Z
link = {link}
"""
SETTINGS = """
[dcc_boxed]
address = "127.0.0.1"
duis_port = {duis_port}
smki_port = {smki_port}
bundle_port = {bundle_port}
receive = "127.0.0.1:0"
smki_api_key = {{ environment = "TEST_SMKI_API_KEY" }}
request_timeout_s = 10
response_timeout_s = {response_timeout_s}
{more}
"""


@dataclass
class BoxedHome:
    """A home folder, devices, the stand-in and the agent's rig.

    Args:
        path: The home folder.
        monkeypatch: Sets the environment.
        entities: The devices.
        more_settings: Further lines of [dcc_boxed].
        response_timeout_s: How long the agent waits for a device.
        link: How the rig file says that each device is reached.
        supplier: Who supplies electricity.
        when_sent: Is given each `CommandSent` before the request leaves.
    """

    path: Path
    monkeypatch: pytest.MonkeyPatch
    entities: Sequence[EntityIdentifier] = tuple(TYPES)
    more_settings: str = ""
    response_timeout_s: float = 20.0
    options: dict[str, Any] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    keep_device_certificates: bool = True
    link: str = '{ service = "dcc-boxed" }'
    supplier: str = "90-B3-D5-1F-30-01-00-00"
    now: datetime = NOW
    told: Observed = field(default_factory=Observed)
    when_sent: Callable[[events.CommandSent], None] = lambda _: None

    def __post_init__(self) -> None:
        self.monkeypatch.setenv("KEYRIG_HOME", str(self.path))
        self.monkeypatch.setenv("TEST_SMKI_API_KEY", API_KEY)
        self._stack = ExitStack()
        self._began = monotonic()
        keys = initialise(self.path / "pki", self.now, os.urandom)
        self.emulated = self._made(keys)
        self.boxed = DCCBoxed(
            KeyFolder.read(self.path / "pki"),
            [InventoryDevice(emulated=each) for each in self.emulated.values()],
            options=StandInOptions(
                api_key=API_KEY,
                answer_timeout=timedelta(seconds=0.3),
                retry_interval=timedelta(seconds=0.1),
                **self.options,
            ),
            clock=self._ticking,
            faults=self.faults,
        )
        if not self.keep_device_certificates:
            for entity in self.entities:
                for path in (self.path / "pki").glob(f"{entity.stem}-*"):
                    path.unlink()

    def clock(self) -> datetime:
        return self.now

    def _ticking(self) -> datetime:
        """Give the stand-in's time, by which it gives up waiting and tries again."""
        return self.now + timedelta(seconds=monotonic() - self._began)

    def _made(self, keys: Any) -> dict[EntityIdentifier, EmulatedDevice]:
        rig = self._rig("stand-in", '{ url = "emulated:", framing = "hdlc" }')
        directory = self.path / "behind-the-stand-in"
        EmulatedDevices(
            rig,
            directory=directory,
            store=keys,
            clock=self.clock,
            observe=unobserved,
        ).make()
        return {
            entity: EmulatedDevice(
                DeviceMemory(FileStorage(directory / f"{entity.stem}.json")), clock=self.clock
            )
            for entity in self.entities
        }

    def _rig(self, name: str, link: str) -> Rig:
        text = RIG.format(name=name, supplier=self.supplier) + "".join(
            DEVICE.format(entity=entity, type=TYPES[entity].value, link=link)
            for entity in self.entities
        )
        return parse_rig(text, f"{name}.toml")

    @property
    def rig(self) -> Rig:
        return self._rig("boxed", self.link)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.running = stack.enter_context(Running(self.boxed))
            self._stack = stack.pop_all()
        self.write_settings()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def write_settings(self) -> None:
        def port(url: str) -> int:
            return int(url.rpartition(":")[2])

        (self.path / "keyrig.toml").write_text(
            SETTINGS.format(
                duis_port=port(self.running.duis_url),
                smki_port=port(self.running.smki_url),
                bundle_port=port(self.running.bundle_url),
                response_timeout_s=self.response_timeout_s,
                more=self.more_settings,
            )
        )

    def observe(self, event: events.Event) -> None:
        if isinstance(event, events.Receiving):
            self.running.set_receive_address(f"http://{event.address}{event.path}")
        self.told(event)
        if isinstance(event, events.CommandSent):
            self.when_sent(event)

    def run(self, run_id: str = "", *, cancel: bool = False, **options: Any) -> RunResult:
        with assembled(self.rig, observe=self.observe, clock=self.clock, **options) as ready:
            return run(ready.bench, ready.devices, run_id=run_id or uuid.uuid4().hex, cancel=cancel)

    def exchanges(self) -> list[Exchange]:
        with self.ledger() as ledger:
            return [
                each
                for run in reversed(ledger.runs.runs())
                for each in ledger.exchanges.of_run(run.id)
            ]

    def documents(self, exchange: Exchange) -> tuple[ServiceDocument, ...]:
        with self.ledger() as ledger:
            return ledger.service_documents.of_exchange(exchange.id)

    def ledger(self) -> Ledger:
        return Ledger(places_of(self.rig).ledger)
