"""What is kept of one device's messages, by a run as by a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.certificates import GBCSCertificate
from gbcs.errors import ProtocolError, SignatureMismatch
from gbcs.printable import printable
from gbcs.protection import verify_signature
from gbcs.use_cases import MessageCode, decode_payload
from keyrig.base import events
from keyrig.domain.states import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from gbcs.message import Message
    from gbcs.roles import KeyUsage
    from gbcs.security_credentials import UpdateCredentialsAlert
    from keyrig.session.session_context import OnAlert, Surroundings


class DeviceRecord:
    """Keeps and tells what goes to one device and what comes from it.

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
        """Tell of something that came and was set aside."""
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
        """Transcribe, record and tell an alert, whether or not it verifies.

        Args:
            alert: The alert.
            why_not: Why it is not verified; None where it is.
            run_id: The run in which it came, if it was one.
            on_alert: Is given a signed CS02b alert that verifies and can be read, in the
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
        """Queue for upstream that something false came; call it in a transaction."""
        self.surroundings.ledger.outbox.append(
            EventType.SECURITY_INCIDENT, self.device, now, {**about, "reason": reason}
        )

    def tell_incident(self, reason: str, *, position: int | None = None) -> None:
        """Tell that something false came."""
        self.surroundings.observe(
            events.SecurityIncident(
                device=str(self.device), reason=printable(reason), position=position
            )
        )

    def tell_unanswered(self, counter: int | None, waited_s: float) -> None:
        """Tell that no response came in time."""
        self.surroundings.observe(
            events.NoResponse(device=str(self.device), counter=counter, waited_s=waited_s)
        )


def signed_under(
    message: Message, certificates: Iterable[GBCSCertificate]
) -> GBCSCertificate | None:
    """Return the certificate by whose key a message is signed; None where it is by none's."""
    for certificate in certificates:
        try:
            verify_signature(message, certificate.public_key)
        except SignatureMismatch:
            continue
        return certificate
    return None


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
