"""A real server on a free port, in a thread of the test's process."""

from __future__ import annotations

import json
import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from agent.published_events import assert_valid
from keyrig.api.api_service import Service
from keyrig.api.server import Server, listen
from keyrig.base.clock import monotonic, utc_now
from keyrig.base.errors import SettingsError
from keyrig.config.settings import ServeSettings, Settings
from keyrig.domain.api_tokens import Scope, new_token
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

RIG = "emulated-home"
ESME = "00-DB-12-34-56-78-90-A0"
HUB = "00-DB-12-34-56-78-90-A2"
ALL = (Scope.READ, Scope.RUN, Scope.KEYS)


@dataclass
class Serving:
    """A server that serves, and a client of it."""

    service: Service
    server: Server
    url: str
    client: httpx.Client
    thread: threading.Thread

    def token(
        self, *scopes: Scope, name: str = "tester", lasts: timedelta | None = None
    ) -> dict[str, str]:
        """Make a token; give the header that shows it."""
        return bearer(self.service, *scopes, name=name, lasts=lasts)

    def start_run(self, **more: Any) -> str:
        """Start a run, and give its id."""
        response = self.client.post("/api/v1/runs", json={"rig": RIG, **more})
        assert response.status_code == 202, response.text
        operation_id: str = response.json()["operation_id"]
        return operation_id

    def events(self, run_id: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Read the events of a run to their end."""
        path = f"/api/v1/runs/{run_id}/events"
        with self.client.stream("GET", path, params={"after": after}) as response:
            assert response.status_code == 200
            return list(events_of(response.iter_lines()))

    def finished(self, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended, and give it."""
        self.events(run_id)
        document: dict[str, Any] = self.client.get(f"/api/v1/runs/{run_id}").json()
        return document


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Read Server-Sent Events, but for comments; see that they are as they are promised."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            event: dict[str, Any] = json.loads(fields["data"])
            assert (str(event["number"]), event["type"]) == (fields["id"], fields["event"])
            assert_valid(event)
            yield event
        fields = {}


def bearer(
    service: Service, *scopes: Scope, name: str = "tester", lasts: timedelta | None = None
) -> dict[str, str]:
    """Make a token in place of the one of its name; give the header that shows it."""
    with suppress(SettingsError):
        service.ledgers.writing.tokens.revoke(name, service.clock())
    made, text = new_token(
        name, frozenset(scopes), now=service.clock(), lasts=lasts, random=os.urandom
    )
    service.ledgers.writing.tokens.add(made)
    return {"Authorization": f"Bearer {text}"}


@contextmanager
def serving(
    home: Path,
    *,
    rigs: Sequence[Path] = (),
    clock: Callable[[], datetime] = utc_now,
    seconds: Callable[[], float] = monotonic,
    upstream: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """Serve a home until the test has ended; its client may do everything."""
    wanted = ServeSettings(**{"listen": "127.0.0.1:0", **settings})
    listening = listen(wanted, home)
    with ExitStack() as stack:
        stack.callback(listening.close)
        service = Service(
            data_folder=home,
            settings=Settings(serve=wanted, upstream=upstream or {}),
            rig_files=rigs,
            clock=clock,
            seconds=seconds,
        )
        stack.callback(service.close)
        server = Server(service, listening)
        server.load()
        started = threading.Event()
        thread = threading.Thread(target=server.serve_until_stopped, args=(started.set,))
        thread.start()
        stack.callback(_end, server, thread)
        assert started.wait(HANG_S)
        is_unix = listening.path is not None
        transport = httpx.HTTPTransport(uds=str(listening.path)) if is_unix else None
        client = stack.enter_context(
            httpx.Client(
                base_url="http://localhost" if is_unix else listening.url,
                headers=bearer(service, *ALL, name="all"),
                timeout=HANG_S,
                transport=transport,
            )
        )
        yield Serving(service, server, listening.url, client, thread)


def _end(server: Server, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(HANG_S)
    assert not thread.is_alive()
