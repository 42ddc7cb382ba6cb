"""Batches and their commands, as `keyrig deliver` and the API show them; without octets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field

from gbcs.use_cases import use_case_name
from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Count,
    Document,
    Eui,
    Instant,
    Sha256,
    TextOrNull,
)
from keyrig.domain.states import BatchRule, LocalCommandState, RunOutcome, Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gbcs.entity import EntityIdentifier
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


def _code_text(value: Any) -> Any:
    return f"{value:04X}" if isinstance(value, int) else value


class CheckedCommand(Document):
    """A command that the DCC made, taken in or only checked."""

    position: int = Field(ge=1, examples=[1])
    device: Eui
    originator: Eui = Field(examples=["90-B3-D5-1F-30-00-00-02"])
    counter: Count = Field(examples=[1302])
    message_code: Annotated[str, BeforeValidator(_code_text)] = Field(examples=["0008"])
    what: str = Field(
        description="The use case.", examples=["CS02a Provide Security Credential Details"]
    )
    request_id: TextOrNull = Field(
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

    @classmethod
    def of(
        cls, command: NewLocalCommand, position: int, device: EntityIdentifier
    ) -> CheckedCommand:
        """Return the document of a command that was only checked."""
        return CheckedCommand.model_validate(_common(command, position, device))


class BatchCommand(CheckedCommand):
    """One command of a batch, and what became of it."""

    batch: BatchId
    state: LocalCommandState = Field(examples=["answered"])
    sendings: Count = Field(examples=[1])
    verification: Verification | None = Field(
        description="What is known of the answer's protection.", examples=["not-verifiable-here"]
    )
    detail: str = Field(examples=["its MAC is for 90-B3-D5-1F-30-00-00-02, whose key is not here"])
    return_id: TextOrNull = Field(
        description="The RequestID under which the answer is returned.",
        examples=["90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1764061200000"],
    )

    @classmethod
    def of_batch(cls, command: LocalCommand, **more: Any) -> Self:
        """Return the document of a command; `more` are the fields of a document that extends it."""
        told = ("state", "sendings", "verification", "detail", "return_id")
        return cls.model_validate(
            _common(command, command.position, command.device)
            | {"batch": command.batch_id, **{name: getattr(command, name) for name in told}}
            | more
        )


def _common(
    command: NewLocalCommand | LocalCommand, position: int, device: EntityIdentifier
) -> dict[str, Any]:
    told = (
        "originator",
        "counter",
        "message_code",
        "request_id",
        "source",
        "digest",
        "remarks",
        "expires_at",
    )
    return {
        "position": position,
        "device": device,
        "what": use_case_name(command.message_code),
        "octets": len(command.octets),
        **{name: getattr(command, name) for name in told},
    }


class BatchStanding(Document):
    """How a batch stands, whoever delivers it."""

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

    @classmethod
    def of(cls, batch: LocalBatch, commands: Sequence[LocalCommand], /, **more: Any) -> Self:
        """Return the document; `more` are the fields of one that extends it."""
        told = ("device", "rule", "taken_in_at", "finished_at", "detail")
        return cls.model_validate(
            {
                "rig": batch.rig_name,
                "left": sum(each.is_open for each in commands),
                "states": states_of(commands),
                **{name: getattr(batch, name) for name in told},
                **more,
            }
        )


class BatchDocument(BatchStanding):
    """A batch as a whole."""

    batch: BatchId
    outcome: RunOutcome | None
    commands: Count


def states_of(commands: Sequence[LocalCommand]) -> dict[str, int]:
    """Count commands by their state."""
    return dict(Counter(each.state.value for each in commands))
