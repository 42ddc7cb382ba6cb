"""HDLC addresses: one octet for a client, one, two or four for a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from gbcs.protocol_errors import DecodeError, FramingError

CLIENT_OCTETS: Final = (1,)
SERVER_OCTETS: Final = (1, 2, 4)
ADDRESS_OCTETS_LIMIT: Final = 4
CLAUSE: Final = "IEC 62056-46, 6.4.2.2"

_HALF_LIMIT: Final = {1: 0, 2: 0x7F, 4: 0x3FFF}
_UPPER_LIMIT: Final = {1: 0x7F, 2: 0x7F, 4: 0x3FFF}


@dataclass(frozen=True, slots=True)
class HDLCAddress:
    """An address field.

    Args:
        upper: The upper HDLC address: a client's SAP, or a server's logical device.
        lower: The lower HDLC address: a server's physical device; 0 where it has one octet.
        length_octets: 1, 2 or 4 on the wire.

    Raises:
        ValueError: A part does not fit the length.

    Source: IEC 62056-46, 6.4.2.2.
    """

    upper: int
    lower: int = 0
    length_octets: int = 1

    def __post_init__(self) -> None:
        if self.length_octets not in SERVER_OCTETS:
            msg = f"an HDLC address has 1, 2 or 4 octets, not {self.length_octets}"
            raise ValueError(msg)
        if not 0 <= self.upper <= _UPPER_LIMIT[self.length_octets]:
            msg = f"upper HDLC address {self.upper} does not fit {self.length_octets} octets"
            raise ValueError(msg)
        if not 0 <= self.lower <= _HALF_LIMIT[self.length_octets]:
            msg = f"lower HDLC address {self.lower} does not fit {self.length_octets} octets"
            raise ValueError(msg)

    @classmethod
    def client(cls, sap: int) -> Self:
        """Return a client's address, 0 to 127."""
        return cls(sap)

    @classmethod
    def server(cls, logical: int, physical: int | None = None) -> Self:
        """Return a server's address in the fewest octets that hold it.

        Args:
            logical: The logical device, 0 to 0x3FFF.
            physical: The physical device, 0 to 0x3FFF, or None for the one-octet form.

        Raises:
            ValueError: A part is out of range.
        """
        if physical is None and logical <= 0x7F:
            return cls(logical)
        physical = physical or 0
        return cls(logical, physical, 2 if logical <= 0x7F and physical <= 0x7F else 4)

    def encode(self) -> bytes:
        """Return the octets; the lowest bit of the last one alone is set."""
        if self.length_octets == 1:
            return bytes((self.upper << 1 | 1,))
        if self.length_octets == 2:
            return bytes((self.upper << 1, self.lower << 1 | 1))
        return bytes(
            (
                self.upper >> 6 & 0xFE,
                self.upper << 1 & 0xFE,
                self.lower >> 6 & 0xFE,
                self.lower << 1 & 0xFE | 1,
            )
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a whole address field.

        Raises:
            DecodeError: It has no 1, 2 or 4 octets, or does not end where it should.
        """
        ends = [offset for offset, octet in enumerate(octets) if octet & 1]
        if len(octets) not in SERVER_OCTETS or ends != [len(octets) - 1]:
            raise DecodeError(
                "an address field has 1, 2 or 4 octets, of which only the last is odd",
                layer="HDLC",
                offset=0,
                field="address",
                clause=CLAUSE,
                excerpt=octets,
            )
        parts = [octet >> 1 for octet in octets]
        if len(parts) == 4:
            return cls(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)
        return cls(parts[0], parts[1] if len(parts) == 2 else 0, len(parts))

    def __str__(self) -> str:
        return f"{self.upper}" if self.length_octets == 1 else f"{self.upper}/{self.lower}"


def address_octets(octets: bytes | bytearray, start: int) -> int | None:
    """Return how many octets the address at `start` has, or None if its end is not there yet.

    Raises:
        FramingError: It has three octets, or more than four.

    Source: IEC 62056-46, 6.4.2.2.
    """
    for length in range(1, ADDRESS_OCTETS_LIMIT + 1):
        if start + length > len(octets):
            return None
        if octets[start + length - 1] & 1:
            if length not in SERVER_OCTETS:
                break
            return length
    raise FramingError(
        "an address field has 1, 2 or 4 octets",
        layer="HDLC",
        offset=start,
        field="address",
        clause=CLAUSE,
        excerpt=bytes(octets[start : start + ADDRESS_OCTETS_LIMIT]),
    )
