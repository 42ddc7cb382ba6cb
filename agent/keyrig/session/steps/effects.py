"""What a step may ask for, and what it gets back.

A step is a generator: it yields one of these, and whoever drives it sends the answer or throws
one of the errors named there. It returns what to say of its success, or raises `StepFailed`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from gbcs.protocol_errors import KeyrigError
from gbcs.use_cases import use_case_name

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage
    from keyrig.domain.key_changes import KeyChange, KeyChangeState
    from keyrig.domain.trust_anchor import Cell


class StepFailed(KeyrigError):
    """A step could not be completed; the message is the reason, in one line."""

    code = "step-failed"


class NoResponse(KeyrigError):
    """A device gave no response to a command that it may have executed.

    Args:
        what: The command.
        waited_s: How long was waited in all, in seconds.
    """

    code = "no-response"

    def __init__(self, what: str, waited_s: float) -> None:
        super().__init__(f"no response to {what} within {waited_s:g} s")
        self.what = what
        self.waited_s = waited_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send a command and give back its verified response.

    Args:
        message_code: The use case.
        originator: Who sends it: signs it, or MACs it where it carries no signature.
        payload: Makes the payload's value from the originator counter that was reserved.
        repeatable: Whether it may be sent anew, with another counter, when no response comes.
            What is not is sent again only as the same octets, which a device executes once.
        detail: What it is about, for people.
        signing_key_identifier: Which of the originator's certificates the device holds, where
            that is known; else its newest signs.
        agreement_certificate: The device's key agreement certificate (DER) under which alone the
            command is MACed; None for each that the device may use, one after another.

    Answer: an `Answer`. Errors thrown: `NoResponse`, `gbcs.protocol_errors.SecurityError`.
    """

    message_code: int
    originator: EntityIdentifier
    payload: Callable[[int], Any]
    repeatable: bool
    detail: str = ""
    signing_key_identifier: bytes | None = None
    agreement_certificate: bytes | None = field(default=None, repr=False)

    @property
    def what(self) -> str:
        """The command, for people."""
        name = use_case_name(self.message_code)
        return f"{name} ({self.detail})" if self.detail else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified response.

    Args:
        payload: The payload's value.
        exchange_id: The exchange in the ledger, for evidence.
        signed_under: The device's certificate (DER) by whose key its signature verified, or None
            where it carries none.
        maced_under: The device's certificate (DER) by whose key its MAC verified, or None where
            it carries none, or one that only the DCC can verify.
        agreed_under: The device's certificate (DER) by whose key the command was MACed, or None
            where it carried no MAC, or the DCC made it.
        is_by_the_dcc: The DCC made or MACed the command and takes its answer's MAC.
    """

    payload: Any
    exchange_id: int
    signed_under: bytes | None = field(default=None, repr=False)
    maced_under: bytes | None = field(default=None, repr=False)
    agreed_under: bytes | None = field(default=None, repr=False)
    is_by_the_dcc: bool = False


@dataclass(frozen=True, slots=True)
class ReserveCounter:
    """Reserve a counter of `originator` that no message uses. Answer: an int."""

    originator: EntityIdentifier


@dataclass(frozen=True, slots=True)
class Certify:
    """Ask the certificate authority for the certificate of a key change.

    Answer: the `KeyChange`: with the certificate in it and kept in the ledger, or waiting for the
    authority. What the authority does not do or does wrong ends the step, and is not its failure.
    """

    change: KeyChange


@dataclass(frozen=True, slots=True)
class RequestKeyChange:
    """Open a key change in the ledger. Answer: the `KeyChange`."""

    key_usage: KeyUsage


@dataclass(frozen=True, slots=True)
class AdvanceKeyChange:
    """Record a move of a key change in the ledger. Answer: the `KeyChange`.

    Args:
        change: The change as it stands.
        to: Where it goes; back to CERTIFICATE_ISSUED where the device refused to store it.
        csr: The certification request (DER), on the way to CSR_RECEIVED.
        detail: Why, for moves that end or go back.
    """

    change: KeyChange
    to: KeyChangeState
    csr: bytes = field(default=b"", repr=False)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RecordCells:
    """Keep what a device said its trust anchor cells hold. Answer: None."""

    cells: tuple[Cell, ...]


Effect: TypeAlias = (
    Ask | ReserveCounter | Certify | RequestKeyChange | AdvanceKeyChange | RecordCells
)
Script: TypeAlias = Generator[Effect, Any, "StepResult"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a completed step says for itself.

    Args:
        detail: What was found or done, in one line.
        evidence: The exchanges that show it, in the order they were made.
        scheduled_at: When the device is to do it, where it has only accepted it.
        waits_for_authority: Certification requests wait for the authority; a later attempt at the
            step goes on with them.
    """

    detail: str
    evidence: tuple[int, ...]
    scheduled_at: datetime | None = None
    waits_for_authority: bool = False


def ask(
    message_code: int,
    originator: EntityIdentifier,
    payload: Callable[[int], Any],
    *,
    repeatable: bool,
    detail: str = "",
    signing_key_identifier: bytes | None = None,
    agreement_certificate: bytes | None = None,
) -> Generator[Effect, Any, Answer]:
    """Yield one `Ask` and give its `Answer`."""
    answer = yield Ask(
        message_code=message_code,
        originator=originator,
        payload=payload,
        repeatable=repeatable,
        detail=detail,
        signing_key_identifier=signing_key_identifier,
        agreement_certificate=agreement_certificate,
    )
    assert isinstance(answer, Answer)
    return answer
