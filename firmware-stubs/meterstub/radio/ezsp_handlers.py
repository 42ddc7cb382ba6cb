"""What a radio's command handlers see of it, and its values as the line has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import bellows.types as t

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterstub.radio.radio_air import Air
    from meterstub.radio.radio_memory import NetworkMemory
    from meterstub.radio.zdo_answers import EndpointDescription, NodeFacts
    from meterstub.radio.zigbee_stack import Incoming, Stack


@dataclass(slots=True)
class RadioSettings:
    """What a host sets after each reset.

    Attributes:
        configuration: Values by EzspConfigId.
        values: Values by EzspValueId.
        policies: Decisions by EzspPolicyId.
        multicasts: The multicast table.
        endpoints: The endpoints that it added.
        address_table: EUI-64 and node identifier by index.
        extended_timeouts: EUI-64 of nodes that are waited for longer.
        security: The initial security state, or None.
        link_keys: Link keys that were written before there is a network.
        frame_counter: Written before there is a network.
    """

    configuration: dict[int, int] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    policies: dict[int, int] = field(default_factory=dict)
    multicasts: dict[int, Any] = field(default_factory=dict)
    endpoints: list[EndpointDescription] = field(default_factory=list)
    address_table: dict[int, tuple[int, int]] = field(default_factory=dict)
    extended_timeouts: set[int] = field(default_factory=set)
    security: Any = None
    link_keys: dict[int, bytes] = field(default_factory=dict, repr=False)
    frame_counter: int = 0


@dataclass(frozen=True, slots=True)
class RadioKind:
    """What a radio is.

    Args:
        eui64: Its address.
        version: Of EZSP: 8 or 13.
        has_smart_energy: Whether its firmware has key establishment and certificates.
        announces_reset: Whether it tells a new host that it started, as network bridges do.
    """

    eui64: int
    version: int = 8
    has_smart_energy: bool = True
    announces_reset: bool = False


@dataclass(slots=True)
class KeyEstablishment:
    """The exchange that a radio is in, of which it knows no messages."""

    ephemeral: bytes = b""
    partner: int | None = None
    link_key: bytes | None = field(default=None, repr=False)


class Radio(Protocol):
    """A radio, as the handlers of its commands see it.

    Attributes:
        kind: What it is.
        air: Where its antenna is.
        memory: What it keeps over a reset.
        random_octets: Returns that many random octets.
        stack: Its ZigBee stack.
        settings: What its host has set since the last reset.
        blocks: Blocks that its host has yet to acknowledge, by sender, APS counter and number.
        key_establishment: The exchange that it is in.
    """

    kind: RadioKind
    air: Air
    memory: NetworkMemory
    random_octets: Callable[[int], bytes]
    stack: Stack
    settings: RadioSettings
    blocks: dict[tuple[int, int, int], Incoming]
    key_establishment: KeyEstablishment

    def call_back(self, name: str, **values: Any) -> None:
        """Send the host a callback; a version that has no such callback sends none."""
        ...

    def facts(self) -> NodeFacts:
        """Return what the radio tells of itself to nodes that ask."""
        ...

    def save(self) -> None:
        """Save the network as it is."""
        ...


class Handler(Protocol):
    """Carries out one command: its arguments in, the response's values out."""

    def __call__(self, radio: Radio, arguments: dict[str, Any], now: float, /) -> dict[str, Any]:
        """Carry it out."""
        ...


OK = {"status": t.EmberStatus.SUCCESS}


def failed(status: int) -> dict[str, Any]:
    """Return a response that has nothing but a status."""
    return {"status": status}


def eui64_value(eui64: int) -> Any:
    """Return an EUI-64 as bellows has it."""
    return t.EUI64.deserialize(eui64.to_bytes(8, "little"))[0]


def eui64_number(value: Any) -> int:
    """Return an EUI-64 as a number."""
    return int.from_bytes(value.serialize(), "little")


def key_value(key: bytes) -> Any:
    """Return a key as bellows has it."""
    return t.KeyData.deserialize(key)[0]


def key_octets(value: Any) -> bytes:
    """Return a key's octets."""
    return bytes(value.serialize())
