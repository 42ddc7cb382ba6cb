"""The command that the DCC makes of a service request that is not critical.

Source: as `service_requests`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duis.credential_requests import (
    ReplacementCertificates,
    RequestHandoverOfDCCControlledDevice,
    UpdateSecurityCredentialsCoS,
)
from duis.duis_enumerations import CANCELLED
from duis.request_documents import RetrieveDeviceSecurityCredentialsKRP
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    NEVER,
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    ProvideCredentialsCommand,
    RemotePartySeqNumberChange,
    SeqNumberUsage,
    SpecialistSeqNumber,
    TimeBasedCPVChecks,
    TrustAnchorCellIdentifier,
    TrustAnchorReplacement,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode
from keyrig.domain.service_requests import MODES, PLACES

if TYPE_CHECKING:
    from duis.request_documents import RequestBody
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.service_requests import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCommand:
    """A command that the DCC makes of a non-critical request.

    Args:
        message_code: Its use case.
        originator: Its originator.
        payload: Its payload.
    """

    message_code: int
    originator: EntityIdentifier
    payload: Any


def asked_command(body: RequestBody, counter: int, users: Users) -> AskedCommand:
    """Return the command that the DCC makes of a non-critical request.

    Args:
        body: The request's body.
        counter: The counter that the DCC took for it, as the answer has it.
        users: The originators of the DCC's commands.

    Raises:
        LocalProtocolError: The DCC makes no command of such a request.
    """
    match body:
        case RetrieveDeviceSecurityCredentialsKRP():
            return AskedCommand(
                message_code=MessageCode.PROVIDE_CREDENTIALS,
                originator=users.access_control_broker,
                payload=ProvideCredentialsCommand(
                    authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
                        role=RemotePartyRole.ACCESS_CONTROL_BROKER,
                        key_usage=KeyUsage.KEY_AGREEMENT,
                    ),
                    remote_party_roles_credentials_required=body.remote_party_roles,
                ),
            )
        case RequestHandoverOfDCCControlledDevice() if body.remote_party_role in MODES:
            return _handed_over(body, counter, users)
        case UpdateSecurityCredentialsCoS():
            return _changed_supplier(body, counter, users)
        case _:
            name = type(body).__name__
            raise LocalProtocolError(f"the DCC makes no command of {name} that is known here")


def _handed_over(
    body: RequestHandoverOfDCCControlledDevice, counter: int, users: Users
) -> AskedCommand:
    role, mode = body.remote_party_role, MODES[body.remote_party_role]
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=mode,
        apply_time_based_cpv_checks=_checks(applied=body.apply_time_based_cpv_checks),
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=role, key_usage=KeyUsage.DIGITAL_SIGNATURE
        ),
        authorising_remote_party_seq_number=counter,
        new_remote_party_floor_seq_number=body.remote_party_floor_seq_number,
        new_remote_party_specialist_floor_seq_number=_specialist(
            body.remote_party_prepayment_top_up_floor_seq_number
        ),
    )
    return AskedCommand(
        message_code=mode.message_code,
        originator=users.access_control_broker,
        payload=_update(control, role, body.replacement_certificates, body),
    )


def _changed_supplier(
    body: UpdateSecurityCredentialsCoS, counter: int, users: Users
) -> AskedCommand:
    mode = CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS
    change = RemotePartySeqNumberChange(
        other_remote_party_role=RemotePartyRole.SUPPLIER,
        other_remote_party_floor_seq_number=body.supplier_floor_seq_number,
        new_remote_party_specialist_floor_seq_number=_specialist(
            body.supplier_prepayment_top_up_floor_seq_number
        ),
    )
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=mode,
        apply_time_based_cpv_checks=_checks(applied=body.apply_time_based_cpv_checks),
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.TRANSITIONAL_COS, key_usage=KeyUsage.DIGITAL_SIGNATURE
        ),
        authorising_remote_party_seq_number=counter,
        other_remote_party_seq_number_changes=(change,),
    )
    certificates = body.supplier_replacement_certificates
    return AskedCommand(
        message_code=mode.message_code,
        originator=users.transitional_cos,
        payload=_update(control, RemotePartyRole.SUPPLIER, certificates, body),
    )


def _update(
    control: AuthorisingRemotePartyControl,
    role: RemotePartyRole,
    certificates: ReplacementCertificates,
    body: RequestHandoverOfDCCControlledDevice | UpdateSecurityCredentialsCoS,
) -> UpdateCredentialsCommand:
    at = body.execution_date_time
    return UpdateCredentialsCommand(
        authorising_remote_party_control=control,
        replacements=tuple(
            TrustAnchorReplacement(
                replacement_certificate=der,
                target_trust_anchor_cell=TrustAnchorCellIdentifier(
                    role=role, key_usage=usage, cell_usage=use
                ),
            )
            for name, usage, use in PLACES
            if (der := getattr(certificates, name)) is not None
        ),
        certification_path_certificates=body.certification_path_certificates.certificates,
        execution_date_time=NEVER if at == CANCELLED else at,
    )


def _checks(*, applied: bool) -> TimeBasedCPVChecks:
    return TimeBasedCPVChecks.APPLY if applied else TimeBasedCPVChecks.DISAPPLY


def _specialist(floor: int | None) -> tuple[SpecialistSeqNumber, ...] | None:
    if floor is None:
        return None
    usage = SeqNumberUsage.PREPAYMENT_TOP_UP
    return (SpecialistSeqNumber(seq_number_usage=usage, seq_number=floor),)
