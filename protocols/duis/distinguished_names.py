"""Distinguished names as signatures write them, in every form of RFC 4514, by what they mean.

Taken as well are the older forms that RFC 2253 asks of readers: quoted values, `;` between
parts, spaces around them, and `OID.` before a dotted type. Types go by their object
identifier, and text by what is equal under X.520's caseIgnoreMatch: letters of either case, and
any run of spaces as one.

Source: RFC 4514; RFC 2253, 4; RFC 4518, 2 (in so far as names need it).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from gbcs.protocol_errors import DecodeError
from gbcs.x509_der import BIT_STRING, elements

if TYPE_CHECKING:
    from cryptography import x509

NAME_MAXIMUM_CHARACTERS: Final = 512

Attribute = tuple[str, str | bytes]
"""A type's dotted object identifier, and its value: text made equal, or octets."""

_KEYWORDS: Final = {
    # RFC 4514, 3
    "CN": "2.5.4.3",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "C": "2.5.4.6",
    "STREET": "2.5.4.9",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
    # Further names that are registered for LDAP or that programs write.
    "COMMONNAME": "2.5.4.3",
    "COUNTRYNAME": "2.5.4.6",
    "LOCALITYNAME": "2.5.4.7",
    "STATEORPROVINCENAME": "2.5.4.8",
    "S": "2.5.4.8",
    "SP": "2.5.4.8",
    "ORGANIZATIONNAME": "2.5.4.10",
    "ORGANIZATIONALUNITNAME": "2.5.4.11",
    "STREETADDRESS": "2.5.4.9",
    "DOMAINCOMPONENT": "0.9.2342.19200300.100.1.25",
    "USERID": "0.9.2342.19200300.100.1.1",
    "SN": "2.5.4.4",
    "SURNAME": "2.5.4.4",
    "SERIALNUMBER": "2.5.4.5",
    "T": "2.5.4.12",
    "TITLE": "2.5.4.12",
    "GN": "2.5.4.42",
    "GIVENNAME": "2.5.4.42",
    "INITIALS": "2.5.4.43",
    "GENERATIONQUALIFIER": "2.5.4.44",
    "X500UNIQUEIDENTIFIER": "2.5.4.45",
    "UNIQUEIDENTIFIER": "2.5.4.45",
    "DNQ": "2.5.4.46",
    "DNQUALIFIER": "2.5.4.46",
    "PSEUDONYM": "2.5.4.65",
    "ORGANIZATIONIDENTIFIER": "2.5.4.97",
    "E": "1.2.840.113549.1.9.1",
    "EMAIL": "1.2.840.113549.1.9.1",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
}
_TEXT_ENCODINGS: Final = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""The string types of X.509 by their tags."""

_SPACES: Final = " \t\r\n"
_KEYWORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_DOTTED: Final = re.compile(r"(?:[oO][iI][dD]\.)?((?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+)")
_HEXADECIMAL: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_PAIR: Final = re.compile(r"[0-9A-Fa-f]{2}")
_ESCAPABLE: Final = frozenset(' ,+"\\<>;#=')
_UNESCAPED_NEVER: Final = frozenset('"<>\0')


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name by its meaning: its relative names, the root's first, each a set of attributes."""

    relative_names: tuple[frozenset[Attribute], ...]

    @classmethod
    def of(cls, name: x509.Name) -> Self:
        """Return the name that a certificate has."""
        return cls(
            tuple(
                frozenset(
                    (each.oid.dotted_string, _made_equal(each.value)) for each in relative_name
                )
                for relative_name in name.rdns
            )
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name as RFC 4514 writes it, the last relative name first.

        Raises:
            ValueError: It is no such name; the reason says where.
        """
        if len(text) > NAME_MAXIMUM_CHARACTERS:
            msg = f"it has more than {NAME_MAXIMUM_CHARACTERS} characters"
            raise ValueError(msg)
        return cls(tuple(reversed(_Reader(text).relative_names())))

    @property
    def reversed(self) -> Self:
        """The name with its relative names in the other order."""
        return type(self)(tuple(reversed(self.relative_names)))


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def relative_names(self) -> list[frozenset[Attribute]]:
        found: list[frozenset[Attribute]] = []
        attributes: list[Attribute] = []
        while True:
            attributes.append(self._attribute())
            separator = self._take()
            if separator == "+":
                continue
            found.append(frozenset(attributes))
            if len(attributes) != len(found[-1]):
                raise self._fault("an attribute stands twice in one part")
            attributes = []
            if not separator:
                return found
            if separator not in ",;":
                raise self._fault("a separator belongs here")

    def _attribute(self) -> Attribute:
        kind = self._kind()
        self._skip_spaces()
        if self._take() != "=":
            raise self._fault("an = belongs here")
        self._skip_spaces()
        match self._peek():
            case "#":
                value = self._encoded()
            case '"':
                value = self._quoted()
            case _:
                value = self._plain()
        self._skip_spaces()
        return kind, _made_equal(value)

    def _kind(self) -> str:
        self._skip_spaces()
        for pattern in (_DOTTED, _KEYWORD):
            if match := pattern.match(self._text, self._at):
                self._at = match.end()
                if pattern is _DOTTED:
                    return match[1]
                known = _KEYWORDS.get(match[0].upper())
                if known is None:
                    self._at = match.start()
                    raise self._fault("a type of attribute that is not known")
                return known
        raise self._fault("a type of attribute belongs here")

    def _encoded(self) -> str | bytes:
        """Read `#` and the hexadecimal digits of an encoded value."""
        self._at += 1
        match = _HEXADECIMAL.match(self._text, self._at)
        if match is None:
            raise self._fault("pairs of hexadecimal digits belong here")
        self._at = match.end()
        octets = bytes.fromhex(match[0])
        try:
            (element,) = elements(octets)
            if element.tag == BIT_STRING:
                return element.contents
            if element.tag in _TEXT_ENCODINGS:
                return element.contents.decode(_TEXT_ENCODINGS[element.tag])
        except (DecodeError, ValueError):
            raise self._fault("the digits encode no value") from None
        return octets

    def _quoted(self) -> str:
        self._at += 1
        octets = bytearray()
        while (character := self._take()) != '"':
            if not character:
                raise self._fault("a quotation mark is missing")
            octets += self._escaped() if character == "\\" else character.encode()
        return self._decoded(octets)

    def _plain(self) -> str:
        octets = bytearray()
        # Spaces at the end are none of the value, unless they are escaped.
        kept = 0
        while (character := self._peek()) and character not in ",;+":
            self._at += 1
            if character == "\\":
                octets += self._escaped()
                kept = len(octets)
                continue
            if character in _UNESCAPED_NEVER:
                self._at -= 1
                raise self._fault("a character that must be escaped")
            octets += character.encode()
            if character not in _SPACES:
                kept = len(octets)
        return self._decoded(octets[:kept])

    def _escaped(self) -> bytes:
        """Read what stands after a backslash: an octet in two digits, or a character."""
        if pair := _PAIR.match(self._text, self._at):
            self._at = pair.end()
            return bytes.fromhex(pair[0])
        character = self._take()
        if not character or character not in _ESCAPABLE:
            raise self._fault("an escape that there is not")
        return character.encode()

    def _decoded(self, octets: bytearray) -> str:
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise self._fault("a value is not UTF-8") from None

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character

    def _skip_spaces(self) -> None:
        while self._peek() and self._peek() in _SPACES:
            self._at += 1

    def _fault(self, reason: str) -> ValueError:
        return ValueError(f"{reason}, at character {self._at}")


def _made_equal(value: str | bytes) -> str | bytes:
    """Return a value so that those that caseIgnoreMatch takes for equal are."""
    if isinstance(value, bytes):
        return value
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
