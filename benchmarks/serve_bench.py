"""Measures `keyrig serve`: status reads per second, and how soon a run tells its first event."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time  # noqa: TID251 - it measures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from keyrig.base.clock import utc_now
from keyrig.domain.api_tokens import Scope, new_token
from keyrig.keys.lab_pki import initialise
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS: Final = (1, 16, 64)
READ_SECONDS: Final = 3.0
STATUS_PATHS: Final = ("/api/v1/rigs/rig-0/plan?duties=all", "/api/v1/rigs/rig-0/devices")
RIG: Final = """\
[rig]
name = "rig-{number}"

[home.electricity]
supplier = "90-B3-D5-1F-30-01-00-00"
network_operator = "90-B3-D5-1F-30-02-00-00"

[[device]]
entity_id = "00-DB-12-34-56-79-{high:02X}-{low:02X}"
type = "{type}"
link = {{ url = "emulated:", framing = "gfi" }}
"""


@dataclass(frozen=True)
class Served:
    """A server in a process of its own."""

    host: str
    port: int
    token: str

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n"
        head += f"Authorization: Bearer {self.token}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


@contextmanager
def served(directory: Path, rigs: int) -> Iterator[Served]:
    """Serve some rigs of one emulated device each, in a process of their own."""
    home = directory / "home"
    home.mkdir()
    initialise(home / "pki", utc_now(), os.urandom)
    files = []
    for number in range(rigs):
        path = directory / f"rig-{number}.toml"
        high, low = divmod(number, 256)
        kind = "ESME" if number == 0 else "HCALCS"
        path.write_text(RIG.format(number=number, high=high, low=low, type=kind), encoding="utf-8")
        files.append(str(path))
    made, token = new_token(
        "bench",
        frozenset({Scope.READ, Scope.RUN}),
        now=utc_now(),
        lasts=None,
        random=os.urandom,
    )
    with Ledger(home / "ledger.sqlite") as ledger:
        ledger.tokens.add(made)
    command = [sys.executable, "-m", "keyrig", "serve", "--listen", "127.0.0.1:0", "--json", *files]
    environment = {**os.environ, "KEYRIG_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = urlsplit(json.loads(process.stdout.readline())["url"])
        assert url.hostname
        assert url.port
        try:
            yield Served(url.hostname, url.port, token)
        finally:
            process.terminate()
            process.wait(60)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer of a known length."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    at = head.lower().index(b"content-length:") + 15
    length = int(head[at : head.index(b"\r\n", at)])
    return status, await reader.readexactly(length)


async def _reads(server: Served, path: str, until: float) -> int:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    request = server.request("GET", path)
    count = 0
    while time.perf_counter() < until:
        writer.write(request)
        status, _ = await _answer(reader)
        assert status == 200, status
        count += 1
    writer.close()
    return count


async def _reads_per_second(server: Served, path: str, clients: int) -> float:
    await _reads(server, path, time.perf_counter() + 0.2)
    began = time.perf_counter()
    until = began + READ_SECONDS
    counts = await asyncio.gather(*(_reads(server, path, until) for _ in range(clients)))
    return sum(counts) / (time.perf_counter() - began)


async def _first_event(server: Served, rig: int) -> tuple[float, float]:
    """Start a run; give the seconds until its first event, and until the run itself began."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    began = time.perf_counter()
    body = json.dumps({"rig": f"rig-{rig}"}).encode()
    writer.write(server.request("POST", "/api/v1/runs", body))
    status, answer = await _answer(reader)
    assert status == 202, answer
    writer.write(server.request("GET", json.loads(answer)["events"]))
    first = 0.0
    while True:
        line = await reader.readline()
        assert line, "the stream ended before the run began"
        if line.startswith(b"event: "):
            first = first or time.perf_counter() - began
            if line.startswith((b"event: run-started", b"event: operation-finished")):
                started = time.perf_counter() - began
                break
    while line.strip() != b"event: operation-finished":
        line = await reader.readline()
        assert line
    writer.close()
    return first, started


async def _first_events(server: Served, rigs: range) -> list[tuple[float, float]]:
    return list(await asyncio.gather(*(_first_event(server, rig) for rig in rigs)))


def serve_figures() -> dict[str, Any]:
    """Measure with 1, 16 and 64 clients; give plain JSON.

    For each number of clients: status reads per second over connections that are kept, of a plan
    and of the devices; and, where that many clients each start a run on a rig of their own at
    once, the seconds from asking until its first event came, and until the run itself began.
    """
    figures: dict[str, Any] = {"status_reads_per_second": {}, "run_to_first_event_s": {}}
    with tempfile.TemporaryDirectory(prefix="keyrig-serve-") as directory:
        rigs = 1 + sum(CLIENTS)
        with served(Path(directory), rigs) as server:
            asyncio.run(_first_event(server, 0))
            for clients in CLIENTS:
                figures["status_reads_per_second"][clients] = {
                    path.rpartition("/")[2].partition("?")[0]: round(
                        asyncio.run(_reads_per_second(server, path, clients))
                    )
                    for path in STATUS_PATHS
                }
            rig = 1
            for clients in CLIENTS:
                times = asyncio.run(_first_events(server, range(rig, rig + clients)))
                rig += clients
                firsts, starts = zip(*times, strict=True)
                figures["run_to_first_event_s"][clients] = {
                    "median": round(statistics.median(firsts), 4),
                    "longest": round(max(firsts), 4),
                    "run_started_median": round(statistics.median(starts), 4),
                }
    return figures


def main() -> None:
    print(json.dumps(serve_figures(), indent=1))


if __name__ == "__main__":
    main()
