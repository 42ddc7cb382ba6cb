"""Duties that a run does not begin, since something that they need is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.printable import printable
from keyrig.base import events
from keyrig.base.errors import RecoveryUntrusted
from keyrig.domain.device_facts import NotBegun
from keyrig.domain.states import RunOutcome
from keyrig.run.bench import REASON_SHOWN, Bench, Tally
from keyrig.run.preflight import Footing

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.duties.plan import Duty
    from keyrig.run.preflight import Lack, Need


def lacking_needs(
    bench: Bench, run_id: str, to_do: Collection[Duty], facts: Collection[DeviceFacts]
) -> tuple[Need, ...]:
    """Look at what the due duties need, and return what of it is missing.

    Raises:
        RecoveryUntrusted: Nothing may be sent with what is missing; the run has ended.
    """
    needs = bench.preflight.needs(to_do, facts, bench.clock())
    lacking = tuple(need for need in needs if need.lack is not None)
    refused = next((need.lack for need in lacking if need.lack and need.lack.refuses), None)
    if refused is not None:
        with bench.ledger.transaction():
            for duty in to_do:
                record_not_begun(bench, run_id, duty, refused)
            bench.ledger.runs.finish_run(run_id, RunOutcome.NEEDS_PERSON, bench.clock())
        raise RecoveryUntrusted(f"rig {bench.name}", refused.reason, refused.mend)
    return lacking


def hold_back(
    bench: Bench,
    run_id: str,
    to_do: Collection[Duty],
    lacking: Collection[Need],
    tally: Tally,
    *,
    all_or_nothing: bool,
) -> set[str]:
    """Record and tell which duties are not begun, and return their ids.

    What a duty may lack by its device's cells is looked at again once they are read; where all is
    to be done or nothing, it counts before, since what was begun cannot be taken back.
    """
    held_back: dict[str, Need] = {}
    for need in lacking:
        if need.footing is Footing.ALWAYS or (all_or_nothing and need.footing is not Footing.TOLD):
            held_back.setdefault(need.duty, need)
    for duty in to_do:
        if duty.id in held_back:
            record_and_tell_not_begun(bench, run_id, duty, held_back[duty.id], tally)
    return set(held_back)


def record_and_tell_not_begun(
    bench: Bench, run_id: str, duty: Duty, need: Need, tally: Tally
) -> None:
    """Record and tell that a duty is not begun for what it lacks."""
    lack = need.lack
    assert lack is not None
    record_not_begun(bench, run_id, duty, lack)
    tally.needs_person.append(f"{duty.id}: {printable(str(lack), REASON_SHOWN)}")
    bench.observe(
        events.DutyNotBegun(
            device=str(duty.device),
            duty=duty.id,
            requirement=duty.requirement,
            rule=need.rule.value,
            cause=lack.cause.value,
            reason=printable(lack.reason, REASON_SHOWN),
            mend=lack.mend,
        )
    )


def record_not_begun(bench: Bench, run_id: str, duty: Duty, lack: Lack) -> None:
    """Record that a duty is not begun, and why."""
    bench.ledger.facts.record_not_begun(
        duty.device,
        duty.requirement,
        run_id,
        NotBegun(
            at=bench.clock(),
            cause=lack.cause,
            reason=printable(lack.reason, REASON_SHOWN),
            mend=lack.mend,
        ),
    )
