"""Writing the evidence of a run: one file that others can verify."""

from __future__ import annotations

import itertools
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from keyrig.base.errors import LedgerRefused
from keyrig.documents import evidence_document as lines
from keyrig.documents.document_model import NotBegunPart
from keyrig.documents.fact_document import fact_value
from keyrig.domain.known_facts import fold
from keyrig.duties.plan import DutyState, plan
from keyrig.duties.rules import Actor
from keyrig.evidence.evidence_lines import chained, hash_of, sealed_octets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.documents.evidence_document import EvidenceBody
    from keyrig.evidence.evidence_key import EvidenceKey
    from keyrig.ledger.run_contexts import RunContext
    from keyrig.ledger.run_record import DeviceHistory, RunRecord


def evidence(record: RunRecord, key: EvidenceKey, now: datetime) -> bytes:
    """Return the evidence of a run as a file's octets.

    Args:
        record: What the ledger holds of the run.
        key: The rig's evidence key.
        now: The present instant, in UTC.

    Returns:
        The file: lines of JSON, the last of which is the seal.

    Raises:
        LedgerRefused: The run has not ended, or its ledger was written by a keyrig that did
            not keep by which rules runs were made.
    """
    run, context = record.run, record.context
    if run.finished_at is None:
        raise LedgerRefused(f"run {run.id}", "it has not ended", "wait for its end, or stop it")
    if context is None:
        raise LedgerRefused(
            f"run {run.id}",
            "it was made by a keyrig that kept neither rules nor certificates with a run",
            "only later runs can be proved",
        )
    judged = replace(record, devices=tuple(map(_as_written, record.devices)))
    bodies = list(_bodies(judged, context, _whole(run.finished_at), key, now))
    last = list(chained(bodies))[-1]
    seal = lines.SealBody(signature=key.sign(sealed_octets(hash_of(last))))
    return b"".join(line + b"\n" for line in chained([*bodies, seal]))


def _as_written(device: DeviceHistory) -> DeviceHistory:
    """Return a device's history as the file has it, since the reader plans by that."""
    planned = ("known", "attempts", "requests", "scheduled", "held_back")
    return replace(device, **{name: _whole(getattr(device, name)) for name in planned})


def _whole(value: Any) -> Any:
    """Return a value with each instant in it cut to whole milliseconds."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    if isinstance(value, tuple):
        return tuple(map(_whole, value))
    if is_dataclass(value) and not isinstance(value, type):
        told = {each.name: _whole(getattr(value, each.name)) for each in fields(value)}
        return replace(value, **told)
    return value


def _bodies(
    record: RunRecord, context: RunContext, ended_at: datetime, key: EvidenceKey, now: datetime
) -> Iterator[EvidenceBody]:
    run, rules = record.run, record.rules
    yield lines.HeaderBody(
        run=run.id,
        rig=run.rig_name,
        started_at=run.started_at,
        finished_at=ended_at,
        outcome=run.outcome,
        agent_version=context.agent_version,
        parties=lines.Parties.model_validate(dict(context.parties)),
        made_at=now,
        made_by=version("keyrig"),
        public_key=key.public_der,
    )
    yield lines.RulesBody(edition=rules.edition, digest=rules.digest, text=rules.canonical())
    for at, finding in record.clock_findings:
        yield lines.ClockBody(fault=finding.fault, detail=finding.detail, at=at)
    for der in record.certificates:
        yield lines.CertificateBody(der=der)
    for device in record.devices:
        yield from _device_bodies(device, ended_at)
    yield from _message_bodies(record, ended_at)
    for device in record.devices:
        yield from _duty_bodies(record, context, device, ended_at)


def _message_bodies(record: RunRecord, ended_at: datetime) -> Iterator[EvidenceBody]:
    for attempt in (attempt for device in record.devices for attempt in device.attempts):
        if attempt.started_at <= ended_at:
            yield lines.AttemptBody.model_validate(attempt)
    for exchange in itertools.chain(record.earlier_exchanges, record.exchanges):
        yield lines.ExchangeBody.model_validate(exchange)
    for document in record.service_documents:
        yield lines.ServiceDocumentBody.model_validate(document)
    for alert in (alert for device in record.devices for alert in device.alerts):
        if alert.run_id == record.run.id:
            yield lines.AlertBody.model_validate(alert)


def _device_bodies(device: DeviceHistory, ended_at: datetime) -> Iterator[EvidenceBody]:
    entity = device.entity_id
    for fact in device.known:
        if fact.recorded_at <= ended_at:
            yield lines.FactBody(
                device=entity,
                name=fact.name,
                value=fact_value(fact.value),
                at=fact.at,
                source=fact.source,
                recorded_at=fact.recorded_at,
            )
    for held in device.statuses:
        if held.at <= ended_at:
            yield lines.SMIStatusBody(
                device=entity,
                status=held.status,
                at=held.at,
                cause=held.cause,
                clause=held.clause,
            )
    for der in dict.fromkeys(certificate.certificate for certificate in device.certificates):
        yield lines.DeviceCertificateBody(device=entity, der=der)


def _duty_bodies(
    record: RunRecord, context: RunContext, device: DeviceHistory, ended_at: datetime
) -> Iterator[EvidenceBody]:
    known = [fact for fact in device.known if fact.recorded_at <= ended_at]
    facts = device.ledger_facts(ended_at, lambda attempt: attempt.started_at <= ended_at)
    held_back = {
        each.requirement: each.why for each in device.held_back if each.run_id == record.run.id
    }
    for (_, requirement), at in facts.scheduled.items():
        yield lines.ScheduledBody(device=device.entity_id, requirement=requirement, execution_at=at)
    made = plan(
        record.rules,
        [fold(device.entity_id, known, ended_at).facts],
        facts,
        ended_at,
        frozenset(Actor(name) for name in context.parties["carried_out"]),
    )
    for duty in made.duties:
        waits = duty.state is DutyState.WAITING
        yield lines.DutyBody(
            device=duty.device,
            requirement=duty.requirement,
            clause=duty.clause,
            state=duty.state.value,
            deadline=duty.deadline,
            overdue=duty.overdue,
            reason=duty.reason,
            waiting_since=facts.waiting[duty.device] if waits else None,
            not_begun=NotBegunPart.if_any(held_back.get(duty.requirement)),
        )
