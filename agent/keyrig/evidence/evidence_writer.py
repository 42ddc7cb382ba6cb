"""Writing what a run did as one file that somebody else can check."""

from __future__ import annotations

import base64
import itertools
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from keyrig.base.errors import LedgerRefused
from keyrig.domain.known_facts import encode_value, fold
from keyrig.duties.plan import DutyState, plan
from keyrig.duties.rules import Actor
from keyrig.evidence.evidence_lines import SCHEMA, chained, hash_of, sealed_octets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyrig.evidence.evidence_key import EvidenceKey
    from keyrig.ledger.exchanges import Exchange
    from keyrig.ledger.run_contexts import RunContext
    from keyrig.ledger.run_record import DeviceHistory, RunRecord
    from keyrig.ledger.runs import Attempt
    from keyrig.ledger.service_documents import ServiceDocument


def evidence(record: RunRecord, key: EvidenceKey, now: datetime) -> bytes:
    """Write the evidence of a run.

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
    bodies = list(_bodies(record, context, run.finished_at, key, now))
    lines = list(chained(bodies))
    head = hash_of(lines[-1])
    seal = {"signature": _base64(key.sign(sealed_octets(head)))}
    lines = list(chained([*bodies, ("seal", seal)]))
    return b"".join(line + b"\n" for line in lines)


def _bodies(
    record: RunRecord, context: RunContext, ended_at: datetime, key: EvidenceKey, now: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    run = record.run
    yield (
        "header",
        {
            "schema": SCHEMA,
            "run": run.id,
            "rig": run.rig_name,
            "started_at": _instant(run.started_at),
            "finished_at": _instant(ended_at),
            "outcome": run.outcome.value if run.outcome else None,
            "agent_version": context.agent_version,
            "parties": dict(context.parties),
            "made_at": _instant(now),
            "made_by": version("keyrig"),
            "public_key": _base64(key.public_der),
        },
    )
    rules = record.rules
    yield (
        "rules",
        {"edition": rules.edition, "digest": rules.digest, "text": rules.canonical()},
    )
    for at, finding in record.clock_findings:
        detail = {"fault": finding.fault.value, "detail": finding.detail, "at": _instant(at)}
        yield "clock", detail
    for der in record.certificates:
        yield "certificate", {"der": _base64(der)}
    for device in record.devices:
        yield from _device_bodies(device, ended_at)
    yield from _message_bodies(record, ended_at)
    for device in record.devices:
        yield from _duty_bodies(record, context, device, ended_at)


def _message_bodies(record: RunRecord, ended_at: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    for attempt in (attempt for device in record.devices for attempt in device.attempts):
        if attempt.started_at <= ended_at:
            yield "attempt", _attempt(attempt)
    for exchange in itertools.chain(record.earlier_exchanges, record.exchanges):
        yield "exchange", _exchange(exchange)
    for document in record.service_documents:
        yield "service-document", _service_document(document)
    for alert in (alert for device in record.devices for alert in device.alerts):
        if alert.run_id == record.run.id:
            yield (
                "alert",
                {
                    "device": str(alert.device),
                    "received_at": _instant(alert.received_at),
                    "verified": alert.verified,
                    "octets": _base64(alert.octets),
                },
            )


def _device_bodies(
    device: DeviceHistory, ended_at: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    entity = str(device.entity_id)
    for fact in device.known:
        if fact.recorded_at <= ended_at:
            yield (
                "fact",
                {
                    "device": entity,
                    "name": fact.name.value,
                    "value": json.loads(encode_value(fact.value)),
                    "at": _instant(fact.at),
                    "source": fact.source,
                    "recorded_at": _instant(fact.recorded_at),
                },
            )
    for status in device.statuses:
        if status.at > ended_at:
            continue
        yield (
            "smi-status",
            {
                "device": entity,
                "status": status.status.value,
                "at": _instant(status.at),
                "cause": status.cause,
                "clause": status.clause,
            },
        )
    for der in dict.fromkeys(certificate.certificate for certificate in device.certificates):
        yield "device-certificate", {"device": entity, "der": _base64(der)}


def _duty_bodies(
    record: RunRecord, context: RunContext, device: DeviceHistory, ended_at: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    known = [fact for fact in device.known if fact.recorded_at <= ended_at]
    facts = device.ledger_facts(ended_at, lambda attempt: attempt.started_at <= ended_at)
    held_back = {
        each.requirement: each.why for each in device.held_back if each.run_id == record.run.id
    }
    for (_, requirement), at in facts.scheduled.items():
        yield (
            "scheduled",
            {
                "device": str(device.entity_id),
                "requirement": requirement,
                "execution_at": _instant(at),
            },
        )
    made = plan(
        record.rules,
        [fold(device.entity_id, known, ended_at).facts],
        facts,
        ended_at,
        frozenset(Actor(name) for name in context.parties["carried_out"]),
    )
    for duty in made.duties:
        yield (
            "duty",
            {
                "device": str(duty.device),
                "requirement": duty.requirement,
                "clause": duty.clause,
                "state": duty.state.value,
                "deadline": _instant(duty.deadline),
                "overdue": duty.overdue,
                "reason": duty.reason,
                "waiting_since": _instant(facts.waiting[duty.device])
                if duty.state is DutyState.WAITING
                else None,
                "not_begun": held_back[duty.requirement].document()
                if duty.requirement in held_back
                else None,
            },
        )


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "run": attempt.run_id,
        "device": str(attempt.device),
        "requirement": attempt.requirement,
        "started_at": _instant(attempt.started_at),
        "finished_at": _instant(attempt.finished_at),
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "detail": attempt.detail,
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.id,
        "run": exchange.run_id,
        "attempt": exchange.attempt_id,
        "device": str(exchange.device),
        "sent_at": _instant(exchange.sent_at),
        "finished_at": _instant(exchange.finished_at),
        "outcome": exchange.outcome.value if exchange.outcome else None,
        "detail": exchange.detail,
        "command": _base64(exchange.command),
        "response": None if exchange.response is None else _base64(exchange.response),
    }


def _service_document(document: ServiceDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "run": document.run_id,
        "exchange": document.exchange_id,
        "device": None if document.device is None else str(document.device),
        "at": _instant(document.at),
        "kind": document.kind.value,
        "service": document.service,
        "request": document.request_id,
        "believed_by": document.signer,
        "detail": document.detail,
        "document": _base64(document.document),
    }


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _instant(instant: Any) -> str | None:
    return None if instant is None else instant.isoformat()
