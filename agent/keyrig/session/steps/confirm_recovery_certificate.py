"""The step that confirms whom a device trusts to recover it.

Source: SEC H5.33(c) and H5.37(e), consultation draft.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import TrustAnchorCellIdentifier
from keyrig.session.steps.effects import StepFailed, StepResult
from keyrig.session.steps.reading_cells import key_identifier, read_cells

if TYPE_CHECKING:
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext

RECOVERY_CELL = TrustAnchorCellIdentifier(
    role=RemotePartyRole.RECOVERY, key_usage=KeyUsage.DIGITAL_SIGNATURE
)


def confirm_recovery_certificate(context: StepContext) -> Script:
    """Read the Recovery cell and compare it with the one Recovery Certificate."""
    read = yield from read_cells(context, RemotePartyRole.RECOVERY)
    cell = read.at(RECOVERY_CELL)
    expected = context.parties.recovery_certificate
    # A duty whose certificate is not at hand is held back before its step begins.
    assert expected is not None
    identifier, expected_identifier = cell.subject_key_identifier, key_identifier(expected)
    if cell.entity_id != expected.entity_id or identifier != expected_identifier:
        raise StepFailed(
            f"the Recovery cell holds {cell.entity_id} key {identifier.hex()}, where the Recovery "
            f"Certificate is {expected.entity_id} key {expected_identifier.hex()}"
        )
    return StepResult(
        f"the Recovery cell holds {cell.entity_id} key {identifier.hex()}", (read.exchange_id,)
    )
