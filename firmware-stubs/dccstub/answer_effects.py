"""What a device's answer means to the DCC: new certificates, SMI Status, alerts to users."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dccstub.access_control_broker import payload_of
from dccstub.command_dispatch import sets_clock
from dccstub.stand_in_options import CREDENTIALS_UPDATED_ALERT, CertificateHashForm
from duis.alert_messages import (
    Certificates,
    DCCAlertMessage,
    RemotePartySeqNumberChange,
    SecurityCredentialsUpdated,
)
from duis.duis_enumerations import CertificateType, SMIStatus
from duis.smki_documents import CertificateStatus
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    StatusCode,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import MessageCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dccstub.certificate_directory import Directory
    from dccstub.stand_in_inventory import InventoryDevice
    from dccstub.stand_in_options import StandInOptions
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message
    from gbcs.security_credentials import (
        ExecutionOutcome,
        TrustAnchorCellIdentifier,
    )

_NAMED_ROLES: Final = frozenset(
    {
        RemotePartyRole.SUPPLIER,
        RemotePartyRole.NETWORK_OPERATOR,
    }
)


@dataclass(frozen=True, slots=True)
class Effects:
    """Takes the consequences of what devices answer.

    Args:
        directory: Learns of devices' new certificates.
        options: How alerts show certificates.
    """

    directory: Directory
    options: StandInOptions

    def of_sending(self, command: Message) -> None:
        """Record a certificate that is on its way to its device."""
        if command.header.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE:
            certificate = GBCSCertificate.from_der(payload_of(command))
            known = self.directory.by_serial(certificate.serial)
            if certificate.entity_id == command.header.recipient and known is None:
                self.directory.add(certificate, CertificateStatus.PENDING)

    def of_answer(
        self, device: InventoryDevice, command: Message, answer: Message, now: datetime
    ) -> list[DCCAlertMessage]:
        """Apply an answer that verifies; return the alerts that it calls for."""
        if sets_clock(command):
            device.status = SMIStatus.COMMISSIONED
            device.date_commissioned = now.date()
            return []
        payload, said = payload_of(command), payload_of(answer)
        if command.header.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE:
            certificate = GBCSCertificate.from_der(payload)
            if said is UpdateDeviceCertificateResponseCode.SUCCESS:
                self.directory.bring_into_use(certificate)
            elif certificate.entity_id == device.entity_id:
                self.directory.drop_pending(certificate)
        if isinstance(said, UpdateCredentialsResponse) and said.execution_outcome is not None:
            return self._updated(device.entity_id, payload, said.execution_outcome)
        return []

    def of_alert(
        self, device: EntityIdentifier, command: Message, alert: Message
    ) -> list[DCCAlertMessage]:
        """Apply the alert that a future dated `command` was attempted."""
        said = payload_of(alert)
        assert isinstance(said, UpdateCredentialsAlert)
        return self._updated(device, payload_of(command), said.execution_outcome)

    def _updated(
        self, device: EntityIdentifier, command: UpdateCredentialsCommand, done: ExecutionOutcome
    ) -> list[DCCAlertMessage]:
        replaced = {
            outcome.affected_trust_anchor_cell
            for outcome in done.replacement_outcomes
            if outcome.status_code is StatusCode.SUCCESS
        }
        certificates = {
            each.target_trust_anchor_cell: each.replacement_certificate
            for each in command.replacements
            if each.target_trust_anchor_cell in replaced
        }
        roles = sorted({cell.role for cell in certificates} & _NAMED_ROLES)
        return [
            DCCAlertMessage(
                dcc_alert_code=CREDENTIALS_UPDATED_ALERT,
                dcc_alert=SecurityCredentialsUpdated(
                    device_id=device,
                    remote_party_role=role,
                    remote_party_seq_number_change=_change(done, role),
                    certificates=tuple(self._hashes(certificates.items(), role)),
                ),
            )
            for role in roles
        ]

    def _hashes(
        self,
        certificates: Iterable[tuple[TrustAnchorCellIdentifier, bytes]],
        role: RemotePartyRole,
    ) -> Iterable[Certificates]:
        for cell, der in certificates:
            if cell.role is role:
                yield Certificates(
                    certificate_type=_certificate_type(cell),
                    certificate_hash=certificate_hash(der, self.options.certificate_hash),
                )


def certificate_hash(der: bytes, form: CertificateHashForm) -> bytes:
    """Return what CertificateHash holds of a certificate."""
    if form is CertificateHashForm.SUBJECT_KEY_IDENTIFIER:
        return GBCSCertificate.from_der(der).subject_key_identifier or b""
    return hashlib.sha1(der, usedforsecurity=False).digest()


def _certificate_type(cell: TrustAnchorCellIdentifier) -> CertificateType:
    if cell.key_usage == KeyUsage.DIGITAL_SIGNATURE:
        return CertificateType.DIGITAL_SIGNING
    if cell.cell_usage is CellUsage.PREPAYMENT_TOP_UP:
        return CertificateType.KEY_AGREEMENT_TOP_UP
    return CertificateType.KEY_AGREEMENT


def _change(done: ExecutionOutcome, role: RemotePartyRole) -> RemotePartySeqNumberChange | None:
    for change in done.remote_party_seq_number_changes:
        if change.other_remote_party_role is role:
            top_up = change.new_remote_party_specialist_floor_seq_number
            return RemotePartySeqNumberChange(
                remote_party_floor_seq_number=change.other_remote_party_floor_seq_number,
                remote_party_prepayment_top_up_floor_seq_number=(
                    top_up[0].seq_number if top_up else None
                ),
            )
    return None
