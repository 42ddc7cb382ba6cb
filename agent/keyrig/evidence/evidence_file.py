"""An evidence file as values, once its chain and its seal hold."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature

from gbcs.certificates import GBCSCertificate
from gbcs.entity import EntityIdentifier
from gbcs.errors import KeyrigError
from keyrig.base.errors import EvidenceBroken
from keyrig.domain.device_facts import AttemptFact, LedgerFacts, Outcome
from keyrig.domain.known_facts import FactName, KnownFact, read_value
from keyrig.domain.states import ExchangeOutcome, ServiceDocumentKind
from keyrig.duties.rules import Actor, Rules, rules_from_canonical
from keyrig.evidence.evidence_key import fingerprint, read_public_key, verify_seal
from keyrig.evidence.evidence_lines import SCHEMA, Line, read_lines, sealed_octets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_LEAVING_REQUESTS: Final = frozenset({Outcome.WAITING, Outcome.INTERRUPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledAttempt:
    """An attempt at a duty, as the file has it; `line` is where it stands."""

    line: int
    id: int
    run: str
    device: EntityIdentifier
    requirement: str
    fact: AttemptFact


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledExchange:
    """A command and its response, as the file has them."""

    line: int
    id: int
    attempt: int | None
    device: EntityIdentifier
    finished_at: datetime | None
    outcome: ExchangeOutcome | None
    command: bytes = field(repr=False)
    response: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledServiceDocument:
    """A document that went to or came from the DCC, as the file has it."""

    line: int
    exchange: int | None
    kind: ServiceDocumentKind
    document: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledAlert:
    """An alert, as the file has it."""

    line: int
    device: EntityIdentifier
    received_at: datetime
    verified: bool
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledDuty:
    """Where a duty stood as the run ended, as the file says.

    Args:
        waiting_since: Since when its certification requests waited for the authority, where they
            did as the run ended; else None.
    """

    line: int
    device: EntityIdentifier
    requirement: str
    clause: str
    state: str
    deadline: datetime | None
    overdue: bool
    waiting_since: datetime | None


@dataclass(slots=True, kw_only=True)
class EvidenceFile:
    """What an evidence file says.

    Args:
        key: The fingerprint of the public key that sealed it.
        lines: How many lines it has.
        header: The body of its first line.
        ended_at: When the run ended.
        recovery_certificate: The fingerprint of the one Recovery Certificate.
        carried_out: The parties whose duties the rig carries out.
        known: What was said of each device.
        first_lines: The line of the first fact of each device.
    """

    key: str
    lines: int
    header: Mapping[str, Any]
    ended_at: datetime
    recovery_certificate: str
    carried_out: frozenset[Actor]
    rules: Rules | None = None
    certificates: list[GBCSCertificate] = field(default_factory=list)
    device_certificates: list[GBCSCertificate] = field(default_factory=list)
    known: dict[EntityIdentifier, list[KnownFact]] = field(default_factory=dict)
    first_lines: dict[EntityIdentifier, int] = field(default_factory=dict)
    attempts: list[FiledAttempt] = field(default_factory=list)
    scheduled: dict[tuple[EntityIdentifier, str], datetime] = field(default_factory=dict)
    exchanges: list[FiledExchange] = field(default_factory=list)
    service_documents: list[FiledServiceDocument] = field(default_factory=list)
    alerts: list[FiledAlert] = field(default_factory=list)
    duties: list[FiledDuty] = field(default_factory=list)

    def ledger_facts(self) -> LedgerFacts:
        """Give the attempts as the planner wants them.

        That a duty waits for the authority is told with the duty; it counts where an attempt at it
        ended so, or was cut off, as no other can have left a request waiting.
        """
        tried: dict[tuple[EntityIdentifier, str], list[AttemptFact]] = {}
        for attempt in self.attempts:
            tried.setdefault((attempt.device, attempt.requirement), []).append(attempt.fact)
        attempts = {duty: tuple(each) for duty, each in tried.items()}
        waiting = {
            duty.device: duty.waiting_since
            for duty in self.duties
            if duty.waiting_since is not None
            and any(
                attempt.outcome in _LEAVING_REQUESTS
                for attempt in attempts.get((duty.device, duty.requirement), ())
            )
        }
        return LedgerFacts(attempts, self.scheduled, waiting)


def read_evidence(octets: bytes, source: str) -> EvidenceFile:
    """Read an evidence file, and see that its chain and its seal hold.

    Args:
        octets: The file.
        source: Its name for errors.

    Raises:
        EvidenceBroken: Names the line and what is wrong with it.
    """
    lines = list(read_lines(octets, source))
    header = _header(lines[0][0], source)
    last, head = lines[-1]
    key = _checked(header.number, source, lambda: _public_key(header))
    if last.kind != "seal":
        raise EvidenceBroken(source, last.number, "it is not the seal: the tail is cut")
    try:
        signature = _checked(last.number, source, lambda: _octets(last.body["signature"]))
        verify_seal(read_public_key(key), signature, sealed_octets(head))
    except InvalidSignature:
        raise EvidenceBroken(
            source, last.number, "the seal is not by the key that the first line names"
        ) from None
    file: EvidenceFile = _checked(
        header.number, source, lambda: _opened(header, fingerprint(key), len(lines))
    )
    for line, _ in lines[1:-1]:
        _checked(line.number, source, partial(_take, file, line))
    if file.rules is None:
        raise EvidenceBroken(source, header.number, "no rules follow it")
    return file


def _header(line: Line, source: str) -> Line:
    if line.kind != "header" or line.body.get("schema") != SCHEMA:
        raise EvidenceBroken(source, line.number, f"it is no header of schema {SCHEMA}")
    return line


def _checked(number: int, source: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except EvidenceBroken:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, KeyrigError) as error:
        what = type(error).__name__ if isinstance(error, KeyError) else str(error)
        raise EvidenceBroken(source, number, f"it cannot be read: {what:.160}") from None


def _opened(line: Line, key: str, lines: int) -> EvidenceFile:
    body = line.body
    return EvidenceFile(
        key=key,
        lines=lines,
        header=body,
        ended_at=_instant(body["finished_at"]),
        recovery_certificate=str(body["parties"]["recovery_certificate"]),
        carried_out=frozenset(Actor(name) for name in body["parties"]["carried_out"]),
    )


def _take(file: EvidenceFile, line: Line) -> None:
    take = _KINDS.get(line.kind)
    if take is None:
        raise ValueError(f"no line is of the kind {line.kind!r:.40}")
    take(file, line.number, line.body)


def _take_rules(file: EvidenceFile, _: int, body: Mapping[str, Any]) -> None:
    if file.rules is not None:
        raise ValueError("there are rules already")
    file.rules = rules_from_canonical(body["text"], "the rules")
    if (file.rules.digest, file.rules.edition) != (body["digest"], body["edition"]):
        raise ValueError("the rules are others than their digest and edition say")


def _take_certificate(file: EvidenceFile, _: int, body: Mapping[str, Any]) -> None:
    file.certificates.append(_certificate(body["der"]))


def _take_device_certificate(file: EvidenceFile, _: int, body: Mapping[str, Any]) -> None:
    certificate = _certificate(body["der"])
    if certificate.entity_id != EntityIdentifier.parse(body["device"]):
        raise ValueError("the certificate is of another device")
    file.device_certificates.append(certificate)


def _take_fact(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    name = FactName(body["name"])
    value = body["value"]
    fact = KnownFact(
        name=name,
        value=None if value is None else read_value(name, value),
        at=_maybe_instant(body["at"]),
        source=_text(body["source"]),
        recorded_at=_instant(body["recorded_at"]),
    )
    device = EntityIdentifier.parse(body["device"])
    file.known.setdefault(device, []).append(fact)
    file.first_lines.setdefault(device, number)


def _take_attempt(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    outcome = body["outcome"]
    file.attempts.append(
        FiledAttempt(
            line=number,
            id=int(body["id"]),
            run=str(body["run"]),
            device=EntityIdentifier.parse(body["device"]),
            requirement=str(body["requirement"]),
            fact=AttemptFact(
                started_at=_instant(body["started_at"]),
                finished_at=_maybe_instant(body["finished_at"]),
                outcome=None if outcome is None else Outcome(outcome),
                detail=str(body["detail"]),
            ),
        )
    )


def _take_scheduled(file: EvidenceFile, _: int, body: Mapping[str, Any]) -> None:
    duty = (EntityIdentifier.parse(body["device"]), str(body["requirement"]))
    file.scheduled[duty] = _instant(body["execution_at"])


def _take_exchange(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    outcome, response = body["outcome"], body["response"]
    file.exchanges.append(
        FiledExchange(
            line=number,
            id=int(body["id"]),
            attempt=None if body["attempt"] is None else int(body["attempt"]),
            device=EntityIdentifier.parse(body["device"]),
            finished_at=_maybe_instant(body["finished_at"]),
            outcome=None if outcome is None else ExchangeOutcome(outcome),
            command=_octets(body["command"]),
            response=None if response is None else _octets(response),
        )
    )


def _take_service_document(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    file.service_documents.append(
        FiledServiceDocument(
            line=number,
            exchange=None if body["exchange"] is None else int(body["exchange"]),
            kind=ServiceDocumentKind(body["kind"]),
            document=_octets(body["document"]),
        )
    )


def _take_alert(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    file.alerts.append(
        FiledAlert(
            line=number,
            device=EntityIdentifier.parse(body["device"]),
            received_at=_instant(body["received_at"]),
            verified=body["verified"] is True,
            octets=_octets(body["octets"]),
        )
    )


def _take_duty(file: EvidenceFile, number: int, body: Mapping[str, Any]) -> None:
    file.duties.append(
        FiledDuty(
            line=number,
            device=EntityIdentifier.parse(body["device"]),
            requirement=str(body["requirement"]),
            clause=str(body["clause"]),
            state=str(body["state"]),
            deadline=_maybe_instant(body["deadline"]),
            overdue=body["overdue"] is True,
            # Keys may be added to a body, and older files have not this one.
            waiting_since=_maybe_instant(body.get("waiting_since")),
        )
    )


def _only_told(_file: EvidenceFile, _number: int, _body: Mapping[str, Any]) -> None:
    """Leave what is told beside, which nothing in the file can prove."""


_KINDS: Mapping[str, Callable[[EvidenceFile, int, Mapping[str, Any]], None]] = {
    "rules": _take_rules,
    "clock": _only_told,
    "certificate": _take_certificate,
    "device-certificate": _take_device_certificate,
    "fact": _take_fact,
    "smi-status": _only_told,
    "attempt": _take_attempt,
    "scheduled": _take_scheduled,
    "exchange": _take_exchange,
    "service-document": _take_service_document,
    "alert": _take_alert,
    "duty": _take_duty,
}


def _public_key(line: Line) -> bytes:
    der = _octets(line.body["public_key"])
    read_public_key(der)
    return der


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _octets(text: str) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"not base64: {error}") from None
    if base64.b64encode(octets).decode("ascii") != text:
        raise ValueError("not base64 in its one form")
    return octets


def _certificate(text: str) -> GBCSCertificate:
    """Read a certificate, and see that what is asked of it later can be read."""
    certificate = GBCSCertificate.from_der(_octets(text))
    _ = certificate.profile, certificate.entity_id, certificate.key_usage, certificate.public_key
    return certificate


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without its zone")
    return instant


def _maybe_instant(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)
