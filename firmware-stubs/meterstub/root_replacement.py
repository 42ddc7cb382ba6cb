"""Whether a certificate may become the root of a device's trust.

No text at hand gives the rule of the link certificate; `options.RootReplacement` names the choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate, check_profile
from gbcs.key_holders import public_octets
from gbcs.path_validation import NO_TRUST_ANCHOR
from gbcs.protocol_errors import CertificateRejected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def check_root_replacement(
    certificate: GBCSCertificate,
    *,
    current_root: GBCSCertificate,
    path_certificates: Iterable[GBCSCertificate],
    at: datetime | None,
    must_be_linked: bool,
) -> None:
    """Check that `certificate` may take the place of `current_root`.

    It may when the current root's key signed it, or signed a link certificate over the same key
    among `path_certificates`; or, unless it `must_be_linked`, when it is self-signed.

    Raises:
        CertificateRejected: It may not; rule "no-trust-anchor" for want of a link.
    """
    check_profile(certificate, CertificateProfile.ROOT)
    if at is not None and not certificate.is_valid_at(at):
        raise CertificateRejected("validity", "it is not valid at this time", str(certificate))
    if _is_signed_by(certificate, current_root):
        return
    if not _is_signed_by(certificate, certificate):
        raise CertificateRejected(
            "signature", "it is signed neither by itself nor by the current root", str(certificate)
        )
    if not must_be_linked:
        return
    for link in path_certificates:
        if _links(link, certificate, current_root, at):
            return
    raise CertificateRejected(
        NO_TRUST_ANCHOR, "nothing links it to the current root", str(certificate)
    )


def _links(
    link: GBCSCertificate,
    certificate: GBCSCertificate,
    current_root: GBCSCertificate,
    at: datetime | None,
) -> bool:
    try:
        check_profile(link, CertificateProfile.ROOT)
        return (
            public_octets(link.public_key) == public_octets(certificate.public_key)
            and (at is None or link.is_valid_at(at))
            and _is_signed_by(link, current_root)
        )
    except CertificateRejected:
        return False


def _is_signed_by(certificate: GBCSCertificate, issuer: GBCSCertificate) -> bool:
    decoded = certificate.decoded
    try:
        issuer.public_key.verify(decoded.signature, decoded.tbs_certificate_bytes, _ECDSA)
    except InvalidSignature:
        return False
    return certificate.issuer == issuer.subject
