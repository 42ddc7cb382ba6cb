"""Certification path validation, from an end entity's certificate to a trust anchor."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gbcs.certificate_profiles import AUTHORITY_KEY_USAGES, GBCSCertificate, check_profile
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage
from gbcs.x509_extensions import has_unused_bits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import RemotePartyRole

NO_TRUST_ANCHOR: Final = "no-trust-anchor"
"""The rule that is broken when no path leads to a trust anchor; devices answer it by itself."""

PATH_MAXIMUM_CERTIFICATES: Final = 6
"""Certificates of the longest path that is followed, both ends included."""

PATHS_MAXIMUM: Final = 32
"""Paths that are tried; certificates made to branch without end cost no more than these."""

_VERIFIED_SIGNATURES = 256


# Theory of operation.
#
# Names and key identifiers only suggest who issued a certificate: anybody can write them. They
# are used to find candidate paths, depth first and anchors before other certificates, and each
# candidate is then checked as if nothing were known of it. The first path that passes is the
# answer. If none does, the first rejection is raised; if there was no candidate at all, the rule
# is `no-trust-anchor`, which devices answer with a code of its own.
#
# On a path from the end entity to the anchor,
#
# - every certificate but the anchor has a profile that it is checked against, and is signed by
#   the next one;
# - every certificate but the first may issue, and allows for as many authorities below it;
# - every certificate, the anchor too, is valid at the given time, if one is given;
# - the anchor's own signature and profile are not looked at: it is trusted because it is in a
#   trust anchor cell or a store, not because of what it says about itself.
#
# What is given may be hostile: certificates that name each other in circles or branch without
# end. No certificate stands twice on a path, a path has at most PATH_MAXIMUM_CERTIFICATES, and at
# most PATHS_MAXIMUM are tried. That a signature verified is remembered; it is a fact about two
# certificates and depends neither on the time nor on the path.


def validate_path(
    certificate: GBCSCertificate,
    *,
    path_certificates: Collection[GBCSCertificate],
    trust_anchors: Collection[GBCSCertificate],
    at: datetime | None,
    role: RemotePartyRole | None = None,
    key_usage: KeyUsage | None = None,
    entity: EntityIdentifier | None = None,
) -> tuple[GBCSCertificate, ...]:
    """Validate `certificate` and the path from it to one of `trust_anchors`.

    Every certificate of the path but the anchor is checked against its profile. A trust anchor
    may be an issuing authority's certificate; the path then ends there.

    Args:
        certificate: The end entity's certificate, or an authority's that is to be trusted.
        path_certificates: Certificates that may lie between; order does not matter, superfluous
            ones and copies of the anchor do no harm.
        trust_anchors: Certificates that are trusted already.
        at: The time, aware, at which the whole path must be valid; None applies no time checks
            (`applyTimeBasedCPVChecks` disapply).
        role: The remote party role that the certificate must have, or None for any.
        key_usage: What its key must be for; keyCertSign is met by keyCertSign with cRLSign.
        entity: Whom it must identify, organisation or device, or None for anybody.

    Returns:
        The path: the certificate first, the trust anchor last.

    Raises:
        CertificateRejected: Its rule is one of `check_profile`'s, or wrong-role, wrong-use,
            wrong-entity, issuer, signature, path-length, validity, or no-trust-anchor when no
            path of names and key identifiers leads to an anchor.
        ValueError: `at` is naive.

    Source: RFC 5280, 6.1; GBCS v0.8.1, 12 and 13.3 (`applyTimeBasedCPVChecks`).
    """
    if at is not None and at.tzinfo is None:
        msg = "the time of path validation must be aware of its zone"
        raise ValueError(msg)
    check_profile(certificate)
    _check_expected(certificate, role=role, key_usage=key_usage, entity=entity)
    rejections: list[CertificateRejected] = []
    paths = _paths((certificate,), path_certificates, trust_anchors)
    for path in islice(paths, PATHS_MAXIMUM):
        try:
            _check_path(path, at)
        except CertificateRejected as error:
            rejections.append(error)
        else:
            return path
    if rejections:
        raise rejections[0]
    raise CertificateRejected(
        NO_TRUST_ANCHOR,
        f"no path leads to a trust anchor ({len(path_certificates)} path certificates given)",
        str(certificate),
    )


def is_self_signed(certificate: GBCSCertificate) -> bool:
    """True if a certificate's signature is by its own key, whomever it names as its issuer.

    The XML-signing certificates of DCC Boxed are so, though they name its issuing authority:
    nobody vouches for them, and whoever believes them has them from somebody that is trusted.
    """
    try:
        certificate.public_key.verify(
            certificate.decoded.signature,
            certificate.decoded.tbs_certificate_bytes,
            ec.ECDSA(hashes.SHA256()),
        )
    except (InvalidSignature, CertificateRejected):
        return False
    return True


def _check_expected(
    certificate: GBCSCertificate,
    *,
    role: RemotePartyRole | None,
    key_usage: KeyUsage | None,
    entity: EntityIdentifier | None,
) -> None:
    subject = str(certificate)
    if role is not None and certificate.role is not role:
        found = "none" if certificate.role is None else certificate.role.gbcs_name
        raise CertificateRejected(
            "wrong-role", f"its role is {found}, not {role.gbcs_name}", subject
        )
    used = certificate.key_usage
    is_wanted = used == key_usage or (
        key_usage == KeyUsage.KEY_CERT_SIGN and used in AUTHORITY_KEY_USAGES
    )
    if key_usage is not None and not is_wanted:
        raise CertificateRejected(
            "wrong-use", f"its key is for {used.gbcs_name}, not {key_usage.gbcs_name}", subject
        )
    if entity is not None and certificate.entity_id != entity:
        raise CertificateRejected("wrong-entity", f"it does not identify {entity}", subject)


def _paths(
    start: tuple[GBCSCertificate, ...],
    path_certificates: Collection[GBCSCertificate],
    trust_anchors: Collection[GBCSCertificate],
) -> Iterator[tuple[GBCSCertificate, ...]]:
    """Yield paths by names and key identifiers alone, without a repeated certificate."""
    last = start[-1]
    if last in trust_anchors:
        yield start
        return
    if len(start) >= PATH_MAXIMUM_CERTIFICATES:
        return
    for anchor in trust_anchors:
        if _is_named_issuer(anchor, last):
            yield (*start, anchor)
    for candidate in dict.fromkeys(path_certificates):
        is_new = candidate not in start and candidate not in trust_anchors
        if is_new and _is_named_issuer(candidate, last):
            yield from _paths((*start, candidate), path_certificates, trust_anchors)


def _is_named_issuer(issuer: GBCSCertificate, certificate: GBCSCertificate) -> bool:
    """True if `certificate` names `issuer` and, if it states one, the issuer's key."""
    try:
        identifier = certificate.authority_key_identifier
        is_named = issuer.subject == certificate.issuer
        is_key_named = identifier in {None, issuer.subject_key_identifier}
    except CertificateRejected:
        return False
    return is_named and is_key_named


def _check_path(path: tuple[GBCSCertificate, ...], at: datetime | None) -> None:
    for below, certificate in enumerate(path):
        is_anchor = below == len(path) - 1
        if below:
            _check_issuer(certificate, path[1:below], is_anchor=is_anchor)
        if at is not None:
            _check_time(certificate, at)
        if not is_anchor:
            _verify_signature(certificate, path[below + 1])


def _check_issuer(
    issuer: GBCSCertificate, between: tuple[GBCSCertificate, ...], *, is_anchor: bool
) -> None:
    """Check that `issuer` may issue, with the authorities `between` it and the end entity."""
    constraints = issuer.extension(x509.BasicConstraints)
    if (
        constraints is None
        or not constraints.value.ca
        or KeyUsage.KEY_CERT_SIGN not in issuer.key_usage
    ):
        raise CertificateRejected("issuer", "it issued a certificate but may not", str(issuer))
    maximum = constraints.value.path_length
    length = sum(not authority.is_self_issued for authority in between)
    if maximum is not None and length > maximum:
        raise CertificateRejected(
            "path-length",
            f"{length} authorities stand below it and its pathLenConstraint is {maximum}",
            str(issuer),
        )
    if not is_anchor:
        check_profile(issuer)


def _check_time(certificate: GBCSCertificate, at: datetime) -> None:
    if at < certificate.not_before:
        raise CertificateRejected(
            "validity",
            f"it is not valid before {certificate.not_before:%Y-%m-%dT%H:%M:%SZ}",
            str(certificate),
        )
    if at > certificate.not_after:
        raise CertificateRejected(
            "validity",
            f"it expired at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
            str(certificate),
        )


@lru_cache(maxsize=_VERIFIED_SIGNATURES)
def _verify_signature(certificate: GBCSCertificate, issuer: GBCSCertificate) -> None:
    if has_unused_bits(certificate.der, certificate.decoded.signature):
        raise CertificateRejected(
            "signature", "its signature is not a whole number of octets", str(certificate)
        )
    try:
        certificate.decoded.verify_directly_issued_by(issuer.decoded)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        reason = f"its signature is not that of {issuer}"
        if is_self_signed(certificate):
            reason += ", but by its own key"
        raise CertificateRejected("signature", reason, str(certificate)) from error
