from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import EventType
from keyrig.ledger.event_queue import EventState
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyrig.ledger.outbox import Event

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HUB = EntityIdentifier.parse("00db1234567890a2")
METER = EntityIdentifier.parse("00db1234567890a0")
GAS = EntityIdentifier.parse("00db1234567890a1")


def add(ledger: Ledger, *devices: EntityIdentifier, at: datetime = NOON) -> list[Event]:
    before = len(ledger.outbox.all())
    for n, device in enumerate(devices):
        ledger.outbox.append(EventType.FLAG, device, at, {"n": before + n})
    return list(ledger.outbox.all()[before:])


def numbers(ledger: Ledger, name: str = "a", limit: int = 100) -> list[int]:
    return [event.number for event in ledger.event_queue.batch(name, limit).events]


def settle(
    ledger: Ledger, accepted: set[int], refused: Collection[int] = (), limit: int = 100
) -> None:
    batch = ledger.event_queue.batch("a", limit)
    ledger.event_queue.settle(
        "a", batch, accepted=accepted, refused=dict.fromkeys(refused, "bad"), now=NOON
    )


@pytest.fixture(autouse=True)
def registered(ledger: Ledger) -> None:
    ledger.event_queue.register(["a", "b"])


def test_each_upstream_is_told_everything_in_order_whenever_it_was_taken_up(
    ledger: Ledger,
) -> None:
    add(ledger, HUB, METER, HUB)
    assert numbers(ledger) == numbers(ledger, "b") == [1, 2, 3]
    settle(ledger, {1, 2, 3})
    assert numbers(ledger) == []
    ledger.event_queue.register(["a", "late"])
    assert numbers(ledger, "b") == numbers(ledger, "late") == [1, 2, 3]


def test_upstream_that_was_never_registered_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefused, match="upstream c"):
        ledger.event_queue.batch("c", 1)


def test_refused_event_holds_back_its_device_alone(ledger: Ledger) -> None:
    events = add(ledger, HUB, METER, HUB, GAS)
    settle(ledger, {2, 4}, {1})
    add(ledger, HUB, METER)
    assert numbers(ledger) == [6]
    (parked,) = ledger.event_queue.parked("a")
    assert (parked.event, parked.reason, parked.by_person) == (events[0], "bad", False)
    standing = ledger.event_queue.standing("a")
    assert (standing.waiting, standing.parked, standing.held_back) == (4, 1, 2)
    assert standing.oldest_waiting_at == NOON
    states = [ledger.event_queue.state_of("a", event).value for event in ledger.outbox.all()]
    assert states == ["parked", "told", "held-back", "told", "held-back", "waiting"]
    settle(ledger, {6})
    assert numbers(ledger) == []

    assert ledger.event_queue.unpark("a") == 1
    assert numbers(ledger) == [1, 3, 5]
    settle(ledger, {1, 3, 5})
    add(ledger, HUB)
    assert numbers(ledger) == [7]
    assert ledger.event_queue.standing("a").waiting == 1


def test_what_was_acknowledged_in_part_is_not_told_again(ledger: Ledger) -> None:
    add(ledger, HUB, METER, HUB, GAS, METER, GAS)
    settle(ledger, {1, 2, 4})
    # 3 and 5 lie below what GAS was told, 6 above: none of 1, 2 and 4 comes again.
    told: list[int] = []
    while numbers(ledger):
        told += numbers(ledger)
        settle(ledger, set(numbers(ledger)))
    assert told == [3, 5, 6]


def test_nothing_moves_where_nothing_was_acknowledged(ledger: Ledger) -> None:
    add(ledger, HUB, METER)
    settle(ledger, set())
    assert numbers(ledger) == [1, 2]


def test_person_parks_an_event_that_waits_and_those_before_it_go_on(ledger: Ledger) -> None:
    events = add(ledger, HUB, METER, HUB, HUB, METER)
    ledger.event_queue.park("a", events[2], "wait for the supplier", NOON)
    told: list[int] = []
    while numbers(ledger):
        told += numbers(ledger)
        settle(ledger, set(numbers(ledger)))
    assert sorted(told) == [1, 2, 5]
    (parked,) = ledger.event_queue.parked("a")
    assert (parked.event.number, parked.by_person) == (3, True)
    with pytest.raises(LedgerRefused, match="parked for a already"):
        ledger.event_queue.park("a", events[2], "again", NOON)
    with pytest.raises(LedgerRefused, match="told it already"):
        ledger.event_queue.park("a", events[0], "too late", NOON)
    ledger.event_queue.unpark("a", events[2])
    assert numbers(ledger) == [3, 4]


def test_second_parked_event_of_a_device_holds_once_the_first_is_back(ledger: Ledger) -> None:
    events = add(ledger, HUB, HUB, HUB)
    ledger.event_queue.park("a", events[2], "r", NOON)
    ledger.event_queue.park("a", events[0], "r", NOON)
    assert numbers(ledger) == []
    assert ledger.event_queue.standing("a").held_back == 1
    ledger.event_queue.unpark("a", events[0])
    assert numbers(ledger) == [1, 2]


def test_discarded_event_is_never_told_and_the_next_of_its_device_is(ledger: Ledger) -> None:
    events = add(ledger, HUB, HUB)
    with pytest.raises(LedgerRefused, match="not parked"):
        ledger.event_queue.discard("a", events[0], "r", NOON)
    settle(ledger, set(), {1})
    ledger.event_queue.discard("a", events[0], "the supplier has it on paper", NOON)
    assert numbers(ledger) == [2]
    assert ledger.event_queue.state_of("a", events[0]) is EventState.DISCARDED
    assert numbers(ledger, "b") == [1, 2]
    settle(ledger, {2})
    ledger.event_queue.replay("a")
    assert numbers(ledger) == [2]


def test_replay_tells_again_from_an_instant_on(ledger: Ledger) -> None:
    add(ledger, HUB, METER)
    add(ledger, HUB, METER, at=NOON + timedelta(hours=1))
    settle(ledger, {1, 2, 4}, {3})
    ledger.event_queue.replay("a", NOON + timedelta(minutes=1))
    assert numbers(ledger) == [3, 4]
    assert ledger.event_queue.parked("a") == ()
    ledger.event_queue.replay("a")
    assert numbers(ledger) == [1, 2, 3, 4]
    ledger.event_queue.replay("a", NOON + timedelta(days=1))
    assert numbers(ledger) == [1, 2, 3, 4]


def test_replay_from_an_instant_on_loses_nothing_that_waits_or_is_parked_from_before(
    ledger: Ledger,
) -> None:
    add(ledger, HUB, METER, GAS)
    add(ledger, HUB, METER, at=NOON + timedelta(hours=1))
    settle(ledger, {1, 4}, {2})
    ledger.event_queue.replay("a", NOON + timedelta(minutes=1))
    assert numbers(ledger) == [3, 4]
    assert [parked.event.number for parked in ledger.event_queue.parked("a")] == [2]
    ledger.event_queue.unpark("a")
    assert numbers(ledger) == [2, 3, 4, 5]


def test_event_that_was_acknowledged_after_a_person_parked_it_was_told(ledger: Ledger) -> None:
    (event,) = add(ledger, HUB)
    batch = ledger.event_queue.batch("a", 10)
    ledger.event_queue.park("a", event, "wait", NOON)
    ledger.event_queue.settle("a", batch, accepted={1}, refused={}, now=NOON)
    assert ledger.event_queue.state_of("a", event) is EventState.TOLD
    assert ledger.event_queue.parked("a") == ()


def test_events_of_an_upstream_that_left_the_settings_wait_until_it_is_back(
    ledger: Ledger,
) -> None:
    add(ledger, HUB)
    settle(ledger, {1})
    add(ledger, METER)
    ledger.event_queue.register(["b"])
    add(ledger, GAS)
    ledger.event_queue.register(["a", "b"])
    assert numbers(ledger) == [2, 3]


def test_event_and_what_is_owed_of_it_are_kept_together_or_not_at_all(ledger: Ledger) -> None:
    with contextlib.suppress(ZeroDivisionError), ledger.transaction():
        add(ledger, HUB)
        _ = 1 // 0
    assert numbers(ledger) == []
    add(ledger, HUB)
    assert numbers(ledger) == numbers(ledger, "b") == [1]
    # The same event again is the same event.
    ledger.outbox.append(EventType.FLAG, HUB, NOON, {"n": 0})
    assert numbers(ledger) == [1]


def test_what_is_on_its_way_during_a_replay_does_not_undo_it(ledger: Ledger) -> None:
    add(ledger, HUB, METER)
    settle(ledger, {1})
    batch = ledger.event_queue.batch("a", 10)
    ledger.event_queue.replay("a")
    ledger.event_queue.settle("a", batch, accepted={2}, refused={}, now=NOON)
    assert numbers(ledger) == [1, 2]


def test_events_before_since_are_passed_over(ledger: Ledger) -> None:
    since = NOON + timedelta(minutes=1)
    events = add(ledger, HUB, METER) + add(ledger, HUB, at=since)
    batch = ledger.event_queue.batch("a", 10, since)
    assert [event.number for event in batch.events] == [3]
    assert ledger.event_queue.standing("a", since).waiting == 1
    assert ledger.event_queue.state_of("a", events[0], since) is EventState.PASSED_OVER
    ledger.event_queue.settle("a", batch, accepted={3}, refused={}, now=NOON)
    # What was passed over is off the queue, whatever the settings say later.
    assert numbers(ledger) == []


def test_setback_and_its_end_are_kept(ledger: Ledger) -> None:
    add(ledger, HUB)
    later = NOON + timedelta(hours=1)
    for _ in range(2):
        ledger.event_queue.set_back("a", "503", retry_at=later, asked=True, stopped=False, now=NOON)
    with Ledger(ledger.path) as again:
        upstream = again.event_queue.get("a")
    assert (upstream.failures, upstream.retry_at, upstream.retry_asked) == (2, later, True)
    assert (upstream.last_error, upstream.last_error_at) == ("503", NOON)
    settle(ledger, {1})
    upstream = ledger.event_queue.get("a")
    assert (upstream.failures, upstream.retry_at, upstream.last_error) == (0, None, None)
    assert upstream.last_told_at == NOON


def work(ledger: Ledger, limit: int = 50) -> int:
    """Count the steps that SQLite takes to find the next batch."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with ledger.reading() as connection:
        driver = connection.connection.driver_connection
    assert driver is not None
    driver.set_progress_handler(count, 20)
    try:
        assert len(numbers(ledger, limit=limit)) == limit
    finally:
        driver.set_progress_handler(None, 0)
    return steps


def drain(ledger: Ledger, until_left: int) -> None:
    while ledger.event_queue.standing("a").waiting > until_left:
        settle(ledger, set(numbers(ledger)))


def test_next_batch_costs_the_same_whatever_was_told_and_whatever_waits(ledger: Ledger) -> None:
    with ledger.transaction():
        add(ledger, *[HUB, METER, GAS] * 1000)
    ledger.event_queue.register(["old"])
    full = work(ledger)
    drain(ledger, 100)
    assert work(ledger) <= full * 1.1


def test_next_batch_of_a_device_put_back_costs_the_same_as_it_is_told(ledger: Ledger) -> None:
    with ledger.transaction():
        add(ledger, *[HUB, METER] * 1000)
    ledger.event_queue.park("a", ledger.outbox.all(HUB)[0], "r", NOON)
    drain(ledger, 1000)
    ledger.event_queue.unpark("a")
    assert numbers(ledger)[:3] == [1, 3, 5]
    full = work(ledger)
    drain(ledger, 100)
    assert work(ledger) <= full * 1.1
