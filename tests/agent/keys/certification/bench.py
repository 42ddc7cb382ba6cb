"""A key store, a ledger and devices whose certification requests wait."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gbcs.certificate_issuing import device_certificate
from gbcs.certification_request import build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from keyrig.keys.certification_order import CertificationOrder, Later
from keyrig.keys.given_certificates import GivenCertificate
from keyrig.keys.issued_certificates import IssuedCertificates
from keyrig.keys.key_store import Authority
from keyrig.keys.lab_pki import initialise
from keyrig.keys.store_opening import open_keystore
from keyrig.run.certification_requests import submit
from keyrig.run.waiting_requests import waiting_requests
from meterstub.key_pair import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.domain.key_changes import KeyChange
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.waiting_requests import WaitingRequest

DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
Answer: TypeAlias = "Sequence[GivenCertificate] | Later | Exception"
DEVICE = EntityIdentifier.parse("00db1234567890a0")
OTHER = EntityIdentifier.parse("00db1234567890a1")
NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(hours=5)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(certificate: GBCSCertificate) -> bytes:
    return certificate.decoded.public_bytes(Encoding.PEM)


def given(*certificates: GBCSCertificate) -> list[GivenCertificate]:
    return [GivenCertificate(each, f"file {at}") for at, each in enumerate(certificates, 1)]


@dataclass
class Saying:
    """An authority that answers what it is told to, or does what a test has it do meanwhile."""

    answer: Answer
    meanwhile: Callable[[], object] = field(default=lambda: None)
    name: str = "the authority"
    asked: list[CertificationOrder] = field(default_factory=list)

    def probe(self) -> str:
        return "ready"

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        del now
        self.asked.append(order)
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class CertificationBench:
    """Devices' keys and requests, over a test PKI in `folder`/pki and a ledger beside it."""

    folder: Path
    ledger: Ledger
    keys: dict[tuple[EntityIdentifier, KeyUsage], ec.EllipticCurvePrivateKey] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if not self.keystore.exists():
            initialise(self.keystore, NOW, os.urandom)

    @property
    def keystore(self) -> Path:
        return self.folder / "pki"

    @property
    def requests_folder(self) -> Path:
        return self.folder / "requests"

    @property
    def issued(self) -> IssuedCertificates:
        return IssuedCertificates(open_keystore(self.keystore))

    def received(self, usage: KeyUsage = DS, device: EntityIdentifier = DEVICE) -> KeyChange:
        """Bring a change to where the device has given its request."""
        key = self.keys[device, usage] = generate_key()
        change = self.ledger.key_changes.request(device, usage, None, NOW)
        request = build_certification_request(key, usage, device)
        return self.ledger.key_changes.csr_received(change.id, request, NOW)

    def submitted(
        self,
        authority: CertificateAuthority,
        usage: KeyUsage = DS,
        device: EntityIdentifier = DEVICE,
    ) -> KeyChange:
        return submit(
            self.ledger, self.received(usage, device), authority, self.issued, lambda: NOW
        )

    def waiting(self, usage: KeyUsage = DS, device: EntityIdentifier = DEVICE) -> WaitingRequest:
        """Bring a change to where its request waits, without files."""
        change = self.submitted(Saying(Later("in a week")), usage, device)
        (found,) = [
            each for each in waiting_requests(self.ledger, NOW) if each.change.id == change.id
        ]
        return found

    def again(self, change: KeyChange) -> KeyChange:
        return self.ledger.key_changes.change(change.id)

    def certified(
        self, usage: KeyUsage = DS, device: EntityIdentifier = DEVICE, **changes: Any
    ) -> GBCSCertificate:
        """Issue what the request of a device asks for; `changes` are what is wrong with it."""
        issuer = open_keystore(self.keystore).issuer(Authority.DEVICE_ISSUING)
        arguments: dict[str, Any] = {
            "serial": int.from_bytes(os.urandom(8)) | 1 << 64,
            "not_before": NOW - timedelta(hours=1),
            "entity_id": device,
            "key_usage": usage,
            "public_key": self.keys[device, usage].public_key(),
        } | changes
        return device_certificate(issuer, **arguments)

    def events(self) -> list[Mapping[str, Any]]:
        """Return what was told of requests, oldest first."""
        return [event.body for event in self.ledger.outbox.all()]
