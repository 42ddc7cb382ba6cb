"""The link parameters that SNRM and UA negotiate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gbcs.protocol_errors import DecodeError

FORMAT_IDENTIFIER: Final = 0x81
GROUP_IDENTIFIER: Final = 0x80
MAXIMUM_INFORMATION_TX: Final = 0x05
MAXIMUM_INFORMATION_RX: Final = 0x06
WINDOW_TX: Final = 0x07
WINDOW_RX: Final = 0x08

DEFAULT_INFORMATION_OCTETS: Final = 128
DEFAULT_WINDOW: Final = 1
INFORMATION_OCTETS_LIMIT: Final = 2030
"""Longest information field: what the frame's 11-bit length leaves beside the longest header."""
INFORMATION_OCTETS_LEAST: Final = 8
"""Shortest that is agreed to; below it the LLC octets would crowd out the message."""
WINDOW_LIMIT: Final = 7
PARAMETER_FIELD_LIMIT: Final = 128
"""Longest information field of an SNRM or UA that is read."""

CLAUSE: Final = "IEC 62056-46, 6.4.4.4.3.2"


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Sizes as one station sees them.

    Args:
        information_octets_tx: Longest information field that the station sends.
        information_octets_rx: Longest information field that it receives.
        window_tx: I frames that it sends before it waits, 1 to 7.
        window_rx: I frames that it receives before the other waits, 1 to 7.

    Raises:
        ValueError: A size is out of range.

    Source: IEC 62056-46, 6.4.4.4.3.2.
    """

    information_octets_tx: int = DEFAULT_INFORMATION_OCTETS
    information_octets_rx: int = DEFAULT_INFORMATION_OCTETS
    window_tx: int = DEFAULT_WINDOW
    window_rx: int = DEFAULT_WINDOW

    def __post_init__(self) -> None:
        for octets in (self.information_octets_tx, self.information_octets_rx):
            if not INFORMATION_OCTETS_LEAST <= octets <= INFORMATION_OCTETS_LIMIT:
                msg = (
                    f"an information field of {octets} octets is outside "
                    f"{INFORMATION_OCTETS_LEAST}..{INFORMATION_OCTETS_LIMIT}"
                )
                raise ValueError(msg)
        for window in (self.window_tx, self.window_rx):
            if not 1 <= window <= WINDOW_LIMIT:
                msg = f"a window of {window} frames is outside 1..{WINDOW_LIMIT}"
                raise ValueError(msg)

    def agreed_with(self, peer: LinkParameters) -> LinkParameters:
        """Return the parameters in force for this station when the other one has `peer`."""
        return LinkParameters(
            min(self.information_octets_tx, peer.information_octets_rx),
            min(self.information_octets_rx, peer.information_octets_tx),
            min(self.window_tx, peer.window_rx),
            min(self.window_rx, peer.window_tx),
        )


def encode_parameters(parameters: LinkParameters) -> bytes:
    """Encode the information field of an SNRM or UA, all four parameters written out.

    Source: IEC 62056-46, 6.4.4.4.3.2 and annex; format 0x81, group 0x80.
    """
    body = b"".join(
        (
            _parameter(
                MAXIMUM_INFORMATION_TX,
                parameters.information_octets_tx,
                1 if parameters.information_octets_tx < 0x100 else 2,
            ),
            _parameter(
                MAXIMUM_INFORMATION_RX,
                parameters.information_octets_rx,
                1 if parameters.information_octets_rx < 0x100 else 2,
            ),
            _parameter(WINDOW_TX, parameters.window_tx, 4),
            _parameter(WINDOW_RX, parameters.window_rx, 4),
        )
    )
    return bytes((FORMAT_IDENTIFIER, GROUP_IDENTIFIER, len(body))) + body


def decode_parameters(information: bytes) -> LinkParameters:
    """Read the information field of an SNRM or UA, as its sender sees the sizes.

    What is absent has its default: 128 octets, window 1. What is larger than a frame or a
    window can be is cut to that. Other groups and unknown parameters are passed over.

    Raises:
        DecodeError: The field's structure is broken, or a size is zero or uselessly small.

    Source: IEC 62056-46, 6.4.4.4.3.2; ISO/IEC 13239, 5.5.3.
    """
    if not information:
        return LinkParameters()
    if len(information) > PARAMETER_FIELD_LIMIT:
        raise _error(f"longer than {PARAMETER_FIELD_LIMIT} octets", PARAMETER_FIELD_LIMIT)
    if information[0] != FORMAT_IDENTIFIER:
        raise _error(f"format identifier 0x{information[0]:02X} is not 0x81", 0)
    values: dict[int, int] = {}
    offset = 1
    while offset < len(information):
        group = information[offset]
        body, following = _value(information, offset)
        if group == GROUP_IDENTIFIER:
            values.update(_group(information[:following], following - len(body)))
        offset = following
    return LinkParameters(
        _size(values, MAXIMUM_INFORMATION_TX),
        _size(values, MAXIMUM_INFORMATION_RX),
        _window(values, WINDOW_TX),
        _window(values, WINDOW_RX),
    )


def _parameter(identifier: int, value: int, octets: int) -> bytes:
    return bytes((identifier, octets)) + value.to_bytes(octets, "big")


def _value(octets: bytes, offset: int) -> tuple[bytes, int]:
    """Return the value of the identifier-length-value at `offset`, and where the next begins."""
    if offset + 2 > len(octets):
        raise _error("ends within an identifier and length", offset)
    start = offset + 2
    end = start + octets[offset + 1]
    if end > len(octets):
        raise _error(
            f"{octets[offset + 1]} octets are stated and {len(octets) - start} follow", offset + 1
        )
    return octets[start:end], end


def _group(octets: bytes, offset: int) -> dict[int, int]:
    values: dict[int, int] = {}
    while offset < len(octets):
        identifier = octets[offset]
        value, following = _value(octets, offset)
        if MAXIMUM_INFORMATION_TX <= identifier <= WINDOW_RX:
            if not 1 <= len(value) <= 4:
                raise _error(f"parameter {identifier} has {len(value)} octets", offset + 1)
            values[identifier] = int.from_bytes(value, "big")
            if values[identifier] == 0:
                raise _error(f"parameter {identifier} is zero", offset + 2)
        offset = following
    return values


def _size(values: dict[int, int], identifier: int) -> int:
    octets = values.get(identifier, DEFAULT_INFORMATION_OCTETS)
    if octets < INFORMATION_OCTETS_LEAST:
        raise _error(f"an information field of {octets} octets carries no message", None)
    return min(octets, INFORMATION_OCTETS_LIMIT)


def _window(values: dict[int, int], identifier: int) -> int:
    return min(values.get(identifier, DEFAULT_WINDOW), WINDOW_LIMIT)


def _error(reason: str, offset: int | None) -> DecodeError:
    return DecodeError(reason, layer="HDLC", offset=offset, field="link parameters", clause=CLAUSE)
