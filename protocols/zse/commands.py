"""The commands of the Smart Energy clusters that carry GBCS messages, as values.

Numbers stand for ZCL enumerations so that whatever a device sends can be held; the clusters that
a command belongs to, and how it is written, are in `zse.clusters` and `zse.frames`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Final

TUNNELING: Final = 0x0704
KEY_ESTABLISHMENT: Final = 0x0800
METERING: Final = 0x0702


class Direction(enum.IntEnum):
    """Which role a command is for. Source: ZCL 8, 2.4.1.1.3."""

    TO_SERVER = 0
    TO_CLIENT = 1


@dataclass(frozen=True, slots=True)
class Command:
    """A cluster's command.

    Attributes:
        cluster_id: Its cluster.
        command_id: Its identifier for `direction`.
        direction: Which role it is for.
    """

    cluster_id: ClassVar[int]
    command_id: ClassVar[int]
    direction: ClassVar[Direction]


class _TunnelingToServer(Command):
    __slots__ = ()
    cluster_id = TUNNELING
    direction = Direction.TO_SERVER


class _TunnelingToClient(Command):
    __slots__ = ()
    cluster_id = TUNNELING
    direction = Direction.TO_CLIENT


class _KeyEstablishmentToServer(Command):
    __slots__ = ()
    cluster_id = KEY_ESTABLISHMENT
    direction = Direction.TO_SERVER


class _KeyEstablishmentToClient(Command):
    __slots__ = ()
    cluster_id = KEY_ESTABLISHMENT
    direction = Direction.TO_CLIENT


class _MeteringToServer(Command):
    __slots__ = ()
    cluster_id = METERING
    direction = Direction.TO_SERVER


class _MeteringToClient(Command):
    __slots__ = ()
    cluster_id = METERING
    direction = Direction.TO_CLIENT


@dataclass(frozen=True, slots=True)
class RequestTunnel(_TunnelingToServer):
    """Ask for a tunnel.

    Args:
        protocol_id: What it is to carry.
        manufacturer_code: Whose protocol, or 0xFFFF.
        flow_control_support: Whether flow control is asked for.
        maximum_incoming_transfer_size: Octets of data that the client takes at once.

    Source: ZSE 1.4, annex D.6.
    """

    command_id = 0x00
    protocol_id: int
    manufacturer_code: int
    flow_control_support: bool
    maximum_incoming_transfer_size: int


@dataclass(frozen=True, slots=True)
class RequestTunnelResponse(_TunnelingToClient):
    """The outcome of RequestTunnel.

    Args:
        tunnel_id: The tunnel, 0xFFFF where there is none.
        tunnel_status: A `TunnelStatus`.
        maximum_incoming_transfer_size: Octets of data that the server takes at once.

    Source: ZSE 1.4, annex D.6.
    """

    command_id = 0x00
    tunnel_id: int
    tunnel_status: int
    maximum_incoming_transfer_size: int


@dataclass(frozen=True, slots=True)
class CloseTunnel(_TunnelingToServer):
    """Close a tunnel; the answer is a Default Response. Source: ZSE 1.4, annex D.6."""

    command_id = 0x01
    tunnel_id: int


@dataclass(frozen=True, slots=True)
class TransferData(_TunnelingToServer):
    """Data from the client. Source: ZSE 1.4, annex D.6."""

    command_id = 0x02
    tunnel_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TransferDataToClient(_TunnelingToClient):
    """Data from the server. Source: ZSE 1.4, annex D.6."""

    command_id = 0x01
    tunnel_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TransferDataError(_TunnelingToServer):
    """The client did not take data; a `TransferDataStatus`. Source: ZSE 1.4, annex D.6."""

    command_id = 0x03
    tunnel_id: int
    transfer_data_status: int


@dataclass(frozen=True, slots=True)
class TransferDataErrorToClient(_TunnelingToClient):
    """The server did not take data; a `TransferDataStatus`. Source: ZSE 1.4, annex D.6."""

    command_id = 0x02
    tunnel_id: int
    transfer_data_status: int


@dataclass(frozen=True, slots=True)
class GetSupportedTunnelProtocols(_TunnelingToServer):
    """Ask which protocols a server carries, from the n-th on. Source: ZSE 1.4, annex D.6."""

    command_id = 0x06
    protocol_offset: int


@dataclass(frozen=True, slots=True)
class SupportedTunnelProtocolsResponse(_TunnelingToClient):
    """The protocols as pairs of manufacturer code and protocol. Source: ZSE 1.4, annex D.6."""

    command_id = 0x05
    protocol_list_complete: bool
    protocols: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TunnelClosureNotification(_TunnelingToClient):
    """The server closed a tunnel by itself. Source: ZSE 1.4, annex D.6."""

    command_id = 0x06
    tunnel_id: int


@dataclass(frozen=True, slots=True)
class InitiateKeyEstablishmentRequest(_KeyEstablishmentToServer):
    """The initiator's certificate.

    Args:
        key_establishment_suite: One bit of `KeyEstablishmentSuite`.
        ephemeral_data_generate_time: Seconds that its ephemeral key takes.
        confirm_key_generate_time: Seconds that its shared secret takes.
        identity: Its implicit certificate.

    Source: ZSE 1.4, annex C.
    """

    command_id = 0x00
    key_establishment_suite: int
    ephemeral_data_generate_time: int
    confirm_key_generate_time: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class InitiateKeyEstablishmentResponse(_KeyEstablishmentToClient):
    """The responder's certificate; fields as in the request. Source: ZSE 1.4, annex C."""

    command_id = 0x00
    key_establishment_suite: int
    ephemeral_data_generate_time: int
    confirm_key_generate_time: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class EphemeralDataRequest(_KeyEstablishmentToServer):
    """The initiator's ephemeral public key (QEU). Source: ZSE 1.4, annex C."""

    command_id = 0x01
    ephemeral_data: bytes


@dataclass(frozen=True, slots=True)
class EphemeralDataResponse(_KeyEstablishmentToClient):
    """The responder's ephemeral public key (QEV). Source: ZSE 1.4, annex C."""

    command_id = 0x01
    ephemeral_data: bytes


@dataclass(frozen=True, slots=True)
class ConfirmKeyDataRequest(_KeyEstablishmentToServer):
    """The initiator's key confirmation (MACU). Source: ZSE 1.4, annex C."""

    command_id = 0x02
    secure_message_authentication_code: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConfirmKeyDataResponse(_KeyEstablishmentToClient):
    """The responder's key confirmation (MACV). Source: ZSE 1.4, annex C."""

    command_id = 0x02
    secure_message_authentication_code: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TerminateByInitiator(_KeyEstablishmentToServer):
    """The initiator ends the exchange.

    Args:
        status: A `KeyEstablishmentStatus`.
        wait_time: Seconds to let pass before another attempt.
        key_establishment_suite: The suites that the sender has.

    Source: ZSE 1.4, annex C.
    """

    command_id = 0x03
    status: int
    wait_time: int
    key_establishment_suite: int


@dataclass(frozen=True, slots=True)
class TerminateByResponder(_KeyEstablishmentToClient):
    """The responder ends the exchange; fields as above. Source: ZSE 1.4, annex C."""

    command_id = 0x03
    status: int
    wait_time: int
    key_establishment_suite: int


@dataclass(frozen=True, slots=True)
class RequestMirror(_MeteringToClient):
    """A sleepy meter asks a hub for a mirror. Source: ZSE 1.4, annex D.3."""

    command_id = 0x01


@dataclass(frozen=True, slots=True)
class RequestMirrorResponse(_MeteringToServer):
    """The mirror's endpoint, or `MIRROR_REFUSED`. Source: ZSE 1.4, annex D.3."""

    command_id = 0x01
    endpoint_id: int


@dataclass(frozen=True, slots=True)
class ConfigureMirror(_MeteringToClient):
    """How a meter wants its mirror to answer reports.

    Args:
        issuer_event_id: Greater than that of an earlier one.
        reporting_interval: Seconds between reports.
        mirror_notification_reporting: Whether a report is answered with the flags.
        notification_scheme: A `NotificationScheme`.

    Source: ZSE 1.4, annex D.3.
    """

    command_id = 0x08
    issuer_event_id: int
    reporting_interval: int
    mirror_notification_reporting: bool
    notification_scheme: int


@dataclass(frozen=True, slots=True)
class MirrorReportAttributeResponse(_MeteringToServer):
    """A mirror's answer to a report: the flags of the scheme, in its order.

    Source: ZSE 1.4, annex D.3.
    """

    command_id = 0x09
    notification_scheme: int
    notification_flags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DefaultResponse:
    """The general answer to a command that has none of its own.

    Args:
        command_id: The command that is answered.
        status: A ZCL status, 0 for success.
        direction: Which role it is for.

    Source: ZCL 8, 2.5.12.
    """

    command_id: int
    status: int
    direction: Direction


class NotificationScheme(enum.IntEnum):
    """Which flags a mirror answers with. Source: ZSE 1.4, annex D.3; GBCS 10.2.2.2 uses B."""

    NONE = 0x00
    PREDEFINED_A = 0x01
    PREDEFINED_B = 0x02


class FunctionalNotification(enum.IntFlag):
    """The bits of FunctionalNotificationFlags that a GSME acts on.

    Source: GBCS 10.2.2.2; ZSE 1.4, annex D.3.
    """

    NEW_OTA_FIRMWARE = 1 << 0
    CBKE_UPDATE_REQUEST = 1 << 1
    STAY_AWAKE_REQUEST_HAN = 1 << 4
    STAY_AWAKE_REQUEST_WAN = 1 << 5
    PUSH_HISTORICAL_METERING_DATA = 0b111 << 6
    PUSH_HISTORICAL_PREPAYMENT_DATA = 0b111 << 9
    PUSH_ALL_STATIC_DATA_BASIC_CLUSTER = 1 << 12
    PUSH_ALL_STATIC_DATA_METERING_CLUSTER = 1 << 13
    PUSH_ALL_STATIC_DATA_PREPAYMENT_CLUSTER = 1 << 14
    NETWORK_KEY_ACTIVE = 1 << 15
    TUNNEL_MESSAGE_PENDING = 1 << 21
    GET_SNAPSHOT = 1 << 22
    GET_SAMPLED_DATA = 1 << 23


FUNCTIONAL_NOTIFICATION_FLAGS: Final = 0x0000
"""Attribute of a Metering client. Source: ZSE 1.4, annex D.3."""
FLAGS_IN_SCHEME: Final = {NotificationScheme.PREDEFINED_A: 1, NotificationScheme.PREDEFINED_B: 5}
"""How many attributes a scheme's answer has, FunctionalNotificationFlags first."""
MIRROR_REFUSED: Final = 0xFFFF
"""EndpointID of a RequestMirrorResponse where no mirror is to be had."""
NO_TUNNEL: Final = 0xFFFF
"""TunnelID where there is none."""

COMMANDS: Final[tuple[type[Command], ...]] = (
    RequestTunnel,
    RequestTunnelResponse,
    CloseTunnel,
    TransferData,
    TransferDataToClient,
    TransferDataError,
    TransferDataErrorToClient,
    GetSupportedTunnelProtocols,
    SupportedTunnelProtocolsResponse,
    TunnelClosureNotification,
    InitiateKeyEstablishmentRequest,
    InitiateKeyEstablishmentResponse,
    EphemeralDataRequest,
    EphemeralDataResponse,
    ConfirmKeyDataRequest,
    ConfirmKeyDataResponse,
    TerminateByInitiator,
    TerminateByResponder,
    RequestMirror,
    RequestMirrorResponse,
    ConfigureMirror,
    MirrorReportAttributeResponse,
)
"""Every command that is read and written."""
