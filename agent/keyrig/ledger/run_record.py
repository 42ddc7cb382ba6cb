"""Everything that the ledger holds of one run and of its devices, in one value."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gbcs.certificates import subject_key_identifier_of
from gbcs.certification_request import CertificationRequest
from gbcs.entity import EntityIdentifier
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
    """A certification request of a device that waited for an authority, or waits.

    Args:
        key_usage: What the key to be certified is for.
        key_identifier: Its identifier, 8 octets.
        authority: Who had it last.
        since: Since when it waited.
        until: When it waited no more: it was certified, or given up; None while it waits.
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
    """What the ledger holds of one device; all of it, not of one run only, oldest first.

    Args:
        entity_id: The device.
        known: What was said of it, in the order of recording.
        attempts: The attempts at its duties.
        held_back: Which of its duties were not begun by which runs, and why.
        requests: Its certification requests that waited for an authority, or wait.
        scheduled: The replacements that it was given for later.
        alerts: The alerts that it sent.
        cells: The trust anchor cells that were read back or replaced.
        key_changes: The re-generations of its own keys.
        certificates: Its own certificates, of whatever time.
        statuses: The SMI Statuses that it came to hold.
        standing: The SMI Status that it holds, and the suspension that stands.
        events: What was told of it, or is to be told.
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
        """Give what the planner asks for, as it stood at an instant.

        Args:
            at: The instant, by which what the device holds for later, waits for the authority
                or was held back is judged.
            counts: Says which attempts count.
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
    """What the ledger holds of one run.

    Args:
        run: The run.
        context: What it was made with; None for a run of a keyrig that did not record it.
        rules: The rule set by which it was made; the built-in one where none was recorded.
        clock_findings: The faults of the clock that it found, with when.
        exchanges: Its exchanges with devices, oldest first.
        earlier_exchanges: Those of earlier attempts, in other runs, at the duties that it
            attempted.
        service_documents: What went between it and the DCC, and what belongs to the earlier
            exchanges, in the order of recording.
        certificates: The DER of the certificates that it used.
        devices: The devices that it was to reach, in the order of the rig.
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
    """Gather what the ledger holds of a run; changes nothing, and may be done while it goes on.

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
    """Give the exchanges by which earlier runs brought this one's duties part of the way."""
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
