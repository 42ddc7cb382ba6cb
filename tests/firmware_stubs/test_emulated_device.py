from __future__ import annotations

import pytest

from gbcs.der import tlv, with_minimal_lengths
from meterstub.emulated_device import with_three_octet_lengths


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (127, "047f"),
        (128, "04820080"),
        (255, "048200ff"),
        (256, "04820100"),
    ],
)
def test_lengths_of_128_to_255_take_three_octets(length: int, head: str) -> None:
    octets = tlv(0x04, bytes(length))
    padded = with_three_octet_lengths(octets)
    assert padded == bytes.fromhex(head) + bytes(length)
    assert with_minimal_lengths(padded) == octets


def test_outer_lengths_count_the_inner_ones_octets() -> None:
    inner = tlv(0x30, b"\x05\x00" * 70)
    assert with_three_octet_lengths(tlv(0x30, inner)).hex().startswith("308200903082008c0500")
