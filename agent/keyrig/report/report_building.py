"""Building the report of a run from its record in the ledger."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from gbcs.entity_identifier import EntityIdentifier
from gbcs.use_cases import use_case_name
from keyrig.base.errors import LedgerRefused
from keyrig.documents import report_document as parts
from keyrig.domain.known_facts import FactName, fold
from keyrig.domain.states import EventType
from keyrig.duties.consequences import replacement_permission
from keyrig.duties.rules import Actor, StepKind
from keyrig.report.cell_parts import cell_parts
from keyrig.report.duty_parts import Judging, counts_of, duty_parts
from keyrig.report.party_names import PartyNames

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.known_facts import DeviceRecord
    from keyrig.domain.smi_status import SMIStatus
    from keyrig.ledger.exchanges import Exchange
    from keyrig.ledger.outbox import Event
    from keyrig.ledger.run_record import DeviceHistory, RunRecord


def compose(record: RunRecord, now: datetime) -> parts.Report:
    """Return the report of a run.

    Args:
        record: What the ledger holds of it.
        now: The present instant, in UTC.

    Raises:
        LedgerRefused: The type of one of its devices is not in the ledger.
    """
    names = PartyNames(record.certificates)
    context = record.context
    carried_out = tuple(
        Actor(name) for name in (context.parties.get("carried_out", ()) if context else Actor)
    )
    devices = tuple(_device(record, device, names, carried_out, now) for device in record.devices)
    findings = tuple(
        parts.ClockPart(
            fault=found.fault, by_s=found.by.total_seconds(), detail=found.detail, at=at
        )
        for at, found in record.clock_findings
    )
    counts = counts_of(duty for device in devices for duty in device.duties)
    matters = sum(len(device.flags) + len(device.incidents) for device in devices)
    return parts.Report(
        made_at=now,
        made_by=version("keyrig"),
        run=parts.RunPart(
            id=record.run.id,
            rig=record.run.rig_name,
            started_at=record.run.started_at,
            finished_at=record.run.finished_at,
            outcome=record.run.outcome,
            agent_version=context.agent_version if context else None,
            carried_out=carried_out,
        ),
        rules=parts.RuleSetPart(edition=record.rules.edition, digest=record.rules.digest),
        summary=parts.SummaryPart(
            **counts.model_dump(),
            devices=len(devices),
            notices=sum(len(device.notices) for device in devices),
            for_a_person=matters + len(findings),
        ),
        clock_findings=findings,
        devices=devices,
    )


def _device(
    record: RunRecord,
    device: DeviceHistory,
    names: PartyNames,
    carried_out: Collection[Actor],
    now: datetime,
) -> parts.DevicePart:
    ended_at = max(record.run.finished_at or now, record.run.started_at)
    held = _held(device, ended_at)
    facts = held.facts
    judging = Judging(
        rules=record.rules,
        parties=carried_out,
        then=facts,
        now=_held(device, now).facts,
        ended_at=ended_at,
        made_at=now,
    )
    duties = duty_parts(record, device, judging)
    told = _told_in(record, device, ended_at)
    return parts.DevicePart(
        entity_id=str(device.entity_id),
        type=facts.device_type,
        commissioned_at=facts.commissioned_at,
        smi_status=_status_at(device, ended_at),
        smi_status_now=device.standing.status,
        suspension=_suspension(record, device, facts),
        status_instruction=parts.InstructionPart.if_any(device.standing.instruction),
        summary=counts_of(duties),
        facts=tuple(parts.FactPart.model_validate(fact) for fact in held.origins.values()),
        duties=duties,
        cells=cell_parts(record, device, facts, names),
        key_changes=tuple(_key_changes(record, device)),
        certification_requests=tuple(_requests(device, duties, ended_at)),
        messages=tuple(_messages(record, device)),
        alerts=tuple(_alerts(record, device)),
        smi_status_history=tuple(
            parts.StatusPart.model_validate(status) for status in device.statuses
        ),
        notices=tuple(
            parts.NoticePart(
                at=event.at,
                to=names.party(EntityIdentifier.parse(event.body["to"]), facts),
                clause=event.body["clause"],
                of_step=event.body["of_step"],
                status=event.body["status"],
                reason=event.body["reason"],
            )
            for event in told
            if event.type is EventType.NOTICE
        ),
        flags=tuple(
            parts.FlagPart(
                at=event.at,
                flag=event.body["flag"],
                requirement=event.body.get("requirement"),
                reason=event.body["reason"],
            )
            for event in told
            if event.type is EventType.FLAG
        ),
        incidents=tuple(
            parts.IncidentPart(
                at=event.at, message=event.body.get("exchange"), reason=event.body["reason"]
            )
            for event in told
            if event.type is EventType.SECURITY_INCIDENT
        ),
    )


def _held(device: DeviceHistory, at: datetime) -> DeviceRecord:
    """Return the facts that held of a device at an instant, by what was recorded by then.

    Where a clock was set back, everything may be recorded with a later instant.
    """
    by_then = [fact for fact in device.known if fact.recorded_at <= at]
    if not any(fact.name is FactName.DEVICE_TYPE for fact in by_then):
        by_then = list(device.known)
    try:
        return fold(device.entity_id, by_then, at)
    except ValueError as error:
        raise LedgerRefused(
            f"device {device.entity_id}",
            str(error),
            "run its rig once with this keyrig, then report",
        ) from error


def _status_at(device: DeviceHistory, at: datetime) -> SMIStatus | None:
    """Return the SMI Status that a device held at an instant, by what was recorded by then."""
    held = [status.status for status in device.statuses if status.recorded_at <= at]
    return held[-1] if held else None


def _told_in(record: RunRecord, device: DeviceHistory, ended_at: datetime) -> list[Event]:
    """Return the events of a device that the run caused.

    A flag carries the instant of the status that it is about, so it is selected by its number,
    which lies among those of the run's events.
    """
    started_at, run_id = record.run.started_at, record.run.id
    timed = {EventType.NOTICE, EventType.SECURITY_INCIDENT}

    def ours(event: Event) -> bool:
        return event.body.get("run") == run_id or (
            event.type in timed and started_at <= event.at <= ended_at
        )

    fixed = [e for e in device.events if e.type in timed or "run" in e.body]
    last_before = max((e.number for e in fixed if e.at < started_at and not ours(e)), default=0)
    later = [e.number for e in fixed if e.at > ended_at and not ours(e)]
    first_after = min(later, default=None)
    return [
        event
        for event in device.events
        if ours(event)
        or (
            event.type is EventType.FLAG
            and last_before < event.number
            and (first_after is None or event.number < first_after)
        )
    ]


def _suspension(
    record: RunRecord, device: DeviceHistory, facts: DeviceFacts
) -> parts.SuspensionPart | None:
    held = device.standing.suspension
    if held is None:
        return None
    permission = replacement_permission(record.rules, facts.device_type, device.standing)
    return parts.SuspensionPart(
        clause=held.clause,
        held_before=held.held_before,
        since=held.since,
        failed_steps=tuple(sorted(held.failed_steps)),
        replacement=parts.PermissionPart.if_any(permission),
    )


def _key_changes(record: RunRecord, device: DeviceHistory) -> Iterator[parts.KeyChangePart]:
    run, ended_at = record.run, record.run.finished_at
    for change in device.key_changes:
        moved = change.changed_at >= run.started_at and (
            ended_at is None or change.requested_at <= ended_at
        )
        if change.run_id == run.id or moved:
            yield parts.KeyChangePart(
                key_usage=change.key_usage.gbcs_name,
                state=change.state,
                requested_at=change.requested_at,
                changed_at=change.changed_at,
            )


def _requests(
    device: DeviceHistory, duties: Collection[parts.DutyPart], ended_at: datetime
) -> Iterator[parts.RequestPart]:
    renewing = [duty.deadline for duty in duties if duty.step is StepKind.REGENERATE_KEYS]
    due_by = min((until for until in renewing if until is not None), default=None)
    for request in device.requests:
        if request.waits_at(ended_at):
            yield parts.RequestPart(
                key_usage=request.key_usage.gbcs_name,
                key_identifier=request.key_identifier.hex().upper(),
                since=request.since,
                due_by=due_by,
                authority=request.authority,
            )


def _messages(record: RunRecord, device: DeviceHistory) -> Iterator[parts.MessagePart]:
    duties = {attempt.id: attempt.duty_id for attempt in device.attempts}
    for exchange in record.exchanges:
        if exchange.device != device.entity_id:
            continue
        duty = duties.get(exchange.attempt_id) if exchange.attempt_id is not None else None
        yield _message(exchange, parts.Direction.COMMAND, duty)
        if exchange.response is not None:
            yield _message(exchange, parts.Direction.RESPONSE, duty)


def _message(exchange: Exchange, direction: parts.Direction, duty: str | None) -> parts.MessagePart:
    asked = direction is parts.Direction.COMMAND
    detail = "" if asked and exchange.response is not None else exchange.detail
    if asked and not exchange.command:
        detail = f"made by the DCC, asked by {exchange.originator}"
    octets = exchange.command if asked else exchange.response or b""
    return parts.MessagePart(
        number=exchange.id,
        direction=direction,
        code=f"{exchange.message_code:04X}",
        name=use_case_name(exchange.message_code),
        originator=str(exchange.originator if asked else exchange.device),
        counter=exchange.counter,
        octets=len(octets),
        at=exchange.sent_at if asked else exchange.finished_at,
        verified=None if asked else bool(exchange.verified),
        outcome=exchange.outcome,
        detail=detail,
        duty=duty,
    )


def _alerts(record: RunRecord, device: DeviceHistory) -> Iterator[parts.AlertPart]:
    for alert in device.alerts:
        if alert.run_id == record.run.id:
            yield parts.AlertPart(
                id=alert.id,
                code=None if alert.alert_code is None else f"{alert.alert_code:04X}",
                octets=len(alert.octets),
                at=alert.received_at,
                verified=alert.verified,
                detail=alert.detail,
            )
