"""What a device's answer to a delivered command is worth, by public certificates alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protection import signed_under
from gbcs.protocol_errors import DecodeError
from gbcs.roles import KeyUsage
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    ProvideDeviceCertificateResponseCode,
    StatusCode,
    UpdateCredentialsResponse,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import MessageCode, Protection, decode_payload, response_protection
from keyrig.delivery.batch_validation import is_trusted, payload_of
from keyrig.delivery.public_certificates import is_of_device
from keyrig.domain.states import LocalCommandState, Verification

if TYPE_CHECKING:
    from gbcs.message import Message
    from keyrig.delivery.public_certificates import PublicCertificates
    from keyrig.session.device_messages import DeviceRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an answer says, and how far it can be believed.

    Args:
        state: What becomes of the command.
        verification: What is known of the answer's protection.
        detail: Why, in one line.
        payload: What the answer says, where it decodes.
    """

    state: LocalCommandState
    verification: Verification
    detail: str
    payload: Any = None


def judge(
    request: Message,
    answer: Message,
    *,
    certificates: PublicCertificates,
    record: DeviceRecord,
) -> Judgement:
    """Judge what an answer is worth.

    Args:
        request: The command that was delivered.
        answer: The message that answers it: same counter and use case, by the same device.
        certificates: The public certificates that are here.
        record: Knows the device's certificates as the ledger does.
    """
    verification, why = _verify(
        answer,
        _needed(payload_of(request), answer),
        _device_certificates(request, certificates, record),
    )
    if verification is Verification.FAILED:
        return Judgement(state=LocalCommandState.REJECTED, verification=verification, detail=why)
    payload, refusal = _read(answer)
    return Judgement(
        state=LocalCommandState.REFUSED if refusal else LocalCommandState.ANSWERED,
        verification=verification,
        detail="; ".join(filter(None, (refusal, why))),
        payload=payload,
    )


def verify_alert(
    alert: Message, *, certificates: PublicCertificates, record: DeviceRecord
) -> tuple[Verification, str]:
    """Return how far an alert can be believed, and why not further."""
    needed = Protection(signature=alert.mac is None, mac=False)
    return _verify(alert, needed, _known(certificates, record))


def certificate_brought(request: Message) -> GBCSCertificate | None:
    """Return the certificate that a CS02d brings its device, where it is one for that device."""
    if request.header.message_code != MessageCode.UPDATE_DEVICE_CERTIFICATE:
        return None
    try:
        certificate = GBCSCertificate.from_der(payload_of(request))
    except DecodeError:
        return None
    return certificate if is_of_device(certificate, request.header.recipient) else None


def _device_certificates(
    request: Message,
    certificates: PublicCertificates,
    record: DeviceRecord,
) -> tuple[GBCSCertificate, ...]:
    """Return the certificates by which the device may sign now.

    Which key signs the answer to a CS02d is not confirmed, so the one that it brings counts
    too, if somebody that is known vouches for it.
    """
    known = _known(certificates, record)
    brought = certificate_brought(request)
    if (
        brought is not None
        and brought.key_usage == KeyUsage.DIGITAL_SIGNATURE
        and is_trusted(request, certificates, brought)
    ):
        return (*known, brought)
    return known


def _known(certificates: PublicCertificates, record: DeviceRecord) -> tuple[GBCSCertificate, ...]:
    """Return the digital signature certificates that a device may use now."""
    held = record.candidates(KeyUsage.DIGITAL_SIGNATURE)
    return tuple(dict.fromkeys([*held, *certificates.signing(record.device)]))


def _needed(payload: Any, answer: Message) -> Protection:
    if payload is not None:
        return response_protection(payload)
    # What a use case that is not decoded demands is not known here; an answer has one of both.
    return Protection(
        signature=bool(answer.signature) or answer.mac is None, mac=answer.mac is not None
    )


def _verify(
    answer: Message, needed: Protection, known: tuple[GBCSCertificate, ...]
) -> tuple[Verification, str]:
    if needed.signature and not answer.signature:
        return Verification.FAILED, "it carries no signature, which it must"
    if needed.mac and answer.mac is None:
        return Verification.FAILED, "it carries no MAC, which it must"
    if not answer.signature:
        to = answer.header.recipient
        return Verification.NOT_VERIFIABLE_HERE, f"its MAC is for {to}, whose key is not here"
    if not known:
        return (
            Verification.NOT_VERIFIABLE_HERE,
            "no digital signature certificate of the device is here",
        )
    if signed_under(answer, known) is not None:
        return Verification.VERIFIED, ""
    return Verification.FAILED, "its signature is by no key that is known here of the device"


def _read(answer: Message) -> tuple[Any, str]:
    """Return what an answer says, and the refusal in it, or ""."""
    try:
        decoded = decode_payload(answer)
    except DecodeError as error:
        return None, f"the answer cannot be read: {error}"
    payload = None if decoded is None else decoded.value
    return payload, _refusal(payload)


def _refusal(payload: Any) -> str:
    match payload:
        case UpdateDeviceCertificateResponseCode.SUCCESS:
            return ""
        case (
            IssueCredentialsResponseCode()
            | UpdateDeviceCertificateResponseCode()
            | ProvideDeviceCertificateResponseCode()
        ):
            return f"the device says {payload.name.lower()} ({payload.value})"
        case UpdateCredentialsResponse() if payload.execution_outcome is not None:
            failed = [
                f"{each.affected_trust_anchor_cell}: {each.status_code.name.lower()}"
                for each in payload.execution_outcome.replacement_outcomes
                if each.status_code is not StatusCode.SUCCESS
            ]
            return f"not replaced: {'; '.join(failed)}" if failed else ""
        case _:
            return ""
