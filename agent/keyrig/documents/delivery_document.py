"""Batches and their commands, without octets: for `keyrig deliver` and the API."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from gbcs.use_cases import use_case_name
from keyrig.base import events
from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Count,
    Document,
    Eui,
    Instant,
    Sha256,
)
from keyrig.domain.states import BatchRule, LocalCommandState, Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand, NewLocalCommand

BATCH_EXAMPLE: Final = "3f9c1e0a52fe4b1c8e94ad0a7bb2b8b2"
BatchId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{32}$",
        description="A batch's id, as `keyrig deliver --list` shows it.",
        examples=[BATCH_EXAMPLE],
    ),
]


class DeliveredCommand(Document):
    """A command of a delivery, and its state."""

    position: int = Field(ge=1, examples=[1])
    device: Eui
    originator: Eui = Field(examples=["90-B3-D5-1F-30-00-00-02"])
    counter: Count = Field(examples=[1302])
    message_code: str = Field(examples=["0008"])
    what: str = Field(
        description="The use case.", examples=["CS02a Provide Security Credential Details"]
    )
    request_id: str | None = Field(
        description="The DUIS RequestID that it belongs to.", examples=[None]
    )
    source: str = Field(examples=["command 1"])
    octets: int = Field(ge=1, description="How long it is.", examples=[79])
    digest: Sha256 = Field(description="SHA-256 of it.")
    remarks: str = Field(
        description="What could be checked when it was taken in.",
        examples=["MAC for the device alone"],
    )
    expires_at: Instant = Field(examples=[DEADLINE_EXAMPLE])
    batch: BatchId
    state: LocalCommandState = Field(examples=["answered"])
    sendings: Count = Field(examples=[1])
    verification: Verification | None = Field(
        description="What is known of the answer's protection.", examples=["not-verifiable-here"]
    )
    detail: str = Field(examples=["its MAC is for 90-B3-D5-1F-30-00-00-02, whose key is not here"])
    return_id: str | None = Field(
        description="The RequestID of `answer`.",
        examples=["90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1764061200000"],
    )
    answer: str | None = Field(
        description="The device's answer as an unsigned DUIS request 8.13, XML.",
        examples=["<?xml version='1.0' encoding='UTF-8'?>\u2026"],
    )


class BatchStanding(Document):
    """The state of a batch, whoever delivers it."""

    rig: str = Field(description="The rig's name.", examples=["emulated-home"])
    device: Eui
    rule: BatchRule = Field(examples=["stop"])
    taken_in_at: Instant
    finished_at: Instant | None
    detail: str = Field(description="What stands in the way, in one line.", examples=[""])
    left: Count = Field(description="How many commands may still be sent.")
    states: dict[str, int] = Field(
        description="How many commands are in each state.", examples=[{"answered": 1}]
    )


def checked_command(
    command: NewLocalCommand | LocalCommand, position: int, device: EntityIdentifier
) -> events.LocalCommand:
    """Return the document of a command that was recorded or only checked."""
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
    """Return the document of a command of a batch, with its state."""
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
    """Return the document of a batch as a whole."""
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
    """Return the number of commands in each state."""
    return dict(Counter(each.state.value for each in commands))
