from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity import EntityIdentifier
from keyrig.errors import LedgerRefused
from keyrig.ledger.outbox import event_identifier
from keyrig.ledger.states import EventType

if TYPE_CHECKING:
    from keyrig.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HUB = EntityIdentifier.parse("00db1234567890a2")
METER = EntityIdentifier.parse("00db1234567890a0")


def test_event_id_follows_from_what_it_tells_alone() -> None:
    body = {"b": 1, "a": [1, 2]}
    known = event_identifier(EventType.NOTICE, HUB, NOON, body)
    assert known.version == 5
    assert event_identifier(EventType.NOTICE, HUB, NOON, {"a": [1, 2], "b": 1}) == known
    others = {
        event_identifier(EventType.FLAG, HUB, NOON, body),
        event_identifier(EventType.NOTICE, METER, NOON, body),
        event_identifier(EventType.NOTICE, HUB, NOON + timedelta(microseconds=1), body),
        event_identifier(EventType.NOTICE, HUB, NOON, body | {"b": 2}),
    }
    assert len(others | {known}) == 5


def test_event_id_does_not_change_between_versions() -> None:
    # Upstreams have seen such ids; a change would tell old events again.
    told = event_identifier(EventType.NOTICE, HUB, NOON, {"reason": "r"})
    assert told == uuid.UUID("7e6886e4-2227-5f0a-9337-10133e7df946")


def test_same_event_is_kept_once(ledger: Ledger) -> None:
    first = ledger.outbox.append(EventType.FLAG, HUB, NOON, {"flag": "x"})
    assert ledger.outbox.append(EventType.FLAG, HUB, NOON, {"flag": "x"}) == first
    assert [event.id for event in ledger.outbox.all()] == [first]


def test_event_stays_for_each_upstream_until_it_has_acknowledged(ledger: Ledger) -> None:
    ids = [ledger.outbox.append(EventType.FLAG, HUB, NOON, {"n": n}) for n in range(3)]
    ledger.outbox.mark_delivered(ids[0], "mqtt", NOON)
    ledger.outbox.mark_delivered(ids[0], "mqtt", NOON)
    assert [event.id for event in ledger.outbox.undelivered("mqtt")] == ids[1:]
    assert [event.id for event in ledger.outbox.undelivered("https")] == ids
    assert [event.body for event in ledger.outbox.undelivered("https", limit=1)] == [{"n": 0}]
    with pytest.raises(LedgerRefused, match="no event"):
        ledger.outbox.mark_delivered(uuid.UUID(int=0), "mqtt", NOON)


def test_event_is_gone_with_the_transaction_of_its_fact(ledger: Ledger) -> None:
    with contextlib.suppress(ZeroDivisionError), ledger.transaction():
        ledger.outbox.append(EventType.FLAG, HUB, NOON, {"flag": "x"})
        _ = 1 // 0
    assert ledger.outbox.all() == ()


def test_events_of_one_device_are_listed_in_order(ledger: Ledger) -> None:
    ledger.outbox.append(EventType.FLAG, HUB, NOON, {"n": 1})
    ledger.outbox.append(EventType.FLAG, METER, NOON, {"n": 2})
    ledger.outbox.append(EventType.FLAG, HUB, NOON - timedelta(days=1), {"n": 3})
    assert [event.body["n"] for event in ledger.outbox.all(HUB)] == [1, 3]
