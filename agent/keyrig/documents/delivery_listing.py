"""Batches and their commands as they are shown, ready for JSON; octets are not among it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from gbcs.use_cases import use_case_name
from keyrig.base import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gbcs.entity import EntityIdentifier
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand, NewLocalCommand


def checked_command(
    command: NewLocalCommand | LocalCommand, position: int, device: EntityIdentifier
) -> events.LocalCommand:
    """Return what is shown of a command, whether it was taken in or only checked."""
    return events.LocalCommand(
        position=position,
        device=str(device),
        originator=str(command.originator),
        counter=command.counter,
        message_code=f"{command.message_code:04X}",
        what=use_case_name(command.message_code),
        request_id=command.request_id or None,
        source=command.source,
        octets=len(command.octets),
        digest=command.digest,
        remarks=command.remarks,
        expires_at=command.expires_at,
    )


def described_command(command: LocalCommand) -> events.LocalCommand:
    """Return what is shown of a command of a batch, with what became of it."""
    return replace(
        checked_command(command, command.position, command.device),
        batch=command.batch_id,
        state=command.state.value,
        sendings=command.sendings,
        verification=command.verification.value if command.verification else None,
        detail=command.detail,
        return_id=command.return_id or None,
    )


def described_batch(batch: LocalBatch, commands: Sequence[LocalCommand]) -> events.LocalBatch:
    """Return what is shown of a batch as a whole."""
    return events.LocalBatch(
        batch=batch.id,
        rig=batch.rig_name,
        device=str(batch.device),
        rule=batch.rule.value,
        taken_in_at=batch.taken_in_at,
        finished_at=batch.finished_at,
        outcome=batch.outcome.value if batch.outcome else None,
        detail=batch.detail,
        commands=len(commands),
        left=sum(each.is_open for each in commands),
        states=states_of(commands),
    )


def states_of(commands: Sequence[LocalCommand]) -> dict[str, int]:
    """Count commands by their state."""
    return dict(Counter(each.state.value for each in commands))
