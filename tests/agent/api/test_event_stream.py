"""Events as a stream gives them."""

from __future__ import annotations

from datetime import UTC, datetime

from keyrig.api.event_stream import event_document
from keyrig.ledger.operation_record import OperationEvent


def test_event_that_an_earlier_release_kept_is_told_with_the_fields_that_it_was_kept_with() -> None:
    body = {"device": "00-DB", "execution_at": "2026-11-20T09:00:00+00:00", "gone": [1, None]}
    at = datetime(2026, 11, 24, 9, tzinfo=UTC)
    told = event_document(OperationEvent(number=7, type="replacement-lapsed", at=at, body=body))
    assert told == {
        "schema": 1,
        "number": 7,
        "type": "replacement-lapsed",
        "at": "2026-11-24T09:00:00.000Z",
        **body,
    }
