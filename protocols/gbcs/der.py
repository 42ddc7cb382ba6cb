"""A declarative DER layer: typed dataclasses in, octets out, and back with field and offset.

A structure is a class under `@sequence` whose elements name their codec:

    @sequence
    class SpecialistSeqNumber:
        usage: SeqNumberUsage = element(Integer(SeqNumberUsage))
        number: int = element(Integer(maximum=SEQ_NUMBER_MAXIMUM))

`encode` always writes DER. `decode` reads DER; with `lenient_lengths` it also takes definite
lengths that are longer than they need be, and says where they were. Everything else that DER
forbids stays forbidden: indefinite lengths, padded integers, defaults written out, loose octets.

Source: ITU-T X.690 (DER); GBCS v0.8.1, 13 (the subset that its payloads use).
"""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, dataclass_transform

from typing_extensions import override

from gbcs.protocol_errors import DecodeError, LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LAYER: Final = "ASN.1"
MAXIMUM_LENGTH_OCTETS: Final = 4
"""A length of more octets than this is refused; GBCS messages stay far below 2^32."""

MAXIMUM_DEPTH: Final = 32
"""Elements nested deeper are refused; certificates inside a payload reach some ten."""

_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_CONTEXT: Final = 0x80

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound=enum.IntEnum)
FlagT = TypeVar("FlagT", bound=enum.IntFlag)


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A decoded value and the offsets of lengths that were not minimal."""

    value: T
    lengths_not_minimal: tuple[int, ...]


# Theory of operation.
#
# A codec reads one element from `offset` on and may not look beyond `end`, which is where the
# contents of the enclosing element stop. `_Reader.contents` holds each length against that end,
# so no element reaches out of the one around it, whatever the lengths say.
#
# An error is made where it is found, with its offset in the whole, and without knowing where in
# the structure that is. Each structure and list it passes on its way out puts its own element's
# name before the path (`_within`), so that the one line names `replacements[1].mode` and no
# codec carries a path along.
#
# DER has one encoding for a value. Reading therefore refuses every other one: padded integers,
# trailing zero bits, defaults written out, octets left over, and lengths that are not minimal.
# It follows that what is read strictly and written again gives the same octets. Devices are known
# to pad lengths; the lenient reader takes those, notes where they were, and is as strict in
# everything else. What is written is always minimal.


class _Reader:
    """The octets being read, and what is tolerated and noted while reading them."""

    __slots__ = ("lenient", "not_minimal", "octets")

    def __init__(self, octets: bytes, *, lenient: bool) -> None:
        self.octets = octets
        self.lenient = lenient
        self.not_minimal: list[int] = []

    def fail(self, reason: str, offset: int) -> DecodeError:
        return DecodeError(
            reason, layer=LAYER, offset=offset, excerpt=self.octets[offset : offset + 8]
        )

    def contents(self, offset: int, end: int, tag: int) -> tuple[int, int]:
        """Return where the contents of the element at `offset` start and stop."""
        octets = self.octets
        if offset + 2 > end:
            raise self.fail(f"the element with tag {tag:02X} is missing or cut short", offset)
        if octets[offset] != tag:
            raise self.fail(f"tag {octets[offset]:02X} where {tag:02X} belongs", offset)
        length = octets[offset + 1]
        start = offset + 2
        if length >= 0x80:
            length, start = self._long_length(offset + 1, end)
        stop = start + length
        if stop > end:
            raise self.fail(f"a length of {length} octets runs past the end", offset + 1)
        return start, stop

    def _long_length(self, offset: int, end: int) -> tuple[int, int]:
        count = self.octets[offset] & 0x7F
        start = offset + 1 + count
        if count == 0:
            raise self.fail("an indefinite length", offset)
        if count > MAXIMUM_LENGTH_OCTETS or start > end:
            raise self.fail(f"a length in {count} octets", offset)
        length = int.from_bytes(self.octets[offset + 1 : start])
        if length < 0x80 or self.octets[offset + 1] == 0:
            if not self.lenient:
                raise self.fail("a length that is not minimal", offset)
            self.not_minimal.append(offset)
        return length, start


def tlv(tag: int, contents: bytes) -> bytes:
    """Encode one element with a minimal length."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    return bytes((tag,)) + encode_length(length) + contents


def encode_length(length: int) -> bytes:
    """Encode a definite length in the fewest octets."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


class Codec(Generic[T]):
    """How values of one ASN.1 type become octets and come back."""

    tag: int

    def encode(self, value: T) -> bytes:
        """Encode tag, length and contents."""
        return tlv(self.tag, self.encode_contents(value))

    def decode(self, reader: _Reader, offset: int, end: int) -> tuple[T, int]:
        """Decode the element at `offset`; return its value and the offset behind it."""
        start, stop = reader.contents(offset, end, self.tag)
        return self.decode_contents(reader, start, stop), stop

    def encode_contents(self, value: T) -> bytes:
        """Encode the contents octets alone.

        Raises:
            LocalProtocolError: The value is not one of the type.
        """
        raise NotImplementedError

    def decode_contents(self, reader: _Reader, start: int, stop: int) -> T:
        """Decode the contents octets from `start` up to `stop`."""
        raise NotImplementedError

    def matches(self, tag: int) -> bool:
        """True if an element with `tag` is of this type."""
        return tag == self.tag

    def accepts(self, value: object) -> bool:
        """True if a CHOICE encodes `value` by this codec."""
        raise NotImplementedError


def _integer_contents(value: int) -> bytes:
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, signed=True)


def _read_integer(reader: _Reader, start: int, stop: int) -> int:
    octets = reader.octets
    if stop - start == 1:
        octet = octets[start]
        return octet if octet < 0x80 else octet - 0x100
    if start == stop:
        raise reader.fail("an INTEGER without contents", start)
    if (octets[start] == 0 and octets[start + 1] < 0x80) or (
        octets[start] == 0xFF and octets[start + 1] >= 0x80
    ):
        raise reader.fail("an INTEGER that is padded", start)
    return int.from_bytes(octets[start:stop], signed=True)


class Integer(Codec[int]):
    """INTEGER within a range, both ends included."""

    tag = 0x02

    def __init__(self, *, minimum: int = 0, maximum: int) -> None:
        self.minimum = minimum
        self.maximum = maximum

    @override
    def encode_contents(self, value: int) -> bytes:
        if not self.minimum <= value <= self.maximum:
            raise LocalProtocolError(f"{value} is outside {self.minimum}..{self.maximum}")
        return _integer_contents(value)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> int:
        value = _read_integer(reader, start, stop)
        if not self.minimum <= value <= self.maximum:
            raise reader.fail(f"{value} is outside {self.minimum}..{self.maximum}", start)
        return value

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, int)


class NamedInteger(Codec[EnumT]):
    """INTEGER with named values, of which no other is allowed."""

    tag = 0x02

    def __init__(self, names: type[EnumT]) -> None:
        self.names = names

    @override
    def encode_contents(self, value: EnumT) -> bytes:
        if not isinstance(value, self.names):
            raise LocalProtocolError(f"{value!r} is no {self.names.__name__}")
        return _integer_contents(value)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> EnumT:
        value = _read_integer(reader, start, stop)
        try:
            return self.names(value)
        except ValueError:
            raise reader.fail(f"{value} is no {self.names.__name__}", start) from None

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, self.names)


class Enumerated(NamedInteger[EnumT]):
    """ENUMERATED."""

    tag = 0x0A


_MIRRORED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(0x100))
"""Each octet with its bits in reverse: bit 0 of a BIT STRING is the highest of its first octet."""


class NamedBits(Codec[FlagT]):
    """BIT STRING with named bits, trailing zero bits removed (X.690, 11.2.2)."""

    tag = 0x03

    def __init__(self, names: type[FlagT]) -> None:
        self.names = names
        self._width = max(int(bit) for bit in names).bit_length()

    @override
    def encode_contents(self, value: FlagT) -> bytes:
        bits = int(value)
        if bits < 0 or bits.bit_length() > self._width:
            raise LocalProtocolError(f"{bits:#x} has bits that {self.names.__name__} has not")
        unused = -bits.bit_length() % 8
        octets = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
        return bytes((unused,)) + octets.translate(_MIRRORED)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> FlagT:
        contents = reader.octets[start:stop]
        bits = int.from_bytes(contents[1:].translate(_MIRRORED), "little")
        if bits.bit_length() > self._width:
            raise reader.fail(f"a bit that {self.names.__name__} has not", start)
        value = self.names(bits)
        if self.encode_contents(value) != contents:
            raise reader.fail("a BIT STRING whose trailing zero bits are not removed", start)
        return value

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, self.names)


class OctetString(Codec[bytes]):
    """OCTET STRING, of `size_octets` where that is given."""

    tag = 0x04

    def __init__(self, size_octets: int | None = None) -> None:
        self.size_octets = size_octets

    @override
    def encode_contents(self, value: bytes) -> bytes:
        if self.size_octets is not None and len(value) != self.size_octets:
            raise LocalProtocolError(f"{len(value)} octets where {self.size_octets} belong")
        return bytes(value)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> bytes:
        if self.size_octets is not None and stop - start != self.size_octets:
            raise reader.fail(f"{stop - start} octets where {self.size_octets} belong", start)
        return reader.octets[start:stop]

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, bytes)


class Null(Codec[None]):
    """NULL."""

    tag = 0x05

    @override
    def encode_contents(self, value: None) -> bytes:
        return b""

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> None:
        if start != stop:
            raise reader.fail("a NULL with contents", start)

    @override
    def accepts(self, value: object) -> bool:
        return value is None


class GeneralizedTime(Codec[datetime]):
    """GeneralizedTime as `YYYYMMDDHHMMSSZ`, an aware datetime in UTC, whole seconds."""

    tag = 0x18

    @override
    def encode_contents(self, value: datetime) -> bytes:
        if value.tzinfo is None or value.microsecond:
            raise LocalProtocolError(f"{value!r} is not whole seconds of UTC")
        year, month, day, hour, minute, second = value.astimezone(UTC).timetuple()[:6]
        return b"%04d%02d%02d%02d%02d%02dZ" % (year, month, day, hour, minute, second)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> datetime:
        text = reader.octets[start:stop]
        if stop - start != 15 or not text[:14].isdigit() or text[14:] != b"Z":
            raise reader.fail("a GeneralizedTime that is not YYYYMMDDHHMMSSZ", start)
        try:
            return datetime(
                int(text[:4]),
                int(text[4:6]),
                int(text[6:8]),
                int(text[8:10]),
                int(text[10:12]),
                int(text[12:14]),
                tzinfo=UTC,
            )
        except ValueError:
            raise reader.fail("a GeneralizedTime that names no time", start) from None

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, datetime)


class Encoded(Codec[bytes]):
    """A SEQUENCE that is kept as its own octets, tag and length included.

    Its own length is minimal, also where it was read from one that was not; what it contains
    is neither read nor changed.
    """

    tag = 0x30

    def encode(self, value: bytes) -> bytes:
        """Return `value`, which must be the octets of exactly one SEQUENCE."""
        total = len(value)
        if total < 2 or value[0] != self.tag:
            raise LocalProtocolError("not the octets of a SEQUENCE")
        first = value[1]
        length = first if first < 0x80 else int.from_bytes(value[2 : 2 + (first & 0x7F)])
        head = encode_length(length)
        if not value.startswith(head, 1):
            raise LocalProtocolError("a SEQUENCE whose length is not in DER")
        if 1 + len(head) + length != total:
            raise LocalProtocolError(f"a SEQUENCE of {length} octets in {total} octets")
        return value

    @override
    def decode(self, reader: _Reader, offset: int, end: int) -> tuple[bytes, int]:
        padded = len(reader.not_minimal)
        start, stop = reader.contents(offset, end, self.tag)
        if len(reader.not_minimal) != padded:
            return tlv(self.tag, reader.octets[start:stop]), stop
        return reader.octets[offset:stop], stop

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, bytes)


class SequenceOf(Codec[tuple[T, ...]]):
    """SEQUENCE OF one type, as a tuple."""

    tag = 0x30

    def __init__(self, item: Codec[T]) -> None:
        self.item = item

    @override
    def encode_contents(self, value: Sequence[T]) -> bytes:
        return b"".join([self.item.encode(item) for item in value])

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> tuple[T, ...]:
        items: list[T] = []
        decode = self.item.decode
        while start < stop:
            try:
                item, start = decode(reader, start, stop)
            except DecodeError as error:
                raise _within(error, f"[{len(items)}]") from None
            items.append(item)
        return tuple(items)

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, tuple)


class Implicit(Codec[T]):
    """A type under an IMPLICIT context tag."""

    def __init__(self, number: int, inner: Codec[T]) -> None:
        self.inner = inner
        self.tag = _CONTEXT | number | (inner.tag & _CONSTRUCTED)

    @override
    def encode_contents(self, value: T) -> bytes:
        return self.inner.encode_contents(value)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> T:
        return self.inner.decode_contents(reader, start, stop)

    @override
    def accepts(self, value: object) -> bool:
        return self.inner.accepts(value)


class Choice(Codec[T]):
    """CHOICE between types whose tags differ."""

    def __init__(self, *alternatives: Codec[Any]) -> None:
        self.alternatives = alternatives
        self.tag = alternatives[0].tag

    @override
    def encode(self, value: T) -> bytes:
        for alternative in self.alternatives:
            if alternative.accepts(value):
                return alternative.encode(value)
        raise LocalProtocolError(f"{type(value).__name__} is none of the alternatives")

    @override
    def decode(self, reader: _Reader, offset: int, end: int) -> tuple[T, int]:
        for alternative in self.alternatives:
            if offset < end and alternative.matches(reader.octets[offset]):
                return cast("tuple[T, int]", alternative.decode(reader, offset, end))
        raise reader.fail("none of the alternatives of the CHOICE", offset)

    @override
    def matches(self, tag: int) -> bool:
        return any(alternative.matches(tag) for alternative in self.alternatives)

    @override
    def accepts(self, value: object) -> bool:
        return any(alternative.accepts(value) for alternative in self.alternatives)


_CODEC: Final = "codec"


def element(codec: Codec[Any], *, default: Any = dataclasses.MISSING) -> Any:
    """Declare an element of a `@sequence` class.

    Args:
        codec: How it is encoded.
        default: Its DEFAULT, which DER never writes; None for an OPTIONAL element.
    """
    return dataclasses.field(default=default, metadata={_CODEC: codec})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(element,))
def sequence(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass that `Structure` can encode."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


class Structure(Codec[T]):
    """SEQUENCE of named elements, as an instance of a `@sequence` class."""

    tag = 0x30

    def __init__(self, cls: Callable[..., T]) -> None:
        self.cls = cls
        self._type = cast("type", cls)
        self.name = cls.__name__
        self._elements: list[tuple[str, Codec[Any], bool, Any]] = [
            (
                field.name,
                field.metadata[_CODEC],
                field.default is not dataclasses.MISSING,
                field.default,
            )
            for field in dataclasses.fields(cast("Any", cls))
        ]

    @override
    def encode_contents(self, value: T) -> bytes:
        if not isinstance(value, self._type):
            raise LocalProtocolError(f"{type(value).__name__} is no {self.name}")
        parts: list[bytes] = []
        for name, codec, may_be_absent, default in self._elements:
            item = getattr(value, name)
            if may_be_absent and item == default:
                continue
            try:
                parts.append(codec.encode(item))
            except LocalProtocolError as error:
                raise LocalProtocolError(f"{self.name}.{name}: {error}") from None
        return b"".join(parts)

    @override
    def decode_contents(self, reader: _Reader, start: int, stop: int) -> T:
        octets = reader.octets
        values: dict[str, Any] = {}
        for name, codec, may_be_absent, default in self._elements:
            if may_be_absent and (start >= stop or not codec.matches(octets[start])):
                values[name] = default
                continue
            offset = start
            try:
                value, start = codec.decode(reader, start, stop)
            except DecodeError as error:
                raise _within(error, name) from None
            if may_be_absent and value == default:
                raise _within(reader.fail("a DEFAULT that is written out", offset), name)
            values[name] = value
        if start != stop:
            raise reader.fail(f"{stop - start} octets behind the last element", start)
        return self.cls(**values)

    @override
    def accepts(self, value: object) -> bool:
        return isinstance(value, self._type)


def _within(error: DecodeError, name: str) -> DecodeError:
    """Prefix the error's path with the name of an enclosing element."""
    dot = "" if not error.field or error.field.startswith("[") else "."
    error.field = f"{name}{dot}{error.field}"
    return error


def encode(codec: Codec[T], value: T) -> bytes:
    """Encode `value` as DER.

    Raises:
        LocalProtocolError: The value is not one of the type; the message has the path.
    """
    return codec.encode(value)


def decode(codec: Codec[T], octets: bytes, *, lenient_lengths: bool = False) -> Decoded[T]:
    """Decode exactly `octets`.

    Args:
        codec: The type to read.
        octets: One element, nothing behind it.
        lenient_lengths: Whether a definite length may take more octets than it needs.

    Raises:
        DecodeError: Anything else that is not DER of the type, with path and offset.
    """
    reader = _Reader(octets, lenient=lenient_lengths)
    value, end = codec.decode(reader, 0, len(octets))
    if end != len(octets):
        raise reader.fail(f"{len(octets) - end} octets behind the end", end)
    return Decoded(value, tuple(reader.not_minimal))


def with_minimal_lengths(octets: bytes) -> bytes:
    """Write the elements in `octets` again, every length minimal, contents untouched.

    Raises:
        DecodeError: `octets` are not a run of elements with definite lengths and tags of one
            octet, or are nested deeper than `MAXIMUM_DEPTH`.
    """
    return _rewritten(_Reader(octets, lenient=True), 0, len(octets), 0)


def _rewritten(reader: _Reader, offset: int, end: int, depth: int) -> bytes:
    if depth > MAXIMUM_DEPTH:
        raise reader.fail(f"elements nested deeper than {MAXIMUM_DEPTH}", offset)
    parts: list[bytes] = []
    while offset < end:
        tag = reader.octets[offset]
        if tag & _LONG_TAG == _LONG_TAG:
            raise reader.fail("a tag of several octets", offset)
        start, offset = reader.contents(offset, end, tag)
        contents = (
            _rewritten(reader, start, offset, depth + 1)
            if tag & _CONSTRUCTED
            else reader.octets[start:offset]
        )
        parts.append(tlv(tag, contents))
    return b"".join(parts)
