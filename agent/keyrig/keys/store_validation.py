"""Validation of a key store: profiles, paths, keys, and file permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import check_profile
from gbcs.path_validation import NO_TRUST_ANCHOR, is_self_signed, validate_path
from gbcs.protocol_errors import CertificateRejected
from keyrig.base.errors import KeyStoreError
from keyrig.keys.folder_store import KEY_SUFFIX
from keyrig.keys.key_store import Authority

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.key_store import KeyStore


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of one file or entry of a key store.

    Args:
        source: The file or entry.
        rule: The rule's short stable name; `file` and `key` beside those of certificates.
        reason: What is wrong, in one line.
    """

    source: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The numbers checked, and the findings."""

    certificates: int
    keys: int
    findings: tuple[Finding, ...] = ()


def check(store: KeyStore, at: datetime | None) -> CheckReport:
    """Check every certificate's profile and path, every key, and key files' permissions.

    The roots in the store are its trust anchors; without one, every authority in it is. A
    self-signed certificate that signs XML, as DCC Boxed's are, is one for itself.

    Args:
        store: The key store.
        at: The time, aware, at which paths must be valid; None looks at no time.
    """
    stored = store.stored()
    findings = [Finding(each.source, "file", each.reason) for each in store.problems]
    authorities = [each.certificate for each in stored if each.authority is not None]
    roots = [each.certificate for each in stored if each.authority is Authority.ROOT]
    anchors = roots or authorities
    if not anchors:
        reason = "no authority's certificate is here, so no path was checked; add root.pem"
        findings.append(Finding(store.location, NO_TRUST_ANCHOR, reason))
    for each in stored:
        try:
            if anchors:
                validate_path(
                    each.certificate,
                    path_certificates=authorities,
                    trust_anchors=[*anchors, *_itself(each.certificate)],
                    at=at,
                )
            else:
                check_profile(each.certificate)
        except CertificateRejected as error:
            findings.append(Finding(each.source, error.rule, error.reason))
        try:
            if each.key is not None:
                each.key.check()
        except KeyStoreError as error:
            findings.append(Finding(each.source, "key", str(error)))
    findings.extend(_readable_keys(store))
    keys = sum(each.has_private_key for each in stored)
    return CheckReport(certificates=len(stored), keys=keys, findings=tuple(findings))


def _itself(certificate: GBCSCertificate) -> list[GBCSCertificate]:
    """Return a self-signed XML-signing certificate: being in the store makes it trusted."""
    return [certificate] if certificate.signs_xml and is_self_signed(certificate) else []


def _readable_keys(store: KeyStore) -> list[Finding]:
    if store.directory is None:
        return []
    return [
        Finding(path.name, "file-mode", "others than its owner may read it; chmod 600")
        for path in sorted(store.directory.glob(f"*{KEY_SUFFIX}"))
        if path.stat().st_mode & 0o077
    ]
