"""What the conversations of one run share, and what a run may ask of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from gbcs.key_holders import SharedSecrets
from keyrig.base.errors import RunStopped
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.session.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import KeyAgreer, Signer
    from gbcs.security_credentials import UpdateCredentialsAlert
    from keyrig.ledger.ledger import Ledger
    from keyrig.session.steps.effects import Answer, Ask

OnAlert: TypeAlias = "Callable[[EntityIdentifier, UpdateCredentialsAlert, int], None]"
"""Is given each verified CS02b alert, with whom it is for and its id in the ledger."""


class OrganisationKeys(Protocol):
    """Signs and agrees keys for organisations; gives no private key out."""

    def signer(
        self, entity: EntityIdentifier, subject_key_identifier: bytes | None = None
    ) -> Signer:
        """Return the signer of an organisation: of one certificate, or of the newest.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        ...

    def agreer(self, entity: EntityIdentifier) -> KeyAgreer:
        """Return the key agreement key of an organisation.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a run and a delivery work in alike; no key is among it.

    Args:
        ledger: The ledger.
        clock: Returns the present instant.
        monotonic: Returns monotonic seconds.
        observe: Called with each event.
        transcript: Records every message.
        should_stop: Returns who asked for an end, or None.
    """

    ledger: Ledger
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    observe: Observer = unobserved
    transcript: Transcript = field(default_factory=NoTranscript)
    should_stop: StopAsked = never_stopped

    def go_on(self) -> None:
        """Raise RunStopped if somebody asked for an end; called before each sending of a run."""
        who = self.should_stop()
        if who is not None:
            raise RunStopped(who)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext(Surroundings):
    """What all conversations of one run share."""

    run_id: str
    keys: OrganisationKeys
    access_control_broker: EntityIdentifier
    secrets: SharedSecrets = field(default_factory=SharedSecrets)


class Conversation(Protocol):
    """Exchanges verified messages with one device, however they travel."""

    def exchange(self, ask: Ask, attempt_id: int | None) -> Answer:
        """Send a command and give its verified response.

        Raises:
            NoResponse: None came; the device may have executed the command.
            SecurityError: One came that fails verification; recorded as an incident.
            StepFailed: A verified one came that cannot be read.
            RigError: A person must act.
            KeyStoreError: A key that the command needs is missing or locked.
            LinkError: The command could not be carried.
        """
        ...

    def receive_alerts(self, wait_s: float = 0) -> bool:
        """Receive what came unasked; return whether anything had.

        Args:
            wait_s: How long to wait for the first; what comes with it is taken too.
        """
        ...


@runtime_checkable
class ConversingLink(Protocol):
    """A way to one device that carries more than messages, and has a conversation of its own."""

    @property
    def name(self) -> str:
        """What errors and reports call it."""
        ...

    def open(self) -> None:
        """Make it ready.

        Raises:
            RigError: A person must act.
            LinkError: It does not carry anything.
        """
        ...

    def close(self) -> None:
        """Release what it holds; one that is not open stays so."""
        ...

    def conversation(self, session: SessionContext, on_alert: OnAlert) -> Conversation:
        """Return the conversation with the device in a run."""
        ...
