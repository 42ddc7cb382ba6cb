"""Publishing the event queue of every upstream, step by step and in threads, until stopped.

Theory of operation. What is still to be published is in the queue's rows (`ledger.event_queue`),
and nowhere in memory. One process publishes to an upstream at a time (`UpstreamLock`), from one
thread, one batch after the other; the result of a batch is committed before the next.

Order: a batch has the events in the order of the ledger. A target accepts or refuses an event only
after it accepted every earlier one of its device, and `EventQueue.settle` counts a device's events
up to the first that was not accepted. So an upstream gets each device's events in order, apart
from repetitions; events of different devices may overtake each other.

Retry: after a failure that may pass the wait doubles, with jitter, up to `BACK_OFF_MAXIMUM_S`, or
is what the upstream asked for (Retry-After), up to a day. Where a person must mend something, it
is tried every `STOPPED_RETRY_S`. A batch that is refused or too large as a whole is halved until
the event at fault is alone.

Parked: an event that is refused by itself is parked, and the later ones of its device are held
back, until a person retries or discards it; other devices' events go on. After
`REFUSED_IN_A_ROW_MAXIMUM` refusals with nothing accepted between them the fault is the upstream's:
no more are parked, and they wait.

Crash: an event that was acknowledged and not yet committed as such is published again, with the
same id and octets: at least once. Waits and the count of refusals are in the ledger, so a restart
neither hurries a retry nor parks more. The lock ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from gbcs.printable import printable
from gbcs.protocol_errors import KeyrigError
from keyrig.base import events
from keyrig.base.clock import monotonic as read_monotonic
from keyrig.base.clock import utc_now
from keyrig.base.lock_files import open_lock
from keyrig.base.observing import Observer, unobserved
from keyrig.config.settings import HTTPSUpstream, MQTTUpstream
from keyrig.ledger.ledger import Ledger
from keyrig.upstream.cloud_events import cloud_event_source, outgoing
from keyrig.upstream.ndjson_target import NDJSONTarget
from keyrig.upstream.upstream_listing import standing_event
from keyrig.upstream.upstream_target import Answer, Trouble

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.settings import Settings, UpstreamSettings
    from keyrig.ledger.event_queue import UpstreamStanding
    from keyrig.upstream.cloud_events import Outgoing
    from keyrig.upstream.upstream_target import Target

LOOK_EVERY_S: Final = 2.0
"""How often a queue is polled without a wake-up: other processes add events too."""
LOOK_SOON_S: Final = 0.2
"""The same where a caller waits for what another process publishes."""
BATCH_WITHIN_S: Final = 3600.0
"""The limit of a batch that no caller waits for; each target has time-outs of its own."""
STOP_WITHIN_S: Final = 5.0
_DICE: Final = secrets.SystemRandom()
PROGRESS_EVERY_S: Final = 1.0

BACK_OFF_FIRST_S: Final = 1.0
BACK_OFF_MAXIMUM_S: Final = 15 * 60.0
BACK_OFF_LEAST_SHARE: Final = 0.1
"""The least share of a back-off that jitter may leave of it."""
STOPPED_RETRY_S: Final = 15 * 60.0
"""How often an upstream is tried whose fault a person must mend."""
RETRY_AFTER_MAXIMUM_S: Final = 24 * 3600.0
"""The longest that an upstream can ask to be left alone."""
REFUSED_IN_A_ROW_MAXIMUM: Final = 10
"""After this many refusals with nothing accepted the fault is the upstream's, not the events'."""


@dataclass(frozen=True, slots=True)
class Published:
    """Something was acknowledged or parked, and there may be more."""

    events: int


@dataclass(frozen=True, slots=True)
class Idle:
    """There is nothing to publish, apart from what is parked or held back."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """The upstream is not tried again before `wait_s` seconds have passed."""

    wait_s: float


Step = Published | Idle | SetBack


def back_off_s(failures: int, dice: Callable[[], float]) -> float:
    """Return the wait in seconds after a number of failures in a row: exponential, with jitter.

    Args:
        failures: How many, from 1.
        dice: Returns a random number in [0, 1).
    """
    longest = min(BACK_OFF_MAXIMUM_S, BACK_OFF_FIRST_S * 2.0 ** min(failures - 1, 30))
    return longest * max(BACK_OFF_LEAST_SHARE, dice())


class QueuePublisher:
    """Publishes the queue of one upstream, step by step, and never sleeps.

    At most one may exist for an upstream at a time.

    Args:
        ledger: Where the events and the queue are.
        name: The upstream's name; registered.
        target: The upstream's target.
        since: Events before it are not published.
        clock: Returns the present instant.
        monotonic: Returns seconds that never go back.
        dice: Returns a random number in [0, 1), for the back-off.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        target: Target,
        *,
        since: datetime | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self.ledger = ledger
        self.name = name
        self.target = target
        self.since = since
        self.clock = clock
        self.monotonic = monotonic
        self._dice = dice
        self._source = cloud_event_source(ledger.outbox.identity())
        self._limit = target.batch_maximum
        self._refused_in_a_row = min(
            ledger.event_queue.refused_since_told(name), REFUSED_IN_A_ROW_MAXIMUM
        )
        self._due_at: float | None = None

    def step(self, within_s: float) -> Step:
        """Publish one batch, unless a wait is not over, and record its result in the ledger.

        Args:
            within_s: How long it may take at most.
        """
        queue = self.ledger.event_queue
        wait_s = self._wait_s()
        if wait_s > 0:
            return SetBack(wait_s)
        batch = queue.batch(self.name, self._limit, self.since)
        if not batch.events:
            return Idle()
        answer = self._publish([outgoing(event, self._source) for event in batch.events], within_s)
        now = self.clock()
        with self.ledger.transaction():
            queue.settle(
                self.name,
                batch,
                accepted=answer.accepted,
                refused=answer.refused,
                now=now,
            )
            if answer.trouble is not None:
                return SetBack(self._set_back(answer, now))
        self._due_at = None
        return Published(len(answer.accepted))

    def standing(self) -> UpstreamStanding:
        """Return how many events the upstream has not acknowledged, and its last error."""
        return self.ledger.event_queue.standing(self.name, self.since)

    def _wait_s(self) -> float:
        """Return how many seconds are left of the wait before the next attempt.

        The clock may be set at any time. A wait that another process recorded is measured by the
        clock, and ignored if it is longer than any wait can be; one of this process ends also when
        its seconds have passed by the monotonic clock.
        """
        upstream = self.ledger.event_queue.get(self.name)
        if upstream.retry_at is None:
            return 0.0
        left = (upstream.retry_at - self.clock()).total_seconds()
        longest = RETRY_AFTER_MAXIMUM_S if upstream.retry_asked else BACK_OFF_MAXIMUM_S
        if left > longest:
            left = 0.0 if self._due_at is None else longest
        if self._due_at is not None:
            left = min(left, self._due_at - self.monotonic())
        return max(0.0, left)

    def _set_back(self, answer: Answer, now: datetime) -> float:
        queue = self.ledger.event_queue
        failures = queue.get(self.name).failures + 1
        stopped = answer.trouble is Trouble.STOPPED
        wait_s = STOPPED_RETRY_S if stopped else back_off_s(failures, self._dice)
        asked_s = min(answer.retry_after_s or 0.0, RETRY_AFTER_MAXIMUM_S)
        queue.set_back(
            self.name,
            answer.reason,
            retry_at=now + timedelta(seconds=max(wait_s, asked_s)),
            asked=asked_s > wait_s,
            stopped=stopped,
            now=now,
        )
        wait_s = max(wait_s, asked_s)
        self._due_at = self.monotonic() + wait_s
        return wait_s

    def _publish(self, events: Sequence[Outgoing], within_s: float) -> Answer:
        """Publish events; a part that is refused as a whole is halved.

        So the event at fault is found, and it alone is refused.
        """
        deadline = self.monotonic() + within_s
        accepted: set[int] = set()
        refused: dict[int, str] = {}
        behind: set[EntityIdentifier] = set()
        parts = [list(events)]
        trouble = Answer()
        while parts and trouble.trouble is None and (not accepted or self._left_s(deadline) > 0):
            part = [each for each in parts.pop() if each.event.device not in behind]
            if not part:
                continue
            answer = self.target.deliver(part, self._left_s(deadline))
            accepted |= answer.accepted
            found = dict(answer.refused)
            if answer.trouble in {Trouble.REFUSED_WHOLE, Trouble.TOO_LARGE}:
                middle = len(part) // 2
                if answer.trouble is Trouble.TOO_LARGE:
                    self._limit = max(1, min(self._limit, middle))
                if middle:
                    parts += [part[middle:], part[:middle]]
                    continue
                found[part[0].event.number] = answer.reason
            elif answer.trouble is not None:
                trouble = answer
            if answer.accepted:
                self._refused_in_a_row = 0
            else:
                trouble = self._within_bounds(found) or trouble
            refused |= found
            behind |= {each.event.device for each in part if each.event.number in found}
        return replace(trouble, accepted=frozenset(accepted), refused=refused)

    def _within_bounds(self, found: dict[int, str]) -> Answer | None:
        """Count refusals with nothing accepted, and drop from `found` those beyond the maximum.

        Events that are dropped are not parked: they wait until the upstream was mended. Returns
        the trouble of an upstream that refuses everything; None within the maximum.
        """
        room = REFUSED_IN_A_ROW_MAXIMUM - self._refused_in_a_row
        beyond = sorted(found)[room:]
        self._refused_in_a_row += len(found) - len(beyond)
        reasons = [found.pop(number) for number in beyond]
        if not reasons:
            return None
        reason = f"it refuses event after event; the last: {reasons[0]}"
        return Answer(trouble=Trouble.STOPPED, reason=reason)

    def _left_s(self, deadline: float) -> float:
        return max(0.0, deadline - self.monotonic())


class EventPublisher:
    """Publishes the queues of the ledger, each in a thread of its own.

    One process at a time publishes to an upstream; where another holds the lock, this one waits.

    Args:
        ledger_path: The ledger's file; it must exist.
        settings: The settings, with the upstreams.
        only: The upstreams; all where None.
        until: When to end, by the monotonic clock; never where None.
        clock: Returns the present instant.
        monotonic: Returns seconds that never go back.
        dice: Returns a random number in [0, 1), for the back-off.
        observe: Called when an upstream fails and when it recovers; from several threads.

    Raises:
        LedgerError: The ledger cannot be opened.
    """

    def __init__(
        self,
        ledger_path: Path,
        settings: Settings,
        *,
        only: frozenset[str] | None = None,
        until: float | None = None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = read_monotonic,
        dice: Callable[[], float] = _DICE.random,
        observe: Observer = unobserved,
    ) -> None:
        self._workers: list[_Worker] = []
        self._ledger = Ledger(ledger_path, create=False)
        try:
            upstreams = {
                name: upstream
                for name, upstream in settings.upstream.items()
                if only is None or name in only
            }
            self._ledger.event_queue.register(upstreams)
            identity = self._ledger.outbox.identity()
            for name, upstream in upstreams.items():
                target = open_target(
                    upstream,
                    ledger_path.parent,
                    ledger_identity=identity,
                    clock=clock,
                    monotonic=monotonic,
                )
                queue = QueuePublisher(
                    self._ledger,
                    name,
                    target,
                    since=upstream.since,
                    clock=clock,
                    monotonic=monotonic,
                    dice=dice,
                )
                self._workers.append(_Worker(queue, until, observe))
        except BaseException:
            self._ledger.close()
            raise

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers:
            worker.thread.start()

    def wake(self) -> None:
        """Wake the threads to look for new events."""
        for worker in self._workers:
            worker.wake()

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Stop; a batch still unacknowledged then is published again by the next publisher."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            if worker.thread.ident is not None:
                worker.thread.join(within_s)
        if not any(worker.thread.is_alive() for worker in self._workers):
            self._ledger.close()

    def standing(self) -> Mapping[str, UpstreamStanding]:
        """Return by upstream how many events it has not acknowledged, and its last error."""
        return {worker.queue.name: worker.queue.standing() for worker in self._workers}

    def wait_until_settled(self, until: float, tick: float) -> bool:
        """Wait until nothing is left that can be published in time.

        Args:
            until: The deadline, by the monotonic clock.
            tick: When to return in any case, by the monotonic clock.

        Returns:
            True if nothing is left that can be published before the deadline.
        """
        return all(worker.wait_until_settled(until, tick) for worker in self._workers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Worker:
    """The thread that publishes to one upstream."""

    def __init__(self, queue: QueuePublisher, until: float | None, observe: Observer) -> None:
        self.queue = queue
        self._until = until
        self._observe = observe
        self._lock = UpstreamLock(queue.ledger.path, queue.name)
        self._changed = threading.Condition()
        self._stopping = False
        self._woken = False
        self._settled_until: float | None = None
        self._reported_error: str | None = None
        self.thread = threading.Thread(target=self._run, name=f"upstream {queue.name}", daemon=True)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._settled_until = None
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait_until_settled(self, until: float, tick: float) -> bool:
        with self._changed:
            while not self._stopping and (self._settled_until or 0.0) < until:
                left = min(until, tick) - self.queue.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._rest(self._go_on())
        finally:
            self.queue.target.close()
            self._lock.release()
            self.stop()

    def _is_over(self) -> bool:
        with self._changed:
            return self._stopping or (
                self._until is not None and self.queue.monotonic() >= self._until
            )

    def _go_on(self) -> float:
        """Publish a batch; return for how many seconds there is nothing to do then."""
        within_s = BATCH_WITHIN_S
        if self._until is not None:
            within_s = max(0.0, self._until - self.queue.monotonic())
        try:
            if not self._lock.acquire():
                # Another process publishes; the queue shows its progress.
                waiting = self.queue.ledger.event_queue.standing(
                    self.queue.name, self.queue.since
                ).waiting
                if not waiting:
                    return float("inf")
                return LOOK_EVERY_S if self._until is None else LOOK_SOON_S
            return self._after(self.queue.step(within_s))
        except (KeyrigError, OSError) as error:
            self._report_error(printable(str(error)))
            return LOOK_EVERY_S
        except Exception as error:  # noqa: BLE001 - a thread that ends would publish nothing, unseen
            return self._unexpected(error)

    def _after(self, step: Step) -> float:
        match step:
            case Published():
                self._report_error(None)
                return 0.0
            case Idle():
                return float("inf")
            case SetBack(wait_s):
                self._report_error(self.queue.ledger.event_queue.get(self.queue.name).last_error)
                return wait_s

    def _unexpected(self, error: Exception) -> float:
        """Record an unexpected error as the upstream's last one; the thread goes on."""
        reason = f"unexpected error: {printable(f'{type(error).__name__}: {error}')}"
        self._report_error(reason)
        now = self.queue.clock()
        with suppress(KeyrigError):
            self.queue.ledger.event_queue.set_back(
                self.queue.name,
                reason,
                retry_at=now + timedelta(seconds=STOPPED_RETRY_S),
                asked=False,
                stopped=True,
                now=now,
            )
        return STOPPED_RETRY_S

    def _rest(self, wait_s: float) -> None:
        """Wait until woken, stopped, or the time has passed."""
        with self._changed:
            self._settled_until = None
            if wait_s and not self._woken:
                self._settled_until = self.queue.monotonic() + wait_s
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._woken or self._stopping, min(wait_s, LOOK_EVERY_S)
                )
            self._woken = False

    def _report_error(self, error: str | None) -> None:
        if error == self._reported_error:
            return
        self._reported_error = error
        if error:
            self._observe(events.UpstreamSetBack(upstream=self.queue.name, reason=error))
        else:
            self._observe(events.UpstreamTold(upstream=self.queue.name))


class UpstreamLock:
    """The lock by which one process at a time publishes to an upstream."""

    def __init__(self, ledger: Path, name: str) -> None:
        self._path = ledger.parent / "upstream" / f"{ledger.name}.{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Acquire the lock; return False if another process holds it, True if held already.

        Raises:
            LockUnusable: Its file cannot be opened or made.
        """
        if self._descriptor is not None:
            return True
        descriptor = open_lock(self._path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_target(
    settings: UpstreamSettings,
    data_folder: Path,
    *,
    ledger_identity: uuid.UUID,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> Target:
    """Return the target of an upstream; nothing is opened yet.

    Args:
        settings: The upstream.
        data_folder: The folder that relative paths are below.
        ledger_identity: Names the broker's session where the settings name none.
        clock: Returns the present instant.
        monotonic: Returns seconds that never go back.
    """
    if isinstance(settings, HTTPSUpstream):
        from keyrig.upstream.https_target import HTTPSTarget  # noqa: PLC0415 - loads httpx

        return HTTPSTarget(settings, data_folder, clock=clock, monotonic=monotonic)
    if isinstance(settings, MQTTUpstream):
        from keyrig.upstream.mqtt_target import MQTTTarget  # noqa: PLC0415 - loads paho

        return MQTTTarget(
            settings, data_folder, client_id=f"keyrig-{ledger_identity}", monotonic=monotonic
        )

    path = Path(settings.path).expanduser()
    return NDJSONTarget(data_folder / path, make_folders=not path.is_absolute())


def report_upstream(
    ledger_path: Path,
    settings: Settings,
    within_s: float,
    *,
    observe: Observer,
    only: frozenset[str] | None = None,
    insist: bool = False,
) -> bool:
    """Publish for a bounded time, and report the progress to `observe`.

    Args:
        ledger_path: The ledger's file.
        settings: The settings, with the upstreams.
        within_s: How long at most.
        observe: Called for each upstream with `UpstreamWaiting` meanwhile, and with
            `UpstreamStanding` at the end.
        only: The upstreams; all where None.
        insist: Try also the upstreams that asked for a longer wait.

    Returns:
        True if no event waits for one of these upstreams.
    """
    names = [name for name in settings.upstream if only is None or name in only]
    if not names:
        return True
    _make_due(ledger_path, names, insist=insist)
    until = read_monotonic() + within_s
    with EventPublisher(ledger_path, settings, only=frozenset(names), until=until) as publisher:
        settled = within_s <= 0
        while not settled and read_monotonic() < until:
            for name, standing in publisher.standing().items():
                if standing.waiting:
                    observe(events.UpstreamWaiting(upstream=name, waiting=standing.waiting))
            settled = publisher.wait_until_settled(until, read_monotonic() + PROGRESS_EVERY_S)
        standings = publisher.standing()
        for name, standing in standings.items():
            observe(standing_event(name, standing))
    return not any(standing.waiting for standing in standings.values())


def _make_due(ledger_path: Path, names: list[str], *, insist: bool) -> None:
    """End the waits that no upstream asked for, or all if `insist`: a person is waiting now."""
    with Ledger(ledger_path, create=False) as ledger:
        ledger.event_queue.register(names)
        for name in names:
            upstream = ledger.event_queue.get(name)
            if upstream.retry_at is not None and (insist or not upstream.retry_asked):
                ledger.event_queue.make_due(name)
