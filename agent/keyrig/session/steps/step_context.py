"""What a step knows about its device and the parties around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.domain.key_changes import KeyChange
    from keyrig.domain.trust_anchor import Cell


class Certificates(Protocol):
    """Gives certificates of organisations; never a private key."""

    def certificate(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        role: RemotePartyRole | None = None,
    ) -> GBCSCertificate:
        """Return the certificate that an organisation uses now.

        Raises:
            KeyMissing: There is none.
        """
        ...

    def certification_path(self, certificate: GBCSCertificate) -> tuple[GBCSCertificate, ...]:
        """Return the issuing authorities between a certificate and the root, without the root."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """The organisations of the DCC that act on devices, and the certificate to expect of one.

    Args:
        access_control_broker: Signs and MACs.
        transitional_cos: Replaces one supplier's credentials with another's.
        recovery_certificate: The one certificate that a Recovery cell must hold; None where it is
            not at hand.
        recovery_missing: Why it is not at hand, in one line; "" where it is.
    """

    access_control_broker: EntityIdentifier
    transitional_cos: EntityIdentifier
    recovery_certificate: GBCSCertificate | None
    recovery_missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One device, who is responsible for it, and what has been done to its keys.

    Args:
        facts: What is known of the device.
        parties: The DCC's organisations.
        certificates: Where organisations' certificates are found.
        open_key_changes: Key changes that an earlier run left open, by key usage.
        confirmed_key_usages: Usages whose key change was confirmed since commissioning.
        known_cells: What each cell held when the device was last heard of it.
        device_public_keys: Uncompressed points of every key the device is known to have had.
        execute_at: When the device is to replace its certificate, or None for at once.
    """

    facts: DeviceFacts
    parties: Parties
    certificates: Certificates
    open_key_changes: Mapping[KeyUsage, KeyChange]
    confirmed_key_usages: frozenset[KeyUsage]
    known_cells: Mapping[TrustAnchorCellIdentifier, Cell]
    device_public_keys: frozenset[bytes]
    execute_at: datetime | None = None

    @property
    def device(self) -> EntityIdentifier:
        """The device's Entity Identifier."""
        return self.facts.entity_id

    def held_key_identifier(self, cell: TrustAnchorCellIdentifier) -> bytes | None:
        """Return the identifier of the key that a cell is known to hold, or None."""
        known = self.known_cells.get(cell)
        return None if known is None else known.subject_key_identifier

    @property
    def is_hub_function(self) -> bool:
        """True if the device is a CHF, whose duties are the DCC's."""
        return self.facts.device_type is DeviceType.CHF
