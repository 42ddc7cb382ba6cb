from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.upstream.outboxes import NOON, FakeTarget, HandClock, device, fill
from keyrig.ledger.ledger import Ledger
from keyrig.upstream.event_publisher import (
    BACK_OFF_MAXIMUM_S,
    REFUSED_IN_A_ROW_MAXIMUM,
    RETRY_AFTER_MAXIMUM_S,
    STOPPED_RETRY_S,
    Idle,
    Published,
    QueuePublisher,
    SetBack,
    back_off_s,
)
from keyrig.upstream.upstream_target import Answer, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyrig.upstream.cloud_events import Outgoing

AGAIN = Answer(trouble=Trouble.AGAIN, reason="503")
STOPPED = Answer(trouble=Trouble.STOPPED, reason="401")
REFUSED = Answer(trouble=Trouble.REFUSED_WHOLE, reason="400 bad event")
TOO_LARGE = Answer(trouble=Trouble.TOO_LARGE, reason="413")
WITHIN_S = 60.0


def delivery(
    ledger: Ledger,
    target: FakeTarget,
    clock: HandClock | None = None,
    *,
    dice: Callable[[], float] = lambda: 0.5,
    since: datetime | None = None,
) -> QueuePublisher:
    clock = clock or HandClock()
    ledger.event_queue.register(["up"])
    return QueuePublisher(
        ledger,
        "up",
        target,
        since=since,
        clock=clock.instant,
        monotonic=clock.monotonic,
        dice=dice,
    )


def drain(made: QueuePublisher) -> None:
    while isinstance(made.step(WITHIN_S), Published):
        pass


def refusing(*numbers: int) -> Callable[[Sequence[Outgoing]], Answer | None]:
    """Refuse a batch as a whole where one of these is in it."""

    def judge(batch: Sequence[Outgoing]) -> Answer | None:
        return REFUSED if any(each.event.number in numbers for each in batch) else None

    return judge


def test_everything_is_told_in_order_and_once(ledger: Ledger) -> None:
    fill(ledger, 1, 2, 1, 3, 2)
    target = FakeTarget(batch_maximum=2)
    made = delivery(ledger, target)
    assert [made.step(WITHIN_S) for _ in range(4)] == [
        Published(2),
        Published(2),
        Published(1),
        Idle(),
    ]
    assert target.asked == [[1, 2], [3, 4], [5]]
    fill(ledger, 1)
    drain(made)
    assert target.numbers() == [1, 2, 3, 4, 5, 6]


def test_another_delivery_goes_on_where_the_first_ended(ledger: Ledger) -> None:
    fill(ledger, 1, 1, 1)
    first, second = FakeTarget(batch_maximum=2), FakeTarget()
    delivery(ledger, first).step(WITHIN_S)
    with Ledger(ledger.path) as again:
        drain(delivery(again, second))
    assert (first.numbers(), second.numbers()) == ([1, 2], [3])


def test_back_off_doubles_to_a_bound_and_the_dice_share_it() -> None:
    longest = [back_off_s(failures, lambda: 0.999_999) for failures in (1, 2, 3, 10, 11, 10_000)]
    assert longest == pytest.approx(
        [1, 2, 4, 512, BACK_OFF_MAXIMUM_S, BACK_OFF_MAXIMUM_S], rel=0.01
    )
    assert back_off_s(3, lambda: 0.25) == 1
    assert back_off_s(3, lambda: 0.0) == pytest.approx(0.4)


def test_upstream_is_left_alone_until_the_back_off_is_over(ledger: Ledger) -> None:
    fill(ledger, 1)
    clock, target = HandClock(), FakeTarget(answers=deque([AGAIN, AGAIN]))
    made = delivery(ledger, target, clock)
    assert made.step(WITHIN_S) == SetBack(0.5)
    clock.pass_(0.4)
    still = made.step(WITHIN_S)
    assert isinstance(still, SetBack)
    assert still.wait_s == pytest.approx(0.1)
    assert len(target.asked) == 1
    clock.pass_(0.2)
    assert made.step(WITHIN_S) == SetBack(1.0)
    upstream = ledger.event_queue.get("up")
    assert (upstream.failures, upstream.last_error, upstream.stopped) == (2, "503", False)
    assert upstream.retry_at == clock.now + timedelta(seconds=1)
    clock.pass_(1)
    assert made.step(WITHIN_S) == Published(1)
    assert ledger.event_queue.get("up").failures == 0


@pytest.mark.parametrize(
    ("asked_s", "wait_s"),
    [(120.0, 120.0), (0.0, 0.5), (0.1, 0.5), (10 * RETRY_AFTER_MAXIMUM_S, RETRY_AFTER_MAXIMUM_S)],
)
def test_retry_after_is_kept_to_within_bounds(
    ledger: Ledger, asked_s: float, wait_s: float
) -> None:
    fill(ledger, 1)
    answer = Answer(trouble=Trouble.AGAIN, reason="429", retry_after_s=asked_s)
    target, clock = FakeTarget(answers=deque([answer])), HandClock()
    assert delivery(ledger, target, clock).step(WITHIN_S) == SetBack(wait_s)
    assert ledger.event_queue.get("up").retry_asked is (wait_s > 0.5)
    # Another process holds to it as well.
    assert delivery(ledger, target, clock).step(WITHIN_S) == SetBack(wait_s)
    assert len(target.asked) == 1


def test_target_that_a_person_must_mend_is_tried_slowly_and_parks_nothing(ledger: Ledger) -> None:
    fill(ledger, *range(50))
    target = FakeTarget(answers=deque([STOPPED]))
    made = delivery(ledger, target, clock := HandClock())
    assert made.step(WITHIN_S) == SetBack(STOPPED_RETRY_S)
    assert ledger.event_queue.get("up").stopped
    assert ledger.event_queue.standing("up").parked == 0
    clock.pass_(STOPPED_RETRY_S)
    drain(made)
    assert target.numbers() == list(range(1, 51))
    assert not ledger.event_queue.get("up").stopped


def test_person_has_an_upstream_tried_at_once(ledger: Ledger) -> None:
    fill(ledger, 1)
    target = FakeTarget(answers=deque([STOPPED]))
    made = delivery(ledger, target)
    assert isinstance(made.step(WITHIN_S), SetBack)
    ledger.event_queue.make_due("up")
    assert made.step(WITHIN_S) == Published(1)


@pytest.mark.parametrize("at_fault", [1, 50, 64, 100])
def test_refused_batch_is_narrowed_down_to_the_event_at_fault(
    ledger: Ledger, at_fault: int
) -> None:
    fill(ledger, *range(100))
    target = FakeTarget(judge=refusing(at_fault))
    drain(delivery(ledger, target))
    (parked,) = ledger.event_queue.parked("up")
    assert (parked.event.number, parked.reason) == (at_fault, "400 bad event")
    assert sorted(target.numbers()) == [n for n in range(1, 101) if n != at_fault]
    assert len(target.asked) <= 16


def test_later_events_of_a_refused_ones_device_are_held_back_in_the_same_batch(
    ledger: Ledger,
) -> None:
    fill(ledger, 1, 2, 1, 2, 1)
    target = FakeTarget(judge=refusing(1))
    drain(delivery(ledger, target))
    assert target.numbers() == [2, 4]
    target.judge = lambda _: None
    ledger.event_queue.unpark("up")
    drain(delivery(ledger, target))
    assert target.numbers(of=1) == [1, 3, 5]


def test_two_refused_events_of_one_batch_are_both_found(ledger: Ledger) -> None:
    fill(ledger, *range(40))
    target = FakeTarget(judge=refusing(7, 33))
    drain(delivery(ledger, target))
    assert [parked.event.number for parked in ledger.event_queue.parked("up")] == [7, 33]
    assert len(target.told) == 38


def test_target_that_refuses_whatever_it_is_told_stops_before_all_is_parked(
    ledger: Ledger,
) -> None:
    fill(ledger, *range(200))
    target, clock = FakeTarget(judge=lambda _: REFUSED), HandClock()
    made = delivery(ledger, target, clock)
    assert made.step(WITHIN_S) == SetBack(STOPPED_RETRY_S)
    assert ledger.event_queue.standing("up").parked == REFUSED_IN_A_ROW_MAXIMUM
    assert "event after event" in (ledger.event_queue.get("up").last_error or "")
    for again in (made, delivery(ledger, target, clock)):
        clock.pass_(STOPPED_RETRY_S)
        assert again.step(WITHIN_S) == SetBack(STOPPED_RETRY_S)
        assert ledger.event_queue.standing("up").parked == REFUSED_IN_A_ROW_MAXIMUM
    target.judge = lambda _: None
    ledger.event_queue.unpark("up")
    clock.pass_(STOPPED_RETRY_S)
    drain(made)
    assert sorted(target.numbers()) == list(range(1, 201))


def test_events_refused_one_by_one_beside_accepted_ones_are_all_parked(ledger: Ledger) -> None:
    fill(ledger, *range(40))

    def judge(batch: Sequence[Outgoing]) -> Answer:
        odd = {e.event.number: "bad" for e in batch if e.event.number % 2}
        even = frozenset(e.event.number for e in batch if not e.event.number % 2)
        return Answer(accepted=even, refused=odd)

    drain(delivery(ledger, FakeTarget(judge=judge)))
    assert ledger.event_queue.standing("up").parked == 20


def test_batch_that_is_too_large_is_halved_and_stays_small(ledger: Ledger) -> None:
    fill(ledger, *range(100))
    target = FakeTarget(judge=lambda batch: TOO_LARGE if len(batch) > 30 else None)
    made = delivery(ledger, target)
    drain(made)
    assert target.numbers() == list(range(1, 101))
    assert [len(batch) for batch in target.asked] == [100, 50, 25, 25, 50, 25, 25]
    fill(ledger, *range(30))
    drain(made)
    assert [len(batch) for batch in target.asked[7:]] == [25, 5]


def test_single_event_that_is_too_large_is_parked(ledger: Ledger) -> None:
    fill(ledger, 1, 2)

    def judge(batch: Sequence[Outgoing]) -> Answer | None:
        return TOO_LARGE if batch[0].event.number == 1 else None

    target = FakeTarget(judge=judge)
    drain(delivery(ledger, target))
    assert target.numbers() == [2]
    assert ledger.event_queue.standing("up").parked == 1


def test_what_was_acknowledged_before_the_trouble_counts(ledger: Ledger) -> None:
    fill(ledger, 1, 2, 1, 2)
    part = Answer(accepted=frozenset({1, 2, 3}), trouble=Trouble.AGAIN, reason="line lost")
    target, clock = FakeTarget(answers=deque([part])), HandClock()
    made = delivery(ledger, target, clock)
    assert made.step(WITHIN_S) == SetBack(0.5)
    clock.pass_(1)
    drain(made)
    assert target.numbers() == [1, 2, 3, 4]
    assert target.asked[1] == [4]


def test_week_without_network_is_survived_and_tried_at_bounded_intervals(ledger: Ledger) -> None:
    ledger._database._pragma("synchronous=OFF")
    fill(ledger, 1, 2)
    clock = HandClock()
    target = FakeTarget(judge=lambda _: AGAIN if clock.seconds < 1000 + 7 * 86_400 else None)
    made = delivery(ledger, target, clock, dice=lambda: 0.9)
    waits: list[float] = []
    while isinstance(step := made.step(WITHIN_S), SetBack):
        waits.append(step.wait_s)
        if len(waits) % 100 == 0:
            made = delivery(ledger, target, clock, dice=lambda: 0.9)
        if len(waits) % 10 == 0:
            fill(ledger, len(waits) % 3)
        clock.pass_(step.wait_s)
    assert max(waits) <= BACK_OFF_MAXIMUM_S
    assert len(waits) < 7 * 86_400 / (0.9 * BACK_OFF_MAXIMUM_S) + 20
    drain(made)
    for each in range(3):
        assert target.numbers(of=each) == [e.number for e in ledger.outbox.all(device(each))]


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=-1), timedelta(days=30)])
def test_clock_that_is_set_does_not_make_it_wait_longer(ledger: Ledger, jump: timedelta) -> None:
    fill(ledger, 1)
    clock, target = HandClock(), FakeTarget(answers=deque([AGAIN]))
    made = delivery(ledger, target, clock)
    assert made.step(WITHIN_S) == SetBack(0.5)
    clock.now += jump
    clock.pass_(0.5)
    assert made.step(WITHIN_S) == Published(1)


def test_clock_that_was_set_back_does_not_hold_up_another_process(ledger: Ledger) -> None:
    fill(ledger, 1)
    clock, target = HandClock(), FakeTarget(answers=deque([AGAIN]))
    delivery(ledger, target, clock).step(WITHIN_S)
    clock.now -= timedelta(days=2)
    assert delivery(ledger, target, clock).step(WITHIN_S) == Published(1)


def test_only_events_since_an_instant_are_told(ledger: Ledger) -> None:
    fill(ledger, 1, 1)
    fill(ledger, 1, at=NOON + timedelta(hours=1))
    target = FakeTarget()
    drain(delivery(ledger, target, since=NOON + timedelta(minutes=1)))
    assert target.numbers() == [3]
