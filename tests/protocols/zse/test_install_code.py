from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zigpy.util import aes_mmo_hash

from gbcs.protocol_errors import LocalProtocolError
from zse.install_code import check_sum, link_key_of, matyas_meyer_oseas

CODE = bytes.fromhex("83FED3407A939723A5C639B26916D505")
CHECK_SUM = bytes.fromhex("C3B5")
KEY = bytes.fromhex("66B6900981E1EE3CA4206B6B861C02BB")
"""The example of the ZigBee base device behaviour specification, 10.1.1."""


def test_the_published_example_gives_the_published_key() -> None:
    assert check_sum(CODE) == CHECK_SUM
    assert link_key_of(CODE + CHECK_SUM) == KEY
    assert link_key_of(CODE) == KEY


def test_a_code_that_was_read_wrong_is_refused() -> None:
    wrong = bytes((CODE[0] ^ 1,)) + CODE[1:]
    with pytest.raises(LocalProtocolError, match="check sum of the install code is wrong"):
        link_key_of(wrong + CHECK_SUM)


@pytest.mark.parametrize("octets", [0, 6, 15, 17, 19])
def test_another_length_is_refused(octets: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"not {octets}"):
        link_key_of(bytes(octets))


@given(st.binary(max_size=100))
def test_the_hash_is_zigpys(message: bytes) -> None:
    assert matyas_meyer_oseas(message) == aes_mmo_hash(message).serialize()
