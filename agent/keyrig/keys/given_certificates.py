"""Reading certificates from authorities: PEM, DER, PKCS#7, base64 or a zip of these."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, pkcs7

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.printable import printable
from gbcs.protocol_errors import DecodeError
from keyrig.base.errors import FileInvalid
from keyrig.base.outside_files import Unreadable, pem_of, read_octets
from keyrig.base.zip_files import ZIP_BEGINS, zip_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path, PurePosixPath

GIVEN_MAXIMUM_OCTETS: Final = 4 * 1024 * 1024
CERTIFICATES_MAXIMUM: Final = 2000
_PEM_BEGIN: Final = re.compile(
    rb"-----BEGIN (PKCS7|CMS|(?:X509 |TRUSTED )?CERTIFICATE|(?:NEW )?CERTIFICATE REQUEST"
    rb"|[A-Z0-9 ]{0,20}PRIVATE KEY)-----"
)
"""The labels of blocks that are read; other blocks are ignored."""
_REQUEST: Final = b"CERTIFICATE REQUEST"
_KEY: Final = b"PRIVATE KEY"
_PKCS7_LABELS: Final = {b"PKCS7", b"CMS"}
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\s]+")
_ACCEPTED: Final = "PEM, DER, PKCS#7 or a zip of these"
_CERTIFICATE_SUFFIXES: Final = {".pem", ".crt", ".cer", ".der", ".p7", ".p7b", ".p7c", ".p7s"}
_NAME_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class GivenCertificate:
    """One certificate from an authority.

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
    """Read every certificate in a file from an authority.

    Raises:
        FileInvalid: It cannot be read, holds no certificate, or holds a private key; names it.
    """
    name = printable(str(path))
    try:
        octets = read_octets(path, maximum=GIVEN_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise FileInvalid(name, error.reason, error.mend) from error
    return certificates_in(octets, name)


def certificates_in(octets: bytes, name: str) -> list[GivenCertificate]:
    """Read every certificate in octets from an authority, in order.

    Args:
        octets: PEM with any number of certificates and other text, DER, PKCS#7 in either, base64
            of either as an enrolment server sends it, or a zip of such files. Requests beside
            certificates are passed over.
        name: Its origin, for people.

    Raises:
        FileInvalid: It holds no certificate, one that cannot be read, or a private key; or it is
            too large.
    """
    found = _in_zip(octets, name) if octets.startswith(ZIP_BEGINS) else _in_one(octets, name)
    if not found:
        raise _none(octets, name)
    if len(found) > CERTIFICATES_MAXIMUM:
        raise FileInvalid(
            name, f"more than {CERTIFICATES_MAXIMUM} certificates", "give fewer at once"
        )
    return found


def _in_zip(octets: bytes, name: str) -> list[GivenCertificate]:
    found: list[GivenCertificate] = []
    try:
        for path, content in zip_entries(octets, entry_maximum=GIVEN_MAXIMUM_OCTETS):
            if _is_of_a_system(path):
                continue
            source = f"{name}/{printable(str(path), _NAME_SHOWN)}"
            if content.startswith(ZIP_BEGINS):
                raise FileInvalid(source, "a zip within a zip", "give the inner one by itself")
            certificates = _in_one(content, source)
            is_to_be_one = path.suffix.lower() in _CERTIFICATE_SUFFIXES
            if not certificates and is_to_be_one and not _is_request(content):
                raise _none(content, source)
            found += certificates
    except Unreadable as error:
        raise FileInvalid(name, error.reason, error.mend) from error
    return found


def _is_of_a_system(path: PurePosixPath) -> bool:
    """True if a file of a zip is what macOS or Windows put there beside what was packed."""
    return path.parts[0] == "__MACOSX" or path.name.startswith("._")


def _none(octets: bytes, name: str) -> FileInvalid:
    what = "a certification request" if _is_request(octets) else "no certificate in it"
    return FileInvalid(name, what, f"give the certificate that the authority made: {_ACCEPTED}")


def _is_request(octets: bytes) -> bool:
    if octets[:1] == b"\x30":
        try:
            x509.load_der_x509_csr(octets)
        except ValueError:
            return False
        return True
    return any(label.endswith(_REQUEST) for label, _ in _blocks(pem_of(octets), ""))


def _in_one(octets: bytes, name: str) -> list[GivenCertificate]:
    if octets[:1] == b"\x30":
        return _in_der(octets, name)
    text = pem_of(octets)
    blocks = list(_blocks(text, name))
    if blocks:
        return _in_pem(blocks, name)
    if _BASE64.fullmatch(text):
        try:
            decoded = base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error:
            return []
        if decoded[:1] == b"\x30":
            return _in_der(decoded, name)
    return []


def _blocks(text: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the label and the text of each PEM block that may hold certificates.

    Raises:
        FileInvalid: One has no end, or is a private key.
    """
    at = 0
    while begin := _PEM_BEGIN.search(text, at):
        label = begin[1]
        if label.endswith(_KEY):
            raise _private_key(name)
        closing = b"-----END " + label + b"-----"
        end = text.find(closing, begin.end())
        if end < 0:
            raise FileInvalid(name, "a PEM block without its end", "ask the authority for it whole")
        at = end + len(closing)
        yield label, text[begin.start() : at]


def _private_key(name: str) -> FileInvalid:
    return FileInvalid(
        name,
        "a private key is in it; nothing of it was kept",
        "ask the authority what it is for: a device makes its own key and gives it to nobody",
    )


def _in_pem(blocks: list[tuple[bytes, bytes]], name: str) -> list[GivenCertificate]:
    found: list[GivenCertificate] = []
    for number, (label, block) in enumerate(blocks, 1):
        source = name if len(blocks) == 1 else f"{name}, block {number}"
        if label in _PKCS7_LABELS:
            text = pem_of(block.replace(label, b"PKCS7"))
            found += _loaded(pkcs7.load_pem_pkcs7_certificates, text, source)
        elif not label.endswith(_REQUEST):
            text = pem_of(block.replace(label, b"CERTIFICATE"))
            found += _loaded(x509.load_pem_x509_certificates, text, source)
    return found


def _in_der(octets: bytes, name: str) -> list[GivenCertificate]:
    try:
        return [GivenCertificate.from_der(octets, name)]
    except DecodeError as not_one:
        try:
            return _loaded(pkcs7.load_der_pkcs7_certificates, octets, name)
        except FileInvalid:
            if _is_private_key(octets):
                raise _private_key(name) from None
            if _is_request(octets):
                return []
            raise FileInvalid(
                name, printable(str(not_one), 200), "ask the authority for it anew"
            ) from not_one


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, None)
    except TypeError:
        # It is a private key, and encrypted.
        return True
    except Exception:  # noqa: BLE001 - the library has no one error for what is no key
        return False
    return True


def _loaded(
    load: Callable[[bytes], list[x509.Certificate]], octets: bytes, source: str
) -> list[GivenCertificate]:
    try:
        certificates = load(octets)
        several = len(certificates) > 1
        return [
            GivenCertificate.from_der(
                certificate.public_bytes(Encoding.DER),
                f"{source}, certificate {number}" if several else source,
            )
            for number, certificate in enumerate(certificates, 1)
        ]
    except (ValueError, TypeError, x509.InvalidVersion, Warning, DecodeError) as error:
        raise FileInvalid(
            source,
            f"a certificate that cannot be read: {printable(str(error), 200)}",
            "ask the authority for it anew",
        ) from error
