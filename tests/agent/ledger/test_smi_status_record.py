from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.errors import LedgerRefused
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HUB = EntityIdentifier.parse("00db1234567890a2")


def record(ledger: Ledger, status: SMIStatus, at: datetime = NOON) -> bool:
    return ledger.smi_statuses.record(HUB, status, at=at, cause="inventory", now=at)


def statuses(ledger: Ledger) -> list[SMIStatus]:
    return [entry.status for entry in ledger.smi_statuses.history(HUB)]


def told(ledger: Ledger) -> list[tuple[str, str | None]]:
    return [
        (event.body["status"], event.body["before"])
        for event in ledger.outbox.all(HUB)
        if event.type is EventType.SMI_STATUS_CHANGED
    ]


def test_statuses_are_the_nine_of_duis() -> None:
    assert [status.value for status in SMIStatus] == [
        "Pending",
        "Whitelisted",
        "InstalledNotCommissioned",
        "Commissioned",
        "Decommissioned",
        "Withdrawn",
        "Suspended",
        "Recovery",
        "Recovered",
    ]


def test_status_from_outside_is_recorded_and_told_once(ledger: Ledger) -> None:
    assert ledger.smi_statuses.current(HUB) is None
    assert record(ledger, SMIStatus.COMMISSIONED)
    assert not record(ledger, SMIStatus.COMMISSIONED, NOON + HOUR)
    assert statuses(ledger) == [SMIStatus.COMMISSIONED]
    assert told(ledger) == [("Commissioned", None)]


def test_news_older_than_what_is_held_is_refused(ledger: Ledger) -> None:
    record(ledger, SMIStatus.COMMISSIONED)
    with pytest.raises(LedgerRefused, match="is older than"):
        record(ledger, SMIStatus.PENDING, NOON - HOUR)
    assert ledger.smi_statuses.current(HUB) is SMIStatus.COMMISSIONED


@pytest.mark.parametrize("before", [s for s in SMIStatus if s is not SMIStatus.SUSPENDED])
def test_restoring_gives_exactly_the_status_held_before(ledger: Ledger, before: SMIStatus) -> None:
    record(ledger, before)
    held = ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON + HOUR, failed=["R33a"])
    assert held.held_before is before
    assert held.failed_steps == {"R33a"}
    assert ledger.smi_statuses.current(HUB) is SMIStatus.SUSPENDED
    restored = ledger.smi_statuses.restore(HUB, "H5.34(c)", "done", NOON + 2 * HOUR)
    assert restored is ledger.smi_statuses.current(HUB) is before
    assert [(entry.clause, entry.at) for entry in ledger.smi_statuses.history(HUB)] == [
        ("", NOON),
        ("H5.34(a)", NOON + HOUR),
        ("H5.34(c)", NOON + 2 * HOUR),
    ]
    assert told(ledger)[1:] == [("Suspended", before.value), (before.value, "Suspended")]
    assert ledger.smi_statuses.standing(HUB).suspension is None


def test_device_suspended_already_is_not_suspended_again(ledger: Ledger) -> None:
    record(ledger, SMIStatus.SUSPENDED)
    with pytest.raises(LedgerRefused, match="another reason"):
        ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON)
    with pytest.raises(LedgerRefused, match="no suspension of ours"):
        ledger.smi_statuses.restore(HUB, "H5.34(c)", "done", NOON)
    assert statuses(ledger) == [SMIStatus.SUSPENDED]


def test_suspension_of_ours_is_not_repeated(ledger: Ledger) -> None:
    record(ledger, SMIStatus.COMMISSIONED)
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON)
    with pytest.raises(LedgerRefused, match=r"for H5\.34\(a\)"):
        ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed again", NOON)


def test_unknown_status_before_is_not_restored_by_a_guess(ledger: Ledger) -> None:
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON)
    with pytest.raises(LedgerRefused, match="not known"):
        ledger.smi_statuses.restore(HUB, "H5.34(c)", "done", NOON)
    assert ledger.smi_statuses.current(HUB) is SMIStatus.SUSPENDED
    assert record(ledger, SMIStatus.COMMISSIONED)
    assert ledger.smi_statuses.standing(HUB).suspension is None


def test_status_set_from_outside_ends_our_suspension(ledger: Ledger) -> None:
    record(ledger, SMIStatus.COMMISSIONED)
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON, failed=["R33a"])
    assert record(ledger, SMIStatus.SUSPENDED, NOON + HOUR)  # as we instructed
    assert not record(ledger, SMIStatus.SUSPENDED, NOON + HOUR)
    assert ledger.smi_statuses.standing(HUB).suspension is not None
    record(ledger, SMIStatus.DECOMMISSIONED, NOON + HOUR)
    assert ledger.smi_statuses.standing(HUB).suspension is None
    with pytest.raises(LedgerRefused):
        ledger.smi_statuses.restore(HUB, "H5.34(c)", "done", NOON + HOUR)
    assert statuses(ledger)[-1] is SMIStatus.DECOMMISSIONED


def test_failed_steps_come_and_go(ledger: Ledger) -> None:
    def failed() -> frozenset[str]:
        suspension = ledger.smi_statuses.standing(HUB).suspension
        assert suspension is not None
        return suspension.failed_steps

    with pytest.raises(LedgerRefused, match="no suspension"):
        ledger.smi_statuses.step_failed(HUB, "R33a", NOON)
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", NOON, failed=["R33a"])
    ledger.smi_statuses.step_failed(HUB, "R33c", NOON)
    assert failed() == {"R33a", "R33c"}
    ledger.smi_statuses.step_completed(HUB, "R33a", NOON)
    assert failed() == {"R33c"}
    ledger.smi_statuses.step_failed(HUB, "R33a", NOON)
    assert failed() == {"R33a", "R33c"}


def test_second_suspension_keeps_the_status_of_its_own_time(ledger: Ledger) -> None:
    smi = ledger.smi_statuses
    record(ledger, SMIStatus.COMMISSIONED)
    smi.suspend(HUB, "H5.34(a)", "failed", NOON + HOUR)
    smi.restore(HUB, "H5.34(c)", "done", NOON + HOUR)
    record(ledger, SMIStatus.RECOVERED, NOON + 2 * HOUR)
    smi.suspend(HUB, "H5.34(a)", "failed", NOON + 3 * HOUR)
    assert smi.restore(HUB, "H5.34(c)", "done", NOON + 4 * HOUR) is SMIStatus.RECOVERED
