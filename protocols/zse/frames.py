"""ZCL frames of the commands in `zse.commands`, written and read by zigpy's definitions.

Source: ZCL 8, 2.4.1 (general ZCL frame format); for each command, its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import zigpy.types as t
from zigpy.zcl import foundation
from zigpy.zcl.clusters.smartenergy import Metering

from gbcs.errors import DecodeError, LocalProtocolError
from zse.clusters import KeyEstablishment, Tunneling
from zse.commands import (
    COMMANDS,
    KEY_ESTABLISHMENT,
    METERING,
    TUNNELING,
    Command,
    ConfirmKeyDataResponse,
    DefaultResponse,
    Direction,
    EphemeralDataResponse,
    InitiateKeyEstablishmentResponse,
    MirrorReportAttributeResponse,
    RequestMirrorResponse,
    RequestTunnelResponse,
    SupportedTunnelProtocolsResponse,
    TerminateByInitiator,
    TerminateByResponder,
    TransferDataError,
    TransferDataErrorToClient,
    TunnelClosureNotification,
)

if TYPE_CHECKING:
    from zigpy.zcl import Cluster

LAYER: Final = "ZCL"
FRAME_OCTETS_LIMIT: Final = 1600
"""The longest frame that is read: 1500 octets of tunnel data and their headers, and some room."""

_CLUSTERS: Final[dict[int, type[Cluster]]] = {
    TUNNELING: Tunneling,
    KEY_ESTABLISHMENT: KeyEstablishment,
    METERING: Metering,
}
_BY_IDENTIFIER: Final = {(c.cluster_id, c.direction, c.command_id): c for c in COMMANDS}


@dataclass(frozen=True, slots=True)
class General:
    """A general command other than a Default Response, such as Read Attributes.

    Args:
        command_id: A `zigpy.zcl.foundation.GeneralCommand`.
        direction: Which role it is for.
        payload: What zigpy reads, one attribute a field.
    """

    command_id: int
    direction: Direction
    payload: Any


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that the cluster or this reader does not have.

    Args:
        command_id: Its identifier.
        direction: Which role it is for.
        is_cluster_command: False where it is a general one.
        manufacturer_code: Whose it is, or None.
    """

    command_id: int
    direction: Direction
    is_cluster_command: bool
    manufacturer_code: int | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One ZCL frame.

    Args:
        sequence: Transaction sequence number, 0..255; an answer repeats its command's.
        command: What it carries.
        wants_default_response: Whether success is to be answered with a Default Response too.
    """

    sequence: int
    command: Command | DefaultResponse | General | Unknown
    wants_default_response: bool = True


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A command to send, and the sequence number to send it with.

    Args:
        command: What to send.
        sequence: Transaction sequence number; an answer has its command's.
        address: Who is to have it where a machine talks with several, or None.
    """

    command: Command | DefaultResponse
    sequence: int
    address: int | None = None

    def encode(self) -> bytes:
        """Give the octets of the frame.

        Raises:
            LocalProtocolError: A value does not fit its field.
        """
        return encode_frame(self.command, sequence=self.sequence)


def encode_frame(
    command: Command | DefaultResponse, *, sequence: int, wants_default_response: bool | None = None
) -> bytes:
    """Write one frame.

    Args:
        command: What to send.
        sequence: Transaction sequence number, 0..255.
        wants_default_response: Whether success is to be answered where nothing else answers;
            by default what is itself an answer does not want that.

    Raises:
        LocalProtocolError: A value does not fit its field.

    Source: ZCL 8, 2.4.1.
    """
    if not 0 <= sequence <= 0xFF:
        raise LocalProtocolError(f"a sequence number is 0 to 255, not {sequence}")
    if wants_default_response is None:
        wants_default_response = not is_answer(command)
    is_cluster = isinstance(command, Command)
    frame_type = (
        foundation.FrameType.CLUSTER_COMMAND if is_cluster else foundation.FrameType.GLOBAL_COMMAND
    )
    header = bytes(
        (
            frame_type | command.direction << 3 | (not wants_default_response) << 4,
            sequence,
            command.command_id if is_cluster else foundation.GeneralCommand.Default_Response,
        )
    )
    return header + _encode_payload(command)


def is_answer(command: Command | DefaultResponse) -> bool:
    """Say whether `command` answers another, so that success wants no further answer."""
    return isinstance(command, _ANSWERS)


_ANSWERS: Final = (
    DefaultResponse,
    RequestTunnelResponse,
    TransferDataError,
    TransferDataErrorToClient,
    SupportedTunnelProtocolsResponse,
    TunnelClosureNotification,
    InitiateKeyEstablishmentResponse,
    EphemeralDataResponse,
    ConfirmKeyDataResponse,
    TerminateByInitiator,
    TerminateByResponder,
    RequestMirrorResponse,
    MirrorReportAttributeResponse,
)


def _encode_payload(command: Command | DefaultResponse) -> bytes:
    if isinstance(command, DefaultResponse):
        values = (command.command_id, command.status)
        if not all(0 <= value <= 0xFF for value in values):
            raise LocalProtocolError("a Default Response has two values of one octet")
        return bytes(values)
    try:
        payload: bytes = _schema(type(command))(**arguments(command)).serialize()
    except (ValueError, TypeError, OverflowError) as error:
        raise LocalProtocolError(
            f"{type(command).__name__} has a value that does not fit: {error}"
        ) from error
    return payload


def _schema(command: type[Command]) -> Any:
    definitions = _CLUSTERS[command.cluster_id]
    if command.direction is Direction.TO_SERVER:
        return definitions.server_commands[command.command_id].schema
    return definitions.client_commands[command.command_id].schema


def arguments(command: Command) -> dict[str, Any]:
    """Give a command's fields under zigpy's names, for `cluster.request` and the like."""
    values = {each.name: getattr(command, each.name) for each in fields(command)}
    if isinstance(command, MirrorReportAttributeResponse):
        values["notification_flags"] = list(command.notification_flags)
    if isinstance(command, SupportedTunnelProtocolsResponse):
        schema = _schema(SupportedTunnelProtocolsResponse)
        values["protocols"] = _protocol_list(schema, command.protocols)
    return values


def _protocol_list(schema: Any, protocols: tuple[tuple[int, int], ...]) -> Any:
    kind = schema.fields.protocols.type
    entry = kind._item_type  # noqa: SLF001 - zigpy gives a list's type nowhere else
    return kind(entry(manufacturer_code=code, protocol_id=protocol) for code, protocol in protocols)


def command_of(cluster_id: int, direction: Direction, command_id: int, payload: Any) -> Command:
    """Make a command of what zigpy has read, as its cluster listeners are given it.

    Args:
        cluster_id: The cluster.
        direction: Which role the command is for.
        command_id: Its identifier.
        payload: The schema object.

    Raises:
        DecodeError: It is none of `COMMANDS`.
    """
    kind = _BY_IDENTIFIER.get((cluster_id, direction, command_id))
    if kind is None:
        raise DecodeError(
            f"command 0x{command_id:02X} of cluster 0x{cluster_id:04X} is not known", layer=LAYER
        )
    return kind(**{each.name: _plain(getattr(payload, each.name)) for each in fields(kind)})


def _plain(value: Any) -> Any:
    """Take a value out of zigpy's types."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, list):
        return tuple(_plain(each) for each in value)
    if isinstance(value, int):
        return bool(value) if isinstance(value, t.Bool) else int(value)
    return int(value.manufacturer_code), int(value.protocol_id)


def decode_frame(cluster_id: int, octets: bytes) -> Frame:
    """Read one frame of a cluster.

    Octets behind a known command's last field are passed over, as ZCL asks.

    Args:
        cluster_id: The cluster that the APS header names.
        octets: The whole frame.

    Raises:
        DecodeError: It is cut short, or a field has no such value. Nothing else is raised,
            whatever the octets.

    Source: ZCL 8, 2.4.1.
    """
    if len(octets) > FRAME_OCTETS_LIMIT:
        raise DecodeError(f"{len(octets)} octets, more than {FRAME_OCTETS_LIMIT}", layer=LAYER)
    has_code = bool(octets) and bool(octets[0] & 0x04)
    header_octets = 5 if has_code else 3
    if len(octets) < header_octets:
        raise DecodeError("the header is cut short", layer=LAYER, offset=0, excerpt=octets)
    frame_type = octets[0] & 0x03
    direction = Direction(octets[0] >> 3 & 1)
    sequence, command_id = octets[header_octets - 2 : header_octets]
    if frame_type > foundation.FrameType.CLUSTER_COMMAND:
        raise DecodeError(f"frame type {frame_type}", layer=LAYER, offset=0, field="frame control")
    manufacturer_code = int.from_bytes(octets[1:3], "little") if has_code else None
    is_cluster = frame_type == foundation.FrameType.CLUSTER_COMMAND
    unknown = Unknown(command_id, direction, is_cluster, manufacturer_code)
    command: Command | DefaultResponse | General | Unknown
    if has_code:
        command = unknown
    elif is_cluster:
        kind = _BY_IDENTIFIER.get((cluster_id, direction, command_id))
        command = unknown if kind is None else _decode_command(kind, octets, header_octets)
    else:
        command = _decode_general(unknown, octets, header_octets)
    return Frame(sequence, command, wants_default_response=not octets[0] & 0x10)


def _decode_command(kind: type[Command], octets: bytes, offset: int) -> Command:
    payload = _deserialize(_schema(kind), octets, offset, kind.__name__)
    return command_of(kind.cluster_id, kind.direction, kind.command_id, payload)


def _decode_general(
    unknown: Unknown, octets: bytes, offset: int
) -> DefaultResponse | General | Unknown:
    definition = foundation.GENERAL_COMMANDS.get(unknown.command_id)  # type: ignore[call-overload]  # its keys are integers
    if definition is None:
        return unknown
    payload = _deserialize(definition.schema, octets, offset, definition.name)
    if unknown.command_id == foundation.GeneralCommand.Default_Response:
        return DefaultResponse(int(payload.command_id), int(payload.status), unknown.direction)
    return General(unknown.command_id, unknown.direction, payload)


def _deserialize(schema: Any, octets: bytes, offset: int, name: str) -> Any:
    try:
        payload, _ = schema.deserialize(octets[offset:])
    except Exception as error:
        raise DecodeError(
            f"{name} cannot be read: {error}",
            layer=LAYER,
            offset=offset,
            excerpt=octets[offset:],
        ) from error
    return payload
