"""Every interruption there is of the six-device run, and what comes of one."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import KeyrigError
from homes.points import Action, Cut, Interruption, Point, PointKind, Trip
from homes.virtual_home import NEXT_RUN_AT, RUN_AT, Home, carry_out
from homes.virtual_lines import WireLog
from keyrig.base.events import DeviceStarted
from keyrig.domain.run_results import RunResult

from .disks import RefusingDisk, SmallDisk
from .invariants import DUTIES, HUB, broken_after_interruption, broken_after_recovery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from keyrig.base.events import Event

SAME_TIME: Final = RUN_AT + timedelta(microseconds=500)
"""A rig whose clock did not go on: every millisecond comes again, and no instant."""
EMPTY: Final = "an empty home"
RUNS_TO_RECOVER: Final = 2
FAILS: Final = "fail-storage=1"
"""The device answers CS02d by certificateStorageFailed, once."""
_HOUR: Final = timedelta(hours=1)
_BEFORE: Final = RUN_AT - _HOUR / 2
_OF_THE_DISK: Final = {PointKind.BEFORE_COMMIT, PointKind.FILE}
"""The ledger's statements reach its file with the commit, so a disk filled earlier in the same
transaction is the same disk to it."""
_OF_A_LINE: Final = {PointKind.TO_DEVICE, PointKind.FROM_DEVICE}


@dataclass(frozen=True)
class Base:
    """A home in which a run is interrupted, and the points to interrupt it at.

    Args:
        name: What the campaign calls it.
        home: The home.
        points: Those to interrupt at, with their numbers.
        only: The devices that the run reaches; all where empty.
        faults: By a device's stem, a fault that it has in the run that is interrupted.
    """

    name: str
    home: Home
    points: tuple[tuple[int, Point], ...]
    only: tuple[EntityIdentifier, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Reference:
    """A run without an interruption."""

    trip: Trip
    starts: list[int] = field(default_factory=list)
    devices: list[EntityIdentifier] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        if isinstance(event, DeviceStarted):
            self.starts.append(len(self.trip.points))
            self.devices.append(EntityIdentifier.parse(event.device))


def make_bases(directory: Path) -> list[Base]:
    """Make the homes in which runs are interrupted.

    One in which nothing was done, and for each device one in which the devices before it were
    done by runs of their own, so that a run that is interrupted while it is at that device need
    not do them first. Together their points are those of the whole run, which is checked. Then
    those that `_suspended_bases` and `_empty_base` make.
    """
    home = Home(directory / "base-0", directory / "base-0" / "disk")
    home.make(prepared=True)
    whole = _reference(home, directory)
    bases = []
    for number, device in enumerate(whole.devices):
        reference = whole if not number else _reference(home, directory)
        begin = reference.starts[0] if number else 0
        end = reference.starts[1] if len(reference.starts) > 1 else None
        points = tuple(enumerate(reference.trip.points))[begin:end]
        bases.append(Base(f"base {number}", home, points))
        after = Home(directory / f"base-{number + 1}", directory / f"base-{number + 1}" / "disk")
        home.copy(after)
        home = after
        start = _BEFORE + number * timedelta(minutes=1)
        done = carry_out(home, Trip(home.agent), number=-1, start=start, only=[device])
        assert done is RunResult.DONE
    found = [(point.kind, point.label) for base in bases for _, point in base.points]
    assert found == [(point.kind, point.label) for point in whole.trip.points]
    return [*bases, *_suspended_bases(bases[0].home, directory), _empty_base(directory)]


def _suspended_bases(home: Home, directory: Path) -> list[Base]:
    """Make two homes with a hub that fails, and is suspended: during that run, and after it.

    Their runs reach the hub alone.
    """
    fails, only = {HUB: FAILS}, (EntityIdentifier.parse(HUB),)
    failing = _reference(home, directory, only=only, faults=fails)
    after = Home(directory / "suspended", directory / "suspended" / "disk")
    home.copy(after)
    done = carry_out(after, Trip(after.agent), number=-1, start=_BEFORE, only=only, faults=fails)
    assert done is RunResult.FAILED
    suspended = _reference(after, directory, only=only)
    return [
        Base("a hub that fails", home, _at_devices(failing), only, fails),
        Base("a hub that is suspended", after, _at_devices(suspended), only),
    ]


def _at_devices(reference: _Reference) -> tuple[tuple[int, Point], ...]:
    return tuple(enumerate(reference.trip.points))[reference.starts[0] :]


def _empty_base(directory: Path) -> Base:
    """Make a home that is empty, with the points until everything is made."""
    empty = Home(directory / "empty", directory / "empty" / "disk")
    empty.make(prepared=False)
    points = tuple(enumerate(_reference(empty, directory, with_devices=True).trip.points))
    made = next(n for n, point in points if point.kind is PointKind.STATEMENT)
    return Base(EMPTY, empty, points[:made])


def make_base_of(directory: Path, device: EntityIdentifier) -> Base:
    """Make a home of which a run reaches one device, with all the points of that run."""
    home = Home(directory / "base", directory / "base" / "disk")
    home.make(prepared=True)
    reference = _reference(home, directory, only=(device,))
    return Base(str(device), home, tuple(enumerate(reference.trip.points)), (device,))


def _reference(
    home: Home,
    directory: Path,
    *,
    with_devices: bool = False,
    only: tuple[EntityIdentifier, ...] = (),
    faults: Mapping[str, str] | None = None,
) -> _Reference:
    copy = Home(directory / "reference", directory / "reference" / "disk")
    home.copy(copy)
    reference = _Reference(Trip(copy.agent, with_devices=with_devices))
    result = carry_out(
        copy,
        reference.trip,
        number=0,
        start=RUN_AT,
        only=only,
        faults=faults,
        observe=reference.observe,
    )
    assert result is (RunResult.FAILED if faults else RunResult.DONE)
    if not faults:
        broken = broken_after_recovery(copy, WireLog(copy.log, 0).read(), _stems(only))
        assert not broken, broken
    copy.remove()
    return reference


def _stems(only: tuple[EntityIdentifier, ...]) -> frozenset[str]:
    return frozenset(entity.stem for entity in only) or frozenset(DUTIES)


def interruptions(bases: list[Base], *, small_disk: bool) -> Iterator[Interruption]:
    """Give every interruption at every point.

    Args:
        bases: The homes and their points.
        small_disk: Whether a full disk can be had; else one that refuses every write.
    """
    full = Action.DISK_FULL if small_disk else Action.DISK_REFUSES
    for base in bases:
        for number, point in base.points:
            if point.kind is not PointKind.MEMORY:
                yield Interruption(action=Action.KILL, base=base.name, number=number, point=point)
            if point.kind in _OF_THE_DISK:
                yield Interruption(action=full, base=base.name, number=number, point=point)
            if point.kind in _OF_A_LINE or point.kind is PointKind.OPEN:
                yield Interruption(action=Action.PORT, base=base.name, number=number, point=point)
            if point.kind in _OF_A_LINE or point.kind is PointKind.MEMORY:
                yield from _power_cuts(base, number, point)


def _power_cuts(base: Base, number: int, point: Point) -> Iterator[Interruption]:
    """Give the power cuts at a point: with and without the pending keys, where there are any."""
    cuts: list[tuple[Cut | None, bool]] = [(None, True), (None, False)]
    if point.kind in _OF_A_LINE:
        cuts = [(Cut.HALF, True), (Cut.HALF, False), (Cut.LAST, True)]
    for cut, back_at_once in cuts:
        for loses_pending in (False, True) if point.has_pending else (False,):
            yield Interruption(
                action=Action.POWER,
                base=base.name,
                number=number,
                point=point,
                cut=cut,
                back_at_once=back_at_once,
                loses_pending=loses_pending,
            )


@dataclass(frozen=True)
class Trial:
    """What came of one interruption.

    Args:
        interruption: Which.
        ended: How the interrupted run ended.
        runs: How many runs it took until all was done.
        broken: What did not hold.
    """

    interruption: Interruption
    ended: str
    runs: int
    broken: tuple[str, ...]


def try_interruption(base: Base, interruption: Interruption, home: Home) -> Trial:
    """Interrupt a run in a copy of a home, let the next runs go on, and see what holds.

    Args:
        base: What to begin with.
        interruption: What happens.
        home: Where the copy is made, and removed.
    """
    base.home.copy(home)
    try:
        return _tried(base, interruption, home)
    finally:
        home.remove()


def _tried(base: Base, interruption: Interruption, home: Home) -> Trial:
    only = base.only
    log = WireLog(home.log, 0)
    ended = interrupted_run(home, interruption, only=only, faults=base.faults)
    broken = []
    if ended.startswith("raised unexpected"):
        broken.append(ended)
    if (ended == "killed") != (interruption.action is Action.KILL):
        broken.append(f"the interrupted run ended: {ended}")
    broken += [f"before recovery: {each}" for each in broken_after_interruption(home, log.read())]
    runs, result = 0, ""
    while result != "DONE" and runs < RUNS_TO_RECOVER:
        runs += 1
        result = _recovery(only, interruption, home, runs)
    if result != "DONE":
        broken.append(f"not done after {runs} runs: {result}")
    else:
        broken += broken_after_recovery(home, log.read(), _stems(only))
    return Trial(interruption, ended, runs, tuple(broken))


def _recovery(
    only: tuple[EntityIdentifier, ...], interruption: Interruption, home: Home, number: int
) -> str:
    """Run again; after a kill, by a clock that did not go on, and with answers still to come."""
    start: datetime = NEXT_RUN_AT + number * _HOUR
    if interruption.action is Action.KILL and number == 1:
        start = SAME_TIME
    try:
        return carry_out(
            home,
            Trip(home.agent),
            number=number,
            start=start,
            only=only,
            with_stale=interruption.action in {Action.KILL, Action.PORT},
        ).name
    except (KeyrigError, ValueError, OSError) as error:
        return f"raised {type(error).__name__}: {error}"


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
