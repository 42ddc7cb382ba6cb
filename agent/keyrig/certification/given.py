"""What certificate authorities give: PEM, DER, several in one, PKCS#7, base64 or a zip of these."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gbcs.certificates import GBCSCertificate
from gbcs.errors import DecodeError
from gbcs.printable import printable
from keyrig.errors import FileInvalid, KeyStoreError
from keyrig.keystore.bundle import ZIP_STARTS, zip_entries
from keyrig.outside_files import Unreadable, pem_blocks, read_octets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GIVEN_MAXIMUM_OCTETS: Final = 4 * 1024 * 1024
CERTIFICATES_MAXIMUM: Final = 2000
_CERTIFICATE_LABELS: Final = {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}
_PKCS7_LABELS: Final = {"PKCS7", "CMS", "PKCS #7 SIGNED DATA"}
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\s]+")
_ACCEPTED: Final = "PEM, DER, PKCS#7 or a zip of these"


@dataclass(frozen=True, slots=True)
class GivenCertificate:
    """One certificate that an authority gave.

    Args:
        certificate: The certificate, unchecked.
        source: The file, and the place in it, for people.
    """

    certificate: GBCSCertificate
    source: str

    @classmethod
    def from_der(cls, der: bytes, source: str) -> Self:
        """Read one certificate in DER.

        Raises:
            DecodeError: It is none.
        """
        return cls(GBCSCertificate.from_der(der), source)


def read_given(path: Path) -> list[GivenCertificate]:
    """Read every certificate of a file that an authority gave.

    Raises:
        FileInvalid: It cannot be read, or holds no certificate; names it.
    """
    try:
        octets = read_octets(path, maximum=GIVEN_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise FileInvalid(str(path), str(error), error.mend) from None
    return certificates_in(octets, str(path))


def certificates_in(octets: bytes, name: str) -> list[GivenCertificate]:
    """Read every certificate of what an authority gave, in the order in which they stand.

    Args:
        octets: PEM with any number of certificates and other text, DER, PKCS#7 in either, base64
            of either as an enrolment server sends it, or a zip of such files.
        name: Where it is from, for people.

    Raises:
        FileInvalid: It holds no certificate, one that cannot be read, or is too large.
    """
    if len(octets) > GIVEN_MAXIMUM_OCTETS:
        raise FileInvalid(
            name, f"more than {GIVEN_MAXIMUM_OCTETS} octets", "give what the authority gave alone"
        )
    if octets.startswith(ZIP_STARTS):
        return _in_zip(octets, name)
    return _in_file(octets, name)


def _in_file(octets: bytes, name: str) -> list[GivenCertificate]:
    found = _in_one(octets, name)
    if not found:
        raise FileInvalid(name, "no certificate in it", f"give {_ACCEPTED}")
    if len(found) > CERTIFICATES_MAXIMUM:
        raise FileInvalid(
            name, f"more than {CERTIFICATES_MAXIMUM} certificates", "give fewer at once"
        )
    return found


def _in_zip(octets: bytes, name: str) -> list[GivenCertificate]:
    found: list[GivenCertificate] = []
    try:
        for path, content in zip_entries(octets, name):
            source = f"{name}/{printable(str(path), 80)}"
            if path.suffix.lower() in {".txt", ".md", ".csr"} and b"BEGIN CERT" not in content:
                continue
            # A zip within a zip may hold itself.
            found += _in_file(content, source)
    except KeyStoreError as error:
        raise FileInvalid(name, str(error).partition(": ")[2], "give the files themselves") from (
            error
        )
    if not found:
        raise FileInvalid(name, "no certificate in it", f"give {_ACCEPTED}")
    return found


def _in_one(octets: bytes, name: str) -> list[GivenCertificate]:
    blocks = pem_blocks(octets)
    if blocks:
        return _in_pem(blocks, name)
    if octets[:1] == b"\x30":
        return _in_der(octets, name)
    if _BASE64.fullmatch(octets):
        try:
            decoded = base64.b64decode(b"".join(octets.split()), validate=True)
        except binascii.Error:
            return []
        if decoded[:1] == b"\x30":
            return _in_der(decoded, name)
    return []


def _in_pem(blocks: list[tuple[str, bytes]], name: str) -> list[GivenCertificate]:
    found: list[GivenCertificate] = []
    for number, (label, text) in enumerate(blocks, 1):
        source = name if len(blocks) == 1 else f"{name}, block {number}"
        if label in _PKCS7_LABELS:
            found += _loaded(
                pkcs7.load_pem_pkcs7_certificates, text.replace(label.encode(), b"PKCS7"), source
            )
        elif label in _CERTIFICATE_LABELS:
            pem = text.replace(label.encode(), b"CERTIFICATE")
            found += _loaded(x509.load_pem_x509_certificates, pem, source)
    return found


def _in_der(octets: bytes, name: str) -> list[GivenCertificate]:
    try:
        return [GivenCertificate.from_der(octets, name)]
    except DecodeError as not_one:
        try:
            return _loaded(pkcs7.load_der_pkcs7_certificates, octets, name)
        except FileInvalid:
            raise FileInvalid(
                name, printable(str(not_one), 200), "ask the authority for it anew"
            ) from not_one


def _loaded(
    load: Callable[[bytes], list[x509.Certificate]], octets: bytes, source: str
) -> list[GivenCertificate]:
    try:
        certificates = load(octets)
    except (ValueError, TypeError, x509.InvalidVersion, Warning) as error:
        raise FileInvalid(
            source,
            f"a certificate that cannot be read: {printable(str(error), 200)}",
            "ask the authority for it anew",
        ) from error
    several = len(certificates) > 1
    return [
        GivenCertificate.from_der(
            certificate.public_bytes(Encoding.DER),
            f"{source}, certificate {number}" if several else source,
        )
        for number, certificate in enumerate(certificates, 1)
    ]
