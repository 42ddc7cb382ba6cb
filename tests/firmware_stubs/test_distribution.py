"""Two distributions: what each has, and that the one is found by the other as it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from keyrig.base.installed_emulation import GROUP

ROOT: Final = Path(__file__).parents[2]
STUBS: Final = ROOT / "firmware-stubs"
PACKAGES: Final = {"dccstub", "keyrig_emulation", "meterstub"}
OWN: Final = {"keyrig", "keyrig-firmware-stubs"}


def project(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    found: dict[str, Any] = values["project"]
    return found


def named(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower()


def files_of_wheel(folder: Path, tmp_path: Path) -> set[str]:
    """Build a wheel without a network, and return the names of its files."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_of_the_agent_has_agent_and_protocols_alone(tmp_path: Path) -> None:
    names = files_of_wheel(ROOT, tmp_path)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"duis", "gbcs", "keyrig", "meterlink", "zse"}


def test_wheel_of_the_stubs_has_the_emulated_home_and_nothing_of_the_agent(tmp_path: Path) -> None:
    names = files_of_wheel(STUBS, tmp_path)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == PACKAGES
    assert "keyrig_emulation/emulated-home.toml" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_entry_points_and_programs_are_there() -> None:
    described = project(STUBS)
    named_points = [*described["entry-points"][GROUP].values(), *described["scripts"].values()]
    for point in named_points:
        module, _, attribute = point.partition(":")
        assert hasattr(import_module(module), attribute)


def test_both_have_one_licence() -> None:
    assert (STUBS / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_stubs_go_with_the_agent_of_their_own_version() -> None:
    stubs, agent = project(STUBS), project(ROOT)
    assert stubs["version"] == agent["version"]
    assert f"keyrig[run]=={agent['version']}" in stubs["dependencies"]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_what_the_stubs_need_is_locked_and_neither_distribution_is(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    locked = {line.split("==")[0] for line in text.splitlines() if re.match(r"[a-z0-9]", line)}
    needed = {named(each) for each in project(STUBS)["dependencies"]} - OWN
    assert needed <= locked
    assert not OWN & locked
