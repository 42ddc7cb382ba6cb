"""EZSP frames as a network co-processor reads and writes them, by bellows' tables of commands.

Source: Silicon Labs UG100 (EZSP reference guide), 3; the tables are those of bellows.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final

import bellows.types as t

VERSIONS: Final = (8, 13)
"""The versions that can be spoken."""
LEGACY_HEADER_OCTETS: Final = 3
HEADER_OCTETS: Final = 5
VERSION_COMMAND: Final = 0x0000
RESPONSE: Final = 0x80
ASYNCHRONOUS_CALLBACK: Final = 0x90
FRAME_FORMAT: Final = 0x01


class FrameUnreadable(Exception):
    """A frame from the host has no such form.

    Attributes:
        sequence: Its sequence number, or None.
        is_unknown: Whether it is a command that the version does not have.
    """

    def __init__(self, reason: str, *, sequence: int | None, is_unknown: bool = False) -> None:
        super().__init__(reason)
        self.sequence = sequence
        self.is_unknown = is_unknown


@dataclass(frozen=True, slots=True)
class EZSPCommand:
    """A command from the host.

    Args:
        sequence: Its number; the response repeats it.
        name: Its name in bellows' tables.
        arguments: By name.
        is_legacy: Whether it came with the header of EZSP before 5.
    """

    sequence: int
    name: str
    arguments: dict[str, Any]
    is_legacy: bool = False


class EZSPCodec:
    """Reads commands, writes responses and callbacks, for one version.

    Args:
        version: One of `VERSIONS`.
    """

    def __init__(self, version: int) -> None:
        if version not in VERSIONS:
            msg = f"EZSP {version} is none of {VERSIONS}"
            raise ValueError(msg)
        self.version = version
        commands = importlib.import_module(f"bellows.ezsp.v{version}.commands").COMMANDS
        self._by_name: dict[str, tuple[int, Any, Any]] = commands
        self._by_number = {entry[0]: name for name, entry in commands.items()}

    def decode(self, octets: bytes) -> EZSPCommand:
        """Read a frame from the host.

        Raises:
            FrameUnreadable: It is cut short, unknown, or its values do not fit.
        """
        if len(octets) < LEGACY_HEADER_OCTETS:
            raise FrameUnreadable("the header is cut short", sequence=None)
        sequence = octets[0]
        if octets[2] == VERSION_COMMAND and len(octets) == LEGACY_HEADER_OCTETS + 1:
            # Whatever the version, this form asks for it.
            arguments = {"desiredProtocolVersion": octets[3]}
            return EZSPCommand(sequence, "version", arguments, is_legacy=True)
        if len(octets) < HEADER_OCTETS:
            raise FrameUnreadable("the header is cut short", sequence=sequence)
        number = int.from_bytes(octets[3:5], "little")
        name = self._by_number.get(number)
        if name is None:
            raise FrameUnreadable(f"command 0x{number:04X}", sequence=sequence, is_unknown=True)
        schema = self._by_name[name][1]
        try:
            if isinstance(schema, dict):
                arguments, _ = t.deserialize_dict(octets[HEADER_OCTETS:], schema)
            else:
                value, _ = schema.deserialize(octets[HEADER_OCTETS:])
                arguments = value.as_dict()
        except Exception as error:
            raise FrameUnreadable(f"{name}: {error}", sequence=sequence) from error
        return EZSPCommand(sequence, name, arguments)

    def encode_response(self, command: EZSPCommand, values: dict[str, Any]) -> bytes:
        """Write the response to a command."""
        body = self._encode(command.name, values)
        if command.is_legacy:
            return bytes((command.sequence, RESPONSE, VERSION_COMMAND)) + body
        return self._header(command.sequence, RESPONSE, command.name) + body

    def encode_callback(self, sequence: int, name: str, values: dict[str, Any]) -> bytes:
        """Write a callback; `sequence` is that of the last command that was answered."""
        return self._header(sequence, ASYNCHRONOUS_CALLBACK, name) + self._encode(name, values)

    def encode_invalid(self, sequence: int, status: t.EzspStatus) -> bytes:
        """Write the answer to a command that cannot be carried out."""
        header = self._header(sequence, RESPONSE, "invalidCommand")
        return header + self._encode("invalidCommand", {"status": status})

    def has(self, name: str) -> bool:
        """True if this version has a command."""
        return name in self._by_name

    def _header(self, sequence: int, control: int, name: str) -> bytes:
        number = self._by_name[name][0]
        return bytes((sequence, control, FRAME_FORMAT)) + number.to_bytes(2, "little")

    def _encode(self, name: str, values: dict[str, Any]) -> bytes:
        schema = self._by_name[name][2]
        if isinstance(schema, dict):
            return bytes(t.serialize_dict((), values, schema))
        return bytes(schema(**values).serialize())
