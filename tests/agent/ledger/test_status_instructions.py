from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from gbcs.entity_identifier import EntityIdentifier
from keyrig.domain.smi_status import (
    NOT_SET_BY_USERS,
    SET_BY_USERS,
    SMIStatus,
    StatusInstruction,
)
from keyrig.domain.states import EventType, InstructionEnd
from keyrig.ledger.schema import status_instructions
from keyrig.run.outside_facts import learn_status

if TYPE_CHECKING:
    from keyrig.ledger.ledger import Ledger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HUB = EntityIdentifier.parse("00db1234567890a2")
METER = EntityIdentifier.parse("00db1234567890a0")
COMMISSIONED, SUSPENDED = SMIStatus.COMMISSIONED, SMIStatus.SUSPENDED


def seen(ledger: Ledger, status: SMIStatus, at: datetime, device: EntityIdentifier = HUB) -> bool:
    return learn_status(
        ledger, device, status, at=at, source="Read Inventory", now=at, is_snapshot=True
    )


def suspend(ledger: Ledger, at: datetime = NOON) -> None:
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", at, failed=["R33a"])


def ends(ledger: Ledger) -> list[tuple[str, str | None]]:
    table = status_instructions
    with ledger.reading() as connection:
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    return [(row.status.value, row.ended_by.value if row.ended_by else None) for row in rows]


def told(ledger: Ledger) -> list[dict[str, Any] | None]:
    return [
        event.body["instruction"]
        for event in ledger.outbox.all(HUB)
        if event.type is EventType.SMI_STATUS_CHANGED
    ]


def flags(ledger: Ledger) -> list[str]:
    return [e.body["flag"] for e in ledger.outbox.all(HUB) if e.type is EventType.FLAG]


def test_suspension_is_told_as_an_instruction_that_nobody_but_the_dcc_can_carry_out(
    ledger: Ledger,
) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    (waits,) = ledger.status_instructions.waiting()
    assert waits == ledger.smi_statuses.standing(HUB).instruction
    assert waits == StatusInstruction(
        device=HUB,
        status=SUSPENDED,
        instead_of=COMMISSIONED,
        clause="H5.34(a)",
        reason="failed",
        since=NOON,
    )
    assert told(ledger) == [
        None,
        {
            "status": "Suspended",
            "instead_of": "Commissioned",
            "clause": "H5.34(a)",
            "reason": "failed",
            "since": "2026-11-20T12:00:00.000Z",
            "state": "waiting",
            "channel": NOT_SET_BY_USERS,
        },
    ]


def test_status_seen_in_the_inventory_alone_confirms_and_is_told_once(ledger: Ledger) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    assert not seen(ledger, COMMISSIONED, NOON + HOUR)
    assert ends(ledger) == [("Suspended", None)]
    assert seen(ledger, SUSPENDED, NOON + 2 * HOUR)
    assert not seen(ledger, SUSPENDED, NOON + 3 * HOUR)
    assert ends(ledger) == [("Suspended", "confirmed")]
    assert ledger.status_instructions.waiting() == ()
    states = [body["state"] for body in told(ledger) if body]
    assert states == ["waiting", "confirmed"]
    assert ledger.smi_statuses.standing(HUB).suspension is not None
    assert flags(ledger) == []


def test_restoring_before_the_suspension_was_seen_withdraws_it(ledger: Ledger) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    ledger.smi_statuses.restore(HUB, "H5.34(c)", "done", NOON + HOUR)
    assert ends(ledger) == [("Suspended", "withdrawn"), ("Commissioned", None)]
    (waits,) = ledger.status_instructions.waiting()
    assert waits.channel == SET_BY_USERS
    # The DCC may have suspended it in between; that says nothing new.
    assert not seen(ledger, SUSPENDED, NOON + 2 * HOUR)
    assert ledger.smi_statuses.current(HUB) is COMMISSIONED
    assert seen(ledger, COMMISSIONED, NOON + 3 * HOUR)
    assert ends(ledger)[-1] == ("Commissioned", "confirmed")


def test_inventory_older_than_the_instruction_confirms_nothing(ledger: Ledger) -> None:
    suspend(ledger)
    assert not seen(ledger, SUSPENDED, NOON - HOUR)
    assert len(ledger.status_instructions.waiting()) == 1


def test_what_was_held_before_is_a_change_once_the_suspension_was_confirmed(
    ledger: Ledger,
) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    seen(ledger, SUSPENDED, NOON + HOUR)
    assert seen(ledger, COMMISSIONED, NOON + 2 * HOUR)
    assert ledger.smi_statuses.standing(HUB).suspension is None
    assert flags(ledger) == ["barred-status-change"]


def test_word_that_a_status_was_set_is_no_mere_sight_of_it(ledger: Ledger) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    at = NOON + HOUR
    assert learn_status(ledger, HUB, COMMISSIONED, at=at, source="service desk", now=at)
    assert ends(ledger) == [("Suspended", "superseded")]
    assert ledger.smi_statuses.standing(HUB).suspension is None


@pytest.mark.parametrize("status", [SMIStatus.DECOMMISSIONED, SMIStatus.WITHDRAWN])
def test_any_other_status_supersedes_what_was_instructed(ledger: Ledger, status: SMIStatus) -> None:
    seen(ledger, COMMISSIONED, NOON - HOUR)
    suspend(ledger)
    assert seen(ledger, status, NOON + HOUR)
    assert ends(ledger) == [("Suspended", InstructionEnd.SUPERSEDED.value)]
    assert ledger.smi_statuses.current(HUB) is status


def test_instructions_of_devices_stand_apart(ledger: Ledger) -> None:
    for device in (HUB, METER):
        seen(ledger, COMMISSIONED, NOON - HOUR, device)
        ledger.smi_statuses.suspend(device, "H5.38(a)", "failed", NOON)
    seen(ledger, SUSPENDED, NOON + HOUR, METER)
    assert [waits.device for waits in ledger.status_instructions.waiting()] == [HUB]
