"""Authorities made in the run, and certificates that break one rule each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certificate_issuing import (
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    organisation_certificate,
    root_certificate,
)
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage, RemotePartyRole

if TYPE_CHECKING:
    from collections.abc import Callable

SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
DEVICE = EntityIdentifier.parse("00db1234567890a0")
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2035, 12, 31, 23, 59, 59, tzinfo=UTC)
DURING = datetime(2026, 6, 1, tzinfo=UTC)

SHARED = Path(__file__).parents[1] / ".." / "shared"
REFERENCE_KEYSTORE = SHARED / "rtds" / "keystore"
REFERENCE_MESSAGES = SHARED / "rtds" / "messages"


def needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"{folder.name} is not beside the tree")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class MemorySigner:
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.key.public_key()

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self.key, hashes.SHA256())


@dataclass
class Authorities:
    """A root, its issuing authority and its device issuing authority."""

    name: str = "T"
    serial: int = 1

    def issuance(self, start: datetime = START, end: datetime = END) -> Issuance:
        self.serial += 1
        return Issuance(serial=self.serial, not_before=start, not_after=end)

    @cached_property
    def root(self) -> Issuer:
        signer = MemorySigner()
        return Issuer(
            signer, root_certificate(signer, self.issuance(), common_name=f"{self.name}A")
        )

    @cached_property
    def issuing(self) -> Issuer:
        return self.below(self.root)

    @cached_property
    def device_issuing(self) -> Issuer:
        signer = MemorySigner()
        certificate = issuing_certificate(
            self.root,
            self.issuance(),
            common_name=f"{self.name}D1",
            public_key=signer.public_key,
            role=None,
        )
        return Issuer(signer, certificate)

    def below(self, issuer: Issuer, start: datetime = START, end: datetime = END) -> Issuer:
        signer = MemorySigner()
        certificate = issuing_certificate(
            issuer,
            self.issuance(start, end),
            common_name=f"{self.name}1",
            public_key=signer.public_key,
        )
        return Issuer(signer, certificate)

    def organisation(self, issuer: Issuer | None = None, **changes: Any) -> GBCSCertificate:
        start, end = changes.pop("start", START), changes.pop("end", END)
        arguments: dict[str, Any] = {
            "role": RemotePartyRole.SUPPLIER,
            "entity_id": SUPPLIER,
            "key_usage": KeyUsage.DIGITAL_SIGNATURE,
            "public_key": new_key().public_key(),
        } | changes
        return organisation_certificate(
            issuer or self.issuing, self.issuance(start, end), **arguments
        )

    def device(self, issuer: Issuer | None = None, **changes: Any) -> GBCSCertificate:
        arguments: dict[str, Any] = {
            "serial": 77,
            "not_before": START,
            "entity_id": DEVICE,
            "key_usage": KeyUsage.KEY_AGREEMENT,
            "public_key": new_key().public_key(),
        } | changes
        return device_certificate(issuer or self.device_issuing, **arguments)


@dataclass
class Remake:
    """The parts of a certificate, to be changed and signed again.

    `extensions` is (value, critical) in order; the helpers edit it by kind.
    """

    original: GBCSCertificate
    subject: x509.Name = field(init=False)
    issuer: x509.Name = field(init=False)
    serial: int = field(init=False)
    not_before: datetime = field(init=False)
    not_after: datetime = field(init=False)
    public_key: Any = field(init=False)
    hash: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    version: x509.Version = x509.Version.v3
    extensions: list[tuple[x509.ExtensionType, bool]] = field(init=False)

    def __post_init__(self) -> None:
        original = self.original
        self.subject, self.issuer = original.subject, original.issuer
        self.serial = original.serial
        self.not_before, self.not_after = original.not_before, original.not_after
        self.public_key = original.public_key
        self.extensions = [(each.value, each.critical) for each in original.extensions]

    def without(self, kind: type[x509.ExtensionType]) -> Remake:
        self.extensions = [each for each in self.extensions if not isinstance(each[0], kind)]
        return self

    def with_critical(self, kind: type[x509.ExtensionType], *, critical: bool) -> Remake:
        self.extensions = [
            (value, critical if isinstance(value, kind) else was) for value, was in self.extensions
        ]
        return self

    def replacing(self, value: x509.ExtensionType) -> Remake:
        self.extensions = [
            (value if isinstance(each, type(value)) else each, critical)
            for each, critical in self.extensions
        ]
        return self

    def adding(self, value: x509.ExtensionType, *, critical: bool) -> Remake:
        self.extensions.append((value, critical))
        return self

    def changing(self, **fields: Any) -> Remake:
        for name, value in fields.items():
            setattr(self, name, value)
        return self

    def signed(
        self,
        key: ec.EllipticCurvePrivateKey | None = None,
        change: Callable[[bytes], bytes] | None = None,
    ) -> GBCSCertificate:
        builder = x509.CertificateBuilder(
            issuer_name=self.issuer,
            subject_name=self.subject,
            public_key=self.public_key,
            serial_number=self.serial,
            not_valid_before=self.not_before.replace(tzinfo=None),
            not_valid_after=self.not_after.replace(tzinfo=None),
            extensions=[
                x509.Extension(value.oid, critical, value) for value, critical in self.extensions
            ],
        )
        builder._version = self.version
        der = builder.sign(key or new_key(), self.hash).public_bytes(Encoding.DER)
        return GBCSCertificate.from_der(change(der) if change else der)
