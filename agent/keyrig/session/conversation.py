"""A conversation with one device: what makes a command acceptable, and an answer believed.

It owns the originator counter (in the ledger before the octets leave), the keys that sign and
MAC, the time-out and repetition of one exchange, and the verification of what comes back. Only
verified responses leave it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gbcs.message import CRAFlag, Header, Message, OtherInformation
from gbcs.protection import protect, verify_signature
from gbcs.roles import KeyUsage
from gbcs.use_cases import Protection, command_protection, compose
from keyrig.base import events
from keyrig.base.errors import KeyMissing, LinkError, LinkTimeout, RunStopped
from keyrig.domain.states import ExchangeOutcome
from keyrig.session.device_messages import DeviceMessages, Sent
from keyrig.session.line_exchange import LineExchange
from keyrig.session.steps.effects import NoResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import Signer
    from keyrig.session.link import Link
    from keyrig.session.session_context import OnAlert, SessionContext
    from keyrig.session.steps.effects import Answer, Ask

SENDINGS: Final = 2
"""How often a command is sent before it counts as unanswered."""


def composed_command(ask: Ask, device: EntityIdentifier, counter: int) -> tuple[Message, Any]:
    """Compose what a step asks for, unprotected; give it with its payload's value.

    Args:
        ask: What is asked for.
        device: Whom the command is for.
        counter: The originator counter that was reserved for it.
    """
    payload = ask.payload(counter)
    header = Header(
        cra_flag=CRAFlag.COMMAND,
        originator_counter=counter,
        originator=ask.originator,
        recipient=device,
        other_information=OtherInformation(ask.message_code),
    )
    return compose(header, payload), payload


def protect_checked(
    message: Message, *, signer: Signer | None = None, shared_secret: bytes | None = None
) -> Message:
    """Sign and MAC a command, and see that the signature is the signer's own.

    Raises:
        SignatureMismatch: It is not.
        LocalProtocolError: Neither is given; no message goes out unprotected.
    """
    protected = protect(message, signer=signer, shared_secret=shared_secret)
    if signer is not None:
        # A signature that its own key does not verify must not leave: it may betray the key.
        verify_signature(protected, signer.public_key)
    return protected


@dataclass(frozen=True, slots=True)
class _OnLine:
    """A command that is on the line."""

    message: Message
    sent: Sent
    agreed_under: bytes | None


class LinkConversation:
    """Exchanges verified messages with one device over one link.

    Args:
        device: Whom the commands are for, and who must have made what comes.
        link: Carries the messages; opened and closed by the caller.
        session: What the run shares.
        timeout_s: How long one sending of a command is waited for, in seconds.
        on_alert: Is given each verified CS02b alert, with whom it is for and its id in the
            ledger, in the transaction that records it.
    """

    def __init__(
        self,
        *,
        device: EntityIdentifier,
        link: Link,
        session: SessionContext,
        timeout_s: float,
        on_alert: OnAlert | None = None,
    ) -> None:
        self.device = device
        self._run = session
        self._messages = DeviceMessages(device, session, on_alert)
        self._line = LineExchange(
            link, self._messages, timeout_s=timeout_s, take_alert=self._messages.take_alert
        )

    def exchange(self, ask: Ask, attempt_id: int | None) -> Answer:
        """Send a command and give its verified response.

        A command that is repeatable is sent anew when no response comes; any other is sent
        again as the same octets. While the device's key agreement key is in doubt, each
        candidate is tried, unless the step names one.

        Raises:
            NoResponse: None came; the device may have executed the command.
            SecurityError: One came that fails verification; recorded as an incident.
            StepFailed: A verified one came that cannot be read.
            WrongDevice: Another device answers.
            KeyStoreError: A key that the command needs is missing or locked.
            LinkError: The link does not carry the command.
            RunStopped: Somebody asked the run to stop before the next sending.
        """
        candidates = self._agreement_certificates(ask)
        open_sent: dict[GBCSCertificate, _OnLine] = {}
        for certificate in candidates * SENDINGS:
            self._go_on(open_sent.values())
            going = open_sent.get(certificate) or self._prepare(ask, certificate, attempt_id)
            response = self._send_and_wait(going)
            if response is not None:
                for other in open_sent.values():
                    if other is not going:
                        self._unanswered(other)
                answer = self._messages.accept(going.sent, response)
                return replace(answer, agreed_under=going.agreed_under)
            if ask.repeatable:
                self._unanswered(going)
            else:
                open_sent[certificate] = going
        for going in open_sent.values():
            self._unanswered(going)
        raise NoResponse(ask.what, self._line.timeout_s * len(candidates) * SENDINGS)

    def _go_on(self, open_sent: Iterable[_OnLine]) -> None:
        """Go on unless the run is stopped; what was sent and not answered stays in doubt."""
        try:
            self._run.go_on()
        except RunStopped as stopped:
            for going in open_sent:
                self._messages.end(going.sent, ExchangeOutcome.INTERRUPTED, str(stopped))
            raise

    def receive_alerts(self, wait_s: float = 0) -> bool:
        """Receive what came unasked; return whether anything had.

        Args:
            wait_s: How long to wait for the first; what comes with it is taken too.
        """
        return bool([*self._line.unasked(wait_s, lambda _: False)])

    def _agreement_certificates(self, ask: Ask) -> tuple[GBCSCertificate, ...]:
        candidates = self._messages.candidates(KeyUsage.KEY_AGREEMENT)
        if ask.agreement_certificate is not None:
            return tuple(each for each in candidates if each.der == ask.agreement_certificate)
        if not candidates:
            raise KeyMissing("the key store", f"key agreement certificate of device {self.device}")
        return candidates

    def _prepare(self, ask: Ask, certificate: GBCSCertificate, attempt_id: int | None) -> _OnLine:
        """Reserve the counter, protect the command, and have both in the ledger."""
        run = self._run
        now = run.clock()
        with run.ledger.transaction():
            counter = run.ledger.counters.reserve(ask.originator, now)
            composed, payload = composed_command(ask, self.device, counter)
            message = self._protect(composed, payload, certificate, ask)
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
        sent = Sent(
            what=ask.what,
            originator=ask.originator,
            message_code=ask.message_code,
            counter=counter,
            payload=payload,
            exchange_id=exchange_id,
        )
        return _OnLine(message, sent, certificate.der if message.mac else None)

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
        return protect_checked(message, signer=signer, shared_secret=secret)

    def _send_and_wait(self, going: _OnLine) -> Message | None:
        sent = going.sent
        told = events.CommandSent(
            device=str(self.device),
            what=sent.what,
            counter=sent.counter,
            octets=len(going.message.octets),
            timeout_s=self._line.timeout_s,
        )
        try:
            self._line.send(going.message.octets, told)
            return next(
                self._line.answers(lambda header: header.originator_counter == sent.counter), None
            )
        except LinkTimeout:
            return None
        except LinkError as error:
            self._messages.end(sent, ExchangeOutcome.INTERRUPTED, str(error))
            raise

    def _unanswered(self, going: _OnLine) -> None:
        self._messages.unanswered(going.sent, self._line.timeout_s)
