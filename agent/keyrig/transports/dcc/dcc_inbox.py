"""What the DCC posts to the agent: recorded in the ledger before it is acknowledged.

Theory of operation. `take` verifies a document, decides what it is about, and commits it to the
ledger as unprocessed; only then is the posting answered. After a crash before the commit the sender
has no acknowledgement and posts again; after one behind it, the next run finds the document among
the unprocessed. The same octets in the same context are recorded once, so both a repeated and a
replayed posting change nothing.

Anybody who reaches the port can post. Accepted without a signature of the DCC are only an alert of
a device whose certificate is known, since the device's own signature is verified when it is
processed, and a response to a request of this agent. Everything else must be signed, or it could
fill the ledger.

Two consumers: the response to the request that is awaited is passed on directly (`expect`,
`response`); everything is also in the ledger, where `receive_alerts` of the conversation reads it.
`expect` comes before the request is posted, so a response cannot be too early. `look` comes before
the ledger is read, so `wait_for_any` returns for a document that was recorded during the reading.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from duis.alert_messages import CommandFailure, DCCAlertMessage, DeviceAlertMessage
from duis.response_documents import FutureDatedDeviceAlertMessage, parse_response
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.protocol_errors import DecodeError, ProtocolError, SecurityError, WrongEntity
from gbcs.roles import KeyUsage
from keyrig.domain.states import ServiceDocumentKind
from keyrig.ledger.service_documents import About

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from duis.document_headers import RequestIdentifier
    from duis.response_documents import Response
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.ledger import Ledger
    from keyrig.transports.dcc.duis_signing import ResponseVerifier

SERVICE: Final = "receive"
SOURCE: Final = "what was posted to the receiver"
_NOTES_MAXIMUM: Final = 32
_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A response that was received.

    Args:
        document_id: Its number in the ledger.
        response: Its content.
        document: The whole document, octet by octet.
        is_signed: Whether its signature verifies.
    """

    document_id: int
    response: Response
    document: bytes = field(repr=False)
    is_signed: bool


class Inbox:
    """Records the documents that the receiver gets, and wakes the run that waits for them.

    `take` is called on the receiver's threads; everything else on the run's.

    Args:
        ledger: Records the documents.
        verifier: Verifies signatures, and decides what is accepted.
        clock: Returns the present instant.
    """

    def __init__(
        self, ledger: Ledger, verifier: ResponseVerifier, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._verifier = verifier
        self._clock = clock
        self._condition = threading.Condition()
        self._awaited: str = ""
        self._arrived: deque[Arrived] = deque()
        self._unseen = 0
        self._refused: deque[str] = deque(maxlen=_NOTES_MAXIMUM)
        self.run_id: str | None = None

    def take(self, document: bytes) -> None:
        """Accept and record a posted document; the same one again changes nothing.

        Raises:
            ProtocolError: It is no such document.
            SecurityError: It does not verify, and is not accepted.
            LedgerError: It could not be recorded; its sender has to send it again.
        """
        try:
            believed = self._verifier.verify(document, SOURCE)
            response = parse_response(believed.octets, SOURCE)
            kind, about = self._sorted(response, is_signed=bool(believed.signer))
        except (ProtocolError, SecurityError) as error:
            with self._condition:
                self._refused.append(printable(str(error), _REASON_CHARACTERS))
            raise
        with self._ledger.transaction():
            if self._ledger.service_documents.has(document, about):
                # Its sender got no acknowledgement, or somebody replays what was overheard.
                return
            document_id = self._ledger.service_documents.record(
                document,
                kind=kind,
                service=SERVICE,
                now=self._clock(),
                about=about,
                signer=believed.signer,
                is_taken=False,
            )
        with self._condition:
            if about.request_id and about.request_id == self._awaited:
                self._arrived.append(
                    Arrived(
                        document_id=document_id,
                        response=response,
                        document=document,
                        is_signed=bool(believed.signer),
                    )
                )
            self._unseen += 1
            self._condition.notify_all()

    def expect(self, request_id: str) -> None:
        """Set the request whose response is awaited from now on."""
        with self._condition:
            self._awaited = request_id
            self._arrived.clear()

    def response(self, timeout_s: float) -> Arrived | None:
        """Return the response to the awaited request, or None if there is none in time."""
        with self._condition:
            self._condition.wait_for(lambda: self._arrived, timeout_s)
            return self._arrived.popleft() if self._arrived else None

    def look(self) -> None:
        """Note that the unprocessed documents of the ledger are about to be read."""
        with self._condition:
            self._unseen = 0

    def wait_for_any(self, timeout_s: float) -> None:
        """Wait until a document was received since `look`, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._unseen, timeout_s)

    def refusals(self) -> tuple[str, ...]:
        """Return why documents were refused since the last call; at most the latest 32."""
        with self._condition:
            refused = tuple(self._refused)
            self._refused.clear()
            return refused

    def _sorted(self, response: Response, *, is_signed: bool) -> tuple[ServiceDocumentKind, About]:
        """Return a document's kind and context."""
        body = response.body
        if isinstance(body, (DeviceAlertMessage, FutureDatedDeviceAlertMessage)):
            device = _originator(body.gbcs_payload)
            is_known = self._ledger.key_changes.candidates(device, KeyUsage.DIGITAL_SIGNATURE)
            if not is_signed and not is_known:
                raise WrongEntity(
                    f"device {device} is not known, and nobody signed it", where=SOURCE
                )
            return ServiceDocumentKind.DEVICE_ALERT, self._about(response, device)
        if isinstance(body, DCCAlertMessage):
            if not is_signed:
                raise WrongEntity("an alert of the DCC that is not signed", where=SOURCE)
            alert = body.dcc_alert
            about = self._about(response, getattr(alert, "device_id", None))
            if isinstance(alert, CommandFailure):
                about = self._of_request(alert.command_request_id, about.device)
            return ServiceDocumentKind.DCC_ALERT, about
        request_id = response.header.request_id
        if request_id is None:
            raise WrongEntity("a response that names no request", where=SOURCE)
        about = self._about(response, request_id.target)
        if about.exchange_id is None and not is_signed:
            # Unsigned and unsolicited documents must not be able to fill the ledger.
            raise WrongEntity(
                "it answers no request of this agent, and is not signed", where=SOURCE
            )
        return ServiceDocumentKind.RESPONSE, about

    def _about(self, response: Response, device: EntityIdentifier | None) -> About:
        request_id = response.header.request_id
        if request_id is None:
            return About(run_id=self.run_id, device=device)
        return self._of_request(request_id, device)

    def _of_request(self, request_id: RequestIdentifier, device: EntityIdentifier | None) -> About:
        exchange_id = self._ledger.service_documents.exchange_of(
            request_id.originator, request_id.counter
        )
        return About(
            run_id=self.run_id,
            exchange_id=exchange_id,
            device=device,
            request_id=str(request_id),
        )


def _originator(gbcs_payload: bytes) -> EntityIdentifier:
    """Return the device that originated a message.

    Raises:
        DecodeError: It is no GBCS message.
    """
    try:
        return Message.parse(gbcs_payload).header.originator
    except DecodeError as error:
        raise DecodeError(
            f"{SOURCE}: its GBCSPayload is no GBCS message: {error}", layer="DUIS"
        ) from error


def described(alert: Any) -> str:
    """Return the subject of a DCC alert, by its payload element."""
    change = getattr(alert, "device_status_change", None)
    name = getattr(alert, "element", None) or type(alert).__name__
    return f"{name}/{type(change).__name__}" if change is not None else str(name)
