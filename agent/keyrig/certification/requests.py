"""Certification requests that wait for an authority, in the ledger and as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyrig.certification.authority import CertificationOrder, Later
from keyrig.certification.by_hand import remove_request
from keyrig.duties.rules import StepKind
from keyrig.ledger.states import EventType, KeyChangeState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from keyrig.certification.authority import CertificateAuthority
    from keyrig.certification.checking import IssuedCertificates
    from keyrig.ledger.key_changes import KeyChange
    from keyrig.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRequest:
    """A certification request that waits for the authority.

    Args:
        change: The key change.
        order: What the authority is asked.
        authority: The authority's name.
        answer: What it said last, in one line.
        folder: Where the request lies as files, or None.
    """

    change: KeyChange
    order: CertificationOrder
    authority: str
    answer: str
    folder: str | None

    @property
    def since(self) -> datetime:
        """When it began to wait."""
        return self.change.changed_at

    def document(self) -> dict[str, Any]:
        """Return the JSON object of it, as the CLI and the API give it."""
        order = self.order
        return {
            "device": str(order.device),
            "key_usage": order.key_usage.gbcs_name,
            "key_identifier": order.key_identifier.hex(),
            "since": f"{self.since:%Y-%m-%dT%H:%M:%SZ}",
            "due_by": None if order.due_by is None else f"{order.due_by:%Y-%m-%dT%H:%M:%SZ}",
            "authority": self.authority,
            "answer": self.answer,
            "file": None if self.folder is None else f"{self.folder}/{order.stem}.csr.pem",
        }


def waiting_requests(
    ledger: Ledger, now: datetime, devices: Collection[EntityIdentifier] = ()
) -> tuple[WaitingRequest, ...]:
    """Return the requests that wait for an authority, the longest waiting first.

    Args:
        ledger: The ledger.
        now: The present instant.
        devices: The devices; all where empty.
    """
    with ledger.reading():
        return tuple(
            _waiting(ledger, change, now) for change in ledger.key_changes.all_waiting(devices)
        )


def _waiting(ledger: Ledger, change: KeyChange, now: datetime) -> WaitingRequest:
    asked = ledger.key_changes.asked(change.id)
    return WaitingRequest(
        change=change,
        order=order_of(ledger, change, now),
        authority=asked.authority,
        answer=asked.answer,
        folder=asked.folder,
    )


def order_of(ledger: Ledger, change: KeyChange, now: datetime) -> CertificationOrder:
    """Return what an authority is asked for a key change, whose request has been received."""
    assert change.csr is not None
    planned = ledger.open_duties.planned(change.device, now)
    deadlines = [
        duty.deadline
        for duty in (planned.duties if planned else ())
        if duty.step is StepKind.REGENERATE_KEYS and duty.deadline is not None
    ]
    return CertificationOrder(
        change.device, change.key_usage, change.csr, min(deadlines) if deadlines else None
    )


def submit(
    ledger: Ledger,
    change: KeyChange,
    authority: CertificateAuthority,
    issued: IssuedCertificates,
    clock: Callable[[], datetime],
) -> KeyChange:
    """Ask an authority for the certificate of a key change, for the first time or again.

    Args:
        ledger: The ledger.
        change: The key change, whose request has been received.
        authority: The authority.
        issued: Checks what it gives.
        clock: Gives the present instant, which is later once the authority has answered.

    Returns:
        The change: with its certificate, or waiting for the authority.

    Raises:
        AuthorityError: The authority cannot be asked, says no, or gives a wrong certificate; the
            change waits on.
    """
    order = order_of(ledger, change, clock())
    answer = authority.certify(order, clock())
    now = clock()
    if isinstance(answer, Later):
        begins = change.state is not KeyChangeState.WAITING_FOR_AUTHORITY
        with ledger.transaction():
            change = ledger.key_changes.waiting_for_authority(
                change.id,
                now,
                authority=authority.name,
                answer=answer.answer,
                folder=answer.folder,
            )
            if begins:
                _tell(ledger, order, now, "waiting", authority.name, answer.answer)
                ledger.open_duties.refresh(change.device, now)
        return change
    certificate = issued.choose(answer, order, authority=authority.name, at=now)
    return record_issued(ledger, change, certificate, issued, now, authority=authority.name)


def record_issued(
    ledger: Ledger,
    change: KeyChange,
    certificate: GBCSCertificate,
    issued: IssuedCertificates,
    now: datetime,
    *,
    authority: str,
) -> KeyChange:
    """Record the certificate of a key change, which has been checked, and keep it.

    Raises:
        LedgerRefused: The change awaits none.
        KeyStoreError: The key store cannot keep it; nothing was recorded.
    """
    order = order_of(ledger, change, now)
    waited = change.state is KeyChangeState.WAITING_FOR_AUTHORITY
    folder = ledger.key_changes.asked(change.id).folder if waited else None
    issued.keep(certificate)
    with ledger.transaction():
        change = ledger.key_changes.certificate_issued(change.id, certificate.der, now)
        if waited:
            _tell(ledger, order, now, "certified", authority, "")
            ledger.open_duties.refresh(change.device, now)
    if folder is not None:
        remove_request(Path(folder), order.stem)
    return change


def void(ledger: Ledger, request: WaitingRequest, reason: str, now: datetime) -> None:
    """Give up a request that waits, so that the next run has the device make another key.

    Raises:
        LedgerRefused: It waits no more.
    """
    with ledger.transaction():
        ledger.key_changes.abandoned(request.change.id, now, detail=f"void: {reason}")
        _tell(ledger, request.order, now, "void", request.authority, reason)
        ledger.open_duties.refresh(request.change.device, now)
    if request.folder is not None:
        remove_request(Path(request.folder), request.order.stem)


def _tell(
    ledger: Ledger,
    order: CertificationOrder,
    now: datetime,
    state: str,
    authority: str,
    reason: str,
) -> None:
    ledger.outbox.append(
        EventType.CERTIFICATION_REQUEST,
        order.device,
        now,
        {
            "state": state,
            "key_usage": order.key_usage.gbcs_name,
            "key_identifier": order.key_identifier.hex(),
            "due_by": None if order.due_by is None else order.due_by.isoformat(),
            "authority": authority,
            "reason": reason,
        },
    )
