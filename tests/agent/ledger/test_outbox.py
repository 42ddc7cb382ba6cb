from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import EventType
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.outbox import event_identifier

if TYPE_CHECKING:
    from pathlib import Path

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


def test_event_is_found_by_the_beginning_of_its_id(ledger: Ledger) -> None:
    ids = [ledger.outbox.append(EventType.FLAG, HUB, NOON, {"n": n}) for n in range(40)]
    assert ledger.outbox.find(str(ids[7])[:13].upper()).body == {"n": 7}
    for beginning in ("", "%", "zz"):
        with pytest.raises(LedgerRefused, match="no event"):
            ledger.outbox.find(beginning)
    # Of forty ids, two begin with the same digit.
    first = Counter(str(each)[0] for each in ids).most_common(1)[0][0]
    with pytest.raises(LedgerRefused, match="several"):
        ledger.outbox.find(first)


def test_ledger_keeps_the_identity_that_it_is_known_by(ledger: Ledger, tmp_path: Path) -> None:
    drawn = ledger.outbox.identity()
    with Ledger(ledger.path) as again, Ledger(tmp_path / "other.db") as other:
        assert again.outbox.identity() == drawn != other.outbox.identity()


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
