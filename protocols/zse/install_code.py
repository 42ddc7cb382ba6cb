"""Install codes: from what is printed on a device to the key that it joins with.

Source: ZigBee PRO base device behaviour 1.0, 10.1; ZSE 1.4, 5.4.8; GBCS 4.1 (CCS01).
"""

from __future__ import annotations

from typing import Final

from gbcs.errors import LocalProtocolError

CODE_OCTETS: Final = 16
CHECKED_OCTETS: Final = 18
"""With its CRC-16/X-25 behind it, least significant octet first."""


def link_key_of(code: bytes) -> bytes:
    """Give the preconfigured link key, 16 octets.

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
    from zigpy.util import convert_install_code  # noqa: PLC0415 - rig files are read without it

    # zigpy's own error would show the code.
    if code[CODE_OCTETS:] != check_sum(code[:CODE_OCTETS]):
        raise LocalProtocolError("the check sum of the install code is wrong; read it again")
    return bytes(convert_install_code(code).serialize())


def check_sum(code: bytes) -> bytes:
    """Give an install code's CRC-16/X-25, least significant octet first."""
    crc = 0xFFFF
    for octet in code:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x8408 if crc & 1 else 0)
    return (crc ^ 0xFFFF).to_bytes(2, "little")
