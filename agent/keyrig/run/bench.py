"""What a run works with, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.plan import Plan, plan
from keyrig.session.conversation import LinkConversation
from keyrig.session.session_context import (
    ConversingLink,
    OrganisationKeys,
    SessionContext,
    Surroundings,
)
from keyrig.session.steps.step_context import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.known_facts import KnownFact
    from keyrig.duties.rules import Actor, Rules
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.issued_certificates import IssuedCertificates
    from keyrig.run.preflight import Preflight
    from keyrig.session.link import Link
    from keyrig.session.session_context import Conversation, OnAlert
    from keyrig.session.steps.step_context import Parties


REASON_SHOWN = 400
"""Characters of a reason that are kept."""


class Keys(OrganisationKeys, Certificates, Protocol):
    """Signs for organisations, and knows their certificates and devices' first ones."""

    def organisation_certificates(self) -> tuple[GBCSCertificate, ...]:
        """Return those of organisations and authorities, by which messages are checked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOnRig:
    """A device that a run may reach.

    Args:
        facts: What is known of it.
        link: The line to it, not open, or what converses with it by other ways.
        timeout_s: How long one sending of a command is waited for, in seconds.
        smi_status: Its SMI Status where the ledger knows of none yet.
        news: What is known of it that the ledger has not been told yet.
    """

    facts: DeviceFacts
    link: Link | ConversingLink
    timeout_s: float
    smi_status: SMIStatus = SMIStatus.COMMISSIONED
    news: tuple[KnownFact, ...] = ()

    def conversation(self, session: SessionContext, on_alert: OnAlert) -> Conversation:
        """Return the conversation with it in a run."""
        if isinstance(self.link, ConversingLink):
            return self.link.conversation(session, on_alert)
        return LinkConversation(
            device=self.facts.entity_id,
            link=self.link,
            session=session,
            timeout_s=self.timeout_s,
            on_alert=on_alert,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench(Surroundings):
    """Everything that a run needs, apart from its devices."""

    name: str
    keys: Keys
    authority: CertificateAuthority
    issued: IssuedCertificates
    preflight: Preflight
    parties: Parties
    rules: Rules
    carried_out: frozenset[Actor]
    elapsed: Callable[[], float]
    execute_at: datetime | None = None


@dataclass(slots=True)
class Tally:
    """What a run has come to so far."""

    failed: list[str] = field(default_factory=list)
    needs_person: list[str] = field(default_factory=list)
    stopped: str | None = None
    is_refused: bool = False
    """Something was missing, and the run was to do all or nothing."""

    @property
    def result(self) -> RunResult:
        """How the run ends, as things stand."""
        if self.stopped is not None:
            return RunResult.INTERRUPTED
        if self.needs_person:
            return RunResult.NEEDS_PERSON
        return RunResult.FAILED if self.failed else RunResult.DONE

    @property
    def reason(self) -> str:
        """The first line that decides how the run ends; "" where all is done."""
        if self.stopped is not None:
            return self.stopped
        return next(iter((*self.needs_person, *self.failed)), "")


def plan_for(bench: Bench, facts: Collection[DeviceFacts]) -> Plan:
    """Plan the duties of devices as things stand now."""
    return plan(
        bench.rules,
        facts,
        bench.ledger.facts.ledger_facts([device.entity_id for device in facts]),
        bench.clock(),
        bench.carried_out,
    )
