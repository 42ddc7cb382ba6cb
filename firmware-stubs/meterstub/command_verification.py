"""Verification of commands: nothing else in a device sees one that fails here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from gbcs import protection, use_cases
from gbcs.message import CRAFlag, Message, OtherInformation
from gbcs.protocol_errors import CounterReplayed, DecodeError, SecurityError
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    CredentialsReplacementMode,
    ProvideCredentialsCommand,
    TrustAnchorCellIdentifier,
    UpdateCredentialsCommand,
)
from meterstub import command_rights
from meterstub.command_execution import EventCode
from meterstub.device_state import verify_counter
from meterstub.trust_anchor_cells import BROKER_KEY_AGREEMENT_CELL

if TYPE_CHECKING:
    from gbcs.key_holders import SharedSecrets
    from meterstub.device_state import DeviceState


@dataclass(eq=False)
class CommandRefused(SecurityError):
    """A command failed a check that comes before its content.

    Args:
        event: What goes into the security log.
        reason: What is wrong, in one line.
    """

    event: EventCode
    reason: str

    def __post_init__(self) -> None:
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class VerifiedCommand:
    """A command whose sender and authority are beyond doubt.

    Args:
        message: As it came.
        payload: Its decoded payload.
        role: The remote party role that authorised it; its counter is that role's.
        shared_secret: Z of its MAC, 32 octets, for the response's; b"" where it has none.
    """

    message: Message
    payload: Any
    role: RemotePartyRole
    shared_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who a command says authorised it, before anything is verified.

    Args:
        role: Whose counter and key it is verified with.
        signature_key: The key that its signature must be by; None where a MAC alone proves it.
        may: Whether that role may send such a command at all.
    """

    role: RemotePartyRole
    signature_key: ec.EllipticCurvePublicKey | None
    may: bool


def verify_command(octets: bytes, state: DeviceState, secrets: SharedSecrets) -> VerifiedCommand:
    """Verify everything about a command but what it asks for.

    Order: format, recipient, use case, originator, counter, signature, MAC, command_rights.

    Raises:
        CommandRefused: The first of them that fails.
    """
    message = _parse(octets, state)
    payload = _decode(message)
    claim = _claim(message, payload, state)
    header = message.header
    try:
        verify_counter(state, claim.role, header.originator_counter)
    except CounterReplayed as error:
        raise CommandRefused(EventCode.UNAUTHORISED_COMMUNICATION_ACCESS, str(error)) from None
    try:
        secret = _verify_protection(message, payload, claim, state, secrets)
    except SecurityError as error:
        raise CommandRefused(EventCode.TRUSTED_SOURCE_AUTHENTICATION_FAILURE, str(error)) from None
    if not claim.may:
        raise _no_authority(message, f"{claim.role.gbcs_name} may not send it")
    if isinstance(payload, UpdateCredentialsCommand):
        _check_update_authority(message, payload)
    return VerifiedCommand(message, payload, claim.role, secret)


def _no_authority(message: Message, reason: str) -> CommandRefused:
    described = protection.describe(message.header)
    return CommandRefused(EventCode.NO_AUTHORITY, f"{described}: {reason}")


def _parse(octets: bytes, state: DeviceState) -> Message:
    try:
        message = Message.parse(octets)
    except DecodeError as error:
        raise CommandRefused(EventCode.INTEGRITY_CHECK_FAILED, str(error)) from None
    header = message.header
    if header.recipient != state.entity_id:
        raise CommandRefused(
            EventCode.UNAUTHORISED_COMMUNICATION_ACCESS,
            f"{protection.describe(header)} is for {header.recipient}",
        )
    if header.cra_flag is not CRAFlag.COMMAND:
        raise _malformed(message, "it is no command")
    if header.date_time or header.other_information != OtherInformation(header.message_code):
        raise _malformed(message, "its header has what no such command has")
    return message


def _malformed(message: Message, reason: str) -> CommandRefused:
    described = protection.describe(message.header)
    return CommandRefused(EventCode.INTEGRITY_CHECK_FAILED, f"{described}: {reason}")


def _decode(message: Message) -> Any:
    try:
        decoded = use_cases.decode_payload(message)
    except DecodeError as error:
        raise _malformed(message, str(error)) from None
    if decoded is None:
        raise _malformed(message, "its use case is not supported")
    return decoded.value


def _claim(message: Message, payload: object, state: DeviceState) -> _Claim:
    if isinstance(payload, ProvideCredentialsCommand):
        cell = payload.authorising_remote_party_ta_cell_identifier
        is_broker_key_agreement = cell == BROKER_KEY_AGREEMENT_CELL
        may = is_broker_key_agreement or cell.key_usage is KeyUsage.DIGITAL_SIGNATURE
        return _claim_by_cell(message, cell, state, may=may)
    if isinstance(payload, UpdateCredentialsCommand):
        return _update_claim(message, payload, state)
    return _critical_claim(message, state)


def _claim_by_cell(
    message: Message, cell: TrustAnchorCellIdentifier, state: DeviceState, *, may: bool
) -> _Claim:
    certificate = state.certificate_in(cell)
    if certificate is None or certificate.entity_id != message.header.originator:
        raise CommandRefused(
            EventCode.UNAUTHORISED_COMMUNICATION_ACCESS,
            f"{protection.describe(message.header)}: {cell} is not its originator's",
        )
    signs = cell.key_usage is KeyUsage.DIGITAL_SIGNATURE
    return _Claim(cell.role, certificate.public_key if signs else None, may)


def _update_claim(
    message: Message, payload: UpdateCredentialsCommand, state: DeviceState
) -> _Claim:
    control = payload.authorising_remote_party_control
    mode = control.credentials_replacement_mode
    cell = control.authorising_remote_party_ta_cell_identifier
    if mode is CredentialsReplacementMode.ANY_BY_CONTINGENCY:
        return _contingency_claim(message, state)
    if cell is None:
        may = command_rights.authorising_cell(mode, state.device_type) is None
        return _claim_by_cell(message, BROKER_KEY_AGREEMENT_CELL, state, may=may)
    may = command_rights.authorising_cell(mode, state.device_type) == cell
    return _claim_by_cell(message, cell, state, may=may)


def _contingency_claim(message: Message, state: DeviceState) -> _Claim:
    contingency = state.contingency
    if contingency is None or contingency.originator != message.header.originator:
        raise CommandRefused(
            EventCode.UNAUTHORISED_COMMUNICATION_ACCESS,
            f"{protection.describe(message.header)}: no contingency key of its originator",
        )
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), contingency.public_point)
    return _Claim(RemotePartyRole.ROOT, key, may=True)


def _critical_claim(message: Message, state: DeviceState) -> _Claim:
    """Recognise the originator by its signature cell, the entitled role's first."""
    entitled = command_rights.critical_command_role(state.device_type)
    for cell in sorted(state.cells, key=lambda cell: (cell.role is not entitled, cell.role)):
        if (cell.key_usage, cell.cell_usage) != (KeyUsage.DIGITAL_SIGNATURE, CellUsage.MANAGEMENT):
            continue
        certificate = state.certificate_in(cell)
        if certificate is not None and certificate.entity_id == message.header.originator:
            return _Claim(cell.role, certificate.public_key, may=cell.role is entitled)
    raise CommandRefused(
        EventCode.UNAUTHORISED_COMMUNICATION_ACCESS,
        f"{protection.describe(message.header)}: its originator is in no cell",
    )


def _verify_protection(
    message: Message,
    payload: object,
    claim: _Claim,
    state: DeviceState,
    secrets: SharedSecrets,
) -> bytes:
    """Verify exactly the protections that the use case has; return Z of the MAC, or b""."""
    demanded = use_cases.command_protection(payload)
    if demanded.signature:
        if claim.signature_key is None:
            raise SecurityError(f"{protection.describe(message.header)}: no key can have signed it")
        protection.verify_signature(message, claim.signature_key)
    elif message.signature or message.signature is None:
        raise SecurityError(f"{protection.describe(message.header)} has not the form of its kind")
    if not demanded.mac:
        if message.mac is not None:
            raise SecurityError(f"{protection.describe(message.header)} has a MAC too many")
        return b""
    broker = state.certificate_in(BROKER_KEY_AGREEMENT_CELL)
    assert broker is not None, "every type of device has the broker's key agreement cell"
    secret = secrets.secret(state.key_pairs[KeyUsage.KEY_AGREEMENT], broker.public_key)
    protection.verify_mac(message, secret)
    return secret


def _check_update_authority(message: Message, payload: UpdateCredentialsCommand) -> None:
    control = payload.authorising_remote_party_control
    mode = control.credentials_replacement_mode
    if mode.message_code != message.header.message_code:
        raise _no_authority(message, f"its mode is {mode.name}")
    if control.authorising_remote_party_seq_number != message.header.originator_counter:
        raise _no_authority(message, "its authorising counter is not its header's")
    is_contingency = mode is CredentialsReplacementMode.ANY_BY_CONTINGENCY
    if (control.plaintext_symmetric_key is not None) != is_contingency:
        raise _no_authority(message, "a symmetric key belongs to anyByContingency alone")
    allowed = command_rights.MODE_RULES[mode].target_roles
    for replacement in payload.replacements:
        role = replacement.target_trust_anchor_cell.role
        if role not in allowed:
            raise _no_authority(message, f"{mode.name} may not replace {role.gbcs_name}")
    for change in control.other_remote_party_seq_number_changes or ():
        role = change.other_remote_party_role
        if role not in allowed:
            raise _no_authority(message, f"{mode.name} may not set counters of {role.gbcs_name}")
