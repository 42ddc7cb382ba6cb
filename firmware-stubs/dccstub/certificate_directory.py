"""The certificates that the SMKI repository knows, and which of them are in use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from duis.smki_documents import CertificateStatus

if TYPE_CHECKING:
    from datetime import datetime

    from dccstub.key_folder import KeyFolder
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of the repository.

    Args:
        certificate: What it is.
        status: Where it stands.
        owner: The device or organisation whose it is; None for an authority's.
        role: The organisation's role by its certificate, XML signing roles included; None for
            a device's.
    """

    certificate: GBCSCertificate
    status: CertificateStatus
    owner: EntityIdentifier | None
    role: int | None


class Directory:
    """The repository: organisations' certificates, devices', and new ones as they come."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}

    @classmethod
    def of(cls, keys: KeyFolder) -> Directory:
        """Make one with every certificate of a key folder in use."""
        directory = cls()
        for held in keys.held:
            directory.add(held.certificate, CertificateStatus.IN_USE)
        return directory

    def add(self, certificate: GBCSCertificate, status: CertificateStatus) -> None:
        """Add a certificate, or change its status."""
        role = certificate.role_number
        self._entries[certificate.der] = Entry(certificate, status, certificate.entity_id, role)

    def bring_into_use(self, certificate: GBCSCertificate) -> None:
        """Set a device's certificate in use, in the place of the one that was."""
        for der, entry in self._entries.items():
            if (
                entry.role is None
                and entry.owner == certificate.entity_id
                and entry.certificate.key_usage == certificate.key_usage
                and entry.status in {CertificateStatus.IN_USE, CertificateStatus.PENDING}
            ):
                self._entries[der] = replace(entry, status=CertificateStatus.NOT_IN_USE)
        self.add(certificate, CertificateStatus.IN_USE)

    def drop_pending(self, certificate: GBCSCertificate) -> None:
        """Remove a certificate that was on its way to its device, which refused it."""
        entry = self._entries.get(certificate.der)
        if entry is not None and entry.status is CertificateStatus.PENDING:
            self.add(certificate, CertificateStatus.NOT_IN_USE)

    def device_certificates(
        self, device: EntityIdentifier, usage: KeyUsage
    ) -> list[GBCSCertificate]:
        """Return a device's certificates for one use, in use first and then those on their way."""
        rank = {CertificateStatus.IN_USE: 0, CertificateStatus.PENDING: 1}
        found = [
            entry
            for entry in self._entries.values()
            if entry.owner == device
            and entry.role is None
            and entry.status in rank
            and entry.certificate.key_usage == usage
        ]
        return [entry.certificate for entry in sorted(found, key=lambda each: rank[each.status])]

    def by_serial(self, serial: int) -> Entry | None:
        """Return the entry with a serial number, or None."""
        return next((e for e in self._entries.values() if e.certificate.serial == serial), None)

    def organisation(self, owner: EntityIdentifier) -> list[Entry]:
        """Return an organisation's entries."""
        return [e for e in self._entries.values() if e.owner == owner and e.role is not None]

    def device(self, owner: EntityIdentifier) -> list[Entry]:
        """Return a device's entries."""
        return [e for e in self._entries.values() if e.owner == owner and e.role is None]

    def roles(self, party: EntityIdentifier) -> set[int]:
        """Return the roles in which an organisation has certificates."""
        return {entry.role for entry in self.organisation(party) if entry.role is not None}

    def __repr__(self) -> str:
        return f"Directory({len(self._entries)} certificates)"


def status_at(entry: Entry, now: datetime) -> CertificateStatus:
    """Return an entry's status at a time: expired is by the certificate's own dates."""
    if now > entry.certificate.not_after:
        return CertificateStatus.EXPIRED
    return entry.status
