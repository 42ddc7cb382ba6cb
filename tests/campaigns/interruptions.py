"""Interrupts the six-device run everywhere, and says how many points were tried.

    python tests/campaigns/interruptions.py [--jobs N] [--only ACTION] [--kind KIND] [--base BASE]

At every point of the run at which something is written or passes on a line, everything that can
interrupt it there does so in a copy of the home, in a process of its own; the next run must then
complete with nothing lost, repeated or told twice. The exit code is 1 where anything is broken.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time  # noqa: TID251 - it tells how long it took
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.disks import mount_small_disk
from campaigns.trials import Base, Trial, interruptions, make_bases, try_interruption
from homes.points import Action, Interruption, PointKind
from homes.virtual_home import Home, quick_folder

COLLECT_EVERY = 25
SHOWN = 40


@dataclass
class _Worker:
    directory: Path
    disk: Path
    bases: dict[str, Base]
    tried: int = 0


_worker: _Worker | None = None


def _begin(directory: Path, bases: list[Base], *, small_disk: bool) -> None:
    """Give a worker its own disk."""
    global _worker  # noqa: PLW0603 - a pool's worker has nothing else to keep it in
    own = directory / f"worker-{os.getpid()}"
    disk = own / "disk"
    disk.mkdir(parents=True)
    if small_disk and not mount_small_disk(disk):
        raise OSError("a small disk could be mounted before, and cannot now")
    _worker = _Worker(own / "home", disk, {base.name: base for base in bases})
    gc.collect()
    gc.freeze()
    gc.disable()


def _try(interruption: Interruption) -> Trial:
    assert _worker is not None
    _worker.tried += 1
    if not _worker.tried % COLLECT_EVERY:
        gc.collect()
    home = Home(_worker.directory, _worker.disk)
    return try_interruption(_worker.bases[interruption.base], interruption, home)


def _can_mount(directory: Path) -> bool:
    """See, in a child, whether a small disk can be mounted here."""
    child = os.fork()
    if not child:
        place = directory / "probe"
        place.mkdir()
        os._exit(0 if mount_small_disk(place) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=[a.name for a in Action], help="one action")
    parser.add_argument("--kind", choices=[k.name for k in PointKind], help="points of one kind")
    parser.add_argument("--base", help="one of the homes")
    return parser.parse_args()


def say(line: str) -> None:
    """Tell whoever runs this, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _report(trials: list[Trial], seconds: float) -> None:
    counts = Counter((t.interruption.action, t.interruption.point.kind) for t in trials)
    ends = Counter((t.interruption.action, t.ended.split(":")[0]) for t in trials)
    for action in Action:
        total = sum(n for (of, _), n in counts.items() if of is action)
        if not total:
            continue
        say(f"{total:6}  {action.value}")
        for (of, kind), number in counts.items():
            if of is action:
                say(f"        {number:6}  {kind.value}")
        how = ", ".join(
            f"{n} {end}" for (of, end), n in sorted(ends.items(), key=str) if of is action
        )
        say(f"        the run ended: {how}")
    runs = Counter(t.runs for t in trials)
    say("runs until all was done: " + ", ".join(f"{n} took {r}" for r, n in sorted(runs.items())))
    broken = [trial for trial in trials if trial.broken]
    for trial in broken[:SHOWN]:
        say(f"BROKEN: {trial.interruption} (ended: {trial.ended})")
        for each in trial.broken:
            say(f"    {each}")
    say(f"{len(trials)} interruptions tried in {seconds:.0f} s, {len(broken)} broken")


def main() -> int:
    asked = _parse()
    began = time.monotonic()
    with quick_folder("interruptions") as directory:
        bases = make_bases(directory)
        small_disk = _can_mount(directory)
        if not small_disk:
            say("no small disk can be mounted here: the disk refuses, but is never full")
        wanted = [
            each
            for each in interruptions(bases, small_disk=small_disk)
            if (asked.only is None or each.action.name == asked.only)
            and (asked.kind is None or each.point.kind.name == asked.kind)
            and (asked.base is None or each.base == asked.base)
        ]
        points = sum(len(base.points) for base in bases)
        say(f"{points} points, {len(wanted)} interruptions, {asked.jobs} at a time")
        context = multiprocessing.get_context("fork")
        with context.Pool(asked.jobs, _begin_worker, (directory, bases, small_disk)) as pool:
            trials = list(pool.imap_unordered(_try, wanted, chunksize=4))
    _report(trials, time.monotonic() - began)
    return 1 if any(trial.broken for trial in trials) else 0


def _begin_worker(directory: Path, bases: list[Base], small_disk: bool) -> None:  # noqa: FBT001 - a pool passes positions
    _begin(directory, bases, small_disk=small_disk)


if __name__ == "__main__":
    sys.exit(main())
