"""Recording and showing what is known of devices, and who said it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gbcs.printable import printable
from keyrig.domain.known_facts import FactName, encode_value, fold
from keyrig.run.outside_facts import learn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from keyrig.domain.known_facts import KnownFact
    from keyrig.ledger.ledger import Ledger


def device_document(
    ledger: Ledger, device: EntityIdentifier, now: datetime, *, history: bool
) -> dict[str, Any]:
    """Make the JSON object of what holds of a device, or of all that was ever said."""
    said = ledger.device_facts.history(device)
    shown = said if history else _standing(device, said, now)
    return {
        "entity_id": str(device),
        "facts": [fact_document(fact) for fact in shown],
        "smi_status": [
            {
                "status": record.status.value,
                "at": record.at.isoformat(),
                "source": record.cause,
                "clause": record.clause or None,
            }
            for record in ledger.smi_statuses.history(device)[0 if history else -1 :]
        ],
    }


def fact_document(fact: KnownFact) -> dict[str, Any]:
    """Make the JSON object of one fact."""
    return {
        "name": fact.name.value,
        "value": json.loads(encode_value(fact.value)),
        "source": fact.source,
        "holds_from": fact.at.isoformat() if fact.at else None,
        "recorded_at": fact.recorded_at.isoformat(),
    }


def device_lines(document: dict[str, Any]) -> Iterator[str]:
    """Write what `device_document` gave for people to read."""
    yield document["entity_id"]
    for fact in document["facts"]:
        since = f", from {fact['holds_from']}" if fact["holds_from"] else ""
        value = fact["value"]
        text = ", ".join(value) if isinstance(value, list) else str(value)
        told = f"{printable(fact['source'], 60)}, recorded {fact['recorded_at'][:19]}Z{since}"
        yield f"  {fact['name']}: {'taken back' if value is None else text}  ({told})"
    for record in document["smi_status"]:
        why = printable(record["source"], 100)
        yield f"  SMI Status: {record['status']}  (since {record['at'][:19]}Z, {why})"


def record_fact(ledger: Ledger, device: EntityIdentifier, told: KnownFact, now: datetime) -> str:
    """Record one thing that is said of a device; say what holds now, in one line."""
    learn(ledger, device, [told], now)
    return what_counts(ledger, device, told, now)


def what_counts(ledger: Ledger, device: EntityIdentifier, told: KnownFact, now: datetime) -> str:
    """Say what holds now that `told` was recorded, in one line."""
    said = ledger.device_facts.history(device)
    name = told.name.value
    if told.at is not None and told.at > now:
        return f"{device}: {name} changes at {told.at:%Y-%m-%dT%H:%M:%SZ}"
    standing = {fact.name: fact for fact in _standing(device, said, now)}
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
        f"since {fact.since:%Y-%m-%dT%H:%M:%SZ}; give a later --at to outweigh it"
    )


def _standing(
    device: EntityIdentifier, said: tuple[KnownFact, ...], now: datetime
) -> tuple[KnownFact, ...]:
    try:
        origins = fold(device, said, now).origins
    except ValueError:
        return said
    return tuple(origins[name] for name in FactName if name in origins)
