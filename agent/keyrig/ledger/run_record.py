"""The record of one run and of its devices, gathered from the ledger."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import subject_key_identifier_of
from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from keyrig.domain.device_facts import AttemptFact, LedgerFacts
from keyrig.domain.key_changes import KeyChangeState
from keyrig.duties.rules import built_in_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyrig.domain.clock_trust import ClockFinding
    from keyrig.domain.key_changes import DeviceCertificate, KeyChange
    from keyrig.domain.known_facts import KnownFact
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.rules import Rules
    from keyrig.ledger.attempt_facts import CellSnapshot, HeldBack
    from keyrig.ledger.exchanges import Alert, Exchange
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.outbox import Event
    from keyrig.ledger.run_contexts import RunContext
    from keyrig.ledger.runs import Attempt, Run
    from keyrig.ledger.scheduled_replacements import ScheduledReplacement
    from keyrig.ledger.service_documents import ServiceDocument
    from keyrig.ledger.smi_status_record import StatusRecord

_OWN_KEYS = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHistory:
    """A certification request of a device that waits, or waited, for an authority.

    Args:
        key_usage: The use of the key to be certified.
        key_identifier: Its identifier, 8 octets.
        authority: The last authority that had it.
        since: When it began to wait.
        until: When it was certified or abandoned; None while it waits.
    """

    key_usage: KeyUsage
    key_identifier: bytes
    authority: str
    since: datetime
    until: datetime | None

    def waits_at(self, at: datetime) -> bool:
        """True if it waited at an instant."""
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHistory:
    """The ledger's content about one device, of all runs, oldest first.

    Args:
        entity_id: The device.
        known: The statements about it, in the order of recording.
        attempts: The attempts at its duties.
        held_back: Its duties that runs did not begin, and why.
        requests: Its certification requests that wait, or waited, for an authority.
        scheduled: The future dated replacements that were sent to it.
        alerts: The alerts that it sent.
        cells: The trust anchor cells that were read back or replaced.
        key_changes: The re-generations of its own keys.
        certificates: Its own certificates, of whatever time.
        statuses: The SMI Statuses that it came to hold.
        standing: Its SMI Status, and the suspension in force.
        events: The events about it.
    """

    entity_id: EntityIdentifier
    known: tuple[KnownFact, ...]
    attempts: tuple[Attempt, ...]
    held_back: tuple[HeldBack, ...]
    requests: tuple[RequestHistory, ...]
    scheduled: tuple[ScheduledReplacement, ...]
    alerts: tuple[Alert, ...]
    cells: tuple[CellSnapshot, ...]
    key_changes: tuple[KeyChange, ...]
    certificates: tuple[DeviceCertificate, ...] = field(repr=False)
    statuses: tuple[StatusRecord, ...]
    standing: Standing
    events: tuple[Event, ...]

    def ledger_facts(
        self, at: datetime, counts: Callable[[Attempt], bool] = lambda _: True
    ) -> LedgerFacts:
        """Return the planner's facts, as of an instant.

        Args:
            at: The instant, which decides what was future dated, waiting for the authority
                or held back.
            counts: Returns True for the attempts that count.
        """
        tried: dict[tuple[EntityIdentifier, str], list[AttemptFact]] = defaultdict(list)
        for attempt in filter(counts, self.attempts):
            tried[attempt.device, attempt.requirement].append(
                AttemptFact(
                    started_at=attempt.started_at,
                    finished_at=attempt.finished_at,
                    outcome=attempt.outcome,
                    detail=attempt.detail,
                )
            )
        started = {attempt.id: attempt.started_at for attempt in self.attempts}
        scheduled = {
            (each.device, each.requirement): each.execution_at
            for each in self.scheduled
            if started[each.attempt_id] <= at and each.waits_at(at)
        }
        since = [request.since for request in self.requests if request.waits_at(at)]
        return LedgerFacts(
            {duty: tuple(each) for duty, each in tried.items()},
            scheduled,
            {self.entity_id: min(since)} if since else {},
            {
                (self.entity_id, each.requirement): each.why
                for each in self.held_back
                if each.why.at <= at
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The ledger's content about one run.

    Args:
        run: The run.
        context: Its context; None for a run of a keyrig that did not record it.
        rules: Its rule set; the built-in one where none was recorded.
        clock_findings: The faults of the clock that it found, with the times.
        exchanges: Its exchanges with devices, oldest first.
        earlier_exchanges: The exchanges of earlier runs' attempts at the duties that it
            attempted.
        service_documents: Its documents to and from the DCC, and those of the earlier
            exchanges, in the order of recording.
        certificates: The DER of the certificates that it used.
        devices: Its devices, in the order of the rig.
    """

    run: Run
    context: RunContext | None
    rules: Rules
    clock_findings: tuple[tuple[datetime, ClockFinding], ...]
    exchanges: tuple[Exchange, ...]
    earlier_exchanges: tuple[Exchange, ...]
    service_documents: tuple[ServiceDocument, ...]
    certificates: tuple[bytes, ...] = field(repr=False)
    devices: tuple[DeviceHistory, ...]


def gather(ledger: Ledger, run_id: str) -> RunRecord:
    """Return the record of a run; nothing is changed, and the run may be under way.

    Args:
        ledger: The ledger.
        run_id: The run's whole id.

    Raises:
        LedgerRefused: There is no such run.
        RulesInvalid: This keyrig cannot read the rule set by which it was made.
    """
    with ledger.reading():
        return _gathered(ledger, run_id)


def _gathered(ledger: Ledger, run_id: str) -> RunRecord:
    run = ledger.runs.run(run_id)
    context = ledger.run_contexts.context(run_id)
    exchanges = ledger.exchanges.of_run(run_id)
    named = context.parties.get("devices", ()) if context else ()
    met = [attempt.device for attempt in ledger.runs.attempts(run_id)]
    met += [exchange.device for exchange in exchanges]
    devices = dict.fromkeys([*(EntityIdentifier.parse(text) for text in named), *met])
    earlier = tuple(_earlier_exchanges(ledger, run_id))
    return RunRecord(
        run=run,
        context=context,
        rules=ledger.rule_sets.rules(context.rule_set) if context else built_in_rules(),
        clock_findings=ledger.clock.findings(run_id),
        exchanges=exchanges,
        earlier_exchanges=earlier,
        service_documents=tuple(_service_documents(ledger, run_id, earlier)),
        certificates=ledger.run_contexts.certificates(run_id),
        devices=tuple(_history(ledger, device) for device in devices),
    )


def _earlier_exchanges(ledger: Ledger, run_id: str) -> Iterator[Exchange]:
    """Yield the exchanges of earlier runs' attempts at this run's duties."""
    last: dict[tuple[EntityIdentifier, str], int] = {}
    for attempt in ledger.runs.attempts(run_id):
        last[attempt.device, attempt.requirement] = attempt.id
    earlier = {
        attempt.id: attempt.run_id
        for device in dict.fromkeys(device for device, _ in last)
        for attempt in ledger.runs.attempts_on(device)
        if attempt.run_id != run_id and attempt.id < last.get((device, attempt.requirement), 0)
    }
    for other in dict.fromkeys(earlier.values()):
        for exchange in ledger.exchanges.of_run(other):
            if exchange.attempt_id in earlier:
                yield exchange


def _service_documents(
    ledger: Ledger, run_id: str, earlier: tuple[Exchange, ...]
) -> Iterator[ServiceDocument]:
    documents = {each.id: each for each in ledger.service_documents.of_run(run_id)}
    for exchange in earlier:
        for each in ledger.service_documents.of_exchange(exchange.id):
            documents[each.id] = each
    for number in sorted(documents):
        yield documents[number]


def _history(ledger: Ledger, device: EntityIdentifier) -> DeviceHistory:
    return DeviceHistory(
        entity_id=device,
        known=ledger.device_facts.history(device),
        attempts=ledger.runs.attempts_on(device),
        held_back=ledger.facts.held_back(device),
        requests=tuple(_requests(ledger, device)),
        scheduled=ledger.scheduled.history(device),
        alerts=ledger.exchanges.alerts_of(device),
        cells=ledger.facts.cell_history(device),
        key_changes=tuple(
            change for usage in _OWN_KEYS for change in ledger.key_changes.history(device, usage)
        ),
        certificates=tuple(
            certificate
            for usage in _OWN_KEYS
            for certificate in ledger.key_changes.certificates(device, usage)
        ),
        statuses=ledger.smi_statuses.history(device),
        standing=ledger.smi_statuses.standing(device),
        events=ledger.outbox.all(device),
    )


def _requests(ledger: Ledger, device: EntityIdentifier) -> Iterator[RequestHistory]:
    changes = [
        change for usage in _OWN_KEYS for change in ledger.key_changes.history(device, usage)
    ]
    for change in changes:
        moves = ledger.key_changes.moves(change.id)
        states = [move.state for move in moves]
        if change.csr is None or KeyChangeState.WAITING_FOR_AUTHORITY not in states:
            continue
        requested = CertificationRequest.from_der(change.csr)
        begun = states.index(KeyChangeState.WAITING_FOR_AUTHORITY)
        yield RequestHistory(
            key_usage=change.key_usage,
            key_identifier=subject_key_identifier_of(requested.public_key),
            authority=ledger.key_changes.asked(change.id).authority,
            since=moves[begun].at,
            until=next((move.at for move in moves[begun + 1 :]), None),
        )
