"""Facts and SMI Status changes that come from outside of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.printable import printable
from keyrig.base.clock import second_text
from keyrig.base.errors import LedgerRefused
from keyrig.domain.known_facts import FactName, KnownFact, encode_value, standing_facts
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType
from keyrig.duties.rules import Actor, built_in_rules

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.ledger import Ledger


def learn(
    ledger: Ledger, device: EntityIdentifier, said: Iterable[KnownFact], now: datetime
) -> None:
    """Record facts of a device that come from outside of a run, and plan it anew.

    A device that no rig has had yet is planned by the built-in rules, for every party.

    Args:
        ledger: The ledger.
        device: The device.
        said: The facts.
        now: The present instant.

    Raises:
        LedgerRefused: The device's type would not be known any more.
    """
    with ledger.transaction():
        ledger.device_facts.record(device, said)
        history = ledger.device_facts.history(device)
        if not any(f.name is FactName.DEVICE_TYPE and f.value is not None for f in history):
            return
        try:
            ledger.open_duties.facts(device, now)
        except ValueError:
            raise LedgerRefused(
                f"device {device}",
                "nobody would say its type any more",
                "say the right one instead",
            ) from None
        if ledger.open_duties.is_adopted(device):
            ledger.open_duties.refresh(device, now)
        else:
            ledger.open_duties.adopt(
                device, rig_name="", rules=built_in_rules(), actors=tuple(Actor), now=now
            )


def learn_status(
    ledger: Ledger,
    device: EntityIdentifier,
    status: SMIStatus,
    *,
    at: datetime,
    source: str,
    now: datetime,
    is_snapshot: bool = False,
) -> bool:
    """Record an SMI Status that was set elsewhere, and what it entails.

    It may confirm what was instructed. A device that becomes Decommissioned owes nothing
    more. Any other change while a suspension of ours stands is flagged for a person: the
    text bars it.

    Args:
        ledger: The ledger.
        device: The device.
        status: The status that it holds.
        at: Since when.
        source: Who says so.
        now: The present instant.
        is_snapshot: Whether it was seen to be held, as in the inventory, and not said to
            have been set: then it may be one that our instruction has not changed yet.

    Returns:
        Whether it is news.

    Raises:
        LedgerRefused: A later status is held already.

    Source: SEC H5.34(d) and H5.38(c), consultation draft.
    """
    with ledger.transaction():
        suspension = ledger.smi_statuses.standing(device).suspension
        if not ledger.smi_statuses.record(
            device, status, at=at, cause=source, now=now, is_snapshot=is_snapshot
        ):
            return False
        if status is SMIStatus.DECOMMISSIONED:
            fact = KnownFact(
                name=FactName.DECOMMISSIONED, value=True, source=source, recorded_at=now
            )
            learn(ledger, device, [fact], now)
        elif suspension is not None and status is not SMIStatus.SUSPENDED:
            reason = (
                f"while the suspension under {suspension.clause} stands, no other change of the "
                f"status is allowed unless the device is Decommissioned; {source} says that it "
                f"is {status.value}, with {len(suspension.failed_steps)} failed steps not complete"
            )
            ledger.outbox.append(
                EventType.FLAG,
                device,
                at,
                {"flag": "barred-status-change", "status": status.value, "reason": reason},
            )
    return True


def record_fact(ledger: Ledger, device: EntityIdentifier, told: KnownFact, now: datetime) -> str:
    """Record one thing that is said of a device; return what holds now, in one line."""
    learn(ledger, device, [told], now)
    said = ledger.device_facts.history(device)
    name = told.name.value
    if told.at is not None and told.at > now:
        return f"{device}: {name} changes at {second_text(told.at)}"
    standing = {fact.name: fact for fact in standing_facts(device, said, now)}
    if FactName.DEVICE_TYPE not in standing:
        return f"{device}: recorded; its device_type must be said before its duties are planned"
    fact = standing.get(told.name)
    if fact is None:
        return f"{device}: nothing is said of {name} any more"
    value = encode_value(fact.value).strip('"')
    if fact == told:
        return f"{device}: {name} is {value}"
    return (
        f"{device}: recorded, but {name} stays {value}, which {printable(fact.source, 60)} says "
        f"since {second_text(fact.since)}; give a later --at to outweigh it"
    )
