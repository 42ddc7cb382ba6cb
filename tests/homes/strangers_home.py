"""A home of the openssl PKI: its devices in a process of their own, and the agent's home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from gbcs.entity_identifier import EntityIdentifier
from keyrig.cli import run_cli
from meterstub.device_memory import DeviceMemory
from patience import HANG_S
from strangers.devices import HOME, memory_of
from strangers.openssl_pki import (
    BROKER,
    NETWORK_OPERATOR,
    RECOVERY,
    SECOND_SUPPLIER,
    SUPPLIER,
    TRANSITIONAL_COS,
    WAN_PROVIDER,
    OpenSSLPKI,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from meterstub.device_state import DeviceState

TESTS: Final = Path(__file__).parents[1]
NAME: Final = "strangers"
_PARTIES: Final = f"""\
[rig]
name = "{NAME}"
parties = ["dcc", "lead-supplier"]

[pki]
keystore = "pki"

[dcc]
access_control_broker = "{BROKER.shown}"
transitional_cos = "{TRANSITIONAL_COS.shown}"
recovery = "{RECOVERY.shown}"
wan_provider = "{WAN_PROVIDER.shown}"

[home.electricity]
supplier = "{SUPPLIER.shown}"
network_operator = "{NETWORK_OPERATOR.shown}"

[home.gas]
supplier = "{SECOND_SUPPLIER.shown}"
network_operator = "{NETWORK_OPERATOR.shown}"
"""
BY_HAND: Final = '[certification]\nby = "by-hand"\n'
MET: Final = {"done", "exempt"}
ESME: Final = next(m.entity for m in HOME if m.type.value == "ESME")
CHANGING: Final = tuple(m for m in HOME if m.type.value in {"CHF", "GPF", "ESME", "GSME"})
"""The devices that owe new keys."""


@dataclass(frozen=True)
class Done:
    """What one call of the program came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one type."""
        return [line for line in self.lines if line.get("type") == kind]

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


@dataclass(frozen=True)
class Asked:
    """A request that waits, as the folder of requests shows it."""

    pem: Path

    @property
    def der(self) -> bytes:
        return self.pem.with_name(self.pem.name.removesuffix(".pem") + ".der").read_bytes()


def states(done: Done) -> dict[tuple[str, str], str]:
    """Return the state of each duty by device and requirement, from the plan that ends a run."""
    plan = done.lines[-1]
    assert plan["type"] == "plan", str(done)
    return {
        (device["entity_id"], duty["requirement"]): duty["state"]
        for device in plan["devices"]
        for duty in device["duties"]
    }


def proved(verdict: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the duties that an evidence file proves, by device and requirement."""
    return {(duty["entity_id"], duty["requirement"]) for duty in verdict["duties"] if duty["proof"]}


def python_path() -> str:
    """Return a PYTHONPATH with the tests' own modules before what it has."""
    return os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))


def keyrig(
    home: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Done:
    """Call the program as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "keyrig", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
        env={**os.environ, **(environment or {}), "KEYRIG_HOME": str(home)},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def keyrig_here(home: Path, *arguments: str | Path) -> Done:
    """Call the program within this process, which spares its start."""
    out, err = StringIO(), StringIO()
    with (
        mock.patch.dict(os.environ, {"KEYRIG_HOME": str(home)}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run_cli([str(each) for each in arguments])
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


@dataclass
class StrangersHome:
    """The PKI, the devices' memories, and the agent's home, all below one folder.

    Args:
        folder: The folder.
        pki: The PKI.
        certification: The rig file's table of that name.
        tokens: The rig file's tables of tokens.
        is_near: Calls the program within this process.
        timeout_s: How long a device's answer is waited for, in seconds.
    """

    folder: Path
    pki: OpenSSLPKI
    certification: str = BY_HAND
    tokens: str = ""
    is_near: bool = False
    timeout_s: float = 20.0

    @property
    def memories(self) -> Path:
        return self.folder / "memories"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def rig(self) -> Path:
        return self.folder / "rig.toml"

    def keyrig(self, *arguments: str | Path) -> Done:
        return (keyrig_here if self.is_near else keyrig)(self.home, *arguments)

    @contextmanager
    def devices(self, *options: str) -> Iterator[None]:
        """Run the devices in a process of their own, and write the rig file that reaches them."""
        command = [sys.executable, TESTS / "strangers" / "devices.py", self.pki.folder]
        with subprocess.Popen(
            [*map(str, command), str(self.memories), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": python_path()},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            announced = json.loads(process.stdout.readline())["devices"]
            self._furnish(announced)
            self.rig.write_text(self.rig_text(announced), encoding="utf-8")
            yield
            process.stdin.close()
        assert process.returncode == 0

    def _furnish(self, announced: Sequence[Mapping[str, Any]]) -> None:
        """Make the agent's home on the first call: no issuing key is in it."""
        if self.home.exists():
            return
        for device in announced:
            for use, file in device["certificates"].items():
                stem = EntityIdentifier.parse(device["entity_id"]).stem
                self.pki.add_device(f"{stem}-{use}", Path(file).read_bytes())
        self.home.mkdir(mode=0o700)
        self._fill_keystore()
        authorities = ("root", "issuing", "device-issuing")
        assert not [name for name in authorities if (self.home / "pki" / f"{name}.key").exists()]

    def _fill_keystore(self) -> None:
        done = self.keyrig("pki", "import", self.pki.agent)
        assert done.code == 0, str(done)

    def rig_text(self, announced: Sequence[Mapping[str, Any]]) -> str:
        """Compose the rig file."""
        parts = [_PARTIES, self.tokens, self.certification]
        parts += [
            f'[[device]]\nentity_id = "{each["entity_id"]}"\ntype = "{each["type"]}"\n'
            f"commissioned_at = {self.commissioned_at}\n"
            f'link = {{ url = "{each["url"]}", framing = "{each["framing"]}", '
            f"timeout_s = {self.timeout_s:g} }}\n"
            for each in announced
        ]
        return "\n".join(parts)

    @property
    def commissioned_at(self) -> str:
        """When the devices were commissioned: an hour before the rig file was first written."""
        file = self.folder / "commissioned-at"
        if not file.exists():
            moment = datetime.now(UTC) - timedelta(hours=1)
            file.write_text(f"{moment:%Y-%m-%dT%H:%M:%SZ}", encoding="ascii")
        return file.read_text(encoding="ascii")

    def state(self, entity: EntityIdentifier) -> DeviceState:
        """Return what a device remembers; for when the devices do not run."""
        return DeviceMemory(memory_of(self.memories, entity)).state

    def lose_pending(self, entity: EntityIdentifier) -> None:
        """Have a device forget its pending key pairs; for when the devices do not run."""
        memory = DeviceMemory(memory_of(self.memories, entity))
        assert memory.state.pending
        memory.commit(replace(memory.state, pending={}))

    @property
    def requests_folder(self) -> Path:
        return self.home / "requests" / NAME

    def asked(self) -> list[Asked]:
        """Return the requests that lie in the folder."""
        return [Asked(path) for path in sorted(self.requests_folder.glob("*.csr.pem"))]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that the program says wait."""
        done = self.keyrig("pki", "requests", "--json")
        assert done.code == 0, str(done)
        return done.lines

    def certify_all(self) -> None:
        """Certify whatever waits, and have keyrig take it."""
        answers = self.folder / "answers"
        answers.mkdir(exist_ok=True)
        files = []
        for asked in self.asked():
            file = answers / f"{asked.pem.name}.crt"
            file.write_bytes(self.pki.certify(asked.der))
            files.append(file)
        done = self.keyrig("pki", "certified", *files)
        assert done.code == 0, str(done)

    def verified(self, run: str = "last") -> dict[str, Any]:
        """Write a run's evidence, and have it verified where nothing of the agent's home is."""
        file = self.folder / f"{run}.evidence"
        written = self.keyrig("report", run, "--format", "evidence", "--output", file)
        assert written.code == 0, str(written)
        root = self.pki.file("root")
        done = keyrig(self.folder / "elsewhere", "verify-evidence", file, "--root", root, "--json")
        assert done.code == 0, str(done)
        verdict: dict[str, Any] = json.loads(done.out)
        return verdict
