"""CS02a: whom a device trusts, cell by cell.

Source: GBCS 13.2; layouts and orders as in RTDS 4.5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.security_credentials import (
    ProvideCredentialsCommand,
    RemotePartyDetails,
    StatusCode,
    TrustAnchorCellContents,
)
from meterstub.command_execution import Environment, Execution
from meterstub.device_options import SeqNumberMoment
from meterstub.device_state import last_accepted
from meterstub.trust_anchor_cells import CELLS, subject_of

if TYPE_CHECKING:
    from gbcs.roles import RemotePartyRole
    from meterstub.command_verification import VerifiedCommand
    from meterstub.device_state import DeviceState


def provide_credentials(
    command: VerifiedCommand, state: DeviceState, environment: Environment
) -> Execution:
    """Return what the cells of the roles asked for hold, in the order asked."""
    payload: ProvideCredentialsCommand = command.payload
    refusal = environment.faults.refusal_of(command.message.header.message_code)
    counted = (
        environment.before
        if environment.options.cs02a_seq_number is SeqNumberMoment.BEFORE
        else state
    )
    details = tuple(
        _details(role, state, counted)
        if refusal is None
        else RemotePartyDetails(remote_party_role=role, status_code=StatusCode(refusal))
        for role in payload.remote_party_roles_credentials_required
    )
    return Execution(state, details)


def _details(role: RemotePartyRole, state: DeviceState, counted: DeviceState) -> RemotePartyDetails:
    cells = [cell for cell in CELLS[state.device_type] if cell.role is role and cell in state.cells]
    if not cells:
        return RemotePartyDetails(
            remote_party_role=role, status_code=StatusCode.TRUST_ANCHOR_NOT_FOUND
        )
    contents = []
    for cell in cells:
        unique_id, key_identifier = subject_of(state.cells[cell])
        contents.append(
            TrustAnchorCellContents(
                trust_anchor_cell_key_usage=cell.key_usage,
                trust_anchor_cell_usage=cell.cell_usage,
                existing_subject_unique_id=unique_id,
                existing_subject_key_identifier=key_identifier,
            )
        )
    return RemotePartyDetails(
        remote_party_role=role,
        status_code=StatusCode.SUCCESS,
        current_seq_number=last_accepted(counted, role),
        trust_anchor_cell_details=tuple(contents),
    )
