"""Reading trust anchor cells back with CS02a."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    ProvideCredentialsCommand,
    RemotePartyDetails,
    StatusCode,
    TrustAnchorCellIdentifier,
)
from gbcs.use_cases import MessageCode
from keyrig.domain.trust_anchor import Cell
from keyrig.session.steps.effects import Effect, RecordCells, StepFailed, ask

if TYPE_CHECKING:
    from collections.abc import Generator

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.session.steps.step_context import StepContext


@dataclass(frozen=True, slots=True)
class CellsRead:
    """The cells of the roles that were asked for.

    Args:
        cells: What each cell holds; of roles that the device does not hold, nothing.
        statuses: What the device said of each role.
        exchange_id: The exchange that shows it.
        maced_under: The device's certificate (DER) by whose key the response's MAC verified, or
            None where it cannot be verified here.
        is_by_the_dcc: The DCC made the command, and its answer's MAC is for the DCC.
    """

    cells: tuple[Cell, ...]
    statuses: dict[RemotePartyRole, StatusCode]
    exchange_id: int
    maced_under: bytes | None = field(default=None, repr=False)
    is_by_the_dcc: bool = False

    def of(self, role: RemotePartyRole) -> tuple[Cell, ...]:
        """Return the cells of one role.

        Raises:
            StepFailed: The device does not hold that role's credentials, or tells of none.
        """
        status = self.statuses.get(role)
        if status is not StatusCode.SUCCESS:
            said = "nothing" if status is None else f"{status.name.lower()} ({status.value})"
            raise StepFailed(f"asked for its {role.gbcs_name} cells, the device answers {said}")
        held = tuple(cell for cell in self.cells if cell.role is role)
        if not held:
            raise StepFailed(
                f"asked for its {role.gbcs_name} cells, the device answers that it has none"
            )
        return held

    def at(self, identifier: TrustAnchorCellIdentifier) -> Cell:
        """Return one cell.

        Raises:
            StepFailed: The device has no such cell.
        """
        for cell in self.of(identifier.role):
            if cell_identifier(cell) == identifier:
                return cell
        raise StepFailed(f"the device has no cell {identifier}")


def cell_identifier(cell: Cell) -> TrustAnchorCellIdentifier:
    """Return the name of a cell that was read."""
    return TrustAnchorCellIdentifier(
        role=cell.role, key_usage=cell.key_usage, cell_usage=cell.cell_usage
    )


def key_identifier(certificate: GBCSCertificate) -> bytes:
    """Return the identifier, 8 octets, by which cells name a certificate's key.

    Raises:
        StepFailed: The certificate has none.
    """
    if certificate.subject_key_identifier is None:
        raise StepFailed(f"the certificate of {certificate.entity_id} has no key identifier")
    return certificate.subject_key_identifier


def read_cells(
    context: StepContext, *roles: RemotePartyRole, agreement_certificate: bytes | None = None
) -> Generator[Effect, Any, CellsRead]:
    """Ask a device for the cells of `roles`, by the broker's authority, MAC only.

    Args:
        context: The device, and the parties around it.
        roles: The roles, in the order in which the device must answer.
        agreement_certificate: The device's key agreement certificate (DER) whose key alone MACs
            the command; None for each that the device may use.

    Source: GBCS 13.2.
    """
    command = ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
        ),
        remote_party_roles_credentials_required=roles,
    )
    answer = yield from ask(
        MessageCode.PROVIDE_CREDENTIALS,
        context.parties.access_control_broker,
        lambda _counter: command,
        repeatable=True,
        detail=", ".join(role.gbcs_name for role in roles),
        agreement_certificate=agreement_certificate,
    )
    details: tuple[RemotePartyDetails, ...] = answer.payload
    answered = [item.remote_party_role for item in details]
    if answered != list(roles):
        raise StepFailed(
            f"the device answers for {len(answered)} roles in another order than asked"
        )
    cells = tuple(_cells(details))
    yield RecordCells(cells)
    statuses = {item.remote_party_role: item.status_code for item in details}
    return CellsRead(
        cells,
        statuses,
        answer.exchange_id,
        maced_under=answer.maced_under,
        is_by_the_dcc=answer.is_by_the_dcc,
    )


def _cells(details: tuple[RemotePartyDetails, ...]) -> Generator[Cell, None, None]:
    for item in details:
        for contents in item.trust_anchor_cell_details or ():
            yield Cell(
                role=item.remote_party_role,
                key_usage=contents.trust_anchor_cell_key_usage,
                cell_usage=CellUsage(contents.trust_anchor_cell_usage),
                entity_id=EntityIdentifier(contents.existing_subject_unique_id),
                subject_key_identifier=contents.existing_subject_key_identifier,
            )
