"""Taking in what authorities gave for the requests that wait; a wrong one changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbcs.errors import CertificateRejected
from gbcs.keys import public_octets
from keyrig.certification.requests import order_of, record_issued, waiting_requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from gbcs.certificates import GBCSCertificate
    from keyrig.certification.checking import IssuedCertificates
    from keyrig.certification.given import GivenCertificate
    from keyrig.ledger.key_changes import KeyChange
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

    def document(self) -> dict[str, Any]:
        """Return the JSON object of it."""
        return {
            "source": self.source,
            "certificate": self.certificate,
            "taken": self.is_taken,
            "refused": self.is_refused,
            "rule": self.rule or None,
            "outcome": self.outcome,
        }


def take_in(
    ledger: Ledger, given: Iterable[GivenCertificate], issued: IssuedCertificates, now: datetime
) -> tuple[TakenIn, ...]:
    """Record the certificates that are right for requests that wait, each by itself.

    A certificate is for the request whose key it has. One of an authority, as it comes along in a
    chain, is passed over.

    Args:
        ledger: Has the requests.
        given: What the authority gave.
        issued: Checks by the key store's authorities, and keeps what is right.
        now: The present instant.
    """
    waiting = {
        request.order.public_octets: request.change for request in waiting_requests(ledger, now)
    }
    return tuple(_taken(ledger, each, waiting, issued, now) for each in given)


def _taken(
    ledger: Ledger,
    given: GivenCertificate,
    waiting: dict[bytes, KeyChange],
    issued: IssuedCertificates,
    now: datetime,
) -> TakenIn:
    certificate = given.certificate
    try:
        if certificate.profile.is_authority:
            return TakenIn(
                source=given.source,
                certificate=str(certificate),
                outcome=f"{certificate}: of an authority, passed over",
            )
        change = _asked_for(ledger, certificate, waiting, now)
        if change.certificate == certificate.der:
            return TakenIn(
                source=given.source,
                certificate=str(certificate),
                outcome=f"{certificate}: taken before",
            )
        order = order_of(ledger, change, now)
        issued.check(certificate, order, now)
    except CertificateRejected as error:
        return TakenIn(
            source=given.source,
            certificate=str(certificate),
            outcome=f"refused: {error}",
            is_refused=True,
            rule=error.rule,
        )
    record_issued(ledger, change, certificate, issued, now, authority=BY_HAND)
    del waiting[order.public_octets]
    return TakenIn(
        source=given.source,
        certificate=str(certificate),
        outcome=f"taken for the {order}",
        is_taken=True,
    )


def _asked_for(
    ledger: Ledger,
    certificate: GBCSCertificate,
    waiting: Mapping[bytes, KeyChange],
    now: datetime,
) -> KeyChange:
    """Return the key change whose request waits for a certificate, or that has it already.

    Raises:
        CertificateRejected: No request waits for a certificate of its key.
    """
    point = public_octets(certificate.public_key)
    if point in waiting:
        return waiting[point]
    named = certificate.entity_id
    history = () if named is None else ledger.key_changes.history(named, certificate.key_usage)
    for change in history:
        if change.csr is None or order_of(ledger, change, now).public_octets != point:
            continue
        if change.certificate != certificate.der:
            raise CertificateRejected(
                "certified-before", "its request waits no more", str(certificate)
            )
        return change
    if any(change.device == named for change in waiting.values()):
        raise CertificateRejected(
            "wrong-key", "its key is not that of the device's request", str(certificate)
        )
    raise CertificateRejected("no-request", "no request is for its key", str(certificate))
