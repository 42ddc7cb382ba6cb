from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.cosem_time import decode_date_time, encode_date_time
from gbcs.protocol_errors import DecodeError, LocalProtocolError

REFERENCE = bytes.fromhex("07DF0101FF000000008000FF")


def test_reference_value_is_the_first_of_january_2015() -> None:
    moment = datetime(2015, 1, 1, tzinfo=UTC)
    assert decode_date_time(REFERENCE) == moment
    assert encode_date_time(moment) == REFERENCE


@given(st.datetimes(timezones=st.just(UTC)))
def test_whole_seconds_are_read_back(moment: datetime) -> None:
    assert decode_date_time(encode_date_time(moment)) == moment.replace(microsecond=0)


def test_moment_is_written_in_utc() -> None:
    summer = datetime(2026, 7, 1, 12, 30, tzinfo=timezone(timedelta(hours=1)))
    assert encode_date_time(summer).hex().upper() == "07EA0701FF0B1E00008000FF"


@pytest.mark.parametrize(("deviation", "hour"), [("FFC4", 11), ("0000", 12), ("003C", 13)])
def test_specified_deviation_is_added_to_the_local_time(deviation: str, hour: int) -> None:
    octets = bytes.fromhex(f"07EA0701FF0C0000 00{deviation}00")
    assert decode_date_time(octets) == datetime(2026, 7, 1, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    "octets",
    [
        "07DF0D01FF000000008000FF",
        "07DF0101FFFF0000008000FF",
        "FFFF0101FF000000008000FF",
        "270F0C1FFF173B3B00003C00",
        "07DF0101FF0000000002D1FF",
        "07DF0101FF00000000FD2FFF",
    ],
    ids=["month", "hour not specified", "year not specified", "past 9999", "+721", "-721"],
)
def test_octets_that_name_no_moment_are_refused(octets: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_date_time(bytes.fromhex(octets))
    assert str(caught.value) == f"COSEM date-time: names no moment ({octets})"


@pytest.mark.parametrize("octets", [b"", REFERENCE[:11], REFERENCE + b"\x00"])
def test_other_than_twelve_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError, match=f"{len(octets)} octets, where 12 belong"):
        decode_date_time(octets)


def test_naive_moment_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="names no time zone"):
        encode_date_time(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused here
