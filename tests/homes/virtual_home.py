"""The emulated home on virtual lines and in virtual time: made, copied, and run."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest import mock

from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.config.rig_file import LineSettings, load_rig
from keyrig.keys.lab_pki import initialise
from keyrig.run import device_links, wiring
from keyrig.run.rig_run import run
from keyrig_emulation import emulated_rig
from keyrig_emulation.emulated_rig import EmulatedDevices

from .points import Trip
from .virtual_lines import Line, VirtualLink, VirtualTime, WireLog, World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig, RigDevice
    from keyrig.domain.run_results import RunResult
    from keyrig.run.bench import Bench
    from keyrig.session.link import Link
    from meterstub.emulated_device import EmulatedDevice

MADE_AT: Final = datetime(2026, 11, 24, 9, tzinfo=UTC)
RUN_AT: Final = MADE_AT + timedelta(hours=1)
NEXT_RUN_AT: Final = RUN_AT + timedelta(hours=1)
PROCESS: Final = 7
"""The agent's process number: the same at every start, as it is in a container."""


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

    @classmethod
    def below(cls, folder: Path) -> Home:
        """Name the folders of a home that lies below one folder."""
        return cls(folder / "outside", folder / "disk")

    def make(self, *, prepared: bool, at: datetime = MADE_AT) -> None:
        """Make the folders, and where asked the key store and the devices, as from the factory."""
        self.devices.mkdir(parents=True)
        self.agent.mkdir(parents=True)
        # The devices are elsewhere, as they are in a real home.
        (self.agent / "emulated").symlink_to(self.devices)
        if prepared:
            initialise(self.agent / "pki", at, os.urandom)
            world = World(
                time=VirtualTime(at),
                trip=Trip(self.agent),
                log=WireLog(self.log, 0),
                outside=nullcontext,
            )
            with _assembled(self, world, load_rig(None), (), unobserved):
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
def quick_folder(purpose: str) -> Iterator[Path]:
    """Make a folder on a file system in memory, where there is one, and remove it at the end.

    A disk would make no difference but to the time: what a killed process has written is kept by
    the system, and what it has not is lost, on either.
    """
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix=f"keyrig-{purpose}-", dir=place, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextmanager
def _assembled(
    home: Home,
    world: World,
    rig: Rig,
    only: Collection[EntityIdentifier],
    observe: Observer,
    should_stop: StopAsked = never_stopped,
    execute_at: datetime | None = None,
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
            rig,
            clock=time.utc,
            only=only,
            observe=observe,
            should_stop=should_stop,
            execute_at=execute_at,
        ) as ready,
    ):
        yield ready


def carry_out(
    home: Home,
    trip: Trip | None = None,
    *,
    number: int = 0,
    start: datetime = RUN_AT,
    rig: Path | None = None,
    only: Collection[EntityIdentifier] = (),
    outside: Callable[[], AbstractContextManager[None]] = nullcontext,
    with_stale: bool = False,
    faults: Mapping[str, str] | None = None,
    observe: Observer = unobserved,
    should_stop: StopAsked = never_stopped,
    ask: bool = False,
    all_or_nothing: bool = False,
    accept_clock: bool = False,
    execute_at: datetime | None = None,
    changed: Callable[[Bench], Bench] = lambda bench: bench,
) -> RunResult:
    """Carry out what is due in a home, once.

    Args:
        home: The home.
        trip: Is told of every point; None only counts them.
        number: Counts the runs of this home.
        start: When the run begins.
        rig: The rig file; None for the emulated home's own.
        only: The devices to reach; all where empty.
        outside: Holds off the full disk.
        with_stale: Whether responses to an earlier run still arrive.
        faults: By a device's stem, a fault that it has in this run.
        observe: Is told what happens.
        should_stop: Says who asked the run to stop.
        ask: Whether devices are asked alone.
        all_or_nothing: Whether nothing is done where anything lacks.
        accept_clock: Whether a person says that the clock is right.
        execute_at: When devices are to replace their certificates.
        changed: Changes what the run goes by.
    """
    trip = trip or Trip(home.agent)
    world = World(
        time=VirtualTime(start),
        trip=trip,
        log=WireLog(home.log, number),
        outside=outside,
        with_stale=with_stale,
        faults=faults or {},
    )
    with (
        trip.watching(),
        _assembled(home, world, load_rig(rig), only, observe, should_stop, execute_at) as ready,
    ):
        return run(
            changed(ready.bench),
            ready.devices,
            run_id=uuid.uuid4().hex,
            ask=ask,
            all_or_nothing=all_or_nothing,
            accept_clock=accept_clock,
        )
