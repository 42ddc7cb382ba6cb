"""The step that has one organisation certificate replaced, be it with the same.

Source: SEC H5.33(b) and H5.37(d), consultation draft; what counts is the executed command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.base.clock import second_text
from keyrig.session.steps.effects import StepResult
from keyrig.session.steps.reading_cells import key_identifier
from keyrig.session.steps.replacing_certificates import replace_certificates
from keyrig.session.steps.signatories import same_party_replacement

if TYPE_CHECKING:
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext


def replace_organisation_certificate(context: StepContext) -> Script:
    """Replace the certificate of the cell that authorises it with that party's newest."""
    authority = same_party_replacement(context)
    certificate = context.certificates.certificate(
        authority.originator, authority.cell.key_usage, role=authority.cell.role
    )
    replaced = yield from replace_certificates(
        context, authority, [(authority.cell, certificate)], execute_at=context.execute_at
    )
    if replaced.held_until is not None:
        detail = f"the device holds it until {second_text(replaced.held_until)}"
        return StepResult(detail, (replaced.exchange_id,), replaced.held_until)
    return StepResult(
        f"{authority.cell} replaced with {certificate.entity_id} "
        f"key {key_identifier(certificate).hex()}",
        (replaced.exchange_id,),
    )
