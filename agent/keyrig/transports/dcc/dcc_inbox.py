"""What the DCC posts to the agent: kept in the ledger before the DCC hears that it came."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from duis.alerts import CommandFailure, DCCAlertMessage, DeviceAlertMessage
from duis.responses import FutureDatedDeviceAlertMessage, parse_response
from gbcs.errors import DecodeError, ProtocolError, SecurityError, WrongEntity
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.roles import KeyUsage
from keyrig.domain.states import ServiceDocumentKind
from keyrig.ledger.service_documents import About

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from duis.header import RequestIdentifier
    from duis.responses import Response
    from gbcs.entity import EntityIdentifier
    from keyrig.ledger.ledger import Ledger
    from keyrig.transports.dcc.duis_signing import ResponseVerifier

SERVICE: Final = "receive"
SOURCE: Final = "what was posted to the receiver"
_NOTES_MAXIMUM: Final = 32
_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A response that came.

    Args:
        document_id: Its number in the ledger.
        response: What it says.
        document: All of it, as it came.
        is_signed: Whether its signature verifies.
    """

    document_id: int
    response: Response
    document: bytes = field(repr=False)
    is_signed: bool


class Inbox:
    """Takes what the receiver is sent, and wakes whoever waits for it.

    `take` runs on the receiver's threads; everything else on the run's.

    Args:
        ledger: Keeps the documents.
        verifier: Says what is believed.
        clock: Gives the present instant.
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
        """Take one document that was posted; the same again changes nothing.

        Raises:
            ProtocolError: It is no such document.
            SecurityError: It is not believed.
            LedgerError: It could not be kept; its sender is to send it again.
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
                # Its sender did not hear that it came, or somebody shows what he overheard.
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
        """Say which request's response is awaited from now on."""
        with self._condition:
            self._awaited = request_id
            self._arrived.clear()

    def response(self, timeout_s: float) -> Arrived | None:
        """Give what answers the awaited request, or None if nothing does in time."""
        with self._condition:
            self._condition.wait_for(lambda: self._arrived, timeout_s)
            return self._arrived.popleft() if self._arrived else None

    def look(self) -> None:
        """Say that what the ledger has waiting is about to be looked at."""
        with self._condition:
            self._unseen = 0

    def wait_for_any(self, timeout_s: float) -> None:
        """Wait until something has come since `look`, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._unseen, timeout_s)

    def refusals(self) -> tuple[str, ...]:
        """Give why documents were refused since this was last asked; the latest of many."""
        with self._condition:
            refused = tuple(self._refused)
            self._refused.clear()
            return refused

    def _sorted(self, response: Response, *, is_signed: bool) -> tuple[ServiceDocumentKind, About]:
        """Say what a document is, and what it belongs to."""
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
            # What nobody signed and nobody asked for is not let fill the ledger.
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
    """Give the device that made a message.

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
    """Name what a DCC alert tells of, by its payload element."""
    change = getattr(alert, "device_status_change", None)
    name = getattr(alert, "element", None) or type(alert).__name__
    return f"{name}/{type(change).__name__}" if change is not None else str(name)
