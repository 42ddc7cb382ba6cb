"""Install codes: from what is printed on a device to the key that it joins with.

Source: ZigBee PRO base device behaviour 1.0, 10.1; ZSE 1.4, 5.4.8; GBCS 4.1 (CCS01).
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from gbcs.protocol_errors import LocalProtocolError

_BLOCK_OCTETS: Final = 16
CODE_OCTETS: Final = 16
CHECKED_OCTETS: Final = 18
"""With its CRC-16/X-25 behind it, least significant octet first."""


def link_key_of(code: bytes) -> bytes:
    """Return the preconfigured link key, 16 octets.

    Args:
        code: The install code, 16 octets, or 18 with its check sum.

    Raises:
        LocalProtocolError: It has another length, or its check sum is wrong.
    """
    if len(code) == CODE_OCTETS:
        code = code + check_sum(code)
    if len(code) != CHECKED_OCTETS:
        raise LocalProtocolError(
            f"an install code has {CODE_OCTETS} octets, or {CHECKED_OCTETS} with its check sum, "
            f"not {len(code)}"
        )
    if code[CODE_OCTETS:] != check_sum(code[:CODE_OCTETS]):
        raise LocalProtocolError("the check sum of the install code is wrong; read it again")
    return matyas_meyer_oseas(code)


def matyas_meyer_oseas(message: bytes) -> bytes:
    """Return the 16-octet hash of a message shorter than 8,192 octets.

    Each block is encrypted under the hash of those before it, and added to the result.

    Source: ZigBee specification 05-3474-21, B.1.3 and B.6.
    """
    padded = message + b"\x80"
    padded += bytes(-(len(padded) + 2) % _BLOCK_OCTETS) + (8 * len(message)).to_bytes(2)
    digest = bytes(_BLOCK_OCTETS)
    for start in range(0, len(padded), _BLOCK_OCTETS):
        block = padded[start : start + _BLOCK_OCTETS]
        encrypted = Cipher(AES(digest), ECB()).encryptor().update(block)  # noqa: S305 - one block
        digest = bytes(one ^ other for one, other in zip(encrypted, block, strict=True))
    return digest


def check_sum(code: bytes) -> bytes:
    """Return an install code's CRC-16/X-25, least significant octet first."""
    crc = 0xFFFF
    for octet in code:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x8408 if crc & 1 else 0)
    return (crc ^ 0xFFFF).to_bytes(2, "little")
