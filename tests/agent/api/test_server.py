"""Where the server listens, how it begins, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent.api.serving import HUB, RIG, serving
from agent.upstream.certificates import make_tls_files
from keyrig.api.server import alone, check_settings, listen, notify
from keyrig.base.clock import utc_now
from keyrig.base.errors import SettingsError
from keyrig.cli import run_cli
from keyrig.config.settings import ServeSettings
from keyrig.domain.api_tokens import Scope, new_token
from keyrig.ledger.ledger import Ledger
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]", "meter-bench.example"])
def test_off_the_loopback_address_it_does_not_start_without_tls(host: str) -> None:
    with pytest.raises(SettingsError, match="TLS is demanded"):
        check_settings(ServeSettings(listen=f"{host}:8463"))


@pytest.mark.parametrize("listening", ["127.0.0.1:0", "[::1]:0", "localhost:0", "unix:x.sock"])
def test_on_this_machine_it_does(listening: str) -> None:
    check_settings(ServeSettings(listen=listening))


def test_port_that_is_taken_is_said(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="cannot be had"):
            listen(ServeSettings(listen=f"127.0.0.1:{port}"), home)


def test_unix_socket_is_its_owners_alone_and_gone_at_the_end(home: Path) -> None:
    path = home / "keyrig.sock"
    with serving(home, listen="unix:keyrig.sock") as served:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert served.url == f"unix:{path}"
        assert served.client.get("/api/v1/rigs").status_code == 200
        anybody = served.client.get("/api/v1/rigs", headers={"Authorization": ""})
        assert anybody.status_code == 401
        with pytest.raises(SettingsError, match="another server listens there"):
            listen(ServeSettings(listen="unix:keyrig.sock"), home)
    assert not path.exists()


def test_unix_socket_that_a_killed_server_left_is_replaced(home: Path) -> None:
    path = home / "keyrig.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    assert path.is_socket()
    with serving(home, listen="unix:keyrig.sock") as served:
        assert served.client.get("/api/v1/health").status_code == 200


def test_file_that_is_no_socket_is_left_alone(home: Path) -> None:
    path = home / "precious"
    path.write_text("data", encoding="utf-8")
    with pytest.raises(SettingsError, match="no socket"):
        listen(ServeSettings(listen="unix:precious"), home)
    assert path.read_text(encoding="utf-8") == "data"


def test_over_tls_the_certificate_counts_and_any_name_is_taken(home: Path, tmp_path: Path) -> None:
    files = make_tls_files(tmp_path)
    with serving(
        home,
        listen="0.0.0.0:0",
        tls_certificate=str(files.server),
        tls_key=str(files.server_key),
    ) as served:
        token = served.client.headers["authorization"]
        port = served.url.rpartition(":")[2]
        trusted = ssl.create_default_context(cafile=str(files.ca))
        with httpx.Client(
            verify=trusted, headers={"Authorization": token}, timeout=HANG_S
        ) as client:
            answer = client.get(f"https://localhost:{port}/api/v1/rigs")
            assert answer.status_code == 200
            named = client.get(f"https://localhost:{port}/api/v1/rigs", headers={"Host": "bench"})
            assert named.status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{port}/api/v1/health")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/api/v1/health")


def test_certificate_that_cannot_be_used_is_said_before_anything_begins(home: Path) -> None:
    with (
        pytest.raises(SettingsError, match="tls_certificate"),
        serving(home, tls_certificate="none.pem", tls_key="none.key"),
    ):
        pytest.fail("served without a certificate")


def test_only_one_server_works_on_a_home(home: Path) -> None:
    with alone(home), pytest.raises(SettingsError, match="another `keyrig serve`"), alone(home):
        pytest.fail("two servers on one home")
    with alone(home):
        pass


def test_systemd_is_told_how_the_service_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify("READY=1")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(HANG_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        with serving(tmp_path / "home"):
            assert systemd.recv(100) == b"READY=1"
        assert systemd.recv(100) == b"STOPPING=1"
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


@pytest.fixture(name="started")
def fixture_started(home: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`keyrig serve` in a process of its own, and the line that it printed."""
    command = [sys.executable, "-m", "keyrig", "serve", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KEYRIG_HOME": str(home)},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, json.loads(line)
        process.kill()


def test_command_tells_a_home_that_others_may_enter(
    home: Path, started: tuple[subprocess.Popen[str], dict[str, Any]]
) -> None:
    process, _ = started
    assert home.stat().st_mode & 0o055
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    told = process.stderr.read()
    assert "others may get at the home" in told
    assert f"run `chmod 700 {home}`" in told


def test_command_serves_and_a_signal_ends_it_and_its_run_in_order(
    home: Path,
    started: tuple[subprocess.Popen[str], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    process, said = started
    assert said["rigs"] == [RIG]
    assert run_cli(["token", "create", "me", "--scope", "read", "--scope", "run"]) == 0
    token = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    with httpx.Client(base_url=said["url"], headers=token, timeout=HANG_S) as client:
        run_id = client.post("/api/v1/runs", json={"rig": RIG}).json()["operation_id"]
        with client.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
            lines = response.iter_lines()
            while not next(lines).startswith("event: duty-started"):
                pass
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
    assert process.wait(HANG_S) == 0
    assert "event: operation-finished" in rest
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        assert ledger.operations.operation(run_id).result == "interrupted"  # type: ignore[union-attr]
        (run,) = ledger.runs.runs()
        assert run.outcome is not None
        assert all(attempt.outcome for attempt in ledger.runs.attempts(run_id))
    assert run_cli(["run", "--json"]) == 0
    assert capsys.readouterr().out


def test_run_of_a_server_that_is_killed_is_completed_by_the_next(
    home: Path, started: tuple[subprocess.Popen[str], dict[str, Any]]
) -> None:
    process, said = started
    with (
        token_of_another_process(home) as token,
        httpx.Client(base_url=said["url"], headers=token, timeout=HANG_S) as client,
    ):
        run_id = client.post("/api/v1/runs", json={"rig": RIG}).json()["operation_id"]
        seen = 0
        with client.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
            for line in response.iter_lines():
                seen = int(line[4:]) if line.startswith("id: ") else seen
                if line.startswith("event: duty-started"):
                    break
        process.kill()
        process.wait(HANG_S)
    with serving(home) as served:
        rest = served.events(run_id, after=seen)
        assert rest[-1]["type"] == "operation-finished"
        assert rest[-1]["result"] == "interrupted"
        assert served.finished(served.start_run(devices=[HUB]))["state"] == "done"


@contextmanager
def token_of_another_process(home: Path) -> Iterator[dict[str, str]]:
    """Make a token as `keyrig token` does while the server runs."""
    scopes = frozenset({Scope.READ, Scope.RUN})
    made, text = new_token("x", scopes, now=utc_now(), lasts=None, random=os.urandom)
    with Ledger(home / "ledger.sqlite") as ledger:
        ledger.tokens.add(made)
    yield {"Authorization": f"Bearer {text}"}
