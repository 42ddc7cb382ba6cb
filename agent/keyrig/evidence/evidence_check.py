"""The verdict on an evidence file, from its messages and not from its statements about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.printable import printable
from keyrig.base.clock import instant_text
from keyrig.domain.device_facts import Outcome
from keyrig.domain.known_facts import fold
from keyrig.duties.plan import DutyState, plan, since_commissioning
from keyrig.duties.rules import built_in_rules
from keyrig.evidence.evidence_key import fingerprint
from keyrig.evidence.evidence_messages import Finding, Messages
from keyrig.evidence.evidence_proofs import Case, Lacking, Proof, Prover

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.documents.evidence_document import AttemptBody, DutyBody
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.duties.plan import Duty
    from keyrig.evidence.evidence_file import EvidenceFile
    from keyrig.evidence.evidence_messages import Seen, SeenAlert

__all__ = ["DutyVerdict", "Finding", "Proof", "Verdict", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyVerdict:
    """A duty: its state, and for one that is done how far the file proves it."""

    line: int
    device: EntityIdentifier
    requirement: str
    clause: str
    state: str
    overdue: bool
    proof: Proof | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of checking a file.

    Args:
        file: The file.
        duties: The verdict on each of its duties.
        findings: Its faults, in the order of lines.
        roots: The fingerprints of the roots that its certificates lead to.
        exchanges_that_hold: How many exchanges hold as far as public keys tell.
        responses: Of how many of these the verified response is there.
        responses_maced: Of how many of these the response is under a MAC alone.
        rules_built_in: Whether its rules are those that this keyrig comes with.
    """

    file: EvidenceFile
    duties: tuple[DutyVerdict, ...]
    findings: tuple[Finding, ...]
    roots: tuple[str, ...]
    exchanges_that_hold: int
    responses: int
    responses_maced: int
    rules_built_in: bool

    @property
    def holds(self) -> bool:
        """True if no fault was found: every duty that is called done is proved as far as can be."""
        return not self.findings

    def count(self, proof: Proof) -> int:
        """Return the number of duties that are proved to exactly this degree."""
        return sum(duty.proof is proof for duty in self.duties)


def check(file: EvidenceFile, roots: Collection[str] | None = None) -> Verdict:
    """Verify every signature, plan the duties anew, and return what the file proves.

    Args:
        file: The file, whose chain and seal hold.
        roots: The fingerprints of the roots to trust; None trusts those in the file.
    """
    assert file.rules is not None
    messages = Messages(file, roots)
    seen = messages.see(file.exchanges)
    alerts = messages.see_alerts(file.alerts)
    facts, planned, unplanned = _planned(file)
    judge = _Judge(file, messages, seen, alerts, facts)
    duties = tuple(judge.verdict(duty) for duty in file.duties)
    findings = [
        *messages.findings,
        *unplanned,
        *_repeated(file),
        *_replayed(file, planned),
        *_unproved(duties),
    ]
    answered = [each for each in seen if each.response is not None]
    return Verdict(
        file=file,
        duties=duties,
        findings=tuple(sorted(findings, key=lambda finding: finding.line)),
        roots=tuple(sorted({fingerprint(root.der) for root in messages.roots})),
        exchanges_that_hold=len(seen),
        responses=len(answered),
        responses_maced=sum(each.is_maced for each in answered),
        rules_built_in=file.rules.digest == built_in_rules().digest,
    )


def _planned(
    file: EvidenceFile,
) -> tuple[dict[EntityIdentifier, DeviceFacts], list[Duty], list[Finding]]:
    """Plan the duties anew from the file's facts, rules and attempts, as the run ended.

    Returns:
        What is known of each device, the duties, and the devices that cannot be planned.
    """
    assert file.rules is not None
    facts: dict[EntityIdentifier, DeviceFacts] = {}
    duties: list[Duty] = []
    findings = []
    tried, ended_at = file.ledger_facts(), file.header.finished_at
    carried_out = frozenset(file.header.parties.carried_out)
    for device, known in file.known.items():
        try:
            folded = fold(device, known, ended_at).facts
            made = plan(file.rules, [folded], tried, ended_at, carried_out)
        except (OverflowError, ValueError) as error:
            reason = f"device {device} cannot be planned: {printable(str(error))}"
            findings.append(Finding(line=file.first_lines[device], reason=reason))
        else:
            facts[device] = folded
            duties += made.duties
    return facts, duties, findings


def _repeated(file: EvidenceFile) -> Iterator[Finding]:
    """Yield a finding for each id that is used twice, and each duty that is listed twice."""
    told: dict[object, int] = {}
    names: list[tuple[int, str]] = [(a.line, f"attempt {a.id}") for a in file.attempts]
    names += [(e.line, f"exchange {e.id}") for e in file.exchanges]
    names += [(d.line, f"{d.requirement} of {d.device}") for d in file.duties]
    for line, name in names:
        first = told.setdefault(name, line)
        if first != line:
            yield Finding(line=line, reason=f"{name} stands at line {first} already")


def _replayed(file: EvidenceFile, duties: list[Duty]) -> Iterator[Finding]:
    """Yield a finding for each difference between the file's duties and those planned anew."""
    planned = {(duty.device, duty.requirement): duty for duty in duties}
    for filed in file.duties:
        name = f"{filed.requirement} of {filed.device}"
        duty = planned.pop((filed.device, filed.requirement), None)
        if duty is None:
            yield Finding(line=filed.line, reason=f"{name} follows from no rule and fact")
        elif duty.state.value != filed.state:
            reason = (
                f"{name} is called {filed.state}, where the facts, rules and attempts in the file "
                f"give {duty.state.value}: {duty.reason}"
            )
            yield Finding(line=filed.line, reason=reason)
        elif (_written(duty.deadline), duty.overdue, duty.clause) != (
            _written(filed.deadline),
            filed.overdue,
            filed.clause,
        ):
            until = "none" if duty.deadline is None else instant_text(duty.deadline)
            reason = (
                f"{name} has another clause or deadline, where the facts and rules in the file "
                f"give {duty.clause} and {until}{', overdue' if duty.overdue else ''}"
            )
            yield Finding(line=filed.line, reason=reason)
    for duty in planned.values():
        reason = f"{duty.requirement} of {duty.device} is owed, and left out"
        yield Finding(line=file.lines, reason=reason)


def _written(deadline: datetime | None) -> datetime | None:
    """Return a deadline cut to the millisecond, as in files; the end of a day has microseconds."""
    if deadline is None:
        return None
    return deadline.replace(microsecond=deadline.microsecond // 1000 * 1000)


def _unproved(duties: tuple[DutyVerdict, ...]) -> Iterator[Finding]:
    for duty in duties:
        if duty.proof is Proof.NONE:
            reason = f"{duty.requirement} of {duty.device} is called done, but {duty.reason}"
            yield Finding(line=duty.line, reason=reason)


class _Judge:
    """Judges each duty by the messages of the attempts at it."""

    def __init__(
        self,
        file: EvidenceFile,
        messages: Messages,
        seen: list[Seen],
        alerts: list[SeenAlert],
        facts: Mapping[EntityIdentifier, DeviceFacts],
    ) -> None:
        self._file = file
        self._prover = Prover(file, messages)
        self._seen = seen
        self._alerts = alerts
        self._facts = facts
        self._named = Counter(attempt.id for attempt in file.attempts)

    def verdict(self, duty: DutyBody) -> DutyVerdict:
        proof, reason = self._proof(duty)
        return DutyVerdict(
            line=duty.line,
            device=duty.device,
            requirement=duty.requirement,
            clause=duty.clause,
            state=duty.state,
            overdue=duty.overdue,
            proof=proof,
            reason=reason,
        )

    def _proof(self, duty: DutyBody) -> tuple[Proof | None, str]:
        if duty.state != DutyState.DONE.value:
            return None, ""
        facts = self._facts.get(duty.device)
        if facts is None:
            return Proof.NONE, "what is said of the device gives no plan"
        attempts = self._attempts(duty, facts)
        done = [attempt for attempt in attempts if attempt.fact.outcome is Outcome.DONE]
        if not done:
            return Proof.NONE, "no attempt at it since Commissioning did it"
        of_run = [attempt for attempt in done if attempt.run == self._file.header.run]
        if not of_run:
            return Proof.ELSEWHERE, f"run {done[0].run} did it, whose evidence is to prove it"
        try:
            return self._by_messages(duty, of_run[0], attempts, facts)
        except Lacking as lacking:
            return Proof.NONE, str(lacking)

    def _attempts(self, duty: DutyBody, facts: DeviceFacts) -> list[AttemptBody]:
        """Return the attempts at a duty that count: those since the Commissioning."""
        attempts = [
            attempt
            for attempt in self._file.attempts
            if (attempt.device, attempt.requirement) == (duty.device, duty.requirement)
            and self._named[attempt.id] == 1
        ]
        counted = since_commissioning(facts, tuple(attempt.fact for attempt in attempts))
        return [attempt for attempt in attempts if attempt.fact in counted]

    def _by_messages(
        self,
        duty: DutyBody,
        done: AttemptBody,
        attempts: list[AttemptBody],
        facts: DeviceFacts,
    ) -> tuple[Proof, str]:
        assert self._file.rules is not None
        ids = {attempt.id for attempt in attempts if attempt.id <= done.id}
        seen = [
            each
            for each in self._seen
            if each.exchange.attempt in ids and each.exchange.device == duty.device
        ]
        alerts = [each for each in self._alerts if each.alert.device == duty.device]
        for requirement in self._file.rules.requirement:
            if requirement.id == duty.requirement:
                case = Case(facts=facts, seen=seen, alerts=alerts)
                return self._prover.prove(requirement.step, case)
        raise Lacking("no rule has such a duty")
