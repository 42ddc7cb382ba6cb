"""The log of operations' events: written to the ledger first, then streamed.

Theory of operation. The events of an operation are numbered from 1 without gaps. A number is given
under a lock as the event is queued, so the queue is in the order of the numbers. The first event
is written by `begin`, in the transaction that records the operation; the others by one thread,
all that are queued in one transaction, and `OperationFinished` with the operation's result.

Listeners are notified after the commit, and read the ledger: nobody sees an event that a crash
can still take back, so a number that was seen always means the same event. While the ledger
cannot be written, events wait in memory, and the writer tries again every `_RETRY_S` seconds.

After a crash, the events that were still queued are missing, seen by nobody. The next server
(`Operations.close_left_open`) continues from the last number in the ledger, and ends an operation
that has no result as interrupted. Only this log can lose its tail so: what a run did is recorded
by the run itself, before and after each command.
"""

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
class _Queued:
    operation_id: str
    event: OperationEvent
    end: OperationFinished | None


class EventLog:
    """Writes events of operations to the ledger, in a thread of its own.

    The thread of a run only queues an event: it may be in a transaction of its own, for the end of
    which a second writer in the same thread would wait for ever.

    Args:
        ledger: The ledger, over a connection of its own.
        clock: Returns the present instant.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._queue: queue.SimpleQueue[_Queued | threading.Event | None] = queue.SimpleQueue()
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
        """Number an event of an operation, and queue it for writing.

        `OperationFinished` is the last: how the operation ended is recorded in the same
        transaction.
        """
        with self._lock:
            self._numbers[operation_id] += 1
            numbered = _numbered(self._numbers[operation_id], event, self._clock())
            end = event if isinstance(event, OperationFinished) else None
            if end is not None:
                del self._numbers[operation_id]
            self._queue.put(_Queued(operation_id=operation_id, event=numbered, end=end))

    def go_on_from(self, operation_id: str, number: int) -> None:
        """Continue an operation's numbers after one that the ledger holds already."""
        with self._lock:
            self._numbers[operation_id] = number

    def subscribe(self, operation_id: str, listener: Callable[[], object]) -> Callable[[], None]:
        """Call a listener, from a thread, when there are new events; return how to unsubscribe."""
        key = object()
        with self._lock:
            self._listeners[key] = (operation_id, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    def wake(self, operation_ids: Collection[str] | None = None) -> None:
        """Notify the listeners of these operations, or of all where None."""
        with self._lock:
            listeners = tuple(self._listeners.values())
        for operation_id, listener in listeners:
            if operation_ids is None or operation_id in operation_ids:
                listener()

    def watchers(self) -> int:
        """Return the number of listeners."""
        return len(self._listeners)

    def flush(self, within_s: float) -> None:
        """Wait until the events queued so far are written, or the time has passed."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(within_s)

    def is_alive(self) -> bool:
        """Return True while the writing thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write the events that are queued, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        is_ending = False
        while not is_ending:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            is_ending = None in batch
            told = [each for each in batch if isinstance(each, _Queued)]
            self._keep(told, is_ending=is_ending)
            self.wake({each.operation_id for each in told})
            for each in batch:
                if isinstance(each, threading.Event):
                    each.set()

    def _keep(self, batch: list[_Queued], *, is_ending: bool) -> None:
        """Write a batch, retrying for ever, or `_RETRIES_AT_END` times while closing."""
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
