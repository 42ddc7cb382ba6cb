"""A conversation with one device: what makes a command acceptable, and an answer believed.

It owns the originator counter (in the ledger before the octets leave), the keys that sign and
MAC, the time-out and repetition of one exchange, and the verification of what comes back. Only
verified responses leave it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from gbcs.certificates import GBCSCertificate
from gbcs.errors import (
    DecodeError,
    MACMismatch,
    ProtectionMissing,
    ProtocolError,
    RemoteProtocolError,
    SecurityError,
    SignatureMismatch,
    WrongEntity,
)
from gbcs.keys import SharedSecrets
from gbcs.message import CRAFlag, Header, Message, OtherInformation
from gbcs.protection import describe, protect, verify_mac, verify_signature
from gbcs.roles import KeyUsage
from gbcs.use_cases import (
    MessageCode,
    Protection,
    command_protection,
    compose,
    decode_payload,
    response_protection,
)
from keyrig.errors import KeyMissing, LinkError, LinkTimeout, WrongDevice
from keyrig.ledger.states import EventType, ExchangeOutcome
from keyrig.observing import Observer, unobserved
from keyrig.printable import printable
from keyrig.steps.effects import Answer, Ask, NoResponse, StepFailed
from keyrig.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from gbcs.keys import KeyAgreer, Signer
    from gbcs.security_credentials import UpdateCredentialsAlert
    from keyrig.ledger.ledger import Ledger
    from keyrig.links.base import Link

SENDINGS: Final = 2
"""How often a command is sent before it counts as unanswered."""


class OrganisationKeys(Protocol):
    """Signs and agrees keys for organisations; gives no private key out."""

    def signer(
        self, entity: EntityIdentifier, subject_key_identifier: bytes | None = None
    ) -> Signer:
        """Give the signer of an organisation: of one certificate, or of the newest.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        ...

    def agreer(self, entity: EntityIdentifier) -> KeyAgreer:
        """Give the key agreement key of an organisation.

        Raises:
            KeyStoreError: Its private key is missing or locked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all conversations of one run share."""

    run_id: str
    ledger: Ledger
    keys: OrganisationKeys
    access_control_broker: EntityIdentifier
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    observe: Observer = unobserved
    transcript: Transcript = field(default_factory=NoTranscript)
    secrets: SharedSecrets = field(default_factory=SharedSecrets)


OnAlert: TypeAlias = "Callable[[EntityIdentifier, UpdateCredentialsAlert, int], None]"


@dataclass(frozen=True, slots=True)
class _Sent:
    """A command that is on its way, and what its answer must be."""

    message: Message
    payload: Any
    exchange_id: int


class Conversation:
    """Exchanges verified messages with one device over one link.

    Args:
        device: Whom the commands are for, and who must have made what comes.
        link: Carries the messages; opened and closed by the caller.
        surroundings: What the run shares.
        timeout_s: How long one sending of a command is waited for, in seconds.
        on_alert: Is given each verified CS02b alert, with whom it is for and its id in the
            ledger, in the transaction that records it.
    """

    def __init__(
        self,
        *,
        device: EntityIdentifier,
        link: Link,
        surroundings: Surroundings,
        timeout_s: float,
        on_alert: OnAlert | None = None,
    ) -> None:
        self.device = device
        self._link = link
        self._run = surroundings
        self._timeout_s = timeout_s
        self._on_alert = on_alert

    def exchange(self, ask: Ask, attempt_id: int | None) -> Answer:
        """Send a command and give its verified response.

        A command that is repeatable is sent anew when no response comes; any other is sent
        again as the same octets. While the device's key agreement key is in doubt, each
        candidate is tried.

        Raises:
            NoResponse: None came; the device may have executed the command.
            SecurityError: One came that fails verification; recorded as an incident.
            StepFailed: A verified one came that cannot be read.
            WrongDevice: Another device answers.
            KeyStoreError: A key that the command needs is missing or locked.
            LinkError: The link does not carry the command.
        """
        candidates = self._agreement_certificates()
        open_sent: dict[GBCSCertificate, _Sent] = {}
        for certificate in candidates * SENDINGS:
            sent = open_sent.get(certificate) or self._prepare(ask, certificate, attempt_id)
            response = self._send_and_wait(ask, sent)
            if response is not None:
                for other in open_sent.values():
                    if other is not sent:
                        self._unanswered(other)
                return self._accept(ask, sent, response)
            if ask.repeatable:
                self._unanswered(sent)
            else:
                open_sent[certificate] = sent
        for sent in open_sent.values():
            self._unanswered(sent)
        raise NoResponse(ask.what, self._timeout_s * len(candidates) * SENDINGS)

    def receive_alerts(self, wait_s: float = 0) -> bool:
        """Take what has come unasked; give whether anything had.

        Args:
            wait_s: How long to wait for the first; what comes with it is taken too.
        """
        has_come = False
        while True:
            try:
                octets = self._link.receive(0 if has_come else wait_s)
            except (LinkTimeout, RemoteProtocolError):
                return has_come
            has_come = True
            self._sort(octets, None)

    def _agreement_certificates(self) -> tuple[GBCSCertificate, ...]:
        candidates = self._candidates(KeyUsage.KEY_AGREEMENT)
        if not candidates:
            raise KeyMissing("the key store", f"key agreement certificate of device {self.device}")
        return candidates

    def _candidates(self, key_usage: KeyUsage) -> tuple[GBCSCertificate, ...]:
        """Give the certificates that the device may use now, the most likely first.

        Those that it is known to use come first, newest first; then one that it may have stored
        without our knowing.
        """
        held = self._run.ledger.key_changes.candidates(self.device, key_usage)
        return tuple(
            GBCSCertificate.from_der(candidate.certificate)
            for candidate in sorted(held, key=lambda candidate: not candidate.certain)
        )

    def _prepare(self, ask: Ask, certificate: GBCSCertificate, attempt_id: int | None) -> _Sent:
        """Reserve the counter, protect the command, and have both in the ledger."""
        run = self._run
        now = run.clock()
        with run.ledger.transaction():
            counter = run.ledger.counters.reserve(ask.originator, now)
            payload = ask.payload(counter)
            header = Header(
                cra_flag=CRAFlag.COMMAND,
                originator_counter=counter,
                originator=ask.originator,
                recipient=self.device,
                other_information=OtherInformation(ask.message_code),
            )
            message = self._protect(compose(header, payload), payload, certificate, ask)
            exchange_id = run.ledger.exchanges.record_command(
                message.octets,
                run_id=run.run_id,
                attempt_id=attempt_id,
                device=self.device,
                originator=ask.originator,
                counter=counter,
                message_code=ask.message_code,
                now=now,
            )
        return _Sent(message, payload, exchange_id)

    def _protect(
        self, message: Message, payload: Any, certificate: GBCSCertificate, ask: Ask
    ) -> Message:
        needed: Protection = command_protection(payload)
        keys = self._run.keys
        signer = (
            keys.signer(ask.originator, ask.signing_key_identifier) if needed.signature else None
        )
        secret = (
            self._run.secrets.secret(
                keys.agreer(self._run.access_control_broker), certificate.public_key
            )
            if needed.mac
            else None
        )
        protected = protect(message, signer=signer, shared_secret=secret)
        if signer is not None:
            # A signature that its own key does not verify must not leave: it may betray the key.
            verify_signature(protected, signer.public_key)
        return protected

    def _send_and_wait(self, ask: Ask, sent: _Sent) -> Message | None:
        run = self._run
        run.observe(
            "command-sent",
            device=str(self.device),
            what=ask.what,
            counter=sent.message.header.originator_counter,
            octets=len(sent.message.octets),
            timeout_s=self._timeout_s,
        )
        self._transcribe("command", sent.message.octets, verified=True)
        try:
            self._link.send(sent.message.octets)
            return self._await(sent)
        except LinkTimeout:
            return None
        except LinkError as error:
            run.ledger.exchanges.record_outcome(
                sent.exchange_id, ExchangeOutcome.INTERRUPTED, run.clock(), detail=str(error)
            )
            raise

    def _await(self, sent: _Sent) -> Message | None:
        """Wait for the response to `sent`; None when the time is over."""
        deadline = self._run.monotonic() + self._timeout_s
        while True:
            remaining_s = deadline - self._run.monotonic()
            if remaining_s <= 0:
                return None
            try:
                octets = self._link.receive(remaining_s)
            except LinkTimeout:
                return None
            except RemoteProtocolError as error:
                self._noise(str(error))
                continue
            response = self._sort(octets, sent)
            if response is not None:
                return response

    def _sort(self, octets: bytes, sent: _Sent | None) -> Message | None:
        """Give what came if it answers `sent`; deal with everything else."""
        try:
            message = Message.parse(octets)
        except DecodeError as error:
            self._transcribe("response", octets, verified=False)
            self._noise(str(error))
            return None
        header = message.header
        if header.originator != self.device:
            self._transcribe("response", octets, verified=False)
            raise WrongDevice(
                self._link.name, expected=str(self.device), found=str(header.originator)
            )
        if header.cra_flag is CRAFlag.ALERT:
            self._take_alert(message)
            return None
        awaited = None if sent is None else sent.message.header.originator_counter
        if header.cra_flag is CRAFlag.COMMAND or header.originator_counter != awaited:
            self._transcribe("response", octets, verified=False)
            self._noise(f"{describe(header)} answers nothing that is awaited; set aside")
            return None
        return message

    def _accept(self, ask: Ask, sent: _Sent, response: Message) -> Answer:
        """Verify a response and record it; give what it says."""
        run = self._run
        try:
            self._verify_response(sent, response)
        except SecurityError as error:
            self._transcribe("response", response.octets, verified=False)
            self._incident(sent, response, str(error))
            raise
        self._transcribe("response", response.octets, verified=True)
        try:
            decoded = decode_payload(response)
        except DecodeError as error:
            run.ledger.exchanges.record_outcome(
                sent.exchange_id,
                ExchangeOutcome.VERIFIED,
                run.clock(),
                response=response.octets,
                detail=str(error),
            )
            raise StepFailed(f"the verified response to {ask.what} cannot be read: {error}") from (
                error
            )
        assert decoded is not None
        run.ledger.exchanges.record_outcome(
            sent.exchange_id,
            ExchangeOutcome.VERIFIED,
            run.clock(),
            response=response.octets,
            detail=_remark(response, len(decoded.lengths_not_minimal)),
        )
        run.observe(
            "response-verified",
            device=str(self.device),
            what=ask.what,
            octets=len(response.octets),
            lengths_not_minimal=len(decoded.lengths_not_minimal),
        )
        return Answer(payload=decoded.value, exchange_id=sent.exchange_id)

    def _verify_response(self, sent: _Sent, response: Message) -> None:
        command, header = sent.message.header, response.header
        if header.recipient != command.originator or header.message_code != command.message_code:
            raise WrongEntity(
                f"{describe(header)} to {header.recipient} does not answer {describe(command)}"
            )
        needed = response_protection(sent.payload)
        if needed.signature:
            self._verify_signature(response)
        if needed.mac:
            self._verify_mac(response)

    def _verify_signature(self, message: Message) -> None:
        for certificate in self._candidates(KeyUsage.DIGITAL_SIGNATURE):
            try:
                return verify_signature(message, certificate.public_key)
            except SignatureMismatch:
                continue
        if not message.signature:
            raise ProtectionMissing(f"{describe(message.header)} carries no signature")
        raise SignatureMismatch(
            f"the signature of {describe(message.header)} is by no key known of the device"
        )

    def _verify_mac(self, message: Message) -> None:
        agreer = self._run.keys.agreer(message.header.recipient)
        for certificate in self._candidates(KeyUsage.KEY_AGREEMENT):
            try:
                return verify_mac(message, self._run.secrets.secret(agreer, certificate.public_key))
            except MACMismatch:
                continue
        raise MACMismatch(f"the MAC of {describe(message.header)} is by no key known of the device")

    def _take_alert(self, alert: Message) -> None:
        run = self._run
        detail = ""
        try:
            self._verify_signature(alert) if alert.signature else self._verify_mac(alert)
            verified = True
        except (SecurityError, KeyMissing) as error:
            verified, detail = False, str(error)
        self._transcribe("alert", alert.octets, verified=verified)
        payload = _alert_payload(alert)
        code = None if payload is None else payload.alert_code
        with run.ledger.transaction():
            alert_id = run.ledger.exchanges.record_alert(
                alert.octets,
                device=self.device,
                alert_code=code,
                verified=verified,
                now=run.clock(),
                run_id=run.run_id,
                detail=detail,
            )
            if verified and payload is not None and alert.signature and self._on_alert is not None:
                self._on_alert(alert.header.recipient, payload, alert_id)
        run.observe(
            "alert",
            device=str(self.device),
            message_code=f"{alert.header.message_code:04X}",
            alert_code=None if code is None else f"{code:04X}",
            verified=verified,
        )

    def _incident(self, sent: _Sent, response: Message, reason: str) -> None:
        """Record that a response failed verification, and tell upstream, at once."""
        run, now = self._run, self._run.clock()
        with run.ledger.transaction():
            run.ledger.exchanges.record_outcome(
                sent.exchange_id,
                ExchangeOutcome.REJECTED,
                now,
                response=response.octets,
                detail=reason,
            )
            run.ledger.outbox.append(
                EventType.SECURITY_INCIDENT,
                self.device,
                now,
                {"exchange": sent.exchange_id, "reason": reason},
            )
        run.observe("security-incident", device=str(self.device), reason=printable(reason))

    def _unanswered(self, sent: _Sent) -> None:
        run = self._run
        run.ledger.exchanges.record_outcome(
            sent.exchange_id,
            ExchangeOutcome.NO_RESPONSE,
            run.clock(),
            detail=f"none within {self._timeout_s:g} s",
        )
        run.observe(
            "no-response",
            device=str(self.device),
            counter=sent.message.header.originator_counter,
            waited_s=self._timeout_s,
        )

    def _noise(self, reason: str) -> None:
        self._run.observe("noise", device=str(self.device), reason=printable(reason))

    def _transcribe(self, direction: str, octets: bytes, *, verified: bool) -> None:
        self._run.transcript.record(
            at=self._run.clock(),
            device=self.device,
            direction=direction,
            octets=octets,
            verified=verified,
        )


def _alert_payload(alert: Message) -> UpdateCredentialsAlert | None:
    """Give what a CS02b alert says; others are not decoded."""
    if alert.header.message_code != MessageCode.UPDATE_CREDENTIALS_ALERT:
        return None
    try:
        decoded = decode_payload(alert)
    except ProtocolError:
        return None
    assert decoded is not None
    payload: UpdateCredentialsAlert = decoded.value
    return payload


def _remark(response: Message, lengths_not_minimal: int) -> str:
    if lengths_not_minimal:
        return f"{lengths_not_minimal} payload lengths not minimal"
    return "a header length not minimal" if response.lengths_not_minimal else ""
