from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import FramingError, LocalProtocolError
from meterlink.gfi_connection import LINE_OCTETS_LIMIT, GFIConnection, decode_line, encode_line
from meterlink.link_events import NEED_DATA, Damaged, Event, MessageAcknowledged, MessageReceived

LINE = b"GBCS:DATA#0:4:DD0000FF\r\n"
MESSAGE = bytes.fromhex("DD0000FF")


def events(connection: GFIConnection, *reads: bytes) -> list[Event]:
    found: list[Event] = []
    for octets in reads:
        connection.receive_data(octets, 0.0)
        while (event := connection.next_event()) is not NEED_DATA:
            found.append(event)
    return found


def test_message_has_the_form_of_the_bench_tool() -> None:
    assert encode_line(MESSAGE) == LINE
    assert encode_line(b"\x0a", number=12) == b"GBCS:DATA#12:1:0A\r\n"
    assert decode_line(LINE.rstrip()) == MESSAGE


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        b"GBCS:DATA#0:4:DD0000FF\n",
        b"GBCS:DATA#0:4:dd0000fF\r\n",
        b"GBCS:DATA#4711:4:DD0000FF\r\n",
        b"GBCS:DATA#0:0004:DD0000FF\r\n",
        b"\r\n\n" + LINE,
    ],
)
def test_accepted_forms(line: bytes) -> None:
    assert events(GFIConnection(), line) == [MessageReceived(MESSAGE)]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40))
def test_every_message_comes_back_however_it_is_read(octets: bytes, size: int) -> None:
    line = encode_line(octets) * 2
    reads = [line[start : start + size] for start in range(0, len(line), size)]
    assert events(GFIConnection(), *reads) == [MessageReceived(octets)] * 2


def test_one_octet_at_a_time_gives_no_answer_early() -> None:
    connection = GFIConnection()
    assert events(connection, *(bytes((octet,)) for octet in LINE[:-1])) == []
    assert events(connection, LINE[-1:]) == [MessageReceived(MESSAGE)]


@pytest.mark.parametrize(
    "line",
    [
        b"GBCS:DATA#0:4:DD0000F\r\n",
        b"GBCS:DATA#0:5:DD0000FF\r\n",
        b"GBCS:DATA#0:4:DD0000FG\r\n",
        b"GBCS:DATA#:4:DD0000FF\r\n",
        b"GBCS:DATA#0:-4:DD0000FF\r\n",
        b"GBCS:DATA#0:0:\r\n",
        b"GBCS:DATA#0:99999999999:DD\r\n",
        b"GBCS:DATA#0:4:DD0000FF \r\n",
        b"gbcs:data#0:4:DD0000FF\r\n",
        b"GBCS:STATUS\r\n",
        b"\xff\xfe\x00\r\n",
    ],
)
def test_damaged_line_is_an_event_and_the_next_one_passes(line: bytes) -> None:
    connection = GFIConnection()
    damaged, message = events(connection, line + LINE)
    assert isinstance(damaged, Damaged)
    assert isinstance(damaged.error, FramingError)
    assert message == MessageReceived(MESSAGE)
    assert connection.statistics.damaged == 1


def test_line_that_lost_its_end_does_not_take_the_next_with_it() -> None:
    damaged, message = events(GFIConnection(), b"GBCS:DATA#0:9:DD00" + LINE)
    assert isinstance(damaged, Damaged)
    assert message == MessageReceived(MESSAGE)


def test_every_single_bit_flip_is_noticed_or_changes_only_digits() -> None:
    for bit in range(8 * len(LINE)):
        flipped = bytearray(LINE)
        flipped[bit // 8] ^= 1 << bit % 8
        found = events(GFIConnection(), bytes(flipped) + LINE)
        assert found[-1] == MessageReceived(MESSAGE) or bit // 8 >= len(LINE) - 2, bit


def test_line_without_end_is_cut_at_the_limit_and_reported_once() -> None:
    connection = GFIConnection()
    (damaged,) = events(connection, *[b"A" * 50_000] * (2 * LINE_OCTETS_LIMIT // 50_000 + 1))
    assert isinstance(damaged, Damaged)
    assert "more than" in str(damaged.error)
    assert events(connection, b"\n" + LINE) == [MessageReceived(MESSAGE)]


def test_longest_message_passes() -> None:
    octets = bytes(65_536)
    assert events(GFIConnection(), encode_line(octets)) == [MessageReceived(octets)]


@given(st.lists(st.binary(max_size=60)))
def test_whatever_comes_only_events_come_out(reads: list[bytes]) -> None:
    for event in events(GFIConnection(), *reads):
        assert isinstance(event, MessageReceived | Damaged)


def test_sent_messages_are_lines_and_count_as_handed_over() -> None:
    connection = GFIConnection(number=3)
    connection.send_message(b"\x01")
    connection.send_message(b"\x02")
    assert connection.unacknowledged == (b"\x01", b"\x02")
    assert connection.data_to_send(0.0) == b"GBCS:DATA#3:1:01\r\nGBCS:DATA#3:1:02\r\n"
    assert connection.next_event() == MessageAcknowledged()
    assert connection.next_event() == MessageAcknowledged()
    assert connection.next_event() is NEED_DATA
    assert connection.data_to_send(0.0) == b""


@pytest.mark.parametrize("length", [0, 65_537])
def test_empty_or_overlong_message_is_the_callers_mistake(length: int) -> None:
    with pytest.raises(LocalProtocolError, match="1 to 65536"):
        GFIConnection().send_message(bytes(length))


def test_negative_number_is_the_callers_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="0 or more"):
        encode_line(b"\x01", number=-1)


def test_full_queue_is_the_callers_mistake() -> None:
    connection = GFIConnection()
    for _ in range(256):
        connection.send_message(b"\x01")
    with pytest.raises(LocalProtocolError, match="wait already"):
        connection.send_message(b"\x01")
