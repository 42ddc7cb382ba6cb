"""Public certificates of a key store: for `keyrig pki show --json` and the API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import Field

from keyrig.documents.document_model import Document, Eui, Instant, Sha256, Told

if TYPE_CHECKING:
    from keyrig.keys.key_store import StoredCertificate

PEM_EXAMPLE: Final = """\
-----BEGIN CERTIFICATE-----
MIIBrzCCAVWgAwIBAgIQFxKIkWr1v0Lh7iWEDxoG7TAKBggqhkjOPQQDAjAaMQsw
CQYDVQQLEwIwNzELMAkGA1UEAxMCSzEwHhcNMjYxMTI1MDAwMDAwWhcNMzYxMTIz
MjM1OTU5WjA+MRswGQYDVQQDDBJLRVlSSUdURVNUU1VQUExJRVIxCzAJBgNVBAsM
AjAyMRIwEAYDVQQtAwkAkLPVHzABAAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATrD54FO4RUp7Z/BiluTrJgj5hZ8WFK4gWegA4Nze58u/WOBhcU2kmORWzLbYf9
06R1ZjbtUu8GIevnDdZMOZMIo1kwVzAOBgNVHQ8BAf8EBAMCB4AwEQYDVR0OBAoE
CEpQp+FOAAZIMB0GA1UdIAEB/wQTMBEwDwYNKoY6AAGEj7kPAQIBBDATBgNVHSME
DDAKgAhGUoJlQ4MZgjAKBggqhkjOPQQDAgNIADBFAiEAn2BY49FvzYIF+WvFKR+L
OUMaDtDJW89AwxsIEgcYhpwCIBZxd7XC12QpLkCPIICBL2xw+fR5+r3E6vhtdYZW
EB3v
-----END CERTIFICATE-----
"""
"""A certificate of a test PKI, whose keys were thrown away."""


class CertificateDocument(Document):
    """A public certificate of a key store: its subject, its use and its validity."""

    source: str = Field(examples=["90b3d51f30010000-ds.pem"])
    profile: str = Field(examples=["organisation"])
    entity_id: Eui | None = Field(examples=["90-B3-D5-1F-30-01-00-00"])
    name: Told | None = Field(examples=["KEYRIGTESTSUPPLIER"])
    role: str | None = Field(examples=["supplier"])
    key_usage: str = Field(examples=["digitalSignature"])
    cell_usage: str = Field(examples=["management"])
    not_before: Instant = Field(examples=["2026-11-25T00:00:00.000Z"])
    not_after: Instant = Field(examples=["2036-11-23T23:59:59.000Z"])
    subject_key_identifier: str | None = Field(examples=["4a50a7e14e000648"])
    serial: str = Field(examples=["171288916af5bf42e1ee25840f1a06ed"])
    private_key: bool = Field(description="Whether the store has its private key.", examples=[True])
    sha256: Sha256 = Field(
        description="Of its DER.",
        examples=["db982bd66585098f1ff1e3a6f8264569e218dca03bfd80e5779ef9b1345f2820"],
    )
    pem: str = Field(description="The certificate.", examples=[PEM_EXAMPLE])

    @classmethod
    def of(cls, stored: StoredCertificate) -> CertificateDocument:
        """Return the document of a certificate of a key store."""
        certificate = stored.certificate
        key_identifier = certificate.subject_key_identifier
        return cls(
            source=stored.source,
            profile=certificate.profile.name.lower(),
            entity_id=None if certificate.entity_id is None else str(certificate.entity_id),
            name=certificate.business_name,
            role=None if certificate.role is None else certificate.role.gbcs_name,
            key_usage=certificate.key_usage.gbcs_name,
            cell_usage="prePaymentTopUp" if stored.cell_usage else "management",
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            subject_key_identifier=None if key_identifier is None else key_identifier.hex(),
            serial=f"{certificate.serial:x}",
            private_key=stored.has_private_key,
            sha256=hashlib.sha256(certificate.der).hexdigest(),
            pem=certificate.decoded.public_bytes(Encoding.PEM).decode("ascii"),
        )
