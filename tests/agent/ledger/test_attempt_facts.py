from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.domain.device_facts import AttemptFact, Outcome
from keyrig.domain.trust_anchor import Cell

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
METER = EntityIdentifier.parse("00db1234567890a0")
HUB = EntityIdentifier.parse("00db1234567890a2")
RUN = "1" * 32


def test_attempts_are_gathered_by_duty_oldest_first(ledger: Ledger) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    for device, name in ((METER, "R37a"), (METER, "R37a"), (HUB, "R33a")):
        ledger.runs.start_attempt(RUN, device, name, NOON)
    ledger.runs.finish_attempt(1, Outcome.FAILED, NOON + HOUR, detail="no answer")
    facts = ledger.facts.ledger_facts([METER])
    assert facts.of(METER, "R37a") == (
        AttemptFact(
            started_at=NOON,
            finished_at=NOON + HOUR,
            outcome=Outcome.FAILED,
            detail="no answer",
        ),
        AttemptFact(started_at=NOON),
    )
    assert facts.of(HUB, "R33a") == ()
    assert facts.of(METER, "R37c") == ()
    assert not ledger.facts.ledger_facts([]).attempts


def test_cells_read_back_are_kept_with_when(ledger: Ledger) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    cell = Cell(
        role=RemotePartyRole.RECOVERY,
        key_usage=KeyUsage.DIGITAL_SIGNATURE,
        cell_usage=CellUsage.MANAGEMENT,
        entity_id=EntityIdentifier.parse("90b3d51f30000001"),
        subject_key_identifier=bytes.fromhex("41facba956f83d87"),
    )
    ledger.facts.record_cells(METER, [cell], RUN, NOON)
    ledger.facts.record_cells(METER, [], RUN, NOON)
    ledger.facts.record_cells(METER, [cell], RUN, NOON + HOUR)
    assert ledger.facts.cells(METER) == ((NOON, cell), (NOON + HOUR, cell))
    assert ledger.facts.cells(HUB) == ()
