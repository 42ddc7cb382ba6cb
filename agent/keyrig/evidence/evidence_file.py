"""Reading an evidence file: its values, once its chain and its seal were verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography.exceptions import InvalidSignature
from pydantic import ValidationError

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protocol_errors import KeyrigError
from keyrig.base.errors import EvidenceBroken
from keyrig.documents.evidence_document import (
    BODIES,
    EVIDENCE_SCHEMA,
    AlertBody,
    AttemptBody,
    CertificateBody,
    DeviceCertificateBody,
    DutyBody,
    EvidenceBody,
    ExchangeBody,
    FactBody,
    HeaderBody,
    RulesBody,
    ScheduledBody,
    SealBody,
    ServiceDocumentBody,
)
from keyrig.domain.device_facts import LedgerFacts, Outcome
from keyrig.duties.rules import rules_from_canonical
from keyrig.evidence.evidence_key import fingerprint, read_public_key, verify_seal
from keyrig.evidence.evidence_lines import Line, read_lines, sealed_octets

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.device_facts import AttemptFact
    from keyrig.domain.known_facts import KnownFact
    from keyrig.duties.rules import Rules

_Body = TypeVar("_Body", bound=EvidenceBody)
_Read = TypeVar("_Read")
_LEAVING_REQUESTS: Final = frozenset({Outcome.WAITING, Outcome.INTERRUPTED})
_LISTS: Final[dict[type[EvidenceBody], str]] = {
    AttemptBody: "attempts",
    ExchangeBody: "exchanges",
    ServiceDocumentBody: "service_documents",
    AlertBody: "alerts",
    DutyBody: "duties",
}
"""The list in which the lines of each kind are kept."""
_NOT_WITHIN: Final = frozenset({HeaderBody.line_kind, SealBody.line_kind})


@dataclass(kw_only=True)
class EvidenceFile:
    """The content of an evidence file.

    Args:
        key: The fingerprint of the public key that sealed it.
        lines: The number of its lines.
        header: The body of its first line.
        known: The facts recorded of each device.
        first_lines: The line of the first fact of each device.
    """

    key: str
    lines: int
    header: HeaderBody
    rules: Rules | None = None
    certificates: list[GBCSCertificate] = field(default_factory=list)
    device_certificates: list[GBCSCertificate] = field(default_factory=list)
    known: dict[EntityIdentifier, list[KnownFact]] = field(default_factory=dict)
    first_lines: dict[EntityIdentifier, int] = field(default_factory=dict)
    attempts: list[AttemptBody] = field(default_factory=list)
    scheduled: dict[tuple[EntityIdentifier, str], datetime] = field(default_factory=dict)
    exchanges: list[ExchangeBody] = field(default_factory=list)
    service_documents: list[ServiceDocumentBody] = field(default_factory=list)
    alerts: list[AlertBody] = field(default_factory=list)
    duties: list[DutyBody] = field(default_factory=list)

    def ledger_facts(self) -> LedgerFacts:
        """Return the attempts in the planner's form.

        The file states with a duty that it waits for the authority. That counts only where an
        attempt at it ended so, or was cut off: no other can have left a request waiting.
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

    def take(self, body: EvidenceBody) -> None:
        """Add one line; lines that nothing else in the file can confirm are dropped.

        Raises:
            KeyrigError: Its rules or certificate cannot be read.
            ValueError: It contradicts another line, or is impossible.
        """
        match body:
            case RulesBody():
                self._take_rules(body)
            case CertificateBody():
                self.certificates.append(_certificate(body.der))
            case DeviceCertificateBody():
                certificate = _certificate(body.der)
                if certificate.entity_id != body.device:
                    raise ValueError("the certificate is of another device")
                self.device_certificates.append(certificate)
            case FactBody():
                self.known.setdefault(body.device, []).append(body.known())
                self.first_lines.setdefault(body.device, body.line)
            case ScheduledBody():
                self.scheduled[body.device, body.requirement] = body.execution_at
            case _ if type(body) in _LISTS:
                getattr(self, _LISTS[type(body)]).append(body)

    def _take_rules(self, body: RulesBody) -> None:
        if self.rules is not None:
            raise ValueError("there are rules already")
        self.rules = rules_from_canonical(body.text, "the rules")
        if (self.rules.digest, self.rules.edition) != (body.digest, body.edition):
            raise ValueError("the rules are others than their digest and edition say")


def read_evidence(octets: bytes, source: str) -> EvidenceFile:
    """Read an evidence file, and verify its chain and its seal.

    Args:
        octets: The file.
        source: Its name for errors.

    Raises:
        EvidenceBroken: Names the line and what is wrong with it.
    """
    read = list(read_lines(octets, source))
    first, (last, head) = read[0][0], read[-1]
    if first.kind != HeaderBody.line_kind or first.body.get("schema") != EVIDENCE_SCHEMA:
        raise EvidenceBroken(source, first.number, f"it is no header of schema {EVIDENCE_SCHEMA}")
    header = _checked(first, source, lambda: _body(HeaderBody, first))
    key = _checked(first, source, lambda: read_public_key(header.public_key))
    if last.kind != SealBody.line_kind:
        raise EvidenceBroken(source, last.number, "it is not the seal: the tail is cut")
    seal = _checked(last, source, lambda: _body(SealBody, last))
    try:
        verify_seal(key, seal.signature, sealed_octets(head))
    except InvalidSignature:
        raise EvidenceBroken(
            source, last.number, "the seal is not by the key that the first line names"
        ) from None
    file = EvidenceFile(key=fingerprint(header.public_key), lines=len(read), header=header)
    for line, _ in read[1:-1]:
        _checked(line, source, partial(_take, file, line))
    if file.rules is None:
        raise EvidenceBroken(source, first.number, "no rules follow it")
    return file


def _take(file: EvidenceFile, line: Line) -> None:
    model = BODIES.get(line.kind)
    if model is None or line.kind in _NOT_WITHIN:
        raise ValueError(f"no line is of the kind {line.kind!r:.40}")
    file.take(_body(model, line))


def _body(model: type[_Body], line: Line) -> _Body:
    return model.model_validate(line.body).at_line(line.number)


def _checked(line: Line, source: str, work: Callable[[], _Read]) -> _Read:
    try:
        return work()
    except EvidenceBroken:
        raise
    except ValidationError as error:
        what = _first(error)
    except (AttributeError, TypeError, ValueError, KeyrigError) as error:
        what = str(error)
    raise EvidenceBroken(source, line.number, f"it cannot be read: {what:.160}")


def _first(error: ValidationError) -> str:
    """Return the first fault of a body, and where in it."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _certificate(der: bytes) -> GBCSCertificate:
    """Read a certificate and each of its parts that is used later, so that none fails then."""
    certificate = GBCSCertificate.from_der(der)
    _ = certificate.profile, certificate.entity_id, certificate.key_usage, certificate.public_key
    return certificate
