"""Column types that SQLite and PostgreSQL hold alike."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Enum, Integer, String
from sqlalchemy.types import TypeDecorator

from gbcs.entity_identifier import EntityIdentifier
from keyrig.domain.device_facts import aware_utc

if TYPE_CHECKING:
    import enum

    from sqlalchemy import Dialect

RowId = BigInteger().with_variant(Integer(), "sqlite")
"""A row's number: 64 bits, assigned by the database in ascending order."""


class Instant(TypeDecorator[datetime]):
    """An aware instant in UTC as 27 characters that sort by time."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Write an instant.

        Raises:
            ValueError: It is not in UTC.
        """
        del dialect
        if value is None:
            return None
        return aware_utc(value).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read an instant."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


class Entity(TypeDecorator[EntityIdentifier]):
    """An Entity Identifier as its 16 lower-case digits."""

    impl = String(16)
    cache_ok = True

    def process_bind_param(self, value: EntityIdentifier | None, dialect: Dialect) -> str | None:
        """Write an Entity Identifier."""
        del dialect
        return None if value is None else value.stem

    def process_result_value(self, value: Any, dialect: Dialect) -> EntityIdentifier | None:
        """Read an Entity Identifier."""
        del dialect
        return None if value is None else EntityIdentifier.parse(value)


class Counter(TypeDecorator[int]):
    """A counter of 64 bits without sign as 20 digits that sort by value."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Write a counter."""
        del dialect
        return None if value is None else f"{value:020d}"

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Read a counter."""
        del dialect
        return None if value is None else int(value)


def choice(kind: type[enum.Enum], name: str = "") -> Enum:
    """Return the column type of an enumeration whose values are text.

    Args:
        kind: The enumeration.
        name: The name of its check, where a table has two of the kind.
    """
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=40,
        name=name or kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )
