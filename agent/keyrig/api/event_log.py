"""What happens in operations: into the ledger first, and then to whoever watches."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from keyrig.base.clock import pause
from keyrig.base.errors import LedgerError
from keyrig.base.events import OperationFinished
from keyrig.ledger.operation_record import OperationEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from keyrig.base.events import Event
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.operation_record import Operation

_RETRY_S: Final = 0.5
_RETRIES_AT_END: Final = 4
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    operation_id: str
    event: OperationEvent
    end: OperationFinished | None


class EventLog:
    """Writes events of operations to the ledger, in a thread of its own.

    Whoever carries a run out only hands an event over: it may stand in a transaction of its own,
    on which a second writer would wait for ever. What is handed over meanwhile is written
    together. Nobody is told of an event before it is on the disk, so its number is never given to
    another after a restart.

    Args:
        ledger: Where to write.
        clock: Gives the present instant.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._queue: queue.SimpleQueue[_Told | threading.Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._listeners: dict[object, tuple[str, Callable[[], object]]] = {}
        self._thread = threading.Thread(target=self._write, name="keyrig-events", daemon=True)
        self._thread.start()

    def begin(self, ledger: Ledger, operation: Operation, event: Event) -> None:
        """Record that an operation begins, with its first event, before this returns.

        Raises:
            LedgerError: The ledger cannot be written; nothing was recorded.
        """
        first = _numbered(1, event, operation.requested_at)
        with ledger.transaction():
            ledger.operations.start(operation)
            ledger.operations.record(operation.id, [first])
        self.go_on_from(operation.id, 1)

    def tell(self, operation_id: str, event: Event) -> None:
        """Add an event to an operation.

        `OperationFinished` is the last: how the operation ended is recorded in the same
        transaction.
        """
        with self._lock:
            self._numbers[operation_id] += 1
            numbered = _numbered(self._numbers[operation_id], event, self._clock())
            end = event if isinstance(event, OperationFinished) else None
            if end is not None:
                del self._numbers[operation_id]
            self._queue.put(_Told(operation_id=operation_id, event=numbered, end=end))

    def go_on_from(self, operation_id: str, number: int) -> None:
        """Have an operation's events go on after one that the ledger holds already."""
        with self._lock:
            self._numbers[operation_id] = number

    def subscribe(self, operation_id: str, listener: Callable[[], object]) -> Callable[[], None]:
        """Have a listener called, from a thread, when there is news; give how to stop that."""
        key = object()
        with self._lock:
            self._listeners[key] = (operation_id, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    def wake(self, operation_ids: Collection[str] | None = None) -> None:
        """Have whoever watches these operations look again; all of them without."""
        with self._lock:
            listeners = tuple(self._listeners.values())
        for operation_id, listener in listeners:
            if operation_ids is None or operation_id in operation_ids:
                listener()

    def watchers(self) -> int:
        """Give how many watch."""
        return len(self._listeners)

    def flush(self, within_s: float) -> None:
        """Wait until what was told so far is written."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(within_s)

    def is_alive(self) -> bool:
        """Say whether events are being written."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write what is left, and end."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        is_ending = False
        while not is_ending:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            is_ending = None in batch
            told = [each for each in batch if isinstance(each, _Told)]
            self._keep(told, is_ending=is_ending)
            self.wake({each.operation_id for each in told})
            for each in batch:
                if isinstance(each, threading.Event):
                    each.set()

    def _keep(self, batch: list[_Told], *, is_ending: bool) -> None:
        """Write a batch, again and again where the ledger cannot be written; at the end, not."""
        tries = 0
        while batch:
            try:
                with self._ledger.transaction():
                    for told in batch:
                        self._ledger.operations.record(told.operation_id, [told.event])
                        if told.end is not None:
                            self._ledger.operations.finish(
                                told.operation_id, told.end.result, told.event.at, told.end.problem
                            )
            except LedgerError as error:
                tries += 1
                _log.warning("events wait for the ledger", events=len(batch), reason=str(error))
                if is_ending and tries >= _RETRIES_AT_END:
                    return
                pause(_RETRY_S)
            else:
                return


def _numbered(number: int, event: Event, at: datetime) -> OperationEvent:
    return OperationEvent(number=number, type=event.type, at=at, body=event.to_json())
