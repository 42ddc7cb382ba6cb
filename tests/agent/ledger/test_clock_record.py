from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.clock_trust import ClockFault, ClockFinding
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BROKER = EntityIdentifier.parse("90b3d51f30000002")
RUN = "0" * 32


def test_latest_instant_only_goes_forward_until_a_person_accepts_the_clock(
    ledger: Ledger, path: Path
) -> None:
    assert ledger.clock.latest() is None
    for now in (NOON, NOON - HOUR, NOON + HOUR, NOON):
        ledger.clock.advance(now)
    assert ledger.clock.latest() == NOON + HOUR
    ledger.clock.accept(NOON - HOUR)
    with Ledger(path) as again:
        assert again.clock.latest() == NOON - HOUR


def test_reserving_a_counter_writes_the_instant_down(ledger: Ledger) -> None:
    ledger.counters.reserve(BROKER, NOON)
    ledger.counters.reserve(BROKER, NOON - HOUR)
    assert ledger.clock.latest() == NOON


def test_findings_are_kept_with_their_run(ledger: Ledger) -> None:
    ledger.runs.start_run(RUN, "bench", NOON)
    finding = ClockFinding(ClockFault.STEPPED, timedelta(milliseconds=-2500), "set back")
    ledger.clock.record(RUN, finding, NOON)
    assert ledger.clock.findings(RUN) == ((NOON, finding),)
    with pytest.raises(LedgerRefused):
        ledger.clock.record("1" * 32, finding, NOON)
