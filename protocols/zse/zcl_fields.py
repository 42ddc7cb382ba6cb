"""Types of the fields of ZCL commands: how a value becomes octets and comes back.

Integers go least significant octet first. An enumeration is a number here, so that whatever a
device sends can be held.

Source: ZCL 8, 2.6.2 (data types).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

if TYPE_CHECKING:
    from gbcs.octet_cursor import OctetCursor


class FieldType(abc.ABC):
    """How the values of one type are written and read."""

    @abc.abstractmethod
    def write(self, value: Any) -> bytes:
        """Return the octets of `value`.

        Raises:
            ValueError, TypeError, OverflowError: It is no value of the type.
        """

    @abc.abstractmethod
    def read(self, cursor: OctetCursor, field: str) -> Any:
        """Read a value.

        Raises:
            DecodeError: The octets end too early.
        """


@dataclass(frozen=True)
class Unsigned(FieldType):
    """An unsigned integer, enumeration or bitmap of `size_octets`."""

    size_octets: int

    @override
    def write(self, value: int) -> bytes:
        return value.to_bytes(self.size_octets, "little")

    @override
    def read(self, cursor: OctetCursor, field: str) -> int:
        return cursor.number(self.size_octets, field, "little")


class Boolean(FieldType):
    """A Boolean; an octet other than 0 and 1 is read as true."""

    @override
    def write(self, value: bool) -> bytes:
        return bytes((bool(value),))

    @override
    def read(self, cursor: OctetCursor, field: str) -> bool:
        return bool(cursor.number(1, field))


class OctetsToEnd(FieldType):
    """Octets up to the end of the command."""

    @override
    def write(self, value: bytes) -> bytes:
        return bytes(value)

    @override
    def read(self, cursor: OctetCursor, field: str) -> bytes:
        return cursor.rest()


@dataclass(frozen=True)
class ListToEnd(FieldType):
    """Values of one type up to the end of the command."""

    item: FieldType

    @override
    def write(self, value: tuple[Any, ...]) -> bytes:
        return b"".join([self.item.write(each) for each in value])

    @override
    def read(self, cursor: OctetCursor, field: str) -> tuple[Any, ...]:
        found = []
        while not cursor.is_at_end:
            found.append(self.item.read(cursor, field))
        return tuple(found)


@dataclass(frozen=True)
class CountedPairs(FieldType):
    """Pairs of values behind one octet that counts them."""

    first: FieldType
    second: FieldType

    @override
    def write(self, value: tuple[tuple[Any, Any], ...]) -> bytes:
        pairs = [self.first.write(one) + self.second.write(other) for one, other in value]
        return bytes((len(pairs),)) + b"".join(pairs)

    @override
    def read(self, cursor: OctetCursor, field: str) -> tuple[tuple[Any, Any], ...]:
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
