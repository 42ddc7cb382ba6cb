"""The persistent memory of one device: one file, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from typing_extensions import override

from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import KeyrigError
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import CredentialsReplacementMode, TrustAnchorCellIdentifier
from meterstub.device_state import ContingencyKey, DeviceState, FutureDatedCommand, LogEntry
from meterstub.key_pair import KeyPair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FORMAT: Final = "meterstub device memory"
VERSION: Final = 1
_OWNER_ONLY: Final = 0o600


class MemoryDamaged(KeyrigError):
    """A device's memory is damaged, of another format or version, or contradicts itself."""


class MemoryUnwritable(KeyrigError):
    """A device's memory could not be read or written; nothing was changed."""


class PowerLost(KeyrigError):
    """The device lost its power; what its memory then holds is what a new one starts from."""


class WriteStep(enum.Enum):
    """Points of one write at which the power may go."""

    BEFORE = "before anything"
    HALF_WRITTEN = "temporary file half written"
    SYNCED = "temporary file written and synced"
    REPLACED = "file replaced"


def _no_step(_: WriteStep) -> None:
    """Do nothing at a step."""


class Storage(Protocol):
    """Keeps one run of octets."""

    def read(self) -> bytes:
        """Return what was last written whole."""
        ...

    def write(self, octets: bytes, on_step: Callable[[WriteStep], None]) -> None:
        """Replace the whole; `on_step` is called at each step and may raise PowerLost."""
        ...


class FileStorage(Storage):
    """One file, readable by its owner only.

    A write goes to a temporary file in the same folder, which is synced and then renamed.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def read(self) -> bytes:
        """Return what the file holds.

        Raises:
            MemoryUnwritable: The file cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise MemoryUnwritable(
                f"device memory {self.path.name} cannot be read: {error.strerror}"
            ) from error

    @override
    def write(self, octets: bytes, on_step: Callable[[WriteStep], None] = _no_step) -> None:
        """Replace the file.

        Raises:
            MemoryUnwritable: The file system refused; the old contents stand.
        """
        try:
            self._write(octets, on_step)
        except OSError as error:
            raise MemoryUnwritable(
                f"device memory {self.path.name} cannot be written: {error.strerror}"
            ) from error

    def _write(self, octets: bytes, on_step: Callable[[WriteStep], None]) -> None:
        on_step(WriteStep.BEFORE)
        temporary = self.path.with_name(self.path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, _OWNER_ONLY), "wb") as file:
            half = len(octets) // 2
            file.write(octets[:half])
            file.flush()
            on_step(WriteStep.HALF_WRITTEN)
            file.write(octets[half:])
            file.flush()
            os.fsync(file.fileno())
        on_step(WriteStep.SYNCED)
        temporary.replace(self.path)
        on_step(WriteStep.REPLACED)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class VolatileStorage(Storage):
    """Octets in the process's own memory, for devices that need not outlive it."""

    def __init__(self, octets: bytes = b"") -> None:
        self._octets = octets

    @override
    def read(self) -> bytes:
        return self._octets

    @override
    def write(self, octets: bytes, on_step: Callable[[WriteStep], None] = _no_step) -> None:
        for step in (WriteStep.BEFORE, WriteStep.HALF_WRITTEN, WriteStep.SYNCED):
            on_step(step)
        self._octets = octets
        on_step(WriteStep.REPLACED)

    def __repr__(self) -> str:
        return f"VolatileStorage({len(self._octets)} octets)"


class DeviceMemory:
    """What one device remembers, and where it is kept.

    Args:
        storage: Holds a state that was written before.

    Raises:
        MemoryDamaged: It holds anything else.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._state = decode_state(storage.read())

    @classmethod
    def create(cls, storage: Storage, state: DeviceState) -> DeviceMemory:
        """Write `state` as the first contents of `storage`."""
        storage.write(encode_state(state), _no_step)
        return cls(storage)

    @property
    def state(self) -> DeviceState:
        """What was last committed."""
        return self._state

    def commit(self, state: DeviceState, on_step: Callable[[WriteStep], None] = _no_step) -> None:
        """Make `state` what is remembered, in one write.

        Raises:
            MemoryUnwritable: It was refused; the former state stands.
            PowerLost: By `on_step`; this object is of no more use.
        """
        self.storage.write(encode_state(state), on_step)
        self._state = state

    def __repr__(self) -> str:
        return f"DeviceMemory({self._state.entity_id}, {self._state.device_type.value})"


def encode_state(state: DeviceState) -> bytes:
    """Write a state, private keys included, as JSON with a digest."""
    body: dict[str, Any] = {
        "device_type": state.device_type.value,
        "entity_id": state.entity_id.stem,
        "key_pairs": {usage.gbcs_name: pair.pem for usage, pair in state.key_pairs.items()},
        "certificates": {u.gbcs_name: der.hex() for u, der in state.certificates.items()},
        "pending": {usage.gbcs_name: pair.pem for usage, pair in state.pending.items()},
        "cells": [
            {
                "role": cell.role.gbcs_name,
                "key_usage": cell.key_usage.gbcs_name,
                "cell_usage": int(cell.cell_usage),
                "certificate": der.hex(),
            }
            for cell, der in state.cells.items()
        ],
        "counters": {role.gbcs_name: count for role, count in state.counters.items()},
        "top_up_floors": {role.gbcs_name: n for role, n in state.top_up_floors.items()},
        "alert_counter": state.alert_counter,
        "future_dated": [_encode_future_dated(command) for command in state.future_dated],
        "log": [[entry.code, _encode_time(entry.at), entry.what] for entry in state.log],
        "contingency": None
        if state.contingency is None
        else [state.contingency.originator.stem, state.contingency.public_point.hex()],
    }
    document = {"format": FORMAT, "version": VERSION, "sha256": _digest(body), "device": body}
    return json.dumps(document, indent=1).encode("utf-8") + b"\n"


def decode_state(octets: bytes) -> DeviceState:
    """Read what `encode_state` wrote.

    Raises:
        MemoryDamaged: It is anything else.
    """
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError):
        raise MemoryDamaged("a device memory that is cut or is no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MemoryDamaged(f'not a device memory: its "format" is not "{FORMAT}"')
    if document.get("version") != VERSION:
        raise MemoryDamaged(f"a device memory of another version than {VERSION}")
    body = document.get("device")
    if not isinstance(body, dict) or document.get("sha256") != _digest(body):
        raise MemoryDamaged("a device memory that does not have its digest: it was altered")
    try:
        return _decode_body(body)
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        KeyrigError,
    ) as error:
        raise MemoryDamaged(f"a device memory with a bad field: {error}") from None


def _digest(body: Mapping[str, Any]) -> str:
    try:
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode("utf-8")
    except RecursionError:
        raise MemoryDamaged("a device memory that is nested too deep") from None
    return hashlib.sha256(canonical).hexdigest()


_ROLES: Final = {role.gbcs_name: role for role in RemotePartyRole}
_USAGES: Final = {usage.gbcs_name: usage for usage in KeyUsage}


def _decode_body(body: Mapping[str, Any]) -> DeviceState:
    contingency = body["contingency"]
    return DeviceState(
        device_type=DeviceType(body["device_type"]),
        entity_id=EntityIdentifier.parse(body["entity_id"]),
        key_pairs={_USAGES[u]: KeyPair.from_pem(pem) for u, pem in body["key_pairs"].items()},
        certificates={_USAGES[u]: bytes.fromhex(der) for u, der in body["certificates"].items()},
        pending={_USAGES[u]: KeyPair.from_pem(pem) for u, pem in body["pending"].items()},
        cells={
            TrustAnchorCellIdentifier(
                role=_ROLES[cell["role"]],
                key_usage=_USAGES[cell["key_usage"]],
                cell_usage=CellUsage(cell["cell_usage"]),
            ): bytes.fromhex(cell["certificate"])
            for cell in body["cells"]
        },
        counters={_ROLES[role]: int(count) for role, count in body["counters"].items()},
        top_up_floors={_ROLES[role]: int(n) for role, n in body["top_up_floors"].items()},
        alert_counter=int(body["alert_counter"]),
        future_dated=tuple(_decode_future_dated(item) for item in body["future_dated"]),
        log=tuple(LogEntry(code, _decode_time(at), what) for code, at, what in body["log"]),
        contingency=None
        if contingency is None
        else ContingencyKey(EntityIdentifier.parse(contingency[0]), bytes.fromhex(contingency[1])),
    )


def _encode_future_dated(command: FutureDatedCommand) -> dict[str, Any]:
    return {
        "originator": command.originator.stem,
        "role": command.role.gbcs_name,
        "mode": int(command.mode),
        "received_at": _encode_time(command.received_at),
        "execution_date_time": _encode_time(command.execution_date_time),
        "content": command.content.hex(),
    }


def _decode_future_dated(item: Mapping[str, Any]) -> FutureDatedCommand:
    return FutureDatedCommand(
        originator=EntityIdentifier.parse(item["originator"]),
        role=_ROLES[item["role"]],
        mode=CredentialsReplacementMode(item["mode"]),
        received_at=_decode_time(item["received_at"]),
        execution_date_time=_decode_time(item["execution_date_time"]),
        content=bytes.fromhex(item["content"]),
    )


def _encode_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _decode_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
