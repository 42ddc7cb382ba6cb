"""What is asked for over the API: each in a thread, one per device, stopped on demand."""

from __future__ import annotations

import threading
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import structlog

from gbcs.protocol_errors import KeyrigError
from keyrig.api.problem_documents import (
    Problem,
    RequestRefused,
    problem_of,
    unforeseen,
)
from keyrig.base import events
from keyrig.base.clock import instant_text, monotonic, utc_now
from keyrig.base.error_kinds import kind_of
from keyrig.base.errors import DeviceBusy, RigBusy
from keyrig.domain.run_results import RunResult, result_of
from keyrig.ledger.operation_record import Operation
from keyrig.run.rig_locks import reserved
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.api.event_log import EventLog
    from keyrig.base.observing import Observer, StopAsked
    from keyrig.config.rig_file import Rig
    from keyrig.ledger.ledger import Ledger

SCHEDULE: Final = "schedule"
"""Who asks for runs that the server begins by itself."""
RESERVE_WITHIN_S: Final = 0.3
"""How long a run waits for its devices before it is refused: others look at locks, briefly."""
EMULATING_MAXIMUM: Final = 2
TURN_WITHIN_S: Final = 10.0
_log = structlog.get_logger(__name__)


class Order(Protocol):
    """What an operation is to do."""

    @property
    def step(self) -> str:
        """The step that problems name."""
        ...

    @property
    def rig(self) -> Rig:
        """The rig."""
        ...

    @property
    def devices(self) -> tuple[EntityIdentifier, ...]:
        """The devices to reach; all where empty."""
        ...

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        ...

    def begin(self, ledger: Ledger, operation_id: str) -> None:
        """Record what belongs to the operation, in the transaction that records it."""
        ...

    def carry_out(
        self,
        operation_id: str,
        *,
        observe: Observer,
        clock: Callable[[], datetime],
        should_stop: StopAsked,
    ) -> RunResult:
        """Do it; the rig and the devices are reserved."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What a run is to do.

    Args:
        rig: The rig.
        devices: The devices to reach; all where empty.
        execute_at: When devices are to replace their certificates, or None for at once.
        cancel: Carry out no duty; have devices forget what they hold for later.
        accept_clock: A person says that the clock is right.
        all_or_nothing: Reach no device where anything that a due duty needs is missing.
    """

    rig: Rig
    devices: tuple[EntityIdentifier, ...] = ()
    execute_at: datetime | None = None
    cancel: bool = False
    accept_clock: bool = False
    all_or_nothing: bool = False
    step: ClassVar[str] = "run"

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "devices": [str(device) for device in self.devices],
            "execute_at": instant_text(self.execute_at) if self.execute_at else None,
            "cancel": self.cancel,
            "accept_clock": self.accept_clock,
            "all_or_nothing": self.all_or_nothing,
        }

    def begin(self, ledger: Ledger, operation_id: str) -> None:
        """Do nothing: the run records itself when it is carried out."""

    def carry_out(
        self,
        operation_id: str,
        *,
        observe: Observer,
        clock: Callable[[], datetime],
        should_stop: StopAsked,
    ) -> RunResult:
        """Carry the run out, and return how it ended."""
        with assembled(
            self.rig,
            observe=observe,
            only=self.devices,
            clock=clock,
            execute_at=self.execute_at,
            should_stop=should_stop,
            is_reserved=True,
        ) as ready:
            return run(
                ready.bench,
                ready.devices,
                run_id=operation_id,
                accept_clock=self.accept_clock,
                cancel=self.cancel,
                all_or_nothing=self.all_or_nothing,
            )


@dataclass(slots=True)
class _Running:
    order: Order
    thread: threading.Thread | None = None
    stopped_by: str | None = None
    is_released: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Operations:
    """Starts runs and deliveries, and stops them.

    Args:
        ledger: Where operations are recorded.
        events: Where what happens is told.
        clock: Gives the present instant.
        on_end: Is told the rig and the result of each run that ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        events: EventLog,
        *,
        clock: Callable[[], datetime] = utc_now,
        on_end: Callable[[str, str], None] = lambda _rig, _result: None,
    ) -> None:
        self._ledger = ledger
        self._events = events
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._closing = False
        self._turns = threading.Semaphore(EMULATING_MAXIMUM)
        self.changes = 0
        """Counts starts and ends, for whoever keeps what depends on them."""

    def close_left_open(self) -> None:
        """Close the operations that a server left open which ended without a word.

        Call it before the first start; no other server runs on this home.
        """
        for operation in self._ledger.operations.under_way():
            last = self._ledger.operations.last_number(operation.id)
            self._events.go_on_from(operation.id, last)
            self._events.tell(operation.id, _last_event(RunResult.INTERRUPTED))

    def start(self, order: Order, requested_by: str) -> Operation:
        """Begin what is ordered, and give the operation at once.

        Raises:
            DeviceBusy: Another run holds one of its devices.
            RigBusy: Another agent drives the rig.
            RequestRefused: The server is about to end.
        """
        self._refuse_busy(order)
        operation_id = uuid.uuid4().hex
        running = _Running(order)
        with ExitStack() as stack:
            stack.enter_context(
                reserved(
                    order.rig, only=order.devices, wait_s=RESERVE_WITHIN_S, holder=operation_id
                )
            )
            operation = Operation(
                id=operation_id,
                rig_name=order.rig.name,
                requested_by=requested_by,
                requested_at=self._clock(),
                request=order.document(),
            )
            with self._lock:
                if self._closing:
                    reason = "the server was asked to end and starts no run"
                    raise RequestRefused("shutting-down", reason, step="start-run")
                self._running[operation_id] = running
            try:
                with self._ledger.transaction():
                    self._events.begin(self._ledger, operation, _first_event(operation))
                    order.begin(self._ledger, operation_id)
            except BaseException:
                self._forget(operation_id)
                raise
            stack.callback(self._release, running)
            self.changes += 1
            running.thread = threading.Thread(
                target=self._carry_out,
                args=(operation_id, running, stack.pop_all()),
                name=f"keyrig-run-{operation_id[:8]}",
                daemon=True,
            )
        running.thread.start()
        return operation

    def _refuse_busy(self, order: Order) -> None:
        """Refuse at once what this server itself is at."""
        with self._lock:
            for operation_id, each in self._running.items():
                if each.is_released:
                    continue
                common = _reached(each.order) & _reached(order)
                if common:
                    first = min(common, key=lambda device: device.stem)
                    raise DeviceBusy(str(first), operation_id)
                if each.order.rig.name == order.rig.name:
                    raise RigBusy(order.rig.name, operation_id)

    def is_running(self, operation_id: str) -> bool:
        """Return True if an operation is under way in this server."""
        return operation_id in self._running

    def count(self) -> int:
        """Return how many operations are under way."""
        return len(self._running)

    def on_rig(self, rig_name: str) -> str | None:
        """Return the operation on a rig that is under way in this server, or None."""
        with self._lock:
            return next(
                (
                    operation_id
                    for operation_id, each in self._running.items()
                    if each.order.rig.name == rig_name and not each.is_released
                ),
                None,
            )

    def stop(self, operation_id: str, who: str) -> bool:
        """Ask an operation to stop before its next command; give whether it is under way."""
        with self._lock:
            running = self._running.get(operation_id)
            if running is None:
                return False
            if running.stopped_by is None:
                running.stopped_by = who
                self._events.tell(operation_id, events.StopRequested(by=who))
        return True

    def close(self, wait_s: float) -> None:
        """Start nothing more, ask everything to stop, and wait until it has.

        What has not ended then is left to end with the process; the ledger is sound at each
        point, and the next run goes on.
        """
        with self._lock:
            self._closing = True
            running = dict(self._running)
        for operation_id in running:
            self.stop(operation_id, "the server, which ends")
        deadline = monotonic() + wait_s
        for each in running.values():
            each.ended.wait(max(deadline - monotonic(), 0))

    def _carry_out(self, operation_id: str, running: _Running, reservation: ExitStack) -> None:
        order = running.order
        result = RunResult.ERROR
        found: Problem | None = None
        try:
            with reservation, self._turn(order.rig):
                ended = order.carry_out(
                    operation_id,
                    observe=self._observer(operation_id),
                    clock=self._clock,
                    should_stop=lambda: running.stopped_by,
                )
            result = ended
        except KeyrigError as error:
            result = result_of(kind_of(error).exit_code)
            found = problem_of(error, order.step)
        except Exception:  # noqa: BLE001 - whatever it is, who watches is told that it ended
            _log.exception("an operation met an unexpected error", operation=operation_id)
            found = problem_of(unforeseen(order.step), order.step)
        finally:
            self._events.tell(operation_id, _last_event(result, found))
            self._forget(operation_id)
            if isinstance(order, RunOrder):
                self._on_end(order.rig.name, result.value)
            running.ended.set()

    @contextmanager
    def _turn(self, rig: Rig) -> Iterator[None]:
        """Hold one of the few places for runs that emulate devices: their computing delays answers.

        Who has waited long goes on in any case, since one that has its turn may wait itself.
        """
        if not rig.has_emulated_devices:
            yield
            return
        has_turn = self._turns.acquire(timeout=TURN_WITHIN_S)
        try:
            yield
        finally:
            if has_turn:
                self._turns.release()

    def _release(self, running: _Running) -> None:
        """Count an operation's devices as free, just before they are; its end is yet to be told."""
        with self._lock:
            running.is_released = True
            self.changes += 1

    def _forget(self, operation_id: str) -> None:
        with self._lock:
            del self._running[operation_id]

    def _observer(self, operation_id: str) -> Observer:
        def observe(event: events.Event) -> None:
            # What a radio says after the run has ended belongs to nobody.
            running = self._running.get(operation_id)
            if running is not None and not running.is_released:
                self._events.tell(operation_id, event)

        return observe


def _reached(order: Order) -> frozenset[EntityIdentifier]:
    """Return the devices that an operation reaches."""
    return frozenset(order.devices or (device.entity_id for device in order.rig.device))


def _first_event(operation: Operation) -> events.OperationAccepted:
    return events.OperationAccepted(
        operation=operation.id,
        rig=operation.rig_name,
        requested_by=operation.requested_by,
        **operation.request,
    )


def _last_event(result: RunResult, found: Problem | None = None) -> events.OperationFinished:
    told = None if found is None else found.model_dump()
    return events.OperationFinished(result=result.value, problem=told)
