"""Measures how fast the outbox is emptied: to a file, to mosquitto, and over HTTP."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time  # noqa: TID251 - it measures
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.clock import monotonic, utc_now
from keyrig.config.settings import HTTPSUpstream, MQTTUpstream, NDJSONUpstream
from keyrig.domain.states import EventType
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.outbox import event_identifier
from keyrig.ledger.schema import events
from keyrig.upstream.event_publisher import Published, QueuePublisher, open_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.config.settings import UpstreamSettings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICES = 1000
RATE_EVENTS = 20_000
DRAINED_EVENTS = 100_000
THIRDS = 3


def fill(path: Path, count: int, devices: int = DEVICES) -> None:
    """Make a ledger with so many outcomes in its outbox, of devices in turn."""
    rows = []
    for n in range(count):
        device = EntityIdentifier(bytes.fromhex("00db12") + (n % devices).to_bytes(5))
        at = NOON + timedelta(milliseconds=n)
        body = {
            "actor": "lead-supplier",
            "attempt": n,
            "clause": "H5.37(a)",
            "detail": "both key pairs re-generated, certified, stored and read back",
            "duty": f"{device.stem}/R37a",
            "edition": "SEC H5.33-H5.40, consultation draft",
            "evidence": f"attempt {n}, exchanges {n}, {n + 1}, {n + 2}",
            "outcome": "done",
            "requirement": "R37a",
            "run": "0123456789abcdef0123456789abcdef",
            "started_at": at.isoformat(),
            "step": "regenerate-keys",
        }
        kind = EventType.DUTY_OUTCOME
        rows.append(
            {
                "id": str(event_identifier(kind, device, at, body)),
                "type": kind,
                "device": device,
                "at": at,
                "body": _json(body),
            }
        )
    with Ledger(path) as ledger, ledger.transaction() as connection:
        connection.execute(insert(events), rows)


def drain(path: Path, settings: UpstreamSettings, home: Path) -> list[tuple[float, int]]:
    """Tell everything; gives after each batch the seconds since the start and the events so far."""
    with Ledger(path) as ledger:
        ledger.event_queue.register(["bench"])
        target = open_target(
            settings,
            home,
            ledger_identity=ledger.outbox.identity(),
            clock=utc_now,
            monotonic=monotonic,
        )
        delivery = QueuePublisher(
            ledger,
            "bench",
            target,
            since=None,
            clock=utc_now,
            monotonic=monotonic,
            dice=lambda: 0.5,
        )
        marks = [(0.0, 0)]
        started = time.perf_counter()
        try:
            while isinstance(step := delivery.step(600), Published):
                marks.append((time.perf_counter() - started, marks[-1][1] + step.events))
        finally:
            target.close()
        if ledger.event_queue.standing("bench").waiting:
            raise RuntimeError(ledger.event_queue.get("bench").last_error)
    return marks


def rate(marks: list[tuple[float, int]]) -> float:
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def thirds(marks: list[tuple[float, int]]) -> tuple[float, float, float]:
    """Give the rate in the first, the middle and the last third of the events."""
    total = marks[-1][1]
    parts = []
    for n in range(THIRDS):
        low, high = total * n / THIRDS, total * (n + 1) / THIRDS
        part = [mark for mark in marks if low <= mark[1] <= high]
        parts.append(rate(part))
    return parts[0], parts[1], parts[2]


def ndjson_rate() -> float:
    """Events per second to a file, each batch synced to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        fill(path, RATE_EVENTS)
        return rate(drain(path, NDJSONUpstream(kind="ndjson", path="events.ndjson"), Path(folder)))


def mqtt_rate(devices: int = DEVICES) -> float | None:
    """Events per second to mosquitto over loopback, QoS 1; None where it is not installed."""
    if _mosquitto() is None:
        return None
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as port:
        path = Path(folder) / "ledger.sqlite"
        fill(path, RATE_EVENTS, devices)
        settings = MQTTUpstream(kind="mqtt", host="127.0.0.1", port=port, tls=False)
        return rate(drain(path, settings, Path(folder)))


def ndjson_drain() -> tuple[float, float, float]:
    """Events per second at the beginning, in the middle and at the end of 100,000, to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        fill(path, DRAINED_EVENTS)
        settings = NDJSONUpstream(kind="ndjson", path="events.ndjson")
        return thirds(drain(path, settings, Path(folder)))


def http_drain() -> tuple[float, float, float]:
    """The same over HTTP/1.1 to a server on loopback, in batches of 100."""
    with tempfile.TemporaryDirectory() as folder, sink() as port:
        path = Path(folder) / "ledger.sqlite"
        fill(path, DRAINED_EVENTS)
        settings = HTTPSUpstream(kind="https", url=f"http://127.0.0.1:{port}/events")
        return thirds(drain(path, settings, Path(folder)))


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run mosquitto on a free port of loopback."""
    program = _mosquitto()
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    configuration = folder / "mosquitto.conf"
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="ascii")
    with subprocess.Popen(
        [program, "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """Serve HTTP on a free port of loopback: every batch is taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError("mosquitto does not start")


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def main() -> None:
    print(f"NDJSON: {ndjson_rate():.0f} events/s")
    for devices in (DEVICES, 6, 1):
        print(f"mosquitto, {devices} devices: {mqtt_rate(devices) or 0:.0f} events/s")
    for name, drained in (("NDJSON", ndjson_drain()), ("HTTP", http_drain())):
        first, middle, last = drained
        print(f"{name}, 100,000 waiting: {first:.0f}, {middle:.0f}, {last:.0f} events/s")


if __name__ == "__main__":
    main()
