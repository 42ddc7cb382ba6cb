"""What a run writes into the ledger beside its attempts, and tells whoever watches."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from keyrig.base import events
from keyrig.domain.key_changes import KeyChangeState
from keyrig.duties.plan import duty_id
from keyrig.ledger.run_contexts import RunContext
from keyrig.run.duty_outcomes import fail_overdue, finish_duty

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.domain.device_facts import DeviceFacts, Outcome
    from keyrig.domain.key_changes import KeyChange
    from keyrig.duties.consequences import Consequences
    from keyrig.duties.plan import Duty
    from keyrig.run.bench import Bench, DeviceOnRig, Tally


def tell_request(bench: Bench, change: KeyChange, tally: Tally) -> None:
    """Publish whether a request waits for the authority, or was certified."""
    is_waiting = change.state is KeyChangeState.WAITING_FOR_AUTHORITY
    answer = bench.ledger.key_changes.asked(change.id).answer if is_waiting else ""
    told = events.RequestWaiting if is_waiting else events.RequestCertified
    bench.observe(
        told(
            device=str(change.device),
            key_usage=change.key_usage.gbcs_name,
            authority=bench.authority.name,
            answer=answer,
        )
    )
    if is_waiting:
        tally.needs_person.append(
            f"{change.device}: {change.key_usage.gbcs_name} request waits for the authority"
        )


def tell_outcome(
    bench: Bench,
    device: EntityIdentifier,
    requirement: str,
    outcome: events.DutyOutcomeName,
    detail: str,
) -> None:
    """Publish how an attempt at a duty ended."""
    bench.observe(
        events.DutyFinished(
            device=str(device),
            duty=duty_id(device, requirement),
            requirement=requirement,
            outcome=outcome,
            detail=detail,
        )
    )


def conclude(  # noqa: PLR0913 - what an outcome is made of, by name
    bench: Bench,
    device: DeviceFacts,
    requirement: str,
    outcome: Outcome,
    detail: str,
    *,
    attempt_id: int,
    evidence: str,
    exchanges: Sequence[int],
    alerts: Sequence[int] = (),
    now: datetime,
) -> None:
    """Record the outcome of a duty with all that it entails (`finish_duty`), and publish it."""
    consequences = finish_duty(
        bench.ledger,
        attempt_id=attempt_id,
        outcome=outcome,
        detail=detail,
        evidence=evidence,
        exchanges=exchanges,
        alerts=alerts,
        rules=bench.rules,
        device=device,
        now=now,
    )
    tell_outcome(bench, device.entity_id, requirement, outcome.value, detail)
    tell_consequences(bench.observe, device.entity_id, consequences)


def tell_consequences(
    observe: Observer, entity: EntityIdentifier, consequences: Consequences
) -> None:
    """Publish what followed from an outcome."""
    device = str(entity)
    if consequences.suspend:
        suspend = consequences.suspend
        observe(
            events.SMIStatus(
                device=device,
                status="Suspended",
                clause=suspend.clause,
                reason=suspend.reason,
            )
        )
        if suspend.permission is not None:
            observe(
                events.Permission(
                    device=device,
                    clause=suspend.permission.clause,
                    reason=suspend.permission.reason,
                )
            )
    if consequences.restore:
        restore = consequences.restore
        observe(
            events.SMIStatus(
                device=device,
                status=restore.to.value,
                clause=restore.clause,
                reason=restore.reason,
            )
        )
    for notice in consequences.notices:
        observe(
            events.Notice(
                device=device,
                to=str(notice.to),
                clause=notice.clause,
                reason=notice.reason,
            )
        )
    for flag in consequences.flags:
        observe(events.Flag(device=device, flag=flag.name, reason=flag.reason))


def fail_overdue_duties(
    bench: Bench, facts: Collection[DeviceFacts], to_do: Collection[Duty]
) -> None:
    """Record the consequences of deadlines that have passed, where the rules say so."""
    of_device = {device.entity_id: device for device in facts}
    for duty in to_do:
        followed = fail_overdue(
            bench.ledger,
            rules=bench.rules,
            device=of_device[duty.device],
            duty=duty,
            now=bench.clock(),
        )
        tell_consequences(bench.observe, duty.device, followed)


def record_context(bench: Bench, run_id: str, devices: Collection[DeviceOnRig]) -> None:
    """Keep by which rules, with which parties and certificates the run is made, for whom."""
    ledger, now, parties = bench.ledger, bench.clock(), bench.parties
    recovery = parties.recovery_certificate
    with ledger.transaction():
        context = RunContext(
            rule_set=ledger.rule_sets.keep(bench.rules, now),
            parties={
                "access_control_broker": str(parties.access_control_broker),
                "transitional_cos": str(parties.transitional_cos),
                "recovery_certificate": ""
                if recovery is None
                else hashlib.sha256(recovery.der).hexdigest(),
                "carried_out": sorted(actor.value for actor in bench.carried_out),
                "devices": [str(device.facts.entity_id) for device in devices],
            },
            agent_version=version("keyrig"),
        )
        ledger.run_contexts.record(run_id, context)
        kept = {each.der for each in bench.keys.organisation_certificates()}
        kept |= set() if recovery is None else {recovery.der}
        ledger.run_contexts.keep_certificates(run_id, sorted(kept), now)


def record_facts(bench: Bench, device: DeviceOnRig) -> None:
    """Record what the rig file says anew; its SMI Status only where there is none."""
    ledger, entity, now = bench.ledger, device.facts.entity_id, bench.clock()
    with ledger.transaction():
        ledger.device_facts.record(entity, device.news)
        if ledger.smi_statuses.current(entity) is None:
            ledger.smi_statuses.record(
                entity,
                device.smi_status,
                at=device.facts.commissioned_from or now,
                cause="rig file",
                now=now,
            )
        ledger.open_duties.adopt(
            entity, rig_name=bench.name, rules=bench.rules, actors=bench.carried_out, now=now
        )
