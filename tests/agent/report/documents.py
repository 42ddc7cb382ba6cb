"""Reports made by hand, for what no emulated run brings about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gbcs.roles import DeviceType
from keyrig.documents import report_document as parts
from keyrig.documents.document_model import NotBegunPart
from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.device_facts import Cause, Outcome
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.known_facts import FactName
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import ExchangeOutcome, RunOutcome
from keyrig.duties.plan import DutyState
from keyrig.duties.rules import Actor, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGUN = datetime(2026, 11, 20, 9, tzinfo=UTC)
RAN = BEGUN + timedelta(days=2)
DEVICE = "00-DB-12-34-56-78-90-A2"
SUPPLIER = "90-B3-D5-1F-30-01-00-00"
BROKER = "90-B3-D5-1F-30-00-00-02"
RUN = "0123456789abcdef0123456789abcdef"


def after(seconds: float) -> datetime:
    """Give an instant so many seconds after the run began."""
    return RAN + timedelta(seconds=seconds)


def attempt(
    number: int, outcome: Outcome | None, *, detail: str = "", in_this_run: bool = True
) -> parts.AttemptPart:
    """Make an attempt of one second."""
    begun = after(number * 2)
    return parts.AttemptPart(
        id=number,
        run=RUN if in_this_run else "f" * 32,
        in_this_run=in_this_run,
        started_at=begun,
        finished_at=begun + timedelta(seconds=1) if outcome else None,
        outcome=outcome,
        detail=detail,
        evidence="",
        messages=(number,),
    )


def duty(
    requirement: str,
    state: DutyState,
    *,
    attempts: Sequence[parts.AttemptPart] = (),
    overdue: bool = False,
    reason: str = "for the test",
    was_due: bool = True,
    not_begun: NotBegunPart | None = None,
    text: str = "the device does what it must",
) -> parts.DutyPart:
    """Make a duty of the hub."""
    standing = parts.StandingPart(
        at=after(20),
        state=state,
        overdue=overdue,
        done_late=False,
        reason=reason,
        done_at=after(3) if state is DutyState.DONE else None,
        failed_at_attempt=next(
            (a.finished_at for a in attempts if a.outcome is Outcome.FAILED), None
        ),
        failed_at_deadline=BEGUN + timedelta(days=7) if overdue else None,
    )
    return parts.DutyPart(
        id=f"00db1234567890a2/{requirement}",
        requirement=requirement,
        clause=f"H5.33({requirement[-1]})",
        text=text,
        actor=Actor.DCC,
        step=StepKind.REGENERATE_KEYS,
        deadline=BEGUN + timedelta(days=7),
        was_due=was_due,
        standing=standing,
        standing_now=standing,
        attempts=tuple(attempts),
        not_begun=not_begun,
    )


def not_begun(text: str = "for the test") -> NotBegunPart:
    """Make why a duty was not begun."""
    return NotBegunPart(at=after(1), cause=Cause.KEYS, reason=text, mend=text)


def request(text: str = "for the test") -> parts.RequestPart:
    """Make a request that waited as the run ended."""
    return parts.RequestPart(
        key_usage="digitalSignature",
        key_identifier="4C3E0C75A6D13682",
        since=after(4),
        due_by=BEGUN + timedelta(days=7),
        authority=text,
    )


def party(name: str, entity_id: str = SUPPLIER) -> parts.Party:
    """Name an organisation."""
    return parts.Party(entity_id=entity_id, name=name)


def cell(change: parts.CellChange, role: str, key_usage: str) -> parts.CellPart:
    """Make a cell that was the broker's, or still is."""
    before = parts.CellContents(
        holder=party("DCC access control broker", BROKER),
        key_identifier="0011223344556677",
        at=after(1),
    )
    changed = change is parts.CellChange.CHANGED
    return parts.CellPart(
        role=role,
        key_usage=key_usage,
        cell_usage="management",
        change=change,
        before=None if change is parts.CellChange.FIRST_READ else before,
        after=parts.CellContents(
            holder=party("Lead Supplier") if changed else before.holder,
            key_identifier="8899AABBCCDDEEFF" if changed else before.key_identifier,
            at=after(5),
        ),
    )


def message(direction: parts.Direction, number: int, **changes: Any) -> parts.MessagePart:
    """Make a message that verified."""
    values: dict[str, Any] = {
        "number": number,
        "direction": direction,
        "code": "000A",
        "name": "CS02c Issue Security Credentials",
        "originator": BROKER,
        "counter": 1_795_000_000_000 + number,
        "octets": 321,
        "at": after(number * 2 + 0.4),
        "verified": None if direction is parts.Direction.COMMAND else True,
        "outcome": ExchangeOutcome.VERIFIED,
        "detail": "",
        "duty": "00db1234567890a2/R33a",
    }
    return parts.MessagePart(**values | changes)


def device(text: str = "for the test", duties: Sequence[parts.DutyPart] = ()) -> parts.DevicePart:
    """Make a hub on which everything happened that a report tells of; `text` stands everywhere."""
    failed = attempt(1, Outcome.FAILED, detail=text)
    made = duties or (
        duty("R33a", DutyState.FAILED, attempts=[failed], reason=text, text=text),
        duty("R33b", DutyState.DONE, attempts=[attempt(3, Outcome.DONE, detail=text)]),
        duty("R33c", DutyState.EXEMPT, was_due=False, reason=text),
        duty("R33d", DutyState.DUE, not_begun=not_begun(text)),
    )
    return parts.DevicePart(
        entity_id=DEVICE,
        type=DeviceType.CHF,
        commissioned_at=BEGUN,
        smi_status=SMIStatus.SUSPENDED,
        smi_status_now=SMIStatus.SUSPENDED,
        suspension=parts.SuspensionPart(
            clause=text, held_before=SMIStatus.COMMISSIONED, since=after(3), failed_steps=(text,),
            replacement=parts.PermissionPart(clause=text, reason=text),
        ),
        status_instruction=parts.InstructionPart(
            status=SMIStatus.SUSPENDED, clause=text, since=after(3), channel=text
        ),
        summary=parts.CountsPart(due=2, done=1, failed=1, left=0, overdue=0, not_due=1),
        facts=(
            parts.FactPart(
                name=FactName.RESPONSIBLE_SUPPLIERS,
                value=[text, SUPPLIER],
                source=text,
                at=None,
                recorded_at=RAN,
            ),
        ),
        duties=tuple(made),
        cells=(
            cell(parts.CellChange.CHANGED, "supplier", "digitalSignature"),
            cell(parts.CellChange.REPLACED_BY_SAME, "supplier", "keyAgreement"),
            cell(parts.CellChange.UNCHANGED, "recovery", "digitalSignature"),
            cell(parts.CellChange.FIRST_READ, "wanProvider", "digitalSignature"),
        ),
        key_changes=(
            parts.KeyChangePart(
                key_usage="digitalSignature",
                state=KeyChangeState.ABANDONED,
                requested_at=after(2),
                changed_at=after(3),
            ),
        ),
        certification_requests=(request(text),),
        messages=(
            message(parts.Direction.COMMAND, 1, name=text, detail=text),
            message(parts.Direction.RESPONSE, 1, verified=False, detail=text,
                    outcome=ExchangeOutcome.REJECTED),
            message(parts.Direction.COMMAND, 3),
            message(parts.Direction.RESPONSE, 3, at=after(6.8)),
        ),
        alerts=(
            parts.AlertPart(
                id=1, code="8F66", octets=99, at=after(7.5), verified=False, detail=text
            ),
        ),
        smi_status_history=(
            parts.StatusPart(
                status=SMIStatus.COMMISSIONED,
                at=BEGUN, cause=text, clause=None, recorded_at=RAN,
            ),
            parts.StatusPart(
                status=SMIStatus.SUSPENDED,
                at=after(3), cause=text, clause=text, recorded_at=after(3),
            ),
        ),
        notices=(
            parts.NoticePart(
                at=after(3), to=party(text), clause="H5.35", of_step=text, status="Suspended",
                reason=text,
            ),
        ),
        flags=(parts.FlagPart(at=after(3), flag=text, requirement="R33a", reason=text),),
        incidents=(parts.IncidentPart(at=after(3), message=1, reason=text),),
    )  # fmt: skip


def report(
    devices: Sequence[parts.DevicePart],
    text: str = "for the test",
    outcome: RunOutcome | None = RunOutcome.FAILED,
) -> parts.Report:
    """Make a report of devices."""
    return parts.Report(
        made_at=after(60),
        made_by="0.1.0",
        run=parts.RunPart(
            id=RUN,
            rig=text,
            started_at=RAN,
            finished_at=after(20) if outcome else None,
            outcome=outcome,
            agent_version=text,
            carried_out=(Actor.DCC,),
        ),
        rules=parts.RuleSetPart(edition=text, digest="0" * 64),
        summary=parts.SummaryPart(
            devices=len(devices), due=2, done=1, failed=1, left=0, overdue=0, not_due=1,
            notices=1, for_a_person=3,
        ),
        clock_findings=(
            parts.ClockPart(fault=ClockFault.STEPPED, by_s=-3.5, detail=text, at=after(9)),
        ),
        devices=tuple(devices),
    )  # fmt: skip
