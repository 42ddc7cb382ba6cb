"""What service requests become: the unprotected GBCS command of each, and who signs the DCC's.

Source: GBCS 13.2 to 13.6; which element of a request becomes which of a command, as the
requests and commands of RTDS 4.5.0 that belong together show.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dccstub import stand_in_options as codes
from dccstub.stand_in_options import COMMISSION_MESSAGE_CODES, Refused
from duis.credential_requests import (
    RequestHandoverOfDCCControlledDevice,
    UpdateSecurityCredentialsCoS,
    UpdateSecurityCredentialsKRP,
)
from duis.duis_enumerations import CANCELLED
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    IssueSecurityCredentials,
    RetrieveDeviceSecurityCredentialsDevice,
    RetrieveDeviceSecurityCredentialsKRP,
    UpdateSecurityCredentialsDevice,
)
from gbcs import use_cases
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.der import GeneralizedTime, Integer, element, sequence
from gbcs.der import Structure as DERStructure
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.protocol_errors import CertificateRejected, DecodeError, KeyrigError
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    NEVER,
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    KeyUsageCommand,
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dccstub.access_control_broker import Broker
    from dccstub.stand_in_options import DCCParties
    from duis.credential_requests import (
        CertificationPathCertificates,
        ReplacementCertificates,
        SupplierOrNetworkOperatorCertificates,
    )
    from duis.request_documents import Request
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType

    AnyCertificates = ReplacementCertificates | SupplierOrNetworkOperatorCertificates

_Role = RemotePartyRole
_Mode = CredentialsReplacementMode
_MODES: Final[Mapping[RemotePartyRole, CredentialsReplacementMode]] = {
    _Role.SUPPLIER: _Mode.SUPPLIER_BY_SUPPLIER,
    _Role.NETWORK_OPERATOR: _Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR,
}


class RequestNotTransformable(KeyrigError):
    """A request's content does not make a command: its certificates are none or not its role's."""


@sequence
class StandInClockSetting:
    """What 8.1.1's command carries here in the place of ECS70's and GCS28's own content."""

    current_date_time: datetime = element(GeneralizedTime())
    tolerance_period_s: int = element(Integer(maximum=86_400))


CLOCK_SETTING: Final = DERStructure(StandInClockSetting)


def key_command(
    body: object, originator: EntityIdentifier, device: EntityIdentifier, counter: int
) -> Message | None:
    """Compose the command of 6.15.2, 6.17 or 6.24.2; None for another request.

    Raises:
        RequestNotTransformable: 6.15.2 brings what is no certificate.
    """
    if isinstance(body, UpdateSecurityCredentialsDevice):
        _certificate(body.device_certificate)
        code, payload = MessageCode.UPDATE_DEVICE_CERTIFICATE, body.device_certificate
    elif isinstance(body, IssueSecurityCredentials):
        code, payload = MessageCode.ISSUE_CREDENTIALS, _usage(body.credential_type)
    elif isinstance(body, RetrieveDeviceSecurityCredentialsDevice):
        code, payload = MessageCode.PROVIDE_DEVICE_CERTIFICATE, _usage(body.credential_type)
    else:
        return None
    return use_cases.compose(header_of(code, originator, device, counter), payload)


def _usage(key_usage: KeyUsage) -> Any:
    return KeyUsageCommand(key_usage=key_usage)


def update_by_party(
    body: UpdateSecurityCredentialsKRP | RequestHandoverOfDCCControlledDevice,
    originator: EntityIdentifier,
    device: EntityIdentifier,
    counter: int,
) -> Message:
    """Compose the CS02b of 6.15.1, and of 6.21, whose originator is the access control broker.

    Raises:
        RequestNotTransformable: No mode is known for its role, or a certificate is not its.
    """
    role = body.remote_party_role
    if role not in _MODES:
        raise RequestNotTransformable(f"no replacement of {role.gbcs_name} by itself")
    certificates: AnyCertificates
    if isinstance(body, UpdateSecurityCredentialsKRP):
        replaced = body.replacement_certificates
        certificates = replaced.supplier_or_network_operator_certificates
    else:
        certificates = body.replacement_certificates
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=_MODES[role],
        apply_time_based_cpv_checks=_checks(body.apply_time_based_cpv_checks),
        authorising_remote_party_ta_cell_identifier=_signature_cell(role),
        authorising_remote_party_seq_number=counter,
        new_remote_party_floor_seq_number=body.remote_party_floor_seq_number,
        new_remote_party_specialist_floor_seq_number=_specialist(
            body.remote_party_prepayment_top_up_floor_seq_number
        ),
    )
    return _update(
        control,
        _replacements(certificates, role),
        body.certification_path_certificates,
        body.execution_date_time,
        header_of(_MODES[role].message_code, originator, device, counter),
    )


def update_by_transitional_cos(
    body: UpdateSecurityCredentialsCoS,
    originator: EntityIdentifier,
    device: EntityIdentifier,
    counter: int,
) -> Message:
    """Compose the CS02b of 6.23, whose originator is the transitional change of supplier party.

    Raises:
        RequestNotTransformable: A certificate is none, or not a supplier's.
    """
    mode = CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS
    specialist = _specialist(body.supplier_prepayment_top_up_floor_seq_number)
    change = RemotePartySeqNumberChange(
        other_remote_party_role=RemotePartyRole.SUPPLIER,
        other_remote_party_floor_seq_number=body.supplier_floor_seq_number,
        new_remote_party_specialist_floor_seq_number=specialist,
    )
    cancels = body.execution_date_time == CANCELLED
    control = AuthorisingRemotePartyControl(
        credentials_replacement_mode=mode,
        apply_time_based_cpv_checks=_checks(body.apply_time_based_cpv_checks),
        authorising_remote_party_ta_cell_identifier=_signature_cell(
            RemotePartyRole.TRANSITIONAL_COS
        ),
        authorising_remote_party_seq_number=counter,
        other_remote_party_seq_number_changes=None if cancels else (change,),
    )
    return _update(
        control,
        _replacements(body.supplier_replacement_certificates, RemotePartyRole.SUPPLIER),
        body.certification_path_certificates,
        body.execution_date_time,
        header_of(mode.message_code, originator, device, counter),
    )


def provide_credentials(
    body: RetrieveDeviceSecurityCredentialsKRP,
    broker: EntityIdentifier,
    device: EntityIdentifier,
    counter: int,
) -> Message:
    """Compose the CS02a of 6.24.1, which the access control broker asks and MACs alone."""
    payload = ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
        ),
        remote_party_roles_credentials_required=body.remote_party_roles,
    )
    header = header_of(MessageCode.PROVIDE_CREDENTIALS, broker, device, counter)
    return use_cases.compose(header, payload)


def set_clock(
    body: CommissionDeviceSynchroniseClock,
    device_type: DeviceType,
    originator: EntityIdentifier,
    device: EntityIdentifier,
    counter: int,
) -> Message:
    """Compose the command of 8.1.1, whose content is the stand-in's own."""
    content = CLOCK_SETTING.encode(
        StandInClockSetting(
            current_date_time=body.current_date_time.astimezone(UTC).replace(microsecond=0),
            tolerance_period_s=body.tolerance_period_s,
        )
    )
    code = COMMISSION_MESSAGE_CODES[device_type]
    return compose_pre_command(header_of(code, originator, device, counter), content)


def header_of(
    code: int, originator: EntityIdentifier, device: EntityIdentifier, counter: int
) -> Header:
    """Return the header of a command."""
    return Header(CRAFlag.COMMAND, counter, originator, device, OtherInformation(code))


def _update(
    control: AuthorisingRemotePartyControl,
    replacements: tuple[TrustAnchorReplacement, ...],
    path: CertificationPathCertificates,
    execution_date_time: datetime | None,
    header: Header,
) -> Message:
    for der in path.certificates:
        _certificate(der)
    if execution_date_time is not None:
        execution_date_time = (
            NEVER
            if execution_date_time == CANCELLED
            else execution_date_time.astimezone(UTC).replace(microsecond=0)
        )
    payload = UpdateCredentialsCommand(
        authorising_remote_party_control=control,
        replacements=replacements,
        certification_path_certificates=path.certificates,
        execution_date_time=execution_date_time,
    )
    return use_cases.compose(header, payload)


def _replacements(
    certificates: AnyCertificates, role: RemotePartyRole
) -> tuple[TrustAnchorReplacement, ...]:
    wanted = (
        (certificates.digital_signing_certificate, KeyUsage.DIGITAL_SIGNATURE, False),
        (certificates.key_agreement_certificate, KeyUsage.KEY_AGREEMENT, False),
        (certificates.key_agreement_top_up_certificate, KeyUsage.KEY_AGREEMENT, True),
    )
    replacements = []
    for der, key_usage, is_top_up in wanted:
        if der is None:
            continue
        certificate = _certificate(der)
        if certificate.role is not role or certificate.key_usage != key_usage:
            raise RequestNotTransformable(
                f"{certificate} where one of {role.gbcs_name} for {key_usage.gbcs_name} belongs"
            )
        cell = TrustAnchorCellIdentifier(
            role=role,
            key_usage=key_usage,
            cell_usage=CellUsage.PREPAYMENT_TOP_UP if is_top_up else CellUsage.MANAGEMENT,
        )
        replacements.append(
            TrustAnchorReplacement(replacement_certificate=der, target_trust_anchor_cell=cell)
        )
    if not replacements:
        raise RequestNotTransformable("it replaces no certificate")
    return tuple(replacements)


def _certificate(der: bytes) -> GBCSCertificate:
    try:
        certificate = GBCSCertificate.from_der(der)
        _ = certificate.key_usage, certificate.role
    except (DecodeError, CertificateRejected) as error:
        raise RequestNotTransformable(str(error)) from error
    return certificate


def _checks(apply: bool) -> TimeBasedCPVChecks:  # noqa: FBT001 - the element's own value
    return TimeBasedCPVChecks.APPLY if apply else TimeBasedCPVChecks.DISAPPLY


def _signature_cell(role: RemotePartyRole) -> TrustAnchorCellIdentifier:
    return TrustAnchorCellIdentifier(role=role, key_usage=KeyUsage.DIGITAL_SIGNATURE)


def _specialist(floor: int | None) -> tuple[SpecialistSeqNumber, ...] | None:
    if floor is None:
        return None
    return (
        SpecialistSeqNumber(seq_number_usage=SeqNumberUsage.PREPAYMENT_TOP_UP, seq_number=floor),
    )


class OwnCommands:
    """Makes and signs the commands of 6.21, 6.23 and 6.24.1, which are not critical.

    Args:
        broker: Has the DCC's keys and counters.
        parties: Who the DCC is.
    """

    def __init__(self, broker: Broker, parties: DCCParties) -> None:
        self._broker = broker
        self._parties = parties

    def command(self, request: Request) -> tuple[Message, bytes, datetime | None]:
        """Return header and content of a command, the DCC's signature, and when it is due.

        6.21 for later waits at the DCC; 6.23 for later waits on the device.

        Raises:
            Refused: The request's content makes no command.
        """
        body, device = request.body, request.header.request_id.target
        broker, cos = self._parties.access_control_broker, self._parties.transitional_cos
        variant = request.header.service_reference_variant
        due: datetime | None = None
        party = broker
        try:
            if isinstance(body, RetrieveDeviceSecurityCredentialsKRP):
                counter = self._broker.next_counter(broker)
                made = provide_credentials(body, broker, device, counter)
            elif isinstance(body, RequestHandoverOfDCCControlledDevice):
                due = body.execution_date_time
                counter = self._broker.next_counter(broker)
                at_once = replace(body, execution_date_time=None)
                made = update_by_party(at_once, broker, device, counter)
            elif isinstance(body, UpdateSecurityCredentialsCoS):
                party, counter = cos, self._broker.next_counter(cos)
                made = update_by_transitional_cos(body, cos, device, counter)
            else:
                raise Refused(codes.UNSUPPORTED, f"{type(body).__name__} is not sent")
        except RequestNotTransformable as error:
            raise Refused(codes.CREDENTIALS_REFUSED[variant], str(error)) from error
        return made, self._broker.signed_by(party, made), due
