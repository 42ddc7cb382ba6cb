"""The step that has a device re-generate its private keys and store the new certificates.

CS02c makes the device generate a key pair for each key usage, the certificate authority certifies
both, CS02d stores each certificate, CS02e reads it back, and the change is confirmed by an
exchange under the new key: for digital signature the signature of CS02e's response, for key
agreement a CS02a that is MACed, and answered, under it. Until then the old certificate counts as in
use. Both CS02c come first, so that an authority that takes days gets both requests from one visit
and one later visit stores both.

Each move is in the ledger before the command that follows it leaves, so a step that was cut off
goes on where it stood:

| left at | goes on with |
|---|---|
| requested | CS02c again: a second one replaces the pending key pair |
| csr received, waiting for authority | the certificate authority |
| certificate issued | CS02d, and CS02e before a refusal is believed |
| storing (its outcome is not known) | CS02e, and CS02d only if the certificate is not there |
| stored | CS02e, and the exchange under the new key |

A device that has lost the pending pair of an earlier visit has not failed: the request is void, and
CS02c begins anew.

Source: SEC H5.33(a) and H5.37(c), consultation draft; GBCS 13.4 to 13.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.certification_request import CertificationRequest
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    KeyUsageCommand,
    ProvideDeviceCertificateResponseCode,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import MessageCode
from keyrig.domain.key_changes import KeyChangeState
from keyrig.session.steps.effects import (
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
from keyrig.session.steps.reading_cells import read_cells
from keyrig.session.steps.signatories import device_key_authority

if TYPE_CHECKING:
    from collections.abc import Generator

    from keyrig.domain.key_changes import KeyChange
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext

KEY_USAGES = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
_NO_KEY_FOR_IT = frozenset(
    {
        UpdateDeviceCertificateResponseCode.NO_CORRESPONDING_KEY_PAIR_GENERATED,
        UpdateDeviceCertificateResponseCode.WRONG_PUBLIC_KEY,
    }
)
"""Answers to CS02d of a device that has lost the key pair which the certificate is for."""
_UNASKED = (KeyChangeState.CSR_RECEIVED, KeyChangeState.WAITING_FOR_AUTHORITY)
_UNDER_WAY = (KeyChangeState.STORING, KeyChangeState.STORED)


class _PendingKeyLost(Exception):
    """The device no longer has the key pair that a certificate was issued for."""


def regenerate_keys(context: StepContext) -> Script:
    """Re-generate both of a device's keys, or what an earlier run left of that to do."""
    return (yield from _Regeneration(context).carry_out())


class _Regeneration:
    """The key changes of one device in one visit.

    Args:
        context: The device, and what an earlier run left open.
    """

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._evidence: list[int] = []
        self._made_in_this_visit: set[KeyUsage] = set()
        self._taken = set(context.device_public_keys)
        for change in context.open_key_changes.values():
            if change.csr is not None:
                self._taken.add(_requested_point(change.csr))

    def carry_out(self) -> Script:
        opened = self._context.open_key_changes
        usages = [each for each in KEY_USAGES if each not in self._context.confirmed_key_usages]
        changes = {usage: opened[usage] for usage in usages if usage in opened}
        for usage in [each for each in changes if changes[each].state in _UNDER_WAY]:
            # The device may use it already, whatever becomes of the other key.
            lost = yield from self._finish(changes.pop(usage))
            if not lost:
                usages.remove(usage)
        for usage in usages:
            change = changes.get(usage)
            if change is None or change.state is KeyChangeState.REQUESTED:
                changes[usage] = yield from self._request(usage, change)
        for usage in usages:
            if changes[usage].state in _UNASKED:
                changes[usage] = _as_change((yield Certify(changes[usage])))
        waiting = [usage for usage in usages if changes[usage].state in _UNASKED]
        if not waiting:
            for usage in usages:
                waiting += yield from self._finish_or_begin_anew(changes[usage])
        if waiting:
            names = " and ".join(usage.gbcs_name for usage in waiting)
            detail = f"the certificate authority has been asked to certify the new {names} key"
            return StepResult(
                f"{detail}{'s' if len(waiting) > 1 else ''}",
                tuple(self._evidence),
                waits_for_authority=True,
            )
        return StepResult(
            "both key pairs re-generated, certified, stored, read back and used",
            tuple(self._evidence),
        )

    def _finish_or_begin_anew(self, change: KeyChange) -> Generator[Effect, Any, list[KeyUsage]]:
        """Store a certificate, with a new pair where the device lost one of an earlier visit.

        Returns:
            The usage, where the new pair's request waits for the authority.
        """
        usage = change.key_usage
        lost = yield from self._finish(change)
        if not lost:
            return []
        renewed = _as_change((yield Certify((yield from self._request(usage, None)))))
        if renewed.state in _UNASKED:
            return [usage]
        if (yield from self._finish(renewed)):
            raise StepFailed(
                f"the device loses the {usage.gbcs_name} key pair before it can be certified"
            )
        return []

    def _finish(self, change: KeyChange) -> Generator[Effect, Any, bool]:
        """Store and confirm the certificate of a change.

        Returns:
            True if the device has lost the key pair, which an earlier visit had it make.

        Raises:
            StepFailed: It does not store or use the certificate; or it has lost the pair that it
                made in this visit.
        """
        try:
            yield from self._store_and_confirm(change)
        except _PendingKeyLost:
            if change.key_usage in self._made_in_this_visit:
                raise StepFailed(
                    f"the device no longer has the {change.key_usage.gbcs_name} key pair it has "
                    "just made"
                ) from None
            return True
        return False

    def _store_and_confirm(self, change: KeyChange) -> Generator[Effect, Any, None]:
        in_use = change.state is KeyChangeState.STORING and (yield from self._is_used(change))
        if not in_use and change.state is not KeyChangeState.STORED:
            change, in_use = yield from self._store(change)
        if not in_use and not (yield from self._is_used(change)):
            detail = "the device gives another certificate than the one it was given"
            yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=detail)
            raise StepFailed(f"{detail} ({change.key_usage.gbcs_name})")
        yield AdvanceKeyChange(change, KeyChangeState.CONFIRMED)

    def _request(
        self, usage: KeyUsage, change: KeyChange | None
    ) -> Generator[Effect, Any, KeyChange]:
        """Request a new key pair of the device, and keep its certification request."""
        if change is None:
            change = _as_change((yield RequestKeyChange(usage)))
        answer = yield from self._ask(
            MessageCode.ISSUE_CREDENTIALS, KeyUsageCommand(key_usage=usage), usage
        )
        if isinstance(answer.payload, IssueCredentialsResponseCode):
            said = f"{answer.payload.name.lower()} ({answer.payload.value})"
            yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=said)
            raise StepFailed(
                f"asked to re-generate its {usage.gbcs_name} key, the device says {said}"
            )
        reason = self._why_unfit(answer.payload, usage)
        if reason:
            yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=reason)
            raise StepFailed(f"the device's {usage.gbcs_name} certification request: {reason}")
        received = yield AdvanceKeyChange(change, KeyChangeState.CSR_RECEIVED, csr=answer.payload)
        self._made_in_this_visit.add(usage)
        self._taken.add(_requested_point(answer.payload))
        return _as_change(received)

    def _why_unfit(self, csr: bytes, usage: KeyUsage) -> str:
        """Return why a certification request cannot be certified, or "" where it can."""
        try:
            request = CertificationRequest.from_der(csr)
            request.verify(entity=self._context.device, key_usage=usage)
        except (CertificateRejected, DecodeError) as error:
            return str(error)
        if public_octets(request.public_key) in self._taken:
            return "it is for a key that the device had before or has for another use"
        return ""

    def _store(self, change: KeyChange) -> Generator[Effect, Any, tuple[KeyChange, bool]]:
        """Send the device its certificate; where no answer comes, leave it to CS02e to tell.

        A refusal may answer a second sending, after the answer to a first that was executed got
        lost; so what the device holds is asked before the certificate is given up.

        Returns:
            The change, and True if the device was found to use the certificate already.
        """
        certificate = change.certificate
        assert certificate is not None
        if change.state is KeyChangeState.CERTIFICATE_ISSUED:
            change = _as_change((yield AdvanceKeyChange(change, KeyChangeState.STORING)))
        try:
            answer = yield from self._ask(
                MessageCode.UPDATE_DEVICE_CERTIFICATE,
                certificate,
                change.key_usage,
                repeatable=False,
            )
        except NoResponse:
            return change, False
        code: UpdateDeviceCertificateResponseCode = answer.payload
        if code is UpdateDeviceCertificateResponseCode.SUCCESS:
            return _as_change((yield AdvanceKeyChange(change, KeyChangeState.STORED))), False
        said = f"{code.name.lower()} ({code.value})"
        if (yield from self._is_used(change)):
            return change, True
        refused = yield AdvanceKeyChange(change, KeyChangeState.CERTIFICATE_ISSUED, detail=said)
        yield AdvanceKeyChange(_as_change(refused), KeyChangeState.ABANDONED, detail=said)
        if code in _NO_KEY_FOR_IT:
            raise _PendingKeyLost
        raise StepFailed(
            f"given its new {change.key_usage.gbcs_name} certificate, the device says {said}"
        )

    def _is_used(self, change: KeyChange) -> Generator[Effect, Any, bool]:
        """Return whether the device gives back a change's certificate, and uses its key.

        Raises:
            StepFailed: It gives the certificate back and goes on with another key, or says that
                it has none to give.
        """
        usage = change.key_usage
        answer = yield from self._ask(
            MessageCode.PROVIDE_DEVICE_CERTIFICATE, KeyUsageCommand(key_usage=usage), usage
        )
        if isinstance(answer.payload, ProvideDeviceCertificateResponseCode):
            said = f"{answer.payload.name.lower()} ({answer.payload.value})"
            raise StepFailed(f"asked for its {usage.gbcs_name} certificate, the device says {said}")
        if answer.payload != change.certificate:
            return False
        if usage is KeyUsage.DIGITAL_SIGNATURE:
            uses_it = answer.signed_under == change.certificate
        else:
            uses_it = answer.agreed_under in (None, change.certificate) and (
                yield from self._agrees_under(change)
            )
        if not uses_it:
            detail = "the device gives its new certificate back and goes on with its old key"
            yield AdvanceKeyChange(change, KeyChangeState.ABANDONED, detail=detail)
            raise StepFailed(f"{detail} ({usage.gbcs_name})")
        return True

    def _agrees_under(self, change: KeyChange) -> Generator[Effect, Any, bool]:
        """Return whether a MAC of the device is by a change's key.

        The responses to CS02c to CS02e carry none, so a CS02a is exchanged, MACed under the new
        key both ways. Where only the DCC can verify it, the DCC's passing it on is taken for that.

        Raises:
            NoResponse: The device answers under neither key.
        """
        role, certificate = RemotePartyRole.RECOVERY, change.certificate
        try:
            read = yield from read_cells(self._context, role, agreement_certificate=certificate)
        except NoResponse:
            read = yield from read_cells(self._context, role)
        self._evidence.append(read.exchange_id)
        return read.maced_under == certificate or (read.is_by_the_dcc and read.maced_under is None)

    def _ask(
        self,
        message_code: MessageCode,
        payload: object,
        usage: KeyUsage,
        *,
        repeatable: bool = True,
    ) -> Generator[Effect, Any, Answer]:
        originator, cell = device_key_authority(self._context)
        answer = yield from ask(
            message_code,
            originator,
            lambda _counter: payload,
            repeatable=repeatable,
            detail=usage.gbcs_name,
            signing_key_identifier=self._context.held_key_identifier(cell),
        )
        self._evidence.append(answer.exchange_id)
        return answer


def _requested_point(csr: bytes) -> bytes:
    """Return the uncompressed point of the key that a verified request asks to certify."""
    return public_octets(CertificationRequest.from_der(csr).public_key)


def _as_change(answer: Any) -> KeyChange:
    change: KeyChange = answer
    return change
