from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gbcs.entity_identifier import EntityIdentifier
from keyrig.api.metrics import Figures
from keyrig.domain.smi_status import SMIStatus
from keyrig.ledger.ledger import Ledger
from keyrig.run.outside_facts import learn_status

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HUB = EntityIdentifier.parse("00db1234567890a2")


def figures(ledger: Ledger, now: datetime) -> dict[str, float]:
    standing = ledger.event_queue.standing("office")
    text = Figures().text(ledger, now, running=2, streams=1, upstreams=[standing]).decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_what_waits_for_upstream_and_inventory_is_counted(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.event_queue.register(["office"])
        found = figures(ledger, NOON)
        assert found['keyrig_outbox_waiting{upstream="office"}'] == 0
        assert found['keyrig_outbox_oldest_waiting_timestamp_seconds{upstream="office"}'] == 0
        assert found["keyrig_status_instructions_waiting"] == 0
        assert found["keyrig_duties_next_deadline_timestamp_seconds"] == 0

        learn_status(ledger, HUB, SMIStatus.COMMISSIONED, at=NOON, source="inventory", now=NOON)
        later = NOON + timedelta(hours=1)
        ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", later)
        (first, _) = ledger.outbox.all()
        ledger.event_queue.set_back(
            "office", "401 Unauthorized", retry_at=later, asked=False, stopped=True, now=later
        )
        ledger.event_queue.park("office", first, "not wanted", later)
        found = figures(ledger, later)
    assert found['keyrig_outbox_waiting{upstream="office"}'] == 2
    assert found['keyrig_outbox_parked{upstream="office"}'] == 1
    assert found['keyrig_outbox_stopped{upstream="office"}'] == 1
    oldest = found['keyrig_outbox_oldest_waiting_timestamp_seconds{upstream="office"}']
    assert oldest == NOON.timestamp()
    assert found["keyrig_status_instructions_waiting"] == 1
    assert (found["keyrig_operations_running"], found["keyrig_event_streams"]) == (2, 1)
