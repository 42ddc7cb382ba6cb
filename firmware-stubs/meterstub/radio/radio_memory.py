"""What an emulated node keeps of its network without power: one file, replaced whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from meterstub.device_memory import FileStorage, MemoryDamaged, VolatileStorage
from meterstub.radio.zigbee_stack import NetworkState, NodeType

if TYPE_CHECKING:
    from pathlib import Path

    from meterstub.device_memory import Storage

FORMAT: Final = "meterstub network memory"
VERSION: Final = 1


@dataclass(slots=True)
class Remembered:
    """What is kept.

    Attributes:
        network: The network, or None.
        security: A radio's security bit mask.
        preconfigured_key: A radio's preconfigured link key.
        tokens: A radio's manufacturing tokens, by number.
    """

    network: NetworkState | None = None
    security: int = 0
    preconfigured_key: bytes = field(default=b"", repr=False)
    tokens: dict[int, bytes] = field(default_factory=dict)


class NetworkMemory:
    """Keeps `Remembered` in a file.

    Args:
        path: The file, which need not be there; without one all is forgotten with the process.

    Raises:
        MemoryDamaged: The file holds something else.
        MemoryUnwritable: It cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._storage: Storage = VolatileStorage() if path is None else FileStorage(path)
        self._written: bytes | None = None
        self.kept = Remembered()
        if path is not None and path.exists():
            self._written = self._storage.read()
            self.kept = _decode(self._written)

    def save(self) -> None:
        """Write what is kept, where it differs from what was written last.

        Raises:
            MemoryUnwritable: The file system refused.
        """
        octets = _encode(self.kept)
        if octets != self._written:
            self._storage.write(octets, lambda _: None)
            self._written = octets


def _hexes(values: dict[int, bytes]) -> dict[str, str]:
    return {f"{key:016x}": value.hex() for key, value in values.items()}


def _unhexes(values: dict[str, str]) -> dict[int, bytes]:
    return {int(key, 16): bytes.fromhex(value) for key, value in values.items()}


def _encode(kept: Remembered) -> bytes:
    network = kept.network
    value: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "security": kept.security,
        "preconfigured_key": kept.preconfigured_key.hex(),
        "tokens": _hexes(kept.tokens),
        "network": None,
    }
    if network is not None:
        value["network"] = {
            "pan_id": network.pan_id,
            "extended_pan_id": network.extended_pan_id,
            "channel": network.channel,
            "node_id": network.node_id,
            "node_type": int(network.node_type),
            "network_key": network.network_key.hex(),
            "network_key_sequence": network.network_key_sequence,
            "trust_centre": network.trust_centre,
            "link_keys": _hexes(network.link_keys),
            "join_keys": _hexes(network.join_keys),
            "addresses": {f"{key:016x}": node for key, node in network.addresses.items()},
            "sleepy": sorted(network.sleepy),
            "next_key": [network.next_key[0].hex(), network.next_key[1]]
            if network.next_key
            else None,
            "update_id": network.update_id,
            "radio_power": network.radio_power,
            "frame_counter": network.frame_counter,
        }
    return json.dumps(value, indent=1).encode("ascii")


def _decode(octets: bytes) -> Remembered:
    try:
        value = json.loads(octets)
        if (value["format"], value["version"]) != (FORMAT, VERSION):
            raise MemoryDamaged("a network memory has another format or version")
        kept = Remembered(
            security=value["security"],
            preconfigured_key=bytes.fromhex(value["preconfigured_key"]),
            tokens=_unhexes(value["tokens"]),
        )
        if value["network"] is not None:
            network = dict(value["network"])
            next_key = network["next_key"]
            network |= {
                "node_type": NodeType(network["node_type"]),
                "network_key": bytes.fromhex(network["network_key"]),
                "link_keys": _unhexes(network["link_keys"]),
                "join_keys": _unhexes(network["join_keys"]),
                "addresses": {int(k, 16): v for k, v in network["addresses"].items()},
                "sleepy": set(network["sleepy"]),
                "next_key": (bytes.fromhex(next_key[0]), next_key[1]) if next_key else None,
            }
            kept.network = NetworkState(**network)
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise MemoryDamaged(f"a network memory cannot be read: {error}") from error
    return kept
