from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError
from meterlink.hdlc.hdlc_parameters import LinkParameters, decode_parameters, encode_parameters

sizes = st.integers(8, 2030)
windows = st.integers(1, 7)
link_parameters = st.builds(LinkParameters, sizes, sizes, windows, windows)


def test_defaults_have_the_octets_of_other_stacks() -> None:
    # The well-known information field of a UA that keeps to the defaults.
    octets = bytes.fromhex("818012050180060180070400000001080400000001")
    assert encode_parameters(LinkParameters()) == octets
    assert decode_parameters(octets) == LinkParameters()


def test_largest_sizes_have_the_octets_of_gurux() -> None:
    # gurux_dlms 1.0.203, maxInfoTX/RX 2030, windowSizeTX/RX 7.
    octets = bytes.fromhex("818014050207EE060207EE070400000007080400000007")
    assert encode_parameters(LinkParameters(2030, 2030, 7, 7)) == octets


@given(link_parameters)
def test_all_parameters_come_back(parameters: LinkParameters) -> None:
    assert decode_parameters(encode_parameters(parameters)) == parameters


def test_absent_field_and_absent_parameters_mean_the_defaults() -> None:
    assert decode_parameters(b"") == LinkParameters()
    assert decode_parameters(bytes.fromhex("8180030501C8")) == LinkParameters(200)


def test_other_groups_and_unknown_parameters_are_passed_over() -> None:
    user_data, unknown, size = "F00101", "09020000", "0501C8"
    octets = bytes.fromhex("81" + user_data + "8007" + unknown + size)
    assert decode_parameters(octets) == LinkParameters(200)


def test_sizes_beyond_a_frame_are_cut() -> None:
    octets = bytes.fromhex("81800A0502FFFF070400000100")
    assert decode_parameters(octets) == LinkParameters(2030, 128, 7, 1)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("80", "format identifier"),
        ("8180", "ends within"),
        ("818005050180", "5 octets are stated and 3 follow"),
        ("8180020502", "2 octets are stated and 0 follow"),
        ("8180020500", "has 0 octets"),
        ("818007050500000000FF", "has 5 octets"),
        ("818003070100", "is zero"),
        ("818003050107", "carries no message"),
        ("81" + "F000" * 70, "longer than 128"),
    ],
)
def test_broken_field_is_refused(octets: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_parameters(bytes.fromhex(octets))


@given(st.binary(max_size=200).map(lambda octets: b"\x81\x80" + octets))
def test_whatever_comes_decodes_or_is_refused(octets: bytes) -> None:
    try:
        parameters = decode_parameters(octets)
    except DecodeError:
        return
    assert 8 <= parameters.information_octets_tx <= 2030


@given(link_parameters, link_parameters)
def test_both_ends_agree(one: LinkParameters, other: LinkParameters) -> None:
    offered = other.agreed_with(one)
    here = one.agreed_with(offered)
    assert here.information_octets_tx == offered.information_octets_rx
    assert here.information_octets_rx == offered.information_octets_tx
    assert here.window_tx == offered.window_rx
    assert here.window_rx == offered.window_tx
    assert here.information_octets_tx <= min(one.information_octets_tx, other.information_octets_rx)


@pytest.mark.parametrize("arguments", [(7, 128, 1, 1), (128, 2031, 1, 1), (128, 128, 0, 1)])
def test_size_out_of_range_is_refused(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        LinkParameters(*arguments)
