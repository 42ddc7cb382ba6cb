"""What one device says: believed once it verifies, and recorded whatever it is.

How messages travel is a conversation's matter; what makes an answer or an alert believed, and
what the ledger keeps of it, is the same for all.

A response is believed when each of these holds, and each stands against a lie that was told:

1. It is a response of the device that was asked, to the party that asked, of the same use case,
   with the command's own counter. Against: an answer to another command, an older answer played
   again, another device on the line. (The DCC takes counters of its own for the commands that it
   makes; there the service request's own answer carries the relation.)
2. It carries every protection that GBCS gives that response: a signature where it has one, a MAC
   where it has one. Against: an answer whose protection was taken off.
3. Its signature verifies by the key of a certificate that the device may use now. Against:
   another key. "May use" is more than "uses" while a key change is under way: whether the device
   took the certificate of a CS02d whose answer was lost is not known, so both keys verify, and
   which one did is part of the answer (`Answer.signed_under`), for the step to judge by.
4. Its MAC verifies under the secret that the originator's key and such a certificate agree.
   A MAC for a party whose key is not here is left unchecked where the DCC made the command, and
   the exchange says so; anywhere else the key ought to be here, and its lack is the rig's.

What fails is a security incident: recorded with its octets and told upstream in one transaction,
and never repeated as if the line had damaged it. A verified response that cannot be read ends the
step: it is the device's own word. An alert is kept whether or not it verifies; only one that is
signed, verifies and reads as CS02b's counts for anything, in the transaction that records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.message import CRAFlag
from gbcs.printable import printable
from gbcs.protection import describe, signed_under, verify_mac
from gbcs.protocol_errors import (
    DecodeError,
    MACMismatch,
    ProtectionMissing,
    ProtocolError,
    SecurityError,
    SignatureMismatch,
    WrongEntity,
)
from gbcs.roles import KeyUsage
from gbcs.use_cases import MessageCode, decode_payload, response_protection
from keyrig.base import events
from keyrig.base.errors import KeyMissing
from keyrig.domain.states import EventType, ExchangeOutcome
from keyrig.session.steps.effects import Answer, StepFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message
    from gbcs.security_credentials import UpdateCredentialsAlert
    from keyrig.session.session_context import OnAlert, SessionContext, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command that is on its way, and what its answer must be.

    Args:
        what: The command, for people.
        originator: Who sends it; the answer is for the same.
        message_code: The use case.
        counter: The originator's counter; None where the DCC takes one that is not known here.
        payload: The command's payload.
        exchange_id: The exchange in the ledger.
    """

    what: str
    originator: EntityIdentifier
    message_code: int
    counter: int | None
    payload: Any
    exchange_id: int

    @property
    def is_by_the_dcc(self) -> bool:
        """True if the DCC makes the command, so that a MAC in the answer is for it alone."""
        return self.counter is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """By which of the device's keys a response verified, and what of it could not be checked."""

    signed_under: GBCSCertificate | None
    maced_under: GBCSCertificate | None
    unchecked: str
    is_by_the_dcc: bool


class DeviceRecord:
    """Records and publishes what goes to one device and what comes from it.

    Args:
        device: The device.
        surroundings: What the run or delivery works with.
    """

    def __init__(self, device: EntityIdentifier, surroundings: Surroundings) -> None:
        self.device = device
        self.surroundings = surroundings

    def candidates(self, key_usage: KeyUsage) -> tuple[GBCSCertificate, ...]:
        """Return the certificates that the device may use now, the most likely first.

        Those that it is known to use come first, newest first; then one that it may have stored
        without our knowing.
        """
        held = self.surroundings.ledger.key_changes.candidates(self.device, key_usage)
        return tuple(
            GBCSCertificate.from_der(candidate.certificate)
            for candidate in sorted(held, key=lambda candidate: not candidate.certain)
        )

    def noise(self, reason: str) -> None:
        """Publish that something came and was set aside."""
        self.surroundings.observe(events.Noise(device=str(self.device), reason=printable(reason)))

    def transcribe(self, direction: str, octets: bytes, *, verified: bool) -> None:
        """Write a message into the transcript."""
        self.surroundings.transcript.record(
            at=self.surroundings.clock(),
            device=self.device,
            direction=direction,
            octets=octets,
            verified=verified,
        )

    def keep_alert(
        self,
        alert: Message,
        *,
        why_not: str | None,
        run_id: str | None = None,
        on_alert: OnAlert | None = None,
    ) -> None:
        """Transcribe, record and publish an alert, whether or not it verifies.

        Args:
            alert: The alert.
            why_not: Why it is not verified; None where it is.
            run_id: The run in which it came, if it was one.
            on_alert: Called with a signed CS02b alert that verifies and can be read, in the
                transaction that records it.
        """
        verified = why_not is None
        self.transcribe("alert", alert.octets, verified=verified)
        payload = _update_credentials(alert)
        code = None if payload is None else payload.alert_code
        ledger = self.surroundings.ledger
        with ledger.transaction():
            alert_id = ledger.exchanges.record_alert(
                alert.octets,
                device=self.device,
                alert_code=code,
                verified=verified,
                now=self.surroundings.clock(),
                run_id=run_id,
                detail=why_not or "",
            )
            if verified and payload is not None and alert.signature and on_alert is not None:
                on_alert(alert.header.recipient, payload, alert_id)
        self.surroundings.observe(
            events.Alert(
                device=str(self.device),
                message_code=f"{alert.header.message_code:04X}",
                alert_code=None if code is None else f"{code:04X}",
                verified=verified,
            )
        )

    def queue_incident(self, about: Mapping[str, object], reason: str, now: datetime) -> None:
        """Queue for upstream that something false came; called in a transaction."""
        self.surroundings.ledger.outbox.append(
            EventType.SECURITY_INCIDENT, self.device, now, {**about, "reason": reason}
        )

    def tell_incident(self, reason: str, *, position: int | None = None) -> None:
        """Publish that something false came."""
        self.surroundings.observe(
            events.SecurityIncident(
                device=str(self.device), reason=printable(reason), position=position
            )
        )

    def tell_unanswered(self, counter: int | None, waited_s: float) -> None:
        """Publish that no response came in time."""
        self.surroundings.observe(
            events.NoResponse(device=str(self.device), counter=counter, waited_s=waited_s)
        )


class DeviceMessages(DeviceRecord):
    """Verifies and records what comes from one device.

    Args:
        device: Who must have made what comes.
        session: What the run shares.
        on_alert: Is called in the transaction that records the alert.
    """

    def __init__(
        self,
        device: EntityIdentifier,
        session: SessionContext,
        on_alert: OnAlert | None = None,
    ) -> None:
        super().__init__(device, session)
        self._run = session
        self._on_alert = on_alert

    def accept(self, sent: Sent, response: Message, remark: str = "") -> Answer:
        """Verify a response and record it; give what it says.

        Args:
            sent: What it must answer.
            response: The response.
            remark: What is to be recorded of how it came.

        Raises:
            SecurityError: It fails verification; recorded as an incident.
            StepFailed: It is verified and cannot be read.
            KeyStoreError: The key that its MAC is for is missing or locked.
        """
        run = self._run
        try:
            verified = self._verify_response(sent, response)
        except SecurityError as error:
            self.transcribe("response", response.octets, verified=False)
            self.incident(sent, response.octets, str(error))
            raise
        self.transcribe("response", response.octets, verified=True)
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
            raise StepFailed(f"the verified response to {sent.what} cannot be read: {error}") from (
                error
            )
        assert decoded is not None
        remarks = (
            verified.unchecked,
            remark,
            _remark(response, len(decoded.lengths_not_minimal)),
        )
        run.ledger.exchanges.record_outcome(
            sent.exchange_id,
            ExchangeOutcome.VERIFIED,
            run.clock(),
            response=response.octets,
            detail="; ".join(filter(None, remarks)),
        )
        run.observe(
            events.ResponseVerified(
                device=str(self.device),
                what=sent.what,
                octets=len(response.octets),
                lengths_not_minimal=len(decoded.lengths_not_minimal),
            )
        )
        return Answer(
            payload=decoded.value,
            exchange_id=sent.exchange_id,
            signed_under=None if verified.signed_under is None else verified.signed_under.der,
            maced_under=None if verified.maced_under is None else verified.maced_under.der,
            is_by_the_dcc=verified.is_by_the_dcc,
        )

    def take_alert(self, alert: Message) -> None:
        """Record an alert, and hand it on where it is a CS02b one that verifies."""
        why_not = None
        try:
            self._verify_signature(alert) if alert.signature else self._verify_mac(alert)
        except (SecurityError, KeyMissing) as error:
            why_not = str(error)
        self.keep_alert(alert, why_not=why_not, run_id=self._run.run_id, on_alert=self._on_alert)

    def incident(self, sent: Sent, response: bytes, reason: str) -> None:
        """Record that a response failed verification, and tell upstream, at once."""
        run, now = self._run, self._run.clock()
        with run.ledger.transaction():
            run.ledger.exchanges.record_outcome(
                sent.exchange_id, ExchangeOutcome.REJECTED, now, response=response, detail=reason
            )
            about = {"exchange": sent.exchange_id, "run": run.run_id}
            self.queue_incident(about, reason, now)
        self.tell_incident(reason)

    def unanswered(self, sent: Sent, waited_s: float, detail: str = "") -> None:
        """Record that no response came in time, or why none will come."""
        self.end(sent, ExchangeOutcome.NO_RESPONSE, detail or f"none within {waited_s:g} s")
        self.tell_unanswered(sent.counter, waited_s)

    def end(self, sent: Sent, outcome: ExchangeOutcome, detail: str) -> None:
        """Record how an exchange ended without a response."""
        self._run.ledger.exchanges.record_outcome(
            sent.exchange_id, outcome, self._run.clock(), detail=detail
        )

    def _verify_response(self, sent: Sent, response: Message) -> _Verified:
        """Verify what can be, and return by which of the device's keys it was.

        Raises:
            SecurityError: It fails verification.
            KeyMissing: The key that its MAC is for is not here, and ought to be.
        """
        header = response.header
        answers = (
            header.cra_flag is CRAFlag.RESPONSE
            and header.originator == self.device
            and header.recipient == sent.originator
            and header.message_code == sent.message_code
            and sent.counter in (None, header.originator_counter)
        )
        if not answers:
            raise WrongEntity(
                f"{describe(header)} to {header.recipient} does not answer {sent.what} of "
                f"{sent.originator}"
            )
        needed = response_protection(sent.payload)
        signed_under = self._verify_signature(response) if needed.signature else None
        maced_under, unchecked = None, ""
        if needed.mac:
            try:
                maced_under = self._verify_mac(response)
            except KeyMissing:
                if not sent.is_by_the_dcc:
                    raise
                unchecked = f"its MAC is for {sent.originator}, whose key is not here"
        return _Verified(
            signed_under=signed_under,
            maced_under=maced_under,
            unchecked=unchecked,
            is_by_the_dcc=sent.is_by_the_dcc,
        )

    def _verify_signature(self, message: Message) -> GBCSCertificate:
        """Verify a signature, and return the device's certificate by whose key it is."""
        if not message.signature:
            raise ProtectionMissing(f"{describe(message.header)} carries no signature")
        certificate = signed_under(message, self.candidates(KeyUsage.DIGITAL_SIGNATURE))
        if certificate is not None:
            return certificate
        raise SignatureMismatch(
            f"the signature of {describe(message.header)} is by no key known of the device"
        )

    def _verify_mac(self, message: Message) -> GBCSCertificate:
        """Verify a MAC, and return the device's certificate by whose key it is."""
        agreer = self._run.keys.agreer(message.header.recipient)
        for certificate in self.candidates(KeyUsage.KEY_AGREEMENT):
            try:
                verify_mac(message, self._run.secrets.secret(agreer, certificate.public_key))
            except MACMismatch:
                continue
            return certificate
        raise MACMismatch(f"the MAC of {describe(message.header)} is by no key known of the device")


def _remark(response: Message, lengths_not_minimal: int) -> str:
    if lengths_not_minimal:
        return f"{lengths_not_minimal} payload lengths not minimal"
    return "a header length not minimal" if response.lengths_not_minimal else ""


def _update_credentials(alert: Message) -> UpdateCredentialsAlert | None:
    """Return what a CS02b alert says; others are not decoded."""
    if alert.header.message_code != MessageCode.UPDATE_CREDENTIALS_ALERT:
        return None
    try:
        decoded = decode_payload(alert)
    except ProtocolError:
        return None
    assert decoded is not None
    payload: UpdateCredentialsAlert = decoded.value
    return payload
