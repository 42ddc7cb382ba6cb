from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError, LocalProtocolError
from meterlink.link_events import NEED_DATA
from zse import smart_energy_assumptions
from zse.sleepy_exchange import (
    FROM_GSME_OCTETS_MAXIMUM,
    TO_GSME_OCTETS_MAXIMUM,
    ExchangeRefused,
    Get,
    GetResponse,
    GiveUpReason,
    MessageDelivered,
    MessageGivenUp,
    MessageReceived,
    PendingChanged,
    Put,
    RetrievalEnded,
    SleepyEvent,
    SleepyHub,
    SleepyMeter,
    decode_exchange,
    encode_exchange,
)
from zse.smart_energy_commands import FunctionalNotification

PENDING = FunctionalNotification.TUNNEL_MESSAGE_PENDING
DAY_S = smart_energy_assumptions.GSME_MESSAGE_LIFETIME_S


def drain(machine: SleepyHub | SleepyMeter) -> list[SleepyEvent]:
    found: list[SleepyEvent] = []
    while (event := machine.next_event()) is not NEED_DATA:
        assert not isinstance(event, type(NEED_DATA))
        found.append(event)
    return found


def carry(hub: SleepyHub, meter: SleepyMeter, now: float = 0.0) -> None:
    """Let a tunnel that loses nothing carry data both ways until both are silent."""
    while True:
        up, down = meter.data_to_send(now), hub.data_to_send()
        if not up and not down:
            return
        for octets in up:
            hub.receive_data(octets)
            meter.handle_settled(now, is_delivered=True)
        for octets in down:
            meter.receive_data(octets)
            hub.handle_settled(is_delivered=True)


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (Get(), b"\x01"),
        (GetResponse(0, b""), b"\x02\x00"),
        (GetResponse(3, b"\xdd\x01"), b"\x02\x03\xdd\x01"),
        (Put(b"\xdd\x02"), b"\x03\xdd\x02"),
    ],
)
def test_the_exchange_has_these_octets(value: Get | GetResponse | Put, octets: bytes) -> None:
    assert encode_exchange(value) == octets
    assert decode_exchange(octets) == value


@pytest.mark.parametrize(
    "octets", [b"", b"\x00", b"\x01\x00", b"\x02", b"\x02\x01", b"\x03", b"\x04"]
)
def test_other_octets_are_none(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_exchange(octets)


def test_bit_21_is_the_flag_of_a_message_that_waits() -> None:
    hub = SleepyHub()
    assert hub.flags == 0
    hub.send_message(b"one", 0.0)
    assert int(hub.flags) == 1 << 21
    assert drain(hub) == [PendingChanged(is_pending=True)]


def test_a_meter_fetches_everything_and_the_flag_goes_out() -> None:
    hub, meter = SleepyHub(), SleepyMeter()
    for octets in (b"one", b"two", b"three"):
        hub.send_message(octets, 0.0)
    meter.wake(int(hub.flags))
    carry(hub, meter)
    assert [each for each in drain(meter) if isinstance(each, MessageReceived)] == [
        MessageReceived(b"one"),
        MessageReceived(b"two"),
        MessageReceived(b"three"),
    ]
    assert not meter.is_awake
    assert drain(hub) == [
        PendingChanged(is_pending=True),
        MessageDelivered(b"one"),
        MessageDelivered(b"two"),
        MessageDelivered(b"three"),
        PendingChanged(is_pending=False),
    ]


def test_a_meter_that_wakes_for_nothing_sleeps_on() -> None:
    meter = SleepyMeter()
    meter.wake(int(FunctionalNotification.NETWORK_KEY_ACTIVE))
    assert not meter.is_awake
    assert meter.data_to_send(0.0) == []


def test_what_the_meter_has_goes_first() -> None:
    meter = SleepyMeter()
    meter.send_message(b"alert")
    meter.wake(PENDING)
    assert meter.data_to_send(0.0) == [b"\x03alert"]
    assert meter.data_to_send(0.0) == []
    meter.handle_settled(0.0, is_delivered=True)
    assert drain(meter) == [MessageDelivered(b"alert")]
    assert meter.data_to_send(0.0) == [b"\x01"]


def test_a_message_that_did_not_arrive_is_the_next_to_be_fetched() -> None:
    hub = SleepyHub()
    hub.send_message(b"one", 0.0)
    hub.receive_data(b"\x01")
    assert hub.data_to_send() == [b"\x02\x00one"]
    hub.receive_data(b"\x01")
    assert hub.data_to_send() == []
    hub.handle_settled(is_delivered=False)
    assert hub.waiting == (b"one",)
    assert hub.data_to_send() == [b"\x02\x00one"]


def test_a_get_with_nothing_waiting_is_answered_so() -> None:
    hub = SleepyHub()
    hub.receive_data(b"\x01")
    assert hub.data_to_send() == [b"\x02\x00"]
    hub.handle_settled(is_delivered=True)
    assert drain(hub) == []


def test_a_message_nobody_fetches_is_given_up_after_its_lifetime_and_not_before() -> None:
    hub = SleepyHub()
    hub.send_message(b"one", 5.0)
    assert hub.next_deadline() == 5.0 + DAY_S
    hub.handle_deadline(5.0 + DAY_S - 0.001)
    assert hub.waiting == (b"one",)
    hub.handle_deadline(5.0 + DAY_S)
    assert drain(hub)[1:] == [
        MessageGivenUp(b"one", GiveUpReason.NOT_RETRIEVED),
        PendingChanged(is_pending=False),
    ]


def test_a_message_on_its_way_is_not_given_up() -> None:
    hub = SleepyHub()
    hub.send_message(b"one", 0.0)
    hub.receive_data(b"\x01")
    hub.data_to_send()
    hub.handle_deadline(DAY_S + 1)
    assert hub.waiting == (b"one",)
    assert not hub.withdraw(b"one")


def test_a_message_may_be_taken_back_before_it_is_fetched() -> None:
    hub = SleepyHub()
    hub.send_message(b"one", 0.0)
    assert hub.withdraw(b"one")
    assert not hub.withdraw(b"one")
    assert hub.flags == 0


def test_an_unanswered_get_is_repeated_and_then_left_for_the_next_wake() -> None:
    meter = SleepyMeter()
    meter.wake(PENDING)
    now = 0.0
    for _ in range(smart_energy_assumptions.GET_ATTEMPTS):
        assert meter.data_to_send(now) == [b"\x01"]
        meter.handle_settled(now, is_delivered=True)
        due = meter.next_deadline()
        assert due == now + smart_energy_assumptions.GET_RESPONSE_TIMEOUT_S
        meter.handle_deadline(due - 0.001)
        assert meter.data_to_send(due) == []
        now = due
        meter.handle_deadline(now)
    assert meter.data_to_send(now) == []
    assert drain(meter) == [RetrievalEnded(is_complete=False)]
    assert not meter.is_awake


def test_a_put_that_did_not_arrive_is_told() -> None:
    meter = SleepyMeter()
    meter.send_message(b"alert")
    meter.data_to_send(0.0)
    meter.handle_settled(0.0, is_delivered=False)
    assert drain(meter) == [MessageGivenUp(b"alert", GiveUpReason.NOT_DELIVERED)]


def test_lengths_and_numbers_have_limits() -> None:
    hub, meter = SleepyHub(), SleepyMeter()
    hub.send_message(bytes(TO_GSME_OCTETS_MAXIMUM), 0.0)
    meter.send_message(bytes(FROM_GSME_OCTETS_MAXIMUM))
    with pytest.raises(LocalProtocolError):
        hub.send_message(bytes(TO_GSME_OCTETS_MAXIMUM + 1), 0.0)
    with pytest.raises(LocalProtocolError):
        meter.send_message(bytes(FROM_GSME_OCTETS_MAXIMUM + 1))
    with pytest.raises(LocalProtocolError):
        hub.send_message(b"", 0.0)
    for _ in range(smart_energy_assumptions.GSME_QUEUE_LIMIT - 1):
        hub.send_message(b"x", 0.0)
        meter.send_message(b"x")
    with pytest.raises(LocalProtocolError):
        hub.send_message(b"x", 0.0)
    with pytest.raises(LocalProtocolError):
        meter.send_message(b"x")


def test_each_end_refuses_what_is_the_other_ends_to_say() -> None:
    hub, meter = SleepyHub(), SleepyMeter()
    hub.receive_data(b"\x02\x00")
    meter.receive_data(b"\x01")
    meter.receive_data(b"\x02\x00")
    assert [type(each) for each in drain(hub) + drain(meter)] == [ExchangeRefused] * 3


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_whatever_comes_nothing_is_raised(pieces: list[bytes]) -> None:
    hub, meter = SleepyHub(), SleepyMeter()
    hub.send_message(b"one", 0.0)
    meter.wake(PENDING)
    for octets in pieces:
        hub.receive_data(octets)
        meter.receive_data(octets)
        carry(hub, meter)
    assert len(hub.waiting) <= 1
