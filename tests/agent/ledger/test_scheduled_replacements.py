from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import ScheduledState

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = NOON + timedelta(hours=1)
LATER = NOON + timedelta(hours=3)
HUB = EntityIdentifier.parse("00db1234567890a2")
BROKER = EntityIdentifier.parse("90b3d51f30000002")
RUN = "1" * 32


def sent(ledger: Ledger, *, counter: int, is_recorded: bool = True) -> int:
    """Return the exchange of a command that schedules a replacement."""
    if not ledger.runs.runs():
        ledger.runs.start_run(RUN, "bench", NOON)
    attempt_id = ledger.runs.start_attempt(RUN, HUB, "R33b", NOON)
    exchange_id = ledger.exchanges.record_command(
        b"\xdf\x09",
        run_id=RUN,
        attempt_id=attempt_id,
        device=HUB,
        originator=BROKER,
        counter=counter,
        message_code=0x0102,
        now=NOON,
    )
    if is_recorded:
        ledger.scheduled.record(attempt_id, exchange_id, AT, NOON)
    return exchange_id


def told(ledger: Ledger, exchange_id: int, state: ScheduledState = ScheduledState.DONE) -> bool:
    """Return whether an alert that comes now is news of the replacement."""
    alert_id = ledger.exchanges.record_alert(
        b"\xdf\x0b", device=HUB, alert_code=0x8F66, verified=True, now=LATER, run_id=RUN
    )
    return ledger.scheduled.settle_by_alert(exchange_id, state, LATER, alert_id=alert_id, at=AT)


def states(ledger: Ledger) -> list[ScheduledState]:
    return [each.state for each in ledger.scheduled.history(HUB)]


def test_second_alert_of_a_replacement_is_no_news(ledger: Ledger) -> None:
    exchange_id = sent(ledger, counter=1)
    assert told(ledger, exchange_id)
    assert not told(ledger, exchange_id, ScheduledState.FAILED)
    assert states(ledger) == [ScheduledState.DONE]


def test_alert_of_another_exchange_is_news_whatever_its_number_begins_with(
    ledger: Ledger,
) -> None:
    exchanges = [sent(ledger, counter=counter) for counter in range(1, 13)]
    assert {1, 11, 12} <= set(exchanges)
    assert all(told(ledger, exchange_id) for exchange_id in (11, 1, 12))
    assert not any(told(ledger, exchange_id) for exchange_id in (1, 11, 12))
    assert len(ledger.scheduled.waiting(HUB)) == 9


@pytest.mark.parametrize("end", [ScheduledState.LAPSED, ScheduledState.CANCELLED])
def test_alert_after_the_replacement_was_given_up_is_news_once(
    ledger: Ledger, end: ScheduledState
) -> None:
    exchange_id = sent(ledger, counter=1)
    assert ledger.scheduled.settle(exchange_id, end, AT, detail="no alert came")
    assert told(ledger, exchange_id)
    assert not told(ledger, exchange_id)
    (held,) = ledger.scheduled.history(HUB)
    assert (held.state, held.settled_at, held.detail) == (ScheduledState.DONE, AT, "")


def test_alert_of_a_replacement_that_was_never_recorded_is_news_once(ledger: Ledger) -> None:
    exchange_id = sent(ledger, counter=1, is_recorded=False)
    assert states(ledger) == []
    assert told(ledger, exchange_id, ScheduledState.FAILED)
    assert not told(ledger, exchange_id)
    (held,) = ledger.scheduled.history(HUB)
    assert (held.exchange_id, held.execution_at, held.counter) == (exchange_id, AT, 1)
    assert (held.state, held.waits_at(LATER)) == (ScheduledState.FAILED, False)


def test_settling_what_no_exchange_scheduled_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefused, match="exchange 7: there is no such exchange"):
        ledger.scheduled.settle(7, ScheduledState.LAPSED, NOON)
