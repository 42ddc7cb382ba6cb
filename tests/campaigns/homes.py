"""The emulated home on virtual lines: made once, run, interrupted in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from unittest import mock

from gbcs.errors import KeyrigError
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.config.rig_file import LineSettings, load_rig
from keyrig.keys.lab_pki import initialise
from keyrig.run import device_links, wiring
from keyrig.run.rig_run import run
from keyrig_emulation import emulated_rig
from keyrig_emulation.emulated_rig import EmulatedDevices

from .disks import RefusingDisk, SmallDisk
from .lines import Line, VirtualLink, VirtualTime, WireLog, World
from .points import Action, Interruption, Trip

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from gbcs.entity import EntityIdentifier
    from keyrig.config.rig_file import RigDevice
    from keyrig.run.bench import Bench, RunResult
    from keyrig.session.link import Link
    from meterstub.emulated_device import EmulatedDevice

MADE_AT: Final = datetime(2026, 11, 24, 9, tzinfo=UTC)
RUN_AT: Final = MADE_AT + timedelta(hours=1)
NEXT_RUN_AT: Final = RUN_AT + timedelta(hours=1)
SAME_TIME: Final = RUN_AT + timedelta(microseconds=500)
"""A rig whose clock did not go on: every millisecond comes again, and no instant."""


PROCESS: Final = 7
"""The agent's process number: the same at every start, as it is in a container."""
EMPTY: Final = "an empty home"


@dataclass(frozen=True)
class Home:
    """The folders of one home.

    Args:
        directory: Holds what is not on the agent's disk: the devices and the log.
        disk: The agent's disk.
    """

    directory: Path
    disk: Path

    @property
    def agent(self) -> Path:
        """The agent's home folder."""
        return self.disk / "home"

    @property
    def devices(self) -> Path:
        """The devices' memories."""
        return self.directory / "devices"

    @property
    def log(self) -> Path:
        """What passed on the lines."""
        return self.directory / "wire.jsonl"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.agent / "ledger.sqlite"

    def make(self, *, prepared: bool) -> None:
        """Make the folders, and where asked the key store and the devices, as from the factory."""
        self.devices.mkdir(parents=True)
        self.agent.mkdir(parents=True)
        # The devices are elsewhere, as they are in a real home.
        (self.agent / "emulated").symlink_to(self.devices)
        if prepared:
            initialise(self.agent / "pki", MADE_AT, os.urandom)
            world = World(
                time=VirtualTime(MADE_AT),
                trip=Trip(self.agent),
                log=WireLog(self.log, 0),
                outside=nullcontext,
            )
            with _assembled(self, world, (), unobserved):
                pass
            for left in self.disk.glob("home/ledger.sqlite*"):
                left.unlink()

    def copy(self, to: Home) -> None:
        """Copy all that is kept."""
        shutil.copytree(self.devices, to.devices)
        if self.log.exists():
            shutil.copy(self.log, to.log)
        shutil.copytree(self.agent, to.agent, ignore=shutil.ignore_patterns("emulated"))
        (to.agent / "emulated").symlink_to(to.devices)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.agent)
        shutil.rmtree(self.directory)


@contextmanager
def _assembled(
    home: Home,
    world: World,
    only: Collection[EntityIdentifier],
    observe: Observer,
    should_stop: StopAsked = never_stopped,
) -> Iterator[wiring.Assembled]:
    """Put the rig together as the product does, but for its lines and clocks."""
    lines: dict[EntityIdentifier, Line] = {}

    class Hosted(EmulatedDevices):
        def _host(self, settings: RigDevice, device: EmulatedDevice) -> Line:  # type: ignore[override]
            del device
            assert isinstance(settings.link, LineSettings)
            line = Line(settings.entity_id.stem, settings.link.framing, self._path(settings), world)
            lines[settings.entity_id] = line
            return line

    def link_to(device: RigDevice, urls: Mapping[EntityIdentifier, str]) -> Link:
        del urls
        return VirtualLink(lines[device.entity_id])

    time = world.time
    with (
        mock.patch.dict(os.environ, KEYRIG_HOME=str(home.agent)),
        mock.patch.object(os, "getpid", return_value=PROCESS),
        mock.patch.object(emulated_rig, "EmulatedDevices", Hosted),
        mock.patch.object(device_links, "link_to", link_to),
        mock.patch.multiple(wiring, monotonic=time.monotonic, elapsed=time.monotonic),
        wiring.assembled(
            load_rig(None), clock=time.utc, only=only, observe=observe, should_stop=should_stop
        ) as ready,
    ):
        yield ready


def carry_out(
    home: Home,
    trip: Trip,
    *,
    number: int,
    start: datetime,
    only: Collection[EntityIdentifier] = (),
    outside: Callable[[], AbstractContextManager[None]] = nullcontext,
    with_stale: bool = False,
    faults: Mapping[str, str] | None = None,
    observe: Observer = unobserved,
    should_stop: StopAsked = never_stopped,
    ask: bool = False,
    all_or_nothing: bool = False,
    accept_clock: bool = False,
    changed: Callable[[Bench], Bench] = lambda bench: bench,
) -> RunResult:
    """Carry out what is due in a home, once.

    Args:
        home: The home.
        trip: Is told of every point.
        number: Counts the runs of this home.
        start: When the run begins.
        only: The devices to reach; all where empty.
        outside: Holds off the full disk.
        with_stale: Whether responses to an earlier run still arrive.
        faults: By a device's stem, a fault that it has in this run.
        observe: Is told what happens.
        should_stop: Says who asked the run to stop.
        ask: Whether devices are asked alone.
        all_or_nothing: Whether nothing is done where anything lacks.
        accept_clock: Whether a person says that the clock is right.
        changed: Changes what the run goes by.
    """
    world = World(
        time=VirtualTime(start),
        trip=trip,
        log=WireLog(home.log, number),
        outside=outside,
        with_stale=with_stale,
        faults=faults or {},
    )
    with trip.watching(), _assembled(home, world, only, observe, should_stop) as ready:
        return run(
            changed(ready.bench),
            ready.devices,
            run_id=uuid.uuid4().hex,
            ask=ask,
            all_or_nothing=all_or_nothing,
            accept_clock=accept_clock,
        )


def interrupted_run(
    home: Home,
    interruption: Interruption,
    *,
    only: Collection[EntityIdentifier] = (),
    faults: Mapping[str, str] | None = None,
) -> str:
    """Carry out a run that is interrupted, in a process of its own.

    Returns:
        How it ended: "killed", the result's name, or "raised " and the error, which begins
        with "unexpected" where the agent does not know it.
    """
    disk = SmallDisk(home.disk) if interruption.action is Action.DISK_FULL else RefusingDisk()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        said = "unexpected end"
        try:
            said = _run_interrupted(home, interruption, disk, only, faults)
        finally:
            os.write(writing, said.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    disk.free()
    if status == -signal.SIGKILL:
        return "killed"
    return said if status == 0 else f"raised unexpected signal {-status}"


def _run_interrupted(
    home: Home,
    interruption: Interruption,
    disk: RefusingDisk | SmallDisk,
    only: Collection[EntityIdentifier],
    faults: Mapping[str, str] | None,
) -> str:
    trip = Trip(home.agent, interruption, disk, with_devices=interruption.base == EMPTY)
    try:
        result = carry_out(
            home, trip, number=0, start=RUN_AT, only=only, outside=disk.outside, faults=faults
        ).name
    except KeyrigError as error:
        result = f"raised {type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - told to the parent, which judges it
        result = f"raised unexpected {type(error).__name__}: {error}"
    return result if trip.is_reached else f"raised unexpected end before the point ({result})"
