"""The step that has a device re-generate its private keys and store the new certificates.

For each key usage: CS02c makes the device generate a key pair, the certificate authority
certifies it, CS02d stores the certificate, CS02e reads it back. Each move is in the ledger
before the command that follows it leaves, so a step that was cut off goes on where it stood:

| left at | goes on with |
|---|---|
| requested | CS02c again: a second one replaces the pending key pair |
| csr received | the certificate authority |
| certificate issued | CS02d, and CS02e before a refusal is believed |
| storing (its outcome is not known) | CS02e, and CS02d only if the certificate is not there |
| stored | CS02e |

Source: SEC H5.33(a) and H5.37(c), consultation draft; GBCS 13.4 to 13.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.certification_request import CertificationRequest
from gbcs.errors import CertificateRejected, DecodeError
from gbcs.keys import public_octets
from gbcs.roles import KeyUsage
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    KeyUsageCommand,
    ProvideDeviceCertificateResponseCode,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import MessageCode
from keyrig.ledger.states import KeyChangeState
from keyrig.steps.authorities import device_key_authority
from keyrig.steps.effects import (
    AdvanceKeyChange,
    Answer,
    Certify,
    Effect,
    NoResponse,
    RequestKeyChange,
    StepFailed,
    StepResult,
    ask,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from keyrig.ledger.key_changes import KeyChange
    from keyrig.steps.context import StepContext
    from keyrig.steps.effects import Script

KEY_USAGES = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
_NO_KEY_FOR_IT = frozenset(
    {
        UpdateDeviceCertificateResponseCode.NO_CORRESPONDING_KEY_PAIR_GENERATED,
        UpdateDeviceCertificateResponseCode.WRONG_PUBLIC_KEY,
    }
)
"""Answers to CS02d of a device that has lost the key pair which the certificate is for."""


class _PendingKeyLost(Exception):  # noqa: N818 - not an error of anybody's
    """The device no longer has the key pair that a certificate was issued for."""


def regenerate_keys(context: StepContext) -> Script:
    """Re-generate both of a device's keys, or what an earlier run left of that to do."""
    evidence: list[int] = []
    for key_usage in KEY_USAGES:
        if key_usage in context.confirmed_key_usages:
            continue
        change = context.open_key_changes.get(key_usage)
        resumed = change is not None
        try:
            yield from _change_key(context, key_usage, change, evidence)
        except _PendingKeyLost:
            if not resumed:
                raise StepFailed(
                    f"the device no longer has the {key_usage.gbcs_name} key pair it has just made"
                ) from None
            yield from _anew(context, key_usage, evidence)
    return StepResult(
        "both key pairs re-generated, certified, stored and read back", tuple(evidence)
    )


def _anew(
    context: StepContext, key_usage: KeyUsage, evidence: list[int]
) -> Generator[Effect, Any, None]:
    """Change a key from the start, once, where the pending pair of an earlier run is gone."""
    try:
        yield from _change_key(context, key_usage, None, evidence)
    except _PendingKeyLost:
        raise StepFailed(
            f"the device loses the {key_usage.gbcs_name} key pair before it can be certified"
        ) from None


def _change_key(
    context: StepContext, key_usage: KeyUsage, change: KeyChange | None, evidence: list[int]
) -> Generator[Effect, Any, None]:
    if change is None:
        change = yield RequestKeyChange(key_usage)
    if change.state is KeyChangeState.REQUESTED:
        change = yield from _request(context, change, evidence)
    if change.state is KeyChangeState.CSR_RECEIVED:
        change = yield from _certify(change)
    if change.state is KeyChangeState.STORING and (
        yield from _is_in_use(context, change, evidence)
    ):
        yield AdvanceKeyChange(change, KeyChangeState.CONFIRMED)
        return
    if change.state in (KeyChangeState.CERTIFICATE_ISSUED, KeyChangeState.STORING):
        change = yield from _store(context, change, evidence)
    if not (yield from _is_in_use(context, change, evidence)):
        detail = "the device gives another certificate than the one it was given"
        yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=detail)
        raise StepFailed(f"{detail} ({key_usage.gbcs_name})")
    yield AdvanceKeyChange(change, KeyChangeState.CONFIRMED)


def _request(
    context: StepContext, change: KeyChange, evidence: list[int]
) -> Generator[Effect, Any, KeyChange]:
    """Have the device generate a key pair, and keep its certification request."""
    usage = change.key_usage
    answer = yield from _ask(
        context, MessageCode.ISSUE_CREDENTIALS, KeyUsageCommand(key_usage=usage), usage
    )
    evidence.append(answer.exchange_id)
    if isinstance(answer.payload, IssueCredentialsResponseCode):
        said = f"{answer.payload.name.lower()} ({answer.payload.value})"
        yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=said)
        raise StepFailed(f"asked to re-generate its {usage.gbcs_name} key, the device says {said}")
    reason = _why_unfit(context, answer.payload, usage)
    if reason:
        yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=reason)
        raise StepFailed(f"the device's {usage.gbcs_name} certification request: {reason}")
    received = yield AdvanceKeyChange(change, KeyChangeState.CSR_RECEIVED, csr=answer.payload)
    return _as_change(received)


def _why_unfit(context: StepContext, csr: bytes, usage: KeyUsage) -> str:
    """Say why a certification request cannot be certified, or "" where it can."""
    try:
        request = CertificationRequest.from_der(csr)
        request.verify(entity=context.device, key_usage=usage)
    except (CertificateRejected, DecodeError) as error:
        return str(error)
    if public_octets(request.public_key) in context.device_public_keys:
        return "it is for a key that the device had before, not for a new one"
    return ""


def _certify(change: KeyChange) -> Generator[Effect, Any, KeyChange]:
    try:
        certified = yield Certify(change)
    except CertificateRejected as error:
        yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=str(error))
        raise StepFailed(f"no certificate for the new key: {error}") from error
    return _as_change(certified)


def _store(
    context: StepContext, change: KeyChange, evidence: list[int]
) -> Generator[Effect, Any, KeyChange]:
    """Give the device its certificate; where no answer comes, leave it to CS02e to tell.

    A refusal may answer a second sending, after the answer to a first that was executed got
    lost; so what the device holds is asked before the certificate is given up.
    """
    certificate = change.certificate
    assert certificate is not None
    if change.state is KeyChangeState.CERTIFICATE_ISSUED:
        change = _as_change((yield AdvanceKeyChange(change, KeyChangeState.STORING)))
    try:
        answer = yield from _ask(
            context,
            MessageCode.UPDATE_DEVICE_CERTIFICATE,
            certificate,
            change.key_usage,
            repeatable=False,
        )
    except NoResponse:
        return change
    evidence.append(answer.exchange_id)
    code: UpdateDeviceCertificateResponseCode = answer.payload
    if code is UpdateDeviceCertificateResponseCode.SUCCESS:
        return _as_change((yield AdvanceKeyChange(change, KeyChangeState.STORED)))
    said = f"{code.name.lower()} ({code.value})"
    if (yield from _is_in_use(context, change, evidence)):
        return change
    refused = yield AdvanceKeyChange(change, KeyChangeState.CERTIFICATE_ISSUED, detail=said)
    yield AdvanceKeyChange(_as_change(refused), KeyChangeState.ABANDONED, detail=said)
    if code in _NO_KEY_FOR_IT:
        raise _PendingKeyLost
    raise StepFailed(
        f"given its new {change.key_usage.gbcs_name} certificate, the device says {said}"
    )


def _is_in_use(
    context: StepContext, change: KeyChange, evidence: list[int]
) -> Generator[Effect, Any, bool]:
    """Ask the device for its certificate and say whether it is the change's."""
    usage = change.key_usage
    answer = yield from _ask(
        context, MessageCode.PROVIDE_DEVICE_CERTIFICATE, KeyUsageCommand(key_usage=usage), usage
    )
    evidence.append(answer.exchange_id)
    if isinstance(answer.payload, ProvideDeviceCertificateResponseCode):
        said = f"{answer.payload.name.lower()} ({answer.payload.value})"
        raise StepFailed(f"asked for its {usage.gbcs_name} certificate, the device says {said}")
    return bool(answer.payload == change.certificate)


def _ask(
    context: StepContext,
    message_code: MessageCode,
    payload: object,
    usage: KeyUsage,
    *,
    repeatable: bool = True,
) -> Generator[Effect, Any, Answer]:
    originator, cell = device_key_authority(context)
    return (
        yield from ask(
            message_code,
            originator,
            lambda _counter: payload,
            repeatable=repeatable,
            detail=usage.gbcs_name,
            signing_key_identifier=context.held_key_identifier(cell),
        )
    )


def _as_change(answer: Any) -> KeyChange:
    change: KeyChange = answer
    return change
