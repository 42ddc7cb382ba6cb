"""Processor time of commands from start to end, on the emulated home after its run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
BUDGETS_S = {"--help": 0.1, "run --help": 0.1, "status": 0.4}
RUN_LOADED = "from keyrig.run import rig_run, wiring"


def processor_s(command: list[str], environment: dict[str, str]) -> float:
    """Return the processor time of a process and those it waited for, in seconds."""
    pid = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command[1:])} failed")
    return used.ru_utime + used.ru_stime


def start_up_figures() -> dict[str, float]:
    """Return the median processor time of each command, by what it is called."""
    with tempfile.TemporaryDirectory() as home:
        evidence = str(Path(home) / "evidence.jsonl")
        # As installed: bytecode is kept, where whoever measures may have it off.
        environment = {**os.environ, "KEYRIG_HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/cache"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        keyrig = [sys.executable, "-m", "keyrig"]
        for arguments in (
            ["run", "--json"],
            ["report", "--format", "evidence", "--output", evidence, "last"],
        ):
            command = [*keyrig, *arguments]
            subprocess.run(command, env=environment, capture_output=True, check=True)
        commands = {name: [*keyrig, *name.split()] for name in BUDGETS_S}
        commands["verify-evidence"] = [*keyrig, "verify-evidence", evidence]
        commands["run, loading alone"] = [sys.executable, "-c", RUN_LOADED]
        found = {}
        for name, command in commands.items():
            processor_s(command, environment)
            found[name] = statistics.median(
                processor_s(command, environment) for _ in range(ROUNDS)
            )
        return found
