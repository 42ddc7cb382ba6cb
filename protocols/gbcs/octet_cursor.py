"""Reading fixed layouts field by field; each error names the layer, the field and the offset."""

from __future__ import annotations

from typing import Final, Literal

from gbcs.der import encode_length
from gbcs.protocol_errors import DecodeError

LENGTH_OCTETS_MAXIMUM: Final = 2
"""A length is one octet, or one and this many at most; 65,535 octets are more than any message."""


def with_length(octets: bytes) -> bytes:
    """Return `octets` behind their definite length, in as few octets as it needs.

    Source: DLMS UA 1000-2, encoding of the lengths in general-ciphering and general-signing.
    """
    return encode_length(len(octets)) + octets


class OctetCursor:
    """A place in octets, moved by each field that is read.

    Every method that reads raises `DecodeError` where the field is not there as it should be.

    Args:
        octets: What is read.
        layer: The name of the layout, for errors; set anew where another begins.
        offset: Where reading starts.

    Attributes:
        not_minimal: For each length that took more octets than it needs, the error that it is
            where that is not allowed.
    """

    __slots__ = ("layer", "not_minimal", "octets", "offset")

    def __init__(self, octets: bytes, layer: str, offset: int = 0) -> None:
        self.octets = octets
        self.layer = layer
        self.offset = offset
        self.not_minimal: list[DecodeError] = []

    @property
    def is_at_end(self) -> bool:
        """True if nothing is left."""
        return self.offset >= len(self.octets)

    def constant(self, expected: bytes, field: str) -> None:
        """Read octets that never differ."""
        if not self.octets.startswith(expected, self.offset):
            found = self.octets[self.offset : self.offset + 1].hex().upper()
            expectation = f"{found} where {expected.hex().upper()} belongs"
            raise self.error(expectation if found else "missing or cut short", field)
        self.offset += len(expected)

    def number(self, size_octets: int, field: str, order: Literal["big", "little"] = "big") -> int:
        """Read an unsigned integer."""
        stop = self.offset + size_octets
        if stop > len(self.octets):
            raise self.error("missing or cut short", field)
        value = int.from_bytes(self.octets[self.offset : stop], order)
        self.offset = stop
        return value

    def exactly(self, size_octets: int, field: str) -> bytes:
        """Read that many octets, no fewer."""
        start = self.offset
        self.offset = self._stop(start, size_octets, field, start)
        return self.octets[start : self.offset]

    def counted(self, field: str) -> bytes:
        """Read a definite length, and as many octets as it says.

        Source: DLMS UA 1000-2, encoding of the lengths in general-ciphering and general-signing.
        """
        start = self.offset
        content = self._stop(start, 1, field, start)
        length = self.octets[start]
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= LENGTH_OCTETS_MAXIMUM:
                raise self.error(f"a length in {size} octets", field)
            first, content = content, self._stop(content, size, field, start)
            length = int.from_bytes(self.octets[first:content])
            if content - start != len(encode_length(length)):
                self.not_minimal.append(
                    DecodeError(
                        "a length that is not minimal", layer=self.layer, field=field, offset=start
                    )
                )
        self.offset = self._stop(content, length, field, start)
        return self.octets[content : self.offset]

    def rest(self) -> bytes:
        """Read whatever is left."""
        start, self.offset = self.offset, len(self.octets)
        return self.octets[start:]

    def end(self) -> None:
        """Check that nothing is left."""
        left = len(self.octets) - self.offset
        if left:
            raise self.error(f"{left} octets behind the end")

    def error(self, reason: str, field: str = "", offset: int | None = None) -> DecodeError:
        """Return the error that `reason` is, with the octets from `offset` on.

        Args:
            reason: What is wrong, in one line.
            field: The field, or "".
            offset: Where it is; where the cursor stands by default.
        """
        at = self.offset if offset is None else offset
        return DecodeError(
            reason, layer=self.layer, field=field, offset=at, excerpt=self.octets[at:]
        )

    def _stop(self, start: int, size_octets: int, field: str, field_offset: int) -> int:
        """Return where that many octets from `start` on end; they are part of the field."""
        stop = start + size_octets
        if stop > len(self.octets):
            there = len(self.octets) - start
            raise self.error(
                f"cut short: {there} octets of {size_octets} are there", field, field_offset
            )
        return stop
