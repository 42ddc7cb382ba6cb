"""Types of the fields of ZCL commands: how a value becomes octets and comes back.

Integers go least significant octet first. An enumeration is a number here, so that whatever a
device sends can be held.

Source: ZCL 8, 2.6.2 (data types).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from gbcs.octet_cursor import OctetCursor


class FieldType(Protocol):
    """How the values of one type are written and read."""

    def write(self, value: Any) -> bytes:
        """Return the octets of `value`.

        Raises:
            ValueError, TypeError, OverflowError: It is no value of the type.
        """
        ...

    def read(self, cursor: OctetCursor, field: str) -> Any:
        """Read a value.

        Raises:
            DecodeError: The octets end too early.
        """
        ...


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An unsigned integer, enumeration or bitmap of `size_octets`."""

    size_octets: int

    def write(self, value: int) -> bytes:
        """Return the octets, least significant first."""
        return value.to_bytes(self.size_octets, "little")

    def read(self, cursor: OctetCursor, field: str) -> int:
        """Read the integer."""
        return cursor.number(self.size_octets, field, "little")


@dataclass(frozen=True, slots=True)
class Boolean:
    """A Boolean; an octet other than 0 and 1 is read as true."""

    def write(self, value: bool) -> bytes:  # noqa: FBT001 - the value is what is written
        """Return the octet."""
        return bytes((bool(value),))

    def read(self, cursor: OctetCursor, field: str) -> bool:
        """Read the octet."""
        return bool(cursor.number(1, field))


@dataclass(frozen=True, slots=True)
class OctetsToEnd:
    """Octets up to the end of the command."""

    def write(self, value: bytes) -> bytes:
        """Return the octets as they are."""
        return bytes(value)

    def read(self, cursor: OctetCursor, field: str) -> bytes:  # noqa: ARG002 - every end is as good
        """Read all that is left."""
        return cursor.rest()


@dataclass(frozen=True, slots=True)
class ListToEnd:
    """Values of one type up to the end of the command."""

    item: FieldType

    def write(self, value: tuple[Any, ...]) -> bytes:
        """Return the octets of the values."""
        return b"".join([self.item.write(each) for each in value])

    def read(self, cursor: OctetCursor, field: str) -> tuple[Any, ...]:
        """Read values until nothing is left."""
        found = []
        while not cursor.is_at_end:
            found.append(self.item.read(cursor, field))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class CountedPairs:
    """Pairs of values behind one octet that counts them."""

    first: FieldType
    second: FieldType

    def write(self, value: tuple[tuple[Any, Any], ...]) -> bytes:
        """Return the count and the octets of the pairs."""
        pairs = [self.first.write(one) + self.second.write(other) for one, other in value]
        return bytes((len(pairs),)) + b"".join(pairs)

    def read(self, cursor: OctetCursor, field: str) -> tuple[tuple[Any, Any], ...]:
        """Read as many pairs as the count says."""
        return tuple(
            (self.first.read(cursor, field), self.second.read(cursor, field))
            for _ in range(cursor.number(1, field))
        )


UINT8: Final = Unsigned(1)
UINT16: Final = Unsigned(2)
UINT24: Final = Unsigned(3)
UINT32: Final = Unsigned(4)
BOOLEAN: Final = Boolean()
OCTETS: Final = OctetsToEnd()
UINT32_LIST: Final = ListToEnd(UINT32)
PROTOCOL_LIST: Final = CountedPairs(UINT16, UINT8)
