"""The octets of X.509 structures: strict DER, and what a library's refusal means.

The library that reads certificates takes some encodings that DER forbids, and says why it does
not take others in words of its own. Here the octets are read once more, by rule alone.

Source: ITU-T X.690, 8, 10 and 11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.der import MAXIMUM_DEPTH, tlv
from gbcs.printable import printable
from gbcs.protocol_errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

LAYER: Final = "DER"
BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_TRUE: Final = bytes([BOOLEAN, 1, 0xFF])
_CAUSE_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Element:
    """One element, where it stands.

    Args:
        tag: Its tag octet.
        octets: All of it, tag and length included.
        contents: What it contains.
        offset: Octets of what was read before its contents.
    """

    tag: int
    octets: bytes
    contents: bytes
    offset: int


def elements(octets: bytes, offset: int = 0) -> tuple[Element, ...]:
    """Read a run of elements in DER, one level of it.

    Args:
        octets: The run, and nothing behind it.
        offset: Octets before the run, for errors.

    Raises:
        DecodeError: A tag of several octets, a length that is not DER's, or octets missing.
    """
    found = []
    at = 0
    while at < len(octets):
        tag = octets[at]
        if tag & _LONG_TAG == _LONG_TAG:
            raise _fault("a tag of several octets", offset + at)
        start, length = _length(octets, at + 1, offset)
        if start + length > len(octets):
            missing = start + length - len(octets)
            raise _fault(f"an element is cut short by {missing} octets", offset + at)
        stop = start + length
        found.append(Element(tag, octets[at:stop], octets[start:stop], offset + start))
        at = stop
    return tuple(found)


def _length(octets: bytes, at: int, offset: int) -> tuple[int, int]:
    """Return where the contents start whose length stands at `at`, and how long they are."""
    if at >= len(octets):
        raise _fault("a length is missing", offset + at)
    first = octets[at]
    if first < 0x80:
        return at + 1, first
    count = first & 0x7F
    if count == 0:
        raise _fault("an indefinite length", offset + at)
    encoded = octets[at + 1 : at + 1 + count]
    if len(encoded) < count:
        raise _fault("a length is cut short", offset + at)
    length = int.from_bytes(encoded)
    if length < 0x80 or encoded[0] == 0:
        raise _fault("a length that is not minimal", offset + at)
    return at + 1 + count, length


def require_der(octets: bytes) -> None:
    """Raise unless `octets` are one element whose every part is as DER writes it.

    What stands in OCTET STRINGs, and what context tags hide the type of, is not looked into.

    Raises:
        DecodeError: With the offset of what is not.
    """
    read = elements(octets)
    if len(read) != 1:
        raise _fault(f"{len(read)} elements where one belongs", 0)
    _require_each(read, 0)


def _require_each(read: tuple[Element, ...], depth: int) -> None:
    if depth > MAXIMUM_DEPTH:
        raise _fault(f"elements nested deeper than {MAXIMUM_DEPTH}", read[0].offset)
    for element in read:
        if element.tag & _CONSTRUCTED:
            _require_each(elements(element.contents, element.offset), depth + 1)
        elif element.tag in _PRIMITIVES:
            is_right, reason = _PRIMITIVES[element.tag]
            if not is_right(element.contents):
                raise _fault(reason, element.offset)


def _is_integer(contents: bytes) -> bool:
    is_padded = len(contents) > 1 and (
        (contents[0] == 0 and contents[1] < 0x80) or (contents[0] == 0xFF and contents[1] >= 0x80)
    )
    return bool(contents) and not is_padded


def _is_bit_string(contents: bytes) -> bool:
    if not contents or contents[0] > 7 or (contents[0] and len(contents) == 1):
        return False
    return not contents[-1] & ((1 << contents[0]) - 1) if len(contents) > 1 else True


def _is_object_identifier(contents: bytes) -> bool:
    if not contents or contents[-1] & 0x80:
        return False
    is_first = True
    for octet in contents:
        if is_first and octet == 0x80:
            return False
        is_first = not octet & 0x80
    return True


_PRIMITIVES: Final[dict[int, tuple[Callable[[bytes], bool], str]]] = {
    BOOLEAN: (lambda contents: contents in {b"\x00", b"\xff"}, "a BOOLEAN that is not 00 or FF"),
    INTEGER: (_is_integer, "an INTEGER that is not minimal"),
    BIT_STRING: (_is_bit_string, "a BIT STRING whose unused bits are not as DER has them"),
    NULL: (lambda contents: not contents, "a NULL with contents"),
    OBJECT_IDENTIFIER: (_is_object_identifier, "an OBJECT IDENTIFIER that is not minimal"),
}


def encode_object_identifier(dotted: str) -> bytes:
    """Encode an object identifier, tag and length included."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    contents = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        contents.extend(reversed(groups))
    return tlv(OBJECT_IDENTIFIER, bytes(contents))


def encode_extension(dotted: str, value: bytes, *, critical: bool) -> bytes:
    """Encode an Extension of X.509.

    Args:
        dotted: Its type.
        value: Its value in DER.
        critical: Whether it is critical; FALSE, the default, is never written.

    Source: RFC 5280, 4.1; ITU-T X.690, 11.5.
    """
    contents = encode_object_identifier(dotted) + (_TRUE if critical else b"")
    return tlv(SEQUENCE, contents + tlv(OCTET_STRING, value))


def _fault(reason: str, offset: int) -> DecodeError:
    return DecodeError(reason, layer=LAYER, offset=offset)


_KIND: Final = re.compile(r"kind: (\w+)")
_LOCATION: Final = re.compile(r"location: \[([^\]]*)\]")
_KINDS: Final = {
    "EncodedDefault": "a default value is written out, which DER forbids",
    "ExtraData": "octets follow what belongs there",
    "InvalidLength": "a length is not as DER has it",
    "InvalidSetOrdering": "a SET is not in DER's order",
    "InvalidTag": "a tag is none that DER has",
    "InvalidValue": "its value is not as DER has it",
    "IntegerOverflow": "a number is too large",
    "OidTooLong": "an object identifier is too long",
    "ShortData": "octets are missing",
    "UnexpectedTag": "an element of another type stands there",
}
_ECDSA_SHA256_WITH_NULL: Final = bytes.fromhex("300C06082A8648CE3D0403020500")


def field_and_cause(error: Exception, octets: bytes = b"") -> tuple[str, str]:
    """Return the field at which the library stopped, or "", and why, in one printable line.

    Args:
        error: What the library raised.
        octets: What it was to read.
    """
    text = str(error)
    kind = _KIND.search(text)
    if kind is None:
        return "", printable(text or type(error).__name__, _CAUSE_SHOWN)
    location = _LOCATION.search(text)
    parts = [] if location is None else re.findall(r"[\w:]+", location[1])
    field = ""
    for part in parts:
        name = part.rpartition("::")[2]
        field += f"[{name}]" if name.isdecimal() else f"{'.' if field else ''}{name}"
    cause = _KINDS.get(kind[1], "it is not as its type has it")
    # Java and others write it; the library says of it only that octets follow.
    if field.endswith("signature_alg") and _ECDSA_SHA256_WITH_NULL in octets:
        cause = "its AlgorithmIdentifier has NULL parameters, and ECDSA has none (RFC 5758, 3.2)"
    return field, f"{cause} ({kind[1]})"


def cause_of(error: Exception, octets: bytes = b"") -> str:
    """Return field and cause in one printable line; as `field_and_cause`."""
    field, cause = field_and_cause(error, octets)
    return f"{field}: {cause}" if field else cause


def unreadable(
    octets: bytes, error: Exception, *, what: str, layer: str, clause: str
) -> DecodeError:
    """Return the error for octets that the library does not read: not DER, or not the type.

    None of them is quoted: whoever gives a private key by mistake finds it in no message.

    Args:
        octets: What was to be read.
        error: What the library raised.
        what: What they were to be, such as "certificate".
        layer: The layer for the error.
        clause: The clause that is broken.
    """
    try:
        require_der(octets)
    except DecodeError as fault:
        return DecodeError(
            f"not one DER {what}: {fault.reason}",
            layer=layer,
            offset=fault.offset,
            clause=clause,
        )
    (whole,) = elements(octets)
    parts = elements(whole.contents) if whole.tag == SEQUENCE else ()
    if [each.tag for each in parts] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        return DecodeError(f"not one DER {what}: DER of something else", layer=layer, clause=clause)
    field, cause = field_and_cause(error, octets)
    return DecodeError(
        f"a {what} that is not read here: {cause}", layer=layer, field=field, clause=clause
    )
