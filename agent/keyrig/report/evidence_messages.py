"""Checking the messages of an evidence file by the public keys in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbcs.certificates import CertificateProfile
from gbcs.errors import (
    CertificateRejected,
    KeyrigError,
    ProtectionMissing,
    SignatureMismatch,
    WrongEntity,
)
from gbcs.message import CRAFlag, Message
from gbcs.path_validation import validate_path
from gbcs.protection import describe, verify_signature
from gbcs.roles import KeyUsage
from gbcs.use_cases import command_protection, decode_payload, response_protection
from keyrig.ledger.states import ExchangeOutcome
from keyrig.printable import printable
from keyrig.report.evidence_key import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from keyrig.report.evidence_file import EvidenceFile, FiledAlert, FiledExchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a file that does not hold; `line` is where."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An exchange whose messages hold as far as public keys tell.

    Args:
        exchange: The exchange.
        message_code: Its use case.
        command: The command's payload.
        response: The response's payload.
        is_maced: The response is protected by a MAC alone, which no public key can check.
    """

    exchange: FiledExchange
    message_code: int
    command: Any
    response: Any
    is_maced: bool


class Messages:
    """Checks messages, and collects what does not hold.

    Args:
        file: The evidence.
        roots: The fingerprints of the roots to trust; None trusts those in the file.
    """

    def __init__(self, file: EvidenceFile, roots: Collection[str] | None) -> None:
        self._organisations = file.certificates
        self._devices = file.device_certificates
        self.roots = [
            certificate
            for certificate in file.certificates
            if certificate.profile is CertificateProfile.ROOT
            and (roots is None or fingerprint(certificate.der) in roots)
        ]
        self._authorities = [c for c in file.certificates if c.profile.is_authority]
        self._trusted: dict[GBCSCertificate, bool] = {}
        self.findings: list[Finding] = []

    def is_trusted(self, certificate: GBCSCertificate) -> bool:
        """Say whether a certificate leads to a root in the file."""
        if certificate not in self._trusted:
            try:
                validate_path(
                    certificate,
                    path_certificates=self._authorities,
                    trust_anchors=self.roots,
                    at=None,
                )
            except CertificateRejected:
                self._trusted[certificate] = False
            else:
                self._trusted[certificate] = True
        return self._trusted[certificate]

    def see(self, exchanges: Iterable[FiledExchange]) -> list[Seen]:
        """Check exchanges, and give those whose verified response holds."""
        seen: list[Seen] = []
        counters: dict[tuple[EntityIdentifier, int], int] = {}
        for exchange in exchanges:
            try:
                found = self._exchange(exchange, counters)
            except KeyrigError as error:
                reason = printable(str(error), 200)
                self.findings.append(Finding(line=exchange.line, reason=reason))
            else:
                if found is not None:
                    seen.append(found)
        return seen

    def alert_payload(self, alert: FiledAlert) -> Any:
        """Give what a signed alert says, or None where it is not signed or does not hold."""
        try:
            message = Message.parse(alert.octets)
            if message.header.originator != alert.device:
                raise WrongEntity(f"{describe(message.header)} is not of device {alert.device}")
            if not message.signature:
                return None
            self._verify(message, self._devices)
            decoded = decode_payload(message)
        except KeyrigError as error:
            if alert.verified:
                reason = printable(str(error), 200)
                self.findings.append(Finding(line=alert.line, reason=reason))
            return None
        return decoded.value if decoded else None

    def _exchange(
        self, exchange: FiledExchange, counters: dict[tuple[EntityIdentifier, int], int]
    ) -> Seen | None:
        command = Message.parse(exchange.command)
        header = command.header
        if header.cra_flag is not CRAFlag.COMMAND or header.recipient != exchange.device:
            raise WrongEntity(f"{describe(header)} is no command to device {exchange.device}")
        before = counters.setdefault((header.originator, header.originator_counter), exchange.line)
        if before != exchange.line:
            raise WrongEntity(f"{describe(header)} has the counter of line {before}")
        decoded = decode_payload(command)
        if decoded is None:
            raise WrongEntity(f"{describe(header)} is of no use case that a duty needs")
        if command_protection(decoded.value).signature:
            self._verify(command, self._organisations)
        if exchange.outcome is not ExchangeOutcome.VERIFIED or exchange.response is None:
            if exchange.outcome is ExchangeOutcome.VERIFIED:
                raise ProtectionMissing("a verified response is said to have come, and is not here")
            return None
        return self._response(exchange, command, decoded.value, exchange.response)

    def _response(
        self, exchange: FiledExchange, command: Message, payload: Any, octets: bytes
    ) -> Seen:
        response = Message.parse(octets)
        header, asked = response.header, command.header
        answers = (
            header.cra_flag is CRAFlag.RESPONSE
            and header.originator == asked.recipient
            and header.recipient == asked.originator
            and header.originator_counter == asked.originator_counter
            and header.message_code == asked.message_code
        )
        if not answers:
            raise WrongEntity(f"{describe(header)} does not answer {describe(asked)}")
        needed = response_protection(payload)
        if needed.signature:
            self._verify(response, self._devices)
        if needed.mac and not response.mac:
            raise ProtectionMissing(f"{describe(header)} carries no MAC")
        decoded = decode_payload(response)
        assert decoded is not None
        return Seen(
            exchange=exchange,
            message_code=asked.message_code,
            command=payload,
            response=decoded.value,
            is_maced=not needed.signature,
        )

    def _verify(self, message: Message, certificates: Collection[GBCSCertificate]) -> None:
        header = message.header
        if not message.signature:
            raise ProtectionMissing(f"{describe(header)} carries no signature")
        for certificate in certificates:
            if certificate.entity_id != header.originator:
                continue
            if certificate.key_usage is not KeyUsage.DIGITAL_SIGNATURE:
                continue
            try:
                verify_signature(message, certificate.public_key)
            except SignatureMismatch:
                continue
            if not self.is_trusted(certificate):
                raise CertificateRejected(
                    "path", f"{certificate}, which signed {describe(header)}, leads to no root"
                )
            return
        raise SignatureMismatch(
            f"the signature of {describe(header)} is by no certificate in the file"
        )
