"""Simple types of DUIS: how a value becomes an element's text, and comes back within its limits.

Source: DUIS XML schema 5.4; XML Schema 1.0 part 2 (lexical forms).
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gbcs.entity_identifier import EntityIdentifier

if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound="enum.Enum")

_BLANK: Final = " \t\r\n"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,20})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?")
_ENTITY: Final = re.compile(r"([0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2}")


def require_type(value: object, expected: type, name: str) -> None:
    """Check a value's class; one error is raised for every limit, so it is ValueError here too."""
    if not isinstance(value, expected):
        raise ValueError(f"{name} belongs there, not {type(value).__name__}")  # noqa: TRY004 - as said


class TextType(Generic[T]):
    """A simple type: values of T, and the text that stands for each."""

    def check(self, value: T) -> None:
        """Check a value before it is written.

        Raises:
            ValueError: It is not of the type, or beyond its limits; the text says how.
        """
        raise NotImplementedError

    def write(self, value: T) -> str:
        """Return the text of a value that has been checked."""
        raise NotImplementedError

    def read(self, text: str) -> T:
        """Read a text.

        Raises:
            ValueError: It is none of the type's; the text says why.
        """
        raise NotImplementedError


class Integer(TextType[int]):
    """A whole number between two limits, both inclusive."""

    def __init__(self, *, minimum: int = 0, maximum: int) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def check(self, value: int) -> None:
        """Check it is a number within the limits."""
        require_type(value, int, "a whole number")
        if isinstance(value, bool):
            raise ValueError("a whole number belongs there, not true or false")  # noqa: TRY004 - as above
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")

    def write(self, value: int) -> str:
        """Return its digits."""
        return str(value)

    def read(self, text: str) -> int:
        """Read decimal digits, with a sign or without."""
        if not _INTEGER.fullmatch(text := text.strip(_BLANK)):
            raise ValueError("not a whole number")
        value = int(text)
        self.check(value)
        return value


class String(TextType[str]):
    """Characters, as many as two limits allow, both inclusive; `pattern` narrows them."""

    def __init__(self, *, minimum: int = 0, maximum: int, pattern: str = "") -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.pattern = re.compile(pattern) if pattern else None

    def check(self, value: str) -> None:
        """Check length, pattern, and that XML can carry every character as it is."""
        require_type(value, str, "text")
        if not self.minimum <= len(value) <= self.maximum:
            raise ValueError(
                f"{len(value)} characters, where {self.minimum} to {self.maximum} may be"
            )
        if _NOT_XML.search(value) or "\r" in value:
            raise ValueError("it has a character that XML does not carry")
        if self.pattern is not None and not self.pattern.fullmatch(value):
            raise ValueError(f"it is not of the form {self.pattern.pattern}")

    def write(self, value: str) -> str:
        """Return it unchanged."""
        return value

    def read(self, text: str) -> str:
        """Read it as it is."""
        self.check(text)
        return text


class Octets(TextType[bytes]):
    """Octets as base64; none at all is refused, as no element of DUIS has a use for them."""

    def check(self, value: bytes) -> None:
        """Check there are some."""
        require_type(value, bytes, "octets")
        if not value:
            raise ValueError("no octets")

    def write(self, value: bytes) -> str:
        """Return their base64, in one line."""
        return base64.b64encode(value).decode("ascii")

    def read(self, text: str) -> bytes:
        """Read base64, in as many lines as there are."""
        joined = "".join(text.split())
        try:
            octets = base64.b64decode(joined.encode("ascii"), validate=True)
        except ValueError as error:
            raise ValueError("not base64") from error
        if self.write(octets) != joined:
            raise ValueError("not base64: bits are left over")
        self.check(octets)
        return octets


class AlertCode(TextType[int]):
    """A code of two octets, as four hexadecimal digits."""

    def check(self, value: int) -> None:
        """Check it fits two octets."""
        Integer(maximum=0xFFFF).check(value)

    def write(self, value: int) -> str:
        """Return four digits, such as 8F66."""
        return f"{value:04X}"

    def read(self, text: str) -> int:
        """Read four digits."""
        if not re.fullmatch(r"[0-9A-Fa-f]{4}", text := text.strip(_BLANK)):
            raise ValueError("not four hexadecimal digits")
        return int(text, 16)


class Boolean(TextType[bool]):
    """True or false."""

    def check(self, value: bool) -> None:  # noqa: FBT001 - the value itself
        """Check it is one of them."""
        require_type(value, bool, "true or false")

    def write(self, value: bool) -> str:  # noqa: FBT001 - as above
        """Return true or false."""
        return "true" if value else "false"

    def read(self, text: str) -> bool:
        """Read true, false, 1 or 0."""
        known = {"true": True, "1": True, "false": False, "0": False}
        try:
            return known[text.strip(_BLANK)]
        except KeyError:
            raise ValueError("neither true nor false") from None


class Instant(TextType[datetime]):
    """An instant; without a zone it is taken as UTC."""

    def check(self, value: datetime) -> None:
        """Check it is aware, and a year of four digits in UTC as well."""
        require_type(value, datetime, "an instant")
        if value.tzinfo is None:
            raise ValueError("an instant without a zone")
        self._in_utc(value)

    def write(self, value: datetime) -> str:
        """Return it in UTC, with hundredths of a second, or with all its digits if it has more."""
        utc = self._in_utc(value)
        if utc.microsecond % 10_000:
            return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        whole = utc.replace(tzinfo=None, microsecond=0).isoformat()
        return f"{whole}.{utc.microsecond // 10_000:02}Z"

    def read(self, text: str) -> datetime:
        """Read an xs:dateTime; digits beyond microseconds are dropped."""
        if not _INSTANT.fullmatch(text := text.strip(_BLANK)):
            raise ValueError("not a date and time such as 2026-11-24T08:00:00.00Z")
        read = datetime.fromisoformat(text)
        return self._in_utc(read.replace(tzinfo=UTC) if read.tzinfo is None else read)

    @staticmethod
    def _in_utc(value: datetime) -> datetime:
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError("a year beyond 1 to 9999") from None


class Day(TextType[date]):
    """A date; what zone it may carry says nothing about an hour, and is dropped."""

    def check(self, value: date) -> None:
        """Check it is a date alone."""
        require_type(value, date, "a date")
        if isinstance(value, datetime):
            raise ValueError("a date belongs there, without an hour")  # noqa: TRY004 - as above

    def write(self, value: date) -> str:
        """Return year, month and day."""
        return value.isoformat()

    def read(self, text: str) -> date:
        """Read an xs:date."""
        if not _DATE.fullmatch(text := text.strip(_BLANK)):
            raise ValueError("not a date such as 2026-11-24")
        return date.fromisoformat(text[:10])


class Entity(TextType[EntityIdentifier]):
    """An Entity Identifier, in pairs of digits joined by hyphens."""

    def check(self, value: EntityIdentifier) -> None:
        """Check it is one."""
        require_type(value, EntityIdentifier, "an Entity Identifier")

    def write(self, value: EntityIdentifier) -> str:
        """Return the form 00-DB-12-34-56-78-90-A0."""
        return str(value)

    def read(self, text: str) -> EntityIdentifier:
        """Read the form 00-DB-12-34-56-78-90-A0, of either case."""
        if not _ENTITY.fullmatch(text := text.strip(_BLANK)):
            raise ValueError("not an Entity Identifier (form 00-DB-12-34-56-78-90-A0)")
        return EntityIdentifier.parse(text)


class Enumerated(TextType[EnumT]):
    """One of the members of an enumeration, by its value."""

    def __init__(self, members: type[EnumT]) -> None:
        self.members = members
        self._by_text = {str(member.value): member for member in members}

    def check(self, value: EnumT) -> None:
        """Check it is a member."""
        require_type(value, self.members, self.members.__name__)

    def write(self, value: EnumT) -> str:
        """Return the member's value."""
        return str(value.value)

    def read(self, text: str) -> EnumT:
        """Read a member's value."""
        try:
            return self._by_text[text.strip(_BLANK)]
        except KeyError:
            raise ValueError(f"not one of {', '.join(self._by_text)}") from None


class Named(TextType[T]):
    """Values that have a name each, where DUIS calls them otherwise than the project does.

    Args:
        names: The values by their names in DUIS.
    """

    def __init__(self, names: Mapping[str, T]) -> None:
        self._values = dict(names)
        self._names = {value: name for name, value in names.items()}

    def check(self, value: T) -> None:
        """Check DUIS has a name for it."""
        if value not in self._names:
            raise ValueError(f"{value!r} has no name here; {', '.join(self._values)} have")

    def write(self, value: T) -> str:
        """Return its name."""
        return self._names[value]

    def read(self, text: str) -> T:
        """Read a name."""
        try:
            return self._values[text.strip(_BLANK)]
        except KeyError:
            raise ValueError(f"not one of {', '.join(self._values)}") from None


ENTITY: Final = Entity()
OCTETS: Final = Octets()
BOOLEAN: Final = Boolean()
INSTANT: Final = Instant()
DAY: Final = Day()
ALERT_CODE: Final = AlertCode()
UNSIGNED_INT: Final = Integer(maximum=2**32 - 1)
UNSIGNED_SHORT: Final = Integer(maximum=2**16 - 1)
