"""The lock that goes to whoever has waited longest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from keyrig.base.errors import LedgerLocked
from keyrig.ledger.database import Database
from keyrig.ledger.fair_lock import FairLock, FairRLock
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path


def waiting(lock: FairLock, count: int) -> None:
    """Wait until as many wait for a lock."""
    while len(lock._waiting) < count:
        threading.Event().wait(0.001)


def test_lock_goes_round_in_the_order_of_asking() -> None:
    lock, order = FairLock(), list[int]()
    assert lock.acquire()

    def take(number: int) -> None:
        assert lock.acquire(HANG_S)
        order.append(number)
        lock.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for number, thread in enumerate(threads):
        thread.start()
        waiting(lock, number + 1)
    lock.release()
    for thread in threads:
        thread.join(HANG_S)
    assert order == list(range(8))
    assert lock.acquire(0)


def test_thread_that_asks_again_stands_behind_those_that_wait() -> None:
    lock, order = FairLock(), list[str]()
    assert lock.acquire()

    def take() -> None:
        assert lock.acquire(HANG_S)
        order.append("other")
        lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    waiting(lock, 1)
    lock.release()
    assert lock.acquire(HANG_S)
    order.append("first")
    thread.join(HANG_S)
    assert order == ["other", "first"]


def test_who_gives_up_waiting_is_passed_over() -> None:
    lock = FairLock()
    assert lock.acquire()
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)


def test_thread_may_take_its_own_lock_again_and_others_may_not() -> None:
    lock, taken = FairRLock(), threading.Event()

    def take() -> None:
        with lock:
            taken.set()

    thread = threading.Thread(target=take)
    with lock:
        with lock:
            pass
        thread.start()
        waiting(lock._lock, 1)
        assert not taken.is_set()
    assert taken.wait(HANG_S)
    thread.join(HANG_S)


def test_second_connection_of_a_process_waits_for_the_first_and_then_gives_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    with Database(path) as first, Database(path, busy_timeout_s=0.05) as second:
        holds, release = threading.Event(), threading.Event()

        def hold() -> None:
            with first.transaction():
                holds.set()
                release.wait(HANG_S)

        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(HANG_S)
        with pytest.raises(LedgerLocked), second.transaction():
            pytest.fail("two write at once")
        with second.reading():
            pass
        release.set()
        thread.join(HANG_S)
        with second.transaction():
            pass
