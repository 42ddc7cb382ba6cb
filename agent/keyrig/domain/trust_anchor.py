"""Trust anchor cells of devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A trust anchor cell's certificate, as CS02a reports it.

    `subject_key_identifier` has 8 octets.
    """

    role: RemotePartyRole
    key_usage: KeyUsage
    cell_usage: CellUsage
    entity_id: EntityIdentifier
    subject_key_identifier: bytes
