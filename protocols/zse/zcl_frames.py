"""ZCL frames, written and read by the declarations in `zse.smart_energy_commands`.

Source: ZCL 8, 2.4.1 (general ZCL frame format); for each command, its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gbcs.octet_cursor import OctetCursor
from gbcs.protocol_errors import DecodeError, LocalProtocolError
from zse.smart_energy_commands import COMMANDS, Command, DefaultResponse, Direction

LAYER: Final = "ZCL"
FRAME_OCTETS_LIMIT: Final = 1600
"""The longest frame that is read: 1500 octets of tunnel data and their headers, and some room."""
_GENERAL: Final = 0
_CLUSTER_COMMAND: Final = 1
_MANUFACTURER_SPECIFIC: Final = 0x04
_NO_DEFAULT_RESPONSE: Final = 0x10
_DEFAULT_RESPONSE: Final = 0x0B
GENERAL_COMMANDS: Final = range(0x17)
"""Identifiers of general commands. Source: ZCL 8, table 2-3."""


@dataclass(frozen=True, slots=True)
class General:
    """A general command other than a Default Response, such as Read Attributes.

    Args:
        command_id: One of `GENERAL_COMMANDS`.
        direction: Which role it is for.
        payload: Its octets behind the header, as they came.
    """

    command_id: int
    direction: Direction
    payload: bytes


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
        """Return the octets of the frame.

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
        wants_default_response = not command.is_answer
    is_cluster = isinstance(command, Command)
    control = (_CLUSTER_COMMAND if is_cluster else _GENERAL) | command.direction << 3
    if not wants_default_response:
        control |= _NO_DEFAULT_RESPONSE
    command_id = command.command_id if is_cluster else _DEFAULT_RESPONSE
    return bytes((control, sequence, command_id)) + _encode_payload(command)


def _encode_payload(command: Command | DefaultResponse) -> bytes:
    if isinstance(command, DefaultResponse):
        values = (command.command_id, command.status)
        if not all(0 <= value <= 0xFF for value in values):
            raise LocalProtocolError("a Default Response has two values of one octet")
        return bytes(values)
    octets = b""
    for name, field_type in command.field_types.items():
        try:
            octets += field_type.write(getattr(command, name))
        except (ValueError, TypeError, OverflowError) as error:
            raise LocalProtocolError(
                f"{type(command).__name__}.{name} has a value that does not fit: {error}"
            ) from error
    return octets


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
    cursor = OctetCursor(octets, LAYER)
    control = cursor.number(1, "frame control")
    frame_type, direction = control & 0x03, Direction(control >> 3 & 1)
    if frame_type > _CLUSTER_COMMAND:
        raise cursor.error(f"frame type {frame_type}", "frame control", offset=0)
    manufacturer_code = None
    if control & _MANUFACTURER_SPECIFIC:
        manufacturer_code = cursor.number(2, "manufacturer code", "little")
    sequence = cursor.number(1, "transaction sequence number")
    command_id = cursor.number(1, "command identifier")
    is_cluster = frame_type == _CLUSTER_COMMAND
    unknown = Unknown(command_id, direction, is_cluster, manufacturer_code)
    command: Command | DefaultResponse | General | Unknown
    if manufacturer_code is not None:
        command = unknown
    elif is_cluster:
        kind = COMMANDS.get((cluster_id, direction, command_id))
        command = unknown if kind is None else _read_command(kind, cursor)
    else:
        command = _read_general(unknown, cursor)
    return Frame(sequence, command, wants_default_response=not control & _NO_DEFAULT_RESPONSE)


def _read_command(kind: type[Command], cursor: OctetCursor) -> Command:
    values = {
        name: field_type.read(cursor, f"{kind.__name__}.{name}")
        for name, field_type in kind.field_types.items()
    }
    return kind(**values)


def _read_general(unknown: Unknown, cursor: OctetCursor) -> DefaultResponse | General | Unknown:
    if unknown.command_id == _DEFAULT_RESPONSE:
        answered = cursor.number(1, "Default Response.command_id")
        status = cursor.number(1, "Default Response.status")
        return DefaultResponse(answered, status, unknown.direction)
    if unknown.command_id in GENERAL_COMMANDS:
        return General(unknown.command_id, unknown.direction, cursor.rest())
    return unknown
