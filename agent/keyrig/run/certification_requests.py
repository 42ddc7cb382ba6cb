"""Asking an authority for certificates: what came of it, in the ledger and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.base.clock import instant_text
from keyrig.base.errors import AuthorityError, AuthorityUnavailable, LedgerRefused
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.states import EventType
from keyrig.keys.authority_by_hand import remove_request
from keyrig.keys.certification_order import USE_NAMES, CertificationOrder, Later, request_file
from keyrig.run.waiting_requests import AWAITING, order_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.domain.key_changes import KeyChange
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.issued_certificates import IssuedCertificates
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.waiting_requests import WaitingRequest


def submit(
    ledger: Ledger,
    change: KeyChange,
    authority: CertificateAuthority,
    issued: IssuedCertificates,
    clock: Callable[[], datetime],
) -> KeyChange:
    """Ask an authority for the certificate of a key change, for the first time or again.

    Where the authority does not do it, both requests of the device wait: the next run asks again,
    without a visit.

    Args:
        ledger: The ledger.
        change: The key change, whose request has been received.
        authority: The authority.
        issued: Checks what it gives.
        clock: Gives the present instant, which is later once the authority has answered.

    Returns:
        The change: with its certificate, also where that came in another way meanwhile; or waiting
        for the authority.

    Raises:
        AuthorityError: The authority cannot be asked, says no, or gives a wrong certificate, and
            the change waits on; or the request was given up meanwhile.
        KeyStoreError: The key store cannot keep the certificate; nothing was recorded.
    """
    order = order_of(ledger, change, clock())
    if ledger.key_changes.change(change.id).state in AWAITING:
        said = _asked(authority, order, issued, clock)
    else:
        said = Later("")
    now = clock()
    with ledger.transaction():
        standing = ledger.key_changes.change(change.id)
        awaits = standing.state in AWAITING
        left_in = _folder(ledger, standing)
        if awaits:
            standing = _said(ledger, standing, order, authority.name, said, issued, now)
        if _folder(ledger, standing) == left_in:
            left_in = None
    _remove(left_in, order)
    if awaits and isinstance(said, AuthorityError):
        raise said
    if isinstance(said, Later) and said.folder is not None:
        _remove_older(ledger, standing, said.folder)
    if standing.state is KeyChangeState.ABANDONED:
        raise AuthorityUnavailable(
            str(order), "was given up", "run again, and the device makes another key"
        )
    return standing


def _asked(
    authority: CertificateAuthority,
    order: CertificationOrder,
    issued: IssuedCertificates,
    clock: Callable[[], datetime],
) -> Later | GBCSCertificate | AuthorityError:
    """Return an authority's answer to a request, a certificate checked, or why there is none."""
    try:
        given = authority.certify(order, clock())
        if isinstance(given, Later):
            return given
        return issued.choose(given, order, authority=authority.name, at=clock())
    except AuthorityError as error:
        return error


def _said(
    ledger: Ledger,
    change: KeyChange,
    order: CertificationOrder,
    authority: str,
    said: Later | GBCSCertificate | AuthorityError,
    issued: IssuedCertificates,
    now: datetime,
) -> KeyChange:
    """Record what an authority made of the request of a change, which awaits its certificate."""
    if isinstance(said, Later):
        return _wait(ledger, change, order, authority, said, now)
    if not isinstance(said, AuthorityError):
        return _issue(ledger, change, order, said, issued, now, authority)
    answer = Later(f"{said.where}: {said.reason}", _folder(ledger, change))
    for other in _others_received(ledger, change):
        _wait(ledger, other, order_of(ledger, other, now), authority, answer, now)
    return _wait(ledger, change, order, authority, answer, now)


def _wait(
    ledger: Ledger,
    change: KeyChange,
    order: CertificationOrder,
    authority: str,
    answer: Later,
    now: datetime,
) -> KeyChange:
    begins = change.state is not KeyChangeState.WAITING_FOR_AUTHORITY
    waiting = ledger.key_changes.waiting_for_authority(
        change.id, now, authority=authority, answer=answer.answer, folder=answer.folder
    )
    if begins:
        _tell(ledger, order, now, "waiting", authority, answer.answer)
        ledger.open_duties.refresh(change.device, now)
    return waiting


def _others_received(ledger: Ledger, change: KeyChange) -> tuple[KeyChange, ...]:
    """Return the device's other changes whose requests no authority was asked yet."""
    opened = (ledger.key_changes.open(change.device, usage) for usage in USE_NAMES)
    return tuple(
        each
        for each in opened
        if each is not None and each.id != change.id and each.state is KeyChangeState.CSR_RECEIVED
    )


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
    with ledger.transaction():
        standing = ledger.key_changes.change(change.id)
        left_in = _folder(ledger, standing)
        changed = _issue(ledger, standing, order, certificate, issued, now, authority)
    _remove(left_in, order)
    return changed


def _issue(
    ledger: Ledger,
    change: KeyChange,
    order: CertificationOrder,
    certificate: GBCSCertificate,
    issued: IssuedCertificates,
    now: datetime,
    authority: str,
) -> KeyChange:
    _require_awaiting(change, order)
    issued.keep(certificate)
    changed = ledger.key_changes.certificate_issued(change.id, certificate.der, now)
    if change.state is KeyChangeState.WAITING_FOR_AUTHORITY:
        _tell(ledger, order, now, "certified", authority, "")
        ledger.open_duties.refresh(change.device, now)
    return changed


def void(ledger: Ledger, request: WaitingRequest, reason: str, now: datetime) -> None:
    """Void a request that waits, so that the next run has the device make another key.

    Raises:
        LedgerRefused: It waits no more.
    """
    with ledger.transaction():
        standing = ledger.key_changes.change(request.change.id)
        # What was shown as waiting may have been certified since, and be in the device by now.
        _require_awaiting(standing, request.order)
        ledger.key_changes.abandoned(standing.id, now, detail=f"void: {reason}")
        _tell(ledger, request.order, now, "void", request.authority, reason)
        ledger.open_duties.refresh(standing.device, now)
    _remove(request.folder, request.order)


def _require_awaiting(change: KeyChange, order: CertificationOrder) -> None:
    if change.state not in AWAITING:
        raise LedgerRefused(f"the {order} waits no more", f"its change is {change.state.value}")


def _folder(ledger: Ledger, change: KeyChange) -> str | None:
    """Return where the request of a change lies as files, or None."""
    is_waiting = change.state is KeyChangeState.WAITING_FOR_AUTHORITY
    return ledger.key_changes.asked(change.id).folder if is_waiting else None


def _remove(folder: str | None, order: CertificationOrder) -> None:
    if folder is not None:
        remove_request(Path(folder), order.stem)


def _remove_older(ledger: Ledger, change: KeyChange, folder: str) -> None:
    """Remove files of the device's requests that wait no more, such as a killed process leaves."""
    for each in ledger.key_changes.history(change.device, change.key_usage):
        if each.state not in AWAITING:
            _remove_left(each, folder)


def remove_left_files(ledger: Ledger, change: KeyChange) -> None:
    """Remove files that a process which was killed left of a request that waits no more."""
    try:
        folder = ledger.key_changes.asked(change.id).folder
    except LedgerRefused:
        return
    if folder is not None:
        _remove_left(change, folder)


def _remove_left(change: KeyChange, folder: str) -> None:
    if change.csr is None:
        return
    stem = CertificationOrder(change.device, change.key_usage, change.csr, None).stem
    if request_file(Path(folder), stem).exists():
        remove_request(Path(folder), stem)


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
            "due_by": None if order.due_by is None else instant_text(order.due_by),
            "authority": authority,
            "reason": reason,
        },
    )
