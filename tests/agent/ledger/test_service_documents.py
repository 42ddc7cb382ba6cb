from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import ServiceDocumentKind
from keyrig.ledger.service_documents import About

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
METER = EntityIdentifier.parse("00db1234567890a0")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
RUN = "1" * 32


def test_documents_of_an_exchange_are_given_in_the_order_of_recording(ledger: Ledger) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    exchange_id = ledger.exchanges.record_command(
        b"",
        run_id=RUN,
        attempt_id=None,
        device=METER,
        originator=SUPPLIER,
        counter=7,
        message_code=8,
        now=NOON,
    )
    about = About(run_id=RUN, exchange_id=exchange_id, device=METER, request_id="a:b:7")
    kinds = (ServiceDocumentKind.REQUEST, ServiceDocumentKind.ANSWER, ServiceDocumentKind.RESPONSE)
    for kind in kinds:
        ledger.service_documents.record(
            kind.value.encode(), kind=kind, service="serviceS", now=NOON, about=about
        )
    found = ledger.service_documents.of_exchange(exchange_id)
    assert tuple(each.kind for each in found) == kinds
    assert [each.is_sent for each in found] == [True, False, False]
    assert found == ledger.service_documents.of_run(RUN)
    assert ledger.service_documents.exchange_of(SUPPLIER, 7) == exchange_id
    assert ledger.service_documents.exchange_of(SUPPLIER, 8) is None
    assert ledger.service_documents.exchange_of(SUPPLIER, 2**64 - 1) is None


@pytest.mark.parametrize("device", [METER, None])
def test_what_came_waits_until_it_is_dealt_with_once(
    device: EntityIdentifier | None, ledger: Ledger
) -> None:
    document_id = ledger.service_documents.record(
        b"<a/>",
        kind=ServiceDocumentKind.DCC_ALERT,
        service="receive",
        now=NOON,
        about=About(device=device),
        is_taken=False,
    )
    kinds = [ServiceDocumentKind.DCC_ALERT]
    (waiting,) = ledger.service_documents.waiting(device, kinds)
    assert waiting.id == document_id
    assert ledger.service_documents.waiting(SUPPLIER, kinds) == ()
    assert ledger.service_documents.waiting(device, [ServiceDocumentKind.RESPONSE]) == ()
    ledger.service_documents.take(document_id, NOON + timedelta(seconds=1), "seen")
    assert ledger.service_documents.waiting(device, kinds) == ()
    with pytest.raises(LedgerRefused, match="does not wait"):
        ledger.service_documents.take(document_id, NOON)
