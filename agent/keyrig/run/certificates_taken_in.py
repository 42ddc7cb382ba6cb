"""Taking in what authorities gave for the requests that wait; a wrong one changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.certification_request import CertificationRequest
from gbcs.key_holders import public_octets
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected
from keyrig.domain.key_changes import KeyChange, KeyChangeState
from keyrig.run.certification_requests import record_issued, remove_left_files
from keyrig.run.waiting_requests import AWAITING, order_of, waiting_requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.given_certificates import GivenCertificate
    from keyrig.keys.issued_certificates import IssuedCertificates
    from keyrig.ledger.ledger import Ledger

BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What became of one certificate that was given.

    Args:
        source: The file, and the place in it.
        outcome: What became of it, in one line.
        certificate: Whom and which use it names, for people.
        is_taken: It was recorded for its request now.
        is_refused: It is wrong, and nothing was changed for it.
        rule: The rule that it breaks, where it is refused; else "".
    """

    source: str
    outcome: str
    certificate: str
    is_taken: bool = False
    is_refused: bool = False
    rule: str = ""


def take_in(
    ledger: Ledger, given: Iterable[GivenCertificate], issued: IssuedCertificates, now: datetime
) -> Iterator[TakenIn]:
    """Record the certificates that are right for requests that wait, each by itself.

    A certificate is for the request whose key it has. One of an authority, as it comes along in a
    chain, is passed over. Where several are right for one key, none of them is taken.

    Args:
        ledger: Has the requests.
        given: What the authority gave.
        issued: Checks by the key store's authorities, and keeps what is right.
        now: The present instant.

    Yields:
        What became of each, in their order, once it is recorded.

    Raises:
        KeyStoreError: The key store cannot keep one; those before it are recorded.
    """
    waiting = {
        request.order.public_octets: request.change for request in waiting_requests(ledger, now)
    }
    judged = [(each, _judged(ledger, each.certificate, waiting, issued, now)) for each in given]
    right: dict[int, set[bytes]] = {}
    for each, verdict in judged:
        if isinstance(verdict, KeyChange):
            right.setdefault(verdict.id, set()).add(each.certificate.der)
    for each, verdict in judged:
        certificate = each.certificate
        try:
            if verdict is None:
                outcome, is_taken = f"{certificate}: of an authority, passed over", False
            elif isinstance(verdict, CertificateRejected):
                raise verdict
            else:
                rivals = len(right[verdict.id])
                outcome, is_taken = _taken(ledger, certificate, verdict, rivals, issued, now)
        except CertificateRejected as error:
            yield TakenIn(
                source=each.source,
                certificate=str(certificate),
                outcome=f"refused: {error}",
                is_refused=True,
                rule=error.rule,
            )
        else:
            yield TakenIn(
                source=each.source,
                certificate=str(certificate),
                outcome=outcome,
                is_taken=is_taken,
            )


def _judged(
    ledger: Ledger,
    certificate: GBCSCertificate,
    waiting: Mapping[bytes, KeyChange],
    issued: IssuedCertificates,
    now: datetime,
) -> KeyChange | CertificateRejected | None:
    """Return the change that a certificate is right for, why it is wrong, or None for a chain's."""
    try:
        if certificate.profile.is_authority:
            return None
        change = _asked_for(ledger, certificate, waiting)
        if change.certificate != certificate.der:
            issued.check(certificate, order_of(ledger, change, now), now)
    except CertificateRejected as error:
        return error
    return change


def _taken(
    ledger: Ledger,
    certificate: GBCSCertificate,
    change: KeyChange,
    rivals: int,
    issued: IssuedCertificates,
    now: datetime,
) -> tuple[str, bool]:
    """Record a certificate that is right for a change, unless it has been.

    Args:
        ledger: Has the change.
        certificate: The certificate.
        change: The change, as it was when the certificate was judged.
        rivals: How many different certificates were given that are right for it.
        issued: Keeps it.
        now: The present instant.

    Returns:
        What became of it, in one line, and whether it was recorded.

    Raises:
        CertificateRejected: Its request waits no more, or not for it alone.
    """
    order = order_of(ledger, change, now)
    with ledger.transaction():
        standing = ledger.key_changes.change(change.id)
        if standing.state not in AWAITING:
            _require_same(ledger, standing, certificate)
        elif rivals > 1:
            raise CertificateRejected(
                "several-certificates",
                f"one of {rivals} for the {order}; give the one that the authority means to stand",
                str(certificate),
            )
        else:
            record_issued(ledger, standing, certificate, issued, now, authority=BY_HAND)
            return f"taken for the {order}", True
    remove_left_files(ledger, standing)
    return f"{certificate}: taken before", False


def _require_same(ledger: Ledger, change: KeyChange, certificate: GBCSCertificate) -> None:
    """Raise CertificateRejected unless a change that waits no more has this very certificate."""
    if change.state is KeyChangeState.ABANDONED:
        why = printable(ledger.key_changes.moves(change.id)[-1].detail)
        raise CertificateRejected(
            "request-void", f"its request was given up ({why})", str(certificate)
        )
    if change.certificate != certificate.der:
        raise CertificateRejected("certified-before", "its request waits no more", str(certificate))


def _asked_for(
    ledger: Ledger, certificate: GBCSCertificate, waiting: Mapping[bytes, KeyChange]
) -> KeyChange:
    """Return the key change whose request awaits a certificate, or that has it already.

    Raises:
        CertificateRejected: No request awaits a certificate of its key.
    """
    point = public_octets(certificate.public_key)
    if point in waiting:
        return waiting[point]
    named = certificate.entity_id
    history = () if named is None else ledger.key_changes.history(named, certificate.key_usage)
    for change in history:
        if change.csr is None or _requested_point(change.csr) != point:
            continue
        if change.state not in AWAITING:
            _require_same(ledger, change, certificate)
        return change
    if any(change.device == named for change in waiting.values()):
        raise CertificateRejected(
            "wrong-key", "its key is not that of the device's request", str(certificate)
        )
    raise CertificateRejected("no-request", "no request is for its key", str(certificate))


def _requested_point(csr: bytes) -> bytes:
    return public_octets(CertificationRequest.from_der(csr).public_key)
