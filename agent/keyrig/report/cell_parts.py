"""The trust anchor cells of a device before and after a run, from what was read and replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.message import Message
from gbcs.protocol_errors import DecodeError
from gbcs.security_credentials import (
    StatusCode,
    TrustAnchorCellIdentifier,
    UpdateCredentialsAlert,
    UpdateCredentialsResponse,
)
from gbcs.use_cases import decode_payload
from keyrig.documents.report_document import CellChange, CellContents, CellPart
from keyrig.domain.states import ExchangeOutcome
from keyrig.session.steps.reading_cells import cell_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.ledger.attempt_facts import CellSnapshot
    from keyrig.ledger.run_record import DeviceHistory, RunRecord
    from keyrig.report.party_names import PartyNames


def cell_parts(
    record: RunRecord, device: DeviceHistory, facts: DeviceFacts, names: PartyNames
) -> tuple[CellPart, ...]:
    """Return the cells that the run read or replaced, in the order of roles and usages."""
    seen: dict[TrustAnchorCellIdentifier, list[CellSnapshot]] = {}
    for snapshot in device.cells:
        seen.setdefault(cell_identifier(snapshot.cell), []).append(snapshot)
    replaced = _replaced(record, device)

    def contents(snapshot: CellSnapshot) -> CellContents:
        return CellContents(
            holder=names.party(snapshot.cell.entity_id, facts),
            key_identifier=snapshot.cell.subject_key_identifier.hex().upper(),
            at=snapshot.at,
        )

    parts = []
    for place, snapshots in sorted(seen.items(), key=lambda item: _order(item[0])):
        pair = _before_and_after(snapshots, record.run.id)
        if pair is None:
            continue
        before, after = pair
        parts.append(
            CellPart(
                role=place.role.gbcs_name,
                key_usage=place.key_usage.gbcs_name,
                cell_usage=_camel(place.cell_usage.name),
                change=_change(before, after, executed=place in replaced),
                before=contents(before) if before else None,
                after=contents(after),
            )
        )
    return tuple(parts)


def _before_and_after(
    snapshots: list[CellSnapshot], run_id: str
) -> tuple[CellSnapshot | None, CellSnapshot] | None:
    """Return what a cell held before a run and after it; None where the run did not see it."""
    ours = [place for place, snapshot in enumerate(snapshots) if snapshot.run_id == run_id]
    if not ours:
        return None
    first, last = ours[0], ours[-1]
    if first:
        return snapshots[first - 1], snapshots[last]
    return (snapshots[first] if last > first else None), snapshots[last]


def _change(before: CellSnapshot | None, after: CellSnapshot, *, executed: bool) -> CellChange:
    if before is None:
        return CellChange.FIRST_READ
    if before.cell != after.cell:
        return CellChange.CHANGED
    return CellChange.REPLACED_BY_SAME if executed else CellChange.UNCHANGED


def _replaced(record: RunRecord, device: DeviceHistory) -> frozenset[TrustAnchorCellIdentifier]:
    """Return the cells of which a verified message says that a replacement was executed."""
    heard = [
        exchange.response
        for exchange in record.exchanges
        if exchange.device == device.entity_id
        and exchange.outcome is ExchangeOutcome.VERIFIED
        and exchange.response is not None
    ]
    heard += [a.octets for a in device.alerts if a.verified and a.run_id == record.run.id]
    return frozenset(place for octets in heard for place in _executed(octets))


def _executed(octets: bytes) -> Iterator[TrustAnchorCellIdentifier]:
    try:
        decoded = decode_payload(Message.parse(octets))
    except DecodeError:
        return
    said: Any = decoded.value if decoded else None
    if not isinstance(said, (UpdateCredentialsResponse, UpdateCredentialsAlert)):
        return
    if said.execution_outcome is None:
        return
    for outcome in said.execution_outcome.replacement_outcomes:
        if outcome.status_code is StatusCode.SUCCESS:
            yield outcome.affected_trust_anchor_cell


def _order(place: TrustAnchorCellIdentifier) -> tuple[int, int, int]:
    return (int(place.role), int(place.key_usage), int(place.cell_usage))


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)
