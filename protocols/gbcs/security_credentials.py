"""Payloads of the use cases CS02a to CS02e and of the CS02b alert.

Source: GBCS 13.2 to 13.6 (layouts as in RTDS 4.5.0; the module text is restated in
tests/vectors/gbcs.asn, from which an independent compiler is fed).
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Final

from gbcs.der import (
    Choice,
    Encoded,
    Enumerated,
    GeneralizedTime,
    Implicit,
    Integer,
    NamedBits,
    NamedInteger,
    Null,
    OctetString,
    SequenceOf,
    Structure,
    element,
    sequence,
)
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole

SEQ_NUMBER_MAXIMUM: Final = 2**63 - 1
IDENTIFIER_OCTETS: Final = 8
PLAINTEXT_SYMMETRIC_KEY_MAXIMUM_OCTETS: Final = 64

NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The execution date-time that cancels a pending future dated command (seen in RTDS)."""


class StatusCode(enum.IntEnum):
    """Outcome for one role or one trust anchor cell; a subset of RFC 5934's."""

    SUCCESS = 0
    BAD_CERTIFICATE = 5
    NO_TRUST_ANCHOR = 10
    INSUFFICIENT_MEMORY = 17
    TRUST_ANCHOR_NOT_FOUND = 25
    RESOURCES_BUSY = 30
    OTHER = 127


class SeqNumberUsage(enum.IntEnum):
    """What a specialist sequence number serves."""

    PREPAYMENT_TOP_UP = 0


class CredentialsReplacementMode(enum.IntEnum):
    """Who replaces whose credentials; the message code less 0x0100."""

    ROOT_BY_SUPPLIER = 0
    ROOT_BY_WAN_PROVIDER = 1
    SUPPLIER_BY_SUPPLIER = 2
    NETWORK_OPERATOR_BY_NETWORK_OPERATOR = 3
    ACCESS_CONTROL_BROKER_BY_ACB = 4
    WAN_PROVIDER_BY_WAN_PROVIDER = 5
    TRANS_COS_BY_TRANS_COS = 6
    SUPPLIER_BY_TRANS_COS = 7
    ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY = 8
    ANY_BY_CONTINGENCY = 9

    @property
    def message_code(self) -> int:
        """The Message Code of commands and responses of this mode."""
        return 0x0100 + self.value


class TimeBasedCPVChecks(enum.IntEnum):
    """Whether certification path validation looks at the time."""

    APPLY = 0
    DISAPPLY = 1


class IssueCredentialsResponseCode(enum.IntEnum):
    """Why a device gave no certification request (CS02c)."""

    INVALID_KEY_USAGE = 1
    KEY_PAIR_GENERATION_FAILED = 2
    CR_PRODUCTION_FAILED = 3


class UpdateDeviceCertificateResponseCode(enum.IntEnum):
    """Outcome of storing a device's own certificate (CS02d)."""

    SUCCESS = 0
    INVALID_CERTIFICATE = 1
    WRONG_DEVICE_IDENTITY = 2
    INVALID_KEY_USAGE = 3
    NO_CORRESPONDING_KEY_PAIR_GENERATED = 4
    WRONG_PUBLIC_KEY = 5
    CERTIFICATE_STORAGE_FAILED = 6
    PRIVATE_KEY_CHANGE_FAILED = 7


class ProvideDeviceCertificateResponseCode(enum.IntEnum):
    """Why a device gave no certificate (CS02e)."""

    INVALID_KEY_USAGE = 1
    NO_CERTIFICATE_HELD = 2
    CERTIFICATE_RETRIEVAL_FAILURE = 3


_ROLE: Final = NamedInteger(RemotePartyRole)
_KEY_USAGE: Final = NamedBits(KeyUsage)
_CELL_USAGE: Final = NamedInteger(CellUsage)
_STATUS: Final = Enumerated(StatusCode)
_SEQ_NUMBER: Final = Integer(maximum=SEQ_NUMBER_MAXIMUM)
_IDENTIFIER: Final = OctetString(IDENTIFIER_OCTETS)
_MODE: Final = NamedInteger(CredentialsReplacementMode)


@sequence
class TrustAnchorCellIdentifier:
    """Names a trust anchor cell."""

    role: RemotePartyRole = element(_ROLE)
    key_usage: KeyUsage = element(_KEY_USAGE)
    cell_usage: CellUsage = element(_CELL_USAGE, default=CellUsage.MANAGEMENT)

    def __str__(self) -> str:
        top_up = ", prePaymentTopUp" if self.cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
        return f"{{{self.role.gbcs_name}, {self.key_usage.gbcs_name}{top_up}}}"


_CELL: Final = Structure(TrustAnchorCellIdentifier)


@sequence
class SpecialistSeqNumber:
    """A sequence number of a specialist kind."""

    seq_number_usage: SeqNumberUsage = element(NamedInteger(SeqNumberUsage))
    seq_number: int = element(_SEQ_NUMBER)


_SPECIALIST: Final = SequenceOf(Structure(SpecialistSeqNumber))


@sequence
class RemotePartySeqNumberChange:
    """New floors for the counters of one remote party."""

    other_remote_party_role: RemotePartyRole = element(_ROLE)
    other_remote_party_floor_seq_number: int = element(_SEQ_NUMBER)
    new_remote_party_specialist_floor_seq_number: tuple[SpecialistSeqNumber, ...] | None = element(
        _SPECIALIST, default=None
    )


_CHANGES: Final = SequenceOf(Structure(RemotePartySeqNumberChange))


@sequence
class ProvideCredentialsCommand:
    """CS02a command: whose credentials are asked for, and by which authority."""

    authorising_remote_party_ta_cell_identifier: TrustAnchorCellIdentifier = element(_CELL)
    remote_party_roles_credentials_required: tuple[RemotePartyRole, ...] = element(
        SequenceOf(_ROLE)
    )


@sequence
class TrustAnchorCellContents:
    """What one trust anchor cell of a role holds."""

    trust_anchor_cell_key_usage: KeyUsage = element(_KEY_USAGE)
    trust_anchor_cell_usage: CellUsage = element(_CELL_USAGE, default=CellUsage.MANAGEMENT)
    existing_subject_unique_id: bytes = element(_IDENTIFIER)
    existing_subject_key_identifier: bytes = element(_IDENTIFIER)


@sequence
class RemotePartyDetails:
    """What a device holds of one role; without counter and cells if the status is no success."""

    remote_party_role: RemotePartyRole = element(_ROLE)
    status_code: StatusCode = element(_STATUS)
    current_seq_number: int | None = element(_SEQ_NUMBER, default=None)
    trust_anchor_cell_details: tuple[TrustAnchorCellContents, ...] | None = element(
        SequenceOf(Structure(TrustAnchorCellContents)), default=None
    )


@sequence
class AuthorisingRemotePartyControl:
    """Who authorises a replacement, in which mode, and what becomes of the counters."""

    credentials_replacement_mode: CredentialsReplacementMode = element(_MODE)
    plaintext_symmetric_key: bytes | None = element(Implicit(0, OctetString()), default=None)
    apply_time_based_cpv_checks: TimeBasedCPVChecks = element(
        Implicit(1, NamedInteger(TimeBasedCPVChecks)), default=TimeBasedCPVChecks.APPLY
    )
    authorising_remote_party_ta_cell_identifier: TrustAnchorCellIdentifier | None = element(
        Implicit(2, _CELL), default=None
    )
    authorising_remote_party_seq_number: int = element(Implicit(3, _SEQ_NUMBER))
    new_remote_party_floor_seq_number: int | None = element(Implicit(4, _SEQ_NUMBER), default=None)
    new_remote_party_specialist_floor_seq_number: tuple[SpecialistSeqNumber, ...] | None = element(
        Implicit(5, _SPECIALIST), default=None
    )
    other_remote_party_seq_number_changes: tuple[RemotePartySeqNumberChange, ...] | None = element(
        Implicit(6, _CHANGES), default=None
    )

    def __repr__(self) -> str:
        return (
            f"AuthorisingRemotePartyControl({self.credentials_replacement_mode.name}, "
            f"{self.authorising_remote_party_ta_cell_identifier})"
        )


@sequence
class TrustAnchorReplacement:
    """A certificate (DER) and the cell that it is to replace the contents of."""

    replacement_certificate: bytes = element(Encoded())
    target_trust_anchor_cell: TrustAnchorCellIdentifier = element(_CELL)


@sequence
class UpdateCredentialsCommand:
    """CS02b command, of any mode."""

    authorising_remote_party_control: AuthorisingRemotePartyControl = element(
        Structure(AuthorisingRemotePartyControl)
    )
    replacements: tuple[TrustAnchorReplacement, ...] = element(
        SequenceOf(Structure(TrustAnchorReplacement))
    )
    certification_path_certificates: tuple[bytes, ...] = element(SequenceOf(Encoded()))
    execution_date_time: datetime | None = element(GeneralizedTime(), default=None)


@sequence
class ReplacementOutcome:
    """Outcome for one cell; a failed replacement repeats the existing pair as replacing."""

    affected_trust_anchor_cell: TrustAnchorCellIdentifier = element(_CELL)
    status_code: StatusCode = element(_STATUS)
    existing_subject_unique_id: bytes = element(_IDENTIFIER)
    existing_subject_key_identifier: bytes = element(_IDENTIFIER)
    replacing_subject_unique_id: bytes = element(_IDENTIFIER)
    replacing_subject_key_identifier: bytes = element(_IDENTIFIER)


@sequence
class ExecutionOutcome:
    """What the execution of a CS02b command did, cell by cell."""

    authorising_remote_party_seq_number: int = element(_SEQ_NUMBER)
    credentials_replacement_mode: CredentialsReplacementMode = element(_MODE)
    remote_party_seq_number_changes: tuple[RemotePartySeqNumberChange, ...] = element(_CHANGES)
    replacement_outcomes: tuple[ReplacementOutcome, ...] = element(
        SequenceOf(Structure(ReplacementOutcome))
    )


_OUTCOME: Final = Structure(ExecutionOutcome)


@sequence
class UpdateCredentialsResponse:
    """CS02b response; without an outcome where the command is future dated or a cancellation."""

    command_accepted: None = element(Null())
    execution_outcome: ExecutionOutcome | None = element(_OUTCOME, default=None)


@sequence
class UpdateCredentialsAlert:
    """CS02b alert, sent once a future dated command has been attempted."""

    alert_code: int = element(Integer(maximum=2**32 - 1))
    execution_date_time: datetime = element(GeneralizedTime())
    execution_outcome: ExecutionOutcome = element(_OUTCOME)


@sequence
class KeyUsageCommand:
    """CS02c and CS02e commands: which of the device's key pairs or certificates."""

    key_usage: KeyUsage = element(_KEY_USAGE)


PROVIDE_CREDENTIALS_COMMAND: Final = Structure(ProvideCredentialsCommand)
PROVIDE_CREDENTIALS_RESPONSE: Final = SequenceOf(Structure(RemotePartyDetails))
UPDATE_CREDENTIALS_COMMAND: Final = Structure(UpdateCredentialsCommand)
UPDATE_CREDENTIALS_RESPONSE: Final = Structure(UpdateCredentialsResponse)
UPDATE_CREDENTIALS_ALERT: Final = Structure(UpdateCredentialsAlert)
ISSUE_CREDENTIALS_COMMAND: Final = Structure(KeyUsageCommand)
ISSUE_CREDENTIALS_RESPONSE: Final[Choice[bytes | IssueCredentialsResponseCode]] = Choice(
    Encoded(), NamedInteger(IssueCredentialsResponseCode)
)
UPDATE_DEVICE_CERTIFICATE_COMMAND: Final = Encoded()
UPDATE_DEVICE_CERTIFICATE_RESPONSE: Final = NamedInteger(UpdateDeviceCertificateResponseCode)
PROVIDE_DEVICE_CERTIFICATE_COMMAND: Final = Structure(KeyUsageCommand)
PROVIDE_DEVICE_CERTIFICATE_RESPONSE: Final[Choice[bytes | ProvideDeviceCertificateResponseCode]] = (
    Choice(Encoded(), NamedInteger(ProvideDeviceCertificateResponseCode))
)
