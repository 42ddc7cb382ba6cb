"""A run of a rig: every duty that is due, device by device, each outcome in the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyrig.base import events
from keyrig.base.errors import (
    AuthorityError,
    KeyStoreError,
    RunStopped,
)
from keyrig.domain.clock_trust import ClockFinding, WatchedClock
from keyrig.ledger.clock_record import check_clock
from keyrig.run.bench import Bench, DeviceOnRig, Tally, plan_for
from keyrig.run.bookkeeping import (
    fail_overdue_duties,
    record_context,
    record_facts,
    tell_request,
)
from keyrig.run.certification_requests import submit
from keyrig.run.device_visit import DeviceVisit
from keyrig.run.held_back import hold_back, lacking_needs
from keyrig.run.scheduled_outcomes import expects_alert, lapse_replacements
from keyrig.session.session_context import SessionContext

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.run_results import RunResult
    from keyrig.duties.plan import Duty


def run(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    *,
    run_id: str,
    ask: bool = False,
    accept_clock: bool = False,
    cancel: bool = False,
    all_or_nothing: bool = False,
) -> RunResult:
    """Carry out every duty that is due on `devices`, or take back what they hold for later.

    Args:
        bench: The rig's ledger, keys and rules.
        devices: The devices to reach; the order of work is the plan's.
        run_id: A fresh UUID of version 4 as 32 hexadecimal digits.
        ask: Carry out nobody's duty; only make sure of every device, as before a duty.
        accept_clock: A person says that the clock is right, whatever is on record.
        cancel: Carry out no duty; have each device forget the replacements that it holds.
        all_or_nothing: Reach no device at all where anything that a due duty needs, or may need
            by what its device's cells hold, is missing.

    Returns:
        Whether all that was due is done, a duty failed, a person must act, or it was stopped.

    Raises:
        ClockWrong: The clock was never set, or has run far ahead of what is on record.
        RecoveryUntrusted: What stands for the Recovery Certificate is none, or leads to no root of
            the key store; nothing was sent.
    """
    bench = _begin(bench, devices, run_id, ask=ask, accept_clock=accept_clock)
    tally = Tally()
    if cancel or ask:
        to_do: tuple[Duty, ...] = ()
        _tell_started(bench, run_id, to_do)
    else:
        to_do = _duties_to_begin(bench, devices, run_id, tally, all_or_nothing=all_or_nothing)
    expecting = [
        device.facts.entity_id
        for device in devices
        if not tally.is_refused
        and (
            ask
            or (
                bench.ledger.scheduled.waiting(device.facts.entity_id)
                if cancel
                else expects_alert(bench, device.facts.entity_id)
            )
        )
    ]
    _visit(bench, devices, run_id, to_do, expecting, tally, cancel=cancel)
    result = tally.result
    finished_at = bench.clock()
    with bench.ledger.transaction():
        bench.ledger.clock.advance(finished_at)
        bench.ledger.runs.finish_run(run_id, result, finished_at)
    bench.observe(
        events.RunFinished(
            run=run_id,
            result=result.value,
            failed=tuple(tally.failed),
            needs_person=tuple(tally.needs_person),
            still_due=len(plan_for(bench, [device.facts for device in devices]).open()),
        )
    )
    return result


def _begin(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    run_id: str,
    *,
    ask: bool,
    accept_clock: bool,
) -> Bench:
    """Record that a run begins, with which devices; return the bench with a watched clock.

    Raises:
        ClockWrong: The clock was never set, or has run far ahead of what is on record.
    """
    finding = check_clock(bench.ledger.clock, bench.clock(), accept=accept_clock)
    for attempt in bench.ledger.runs.close_interrupted(bench.name, bench.clock()):
        bench.observe(events.InterruptionFound(duty=attempt.duty_id, run=attempt.run_id))
    bench.ledger.runs.start_run(run_id, bench.name, bench.clock())

    def tell_clock(found: ClockFinding, now: datetime) -> None:
        bench.ledger.clock.record(run_id, found, now)
        bench.observe(found.event())

    bench = replace(bench, clock=WatchedClock(bench.clock, bench.elapsed, tell_clock, finding))
    if ask:
        bench = replace(bench, carried_out=frozenset())
    record_context(bench, run_id, devices)
    if ask:
        for device in devices:
            bench.ledger.device_facts.record(device.facts.entity_id, device.news)
    else:
        for device in devices:
            record_facts(bench, device)
        lapse_replacements(bench, [device.facts.entity_id for device in devices])
    return bench


def _duties_to_begin(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    run_id: str,
    tally: Tally,
    *,
    all_or_nothing: bool,
) -> tuple[Duty, ...]:
    """Return the due duties that lack nothing, after recording what holds the others back.

    Raises:
        RecoveryUntrusted: Nothing may be sent; the run has ended.
    """
    facts = [device.facts for device in devices]
    _ask_authority_again(bench, [each.entity_id for each in facts], tally)
    to_do = plan_for(bench, facts).to_do()
    lacking = lacking_needs(bench, run_id, to_do, facts)
    _tell_started(bench, run_id, to_do)
    held_back = hold_back(bench, run_id, to_do, lacking, tally, all_or_nothing=all_or_nothing)
    # What is held back for ours does not fail by its deadline, so it is recorded before.
    fail_overdue_duties(bench, facts, plan_for(bench, facts).to_do())
    if held_back and all_or_nothing:
        tally.is_refused = True
        bench.observe(
            events.RunRefused(
                run=run_id,
                reason=f"{len(held_back)} of {len(to_do)} duties lack something; none was begun",
            )
        )
        return ()
    return tuple(duty for duty in to_do if duty.id not in held_back)


def _tell_started(bench: Bench, run_id: str, to_do: Collection[Duty]) -> None:
    bench.observe(
        events.RunStarted(
            run=run_id,
            rig=bench.name,
            edition=bench.rules.edition,
            duties=len(to_do),
            devices=len({duty.device for duty in to_do}),
        )
    )


def _visit(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    run_id: str,
    to_do: Collection[Duty],
    expecting: Collection[EntityIdentifier],
    tally: Tally,
    *,
    cancel: bool,
) -> None:
    """Reach each device that owes a duty or is expected to tell something, until asked to stop."""
    on_rig = {device.facts.entity_id: device for device in devices}
    session = SessionContext(
        run_id=run_id,
        ledger=bench.ledger,
        keys=bench.keys,
        access_control_broker=bench.parties.access_control_broker,
        clock=bench.clock,
        monotonic=bench.monotonic,
        observe=bench.observe,
        transcript=bench.transcript,
        should_stop=bench.should_stop,
    )
    try:
        for entity in dict.fromkeys([*(duty.device for duty in to_do), *expecting]):
            bench.go_on()
            duties = [duty for duty in to_do if duty.device == entity]
            DeviceVisit(bench, session, on_rig[entity], tally).carry_out(duties, cancel=cancel)
    except RunStopped as stopped:
        tally.stopped = str(stopped)
        bench.observe(events.RunStopped(run=run_id, reason=str(stopped)))


def _ask_authority_again(bench: Bench, devices: Collection[EntityIdentifier], tally: Tally) -> None:
    """Ask the authority for what it has been asked before, without reaching any device."""
    for change in bench.ledger.key_changes.all_waiting(devices):
        what = f"{change.device} {change.key_usage.gbcs_name}"
        try:
            change = submit(  # noqa: PLW2901 - the change as it stands now
                bench.ledger, change, bench.authority, bench.issued, bench.clock
            )
        except (AuthorityError, KeyStoreError) as error:
            tally.needs_person.append(f"{what}: {error}")
            bench.observe(events.PersonNeeded(device=str(change.device), reason=str(error)))
        else:
            tell_request(bench, change, tally)
