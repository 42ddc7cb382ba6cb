"""What commands load, and which extras they can do without; each in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

import keyrig.domain
import keyrig.session.steps
from agent.extras import closure, outside_of

if TYPE_CHECKING:
    from pathlib import Path

TRANSPORTS = ("keyrig.transports", "serial", "zigpy", "bellows", "httpx", "paho")
SERVERS = ("keyrig.api", "fastapi", "starlette", "uvicorn")
DATABASE = ("sqlalchemy", "keyrig.ledger")
EMULATION = ("meterstub", "dccstub", "keyrig_emulation.emulated_rig")
RUNNING = ("keyrig.run.rig_run", "keyrig.run.device_visit", "keyrig.run.wiring")
XML = ("lxml", "signxml")

INSTALL_CODE = "83FED3407A939723A5C639B26916D505C3B5"
RADIO = '[radio.hub]\nurl = "/dev/ttyX"'

RECORDED = """
import atexit, json, pathlib, sys
atexit.register(lambda: pathlib.Path(sys.argv[1]).write_text(json.dumps(list(sys.modules))))
from keyrig.cli import run_cli
sys.exit(run_cli(sys.argv[2:]))
"""
HIDING = """
import importlib.metadata, json, pathlib, sys
hidden = json.loads(pathlib.Path(__file__).with_name("hidden.json").read_text())

class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden["modules"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hides())
found = importlib.metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name.lower().replace("_", "-") in hidden["distributions"]:
        raise importlib.metadata.PackageNotFoundError(name)
    return found(cls, name)

importlib.metadata.Distribution.from_name = classmethod(from_name)
"""


@pytest.fixture(name="home", scope="module")
def fixture_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulated home after its run, with the evidence of it."""
    home = tmp_path_factory.mktemp("start") / "home"
    for arguments in (
        ("run", "--json"),
        ("report", "--format", "evidence", "--output", str(home / "evidence.jsonl"), "last"),
    ):
        ended = keyrig_process(home, arguments)
        assert ended.returncode == 0, ended.stderr
    return home


def keyrig_process(
    home: Path, arguments: tuple[str, ...], hiding: Path | None = None, code: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KEYRIG_HOME": str(home)}
    if hiding is not None:
        before = environment.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = f"{hiding}{os.pathsep}{before}" if before else str(hiding)
    program = ("-c", code) if code else ("-m", "keyrig")
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(home: Path, folder: Path, *arguments: str) -> list[str]:
    """Return the modules that a command has loaded when it ends."""
    record = folder / "modules.json"
    ended = keyrig_process(home, (str(record), *arguments), code=RECORDED)
    assert ended.returncode == 0, ended.stderr
    modules: list[str] = json.loads(record.read_text())
    return modules


def among(modules: list[str], packages: tuple[str, ...]) -> list[str]:
    return [each for each in modules if each.startswith(tuple(f"{one}." for one in packages))] + [
        each for each in modules if each in packages
    ]


def hiding_all_but(extras: str, folder: Path) -> Path:
    """Return a folder for PYTHONPATH by which only what some extras bring seems installed.

    The emulated devices stay, which take the place of real ones, without what they need for radios.
    """
    brought = closure(f"keyrig[{extras}]" if extras else "keyrig")
    outside = outside_of(brought | {"keyrig-firmware-stubs"})
    modules = sorted(
        module
        for module, names in metadata.packages_distributions().items()
        # What measures coverage was begun before, and goes on.
        if module != "coverage" and {name.lower().replace("_", "-") for name in names} <= outside
    )
    hidden = {"modules": modules, "distributions": sorted(outside)}
    (folder / "hidden.json").write_text(json.dumps(hidden))
    (folder / "sitecustomize.py").write_text(HIDING)
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_loads_nothing_that_works(tmp_path: Path, arguments: list[str]) -> None:
    modules = loaded(tmp_path, tmp_path, *arguments)
    assert "click" in modules
    heavy = ("pydantic", "cryptography", "rich", "keyrig.config", "keyrig.run", "keyrig.duties")
    assert not among(modules, (*heavy, *DATABASE, *TRANSPORTS, *SERVERS, *EMULATION, *XML))


def test_status_loads_no_transport_no_runner_and_no_emulated_device(
    home: Path, tmp_path: Path
) -> None:
    modules = loaded(home, tmp_path, "status")
    assert among(modules, DATABASE)
    assert not among(modules, (*TRANSPORTS, *SERVERS, *RUNNING, *EMULATION, *XML, "structlog"))


def test_verify_evidence_loads_no_radio_no_server_and_no_database(
    home: Path, tmp_path: Path
) -> None:
    modules = loaded(home, tmp_path, "verify-evidence", str(home / "evidence.jsonl"))
    assert "keyrig.evidence.evidence_check" in modules
    apart = ("keyrig.run", "keyrig.report", "rich", "structlog", *EMULATION, *XML)
    assert not among(modules, (*TRANSPORTS, *SERVERS, *DATABASE, *apart))


def test_domain_steps_plan_and_evidence_check_know_no_database() -> None:
    names = ["keyrig.duties.plan", "keyrig.evidence.evidence_check"]
    for package in (keyrig.domain, keyrig.session.steps):
        names += [
            f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)
        ]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(names) <= set(modules)
    assert not among(modules, DATABASE)


@pytest.mark.parametrize("extras", ["", "verify"])
def test_evidence_is_verified_with_nothing_else_installed(
    home: Path, tmp_path: Path, extras: str
) -> None:
    hiding = hiding_all_but(extras, tmp_path)
    ended = keyrig_process(home, ("verify-evidence", str(home / "evidence.jsonl")), hiding)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("everything holds\n")


def test_rig_on_lines_runs_with_its_extra_alone(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    hiding = hiding_all_but("run", tmp_path / "hidden")
    report = ("report", "--format", "json", "last")
    for arguments in (("run", "--json"), ("status",), ("doctor",), report):
        ended = keyrig_process(tmp_path / "home", arguments, hiding)
        assert (ended.returncode, ended.stderr) == (0, ""), arguments


@pytest.mark.parametrize(
    ("command", "installed", "extra"),
    [
        ("run", "verify", "run"),
        ("status", "", "run"),
        ("serve", "verify", "serve"),
        ("serve", "run", "serve"),
        ("radio list", "run", "zigbee"),
    ],
)
def test_command_whose_extra_is_missing_says_which(
    tmp_path: Path, command: str, installed: str, extra: str
) -> None:
    hiding = hiding_all_but(installed, tmp_path)
    ended = keyrig_process(tmp_path / "home", tuple(command.split()), hiding)
    name = command.split(maxsplit=1)[0]
    assert ended.returncode == 2
    assert (
        ended.stderr == f"keyrig {name}: needs the extra {extra}; pip install 'keyrig[{extra}]'\n"
    )


def test_module_that_no_extra_brings_is_an_unexpected_error(tmp_path: Path) -> None:
    outside = {"modules": ["click", "tomllib"], "distributions": []}
    (tmp_path / "hidden.json").write_text(json.dumps(outside))
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    ended = keyrig_process(tmp_path / "home", ("--help",), tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.endswith("ModuleNotFoundError: No module named 'click'\n")


@pytest.mark.parametrize(
    ("device", "what"),
    [
        ('link = { service = "dcc-boxed" }', "00-DB-12-34-56-78-90-A0 through dcc-boxed: {} dcc"),
        (
            f'link = {{ zigbee = "hub", install_code = "{INSTALL_CODE}" }}\n{RADIO}',
            "00-DB-12-34-56-78-90-A0 on radio hub: {} zigbee",
        ),
    ],
)
def test_device_whose_extra_is_missing_is_named_before_anything_is_sent(
    tmp_path: Path, device: str, what: str
) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(
        '[rig]\nname = "bench"\nparties = ["lead-supplier"]\n'
        f'[[device]]\nentity_id = "00-DB-12-34-56-78-90-A0"\ntype = "ESME"\n{device}\n'
    )
    hiding, home = hiding_all_but("run", tmp_path), tmp_path / "home"
    what = f"rig bench: device {what.format('needs the extra')}; pip install"
    ended = keyrig_process(home, ("run", str(rig)), hiding)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"keyrig: {what}")
    assert len(ended.stderr.splitlines()) == 1
    assert not (home / "ledger.sqlite").exists()
    ended = keyrig_process(home, ("doctor", "--json", str(rig)), hiding)
    findings = json.loads(ended.stdout)["findings"]
    (found,) = [each for each in findings if each["what"] == "extras"]
    assert (ended.returncode, found["health"]) == (4, "bad")
    assert found["detail"].startswith(what)
    ended = keyrig_process(home, ("status", str(rig)), hiding)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_token_whose_extra_is_missing_is_named(tmp_path: Path) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(
        '[rig]\nname = "bench"\n[pki]\n'
        'token = [{ library = "/x.so", token = "keys", pin = { environment = "PIN" } }]\n'
        '[[device]]\nentity_id = "00-DB-12-34-56-78-90-A0"\ntype = "ESME"\n'
        'link = { url = "/dev/ttyX", framing = "hdlc" }\n'
    )
    hiding = hiding_all_but("run", tmp_path)
    ended = keyrig_process(tmp_path / "home", ("run", str(rig)), hiding)
    assert ended.returncode == 2
    assert ended.stderr == (
        "keyrig: rig bench: token keys of [[pki.token]]: needs the extra pkcs11; "
        "pip install 'keyrig[pkcs11]'\n"
    )


@pytest.mark.parametrize(
    "settings",
    [
        'kind = "mqtt"\nhost = "localhost"\ntopic = "t"',
        'kind = "https"\nurl = "https://localhost/"',
    ],
)
def test_upstream_whose_extra_is_missing_is_named_before_the_run(
    tmp_path: Path, settings: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "keyrig.toml").write_text(f"[upstream.office]\n{settings}\n")
    ended = keyrig_process(home, ("run",), hiding_all_but("run", tmp_path))
    assert ended.returncode == 2
    assert ended.stderr == (
        "keyrig: upstream office of the settings: needs the extra upstream; "
        "pip install 'keyrig[upstream]'\n"
    )
    assert not (home / "ledger.sqlite").exists()
