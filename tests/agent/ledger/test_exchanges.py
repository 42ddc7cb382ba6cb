from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import ExchangeOutcome

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=3)
METER = EntityIdentifier.parse("00db1234567890a0")
BROKER = EntityIdentifier.parse("90b3d51f30000002")
RUN = "1" * 32


def sent(ledger: Ledger, *, counter: int = 1) -> int:
    if not ledger.runs.runs():
        ledger.runs.start_run(RUN, "bench", NOON)
    return ledger.exchanges.record_command(
        b"\xdf\x09",
        run_id=RUN,
        attempt_id=None,
        device=METER,
        originator=BROKER,
        counter=counter,
        message_code=0x000A,
        now=NOON,
    )


def test_command_stands_before_its_answer_is_known(ledger: Ledger) -> None:
    exchange_id = sent(ledger)
    (before,) = ledger.exchanges.of_run(RUN)
    assert (before.command, before.counter, before.message_code) == (b"\xdf\x09", 1, 0x000A)
    assert (before.outcome, before.response, before.verified) == (None, None, None)
    ledger.exchanges.record_outcome(
        exchange_id, ExchangeOutcome.VERIFIED, LATER, response=b"\xdf\x0a"
    )
    (after,) = ledger.exchanges.of_run(RUN)
    assert (after.response, after.verified, after.finished_at) == (b"\xdf\x0a", True, LATER)


def test_response_that_failed_verification_is_kept_as_such(ledger: Ledger) -> None:
    exchange_id = sent(ledger)
    ledger.exchanges.record_outcome(
        exchange_id, ExchangeOutcome.REJECTED, LATER, response=b"?", detail="MAC"
    )
    (exchange,) = ledger.exchanges.of_run(RUN)
    assert (exchange.verified, exchange.response, exchange.detail) == (False, b"?", "MAC")


def test_answer_without_octets_or_a_second_answer_is_refused(ledger: Ledger) -> None:
    exchange_id = sent(ledger)
    with pytest.raises(LedgerRefused, match="without a response"):
        ledger.exchanges.record_outcome(exchange_id, ExchangeOutcome.VERIFIED, LATER)
    ledger.exchanges.record_outcome(exchange_id, ExchangeOutcome.NO_RESPONSE, LATER)
    assert ledger.exchanges.of_run(RUN)[0].verified is None
    with pytest.raises(LedgerRefused, match="not under way"):
        ledger.exchanges.record_outcome(
            exchange_id, ExchangeOutcome.VERIFIED, LATER, response=b"late"
        )


def test_counter_of_an_originator_is_never_recorded_for_two_commands(ledger: Ledger) -> None:
    sent(ledger, counter=7)
    with pytest.raises(LedgerRefused, match="UNIQUE"):
        sent(ledger, counter=7)
    assert len(ledger.exchanges.of_run(RUN)) == 1


def test_last_exchange_of_a_message_code_is_found(ledger: Ledger) -> None:
    sent(ledger, counter=1)
    second = sent(ledger, counter=2)
    found = ledger.exchanges.last_of_device(METER, 0x000A)
    assert found is not None
    assert found.id == second
    assert ledger.exchanges.last_of_device(METER, 0x000B) is None


def test_alerts_are_kept_with_whether_they_verified(ledger: Ledger) -> None:
    for code, verified in ((0x8F66, True), (None, False)):
        ledger.exchanges.record_alert(
            b"\xdf\x08", device=METER, alert_code=code, verified=verified, now=NOON
        )
    assert [(a.alert_code, a.verified, a.octets) for a in ledger.exchanges.alerts_of(METER)] == [
        (0x8F66, True, b"\xdf\x08"),
        (None, False, b"\xdf\x08"),
    ]


def test_octets_are_not_shown_by_repr(ledger: Ledger) -> None:
    sent(ledger)
    assert "df" not in repr(ledger.exchanges.of_run(RUN)[0]).lower().replace("message_code", "")
