"""The example of a field rig reads as what it is, so that nobody copies a mistake."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from keyrig.base.error_kinds import ExitCode
from keyrig.cli import COMMANDS
from keyrig.config.places import find_data_folder
from keyrig.config.rig_file import load_rig
from keyrig.config.settings import load_settings
from patience import HANG_S

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "field-rig"
UNIT = EXAMPLE / "keyrig.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # its documented use
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


def test_settings_and_rig_of_the_example_are_valid() -> None:
    settings = load_settings({"KEYRIG_SETTINGS": str(EXAMPLE / "keyrig.toml")})
    assert settings.serve.rigs == ("/etc/keyrig/rig.toml",)
    assert {target.kind for target in settings.upstream.values()} == {"https", "ndjson"}
    assert len(load_rig(EXAMPLE / "rig.toml").device) == 2


def test_unit_starts_a_command_that_there_is_and_agrees_with_the_settings() -> None:
    service = unit()["Service"]
    program, command, *options = service["ExecStart"].split()
    assert (Path(program).name, command in COMMANDS, options) == ("keyrig", True, [])
    kept = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert kept == {ExitCode.USAGE, ExitCode.NEEDS_PERSON}
    settings = (EXAMPLE / "keyrig.toml").read_text(encoding="utf-8")
    credential = service["LoadCredential"].split(":")[0]
    assert f"/run/credentials/{UNIT.name}/{credential}" in settings
    environment = dict(
        line.removeprefix("Environment=").split("=", 1)
        for line in UNIT.read_text(encoding="utf-8").splitlines()
        if line.startswith("Environment=")
    )
    assert str(find_data_folder(environment)) == "/var/lib/keyrig"
    assert environment.keys() == {"KEYRIG_HOME", "KEYRIG_SETTINGS"}


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_knows_every_key_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "keyrig"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    text = UNIT.read_text(encoding="utf-8").replace("/opt/keyrig/bin/keyrig", str(program))
    checked = tmp_path / UNIT.name
    checked.write_text(text.replace("User=keyrig", "User=root"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(checked)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    about_it = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert about_it == []
