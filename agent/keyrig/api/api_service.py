"""The server's state: rigs, ledger, operations and access, made and closed together."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.concurrency import run_in_threadpool

from keyrig.api.access import Access
from keyrig.api.event_log import EventLog
from keyrig.api.ledger_view import Documents, Ledgers
from keyrig.api.metrics import Figures
from keyrig.api.operations import Operations
from keyrig.api.rate_limit import SlowDown
from keyrig.api.schedule import Schedule
from keyrig.api.served_rigs import Rigs
from keyrig.base.clock import monotonic, utc_now
from keyrig.base.errors import LedgerError
from keyrig.config.places import LEDGER_FILE, make_data_folder
from keyrig.upstream.event_publisher import EventPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyrig.api.served_rigs import ServedRig
    from keyrig.base.events import Event
    from keyrig.config.settings import Settings

WATCH_EVERY_S: Final = 0.5
"""How often tokens are checked: the longest that a stream outlives a token revoked elsewhere."""
STOP_WITHIN_S: Final = 45.0
"""How long shutdown waits for runs to stop: one exchange with a device."""
FLUSH_WITHIN_S: Final = 5.0
_log = structlog.get_logger(__name__)


@dataclass(kw_only=True)
class Service:
    """Everything behind the API.

    Args:
        data_folder: The home folder.
        settings: The settings: those of the server, and the upstreams.
        rig_files: The rigs that are served.
        clock: Returns the present instant.
        seconds: Returns seconds that never go back.
    """

    data_folder: Path
    settings: Settings
    rig_files: Sequence[Path] = ()
    clock: Callable[[], datetime] = utc_now
    seconds: Callable[[], float] = monotonic
    closing: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        make_data_folder(self.data_folder)
        with ExitStack() as stack:
            self.ledgers = Ledgers(self.data_folder / LEDGER_FILE)
            stack.callback(self.ledgers.close)
            self.rigs = Rigs(self.rig_files)
            self.documents = Documents()
            self.figures = Figures()
            self.events = EventLog(self.ledgers.telling, self.clock)
            stack.callback(self.events.close)
            self.schedule = Schedule(self.settings.serve.run_due_every_s)
            self.operations = Operations(
                self.ledgers.writing, self.events, clock=self.clock, on_end=self._ended
            )
            self.operations.close_left_open()
            self.access = Access(
                self.ledgers,
                clock=self.clock,
                slow_down=SlowDown(self.seconds),
                refused=self.figures.token_refused,
            )
            self.publisher = EventPublisher(
                self.ledgers.writing.path, self.settings, clock=self.clock, observe=_tell_log
            )
            self.publisher.start()
            stack.callback(self.publisher.stop)
            self._stack = stack.pop_all()

    def stamp(self, rig: ServedRig) -> Any:
        """Return the stamp of a rig's documents, for `Documents`.

        It changes with every commit to the ledger, with the rig file, with the start and end of
        an operation, and each second: deadlines pass, and what is not in the ledger, such as who
        holds a device, may be a second old.
        """
        return (
            self.ledgers.watch.version(),
            rig.stamp,
            int(self.seconds()),
            self.operations.changes,
        )

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch tokens and the schedule, in the server's event loop."""
        tasks = [asyncio.create_task(self._watch_tokens()), asyncio.create_task(self._run_due())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_tokens(self) -> None:
        """Wake the event streams when a token expires or is revoked."""
        before = None
        while True:
            with suppress(LedgerError):
                now = await self.access.standing()
                if now != before:
                    self.events.wake()
                before = now
            await asyncio.sleep(WATCH_EVERY_S)

    async def _run_due(self) -> None:
        """Begin scheduled runs of what is due on the rigs, at the interval of the settings."""
        every_s = self.settings.serve.run_due_every_s
        while every_s is not None:
            await asyncio.sleep(min(every_s, 1.0))
            await run_in_threadpool(
                self.schedule.tick,
                self.rigs,
                self.operations,
                now=self.clock(),
                now_s=self.seconds(),
            )

    def end_streams(self) -> None:
        """End every stream of events."""
        self.closing = True
        self.events.wake()

    def stop_runs(self, wait_s: float = STOP_WITHIN_S) -> None:
        """Stop every run before its next command, and write its last events for the streams."""
        self.operations.close(wait_s)
        self.events.flush(FLUSH_WITHIN_S)

    def close(self) -> None:
        """Write the events that are queued, and close the ledger."""
        self._stack.close()

    def _ended(self, rig_name: str, result: str) -> None:
        self.figures.operation_ended(result)
        self.publisher.wake()
        self.schedule.ended(rig_name, result, self.seconds())


def _tell_log(event: Event) -> None:
    """Log an event of the publisher."""
    _log.info(event.type, **event.to_json())
