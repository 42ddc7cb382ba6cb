"""The correspondence of service requests and commands.

The one table; `asked_commands` reads it the other way. Critical requests become a pre-command
that the party signs; the DCC makes the commands of all others itself, with a counter and keys
of its own.

| a step asks for | request | acts | the command is |
|---|---|---|---|
| CS02c | 6.17 | the supplier | the supplier's |
| CS02d | 6.15.2 | the supplier | the supplier's |
| CS02e | 6.24.2 | the supplier | the supplier's |
| CS02b, supplier or network operator by itself | 6.15.1 | that party | that party's |
| CS02b out of cells that hold the DCC's own | 6.21 | the supplier | the access control broker's |
| CS02b, supplier by transitional change of supplier | 6.23 | the supplier | that party's |
| CS02a by the access control broker | 6.24.1 | the supplier | the access control broker's |

The supplier asks for a handover to the network operator too: DUIS lets no network operator
send 6.21, and the templates have the supplier as its originator.

Source: DUIS XML schema 5.4; the correspondence as in RTDS 4.5.0 and the public templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from duis.credential_requests import (
    CertificationPathCertificates,
    ReplacementCertificates,
    ReplacementCertificatesKRP,
    RequestHandoverOfDCCControlledDevice,
    SupplierOrNetworkOperatorCertificates,
    UpdateSecurityCredentialsCoS,
    UpdateSecurityCredentialsKRP,
)
from duis.duis_enumerations import CANCELLED
from duis.request_documents import (
    IssueSecurityCredentials,
    RetrieveDeviceSecurityCredentialsDevice,
    RetrieveDeviceSecurityCredentialsKRP,
    UpdateSecurityCredentialsDevice,
)
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    NEVER,
    CredentialsReplacementMode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    SpecialistSeqNumber,
    TimeBasedCPVChecks,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode, use_case_name
from keyrig.base.errors import NoServiceRequest

if TYPE_CHECKING:
    from datetime import datetime

    from duis.request_documents import RequestBody
    from gbcs.entity_identifier import EntityIdentifier

MODES: Final = {
    RemotePartyRole.SUPPLIER: CredentialsReplacementMode.SUPPLIER_BY_SUPPLIER,
    RemotePartyRole.NETWORK_OPERATOR: (
        CredentialsReplacementMode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR
    ),
}
"""The mode in which a party of a role replaces its own certificates."""
PLACES: Final = (
    ("digital_signing_certificate", KeyUsage.DIGITAL_SIGNATURE, CellUsage.MANAGEMENT),
    ("key_agreement_certificate", KeyUsage.KEY_AGREEMENT, CellUsage.MANAGEMENT),
    ("key_agreement_top_up_certificate", KeyUsage.KEY_AGREEMENT, CellUsage.PREPAYMENT_TOP_UP),
)
"""The elements that certificates stand in, in their order, and the cells they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """A service request by which a party has the DCC send a command.

    Args:
        body: The request's body.
        originator: The party that asks.
        is_critical: Whether the party signs the command; the DCC makes it whole otherwise.
    """

    body: RequestBody
    originator: EntityIdentifier
    is_critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The Users that may send requests, and the DCC's parties that make commands.

    Args:
        supplier: The supplier that acts on the device, or None.
        access_control_broker: The DCC's, which makes the commands of 6.21 and 6.24.1.
        transitional_cos: The DCC's, which makes the commands of 6.23.
        import_mpxn: The meter point of the device, which 6.23 has to name, or None.
    """

    supplier: EntityIdentifier | None
    access_control_broker: EntityIdentifier
    transitional_cos: EntityIdentifier
    import_mpxn: str | None = None


def service_request(
    message_code: int, payload: Any, originator: EntityIdentifier, users: Users
) -> ServiceRequest:
    """Return the service request that causes a command.

    Args:
        message_code: The command's use case.
        payload: Its payload; where the DCC makes the command, with any counter.
        originator: The command's originator.
        users: The Users that may send requests.

    Raises:
        NoServiceRequest: No User can request it, or what the request needs is not known.
    """
    match payload:
        case ProvideCredentialsCommand():
            _require(originator == users.access_control_broker, message_code, "not the broker's")
            roles = payload.remote_party_roles_credentials_required
            body: RequestBody = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=roles)
            return _by_supplier(message_code, body, users)
        case UpdateCredentialsCommand():
            return _replacement(message_code, payload, originator, users)
        case KeyUsageCommand() if message_code == MessageCode.ISSUE_CREDENTIALS:
            body = IssueSecurityCredentials(credential_type=payload.key_usage)
        case KeyUsageCommand():
            body = RetrieveDeviceSecurityCredentialsDevice(credential_type=payload.key_usage)
        case bytes():
            body = UpdateSecurityCredentialsDevice(device_certificate=payload)
        case _:
            raise NoServiceRequest(use_case_name(message_code), "no service request asks for it")
    _require_user(message_code, originator, users)
    return ServiceRequest(body=body, originator=originator, is_critical=True)


def _replacement(
    message_code: int,
    command: UpdateCredentialsCommand,
    originator: EntityIdentifier,
    users: Users,
) -> ServiceRequest:
    mode = command.authorising_remote_party_control.credentials_replacement_mode
    if mode is CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS:
        return _by_supplier(message_code, _change_of_supplier(message_code, command, users), users)
    _require(mode in MODES.values(), message_code, "the DCC alone replaces its own")
    if originator == users.access_control_broker:
        return _by_supplier(message_code, _handover(message_code, command), users)
    _require_user(message_code, originator, users)
    body = UpdateSecurityCredentialsKRP(
        execution_date_time=_execution(command.execution_date_time),
        remote_party_role=_role(message_code, command),
        replacement_certificates=ReplacementCertificatesKRP(
            supplier_or_network_operator_certificates=SupplierOrNetworkOperatorCertificates(
                **_certificates(command)
            )
        ),
        **_floors(command),
        **_path(command),
    )
    return ServiceRequest(body=body, originator=originator, is_critical=True)


def _handover(message_code: int, command: UpdateCredentialsCommand) -> RequestBody:
    certificates = _certificates(command)
    _require(_SIGNING in certificates, message_code, "a handover replaces the signing cell too")
    return RequestHandoverOfDCCControlledDevice(
        execution_date_time=_execution(command.execution_date_time),
        remote_party_role=_role(message_code, command),
        replacement_certificates=ReplacementCertificates(**certificates),
        **_floors(command),
        **_path(command),
    )


def _change_of_supplier(
    message_code: int, command: UpdateCredentialsCommand, users: Users
) -> RequestBody:
    certificates = _certificates(command)
    _require(_SIGNING in certificates, message_code, "6.23 replaces the signing cell too")
    changes = command.authorising_remote_party_control.other_remote_party_seq_number_changes
    floors = [
        each for each in changes or () if each.other_remote_party_role is RemotePartyRole.SUPPLIER
    ]
    _require(len(floors) == 1, message_code, "6.23 needs a floor for the supplier's counters")
    if users.import_mpxn is None:
        raise NoServiceRequest(
            use_case_name(message_code), "6.23 names the meter point, and the link has no mpxn"
        )
    return UpdateSecurityCredentialsCoS(
        execution_date_time=_execution(command.execution_date_time),
        supplier_floor_seq_number=floors[0].other_remote_party_floor_seq_number,
        supplier_prepayment_top_up_floor_seq_number=_top_up_floor(
            floors[0].new_remote_party_specialist_floor_seq_number
        ),
        supplier_replacement_certificates=ReplacementCertificates(**certificates),
        import_mpxn=users.import_mpxn,
        **_path(command),
    )


_SIGNING: Final = PLACES[0][0]


def _certificates(command: UpdateCredentialsCommand) -> dict[str, Any]:
    cells = {
        (cell.key_usage, cell.cell_usage): each.replacement_certificate
        for each in command.replacements
        for cell in (each.target_trust_anchor_cell,)
    }
    return {name: cells[usage, use] for name, usage, use in PLACES if (usage, use) in cells}


def _role(message_code: int, command: UpdateCredentialsCommand) -> RemotePartyRole:
    roles = {each.target_trust_anchor_cell.role for each in command.replacements}
    _require(len(roles) == 1, message_code, "one request replaces one role's certificates")
    return roles.pop()


def _floors(command: UpdateCredentialsCommand) -> dict[str, Any]:
    control = command.authorising_remote_party_control
    return {
        "remote_party_floor_seq_number": control.new_remote_party_floor_seq_number,
        "remote_party_prepayment_top_up_floor_seq_number": _top_up_floor(
            control.new_remote_party_specialist_floor_seq_number
        ),
    }


def _top_up_floor(floors: tuple[SpecialistSeqNumber, ...] | None) -> int | None:
    return next((each.seq_number for each in floors or ()), None)


def _path(command: UpdateCredentialsCommand) -> dict[str, Any]:
    checks = command.authorising_remote_party_control.apply_time_based_cpv_checks
    return {
        "certification_path_certificates": CertificationPathCertificates(
            certificates=command.certification_path_certificates
        ),
        "apply_time_based_cpv_checks": checks is TimeBasedCPVChecks.APPLY,
    }


def _execution(at: datetime | None) -> datetime | None:
    """Return an instant in the form of DUIS, which has its own one for "never"."""
    return CANCELLED if at == NEVER else at


def _by_supplier(message_code: int, body: RequestBody, users: Users) -> ServiceRequest:
    if users.supplier is None:
        raise NoServiceRequest(use_case_name(message_code), "the rig names no supplier to ask")
    return ServiceRequest(body=body, originator=users.supplier, is_critical=False)


def _require_user(message_code: int, originator: EntityIdentifier, users: Users) -> None:
    is_dcc = originator in (users.access_control_broker, users.transitional_cos)
    _require(not is_dcc, message_code, "it is the DCC's own to send")


def _require(condition: bool, message_code: int, reason: str) -> None:  # noqa: FBT001 - called like assert, condition first
    if not condition:
        raise NoServiceRequest(use_case_name(message_code), reason)
