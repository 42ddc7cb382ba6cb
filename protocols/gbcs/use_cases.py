"""Use cases by Message Code: names, and the codecs of the payloads that are decoded.

Source: GBCS 13 and 15, as far as RTDS 4.5.0 and public parsers confirm them. A code that is
not here still parses and verifies; its payload stays octets.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gbcs import security_credentials as payloads
from gbcs.der import Codec, Decoded, decode
from gbcs.message import CRAFlag, Header, Message, compose_pre_command
from gbcs.protocol_errors import DecodeError, LocalProtocolError
from gbcs.roles import KeyUsage
from gbcs.security_credentials import (
    CredentialsReplacementMode,
    ProvideCredentialsCommand,
    UpdateCredentialsCommand,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class MessageCode(enum.IntEnum):
    """Message Codes of the use cases whose payloads are decoded."""

    PROVIDE_CREDENTIALS = 0x0008
    ISSUE_CREDENTIALS = 0x000A
    UPDATE_DEVICE_CERTIFICATE = 0x000B
    PROVIDE_DEVICE_CERTIFICATE = 0x000C
    UPDATE_CREDENTIALS_ALERT = 0x00CB


@dataclass(frozen=True, slots=True)
class UseCase:
    """A use case: its name, and how its payloads are encoded.

    Args:
        name: The name that GBCS gives it.
        service_request: The DUIS service request that asks for it, or "".
        codecs: The payload's codec by kind of message; none where it stays octets.
    """

    name: str
    service_request: str
    codecs: Mapping[CRAFlag, Codec[Any]]


def _pair(name: str, service_request: str, command: Codec[Any], response: Codec[Any]) -> UseCase:
    codecs = {CRAFlag.COMMAND: command, CRAFlag.RESPONSE: response}
    return UseCase(name, service_request, codecs)


_MODE_NAMES: Final = {
    CredentialsReplacementMode.ROOT_BY_SUPPLIER: ("rootBySupplier", ""),
    CredentialsReplacementMode.ROOT_BY_WAN_PROVIDER: ("rootByWanProvider", ""),
    CredentialsReplacementMode.SUPPLIER_BY_SUPPLIER: ("supplierBySupplier", "6.15.1"),
    CredentialsReplacementMode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR: (
        "networkOperatorByNetworkOperator",
        "6.15.1",
    ),
    CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB: ("accessControlBrokerByACB", ""),
    CredentialsReplacementMode.WAN_PROVIDER_BY_WAN_PROVIDER: ("wanProviderByWanProvider", ""),
    CredentialsReplacementMode.TRANS_COS_BY_TRANS_COS: ("transCoSByTransCoS", ""),
    CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS: ("supplierByTransCoS", "6.23"),
    CredentialsReplacementMode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY: (
        "anyExceptAbnormalRootByRecovery",
        "",
    ),
    CredentialsReplacementMode.ANY_BY_CONTINGENCY: ("anyByContingency", ""),
}

USE_CASES: Final[Mapping[int, UseCase]] = {
    MessageCode.PROVIDE_CREDENTIALS: _pair(
        "CS02a Provide Security Credential Details",
        "6.24.1",
        payloads.PROVIDE_CREDENTIALS_COMMAND,
        payloads.PROVIDE_CREDENTIALS_RESPONSE,
    ),
    MessageCode.ISSUE_CREDENTIALS: _pair(
        "CS02c Issue Security Credentials",
        "6.17",
        payloads.ISSUE_CREDENTIALS_COMMAND,
        payloads.ISSUE_CREDENTIALS_RESPONSE,
    ),
    MessageCode.UPDATE_DEVICE_CERTIFICATE: _pair(
        "CS02d Update Device Certificates on Device",
        "6.15.2",
        payloads.UPDATE_DEVICE_CERTIFICATE_COMMAND,
        payloads.UPDATE_DEVICE_CERTIFICATE_RESPONSE,
    ),
    MessageCode.PROVIDE_DEVICE_CERTIFICATE: _pair(
        "CS02e Provide Device Certificates from Device",
        "6.24.2",
        payloads.PROVIDE_DEVICE_CERTIFICATE_COMMAND,
        payloads.PROVIDE_DEVICE_CERTIFICATE_RESPONSE,
    ),
    MessageCode.UPDATE_CREDENTIALS_ALERT: UseCase(
        "CS02b Update Security Credentials (future dated alert)",
        "",
        {CRAFlag.ALERT: payloads.UPDATE_CREDENTIALS_ALERT},
    ),
    **{
        mode.message_code: _pair(
            f"CS02b Update Security Credentials ({name})",
            service_request,
            payloads.UPDATE_CREDENTIALS_COMMAND,
            payloads.UPDATE_CREDENTIALS_RESPONSE,
        )
        for mode, (name, service_request) in _MODE_NAMES.items()
    },
}

OTHER_NAMES: Final[Mapping[int, str]] = {
    0x0001: "CCS01 Add Device to CHF device log",
    0x0002: "CCS02 Remove Device from CHF device log",
    0x000D: "CS03A1 Method A Join (Meter)",
    0x000E: "CS03B Method B Join",
    0x000F: "CS04AC Method A or C Unjoin",
    0x0010: "CS04B Method B Unjoin",
    0x0013: "CS07 Read Device Join Details",
    0x0018: "CS14 Device Addition To/Removal From HAN Whitelist Alerts",
    0x00AB: "CS03A2 Method A Join (non Meter)",
    0x00AF: "CS03C Method C Join",
    0x00B3: "ECS04b Reset Meter Balance on the ESME",
    0x011B: "CS02f Provide Security Credential Details (ESME and SAPC)",
    0x0120: "ECS100 Command not supported by Device Alert",
    0x0124: "CS02g Update Load Controller Security Credentials (future dated alert)",
    0x0125: "CS02g Update Load Controller Security Credentials (loadControllerByLoadController)",
    0x0126: "CS02g Update Load Controller Security Credentials (loadControllerBySupplier)",
    0x1000: "Generic Critical Alert",
    0x1001: "Generic Non Critical Alert",
}
"""Names of further codes, for people; their payloads stay octets."""


def use_case_name(message_code: int) -> str:
    """Return the name of a use case, or "unknown use case"."""
    use_case = USE_CASES.get(message_code)
    if use_case is not None:
        return use_case.name
    return OTHER_NAMES.get(message_code, "unknown use case")


def payload_codec(message_code: int, cra_flag: CRAFlag) -> Codec[Any] | None:
    """Return the codec of a payload, or None where it stays octets."""
    use_case = USE_CASES.get(message_code)
    return None if use_case is None else use_case.codecs.get(cra_flag)


def decode_payload(message: Message) -> Decoded[Any] | None:
    """Decode a message's payload; None where its use case is not one that is decoded.

    Commands must be DER; responses and alerts may have lengths that are not minimal.

    Raises:
        DecodeError: The payload is not what the use case has; the offset is the message's.
    """
    codec = payload_codec(message.header.message_code, message.header.cra_flag)
    if codec is None:
        return None
    lenient = message.header.cra_flag is not CRAFlag.COMMAND
    try:
        return decode(codec, message.content, lenient_lengths=lenient)
    except DecodeError as error:
        error.offset = (error.offset or 0) + message.content_end - len(message.content)
        raise


def compose(header: Header, payload: Any) -> Message:
    """Compose the unprotected message of a use case from its payload's value.

    Raises:
        LocalProtocolError: The use case is not known, or the value is not its payload.
    """
    codec = payload_codec(header.message_code, header.cra_flag)
    if codec is None:
        raise LocalProtocolError(
            f"message code {header.message_code:04X} has no payload that can be composed"
        )
    return compose_pre_command(header, codec.encode(payload))


@dataclass(frozen=True, slots=True)
class Protection:
    """Which protections a message carries."""

    signature: bool
    mac: bool


SIGNED: Final = Protection(signature=True, mac=False)
MACED: Final = Protection(signature=False, mac=True)
SIGNED_AND_MACED: Final = Protection(signature=True, mac=True)

_UNMACED_MODES: Final = (
    CredentialsReplacementMode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY,
    CredentialsReplacementMode.ANY_BY_CONTINGENCY,
)


def command_protection(payload: object) -> Protection:
    """Return how a CS02a to CS02e command with `payload` is protected.

    Source: GBCS 13.2 (Variant Command: by the authorising cell's key usage) and 13.3.3.1.
    """
    if isinstance(payload, ProvideCredentialsCommand):
        cell = payload.authorising_remote_party_ta_cell_identifier
        return MACED if cell.key_usage is KeyUsage.KEY_AGREEMENT else SIGNED
    if isinstance(payload, UpdateCredentialsCommand):
        control = payload.authorising_remote_party_control
        mode = control.credentials_replacement_mode
        if mode in _UNMACED_MODES:
            return SIGNED
        cell_identifier = control.authorising_remote_party_ta_cell_identifier
        if mode is CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB and (
            cell_identifier is None
        ):
            return MACED
    return SIGNED_AND_MACED


def response_protection(command_payload: object) -> Protection:
    """Return how the response to a CS02a to CS02e command is protected.

    Source: GBCS 13.2 (a MACed command gets a MACed response); 13.3 to 13.6 (signed).
    """
    if isinstance(command_payload, ProvideCredentialsCommand):
        return command_protection(command_payload)
    return SIGNED
