"""A run's visit to one device: its duties in order, and what it says unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.key_holders import public_octets
from gbcs.printable import printable
from gbcs.protocol_errors import KeyrigError, SecurityError
from keyrig.base import events
from keyrig.base.error_kinds import mend_of
from keyrig.base.errors import (
    AuthorityError,
    DeviceUnavailable,
    KeyMissing,
    KeyStoreError,
    LinkError,
    RigError,
    RunStopped,
)
from keyrig.domain.device_facts import NotBegun, Outcome, cause_of
from keyrig.domain.key_changes import KeyChangeState
from keyrig.run.bench import REASON_SHOWN, Bench, DeviceOnRig, Tally
from keyrig.run.bookkeeping import conclude, tell_outcome, tell_request
from keyrig.run.certification_requests import submit
from keyrig.run.held_back import record_and_tell_not_begun
from keyrig.run.scheduled_outcomes import ScheduledOutcomes, expects_alert
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
from keyrig.session.steps.step_context import StepContext

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from keyrig.domain.key_changes import KeyChange
    from keyrig.domain.trust_anchor import Cell
    from keyrig.duties.plan import Duty
    from keyrig.session.session_context import SessionContext
    from keyrig.session.steps.effects import Effect, Script


class DeviceVisit:
    """The duties of one device in one run."""

    def __init__(
        self, bench: Bench, session: SessionContext, device: DeviceOnRig, tally: Tally
    ) -> None:
        self._bench = bench
        self._run_id = session.run_id
        self._device = device
        self._entity = device.facts.entity_id
        self._tally = tally
        self._cells: dict[TrustAnchorCellIdentifier, Cell] = {}
        self._scheduled = ScheduledOutcomes(bench, session.run_id, device.facts, tally)
        self._not_begun: set[str] = set()
        self._conversation = device.conversation(session, self._scheduled.settle)

    def carry_out(self, duties: list[Duty], *, cancel: bool) -> None:
        """Open the line, make sure of the device, and carry out its duties in order."""
        observe = self._bench.observe
        observe(
            events.DeviceStarted(
                device=str(self._entity),
                device_type=self._device.facts.device_type.value,
                link=self._device.link.name,
                duties=tuple(duty.requirement for duty in duties),
            )
        )
        self._not_begun = {duty.requirement for duty in duties}
        try:
            self._know_first_certificates()
            self._device.link.open()
            try:
                self._make_sure()
                for duty in duties:
                    if duty.requirement in self._scheduled.told_done:
                        continue
                    self._bench.go_on()
                    if not self._is_held_back(duty):
                        self._attempt(duty)
                if cancel:
                    self._scheduled.take_back(self._forget)
                self._listen()
            finally:
                self._device.link.close()
        except (RigError, LinkError, KeyStoreError) as error:
            self._hold_back_the_rest(error)
            self._needs_person(error)
        except SecurityError as error:
            self._hold_back_the_rest(error)
            self._tally.failed.append(f"{self._entity}: {error}")
            observe(events.DeviceRefused(device=str(self._entity), reason=str(error)))
        finally:
            observe(events.DeviceFinished(device=str(self._entity)))

    def _is_held_back(self, duty: Duty) -> bool:
        """Look again at what a duty needs, now that the device's cells are read."""
        bench, facts = self._bench, [self._device.facts]
        needs = bench.preflight.needs([duty], facts, bench.clock(), cells_are_read=True)
        lacking = next((need for need in needs if need.holds_back), None)
        if lacking is None:
            return False
        self._not_begun.discard(duty.requirement)
        record_and_tell_not_begun(bench, self._run_id, duty, lacking, self._tally)
        return True

    def _needs_person(self, error: KeyrigError) -> None:
        self._tally.needs_person.append(f"{self._entity}: {error}")
        self._bench.observe(events.PersonNeeded(device=str(self._entity), reason=str(error)))

    def _hold_back_the_rest(self, error: KeyrigError) -> None:
        """Record why the duties that have not begun are not: the way to the device, or the keys."""
        bench = self._bench
        why = NotBegun(
            at=bench.clock(),
            cause=cause_of(error),
            reason=printable(error.finding, REASON_SHOWN),
            mend=mend_of(error),
        )
        with bench.ledger.transaction():
            for requirement in sorted(self._not_begun):
                bench.ledger.facts.record_not_begun(self._entity, requirement, self._run_id, why)

    def _know_first_certificates(self) -> None:
        """Record the device's certificates of the key store, where the ledger has none yet.

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
        """Check that the right device answers, before anything irreversible."""
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
            events.DutyStarted(
                device=str(self._entity),
                duty=duty.id,
                requirement=duty.requirement,
                clause=duty.clause,
                step=duty.step.value,
                attempt=duty.attempts + 1,
            )
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
                self._finish(duty, attempt_id, Outcome.DONE, result.detail, result.evidence)
            else:
                self._scheduled.hold(duty.requirement, attempt_id, result, result.scheduled_at)

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
        tell_outcome(bench, self._entity, duty.requirement, "waiting", result.detail)

    def _forget(self, payload: Any, originator: EntityIdentifier) -> None:
        self._drive(cancel_replacement(self._context(), payload, originator), None)

    def _listen(self) -> None:
        """Receive what came unasked; wait where an alert should come, unless asked to stop."""
        while self._conversation.receive_alerts(self._alert_within_s()):
            pass

    def _alert_within_s(self) -> float:
        is_awaited = expects_alert(self._bench, self._entity)
        return self._device.timeout_s if is_awaited and self._bench.should_stop() is None else 0

    def _failed(self, duty: Duty, attempt_id: int, error: KeyrigError) -> None:
        reason = str(error)
        self._tally.failed.append(f"{duty.id}: {reason}")
        self._finish(duty, attempt_id, Outcome.FAILED, reason)

    def _interrupted(self, duty: Duty, attempt_id: int, error: KeyrigError) -> None:
        """Close an attempt that the rig or a stop cut short; the device has not failed."""
        bench, reason = self._bench, str(error)
        bench.ledger.runs.finish_attempt(
            attempt_id, Outcome.INTERRUPTED, bench.clock(), detail=reason
        )
        tell_outcome(bench, self._entity, duty.requirement, "interrupted", reason)

    def _finish(
        self,
        duty: Duty,
        attempt_id: int,
        outcome: Outcome,
        detail: str,
        exchanges: tuple[int, ...] = (),
    ) -> None:
        conclude(
            self._bench,
            self._device.facts,
            duty.requirement,
            outcome,
            detail,
            attempt_id=attempt_id,
            evidence=_evidence(attempt_id, exchanges),
            exchanges=exchanges,
            now=self._bench.clock(),
        )

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
        """Answer each effect of a step until it returns.

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
            events.Certifying(
                device=str(self._entity),
                key_usage=change.key_usage.gbcs_name,
                authority=bench.authority.name,
            )
        )
        change = submit(bench.ledger, change, bench.authority, bench.issued, bench.clock)
        if change.state is KeyChangeState.WAITING_FOR_AUTHORITY:
            tell_request(bench, change, self._tally)
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
