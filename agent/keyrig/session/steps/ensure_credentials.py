"""The steps that ensure whose credentials a device holds: its supplier's and its network's.

Source: SEC H5.37(a), H5.37(b) and H5.40, consultation draft.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.session.steps.effects import Effect, StepFailed, StepResult
from keyrig.session.steps.reading_cells import CellsRead, cell_identifier, read_cells
from keyrig.session.steps.replacing_certificates import replace_certificates
from keyrig.session.steps.signatories import (
    ReplacementAuthority,
    replacing_network_operator,
    replacing_supplier,
    supplier,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.trust_anchor import Cell
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext


def ensure_supplier_credentials(context: StepContext) -> Script:
    """Ensure that every supplier cell holds the Responsible Supplier's credentials."""
    return (
        yield from _ensure(
            context,
            RemotePartyRole.SUPPLIER,
            supplier(context),
            lambda holder: replacing_supplier(context, holder),
        )
    )


def ensure_network_credentials(context: StepContext) -> Script:
    """Ensure that every network cell holds the Electricity Distributor's or Gas Transporter's."""
    operator = context.facts.network_operator
    if operator is None:
        raise StepFailed("the rig names no network operator for the device")
    return (
        yield from _ensure(
            context, RemotePartyRole.NETWORK_OPERATOR, operator, replacing_network_operator
        )
    )


def _ensure(
    context: StepContext,
    role: RemotePartyRole,
    party: EntityIdentifier,
    authority_for: Callable[[EntityIdentifier], ReplacementAuthority],
) -> Script:
    """Read the cells of `role`; where another's are there, replace them and read again."""
    read = yield from read_cells(context, role)
    foreign = [cell for cell in read.of(role) if cell.entity_id != party]
    if not foreign:
        return StepResult(
            f"{_count(read, role)} hold {party}; nothing to replace", (read.exchange_id,)
        )
    exchange, after = yield from _replace(context, role, party, read, authority_for)
    wrong = [cell for cell in after.of(role) if cell.entity_id != party]
    if wrong:
        raise StepFailed(
            f"after the replacement {cell_identifier(wrong[0])} still holds {wrong[0].entity_id}"
        )
    return StepResult(
        f"{_count(after, role)} hold {party}, replacing {foreign[0].entity_id}",
        (read.exchange_id, exchange, after.exchange_id),
    )


def _replace(
    context: StepContext,
    role: RemotePartyRole,
    party: EntityIdentifier,
    read: CellsRead,
    authority_for: Callable[[EntityIdentifier], ReplacementAuthority],
) -> Generator[Effect, Any, tuple[int, CellsRead]]:
    """Replace all cells of `role` by the authority of whoever is in its signing cell."""
    signing = [
        cell
        for cell in read.of(role)
        if cell.key_usage is KeyUsage.DIGITAL_SIGNATURE and cell.cell_usage is CellUsage.MANAGEMENT
    ]
    if not signing:
        raise StepFailed(f"the device has no signing cell for the role {role.gbcs_name}")
    replacements = [
        (
            cell_identifier(cell),
            context.certificates.certificate(party, cell.key_usage, cell.cell_usage, role),
        )
        for cell in _in_order(read.of(role))
    ]
    replaced = yield from replace_certificates(
        context, authority_for(signing[0].entity_id), replacements
    )
    after = yield from read_cells(context, role)
    return replaced.exchange_id, after


def _in_order(cells: tuple[Cell, ...]) -> list[Cell]:
    """Order cells as the reference messages do: signing, agreement, top-up."""
    return sorted(cells, key=lambda cell: (cell.cell_usage, int(cell.key_usage)))


def _count(read: CellsRead, role: RemotePartyRole) -> str:
    number = len(read.of(role))
    return f"{number} {role.gbcs_name} cell{'' if number == 1 else 's'}"
