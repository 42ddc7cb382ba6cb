"""Telling every upstream of the settings in threads of their own, until stopped."""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from gbcs.errors import KeyrigError
from gbcs.printable import printable
from keyrig.base.clock import monotonic as read_monotonic
from keyrig.base.clock import utc_now
from keyrig.base.lock_files import open_lock
from keyrig.base.observing import Observer, unobserved
from keyrig.ledger.ledger import Ledger
from keyrig.upstream.publishing import STOPPED_RETRY_S, Delivery, Idle, SetBack, Step, Told
from keyrig.upstream.target_opening import open_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from keyrig.config.settings import Settings, UpstreamSettings
    from keyrig.ledger.upstream_standing import UpstreamStanding

LOOK_EVERY_S: Final = 2.0
"""How often an upstream is looked after without being woken: other processes add events too."""
LOOK_SOON_S: Final = 0.2
"""The same where somebody waits for what another process tells."""
BATCH_WITHIN_S: Final = 3600.0
"""How long a batch may take where nobody waits for it; each target has time-outs of its own."""
STOP_WITHIN_S: Final = 5.0
_DICE: Final = secrets.SystemRandom()


class Courier:
    """Tells upstreams what is in the ledger, each in a thread of its own.

    One process at a time tells an upstream; where another does, this one stands by. That is a
    lock of the operating system, which ends with its process.

    Args:
        ledger_path: The ledger's file; it must exist.
        settings: The settings, with the upstreams.
        only: The upstreams to tell; all where None.
        until: When to give up, of the monotonic clock; never where None.
        clock: Gives the present instant.
        monotonic: Gives seconds that never go back.
        dice: Gives a number in [0, 1), for the back-off.
        observe: Is told what goes wrong, and that it goes well again; from several threads.

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
        self._upstreams = {
            name: upstream
            for name, upstream in settings.upstream.items()
            if only is None or name in only
        }
        self._ledger = Ledger(ledger_path, create=False)
        try:
            self._ledger.upstreams.register(self._upstreams, clock())
            self._lanes = [
                _Lane(self._ledger, name, upstream, until, clock, monotonic, dice, observe)
                for name, upstream in self._upstreams.items()
            ]
        except BaseException:
            self._ledger.close()
            raise

    def start(self) -> None:
        """Begin to tell."""
        for lane in self._lanes:
            lane.thread.start()

    def wake(self) -> None:
        """Say that there may be something new to tell."""
        for lane in self._lanes:
            lane.wake()

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """End; what is on its way when the time is over is told again by the next."""
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            if lane.thread.ident is not None:
                lane.thread.join(within_s)
        if not any(lane.thread.is_alive() for lane in self._lanes):
            self._ledger.close()

    def standing(self) -> Mapping[str, UpstreamStanding]:
        """Give of each upstream what it was not told yet, and why."""
        return {
            name: self._ledger.upstreams.standing(name, upstream.since)
            for name, upstream in self._upstreams.items()
        }

    def wait_until_settled(self, until: float, tick: float) -> bool:
        """Wait until there is nothing more to tell, or nothing that can be told in time.

        Args:
            until: When it is too late, of the monotonic clock.
            tick: When to return in any case.

        Returns:
            Whether there is nothing more that can be told in time.
        """
        return all(lane.wait_until_settled(until, tick) for lane in self._lanes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Lane:
    """The telling of one upstream."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        settings: UpstreamSettings,
        until: float | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        dice: Callable[[], float],
        observe: Observer,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._until = until
        self._clock = clock
        self._monotonic = monotonic
        self._observe = observe
        self._target = open_target(
            settings,
            ledger.path.parent,
            ledger_identity=ledger.outbox.identity(),
            clock=clock,
            monotonic=monotonic,
        )
        self._delivery = Delivery(
            ledger,
            name,
            self._target,
            since=settings.since,
            clock=clock,
            monotonic=monotonic,
            dice=dice,
        )
        self._since = settings.since
        self._lock = UpstreamLock(ledger.path, name)
        self._changed = threading.Condition()
        self._stopping = False
        self._woken = False
        self._settled_until: float | None = None
        self._told_error: str | None = None
        self.thread = threading.Thread(target=self._run, name=f"upstream {name}", daemon=True)

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
                left = min(until, tick) - self._monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._rest(self._go_on())
        finally:
            self._target.close()
            self._lock.release()
            self.stop()

    def _is_over(self) -> bool:
        with self._changed:
            return self._stopping or (self._until is not None and self._monotonic() >= self._until)

    def _go_on(self) -> float:
        """Tell a batch; gives for how many seconds there is nothing to do then."""
        within_s = BATCH_WITHIN_S
        if self._until is not None:
            within_s = max(0.0, self._until - self._monotonic())
        try:
            if not self._lock.acquire():
                # Whoever tells it now says in the ledger how far it has come.
                waiting = self._ledger.upstreams.standing(self._name, self._since).waiting
                if not waiting:
                    return float("inf")
                return LOOK_EVERY_S if self._until is None else LOOK_SOON_S
            return self._after(self._delivery.step(within_s))
        except (KeyrigError, OSError) as error:
            self._tell_error(printable(str(error)))
            return LOOK_EVERY_S
        except Exception as error:  # noqa: BLE001 - a thread that ends would tell nothing, unseen
            return self._unexpected(error)

    def _after(self, step: Step) -> float:
        match step:
            case Told():
                self._tell_error(None)
                return 0.0
            case Idle():
                return float("inf")
            case SetBack(wait_s):
                self._tell_error(self._ledger.upstreams.get(self._name).last_error)
                return wait_s

    def _unexpected(self, error: Exception) -> float:
        """Have a fault of our own seen where everything else is; the thread goes on."""
        reason = f"unexpected error: {printable(f'{type(error).__name__}: {error}')}"
        self._tell_error(reason)
        now = self._clock()
        with suppress(KeyrigError):
            self._ledger.upstreams.set_back(
                self._name,
                reason,
                retry_at=now + timedelta(seconds=STOPPED_RETRY_S),
                asked=False,
                stopped=True,
                now=now,
            )
        return STOPPED_RETRY_S

    def _rest(self, wait_s: float) -> None:
        """Wait until there may be something to do: woken, stopped, or time has passed."""
        with self._changed:
            self._settled_until = None
            if wait_s and not self._woken:
                self._settled_until = self._monotonic() + wait_s
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._woken or self._stopping, min(wait_s, LOOK_EVERY_S)
                )
            self._woken = False

    def _tell_error(self, error: str | None) -> None:
        if error == self._told_error:
            return
        self._told_error = error
        if error:
            self._observe("upstream-set-back", upstream=self._name, reason=error)
        else:
            self._observe("upstream-told", upstream=self._name)


class UpstreamLock:
    """The lock by which one process at a time tells an upstream."""

    def __init__(self, ledger: Path, name: str) -> None:
        self._path = ledger.parent / "upstream" / f"{ledger.name}.{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take it, unless another has it; taken already, it stays so.

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
        """Give it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
