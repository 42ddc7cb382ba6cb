"""What an evidence file proves, from its messages and not from what it says of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gbcs.certificates import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.entity import EntityIdentifier
from gbcs.errors import CertificateRejected, DecodeError
from gbcs.keys import public_octets
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import StatusCode
from gbcs.use_cases import MessageCode
from keyrig.duties.facts import Outcome
from keyrig.duties.known_facts import FactName, fold
from keyrig.duties.plan import DutyState, plan
from keyrig.duties.rules import StepKind
from keyrig.report.evidence_key import fingerprint
from keyrig.report.evidence_messages import Finding, Messages, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from keyrig.duties.facts import DeviceFacts
    from keyrig.report.evidence_file import EvidenceFile, FiledAttempt, FiledDuty

_KEY_USAGES: Final = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)


class Proof(enum.Enum):
    """How far a file proves a duty that it says is done."""

    SIGNED = "proved"
    """By signatures of the device, which anybody can check."""
    MACED = "rests-on-a-mac"
    """By a response under a MAC, which only its parties' private keys can check."""
    ELSEWHERE = "done-in-another-run"
    """By an attempt whose messages are not in this file."""
    NONE = "not-proved"


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyVerdict:
    """One duty: where it stands, and for one that is done how far the file proves it."""

    device: EntityIdentifier
    requirement: str
    clause: str
    state: str
    overdue: bool
    proof: Proof | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a file proves.

    Args:
        file: What it says.
        duties: Its duties.
        findings: What in it does not hold.
        roots: The fingerprints of the roots that its certificates lead to.
        messages: How many exchanges were checked, and of how many the response holds.
    """

    file: EvidenceFile
    duties: tuple[DutyVerdict, ...]
    findings: tuple[Finding, ...]
    roots: tuple[str, ...]
    messages: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether nothing in the file contradicts it, and every duty done is borne out."""
        return not self.findings and all(d.proof is not Proof.NONE for d in self.duties)


class _Lacking(Exception):  # noqa: N818 - what is missing for a proof, told by its text
    """Something that a proof needs is not there."""


def check(file: EvidenceFile, roots: Collection[str] | None = None) -> Verdict:
    """Verify every signature, replay the planner, and say what the file proves.

    Args:
        file: What the file says.
        roots: The fingerprints of the roots to trust; None trusts those in the file.
    """
    messages = Messages(file, roots)
    seen = messages.see(file.exchanges)
    alerts = [(alert.device, messages.alert_payload(alert)) for alert in file.alerts]
    facts = _replay(file, messages.findings)
    judge = _Judge(file, messages, seen, alerts, facts)
    duties = tuple(judge.verdict(duty) for duty in file.duties)
    findings = [*messages.findings, *_unproved(file, duties)]
    return Verdict(
        file=file,
        duties=duties,
        findings=tuple(sorted(findings, key=lambda finding: finding.line)),
        roots=tuple(sorted({fingerprint(root.der) for root in messages.roots})),
        messages=(len(file.exchanges), len(seen)),
    )


def _unproved(file: EvidenceFile, duties: tuple[DutyVerdict, ...]) -> list[Finding]:
    return [
        Finding(
            line=filed.line,
            reason=f"{filed.requirement} of {filed.device} is called done, but {duty.reason}",
        )
        for filed, duty in zip(file.duties, duties, strict=True)
        if duty.proof is Proof.NONE
    ]


def _replay(file: EvidenceFile, findings: list[Finding]) -> Mapping[EntityIdentifier, DeviceFacts]:
    """Plan the duties anew from the file's facts, rules and attempts; compare what it says."""
    assert file.rules is not None
    facts: dict[EntityIdentifier, DeviceFacts] = {}
    for device, known in file.known.items():
        if any(f.name is FactName.DEVICE_TYPE and f.value is not None for f in known):
            facts[device] = fold(device, known, file.ended_at).facts
    made = plan(file.rules, facts.values(), file.ledger_facts(), file.ended_at, file.carried_out)
    planned = {(d.device, d.requirement): d for d in made.duties}
    for filed in file.duties:
        duty = planned.pop((filed.device, filed.requirement), None)
        said = (filed.state, filed.deadline, filed.overdue, filed.clause)
        if duty is None:
            reason = f"{filed.requirement} of {filed.device} follows from no rule and fact"
            findings.append(Finding(line=filed.line, reason=reason))
        elif (duty.state.value, duty.deadline, duty.overdue, duty.clause) != said:
            reason = (
                f"{filed.requirement} of {filed.device} is called {filed.state}, where the facts, "
                f"rules and attempts in the file give {duty.state.value}: {duty.reason}"
            )
            findings.append(Finding(line=filed.line, reason=reason))
    findings += [
        Finding(line=file.lines, reason=f"{duty.requirement} of {duty.device} is left out")
        for duty in planned.values()
    ]
    return facts


class _Judge:
    """Says of each duty whether the messages that belong to it bear it out."""

    def __init__(
        self,
        file: EvidenceFile,
        messages: Messages,
        seen: list[Seen],
        alerts: list[tuple[EntityIdentifier, Any]],
        facts: Mapping[EntityIdentifier, DeviceFacts],
    ) -> None:
        self._file = file
        self._messages = messages
        self._facts = facts
        self._alerts = alerts
        self._of_attempt: dict[int, list[Seen]] = {}
        for each in seen:
            if each.exchange.attempt is not None:
                self._of_attempt.setdefault(each.exchange.attempt, []).append(each)

    def verdict(self, duty: FiledDuty) -> DutyVerdict:
        proof, reason = self._proof(duty)
        return DutyVerdict(
            device=duty.device,
            requirement=duty.requirement,
            clause=duty.clause,
            state=duty.state,
            overdue=duty.overdue,
            proof=proof,
            reason=reason,
        )

    def _proof(self, duty: FiledDuty) -> tuple[Proof | None, str]:
        if duty.state != DutyState.DONE.value:
            return None, ""
        attempts = [
            attempt
            for attempt in self._file.attempts
            if (attempt.device, attempt.requirement) == (duty.device, duty.requirement)
        ]
        done = [attempt for attempt in attempts if attempt.fact.outcome is Outcome.DONE]
        if not done:
            return Proof.NONE, "no attempt at it is"
        of_run = [attempt for attempt in done if attempt.run == self._file.header["run"]]
        if not of_run:
            return Proof.ELSEWHERE, f"done in run {done[0].run}; its evidence proves it"
        return self._by_messages(duty, of_run[0], attempts)

    def _by_messages(
        self, duty: FiledDuty, done: FiledAttempt, attempts: list[FiledAttempt]
    ) -> tuple[Proof, str]:
        assert self._file.rules is not None
        seen = [
            each
            for attempt in attempts
            if attempt.id <= done.id
            for each in self._of_attempt.get(attempt.id, ())
            if each.exchange.device == duty.device
        ]
        step = self._file.rules.requirement_by_id(duty.requirement).step
        prove: Callable[[FiledDuty, list[Seen]], tuple[Proof, str]] = {
            StepKind.REGENERATE_KEYS: self._keys,
            StepKind.REPLACE_ORGANISATION_CERTIFICATE: self._replacement,
            StepKind.CONFIRM_RECOVERY_CERTIFICATE: self._recovery,
            StepKind.ENSURE_SUPPLIER_CREDENTIALS: self._supplier,
            StepKind.ENSURE_NETWORK_CREDENTIALS: self._network,
        }[step]
        try:
            return prove(duty, seen)
        except _Lacking as lacking:
            return Proof.NONE, str(lacking)

    def _keys(self, duty: FiledDuty, seen: list[Seen]) -> tuple[Proof, str]:
        for usage in _KEY_USAGES:
            self._key(duty, usage, seen)
        return Proof.SIGNED, (
            "the device signed the requests for both keys, and gives back both certificates"
        )

    def _key(self, duty: FiledDuty, usage: KeyUsage, seen: list[Seen]) -> None:
        """See that the device asked for a certificate of a new key, and that it holds it."""
        name = usage.gbcs_name
        given = [
            each.response
            for each in seen
            if each.message_code == MessageCode.PROVIDE_DEVICE_CERTIFICATE
            and each.command.key_usage is usage
            and isinstance(each.response, bytes)
        ]
        if not given:
            raise _Lacking(f"the device gives no {name} certificate back")
        try:
            certificate = GBCSCertificate.from_der(given[-1])
            key = public_octets(certificate.public_key)
        except CertificateRejected as error:
            raise _Lacking(f"the {name} certificate that the device gives is none: {error}") from (
                None
            )
        if certificate.entity_id != duty.device or certificate.key_usage is not usage:
            raise _Lacking(f"the {name} certificate that the device gives is of another use")
        if not self._messages.is_trusted(certificate):
            raise _Lacking(f"the {name} certificate that the device gives leads to no root")
        if not any(
            _requested_key(each.response, duty.device, usage) == key
            for each in seen
            if each.message_code == MessageCode.ISSUE_CREDENTIALS
            and each.command.key_usage is usage
        ):
            raise _Lacking(f"no request of the device is for the {name} key that it gives back")

    def _replacement(self, duty: FiledDuty, seen: list[Seen]) -> tuple[Proof, str]:
        said = [each.response for each in seen]
        said += [payload for device, payload in self._alerts if device == duty.device]
        for each in reversed(said):
            outcome = getattr(each, "execution_outcome", None)
            if outcome is None or not outcome.replacement_outcomes:
                continue
            if all(o.status_code is StatusCode.SUCCESS for o in outcome.replacement_outcomes):
                cells = ", ".join(
                    str(o.affected_trust_anchor_cell) for o in outcome.replacement_outcomes
                )
                return Proof.SIGNED, f"the device signed that it replaced {cells}"
        raise _Lacking("nothing that the device signed says that it replaced a certificate")

    def _recovery(self, _duty: FiledDuty, seen: list[Seen]) -> tuple[Proof, str]:
        expected = next(
            (
                certificate
                for certificate in self._file.certificates
                if fingerprint(certificate.der) == self._file.recovery_certificate
            ),
            None,
        )
        if expected is None:
            raise _Lacking("the Recovery Certificate is not in the file")
        cells = self._cells(seen, RemotePartyRole.RECOVERY)
        held = {
            (EntityIdentifier(c.existing_subject_unique_id), c.existing_subject_key_identifier)
            for c in cells
            if c.trust_anchor_cell_key_usage is KeyUsage.DIGITAL_SIGNATURE
        }
        if held != {(expected.entity_id, expected.subject_key_identifier)}:
            raise _Lacking("the Recovery cell holds another certificate")
        return Proof.MACED, "the device gives the Recovery Certificate's key in its Recovery cell"

    def _supplier(self, duty: FiledDuty, seen: list[Seen]) -> tuple[Proof, str]:
        facts = self._facts.get(duty.device)
        return self._party(RemotePartyRole.SUPPLIER, facts.lead_supplier if facts else None, seen)

    def _network(self, duty: FiledDuty, seen: list[Seen]) -> tuple[Proof, str]:
        facts = self._facts.get(duty.device)
        party = facts.network_operator if facts else None
        return self._party(RemotePartyRole.NETWORK_OPERATOR, party, seen)

    def _party(
        self, role: RemotePartyRole, party: EntityIdentifier | None, seen: list[Seen]
    ) -> tuple[Proof, str]:
        cells = self._cells(seen, role)
        held = {EntityIdentifier(cell.existing_subject_unique_id) for cell in cells}
        if held != {party}:
            raise _Lacking(f"the {role.gbcs_name} cells hold another party")
        return Proof.MACED, f"the device gives {party} in its {len(cells)} {role.gbcs_name} cells"

    def _cells(self, seen: list[Seen], role: RemotePartyRole) -> tuple[Any, ...]:
        """Give what the device last said of the cells of a role."""
        for each in reversed(seen):
            if each.message_code != MessageCode.PROVIDE_CREDENTIALS:
                continue
            for details in each.response:
                if details.remote_party_role is role and details.trust_anchor_cell_details:
                    return tuple(details.trust_anchor_cell_details)
        raise _Lacking(f"no response of the device tells of its {role.gbcs_name} cells")


def _requested_key(response: Any, device: EntityIdentifier, usage: KeyUsage) -> bytes | None:
    """Give the public key that a certification request asks to certify, if it is one."""
    if not isinstance(response, bytes):
        return None
    try:
        request = CertificationRequest.from_der(response)
        request.verify(entity=device, key_usage=usage)
    except (CertificateRejected, DecodeError):
        return None
    return public_octets(request.public_key)
