"""Homes in which something has happened, each made once a session and copied for each test.

A scenario is a list of runs, in virtual time, of an emulated home that came from the factory six
hours ago. What each run comes to is part of the scenario, and is seen to be so when it is made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.clock import utc_now
from keyrig.config.rig_file import emulated_home_text
from keyrig.domain.run_results import RunResult
from meterstub.device_memory import PowerLost

from .virtual_home import Home, carry_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

ESME, GSME, HUB, GPF, SWITCH, PPMID = (f"00-DB-12-34-56-78-90-A{digit}" for digit in "012345")
SUPPLIER: Final = "90b3d51f30010000"
BY_TEST: Final = 'by = "test"'
BY_HAND: Final = 'by = "by-hand"'
_SINCE_MADE: Final = timedelta(hours=6)
_BETWEEN: Final = timedelta(minutes=30)
_A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One run of a scenario.

    Args:
        only: The devices that it reaches; all where empty.
        faults: By device, a fault that it has in this run.
        by_hand: Whether certificates come from a person.
        ends: What it comes to; None where a device's power fails and ends the program.
        execute_after: How long after its begin devices are to replace their certificates.
    """

    only: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    by_hand: bool = False
    ends: RunResult | None = RunResult.DONE
    execute_after: timedelta | None = None

    def carry_out(self, home: Home, start: datetime, **options: Any) -> None:
        """Carry out the run, and see that it ends as it is said to."""
        ended: RunResult | None = None
        with suppress(PowerLost):
            ended = carry_out(
                home,
                start=start,
                rig=by_hand_rig(home.agent.parent) if self.by_hand else None,
                only=[EntityIdentifier.parse(device) for device in self.only],
                faults={
                    EntityIdentifier.parse(device).stem: fault
                    for device, fault in self.faults.items()
                },
                execute_at=start + self.execute_after if self.execute_after else None,
                **options,
            )
        assert ended is self.ends


@dataclass(frozen=True)
class Scenario:
    """What happened in a home.

    Args:
        visits: The runs, half an hour apart, or a day after one that scheduled something.
        before: Changes the home as it came from the factory.
    """

    visits: tuple[Visit, ...]
    before: Callable[[Home], object] = lambda _: None

    def make(self, folder: Path) -> None:
        """Make it happen in a home below a folder."""
        spread = sum((_after(visit) for visit in self.visits), timedelta())
        now = utc_now().replace(microsecond=0) - _SINCE_MADE - spread
        home = Home.below(folder)
        home.make(prepared=True, at=now)
        self.before(home)
        now += timedelta(hours=1)
        for visit in self.visits:
            visit.carry_out(home, now)
            now += _after(visit)


def _after(visit: Visit) -> timedelta:
    return _BETWEEN if visit.execute_after is None else visit.execute_after + _BETWEEN


def by_hand_rig(folder: Path) -> Path:
    """Write the rig file of the emulated home, whose requests wait for a person."""
    rig = folder / "by-hand.toml"
    text = emulated_home_text()
    assert text.count(BY_TEST) == 1
    rig.write_text(text.replace(BY_TEST, BY_HAND), encoding="utf-8")
    return rig


def lose_supplier_key(home: Home) -> Path:
    """Put the supplier's signing key aside; return where it is."""
    key = home.agent / "pki" / f"{SUPPLIER}-ds.key"
    return key.rename(home.agent / key.name)


def keep_first_keys(home: Home) -> None:
    """Keep the devices' memories as they left the factory."""
    kept = home.agent / "factory"
    for memory in home.devices.glob("*/*.json"):
        kept.mkdir(exist_ok=True)
        (kept / memory.name).write_bytes(memory.read_bytes())


def _hub_recovers(fault: str, ends: RunResult | None) -> Scenario:
    return Scenario((Visit(only=(HUB,), faults={HUB: fault}, ends=ends), Visit(only=(HUB,))))


_FAILS = Visit(only=(HUB,), faults={HUB: "fail-storage=1"}, ends=RunResult.FAILED)
_SWITCH = Visit(only=(SWITCH,))

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "all done": Scenario((Visit(),)),
    "all done, and the switch again": Scenario((Visit(), _SWITCH)),
    "switch done": Scenario((_SWITCH,)),
    "switch and hub done": Scenario((Visit(only=(SWITCH, HUB)),)),
    "hub done": Scenario((Visit(only=(HUB,)),)),
    "meter done": Scenario((Visit(only=(ESME,)),), keep_first_keys),
    "switch and meter done": Scenario((_SWITCH, Visit(only=(ESME,))), keep_first_keys),
    "hub suspended": Scenario((_FAILS,)),
    "hub suspended and restored": _hub_recovers("fail-storage=1", RunResult.FAILED),
    "meter's answer damaged": Scenario(
        (Visit(only=(ESME,), faults={ESME: "corrupt-response=1"}, ends=RunResult.FAILED),)
    ),
    "switch silent": Scenario(
        (Visit(only=(SWITCH,), faults={SWITCH: "drop-responses=9"}, ends=RunResult.NEEDS_PERSON),)
    ),
    "meter waits for a certificate": Scenario(
        (Visit(only=(ESME,), by_hand=True, ends=RunResult.NEEDS_PERSON),)
    ),
    "meter held back": Scenario(
        (Visit(only=(ESME,), ends=RunResult.NEEDS_PERSON),), lose_supplier_key
    ),
    "hub replaces a day later": Scenario(
        (Visit(only=(HUB,), execute_after=_A_DAY), Visit(only=(HUB,)))
    ),
    "hub refuses, then done": _hub_recovers("refuse=000B:4", RunResult.FAILED),
    "hub gives no certificate, then done": _hub_recovers(
        "fail-certificate-retrieval=1", RunResult.FAILED
    ),
    "hub's answer damaged, then done": _hub_recovers("corrupt-response=3", RunResult.FAILED),
    "hub silent once, then done": _hub_recovers("drop-responses=1", RunResult.DONE),
    "hub without power, then done": _hub_recovers("cut-power-at-write=2", None),
}


@dataclass(frozen=True)
class Recordings:
    """The homes that were made in this session.

    Args:
        folder: Where they are; the same for all processes of the session.
    """

    folder: Path

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of a name, which `make` fills if nobody has done so before."""
        folder = self.folder / name.replace(" ", "-")
        self.folder.mkdir(exist_ok=True)
        lock = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                making = folder.with_suffix(".making")
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                make(making)
                making.rename(folder)
        finally:
            os.close(lock)
        return folder

    def copy(self, name: str, to: Path) -> Home:
        """Return a copy of a scenario's home."""
        made, copy = Home.below(self.made(name, SCENARIOS[name].make)), Home.below(to)
        made.copy(copy)
        return copy
