from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

from agent.extras import closure
from keyrig.base.errors import SettingsError
from keyrig.base.installed_extras import extra_with, is_installed, require_extra

ROOT = Path(__file__).parents[3]
OURS = {"keyrig", "gbcs", "duis", "meterlink", "zse", "meterstub", "dccstub", "keyrig_emulation"}
CORE = {"click", "construct", "cryptography", "pydantic", "pydantic_core", "typing_extensions"}
NOT_FOR_VERIFYING = {
    "bellows",
    "fastapi",
    "httpx",
    "keyring",
    "paho-mqtt",
    "pyserial",
    "python-pkcs11",
    "rich",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
    "zigpy",
}


def test_what_verifies_evidence_brings_nothing_that_runs_rigs() -> None:
    brought = closure("keyrig[verify]")
    assert brought >= {"keyrig", "click", "cryptography", "pydantic", "lxml", "signxml"}
    assert not brought & NOT_FOR_VERIFYING


def test_core_is_less_than_what_verifies() -> None:
    assert closure("keyrig") < closure("keyrig[verify]") < closure("keyrig[run]")
    assert not closure("keyrig") & {"lxml", "signxml"}


def test_all_is_every_extra_for_users_together() -> None:
    every = frozenset[str]()
    for extra in ("verify", "run", "zigbee", "serve", "dcc", "upstream", "pkcs11"):
        every |= closure(f"keyrig[{extra}]")
    assert closure("keyrig[all]") == every


def imported(root: Path) -> set[str]:
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OURS


def test_every_module_from_elsewhere_is_of_the_core_or_of_an_extra() -> None:
    modules = imported(ROOT / "agent") | imported(ROOT / "protocols")
    assert {"sqlalchemy", "zigpy", "serial", "paho", "pkcs11"} <= modules
    assert [each for each in sorted(modules - CORE) if extra_with(each, "") is None] == []


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [
        ("lxml.etree", "verify-evidence", "verify"),
        ("sqlalchemy", "status", "run"),
        ("sqlalchemy", "serve", "serve"),
        ("serial", "doctor", "run"),
        ("zigpy", "radio", "zigbee"),
        ("bellows", "run", "zigbee"),
        ("httpx", "facts", "dcc"),
        ("prometheus_client", "serve", "serve"),
        ("paho.mqtt.client", "outbox", "upstream"),
        ("pkcs11", "pki", "pkcs11"),
        ("no_such_module", "run", None),
        ("", "run", None),
    ],
)
def test_extra_that_brings_a_module_is_found(module: str, command: str, extra: str | None) -> None:
    assert extra_with(module, command) == extra


def test_extra_that_is_installed_is_no_error() -> None:
    assert is_installed("run")
    require_extra("run", "keyrig run")


def test_extra_with_a_part_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> metadata.Distribution:
        if name == "zigpy":
            raise metadata.PackageNotFoundError(name)
        return metadata.Distribution.from_name(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    with pytest.raises(SettingsError) as caught:
        require_extra("zigbee", "radio hub")
    assert str(caught.value) == "radio hub: needs the extra zigbee; pip install 'keyrig[zigbee]'"
