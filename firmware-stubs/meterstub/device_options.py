"""Choices that no text at hand confirms: one name each, to be changed here alone.

Checks of a command go in this order, which is a choice too: format, recipient, use case,
originator, counter, signature, MAC, authority, content. What fails before content gets no
response, changes nothing but the security log, and does not advance the counter.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class SigningKey(enum.Enum):
    """Which of a device's keys signs the response that tells of a key's replacement."""

    OLD = "old"
    NEW = "new"


class SeqNumberMoment(enum.Enum):
    """Which counter CS02a gives for the role that asks."""

    BEFORE = "before"
    AFTER = "after"


class CertificateTime(enum.Enum):
    """The time at which a future dated command's certificates must be valid."""

    RECEIPT = "receipt"
    EXECUTION = "execution"


class RootReplacement(enum.Enum):
    """What a new root certificate needs in the modes rootBySupplier and rootByWanProvider."""

    LINKED = "linked"
    SELF_SIGNED = "self-signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions:
    """How a device behaves where GBCS's text is not at hand.

    Args:
        cs02d_response_signed_with: The digital signature key that signs the response to the
            CS02d command that replaces it; OLD is the one current when the command came.
        cs02a_seq_number: BEFORE gives the asking role's counter as it was before this very
            command, as RTDS 4.5.0 has it.
        certificate_time: When path validation of a future dated command takes place in time.
            RTDS 4.5.0 has an alert of success in 2030 for certificates that expire in 2026,
            which only RECEIPT would give; EXECUTION is the cautious reading.
        root_replacement: LINKED demands that the current root's key signed the new root or a
            link certificate over its key; SELF_SIGNED trusts the command's authority.
            anyExceptAbnormalRootByRecovery always demands the link, anyByContingency never.
        floors_need_a_replacement: Whether a role's counter floors are set only when at least
            one of the role's cells was replaced by the same command. A floor takes the place of
            the last accepted counter even where that is greater.
        recheck_authority_at_execution: Whether a future dated command fails when its cell
            no longer holds the certificate of the party that sent it.
        second_issue_replaces_pending: Whether a second CS02c for the same use replaces the
            pending key pair; otherwise it is refused as a failed key pair generation.
        lose_pending_on_power_loss: Whether pending key pairs are forgotten at power-on.
        minimal_lengths: False writes lengths of 128 to 255 in CS02a and CS02b responses and
            alerts in three octets, as RTDS 4.5.0 does.
        security_log_entries: How many entries the security log keeps, the newest ones.
    """

    cs02d_response_signed_with: SigningKey = SigningKey.OLD
    cs02a_seq_number: SeqNumberMoment = SeqNumberMoment.BEFORE
    certificate_time: CertificateTime = CertificateTime.EXECUTION
    root_replacement: RootReplacement = RootReplacement.LINKED
    floors_need_a_replacement: bool = True
    recheck_authority_at_execution: bool = True
    second_issue_replaces_pending: bool = True
    lose_pending_on_power_loss: bool = False
    minimal_lengths: bool = True
    security_log_entries: int = 200
