"""What may be shown of a device: nothing private."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import GBCSCertificate
from meterstub.trust_anchor_cells import subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType, KeyUsage, RemotePartyRole
    from gbcs.security_credentials import CredentialsReplacementMode, TrustAnchorCellIdentifier
    from meterstub.device_state import DeviceState, LogEntry


@dataclass(frozen=True, slots=True)
class CellDescription:
    """One trust anchor cell.

    Args:
        cell: Which.
        entity_id: Whose certificate it holds, 8 octets; zeros for nobody's.
        subject_key_identifier: Of its key, 8 octets.
        not_after: Until when it is valid.
    """

    cell: TrustAnchorCellIdentifier
    entity_id: bytes
    subject_key_identifier: bytes
    not_after: datetime


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """One of the device's own certificates.

    Args:
        key_usage: What its key is for.
        serial: Its serial number.
        subject_key_identifier: Of its key, 8 octets, or None.
        not_before: Since when it is valid.
    """

    key_usage: KeyUsage
    serial: int
    subject_key_identifier: bytes | None
    not_before: datetime


@dataclass(frozen=True, slots=True)
class FutureDatedDescription:
    """One command that waits for its date."""

    originator: EntityIdentifier
    mode: CredentialsReplacementMode
    execution_date_time: datetime


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """One device, as tests and pictures show it; the fields are those of `DeviceState`."""

    device_type: DeviceType
    entity_id: EntityIdentifier
    cells: tuple[CellDescription, ...]
    certificates: tuple[CertificateDescription, ...]
    pending: tuple[KeyUsage, ...]
    counters: Mapping[RemotePartyRole, int]
    top_up_floors: Mapping[RemotePartyRole, int]
    alert_counter: int
    future_dated: tuple[FutureDatedDescription, ...]
    log: tuple[LogEntry, ...]


def describe_state(state: DeviceState) -> DeviceDescription:
    """Return what may be shown of a state."""
    cells = tuple(
        CellDescription(cell, *subject_of(der), GBCSCertificate.from_der(der).not_after)
        for cell, der in state.cells.items()
    )
    certificates = []
    for usage, der in state.certificates.items():
        certificate = GBCSCertificate.from_der(der)
        certificates.append(
            CertificateDescription(
                usage,
                certificate.serial,
                certificate.subject_key_identifier,
                certificate.not_before,
            )
        )
    return DeviceDescription(
        device_type=state.device_type,
        entity_id=state.entity_id,
        cells=cells,
        certificates=tuple(certificates),
        pending=tuple(state.pending),
        counters=dict(state.counters),
        top_up_floors=dict(state.top_up_floors),
        alert_counter=state.alert_counter,
        future_dated=tuple(
            FutureDatedDescription(c.originator, c.mode, c.execution_date_time)
            for c in state.future_dated
        ),
        log=state.log,
    )
