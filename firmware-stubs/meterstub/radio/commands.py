"""What a radio's command handlers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import bellows.types as t

if TYPE_CHECKING:
    from meterstub.radio.radio import EmulatedRadio


class Handler(Protocol):
    """Carries out one command: takes its arguments, gives the response's values."""

    def __call__(
        self, radio: EmulatedRadio, arguments: dict[str, Any], now: float, /
    ) -> dict[str, Any]:
        """Carry it out."""
        ...


OK = {"status": t.EmberStatus.SUCCESS}


def failed(status: int) -> dict[str, Any]:
    """Give a response that has nothing but a status."""
    return {"status": status}


def eui64_value(eui64: int) -> Any:
    """Give an EUI-64 as bellows has it."""
    return t.EUI64.deserialize(eui64.to_bytes(8, "little"))[0]


def eui64_number(value: Any) -> int:
    """Give an EUI-64 as a number."""
    return int.from_bytes(value.serialize(), "little")


def key_value(key: bytes) -> Any:
    """Give a key as bellows has it."""
    return t.KeyData.deserialize(key)[0]


def key_octets(value: Any) -> bytes:
    """Give a key's octets."""
    return bytes(value.serialize())
