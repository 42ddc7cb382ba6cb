"""Entity Identifiers: the EUI-64 by which GBCS names devices and remote parties."""

from __future__ import annotations

import re
from typing import Final, Self

ENTITY_IDENTIFIER_OCTETS: Final = 8
_TEXT = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{2}(?:[-:][0-9a-fA-F]{2}){7}")


class EntityIdentifier(bytes):
    """The eight octets of an EUI-64, most significant first.

    `str()` gives the form `00-DB-12-34-56-78-90-A0`; `stem` the form used in file names.

    Source: GBCS v0.8.1, 7.2.7 (originator and recipient system titles).
    """

    __slots__ = ()

    def __new__(cls, octets: bytes) -> Self:
        """Return an identifier of exactly eight octets.

        Raises:
            ValueError: `octets` has another length.
        """
        if len(octets) != ENTITY_IDENTIFIER_OCTETS:
            msg = f"an Entity Identifier has 8 octets, not {len(octets)}"
            raise ValueError(msg)
        return super().__new__(cls, octets)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 16 hexadecimal digits, bare or in pairs joined by `-` or `:`.

        Raises:
            ValueError: `text` has another form.
        """
        if not _TEXT.fullmatch(text.strip()):
            msg = f"not an Entity Identifier: {text[:40]!r} (form 00-DB-12-34-56-78-90-A0)"
            raise ValueError(msg)
        return cls(bytes.fromhex(re.sub("[-:]", "", text.strip())))

    @property
    def stem(self) -> str:
        """The 16 lower-case digits that key files are named by."""
        return self.hex()

    def __str__(self) -> str:
        return self.hex("-").upper()

    def __repr__(self) -> str:
        return f"EntityIdentifier({self})"
