"""Showing the certificates of a key store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.printable import printable

if TYPE_CHECKING:
    from keyrig.keys.key_store import StoredCertificate


def certificate_document(stored: StoredCertificate) -> dict[str, Any]:
    """Make the JSON object of a certificate: whose it is, for what, until when."""
    certificate = stored.certificate
    name = certificate.business_name
    key_identifier = certificate.subject_key_identifier
    return {
        "source": stored.source,
        "profile": certificate.profile.name.lower(),
        "entity_id": None if certificate.entity_id is None else str(certificate.entity_id),
        "name": None if name is None else printable(name),
        "role": None if certificate.role is None else certificate.role.gbcs_name,
        "key_usage": certificate.key_usage.gbcs_name,
        "cell_usage": "prePaymentTopUp" if stored.cell_usage else "management",
        "not_before": f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "subject_key_identifier": None if key_identifier is None else key_identifier.hex(),
        "serial": f"{certificate.serial:x}",
        "private_key": stored.has_private_key,
    }
