"""What delivered commands tell the ledger of a device's own certificates.

Only what somebody vouches for is learnt: a certificate that counted falsely as the device's
would let others answer in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protocol_errors import DecodeError
from gbcs.security_credentials import UpdateDeviceCertificateResponseCode
from gbcs.use_cases import MessageCode
from keyrig.delivery.batch_validation import is_trusted
from keyrig.delivery.delivered_answers import certificate_brought
from keyrig.delivery.public_certificates import is_of_device
from keyrig.domain.states import Verification

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.message import Message
    from keyrig.delivery.delivered_answers import Judgement
    from keyrig.delivery.public_certificates import PublicCertificates
    from keyrig.ledger.key_change_record import KeyChanges
    from keyrig.ledger.local_commands import LocalCommand


def learn_before_sending(
    command: LocalCommand,
    request: Message,
    *,
    certificates: PublicCertificates,
    key_changes: KeyChanges,
    now: datetime,
) -> None:
    """Record that the device may use the certificate of a CS02d from now on."""
    brought = certificate_brought(request)
    if brought is not None and is_trusted(request, certificates, brought):
        key_changes.record_possible(command.device, brought.key_usage, brought.der, now)


def learn_from_answer(
    command: LocalCommand,
    request: Message,
    judgement: Judgement,
    *,
    key_changes: KeyChanges,
    now: datetime,
) -> None:
    """Record what a verified answer says of the device's certificates; of others, nothing."""
    if judgement.verification is not Verification.VERIFIED:
        return
    brought = certificate_brought(request)
    if brought is not None:
        usage = brought.key_usage
        if judgement.payload is UpdateDeviceCertificateResponseCode.SUCCESS:
            key_changes.record_in_use(command.device, usage, brought.der, now)
        elif command.sendings == 1:
            # A refusal of a second sending may follow a first that was carried out.
            key_changes.withdraw_possible(command.device, usage, brought.der, now)
    elif command.message_code == MessageCode.PROVIDE_DEVICE_CERTIFICATE:
        shown = _certificate(judgement.payload)
        if shown is not None and is_of_device(shown, command.device):
            key_changes.record_in_use(command.device, shown.key_usage, shown.der, now)


def _certificate(payload: object) -> GBCSCertificate | None:
    if not isinstance(payload, bytes):
        return None
    try:
        return GBCSCertificate.from_der(payload)
    except DecodeError:
        return None
