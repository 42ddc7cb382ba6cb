"""keyrig with and without what emulates devices, which is a distribution of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gbcs
import keyrig
from agent.api.serving import serving
from keyrig.base import installed_emulation
from keyrig.base.errors import EmulationMissing
from keyrig.config.rig_file import NO_RIG_FILE, emulated_home_text, load_rig, parse_rig
from keyrig.run.hosting import emulated_rig

if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[..., subprocess.CompletedProcess[str]]

TIMEOUT_S = 60
PACKAGES = ("dccstub", "keyrig_emulation", "meterstub")
LEFT_OUT = ("_editable_impl_", "keyrig_firmware_stubs", *PACKAGES)
"""How the names begin of what emulates devices, and of what leads to it."""
WHAT_TO_DO = "run `pip install keyrig-firmware-stubs`, or name a rig file of real devices"
LACKS = f"its devices are emulated, and what emulates them is not installed; {WHAT_TO_DO}\n"


@pytest.fixture(name="without_emulation", scope="module")
def fixture_without_emulation(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Run a program where agent, protocols and what others made are installed, and no more."""
    others = tmp_path_factory.mktemp("site-packages")
    for each in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not each.name.startswith(LEFT_OUT):
            (others / each.name).symlink_to(each)
    roots = [Path(module.__path__[0]).parent for module in (keyrig, gbcs)]
    path = os.pathsep.join(map(str, [*roots, others]))

    def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
        # Without `site`, nothing else is on the path.
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            env={**os.environ, "PYTHONPATH": path, "KEYRIG_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    return run


def one_device(url: str = "emulated:") -> str:
    """Return the emulated home's rig file with its first meter alone, which is reached at `url`."""
    head, *devices = emulated_home_text().split("[[device]]")
    meter = next(device for device in devices if '"HCALCS"' in device)
    return f"{head}[[device]]{meter}".replace("emulated:", url)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_that_emulates_is_there(
    without_emulation: Program, package: str, tmp_path: Path
) -> None:
    done = without_emulation("-c", f"import {package}", home=tmp_path)
    assert f"No module named '{package}'" in done.stderr


def test_rig_of_real_devices_does_without_emulation(
    without_emulation: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = tmp_path / "home", tmp_path / "bench.toml"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    with emulated_rig(parse_rig(one_device(), "one.toml"), line="tcp") as hosted:
        (url,) = hosted.urls.values()
        made_at = f'commissioned_at = "{hosted.commissioned_at.isoformat()}"\n'
        file.write_text(one_device(url) + made_at.replace('"', ""), encoding="utf-8")
        for arguments in (["plan"], ["doctor"], ["run"], ["status"]):
            done = without_emulation("-m", "keyrig", *arguments, str(file), home=home)
            assert (done.returncode, done.stderr) == (0, ""), (arguments, done.stdout)


@pytest.mark.parametrize(
    "command",
    ["run", "plan", "status", "doctor", "emulate", "rules", "radio show --rig"],
)
def test_rig_of_emulated_devices_says_in_one_line_what_to_install(
    without_emulation: Program, command: str, tmp_path: Path
) -> None:
    home, file = tmp_path / "home", tmp_path / "bench.toml"
    file.write_text(one_device(), encoding="utf-8")
    done = without_emulation("-m", "keyrig", *command.split(), str(file), home=home)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.endswith(f"{file}: {LACKS}")
    assert done.stderr.count("\n") == 1
    assert not home.exists()


def test_run_without_a_rig_file_says_in_one_line_that_it_needs_one(
    without_emulation: Program, tmp_path: Path
) -> None:
    done = without_emulation("-m", "keyrig", "run", home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"{NO_RIG_FILE}: {LACKS}")
    assert done.stderr.count("\n") == 1


def test_server_without_emulation_answers_with_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_emulation, "entry_points", lambda **_: EntryPoints())
    with serving(tmp_path / "home") as served:
        (rig,) = served.client.get("/api/v1/rigs").json()["rigs"]
        assert rig["name"] == "emulated-home"
        for problem in (
            rig["problem"],
            served.client.get("/api/v1/rigs/emulated-home/plan").json(),
            served.client.post("/api/v1/runs", json={"rig": "emulated-home"}).json(),
        ):
            assert problem["code"] == "rig-file-invalid"
            assert WHAT_TO_DO in str(problem)


def test_emulation_that_lacks_what_it_needs_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("meterstub", "no_such_package:EMULATION", installed_emulation.GROUP)
    monkeypatch.setattr(installed_emulation, "entry_points", lambda **_: EntryPoints([broken]))
    with pytest.raises(EmulationMissing, match="No module named 'no_such_package'; run `pip inst"):
        load_rig(None)
