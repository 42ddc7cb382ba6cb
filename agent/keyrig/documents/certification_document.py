"""Certification requests that wait for an authority, and results of the certificates issued."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import Field

from keyrig.documents.document_model import (
    DEADLINE_EXAMPLE,
    Document,
    Eui,
    Instant,
    Sha256,
    TextOrNull,
)
from keyrig.keys.certification_order import request_file

if TYPE_CHECKING:
    from keyrig.run.waiting_requests import WaitingRequest

_FOLDER: Final = "/var/lib/keyrig/requests/bench-3"
_FILE: Final = f"{_FOLDER}/00db1234567890a0-ds.43ba393f3fd5e196.csr.pem"
_REQUEST_PEM: Final = """\
-----BEGIN CERTIFICATE REQUEST-----
MIIBFDCBugIBADAAMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDNl12FClrCxg
vpW5K7F525amDlNmDrQd09O4x8aqnFCLioD0KUr4BhkIX4uuPIbSh2/7V6owlN+c
IQUU2nQ8kKBYMFYGCSqGSIb3DQEJDjFJMEcwDgYDVR0PAQH/BAQDAgeAMDUGA1Ud
EQEB/wQrMCmgJwYIKwYBBQUHCASgGzAZBg0qhjoAAYSPuQ8BAgIBBAgA2xI0VniQ
oDAKBggqhkjOPQQDAgNJADBGAiEAtb03e0KhMtQ7eHP1KRdjvSX7Wot2zS/66XB1
Tp8UL/QCIQCEYN45ZUGD/iTIR+OclpQc8z/jDEAYuSXLxCtxpV25Tw==
-----END CERTIFICATE REQUEST-----
"""
"""A request for a key of a test, which was thrown away."""


class CertificationRequest(Document):
    """A certification request of a device that waits for an authority."""

    device: Eui
    key_usage: str = Field(examples=["digitalSignature"])
    key_identifier: str = Field(
        pattern=r"^[0-9a-f]{16}$",
        description="Of the key to be certified.",
        examples=["43ba393f3fd5e196"],
    )
    since: Instant = Field(description="Since when it waits.")
    due_by: Instant | None = Field(
        description="By when the duty is to be done, where days run.", examples=[DEADLINE_EXAMPLE]
    )
    authority: str = Field(description="Who has it.", examples=[f"by hand, in {_FOLDER}"])
    answer: str = Field(
        description="What that said last.", examples=[f"to be certified by hand: {_FILE}"]
    )
    file: str | None = Field(description="Where it lies as a file of the agent.", examples=[_FILE])

    @classmethod
    def of(cls, request: WaitingRequest, folder: Path | None = None) -> CertificationRequest:
        """Return the document of a request; `folder` is another folder that holds its files."""
        order = request.order
        if folder is None and request.folder is not None:
            folder = Path(request.folder)
        return cls(
            device=str(order.device),
            key_usage=order.key_usage.gbcs_name,
            key_identifier=order.key_identifier.hex(),
            since=request.since,
            due_by=order.due_by,
            authority=request.authority,
            answer=request.answer,
            file=None if folder is None else str(request_file(folder, order.stem)),
        )


class WaitingRequestDocument(CertificationRequest):
    """A certification request that waits, with the request itself."""

    sha256: Sha256 = Field(description="Of its DER.")
    pem: str = Field(description="The request, PKCS#10.", examples=[_REQUEST_PEM])

    @classmethod
    def of(cls, request: WaitingRequest, folder: Path | None = None) -> WaitingRequestDocument:
        """Return the document of a request; `folder` is another folder that holds its files."""
        der = request.order.request
        pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode("ascii")
        part = CertificationRequest.of(request, folder)
        return cls(**dict(part), sha256=hashlib.sha256(der).hexdigest(), pem=pem)


class TakenCertificate(Document):
    """The result for one certificate that was sent."""

    source: str = Field(
        description="Its place among those given.", examples=["the certificates given, block 2"]
    )
    certificate: str = Field(
        description="Whom and which use it names, for people.",
        examples=["00-DB-12-34-56-78-90-A0 (device, keyAgreement)"],
    )
    taken: bool = Field(
        description="It was recorded for its request now.", validation_alias="is_taken"
    )
    refused: bool = Field(
        description="It is wrong, and nothing was changed for it.",
        validation_alias="is_refused",
        examples=[True],
    )
    rule: TextOrNull = Field(
        description="Which rule it breaks, where it is refused.", examples=["wrong-key"]
    )
    outcome: str = Field(
        description="What became of it, in one line.",
        examples=["refused: its key is not that of the device's request"],
    )
