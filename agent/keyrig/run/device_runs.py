"""Running a rig: every duty that is due, device by device, each outcome in the ledger."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from gbcs.certificates import GBCSCertificate
from gbcs.errors import KeyrigError, SecurityError
from gbcs.keys import public_octets
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import StatusCode
from gbcs.use_cases import decode_payload
from keyrig.base.errors import (
    AuthorityError,
    DeviceUnavailable,
    KeyMissing,
    KeyStoreError,
    LinkError,
    RecoveryUntrusted,
    RigError,
    RunStopped,
)
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.domain.clock_trust import ClockFinding, WatchedClock, clock_event
from keyrig.domain.device_facts import Cause, NotBegun, Outcome
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import RunOutcome, ScheduledState
from keyrig.duties.plan import Plan, duty_id, plan
from keyrig.ledger.clock_record import check_clock
from keyrig.ledger.run_contexts import RunContext
from keyrig.run.certification_requests import submit
from keyrig.run.duty_outcomes import fail_overdue, finish_duty
from keyrig.run.preflight import Footing
from keyrig.session.conversation import LinkConversation
from keyrig.session.session_context import ConversingLink, OrganisationKeys, SessionContext
from keyrig.session.steps.cancel_replacement import cancel_replacement
from keyrig.session.steps.effects import (
    AdvanceKeyChange,
    Ask,
    Certify,
    NoResponse,
    RecordCells,
    RequestKeyChange,
    ReserveCounter,
    StepFailed,
    StepResult,
)
from keyrig.session.steps.identify import identify
from keyrig.session.steps.reading_cells import cell_identifier
from keyrig.session.steps.regenerate_keys import KEY_USAGES
from keyrig.session.steps.scripts import SCRIPTS
from keyrig.session.steps.step_context import Parties, StepContext
from keyrig.session.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier, UpdateCredentialsAlert
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.key_changes import KeyChange
    from keyrig.domain.known_facts import KnownFact
    from keyrig.domain.trust_anchor import Cell
    from keyrig.duties.consequences import Consequences
    from keyrig.duties.plan import Duty
    from keyrig.duties.rules import Actor, Rules
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.issued_certificates import IssuedCertificates
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.preflight import Lack, Need, Preflight
    from keyrig.session.link import Link
    from keyrig.session.session_context import Conversation, OnAlert
    from keyrig.session.steps.effects import Effect, Script


REASON_SHOWN = 400
"""Characters of a reason that are kept."""


class Keys(OrganisationKeys, Protocol):
    """Signs for organisations, and knows their certificates and devices' first ones."""

    def certificate(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        role: RemotePartyRole | None = None,
    ) -> GBCSCertificate:
        """See `keyrig.session.steps.step_context.Certificates`."""
        ...

    def certification_path(self, certificate: GBCSCertificate) -> tuple[GBCSCertificate, ...]:
        """See `keyrig.session.steps.step_context.Certificates`."""
        ...

    def organisation_certificates(self) -> tuple[GBCSCertificate, ...]:
        """Give those of organisations and authorities, by which messages are checked."""
        ...


class RunResult(enum.IntEnum):
    """How a run ended; the values are the program's exit codes."""

    DONE = 0
    FAILED = 3
    NEEDS_PERSON = 4
    INTERRUPTED = 130
    """Somebody asked it to stop; what is not done goes on with the next run."""


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
        """Give the conversation with it in a run."""
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
class Bench:
    """Everything that a run needs, apart from its devices."""

    name: str
    ledger: Ledger
    keys: Keys
    authority: CertificateAuthority
    issued: IssuedCertificates
    preflight: Preflight
    parties: Parties
    rules: Rules
    carried_out: frozenset[Actor]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    elapsed: Callable[[], float]
    observe: Observer = unobserved
    transcript: Transcript = field(default_factory=NoTranscript)
    execute_at: datetime | None = None
    should_stop: StopAsked = never_stopped

    def go_on(self) -> None:
        """See that nobody asked the run to stop.

        Raises:
            RunStopped: Somebody did.
        """
        who = self.should_stop()
        if who is not None:
            raise RunStopped(who)


@dataclass(slots=True)
class _Tally:
    """What a run has come to so far."""

    failed: list[str] = field(default_factory=list)
    needs_person: list[str] = field(default_factory=list)
    stopped: str | None = None
    is_refused: bool = False
    """Something was missing, and the run was to do all or nothing."""

    @property
    def result(self) -> RunResult:
        if self.stopped is not None:
            return RunResult.INTERRUPTED
        if self.needs_person:
            return RunResult.NEEDS_PERSON
        return RunResult.FAILED if self.failed else RunResult.DONE


def plan_for(bench: Bench, facts: Collection[DeviceFacts]) -> Plan:
    """Plan the duties of devices as things stand now."""
    return plan(
        bench.rules,
        facts,
        bench.ledger.facts.ledger_facts([device.entity_id for device in facts]),
        bench.clock(),
        bench.carried_out,
    )


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
    tally = _Tally()
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
                else _expects_alert(bench, device.facts.entity_id)
            )
        )
    ]
    _visit(bench, devices, run_id, to_do, expecting, tally, cancel=cancel)
    result = tally.result
    finished_at = bench.clock()
    with bench.ledger.transaction():
        bench.ledger.clock.advance(finished_at)
        bench.ledger.runs.finish_run(run_id, _OUTCOMES[result], finished_at)
    bench.observe(
        "run-finished",
        run=run_id,
        result=result.name.lower().replace("_", "-"),
        failed=tally.failed,
        needs_person=tally.needs_person,
        still_due=len(plan_for(bench, [device.facts for device in devices]).open()),
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
        bench.observe("interruption-found", duty=attempt.duty_id, run=attempt.run_id)
    bench.ledger.runs.start_run(run_id, bench.name, bench.clock())

    def tell_clock(found: ClockFinding, now: datetime) -> None:
        bench.ledger.clock.record(run_id, found, now)
        bench.observe("clock", **clock_event(found))

    if finding is not None:
        tell_clock(finding, bench.clock())
    bench = replace(bench, clock=WatchedClock(bench.clock, bench.elapsed, tell_clock))
    if ask:
        bench = replace(bench, carried_out=frozenset())
    _record_context(bench, run_id, devices)
    if ask:
        for device in devices:
            bench.ledger.device_facts.record(device.facts.entity_id, device.news)
    else:
        for device in devices:
            _know(bench, device)
        _lapse(bench, [device.facts.entity_id for device in devices])
    return bench


def _duties_to_begin(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    run_id: str,
    tally: _Tally,
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
    lacking = _lacking(bench, run_id, to_do, facts)
    _tell_started(bench, run_id, to_do)
    held_back = _hold_back(bench, run_id, to_do, lacking, tally, all_or_nothing=all_or_nothing)
    # What is held back for ours does not fail by its deadline, so it is recorded before.
    _fail_overdue(bench, facts, plan_for(bench, facts).to_do())
    if held_back and all_or_nothing:
        tally.is_refused = True
        bench.observe(
            "run-refused",
            run=run_id,
            reason=f"{len(held_back)} of {len(to_do)} duties lack something; none was begun",
        )
        return ()
    return tuple(duty for duty in to_do if duty.id not in held_back)


def _tell_started(bench: Bench, run_id: str, to_do: Collection[Duty]) -> None:
    bench.observe(
        "run-started",
        run=run_id,
        rig=bench.name,
        edition=bench.rules.edition,
        duties=len(to_do),
        devices=len({duty.device for duty in to_do}),
    )


def _visit(
    bench: Bench,
    devices: Collection[DeviceOnRig],
    run_id: str,
    to_do: Collection[Duty],
    expecting: Collection[EntityIdentifier],
    tally: _Tally,
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
        go_on=bench.go_on,
    )
    try:
        for entity in dict.fromkeys([*(duty.device for duty in to_do), *expecting]):
            bench.go_on()
            duties = [duty for duty in to_do if duty.device == entity]
            _DeviceRun(bench, session, on_rig[entity], tally).carry_out(duties, cancel=cancel)
    except RunStopped as stopped:
        tally.stopped = str(stopped)
        bench.observe("run-stopped", run=run_id, reason=printable(str(stopped)))


def _ask_authority_again(
    bench: Bench, devices: Collection[EntityIdentifier], tally: _Tally
) -> None:
    """Ask the authority for what it has been asked before, without reaching any device."""
    for change in bench.ledger.key_changes.all_waiting(devices):
        what = f"{change.device} {change.key_usage.gbcs_name}"
        try:
            change = submit(  # noqa: PLW2901 - the change as it stands now
                bench.ledger, change, bench.authority, bench.issued, bench.clock
            )
        except (AuthorityError, KeyStoreError) as error:
            tally.needs_person.append(f"{what}: {error}")
            bench.observe("person-needed", device=str(change.device), reason=printable(str(error)))
        else:
            _tell_request(bench, change, tally)


def _tell_request(bench: Bench, change: KeyChange, tally: _Tally) -> None:
    """Tell who watches whether a request waits for the authority, or was certified."""
    is_waiting = change.state is KeyChangeState.WAITING_FOR_AUTHORITY
    answer = bench.ledger.key_changes.asked(change.id).answer if is_waiting else ""
    bench.observe(
        "request-waiting" if is_waiting else "request-certified",
        device=str(change.device),
        key_usage=change.key_usage.gbcs_name,
        authority=bench.authority.name,
        answer=answer,
    )
    if is_waiting:
        tally.needs_person.append(
            f"{change.device}: {change.key_usage.gbcs_name} request waits for the authority"
        )


def _lacking(
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
                _record_not_begun(bench, run_id, duty, refused)
            bench.ledger.runs.finish_run(run_id, RunOutcome.NEEDS_PERSON, bench.clock())
        raise RecoveryUntrusted(refused.reason, refused.mend)
    return lacking


def _hold_back(
    bench: Bench,
    run_id: str,
    to_do: Collection[Duty],
    lacking: Collection[Need],
    tally: _Tally,
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
            _not_begun(bench, run_id, duty, held_back[duty.id], tally)
    return set(held_back)


def _not_begun(bench: Bench, run_id: str, duty: Duty, need: Need, tally: _Tally) -> None:
    """Record and tell that a duty is not begun for what it lacks."""
    lack = need.lack
    assert lack is not None
    _record_not_begun(bench, run_id, duty, lack)
    tally.needs_person.append(f"{duty.id}: {printable(str(lack), REASON_SHOWN)}")
    bench.observe(
        "duty-not-begun",
        device=str(duty.device),
        duty=duty.id,
        requirement=duty.requirement,
        rule=need.rule.value,
        cause=lack.cause.value,
        reason=printable(lack.reason, REASON_SHOWN),
        mend=lack.mend,
    )


def _record_not_begun(bench: Bench, run_id: str, duty: Duty, lack: Lack) -> None:
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


def _lapse(bench: Bench, devices: Collection[EntityIdentifier]) -> None:
    """Give up waiting for alerts that should have come by now."""
    for lapsed in bench.ledger.scheduled.lapse(devices, bench.clock()):
        bench.observe(
            "replacement-lapsed",
            device=str(lapsed.device),
            requirement=lapsed.requirement,
            execution_at=lapsed.execution_at.isoformat(),
        )


def _expects_alert(bench: Bench, device: EntityIdentifier) -> bool:
    """Say whether a device should have carried out by now what it held for later."""
    now = bench.clock()
    return any(each.execution_at <= now for each in bench.ledger.scheduled.waiting(device))


def _tell(observe: Observer, entity: EntityIdentifier, consequences: Consequences) -> None:
    """Tell who watches what followed from an outcome."""
    device = str(entity)
    if consequences.suspend:
        suspend = consequences.suspend
        observe(
            "smi-status",
            device=device,
            status="Suspended",
            clause=suspend.clause,
            reason=suspend.reason,
        )
        if suspend.permission is not None:
            observe(
                "permission",
                device=device,
                clause=suspend.permission.clause,
                reason=suspend.permission.reason,
            )
    if consequences.restore:
        restore = consequences.restore
        observe(
            "smi-status",
            device=device,
            status=restore.to.value,
            clause=restore.clause,
            reason=restore.reason,
        )
    for notice in consequences.notices:
        observe(
            "notice",
            device=device,
            to=str(notice.to),
            clause=notice.clause,
            reason=notice.reason,
        )
    for flag in consequences.flags:
        observe("flag", device=device, flag=flag.name, reason=flag.reason)


def _fail_overdue(bench: Bench, facts: Collection[DeviceFacts], to_do: Collection[Duty]) -> None:
    """Let the deadlines that have passed have their consequences, where the rules say so."""
    of_device = {device.entity_id: device for device in facts}
    for duty in to_do:
        followed = fail_overdue(
            bench.ledger,
            rules=bench.rules,
            device=of_device[duty.device],
            duty=duty,
            now=bench.clock(),
        )
        _tell(bench.observe, duty.device, followed)


def _record_context(bench: Bench, run_id: str, devices: Collection[DeviceOnRig]) -> None:
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


def _know(bench: Bench, device: DeviceOnRig) -> None:
    """Tell the ledger what the rig file says anew; its SMI Status only where there is none."""
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


_OUTCOMES: Mapping[RunResult, RunOutcome] = {
    RunResult.DONE: RunOutcome.DONE,
    RunResult.FAILED: RunOutcome.FAILED,
    RunResult.NEEDS_PERSON: RunOutcome.NEEDS_PERSON,
    RunResult.INTERRUPTED: RunOutcome.INTERRUPTED,
}


class _DeviceRun:
    """The duties of one device in one run."""

    def __init__(
        self, bench: Bench, session: SessionContext, device: DeviceOnRig, tally: _Tally
    ) -> None:
        self._bench = bench
        self._run_id = session.run_id
        self._device = device
        self._entity = device.facts.entity_id
        self._tally = tally
        self._cells: dict[TrustAnchorCellIdentifier, Cell] = {}
        self._told_done: set[str] = set()
        self._not_begun: set[str] = set()
        self._conversation = device.conversation(session, self._settle)

    def carry_out(self, duties: list[Duty], *, cancel: bool) -> None:
        """Open the line, make sure of the device, and carry out its duties in order."""
        observe = self._bench.observe
        observe(
            "device-started",
            device=str(self._entity),
            device_type=self._device.facts.device_type.value,
            link=self._device.link.name,
            duties=[duty.requirement for duty in duties],
        )
        self._not_begun = {duty.requirement for duty in duties}
        try:
            self._know_first_certificates()
            self._device.link.open()
            try:
                self._make_sure()
                for duty in duties:
                    if duty.requirement in self._told_done:
                        continue
                    self._bench.go_on()
                    if not self._is_held_back(duty):
                        self._attempt(duty)
                if cancel:
                    self._cancel()
                self._listen()
            finally:
                self._device.link.close()
        except (RigError, LinkError, KeyStoreError) as error:
            self._hold_back_the_rest(error)
            self._needs_person(error)
        except SecurityError as error:
            self._hold_back_the_rest(error)
            self._tally.failed.append(f"{self._entity}: {error}")
            observe("device-refused", device=str(self._entity), reason=printable(str(error)))
        finally:
            observe("device-finished", device=str(self._entity))

    def _is_held_back(self, duty: Duty) -> bool:
        """Look again at what a duty needs, now that the device's cells are read."""
        bench, facts = self._bench, [self._device.facts]
        needs = bench.preflight.needs([duty], facts, bench.clock(), cells_are_read=True)
        lacking = next((need for need in needs if need.holds_back), None)
        if lacking is None:
            return False
        self._not_begun.discard(duty.requirement)
        _not_begun(bench, self._run_id, duty, lacking, self._tally)
        return True

    def _needs_person(self, error: KeyrigError) -> None:
        self._tally.needs_person.append(f"{self._entity}: {error}")
        self._bench.observe("person-needed", device=str(self._entity), reason=printable(str(error)))

    def _hold_back_the_rest(self, error: KeyrigError) -> None:
        """Record why the duties that have not begun are not: the way to the device, or the keys."""
        bench = self._bench
        reason = getattr(error, "reason", "")
        where = getattr(error, "where", "")
        why = NotBegun(
            at=bench.clock(),
            cause=Cause.KEYS if isinstance(error, KeyStoreError) else Cause.LINE,
            reason=printable(
                f"{where}: {reason}" if where and reason else str(error), REASON_SHOWN
            ),
            mend=printable(getattr(error, "mend", "") or "see it mended, and run again"),
        )
        with bench.ledger.transaction():
            for requirement in sorted(self._not_begun):
                bench.ledger.facts.record_not_begun(self._entity, requirement, self._run_id, why)

    def _know_first_certificates(self) -> None:
        """Take the device's certificates from the key store, where the ledger has none yet.

        One that is not there is missed by what needs it; see `keyrig.run.preflight`.
        """
        ledger, now = self._bench.ledger, self._bench.clock()
        for key_usage in KEY_USAGES:
            held = ledger.key_changes.candidates(self._entity, key_usage)
            if any(candidate.certain for candidate in held):
                continue
            try:
                certificate = self._bench.keys.certificate(self._entity, key_usage)
            except KeyMissing:
                continue
            ledger.key_changes.record_in_use(self._entity, key_usage, certificate.der, now)

    def _make_sure(self) -> None:
        """See that the right device answers, before anything irreversible."""
        try:
            self._drive(identify(self._context()), None)
        except NoResponse as error:
            raise DeviceUnavailable(
                f"device {self._entity} on {self._device.link.name}",
                str(error),
                "check that it is powered, and that no other device is on this line",
            ) from error
        except StepFailed as error:
            raise DeviceUnavailable(
                f"device {self._entity} on {self._device.link.name}", str(error)
            ) from error

    def _attempt(self, duty: Duty) -> None:
        bench = self._bench
        self._not_begun.discard(duty.requirement)
        bench.observe(
            "duty-started",
            device=str(self._entity),
            duty=duty.id,
            requirement=duty.requirement,
            clause=duty.clause,
            step=duty.step.value,
            attempt=duty.attempts + 1,
        )
        attempt_id = bench.ledger.runs.start_attempt(
            self._run_id, self._entity, duty.requirement, bench.clock()
        )
        try:
            result = self._drive(SCRIPTS[duty.step](self._context()), attempt_id)
        except (StepFailed, NoResponse, SecurityError) as error:
            self._failed(duty, attempt_id, error)
        except (AuthorityError, KeyStoreError) as error:
            # Other duties may need neither; each is interrupted for itself.
            self._interrupted(duty, attempt_id, error)
            self._needs_person(error)
        except (RigError, LinkError, RunStopped) as error:
            self._interrupted(duty, attempt_id, error)
            raise
        else:
            if result.waits_for_authority:
                self._waiting(duty, attempt_id, result)
            elif result.scheduled_at is None:
                self._finish(duty, attempt_id, Outcome.DONE, result.detail, result)
            else:
                self._scheduled(duty, attempt_id, result, result.scheduled_at)

    def _waiting(self, duty: Duty, attempt_id: int, result: StepResult) -> None:
        """Close an attempt that waits for the certificate authority; the device has not failed."""
        bench = self._bench
        with bench.ledger.transaction():
            bench.ledger.runs.finish_attempt(
                attempt_id,
                Outcome.WAITING,
                bench.clock(),
                detail=result.detail,
                evidence=_evidence(attempt_id, result.evidence),
            )
            bench.ledger.open_duties.refresh(self._entity, bench.clock())
        bench.observe(
            "duty-finished",
            device=str(self._entity),
            duty=duty.id,
            requirement=duty.requirement,
            outcome=Outcome.WAITING.value,
            detail=result.detail,
        )

    def _scheduled(self, duty: Duty, attempt_id: int, result: StepResult, at: datetime) -> None:
        """Close an attempt over what the device holds for later; its alert will begin another."""
        bench = self._bench
        bench.ledger.scheduled.record(attempt_id, result.evidence[-1], at, bench.clock())
        bench.observe(
            "duty-finished",
            device=str(self._entity),
            duty=duty.id,
            requirement=duty.requirement,
            outcome="scheduled",
            detail=result.detail,
        )

    def _cancel(self) -> None:
        """Have the device forget what it holds; what it has carried out meanwhile stands."""
        ledger, observe = self._bench.ledger, self._bench.observe
        for held in ledger.scheduled.waiting(self._entity):
            duty = duty_id(self._entity, held.requirement)
            command = Message.parse(ledger.exchanges.command_of(held.exchange_id))
            decoded = decode_payload(command)
            assert decoded is not None
            try:
                self._drive(
                    cancel_replacement(self._context(), decoded.value, held.originator), None
                )
            except (StepFailed, NoResponse, SecurityError) as error:
                reason = printable(str(error))
                self._tally.failed.append(f"{duty}: not cancelled: {reason}")
                observe("cancellation", device=str(self._entity), duty=duty, detail=reason)
                continue
            was_waiting = ledger.scheduled.settle(
                held.exchange_id, ScheduledState.CANCELLED, self._bench.clock()
            )
            detail = "cancelled; due again" if was_waiting else "carried out before it could be"
            observe("cancellation", device=str(self._entity), duty=duty, detail=detail)

    def _listen(self) -> None:
        """Take what has come unasked; wait where an alert should come, unless asked to stop."""
        while self._conversation.receive_alerts(self._alert_within_s()):
            pass

    def _alert_within_s(self) -> float:
        is_awaited = _expects_alert(self._bench, self._entity)
        return self._device.timeout_s if is_awaited and self._bench.should_stop() is None else 0

    def _settle(
        self, recipient: EntityIdentifier, alert: UpdateCredentialsAlert, alert_id: int
    ) -> None:
        """Count what a device says of a replacement that it held, in the alert's transaction."""
        bench, outcome = self._bench, alert.execution_outcome
        counter = outcome.authorising_remote_party_seq_number
        found = bench.ledger.scheduled.requirement_of(self._entity, recipient, counter)
        if found is None:
            return
        requirement, exchange_id = found
        failed = [
            f"{each.affected_trust_anchor_cell}: {each.status_code.name.lower()}"
            for each in outcome.replacement_outcomes
            if each.status_code is not StatusCode.SUCCESS
        ]
        is_done = not failed and bool(outcome.replacement_outcomes)
        state = ScheduledState.DONE if is_done else ScheduledState.FAILED
        was_waiting = bench.ledger.scheduled.settle(
            exchange_id, state, bench.clock(), alert_id=alert_id
        )
        known = any(each.id == requirement for each in bench.rules.requirement)
        if not known or (not was_waiting and self._is_settled(requirement, exchange_id)):
            return
        now = bench.clock()
        attempt_id = bench.ledger.runs.start_attempt(self._run_id, self._entity, requirement, now)
        at = f"{alert.execution_date_time:%Y-%m-%dT%H:%M:%SZ}"
        detail = f"carried out by the device at {at}" if is_done else f"not replaced at {at}: "
        detail += "; ".join(failed)
        consequences = finish_duty(
            bench.ledger,
            attempt_id=attempt_id,
            outcome=Outcome.DONE if is_done else Outcome.FAILED,
            detail=detail,
            evidence=f"attempt {attempt_id}: exchange {exchange_id}, alert {alert_id}",
            rules=bench.rules,
            device=self._device.facts,
            now=now,
        )
        if is_done:
            self._told_done.add(requirement)
        else:
            self._tally.failed.append(f"{self._entity}/{requirement}: {detail}")
        bench.observe(
            "duty-finished",
            device=str(self._entity),
            duty=duty_id(self._entity, requirement),
            requirement=requirement,
            outcome="done" if is_done else "failed",
            detail=detail,
        )
        _tell(bench.observe, self._entity, consequences)

    def _is_settled(self, requirement: str, exchange_id: int) -> bool:
        """Say whether an earlier alert told of the same replacement already."""
        evidence = f"exchange {exchange_id}, alert "
        return any(
            attempt.requirement == requirement and evidence in attempt.evidence
            for attempt in self._bench.ledger.runs.attempts_on(self._entity)
        )

    def _failed(self, duty: Duty, attempt_id: int, error: KeyrigError) -> None:
        reason = printable(str(error))
        self._tally.failed.append(f"{duty.id}: {reason}")
        self._finish(duty, attempt_id, Outcome.FAILED, reason, None)

    def _interrupted(self, duty: Duty, attempt_id: int, error: KeyrigError) -> None:
        """Close an attempt that the rig or a stop cut short; the device has not failed."""
        bench, reason = self._bench, printable(str(error))
        bench.ledger.runs.finish_attempt(
            attempt_id, Outcome.INTERRUPTED, bench.clock(), detail=reason
        )
        bench.observe(
            "duty-finished",
            device=str(self._entity),
            duty=duty.id,
            requirement=duty.requirement,
            outcome=Outcome.INTERRUPTED.value,
            detail=reason,
        )

    def _finish(
        self,
        duty: Duty,
        attempt_id: int,
        outcome: Outcome,
        detail: str,
        result: StepResult | None,
    ) -> None:
        bench = self._bench
        exchanges = result.evidence if result else ()
        consequences = finish_duty(
            bench.ledger,
            attempt_id=attempt_id,
            outcome=outcome,
            detail=detail,
            evidence=_evidence(attempt_id, exchanges),
            rules=bench.rules,
            device=self._device.facts,
            now=bench.clock(),
        )
        bench.observe(
            "duty-finished",
            device=str(self._entity),
            duty=duty.id,
            requirement=duty.requirement,
            outcome=outcome.value,
            detail=detail,
        )
        _tell(bench.observe, self._entity, consequences)

    def _context(self) -> StepContext:
        changes, facts = self._bench.ledger.key_changes, self._device.facts
        opened = {usage: changes.open(self._entity, usage) for usage in KEY_USAGES}
        return StepContext(
            facts=facts,
            parties=self._bench.parties,
            certificates=self._bench.keys,
            open_key_changes={
                usage: change for usage, change in opened.items() if change is not None
            },
            confirmed_key_usages=changes.confirmed_usages(self._entity, facts.commissioned_from),
            known_cells=self._cells,
            device_public_keys=frozenset(
                public_octets(GBCSCertificate.from_der(known.certificate).public_key)
                for usage in KEY_USAGES
                for known in changes.certificates(self._entity, usage)
            ),
            execute_at=self._bench.execute_at,
        )

    def _drive(self, script: Script, attempt_id: int | None) -> StepResult:
        """Give a step what it asks for until it returns.

        Errors that a step may deal with are thrown into it; the rest end it.
        """
        try:
            effect = next(script)
            while True:
                try:
                    answer = self._answer(effect, attempt_id)
                except NoResponse as error:
                    effect = script.throw(error)
                else:
                    effect = script.send(answer)
        except StopIteration as stop:
            result: StepResult = stop.value
            return result
        finally:
            script.close()

    def _answer(self, effect: Effect, attempt_id: int | None) -> Any:
        ledger, now = self._bench.ledger, self._bench.clock()
        match effect:
            case Ask():
                return self._conversation.exchange(effect, attempt_id)
            case ReserveCounter(originator):
                return ledger.counters.reserve(originator, now)
            case Certify(change):
                return self._certify(change)
            case RequestKeyChange(key_usage):
                return ledger.key_changes.request(self._entity, key_usage, self._run_id, now)
            case AdvanceKeyChange():
                return self._advance(effect)
            case RecordCells(cells):
                self._cells.update({cell_identifier(cell): cell for cell in cells})
                ledger.facts.record_cells(self._entity, cells, self._run_id, now)
                return None

    def _certify(self, change: KeyChange) -> KeyChange:
        bench = self._bench
        bench.observe(
            "certifying",
            device=str(self._entity),
            key_usage=change.key_usage.gbcs_name,
            authority=bench.authority.name,
        )
        change = submit(bench.ledger, change, bench.authority, bench.issued, bench.clock)
        if change.state is KeyChangeState.WAITING_FOR_AUTHORITY:
            _tell_request(bench, change, self._tally)
        return change

    def _advance(self, effect: AdvanceKeyChange) -> KeyChange:
        changes, change, now = self._bench.ledger.key_changes, effect.change, self._bench.clock()
        match effect.to:
            case KeyChangeState.CSR_RECEIVED:
                return changes.csr_received(change.id, effect.csr, now)
            case KeyChangeState.STORING:
                return changes.storing(change.id, now)
            case KeyChangeState.STORED:
                return changes.stored(change.id, now)
            case KeyChangeState.CONFIRMED:
                return changes.confirmed(change.id, now)
            case KeyChangeState.CERTIFICATE_ISSUED:
                return changes.refused_by_device(change.id, now, detail=effect.detail)
            case KeyChangeState.ABANDONED:
                return changes.abandoned(change.id, now, detail=effect.detail)
            case _:
                raise ValueError(f"no step moves a key change to {effect.to.value}")


def _evidence(attempt_id: int, exchanges: tuple[int, ...]) -> str:
    """Refer to what shows an outcome: the exchanges of the attempt, in the ledger."""
    return f"attempt {attempt_id}, exchanges {', '.join(map(str, exchanges)) or 'none'}"
