"""The commands of the Smart Energy clusters that carry GBCS messages: each declared once.

A declaration names the cluster, the direction, the identifier, and the fields with their types on
the wire; `zse.zcl_frames` writes and reads by it. Numbers stand for ZCL enumerations so
that whatever a device sends can be held.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform

from zse.zcl_fields import (
    BOOLEAN,
    OCTETS,
    PROTOCOL_LIST,
    UINT8,
    UINT16,
    UINT24,
    UINT32,
    UINT32_LIST,
    FieldType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        direction: Which role it is for.
        command_id: Its identifier for `direction`.
        is_answer: It answers another, so that success wants no further answer.
        field_types: The type of each field on the wire, in its order there.
    """

    cluster_id: ClassVar[int]
    direction: ClassVar[Direction]
    command_id: ClassVar[int]
    is_answer: ClassVar[bool]
    field_types: ClassVar[Mapping[str, FieldType]]


COMMANDS: Final[dict[tuple[int, Direction, int], type[Command]]] = {}
"""Every command that is read and written, by cluster, direction and identifier."""

_TYPE: Final = "type on the wire"
C = TypeVar("C", bound=Command)


def wire(field_type: FieldType, *, is_shown: bool = True) -> Any:
    """Declare a field of a `@command` class.

    Args:
        field_type: Its type on the wire.
        is_shown: Whether its value may appear in a `repr`.
    """
    return field(repr=is_shown, metadata={_TYPE: field_type})


@dataclass_transform(frozen_default=True, field_specifiers=(wire,))
def command(
    cluster_id: int, direction: Direction, command_id: int, *, is_answer: bool = False
) -> Callable[[type[C]], type[C]]:
    """Declare a command: a class with the command's fields, in their order.

    Args:
        cluster_id: Its cluster.
        direction: Which role it is for.
        command_id: Its identifier for `direction`.
        is_answer: It answers another.
    """

    def declare(cls: type[C]) -> type[C]:
        cls.cluster_id, cls.direction, cls.command_id = cluster_id, direction, command_id
        cls.is_answer = is_answer
        made = dataclass(frozen=True, slots=True)(cls)
        made.field_types = {each.name: each.metadata[_TYPE] for each in fields(made)}
        COMMANDS[cluster_id, direction, command_id] = made
        return made

    return declare


@command(TUNNELING, Direction.TO_SERVER, 0x00)
class RequestTunnel(Command):
    """Ask for a tunnel.

    Args:
        protocol_id: What it is to carry.
        manufacturer_code: Whose protocol, or 0xFFFF.
        flow_control_support: Whether flow control is asked for.
        maximum_incoming_transfer_size: Octets of data that the client takes at once.

    Source: ZSE 1.4, annex D.6.
    """

    protocol_id: int = wire(UINT8)
    manufacturer_code: int = wire(UINT16)
    flow_control_support: bool = wire(BOOLEAN)
    maximum_incoming_transfer_size: int = wire(UINT16)


@command(TUNNELING, Direction.TO_CLIENT, 0x00, is_answer=True)
class RequestTunnelResponse(Command):
    """The outcome of RequestTunnel.

    Args:
        tunnel_id: The tunnel, 0xFFFF where there is none.
        tunnel_status: A `TunnelStatus`.
        maximum_incoming_transfer_size: Octets of data that the server takes at once.

    Source: ZSE 1.4, annex D.6.
    """

    tunnel_id: int = wire(UINT16)
    tunnel_status: int = wire(UINT8)
    maximum_incoming_transfer_size: int = wire(UINT16)


@command(TUNNELING, Direction.TO_SERVER, 0x01)
class CloseTunnel(Command):
    """Close a tunnel; the answer is a Default Response. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)


@command(TUNNELING, Direction.TO_SERVER, 0x02)
class TransferData(Command):
    """Data from the client. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)
    data: bytes = wire(OCTETS)


@command(TUNNELING, Direction.TO_CLIENT, 0x01)
class TransferDataToClient(Command):
    """Data from the server. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)
    data: bytes = wire(OCTETS)


@command(TUNNELING, Direction.TO_SERVER, 0x03, is_answer=True)
class TransferDataError(Command):
    """The client did not take data; a `TransferDataStatus`. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)
    transfer_data_status: int = wire(UINT8)


@command(TUNNELING, Direction.TO_CLIENT, 0x02, is_answer=True)
class TransferDataErrorToClient(Command):
    """The server did not take data; a `TransferDataStatus`. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)
    transfer_data_status: int = wire(UINT8)


@command(TUNNELING, Direction.TO_SERVER, 0x06)
class GetSupportedTunnelProtocols(Command):
    """Ask which protocols a server carries, from the n-th on. Source: ZSE 1.4, annex D.6."""

    protocol_offset: int = wire(UINT8)


@command(TUNNELING, Direction.TO_CLIENT, 0x05, is_answer=True)
class SupportedTunnelProtocolsResponse(Command):
    """The protocols as pairs of manufacturer code and protocol. Source: ZSE 1.4, annex D.6."""

    protocol_list_complete: bool = wire(BOOLEAN)
    protocols: tuple[tuple[int, int], ...] = wire(PROTOCOL_LIST)


@command(TUNNELING, Direction.TO_CLIENT, 0x06, is_answer=True)
class TunnelClosureNotification(Command):
    """The server closed a tunnel by itself. Source: ZSE 1.4, annex D.6."""

    tunnel_id: int = wire(UINT16)


@command(KEY_ESTABLISHMENT, Direction.TO_SERVER, 0x00)
class InitiateKeyEstablishmentRequest(Command):
    """The initiator's certificate.

    Args:
        key_establishment_suite: One bit of `KeyEstablishmentSuite`.
        ephemeral_data_generate_time: Seconds that its ephemeral key takes.
        confirm_key_generate_time: Seconds that its shared secret takes.
        identity: Its implicit certificate.

    Source: ZSE 1.4, annex C.
    """

    key_establishment_suite: int = wire(UINT16)
    ephemeral_data_generate_time: int = wire(UINT8)
    confirm_key_generate_time: int = wire(UINT8)
    identity: bytes = wire(OCTETS)


@command(KEY_ESTABLISHMENT, Direction.TO_CLIENT, 0x00, is_answer=True)
class InitiateKeyEstablishmentResponse(Command):
    """The responder's certificate; fields as in the request. Source: ZSE 1.4, annex C."""

    key_establishment_suite: int = wire(UINT16)
    ephemeral_data_generate_time: int = wire(UINT8)
    confirm_key_generate_time: int = wire(UINT8)
    identity: bytes = wire(OCTETS)


@command(KEY_ESTABLISHMENT, Direction.TO_SERVER, 0x01)
class EphemeralDataRequest(Command):
    """The initiator's ephemeral public key (QEU). Source: ZSE 1.4, annex C."""

    ephemeral_data: bytes = wire(OCTETS)


@command(KEY_ESTABLISHMENT, Direction.TO_CLIENT, 0x01, is_answer=True)
class EphemeralDataResponse(Command):
    """The responder's ephemeral public key (QEV). Source: ZSE 1.4, annex C."""

    ephemeral_data: bytes = wire(OCTETS)


@command(KEY_ESTABLISHMENT, Direction.TO_SERVER, 0x02)
class ConfirmKeyDataRequest(Command):
    """The initiator's key confirmation (MACU). Source: ZSE 1.4, annex C."""

    secure_message_authentication_code: bytes = wire(OCTETS, is_shown=False)


@command(KEY_ESTABLISHMENT, Direction.TO_CLIENT, 0x02, is_answer=True)
class ConfirmKeyDataResponse(Command):
    """The responder's key confirmation (MACV). Source: ZSE 1.4, annex C."""

    secure_message_authentication_code: bytes = wire(OCTETS, is_shown=False)


@command(KEY_ESTABLISHMENT, Direction.TO_SERVER, 0x03, is_answer=True)
class TerminateByInitiator(Command):
    """The initiator ends the exchange.

    Args:
        status: A `KeyEstablishmentStatus`.
        wait_time: Seconds to let pass before another attempt.
        key_establishment_suite: The suites that the sender has.

    Source: ZSE 1.4, annex C.
    """

    status: int = wire(UINT8)
    wait_time: int = wire(UINT8)
    key_establishment_suite: int = wire(UINT16)


@command(KEY_ESTABLISHMENT, Direction.TO_CLIENT, 0x03, is_answer=True)
class TerminateByResponder(Command):
    """The responder ends the exchange; fields as above. Source: ZSE 1.4, annex C."""

    status: int = wire(UINT8)
    wait_time: int = wire(UINT8)
    key_establishment_suite: int = wire(UINT16)


@command(METERING, Direction.TO_CLIENT, 0x01)
class RequestMirror(Command):
    """A sleepy meter asks a hub for a mirror. Source: ZSE 1.4, annex D.3."""


@command(METERING, Direction.TO_SERVER, 0x01, is_answer=True)
class RequestMirrorResponse(Command):
    """The mirror's endpoint, or `MIRROR_REFUSED`. Source: ZSE 1.4, annex D.3."""

    endpoint_id: int = wire(UINT16)


@command(METERING, Direction.TO_CLIENT, 0x08)
class ConfigureMirror(Command):
    """How a meter wants its mirror to answer reports.

    Args:
        issuer_event_id: Greater than that of an earlier one.
        reporting_interval: Seconds between reports.
        mirror_notification_reporting: Whether a report is answered with the flags.
        notification_scheme: A `NotificationScheme`.

    Source: ZSE 1.4, annex D.3.
    """

    issuer_event_id: int = wire(UINT32)
    reporting_interval: int = wire(UINT24)
    mirror_notification_reporting: bool = wire(BOOLEAN)
    notification_scheme: int = wire(UINT8)


@command(METERING, Direction.TO_SERVER, 0x09, is_answer=True)
class MirrorReportAttributeResponse(Command):
    """A mirror's answer to a report: the flags of the scheme, in its order.

    Source: ZSE 1.4, annex D.3.
    """

    notification_scheme: int = wire(UINT8)
    notification_flags: tuple[int, ...] = wire(UINT32_LIST)


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

    @property
    def is_answer(self) -> bool:
        """True, as it answers another."""
        return True


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
