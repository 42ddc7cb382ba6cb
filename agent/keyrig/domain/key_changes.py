"""Re-generations of devices' keys: their states, and the certificates that result."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage


class KeyChangeState(enum.Enum):
    """The state of a re-generated key of a device."""

    REQUESTED = "requested"
    """CS02c is about to be sent or was."""
    CSR_RECEIVED = "csr-received"
    WAITING_FOR_AUTHORITY = "waiting-for-authority"
    """The authority has the request, and has not certified it yet."""
    CERTIFICATE_ISSUED = "certificate-issued"
    STORING = "storing"
    """CS02d is about to be sent or was; the device may hold either certificate."""
    STORED = "stored"
    """The device said that it stored the certificate."""
    CONFIRMED = "confirmed"
    """CS02e reported the certificate, and the device used its key in an exchange."""
    ABANDONED = "abandoned"


_S = KeyChangeState
KEY_CHANGE_MOVES: Final[dict[KeyChangeState, frozenset[KeyChangeState]]] = {
    _S.REQUESTED: frozenset({_S.CSR_RECEIVED, _S.ABANDONED}),
    _S.CSR_RECEIVED: frozenset({_S.WAITING_FOR_AUTHORITY, _S.CERTIFICATE_ISSUED, _S.ABANDONED}),
    _S.WAITING_FOR_AUTHORITY: frozenset({_S.CERTIFICATE_ISSUED, _S.ABANDONED}),
    _S.CERTIFICATE_ISSUED: frozenset({_S.STORING, _S.ABANDONED}),
    _S.STORING: frozenset({_S.STORED, _S.CONFIRMED, _S.CERTIFICATE_ISSUED, _S.ABANDONED}),
    _S.STORED: frozenset({_S.CONFIRMED, _S.ABANDONED}),
    _S.CONFIRMED: frozenset(),
    _S.ABANDONED: frozenset(),
}
"""The legal transitions; STORING goes back where the device refused the certificate, and
straight to CONFIRMED where CS02e shows it after the answer to CS02d was lost."""

KEY_CHANGE_ENDS: Final = frozenset({_S.CONFIRMED, _S.ABANDONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One re-generation of one key of a device; certificate and request are DER."""

    id: int
    device: EntityIdentifier
    key_usage: KeyUsage
    state: KeyChangeState
    run_id: str | None
    csr: bytes | None = field(repr=False)
    certificate: bytes | None = field(repr=False)
    requested_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangeMove:
    """One transition of a key change, with its reason."""

    state: KeyChangeState
    at: datetime
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCertificate:
    """A certificate that a device uses, or may use where `certain` is false; DER."""

    certificate: bytes = field(repr=False)
    certain: bool
    since: datetime
    until: datetime | None
    key_change_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityAsked:
    """The authority that has a request, with its last answer and the time of it."""

    authority: str
    answer: str
    folder: str | None
    at: datetime
