from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError, FramingError
from meterlink.hdlc.hdlc_address import HDLCAddress, address_octets


@pytest.mark.parametrize(
    ("address", "octets"),
    [
        (HDLCAddress.client(0x10), "21"),
        (HDLCAddress.server(1), "03"),
        (HDLCAddress.server(1, 17), "0223"),
        # IEC 62056-46, 6.4.2.3: upper 0x1234, lower 0x3FFF (the all-station address).
        (HDLCAddress.server(0x1234, 0x3FFF), "4868FEFF"),
    ],
)
def test_address_has_the_octets_of_the_standard(address: HDLCAddress, octets: str) -> None:
    assert address.encode().hex().upper() == octets
    assert HDLCAddress.decode(bytes.fromhex(octets)) == address
    assert address_octets(bytes.fromhex(octets + "FF"), 0) == len(octets) // 2


@given(
    st.one_of(
        st.builds(HDLCAddress.client, st.integers(0, 0x7F)),
        st.builds(HDLCAddress, st.integers(0, 0x7F), st.integers(0, 0x7F), st.just(2)),
        st.builds(HDLCAddress, st.integers(0, 0x3FFF), st.integers(0, 0x3FFF), st.just(4)),
    )
)
def test_every_address_comes_back(address: HDLCAddress) -> None:
    assert HDLCAddress.decode(address.encode()) == address


@pytest.mark.parametrize("octets", ["", "02", "020203", "0202020201", "0303", "02020202"])
def test_other_forms_are_refused(octets: str) -> None:
    with pytest.raises(DecodeError, match="1, 2 or 4 octets"):
        HDLCAddress.decode(bytes.fromhex(octets))


def test_end_that_is_not_there_yet_is_not_an_error() -> None:
    assert address_octets(b"\x02", 0) is None
    assert address_octets(b"", 0) is None


@pytest.mark.parametrize("octets", ["020203", "0202020203"])
def test_three_octets_or_more_than_four_are_no_address(octets: str) -> None:
    with pytest.raises(FramingError, match="1, 2 or 4 octets"):
        address_octets(bytes.fromhex(octets), 0)


@pytest.mark.parametrize(("upper", "lower", "octets"), [(128, 0, 1), (1, 1, 1), (1, 128, 2)])
def test_part_that_does_not_fit_is_refused(upper: int, lower: int, octets: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        HDLCAddress(upper, lower, octets)


def test_length_of_three_is_refused() -> None:
    with pytest.raises(ValueError, match="1, 2 or 4"):
        HDLCAddress(1, 1, 3)
