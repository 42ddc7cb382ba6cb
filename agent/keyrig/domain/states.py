"""The states of the ledger's records."""

from __future__ import annotations

import enum
from typing import Final


class RunOutcome(enum.Enum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    NEEDS_PERSON = "needs-person"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class ExchangeOutcome(enum.Enum):
    """How an exchange with a device ended."""

    VERIFIED = "verified"
    """A response came and passed verification, whatever it says."""
    REJECTED = "rejected"
    """A response came and failed verification."""
    NO_RESPONSE = "no-response"
    NOT_SENT = "not-sent"
    """The octets were not sent."""
    INTERRUPTED = "interrupted"
    """The agent ended before it knew; the device may have executed the command."""


class SuspensionEnd(enum.Enum):
    """How a suspension ended."""

    RESTORED = "restored"
    SUPERSEDED = "superseded"
    """Another status was set from outside while it was in force."""


class InstructionEnd(enum.Enum):
    """The end of an instruction to set an SMI Status."""

    CONFIRMED = "confirmed"
    """The inventory was seen to hold it."""
    WITHDRAWN = "withdrawn"
    """Another instruction took its place."""
    SUPERSEDED = "superseded"
    """The inventory came to hold another status than either."""


class ScheduledState(enum.Enum):
    """The state of a future dated replacement."""

    WAITING = "waiting"
    DONE = "done"
    """The device's alert says that it was executed."""
    FAILED = "failed"
    """The device's alert says that it was not."""
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    """Its instant passed and no alert came."""


class LocalCommandState(enum.Enum):
    """The state of a command that another party made for local delivery."""

    WAITING = "waiting"
    """It was not sent yet."""
    SENT = "sent"
    """It is about to be sent or was; the device may have executed it."""
    UNANSWERED = "unanswered"
    """It was sent and no answer came in time; the device may have executed it."""
    ANSWERED = "answered"
    REFUSED = "refused"
    """The device answered that it did not do what was asked, or what cannot be read."""
    REJECTED = "rejected"
    """An answer came and failed verification."""
    EXPIRED = "expired"
    """Its time passed before it was answered."""
    REPLAYED = "replayed"
    """An earlier batch delivered it already; that answer is recorded with it."""
    WITHDRAWN = "withdrawn"
    """A person withdrew it before it was answered."""


LOCAL_COMMAND_OPEN: Final = frozenset(
    {LocalCommandState.WAITING, LocalCommandState.SENT, LocalCommandState.UNANSWERED}
)
"""The states in which a command may still be sent, as the same octets."""

LOCAL_COMMAND_HAS_ANSWER: Final = frozenset(
    {
        LocalCommandState.ANSWERED,
        LocalCommandState.REFUSED,
        LocalCommandState.REJECTED,
        LocalCommandState.REPLAYED,
    }
)


class Verification(enum.Enum):
    """The verification of an answer's protection, by public certificates alone."""

    VERIFIED = "verified"
    NOT_VERIFIABLE_HERE = "not-verifiable-here"
    """It needs a key or a certificate that is not here."""
    FAILED = "failed"


class BatchRule(enum.Enum):
    """The treatment of the commands behind one that was not carried out."""

    STOP = "stop"
    GO_ON = "go-on"


class EventType(enum.Enum):
    """The type of an event of the outbox."""

    DUTY_OUTCOME = "duty-outcome"
    SMI_STATUS_CHANGED = "smi-status-changed"
    NOTICE = "notice"
    FLAG = "flag"
    SECURITY_INCIDENT = "security-incident"
    CERTIFICATION_REQUEST = "certification-request"
    """A device's certification request waits for the authority, or does no more."""


class ServiceDocumentKind(enum.Enum):
    """The kind of a document between the agent and the DCC."""

    REQUEST = "request"
    """A service request, or a signed pre-command."""
    ANSWER = "answer"
    """The answer on the request's own connection: a pre-command, an acknowledgement, a refusal."""
    RESPONSE = "response"
    """A later answer to a request."""
    DEVICE_ALERT = "device-alert"
    DCC_ALERT = "dcc-alert"
