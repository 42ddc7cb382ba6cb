"""Verifying the messages of an evidence file with the public keys in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.message import CRAFlag, Header, Message, OtherInformation
from gbcs.path_validation import validate_path
from gbcs.printable import printable
from gbcs.protection import describe
from gbcs.protocol_errors import (
    CertificateRejected,
    KeyrigError,
    ProtectionMissing,
    WrongEntity,
)
from gbcs.use_cases import MessageCode, command_protection, decode_payload, response_protection
from keyrig.domain.states import ExchangeOutcome
from keyrig.evidence.evidence_key import fingerprint
from keyrig.evidence.evidence_signers import DeviceSigners, signers_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.documents.evidence_document import AlertBody, ExchangeBody
    from keyrig.evidence.evidence_file import EvidenceFile
    from keyrig.evidence.evidence_requests import ServiceRequests

_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault of a file, and its line."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An exchange whose messages verify as far as public keys can show.

    Args:
        exchange: The exchange.
        header: The command's header.
        command: The command's payload.
        response: The response's payload; None where the file claims no verified one.
        is_maced: The response is protected by a MAC alone, which no public key can check.
        signed_under: The device's certificates (DER) by whose key the response's signature holds.
    """

    exchange: ExchangeBody
    header: Header
    command: Any = field(repr=False)
    response: Any = field(repr=False)
    is_maced: bool
    signed_under: frozenset[bytes] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlert:
    """An alert whose signature verifies."""

    alert: AlertBody
    header: Header
    payload: Any = field(repr=False)


class Messages:
    """Verifies messages, and collects what does not verify.

    Args:
        file: The evidence.
        roots: The fingerprints of the roots to trust; None trusts those in the file.
    """

    def __init__(self, file: EvidenceFile, roots: Collection[str] | None) -> None:
        self._file = file
        self._organisations = file.certificates
        self._signers = DeviceSigners(file.device_certificates)
        self.roots = [
            certificate
            for certificate in file.certificates
            if certificate.profile is CertificateProfile.ROOT
            and (roots is None or fingerprint(certificate.der) in roots)
        ]
        self._authorities = [c for c in file.certificates if c.profile.is_authority]
        self._trusted: dict[GBCSCertificate, bool] = {}
        self._answered_to_dcc: dict[tuple[EntityIdentifier, EntityIdentifier], tuple[int, int]] = {}
        self.findings: list[Finding] = []

    @cached_property
    def _requests(self) -> ServiceRequests:
        # Requests are XML, whose libraries come with an extra and take 60 ms to load.
        from keyrig.evidence.evidence_requests import ServiceRequests  # noqa: PLC0415 - an extra

        return ServiceRequests(self._file, self.is_trusted)

    def is_trusted(self, certificate: GBCSCertificate) -> bool:
        """Return True if a certificate's path leads to a trusted root in the file."""
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

    def see(self, exchanges: Iterable[ExchangeBody]) -> list[Seen]:
        """Return the exchanges that verify, in the order in which they were made."""
        commands = []
        counters: dict[EntityIdentifier, tuple[int, int]] = {}
        for exchange in sorted(exchanges, key=lambda exchange: exchange.id):
            try:
                commands.append(self._command(exchange, counters))
            except KeyrigError as error:
                self._find(exchange.line, str(error))
        self._signers.know_changes(
            (each.exchange.id, each.command)
            for each in commands
            if each.header.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE
        )
        seen = []
        for command in commands:
            try:
                seen.append(self._answered(command))
            except KeyrigError as error:
                self._find(command.exchange.line, str(error))
        return seen

    def see_alerts(self, alerts: Iterable[AlertBody]) -> list[SeenAlert]:
        """Return the alerts whose signature verifies; `see` must have recorded the keys before."""
        seen = []
        for alert in alerts:
            try:
                found = self._alert(alert)
            except KeyrigError as error:
                if alert.verified:
                    self._find(alert.line, str(error))
            else:
                seen += [found] if found else []
        return seen

    def _find(self, line: int, reason: str) -> None:
        self.findings.append(Finding(line=line, reason=printable(reason, _REASON_CHARACTERS)))

    def _command(
        self, exchange: ExchangeBody, counters: dict[EntityIdentifier, tuple[int, int]]
    ) -> Seen:
        """Return a command that verifies, its counter above the originator's last one."""
        if not exchange.command:
            return self._command_of_dcc(exchange, counters)
        command = Message.parse(exchange.command)
        header = command.header
        if header.cra_flag is not CRAFlag.COMMAND or header.recipient != exchange.device:
            raise WrongEntity(f"{describe(header)} is no command to device {exchange.device}")
        _ascend(
            counters, header.originator, header.originator_counter, exchange.line, describe(header)
        )
        decoded = decode_payload(command)
        if decoded is None:
            raise WrongEntity(f"{describe(header)} is of no use case that a duty needs")
        if command_protection(decoded.value).signature:
            self._require_trusted(signers_of(command, self._organisations), header)
        if self._file.service_documents:
            self._requests.check_signed(exchange)
        return Seen(
            exchange=exchange,
            header=header,
            command=decoded.value,
            response=None,
            is_maced=not response_protection(decoded.value).signature,
        )

    def _command_of_dcc(
        self, exchange: ExchangeBody, counters: dict[EntityIdentifier, tuple[int, int]]
    ) -> Seen:
        """Return a command that the DCC made, derived from the request for it."""
        asked = self._requests.asked_for(exchange)
        request_id = asked.request_id
        name = f"request {request_id}"
        _ascend(counters, request_id.originator, request_id.counter, exchange.line, name)
        header = Header(
            cra_flag=CRAFlag.COMMAND,
            originator_counter=asked.counter,
            originator=asked.command.originator,
            recipient=exchange.device,
            other_information=OtherInformation(asked.command.message_code),
        )
        return Seen(
            exchange=exchange,
            header=header,
            command=asked.command.payload,
            response=None,
            is_maced=not response_protection(asked.command.payload).signature,
        )

    def _answered(self, seen: Seen) -> Seen:
        exchange, asked = seen.exchange, seen.header
        if exchange.outcome is not ExchangeOutcome.VERIFIED:
            return seen
        if exchange.response is None:
            raise ProtectionMissing("a verified response is said to have come, and is not here")
        response = Message.parse(exchange.response)
        header = response.header
        answers = (
            header.cra_flag is CRAFlag.RESPONSE
            and header.originator == asked.recipient
            and header.recipient == asked.originator
            and header.originator_counter == asked.originator_counter
            and header.message_code == asked.message_code
        )
        if not answers:
            raise WrongEntity(f"{describe(header)} does not answer {describe(asked)}")
        if not exchange.command:
            answered = (header.originator, header.recipient)
            last, line = self._answered_to_dcc.get(answered, (-1, 0))
            if header.originator_counter <= last:
                raise WrongEntity(f"{describe(header)} is not above the answer of line {line}")
            self._answered_to_dcc[answered] = (header.originator_counter, exchange.line)
        needed = response_protection(seen.command)
        signers: Collection[GBCSCertificate] = ()
        if needed.signature:
            signers = self._signers.signers(response)
            self._require_trusted(signers, header)
        if needed.mac and not response.mac:
            raise ProtectionMissing(f"{describe(header)} carries no MAC")
        decoded = decode_payload(response)
        if decoded is None:
            raise WrongEntity(f"{describe(header)} is of no use case that a duty needs")
        # Only a response signed by the new key gives the old one up: a device that returns the
        # new certificate and still signs by its old key has not changed keys.
        if asked.message_code == MessageCode.PROVIDE_DEVICE_CERTIFICATE and any(
            signer.der == decoded.value for signer in signers
        ):
            self._signers.gives_back(exchange, decoded.value)
        return Seen(
            exchange=exchange,
            header=asked,
            command=seen.command,
            response=decoded.value,
            is_maced=seen.is_maced,
            signed_under=frozenset(signer.der for signer in signers),
        )

    def _alert(self, alert: AlertBody) -> SeenAlert | None:
        message = Message.parse(alert.octets)
        header = message.header
        if header.cra_flag is not CRAFlag.ALERT or header.originator != alert.device:
            raise WrongEntity(f"{describe(header)} is no alert of device {alert.device}")
        if not message.signature:
            return None
        self._require_trusted(self._signers.signers(message, alert.received_at), header)
        decoded = decode_payload(message)
        if decoded is None:
            return None
        return SeenAlert(alert=alert, header=header, payload=decoded.value)

    def _require_trusted(self, signers: Collection[GBCSCertificate], header: Header) -> None:
        untrusted = [certificate for certificate in signers if not self.is_trusted(certificate)]
        if untrusted and len(untrusted) == len(signers):
            raise CertificateRejected(
                "path", f"{untrusted[0]}, which signed {describe(header)}, leads to no root"
            )


def _ascend(
    counters: dict[EntityIdentifier, tuple[int, int]],
    originator: EntityIdentifier,
    counter: int,
    line: int,
    name: str,
) -> None:
    """Check and record an originator's next counter.

    Raises:
        WrongEntity: It is not above the last one.
    """
    last, at = counters.get(originator, (-1, 0))
    if counter == last:
        raise WrongEntity(f"{name} has the counter of line {at}")
    if counter < last:
        raise WrongEntity(f"{name} goes back behind the counter of line {at}")
    counters[originator] = (counter, line)
