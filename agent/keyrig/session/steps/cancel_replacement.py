"""Taking a replacement back that a device holds for later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gbcs.security_credentials import NEVER, UpdateCredentialsCommand
from keyrig.session.steps.effects import StepFailed, StepResult, ask

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext


def cancel_replacement(
    context: StepContext, held: UpdateCredentialsCommand, originator: EntityIdentifier
) -> Script:
    """Send the whole command again with the date that never comes.

    Args:
        context: What is known of the device.
        held: The payload of the command that the device holds.
        originator: Who sent it.

    Source: GBCS 13.3; the form of a cancellation as in RTDS 4.5.0.
    """
    control = held.authorising_remote_party_control

    def command(counter: int) -> UpdateCredentialsCommand:
        return replace(
            held,
            authorising_remote_party_control=replace(
                control, authorising_remote_party_seq_number=counter
            ),
            execution_date_time=NEVER,
        )

    cell = control.authorising_remote_party_ta_cell_identifier
    answer = yield from ask(
        control.credentials_replacement_mode.message_code,
        originator,
        command,
        repeatable=True,
        detail="cancellation",
        signing_key_identifier=None if cell is None else context.held_key_identifier(cell),
    )
    if answer.payload.execution_outcome is not None:
        raise StepFailed("the device answers a cancellation with an outcome")
    return StepResult("cancelled on the device", (answer.exchange_id,))
