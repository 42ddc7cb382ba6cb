"""CS02c, CS02d, CS02e: a device's own key pairs and certificates.

Source: GBCS 13.4 to 13.6; response codes as public parsers have them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate, check_profile
from gbcs.certification_request import build_certification_request
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    KeyUsageCommand,
    ProvideDeviceCertificateResponseCode,
    UpdateDeviceCertificateResponseCode,
)
from meterstub.command_execution import Environment, EventCode, Execution
from meterstub.device_faults import FaultKind
from meterstub.key_pair import KeyPair

if TYPE_CHECKING:
    from meterstub.command_verification import VerifiedCommand
    from meterstub.device_state import DeviceState

_Code = UpdateDeviceCertificateResponseCode
_EVENTS: Final = {
    KeyUsage.DIGITAL_SIGNATURE: (
        EventCode.DIGITAL_SIGNATURE_CERTIFICATE_REPLACED,
        EventCode.DIGITAL_SIGNATURE_CERTIFICATE_REPLACEMENT_FAILED,
    ),
    KeyUsage.KEY_AGREEMENT: (
        EventCode.KEY_AGREEMENT_CERTIFICATE_REPLACED,
        EventCode.KEY_AGREEMENT_CERTIFICATE_REPLACEMENT_FAILED,
    ),
}


def issue_credentials(
    command: VerifiedCommand, state: DeviceState, environment: Environment
) -> Execution:
    """Make a new key pair, keep it pending, and ask for its certificate (CS02c)."""
    payload: KeyUsageCommand = command.payload
    usage, faults = payload.key_usage, environment.faults
    refusal = faults.refusal_of(command.message.header.message_code)
    if refusal is not None:
        return Execution(state, IssueCredentialsResponseCode(refusal))
    if usage not in _EVENTS:
        return Execution(state, IssueCredentialsResponseCode.INVALID_KEY_USAGE)
    is_kept = usage in state.pending and not environment.options.second_issue_replaces_pending
    if is_kept or faults.takes_effect(FaultKind.KEY_GENERATION):
        return Execution(state, IssueCredentialsResponseCode.KEY_PAIR_GENERATION_FAILED)
    pair = KeyPair(environment.new_key())
    if faults.takes_effect(FaultKind.CERTIFICATION_REQUEST):
        return Execution(state, IssueCredentialsResponseCode.CR_PRODUCTION_FAILED)
    request = build_certification_request(pair.private_key, usage, state.entity_id)
    return Execution(replace(state, pending={**state.pending, usage: pair}), request)


@dataclass
class _Refused(Exception):
    """The certificate is not taken."""

    code: UpdateDeviceCertificateResponseCode
    reason: str


def update_device_certificate(
    command: VerifiedCommand, state: DeviceState, environment: Environment
) -> Execution:
    """Store the certificate of a pending key pair, which then becomes current (CS02d)."""
    der: bytes = command.payload
    usage: KeyUsage | None = None
    try:
        certificate = _parse(der)
        usage = _usage_of(certificate)
        _check_refusal(command, environment)
        pair = _pending_pair(certificate, usage, state)
        _check_faults(environment)
        if environment.faults.keeps_old_key(usage):
            pair = state.key_pairs[usage]
    except _Refused as refused:
        event = _EVENTS[usage or KeyUsage.DIGITAL_SIGNATURE][1]
        state = environment.log(state, event, f"{refused.code.name}: {refused.reason}")
        return Execution(state, refused.code)
    state = replace(
        state,
        key_pairs={**state.key_pairs, usage: pair},
        certificates={**state.certificates, usage: der},
        pending={use: waiting for use, waiting in state.pending.items() if use != usage},
    )
    state = environment.log(state, _EVENTS[usage][0], f"now certificate {certificate.serial:X}")
    return Execution(state, _Code.SUCCESS)


def _parse(der: bytes) -> GBCSCertificate:
    try:
        return GBCSCertificate.from_der(der)
    except DecodeError as error:
        raise _Refused(_Code.INVALID_CERTIFICATE, str(error)) from None


def _usage_of(certificate: GBCSCertificate) -> KeyUsage:
    try:
        usage = certificate.key_usage
    except CertificateRejected as error:
        raise _Refused(_Code.INVALID_CERTIFICATE, str(error)) from None
    if usage not in _EVENTS:
        raise _Refused(_Code.INVALID_KEY_USAGE, f"a key for {usage.gbcs_name}")
    return usage


def _pending_pair(certificate: GBCSCertificate, usage: KeyUsage, state: DeviceState) -> KeyPair:
    """Return the key pair that `certificate` is for.

    No path is validated: the command brings no certificates for one, and a device holds no
    anchor of the authority that issues devices' certificates.
    """
    try:
        check_profile(certificate, CertificateProfile.DEVICE)
    except CertificateRejected as error:
        raise _Refused(_Code.INVALID_CERTIFICATE, str(error)) from None
    if certificate.entity_id != state.entity_id:
        raise _Refused(_Code.WRONG_DEVICE_IDENTITY, f"it is for {certificate.entity_id}")
    pair = state.pending.get(usage)
    if pair is None:
        raise _Refused(_Code.NO_CORRESPONDING_KEY_PAIR_GENERATED, "no key pair is pending")
    if public_octets(pair.public_key) != public_octets(certificate.public_key):
        raise _Refused(_Code.WRONG_PUBLIC_KEY, "it is not for the pending key pair")
    return pair


def _check_refusal(command: VerifiedCommand, environment: Environment) -> None:
    refusal = environment.faults.refusal_of(command.message.header.message_code)
    if refusal is not None:
        raise _Refused(_Code(refusal), "refused by a fault")


def _check_faults(environment: Environment) -> None:
    if environment.faults.takes_effect(FaultKind.STORAGE):
        raise _Refused(_Code.CERTIFICATE_STORAGE_FAILED, "failed by a fault")
    if environment.faults.takes_effect(FaultKind.PRIVATE_KEY_CHANGE):
        raise _Refused(_Code.PRIVATE_KEY_CHANGE_FAILED, "failed by a fault")


def provide_device_certificate(
    command: VerifiedCommand, state: DeviceState, environment: Environment
) -> Execution:
    """Return the certificate that the device holds for a use (CS02e)."""
    payload: KeyUsageCommand = command.payload
    refusal = environment.faults.refusal_of(command.message.header.message_code)
    if refusal is not None:
        return Execution(state, ProvideDeviceCertificateResponseCode(refusal))
    if payload.key_usage not in _EVENTS:
        return Execution(state, ProvideDeviceCertificateResponseCode.INVALID_KEY_USAGE)
    if environment.faults.takes_effect(FaultKind.CERTIFICATE_RETRIEVAL):
        code = ProvideDeviceCertificateResponseCode.CERTIFICATE_RETRIEVAL_FAILURE
        return Execution(state, code)
    certificate = state.certificates.get(payload.key_usage)
    if certificate is None:
        return Execution(state, ProvideDeviceCertificateResponseCode.NO_CERTIFICATE_HELD)
    return Execution(state, certificate)
