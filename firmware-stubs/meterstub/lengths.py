"""Lengths that take more octets than they need, as some real responses have them."""

from __future__ import annotations

from typing import Final

from gbcs.der import encode_length

_CONSTRUCTED: Final = 0x20


def with_three_octet_lengths(octets: bytes) -> bytes:
    """Write a run of DER elements again with lengths of 128 to 255 as 82 00 xx.

    Source: RTDS 4.5.0, responses and alerts of CS02a and CS02b.
    """
    parts: list[bytes] = []
    offset = 0
    while offset < len(octets):
        tag = octets[offset]
        start, stop = _contents(octets, offset)
        contents = octets[start:stop]
        if tag & _CONSTRUCTED:
            contents = with_three_octet_lengths(contents)
        parts.append(bytes((tag,)) + _length(len(contents)) + contents)
        offset = stop
    return b"".join(parts)


def _contents(octets: bytes, offset: int) -> tuple[int, int]:
    first = octets[offset + 1]
    if first < 0x80:
        return offset + 2, offset + 2 + first
    start = offset + 2 + (first & 0x7F)
    return start, start + int.from_bytes(octets[offset + 2 : start])


def _length(length: int) -> bytes:
    return b"\x82\x00" + bytes((length,)) if 0x80 <= length <= 0xFF else encode_length(length)
