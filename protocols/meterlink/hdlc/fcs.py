"""The 16-bit frame check sequence that ends an HDLC frame, and its header (FCS and HCS)."""

from __future__ import annotations

import binascii
from typing import Final

_REFLECTED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def fcs16(octets: bytes) -> int:
    """Compute the 16-bit frame check sequence over `octets`.

    Args:
        octets: Everything after the opening flag and before the sequence itself.

    Returns:
        The sequence in 0..0xFFFF, already complemented. It goes on the wire least significant
        octet first.

    Source: ISO/IEC 13239, 4.2.5.2, as used by IEC 62056-46, 6.4.2.5; RFC 1662, appendix C.
    """
    # The standard library has the unreflected form of the same polynomial, in C: reflect each
    # octet on the way in, and the sequence on the way out.
    crc = binascii.crc_hqx(octets.translate(_REFLECTED), 0xFFFF)
    return (_REFLECTED[crc & 0xFF] << 8 | _REFLECTED[crc >> 8]) ^ 0xFFFF
