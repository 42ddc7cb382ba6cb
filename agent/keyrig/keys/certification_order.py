"""Orders to a certificate authority, and the answer that it certifies later."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gbcs.roles import KeyUsage
from keyrig.base.clock import second_text

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from gbcs.entity_identifier import EntityIdentifier

USE_NAMES: Final = {KeyUsage.DIGITAL_SIGNATURE: "ds", KeyUsage.KEY_AGREEMENT: "ka"}
"""The short names of a device's key usages, as in the names of files."""
REQUEST_PEM: Final = ".csr.pem"
"""What the name of a request file in PEM ends with."""


@dataclass(frozen=True)
class CertificationOrder:
    """One certification request, for an authority.

    Args:
        device: The device that made the key.
        key_usage: The use of its key.
        request: PKCS#10 in DER, verified.
        due_by: The duty's deadline; None where no days run.
    """

    device: EntityIdentifier
    key_usage: KeyUsage
    request: bytes = field(repr=False)
    due_by: datetime | None

    @cached_property
    def public_octets(self) -> bytes:
        """The uncompressed point of the key to be certified."""
        from gbcs.key_holders import public_octets  # noqa: PLC0415 - slow to load

        return public_octets(self._public_key)

    @cached_property
    def key_identifier(self) -> bytes:
        """The identifier of the key to be certified, 8 octets."""
        from gbcs.x509_extensions import subject_key_identifier_of  # noqa: PLC0415 - slow to load

        return subject_key_identifier_of(self._public_key)

    @cached_property
    def _public_key(self) -> EllipticCurvePublicKey:
        # X.509 takes 40 ms to load, which `status` is spared where no request waits.
        from gbcs.certification_request import CertificationRequest  # noqa: PLC0415 - slow to load

        return CertificationRequest.from_der(self.request).public_key

    @property
    def stem(self) -> str:
        """The beginning of its files' names, such as "00db1234567890a0-ds.4c3e0c75a6d13682"."""
        return f"{self.device.stem}-{USE_NAMES[self.key_usage]}.{self.key_identifier.hex()}"

    @property
    def line(self) -> str:
        """One line for the authority's operator: device, use, key identifier, deadline."""
        until = "no deadline" if self.due_by is None else f"by {second_text(self.due_by)}"
        return (
            f"device {self.device}, {self.key_usage.gbcs_name}, key identifier "
            f"{self.key_identifier.hex()}, {until}"
        )

    def __str__(self) -> str:
        """Name the request for a person."""
        return f"{self.key_usage.gbcs_name} request {self.key_identifier.hex()} of {self.device}"


@dataclass(frozen=True, slots=True)
class Later:
    """The authority has the request and will certify it later.

    Args:
        answer: Its answer, in one line; safe to print.
        folder: The folder with the request's files, or None.
    """

    answer: str
    folder: str | None = None


def request_file(folder: Path, stem: str) -> Path:
    """Return the file that has a request in PEM, by its order's stem."""
    return folder / f"{stem}{REQUEST_PEM}"
