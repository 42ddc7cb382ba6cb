"""Hypothesis strategies for the values of `gbcs.security_credentials`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from gbcs.der import Codec, tlv
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    ISSUE_CREDENTIALS_COMMAND,
    ISSUE_CREDENTIALS_RESPONSE,
    PROVIDE_CREDENTIALS_COMMAND,
    PROVIDE_CREDENTIALS_RESPONSE,
    PROVIDE_DEVICE_CERTIFICATE_COMMAND,
    PROVIDE_DEVICE_CERTIFICATE_RESPONSE,
    UPDATE_CREDENTIALS_ALERT,
    UPDATE_CREDENTIALS_COMMAND,
    UPDATE_CREDENTIALS_RESPONSE,
    UPDATE_DEVICE_CERTIFICATE_COMMAND,
    UPDATE_DEVICE_CERTIFICATE_RESPONSE,
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    ExecutionOutcome,
    IssueCredentialsResponseCode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    ProvideDeviceCertificateResponseCode,
    RemotePartyDetails,
    RemotePartySeqNumberChange,
    ReplacementOutcome,
    SeqNumberUsage,
    SpecialistSeqNumber,
    StatusCode,
    TimeBasedCPVChecks,
    TrustAnchorCellContents,
    TrustAnchorCellIdentifier,
    TrustAnchorReplacement,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
    UpdateDeviceCertificateResponseCode,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ROLES = st.sampled_from(RemotePartyRole)
KEY_USAGES = st.integers(1, 2**9 - 1).map(KeyUsage)
SEQ_NUMBERS = st.integers(0, 2**63 - 1)
IDENTIFIERS = st.binary(min_size=8, max_size=8)
MOMENTS = st.datetimes(
    min_value=datetime(1000, 1, 1),  # noqa: DTZ001 - hypothesis takes naive bounds
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
DOCUMENTS = st.builds(
    lambda body, signature: tlv(
        0x30,
        tlv(0x30, tlv(0x04, body)) + bytes.fromhex("300A06082A8648CE3D040302") + signature,
    ),
    st.binary(max_size=300),
    st.binary(max_size=80).map(lambda octets: tlv(0x03, b"\x00" + octets)),
)
"""Octets in the shape of a certificate: to be signed, algorithm, signature."""


def _tuples(items: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=4).map(tuple)


def _or_none(items: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | items


CELLS = st.builds(
    TrustAnchorCellIdentifier,
    role=ROLES,
    key_usage=KEY_USAGES,
    cell_usage=st.sampled_from(CellUsage),
)
SPECIALISTS = _tuples(
    st.builds(
        SpecialistSeqNumber,
        seq_number_usage=st.sampled_from(SeqNumberUsage),
        seq_number=SEQ_NUMBERS,
    )
)
CHANGES = _tuples(
    st.builds(
        RemotePartySeqNumberChange,
        other_remote_party_role=ROLES,
        other_remote_party_floor_seq_number=SEQ_NUMBERS,
        new_remote_party_specialist_floor_seq_number=_or_none(SPECIALISTS),
    )
)
DETAILS = st.builds(
    RemotePartyDetails,
    remote_party_role=ROLES,
    status_code=st.sampled_from(StatusCode),
    current_seq_number=_or_none(SEQ_NUMBERS),
    trust_anchor_cell_details=_or_none(
        _tuples(
            st.builds(
                TrustAnchorCellContents,
                trust_anchor_cell_key_usage=KEY_USAGES,
                trust_anchor_cell_usage=st.sampled_from(CellUsage),
                existing_subject_unique_id=IDENTIFIERS,
                existing_subject_key_identifier=IDENTIFIERS,
            )
        )
    ),
)
CONTROLS = st.builds(
    AuthorisingRemotePartyControl,
    credentials_replacement_mode=st.sampled_from(CredentialsReplacementMode),
    plaintext_symmetric_key=_or_none(st.binary(max_size=32)),
    apply_time_based_cpv_checks=st.sampled_from(TimeBasedCPVChecks),
    authorising_remote_party_ta_cell_identifier=_or_none(CELLS),
    authorising_remote_party_seq_number=SEQ_NUMBERS,
    new_remote_party_floor_seq_number=_or_none(SEQ_NUMBERS),
    new_remote_party_specialist_floor_seq_number=_or_none(SPECIALISTS),
    other_remote_party_seq_number_changes=_or_none(CHANGES),
)
OUTCOMES = st.builds(
    ExecutionOutcome,
    authorising_remote_party_seq_number=SEQ_NUMBERS,
    credentials_replacement_mode=st.sampled_from(CredentialsReplacementMode),
    remote_party_seq_number_changes=CHANGES,
    replacement_outcomes=_tuples(
        st.builds(
            ReplacementOutcome,
            affected_trust_anchor_cell=CELLS,
            status_code=st.sampled_from(StatusCode),
            existing_subject_unique_id=IDENTIFIERS,
            existing_subject_key_identifier=IDENTIFIERS,
            replacing_subject_unique_id=IDENTIFIERS,
            replacing_subject_key_identifier=IDENTIFIERS,
        )
    ),
)
_KEY_USAGE_COMMANDS = st.builds(KeyUsageCommand, key_usage=KEY_USAGES)

PAYLOADS: dict[str, tuple[Codec[Any], SearchStrategy[Any]]] = {
    "ProvideCredentialsCommand": (
        PROVIDE_CREDENTIALS_COMMAND,
        st.builds(
            ProvideCredentialsCommand,
            authorising_remote_party_ta_cell_identifier=CELLS,
            remote_party_roles_credentials_required=_tuples(ROLES),
        ),
    ),
    "ProvideCredentialsResponse": (PROVIDE_CREDENTIALS_RESPONSE, _tuples(DETAILS)),
    "UpdateCredentialsCommand": (
        UPDATE_CREDENTIALS_COMMAND,
        st.builds(
            UpdateCredentialsCommand,
            authorising_remote_party_control=CONTROLS,
            replacements=_tuples(
                st.builds(
                    TrustAnchorReplacement,
                    replacement_certificate=DOCUMENTS,
                    target_trust_anchor_cell=CELLS,
                )
            ),
            certification_path_certificates=_tuples(DOCUMENTS),
            execution_date_time=_or_none(MOMENTS),
        ),
    ),
    "UpdateCredentialsResponse": (
        UPDATE_CREDENTIALS_RESPONSE,
        st.builds(
            UpdateCredentialsResponse,
            command_accepted=st.none(),
            execution_outcome=_or_none(OUTCOMES),
        ),
    ),
    "UpdateCredentialsAlert": (
        UPDATE_CREDENTIALS_ALERT,
        st.builds(
            UpdateCredentialsAlert,
            alert_code=st.integers(0, 2**32 - 1),
            execution_date_time=MOMENTS,
            execution_outcome=OUTCOMES,
        ),
    ),
    "IssueCredentialsCommand": (ISSUE_CREDENTIALS_COMMAND, _KEY_USAGE_COMMANDS),
    "IssueCredentialsResponse": (
        ISSUE_CREDENTIALS_RESPONSE,
        DOCUMENTS | st.sampled_from(IssueCredentialsResponseCode),
    ),
    "UpdateDeviceCertificateCommand": (UPDATE_DEVICE_CERTIFICATE_COMMAND, DOCUMENTS),
    "UpdateDeviceCertificateResponse": (
        UPDATE_DEVICE_CERTIFICATE_RESPONSE,
        st.sampled_from(UpdateDeviceCertificateResponseCode),
    ),
    "ProvideDeviceCertificateCommand": (PROVIDE_DEVICE_CERTIFICATE_COMMAND, _KEY_USAGE_COMMANDS),
    "ProvideDeviceCertificateResponse": (
        PROVIDE_DEVICE_CERTIFICATE_RESPONSE,
        DOCUMENTS | st.sampled_from(ProvideDeviceCertificateResponseCode),
    ),
}
"""Codec and values of each payload, by its name in `gbcs.asn`."""
