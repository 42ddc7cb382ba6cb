from __future__ import annotations

import itertools
import random  # noqa: TID251 - each test has its own seeded dice
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gbcs.protocol_errors import LocalProtocolError, RemoteProtocolError
from meterlink.hdlc import (
    HDLCAddress,
    HDLCConnection,
    LinkParameters,
    LinkState,
    PrimaryStation,
    SecondaryStation,
    Timers,
)
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, decode_frame, encode_frame
from meterlink.link_events import (
    NEED_DATA,
    Connected,
    Damaged,
    Disconnected,
    DisconnectReason,
    Event,
    MessageAcknowledged,
    MessageReceived,
    Refused,
)

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)
LONG = bytes(range(250)) * 16  # 4,000 octets
Damage = Callable[[bytes], bytes]


def perfect(octets: bytes) -> bytes:
    return octets


def frames_of(octets: bytes) -> list[bytes]:
    """Cut a station's turn into its frames, flags included."""
    cut = []
    while octets:
        length = (int.from_bytes(octets[1:3], "big") & 0x7FF) + 2
        cut.append(octets[:length])
        octets = octets[length:]
    return cut


@dataclass
class FakeLine:
    """Two stations and simulated time; each direction may damage, drop or delay."""

    primary: PrimaryStation
    secondary: SecondaryStation
    to_secondary: Damage = perfect
    to_primary: Damage = perfect
    delay_s: float = 0.001
    piece: int = 10_000
    answer: Callable[[bytes], list[bytes]] = lambda octets: [octets]
    now: float = 100.0
    primary_events: list[Event] = field(default_factory=list)
    secondary_events: list[Event] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    _flying: list[tuple[float, HDLCConnection, bytes]] = field(default_factory=list)

    def run(self, until: Callable[[], bool], limit_s: float = 300.0) -> None:
        end = self.now + limit_s
        while not until():
            self._write(self.primary, self.secondary, self.to_secondary)
            self._write(self.secondary, self.primary, self.to_primary)
            if until():
                return
            due = [at for at, _, _ in self._flying]
            due += [
                at
                for station in (self.primary, self.secondary)
                if (at := station.next_deadline()) is not None
            ]
            assert due, "nothing will ever happen"
            self.now = max(self.now, min(due))
            assert self.now < end, "time is up"
            self._deliver()

    def _write(self, one: HDLCConnection, other: HDLCConnection, damage: Damage) -> None:
        octets = one.data_to_send(self.now)
        for whole in frames_of(octets):
            self.sent.append(whole)
            frame = damage(whole)
            for start in range(0, len(frame), self.piece):
                self._flying.append(
                    (self.now + self.delay_s, other, frame[start : start + self.piece])
                )

    def _deliver(self) -> None:
        landed = [flight for flight in self._flying if flight[0] <= self.now]
        self._flying = [flight for flight in self._flying if flight[0] > self.now]
        for _, station, octets in landed:
            station.receive_data(octets, self.now)
            self._drain()
        for station in (self.primary, self.secondary):
            station.handle_deadline(self.now)
        self._drain()

    def _drain(self) -> None:
        while (event := self.primary.next_event()) is not NEED_DATA:
            self.primary_events.append(event)
        while (event := self.secondary.next_event()) is not NEED_DATA:
            self.secondary_events.append(event)
            if isinstance(event, MessageReceived):
                for octets in self.answer(event.octets):
                    self.secondary.send_message(octets)

    def messages(self) -> list[bytes]:
        return [event.octets for event in self.primary_events if isinstance(event, MessageReceived)]

    def connect(self) -> None:
        self.primary.connect()
        self.run(lambda: self.primary.state is LinkState.CONNECTED)

    def kinds(self) -> list[FrameKind]:
        return [decode_frame(octets[1:-1]).kind for octets in self.sent]


def line(
    window: int = 7,
    information_octets: int = 2030,
    timers: Timers | None = None,
    *,
    send_reject: bool = False,
) -> FakeLine:
    sizes = LinkParameters(information_octets, information_octets, window, window)
    return FakeLine(
        PrimaryStation(
            own=CLIENT, peer=SERVER, parameters=sizes, timers=timers, send_reject=send_reject
        ),
        SecondaryStation(
            own=SERVER, peer=CLIENT, parameters=sizes, timers=timers, send_reject=send_reject
        ),
    )


def once(which: int, harm: Damage) -> Damage:
    """Harm one frame alone, counted from 0."""
    passed = 0

    def damage(octets: bytes) -> bytes:
        nonlocal passed
        passed += 1
        return harm(octets) if passed == which + 1 else octets

    return damage


def flip(octets: bytes) -> bytes:
    return octets[:9] + bytes((octets[9] ^ 4,)) + octets[10:] if len(octets) > 10 else b""


def drop(_: bytes) -> bytes:
    return b""


def test_both_ends_agree_on_the_smaller_sizes() -> None:
    made = FakeLine(
        PrimaryStation(own=CLIENT, peer=SERVER, parameters=LinkParameters(500, 400, 3, 7)),
        SecondaryStation(own=SERVER, peer=CLIENT, parameters=LinkParameters(300, 450, 7, 2)),
    )
    made.connect()
    assert made.primary_events == [Connected(450, 300, 2, 7)]
    assert made.secondary_events == [Connected(300, 450, 7, 2)]


@pytest.mark.parametrize("window", [1, 2, 7])
@pytest.mark.parametrize("information_octets", [128, 500, 2030])
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_long_message_goes_there_and_back(window: int, information_octets: int, piece: int) -> None:
    made = line(window, information_octets)
    made.piece = piece
    made.connect()
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [LONG]
    assert made.primary_events.count(MessageAcknowledged()) == 1
    assert made.primary.statistics.retransmissions == 0
    assert made.secondary.statistics.retransmissions == 0


def test_answer_comes_in_the_turn_that_ended_the_command() -> None:
    made = line()
    made.connect()
    made.sent.clear()
    made.primary.send_message(b"command")
    made.run(lambda: bool(made.messages()))
    assert made.kinds() == [FrameKind.I, FrameKind.I]


def test_llc_octets_head_each_message_once() -> None:
    made = line(7, 128)
    made.connect()
    made.sent.clear()
    made.primary.send_message(bytes(300))
    made.run(lambda: bool(made.messages()))
    frames = [decode_frame(octets[1:-1]) for octets in made.sent]
    to_device = [frame.information for frame in frames if frame.destination == SERVER]
    back = [frame.information for frame in frames if frame.destination == CLIENT]
    assert b"".join(to_device) == bytes.fromhex("E6E600") + bytes(300)
    assert b"".join(back) == bytes.fromhex("E6E700") + bytes(300)


def test_poll_and_final_bits_give_the_turn_away() -> None:
    made = line(3, 128)
    made.connect()
    made.sent.clear()
    made.primary.send_message(bytes(600))
    made.run(lambda: bool(made.messages()))
    frames = [decode_frame(octets[1:-1]) for octets in made.sent]
    for this, following in itertools.pairwise(frames):
        assert this.poll_final == (this.source != following.source)


def test_secondary_station_is_silent_until_polled() -> None:
    made = line()
    made.connect()
    made.secondary.send_message(b"alert")
    assert made.secondary.data_to_send(made.now) == b""
    unpolled = Frame(SERVER, CLIENT, FrameKind.RR, poll_final=False)
    made.secondary.receive_data(encode_frame(unpolled), made.now)
    assert made.secondary.data_to_send(made.now) == b""


def test_alert_comes_with_the_next_poll() -> None:
    made = line(timers=Timers(poll_interval_s=0.5))
    made.connect()
    made.secondary.send_message(b"alert")
    began = made.now
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [b"alert"]
    assert made.now - began < 0.6


@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("which", range(8))
def test_damaged_frame_to_the_device_is_sent_once_more(window: int, which: int) -> None:
    made = line(window, 500)
    made.connect()
    made.to_secondary = once(which, flip)
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [LONG]
    assert made.primary.state is LinkState.CONNECTED
    # Going back to the damaged frame repeats those behind it in the same window.
    assert 1 <= made.primary.statistics.retransmissions <= window
    assert sum(isinstance(event, Damaged) for event in made.secondary_events) == 1


def test_damaged_frame_costs_one_retransmission() -> None:
    made = line(1, 500)
    made.connect()
    made.to_secondary = once(2, flip)
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.messages()))
    assert made.primary.statistics.retransmissions == 1
    assert made.primary.statistics.timeouts == 1


@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("which", range(8))
def test_damaged_frame_from_the_device_is_sent_once_more(window: int, which: int) -> None:
    made = line(window, 500)
    made.connect()
    made.answer = lambda _: []
    made.secondary.send_message(LONG)
    made.to_primary = once(which, flip)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [LONG]
    assert 1 <= made.secondary.statistics.retransmissions <= window
    assert sum(isinstance(event, Damaged) for event in made.primary_events) == 1


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("towards", ["secondary", "primary"])
def test_lost_frame_is_recovered_by_time_out(which: int, towards: str) -> None:
    made = line()
    setattr(made, f"to_{towards}", once(which, drop))
    made.connect()
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [LONG]
    received = [event for event in made.secondary_events if isinstance(event, MessageReceived)]
    assert len(received) == 1


@pytest.mark.parametrize("send_reject", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_messages_survive_a_bad_line_whole_in_order_and_once(
    seed: int,
    send_reject: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    dice = random.Random(seed)

    def harm(octets: bytes) -> bytes:
        roll = dice.random()
        if roll < 0.08:
            return b""
        if roll < 0.16:
            at = dice.randrange(len(octets))
            return octets[:at] + bytes((octets[at] ^ 1 << dice.randrange(8),)) + octets[at + 1 :]
        if roll < 0.20:
            at = dice.randrange(len(octets))
            return octets[:at] + octets[at + 1 :]
        if roll < 0.23:
            return dice.randbytes(dice.randrange(1, 30)) + octets
        return octets

    made = line(
        dice.randrange(1, 8),
        dice.choice([64, 500, 2030]),
        Timers(retries=60),
        send_reject=send_reject,
    )
    made.delay_s = dice.choice([0.0, 0.01, 0.3])
    made.to_secondary = made.to_primary = harm
    made.connect()
    messages = [dice.randbytes(dice.choice([1, 40, 700, 4000])) for _ in range(6)]
    for message in messages:
        made.primary.send_message(message)
    made.run(lambda: len(made.messages()) == len(messages), limit_s=4000)
    assert made.messages() == messages
    received = [e.octets for e in made.secondary_events if isinstance(e, MessageReceived)]
    assert received == messages


@pytest.mark.parametrize("delay_s", [1.1, 2.5])
def test_answers_later_than_the_time_out_still_bring_the_message(delay_s: float) -> None:
    made = line(7, 300)
    made.delay_s = delay_s
    made.connect()
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.messages()), limit_s=1000)
    assert made.messages() == [LONG]


def test_device_that_is_not_ready_is_asked_until_it_is() -> None:
    made = line()
    made.connect()
    made.secondary.set_receive_ready(ready=False)
    made.primary.send_message(b"command")
    began = made.now
    made.run(lambda: made.now > began + 5)
    assert FrameKind.RNR in made.kinds()
    assert made.primary.state is LinkState.CONNECTED
    assert made.primary.unacknowledged == (b"command",)
    made.secondary.set_receive_ready(ready=True)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [b"command"]


def test_messages_that_nobody_takes_hold_the_peer_off() -> None:
    made = line()
    made.connect()
    now = made.now
    made.answer = lambda _: []
    for number in range(70):
        made.secondary.send_message(bytes((number + 1,)))
    for _ in range(400):
        now += 0.05
        made.primary.handle_deadline(now)
        made.secondary.receive_data(made.primary.data_to_send(now), now)
        made.primary.receive_data(made.secondary.data_to_send(now), now)
    assert not made.primary.is_receive_ready
    assert len(made.secondary.unacknowledged) == 70 - 64
    made.now = now
    made.run(lambda: len(made.messages()) == 70)
    assert made.messages() == [bytes((number + 1,)) for number in range(70)]


def test_reject_goes_back_without_waiting_for_more() -> None:
    made = line(7, 128, send_reject=True)
    made.connect()
    made.to_secondary = once(2, flip)
    made.primary.send_message(bytes(800))
    made.run(lambda: bool(made.messages()))
    assert FrameKind.REJ in made.kinds()
    assert made.primary.statistics.timeouts == 0


def test_silent_device_is_given_up_after_the_retries() -> None:
    made = line(timers=Timers(response_timeout_s=1.0, retries=3))
    made.to_secondary = drop
    made.primary.connect()
    made.run(lambda: bool(made.primary_events))
    assert made.primary_events == [Disconnected(DisconnectReason.NO_RESPONSE)]
    assert made.kinds() == [FrameKind.SNRM] * 4
    assert made.now == pytest.approx(104.0)
    assert made.primary.state is LinkState.DISCONNECTED


def test_device_that_falls_silent_is_given_up_and_the_message_counted() -> None:
    made = line(timers=Timers(response_timeout_s=1.0, retries=3))
    made.connect()
    made.primary_events.clear()
    made.to_secondary = drop
    made.primary.send_message(LONG)
    made.run(lambda: bool(made.primary_events))
    assert made.primary_events == [Disconnected(DisconnectReason.NO_RESPONSE, unacknowledged=1)]
    assert made.primary.unacknowledged == ()


def test_frame_that_never_gets_through_is_given_up() -> None:
    made = line(1, 128, Timers(retries=3))
    made.connect()
    made.primary_events.clear()
    made.to_secondary = lambda octets: b"" if len(octets) > 20 else octets
    made.primary.send_message(b"x" * 100)
    made.run(lambda: bool(made.primary_events))
    assert made.primary_events == [Disconnected(DisconnectReason.NO_RESPONSE, unacknowledged=1)]


def test_disconnecting_is_confirmed_and_told_to_both() -> None:
    made = line()
    made.connect()
    made.primary.disconnect()
    made.run(lambda: made.primary.state is LinkState.DISCONNECTED)
    assert made.primary_events[-1] == Disconnected(DisconnectReason.REQUESTED)
    assert made.secondary_events[-1] == Disconnected(DisconnectReason.BY_PEER)
    assert made.kinds()[-2:] == [FrameKind.DISC, FrameKind.UA]


def test_device_that_restarted_says_so_and_can_be_connected_again() -> None:
    made = line()
    made.connect()
    made.secondary = SecondaryStation(own=SERVER, peer=CLIENT)
    made.run(lambda: made.primary.state is LinkState.DISCONNECTED)
    assert made.primary_events[-1] == Disconnected(DisconnectReason.BY_PEER)
    made.connect()
    made.primary.send_message(b"again")
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [b"again"]


def test_device_disconnects_after_the_inactivity_time_out() -> None:
    made = line(timers=Timers(inactivity_timeout_s=30.0))
    made.connect()
    due = made.secondary.next_deadline()
    assert due is not None
    made.secondary.handle_deadline(due - 0.01)
    assert made.secondary.state is LinkState.CONNECTED
    made.secondary.handle_deadline(due)
    assert made.secondary.next_event() == Disconnected(DisconnectReason.INACTIVE)


def test_message_not_acknowledged_goes_out_on_the_next_connection() -> None:
    made = line(1, 128)
    made.secondary.send_message(LONG)
    made.connect()
    made.run(lambda: len(made.sent) > 20)
    made.to_primary = drop
    made.run(lambda: made.primary.state is LinkState.DISCONNECTED)
    made.to_primary = perfect
    made.connect()
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [LONG]


def test_acknowledging_what_was_never_sent_is_rejected_by_frmr() -> None:
    made = line()
    made.connect()
    bad = Frame(SERVER, CLIENT, FrameKind.RR, receive_sequence=5)
    made.secondary.receive_data(encode_frame(bad), made.now)
    with pytest.raises(RemoteProtocolError, match="what was not sent"):
        made.secondary.next_event()
    answer = decode_frame(made.secondary.data_to_send(made.now)[1:-1])
    assert answer.kind is FrameKind.FRMR
    assert answer.information == bytes((0xB1, 0x00, 0x08))
    made.primary.receive_data(encode_frame(answer), made.now)
    with pytest.raises(RemoteProtocolError, match="rejected a frame"):
        made.primary.next_event()
    assert made.primary.next_event() == Disconnected(DisconnectReason.PROTOCOL)
    made.primary_events.clear()
    made.connect()
    assert made.secondary.state is LinkState.CONNECTED


def test_message_without_end_is_a_protocol_error() -> None:
    made = line()
    made.connect()
    for number in range(33):
        frame = Frame(
            CLIENT,
            SERVER,
            FrameKind.I,
            poll_final=False,
            send_sequence=number % 8,
            segmented=True,
            information=bytes(2030),
        )
        made.primary.receive_data(encode_frame(frame), made.now)
    with pytest.raises(RemoteProtocolError, match="more than 65539"):
        made.primary.next_event()
    assert made.primary.state is LinkState.REJECTED


def test_frames_to_and_from_others_are_none_of_its_business() -> None:
    made = line()
    other = HDLCAddress.server(2)
    for frame in (
        Frame(other, CLIENT, FrameKind.SNRM),
        Frame(SERVER, HDLCAddress.client(32), FrameKind.SNRM),
    ):
        made.secondary.receive_data(encode_frame(frame), made.now)
    assert made.secondary.next_event() is NEED_DATA
    assert made.secondary.data_to_send(made.now) == b""


def test_unnumbered_information_is_a_message() -> None:
    made = line()
    made.connect()
    frame = Frame(CLIENT, SERVER, FrameKind.UI, information=bytes.fromhex("E6E700AA"))
    made.primary.receive_data(encode_frame(frame), made.now)
    assert made.primary.next_event() == MessageReceived(b"\xaa", unnumbered=True)


@pytest.mark.parametrize("information", [b"", b"\xe6\xe7", b"\xe6\xe7\x00", b"\xc0\x01\xc1\x00"])
def test_message_without_llc_octets_is_refused(information: bytes) -> None:
    made = line()
    made.connect()
    frame = Frame(CLIENT, SERVER, FrameKind.I, information=information)
    made.primary.receive_data(encode_frame(frame), made.now)
    event = made.primary.next_event()
    assert isinstance(event, Refused)
    assert "LLC" in str(event.error)


def test_unconnected_device_answers_a_poll_with_disconnect_mode() -> None:
    made = line()
    made.secondary.receive_data(encode_frame(Frame(SERVER, CLIENT, FrameKind.RR)), made.now)
    assert isinstance(made.secondary.next_event(), Refused)
    answer = decode_frame(made.secondary.data_to_send(made.now)[1:-1])
    assert answer == Frame(CLIENT, SERVER, FrameKind.DM)


@pytest.mark.parametrize("length", [0, 65_537])
def test_empty_or_overlong_message_is_the_callers_mistake(length: int) -> None:
    made = line()
    made.connect()
    with pytest.raises(LocalProtocolError, match="1 to 65536 octets"):
        made.primary.send_message(bytes(length))


def test_sending_without_a_connection_is_the_callers_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="while disconnected"):
        line().primary.send_message(b"x")


def test_longest_message_passes() -> None:
    made = line()
    made.connect()
    longest = bytes(65_536)
    made.primary.send_message(longest)
    made.run(lambda: bool(made.messages()))
    assert made.messages() == [longest]


def test_answer_under_way_puts_off_the_time_out() -> None:
    made = line(7, 2030, Timers(response_timeout_s=1.0, inter_octet_timeout_s=0.5))
    made.connect()
    made.answer = lambda _: []
    made.secondary.send_message(LONG)
    assert made.primary.data_to_send(made.now + 1) != b""
    poll = Frame(SERVER, CLIENT, FrameKind.RR)
    made.secondary.receive_data(encode_frame(poll), made.now)
    octets, now = made.secondary.data_to_send(made.now), made.now + 1
    for start in range(0, len(octets), 100):
        now += 0.2
        made.primary.handle_deadline(now)
        made.primary.receive_data(octets[start : start + 100], now)
    assert made.primary.statistics.timeouts == 0
    assert made.primary.next_event() == MessageReceived(LONG)
