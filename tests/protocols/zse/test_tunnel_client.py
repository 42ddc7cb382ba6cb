from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError, LocalProtocolError
from zse.smart_energy_commands import (
    TUNNELING,
    CloseTunnel,
    Command,
    DefaultResponse,
    Direction,
    RequestTunnel,
    RequestTunnelResponse,
    TransferData,
    TransferDataError,
    TransferDataErrorToClient,
    TransferDataToClient,
    TunnelClosureNotification,
)
from zse.tunnel import (
    CloseReason,
    DataDelivered,
    DataFailed,
    DataReceived,
    FailureReason,
    Refused,
    TunnelClosed,
    TunnelOpened,
    TunnelRefused,
    TunnelUnanswered,
)
from zse.tunnel_client import ClientTimers, TunnelClient, TunnelState
from zse.zcl_frames import Outgoing, decode_frame

from .tunnelling import drain, frame, sequences

REQUEST = RequestTunnel(6, 0xFFFF, False, 1500)
TO_CLIENT = Direction.TO_CLIENT


def response(status: int = 0, tunnel_id: int = 5, size: int = 1500) -> RequestTunnelResponse:
    return RequestTunnelResponse(tunnel_id if status == 0 else 0xFFFF, status, size)


def client(*, possibly_active: tuple[int, ...] = ()) -> TunnelClient:
    return TunnelClient(next_sequence=sequences(), possibly_active=possibly_active)


def sent(machine: TunnelClient, now: float) -> list[Command | DefaultResponse]:
    return [each.command for each in machine.frames_to_send(now)]


def opened(now: float = 0.0) -> TunnelClient:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(now)
    machine.receive(frame(response(), request.sequence), now)
    assert drain(machine) == [TunnelOpened(5, 1500)]
    return machine


def test_request_has_the_octets_of_the_companion_specification() -> None:
    assert client().state is TunnelState.CLOSED
    machine = client()
    machine.open()
    assert machine.state is TunnelState.REQUESTING
    (request,) = machine.frames_to_send(0.0)
    assert request.encode() == bytes.fromhex("01 00 00 06 FFFF 00 DC05")
    assert machine.frames_to_send(0.0) == []
    assert machine.next_deadline() == 10.0


def test_success_opens_and_the_next_request_is_due_after_65535_seconds() -> None:
    machine = opened(now=7.0)
    assert machine.state is TunnelState.OPEN
    assert machine.tunnel_id == 5
    assert machine.next_deadline() == 7.0 + 0xFFFF
    machine.handle_deadline(7.0 + 0xFFFF - 0.001)
    assert sent(machine, 7.0 + 0xFFFF - 0.001) == []
    machine.handle_deadline(7.0 + 0xFFFF)
    assert sent(machine, 7.0 + 0xFFFF) == [REQUEST]
    assert machine.state is TunnelState.OPEN


def test_reopening_may_bring_another_tunnel() -> None:
    machine = opened()
    machine.open()
    (request,) = machine.frames_to_send(9.0)
    machine.receive(frame(response(tunnel_id=6), request.sequence), 9.0)
    assert drain(machine) == [TunnelClosed(5, CloseReason.REPLACED), TunnelOpened(6, 1500)]
    assert machine.possibly_active == {5, 6}
    machine.receive(frame(TransferDataToClient(5, b"old"), 200), 9.0)
    assert drain(machine) == [DataReceived(b"old")]


def test_busy_is_asked_again_after_exactly_three_minutes() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(1), request.sequence), 4.0)
    assert drain(machine) == [TunnelRefused(1, 184.0)]
    assert machine.state is TunnelState.WAITING
    machine.send_data(b"waits")
    assert sent(machine, 183.9) == []
    assert machine.next_deadline() == 184.0
    machine.handle_deadline(183.999)
    assert sent(machine, 183.999) == []
    machine.handle_deadline(184.0)
    assert sent(machine, 184.0) == [REQUEST]


def test_busy_leaves_an_open_tunnel_in_use() -> None:
    machine = opened()
    machine.open()
    (request,) = machine.frames_to_send(1.0)
    machine.receive(frame(response(1), request.sequence), 1.0)
    machine.send_data(b"data")
    assert sent(machine, 2.0) == [TransferData(5, b"data")]


def test_no_more_tunnel_ids_closes_each_possible_one_and_asks_again() -> None:
    machine = client(possibly_active=(3, 8))
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(2), request.sequence), 0.0)
    assert machine.state is TunnelState.CLOSING
    (close,) = machine.frames_to_send(0.0)
    assert close.command == CloseTunnel(3)
    assert machine.frames_to_send(0.0) == []
    machine.receive(frame(DefaultResponse(1, 0, TO_CLIENT), close.sequence), 1.0)
    (close,) = machine.frames_to_send(1.0)
    assert close.command == CloseTunnel(8)
    machine.receive(frame(DefaultResponse(1, 0x8B, TO_CLIENT), close.sequence), 2.0)
    (request,) = machine.frames_to_send(2.0)
    assert request.command == REQUEST
    machine.receive(frame(response(tunnel_id=3), request.sequence), 2.0)
    assert drain(machine) == [TunnelOpened(3, 1500)]
    assert machine.possibly_active == {3}


def test_no_more_tunnel_ids_with_nothing_to_close_waits() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(2), request.sequence), 0.0)
    assert drain(machine) == [TunnelRefused(2, 180.0)]
    assert sent(machine, 0.0) == []
    machine.handle_deadline(180.0)
    assert sent(machine, 180.0) == [REQUEST]


def test_an_unanswered_close_is_not_repeated_at_once() -> None:
    machine = client(possibly_active=(3,))
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(2), request.sequence), 0.0)
    assert sent(machine, 0.0) == [CloseTunnel(3)]
    machine.handle_deadline(10.0)
    assert drain(machine) == [TunnelUnanswered(190.0)]
    assert sent(machine, 10.0) == []
    assert machine.possibly_active == {3}


@pytest.mark.parametrize("status", [3, 4, 0x77])
def test_a_refusal_gives_up_what_waits_and_asks_again_only_for_new_data(status: int) -> None:
    machine = client()
    machine.send_data(b"one")
    machine.send_data(b"two")
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(status), request.sequence), 0.0)
    assert drain(machine) == [
        TunnelRefused(status, None),
        DataFailed(b"one", FailureReason.REFUSED),
        DataFailed(b"two", FailureReason.REFUSED),
    ]
    assert machine.state is TunnelState.REFUSED
    assert sent(machine, 1.0) == []
    assert machine.next_deadline() == 0xFFFF
    machine.send_data(b"three")
    assert sent(machine, 2.0) == [REQUEST]


def test_a_cluster_that_is_not_there_is_a_refusal() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(DefaultResponse(0, 0xC3, TO_CLIENT), request.sequence), 0.0)
    assert drain(machine) == [TunnelRefused(0xC3, None, is_zcl_status=True)]
    assert machine.state is TunnelState.REFUSED


def test_no_answer_is_asked_again() -> None:
    machine = client()
    machine.open()
    assert sent(machine, 0.0) == [REQUEST]
    machine.handle_deadline(9.999)
    assert drain(machine) == []
    machine.handle_deadline(10.0)
    assert drain(machine) == [TunnelUnanswered(190.0)]
    assert machine.state is TunnelState.WAITING
    assert machine.next_deadline() == 190.0
    machine.handle_deadline(190.0)
    assert sent(machine, 190.0) == [REQUEST]


def test_what_the_radio_cannot_deliver_is_unanswered_at_once() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.handle_undelivered(request.sequence, 3.0)
    assert drain(machine) == [TunnelUnanswered(183.0)]


def test_a_late_answer_is_remembered_as_a_tunnel_to_close() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.handle_deadline(10.0)
    drain(machine)
    machine.receive(frame(response(tunnel_id=9), request.sequence), 11.0)
    (event,) = drain(machine)
    assert isinstance(event, Refused)
    assert machine.possibly_active == {9}
    assert machine.state is TunnelState.WAITING


def test_one_piece_of_data_is_on_its_way_at_a_time() -> None:
    machine = opened()
    machine.send_data(b"one")
    machine.send_data(b"two")
    (first,) = machine.frames_to_send(1.0)
    assert first.encode() == bytes.fromhex("01 01 02 0500") + b"one"
    assert machine.frames_to_send(1.0) == []
    machine.receive(frame(DefaultResponse(2, 0, TO_CLIENT), first.sequence), 1.5)
    assert drain(machine) == [DataDelivered(b"one")]
    assert sent(machine, 2.0) == [TransferData(5, b"two")]
    assert machine.waiting == (b"two",)


def test_an_answer_to_something_earlier_settles_nothing() -> None:
    machine = opened()
    machine.send_data(b"one")
    (first,) = machine.frames_to_send(0.0)
    machine.receive(frame(DefaultResponse(2, 0, TO_CLIENT), first.sequence - 1), 1.0)
    assert drain(machine) == []
    assert machine.waiting == (b"one",)


def test_a_rejected_message_is_told_of() -> None:
    machine = opened()
    machine.send_data(b"one")
    (first,) = machine.frames_to_send(0.0)
    machine.receive(frame(DefaultResponse(2, 0x80, TO_CLIENT), first.sequence), 1.0)
    assert drain(machine) == [DataFailed(b"one", FailureReason.REJECTED)]


def test_without_a_default_response_the_radios_word_counts() -> None:
    machine = opened()
    machine.send_data(b"one")
    (first,) = machine.frames_to_send(1.0)
    machine.handle_delivered(first.sequence)
    machine.handle_deadline(10.999)
    assert drain(machine) == []
    machine.handle_deadline(11.0)
    assert drain(machine) == [DataDelivered(b"one")]
    assert machine.tunnel_id == 5


def test_without_any_word_data_fails_and_the_tunnel_is_taken_for_gone() -> None:
    machine = opened()
    machine.send_data(b"one")
    assert sent(machine, 1.0) == [TransferData(5, b"one")]
    machine.handle_deadline(11.0)
    assert drain(machine) == [
        DataFailed(b"one", FailureReason.NO_ANSWER),
        TunnelClosed(5, CloseReason.NO_ANSWER),
    ]
    assert sent(machine, 11.0) == []
    assert machine.possibly_active == {5}
    machine.send_data(b"two")
    assert sent(machine, 12.0) == [REQUEST]


def test_undelivered_data_is_told_of() -> None:
    machine = opened()
    machine.send_data(b"one")
    (first,) = machine.frames_to_send(1.0)
    machine.handle_undelivered(first.sequence, 2.0)
    assert drain(machine)[0] == DataFailed(b"one", FailureReason.NOT_SENT)


@pytest.mark.parametrize(
    ("status", "reason"), [(0, CloseReason.NO_SUCH_TUNNEL), (1, CloseReason.WRONG_DEVICE)]
)
def test_a_lost_tunnel_is_asked_for_again_and_the_data_sent_again(
    status: int, reason: CloseReason
) -> None:
    machine = opened()
    machine.send_data(b"one")
    assert sent(machine, 1.0) == [TransferData(5, b"one")]
    machine.receive(frame(TransferDataErrorToClient(5, status), 1), 1.5)
    assert drain(machine) == [TunnelClosed(5, reason)]
    assert machine.possibly_active == frozenset()
    (request,) = machine.frames_to_send(2.0)
    assert request.command == REQUEST
    machine.receive(frame(response(tunnel_id=6), request.sequence), 2.0)
    assert sent(machine, 2.0) == [TransferData(6, b"one")]


def test_data_is_not_sent_again_for_ever() -> None:
    machine = opened()
    machine.send_data(b"one")
    for tunnel_id in (5, 6, 7):
        assert sent(machine, 1.0) == [TransferData(tunnel_id, b"one")]
        machine.receive(frame(TransferDataErrorToClient(tunnel_id, 0), 1), 1.0)
        (request,) = machine.frames_to_send(1.0)
        machine.receive(frame(response(tunnel_id=tunnel_id + 1), request.sequence), 1.0)
    assert DataFailed(b"one", FailureReason.NO_TUNNEL) in drain(machine)
    assert sent(machine, 1.0) == []


def test_an_overflow_fails_the_data_and_keeps_the_tunnel() -> None:
    machine = opened()
    machine.send_data(b"one")
    assert len(sent(machine, 1.0)) == 1
    machine.receive(frame(TransferDataErrorToClient(5, 2), 1), 1.5)
    assert drain(machine) == [DataFailed(b"one", FailureReason.TOO_LONG)]
    assert machine.tunnel_id == 5


def test_a_tunnel_that_is_gone_is_asked_for_again_without_data() -> None:
    machine = opened()
    machine.receive(frame(TunnelClosureNotification(5), 77), 1.0)
    assert drain(machine) == [TunnelClosed(5, CloseReason.NOTIFIED)]
    assert sent(machine, 1.0) == [REQUEST]


def test_a_notification_about_another_tunnel_changes_nothing() -> None:
    machine = opened()
    machine.receive(frame(TunnelClosureNotification(4), 77), 1.0)
    assert drain(machine) == []
    assert machine.tunnel_id == 5


def test_data_comes_in_and_is_answered() -> None:
    machine = opened()
    machine.receive(frame(TransferDataToClient(5, b"response"), 0x42), 1.0)
    assert drain(machine) == [DataReceived(b"response")]
    (answer,) = machine.frames_to_send(1.0)
    assert answer.encode() == bytes.fromhex("10 42 0B 01 00")


def test_data_that_wants_no_answer_gets_none() -> None:
    machine = opened()
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("19 42 01 0500 AA")), 1.0)
    assert drain(machine) == [DataReceived(b"\xaa")]
    assert machine.frames_to_send(1.0) == []


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (TransferDataToClient(9, b"x"), TransferDataError(9, 0)),
        (TransferDataToClient(5, bytes(1501)), TransferDataError(5, 2)),
        (TransferDataToClient(5, b""), DefaultResponse(1, 0x80, Direction.TO_SERVER)),
    ],
)
def test_data_that_cannot_be_taken_is_refused_to_the_device(
    command: Command, answer: Command | DefaultResponse
) -> None:
    machine = opened()
    machine.receive(frame(command, 0x42), 1.0)
    (event,) = drain(machine)
    assert isinstance(event, Refused)
    assert machine.frames_to_send(1.0) == [Outgoing(answer, 0x42)]


def test_a_command_that_a_client_does_not_have_is_answered_so() -> None:
    machine = opened()
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("09 42 03 0500 0000")), 1.0)
    (event,) = drain(machine)
    assert isinstance(event, Refused)
    assert sent(machine, 1.0) == [DefaultResponse(3, 0x81, Direction.TO_SERVER)]
    machine.receive(frame(CloseTunnel(5), 1), 1.0)
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("08 05 00 0000")), 1.0)
    assert [type(each) for each in drain(machine)] == [Refused, Refused]
    assert sent(machine, 1.0) == []


def test_data_longer_than_the_device_takes_is_given_up() -> None:
    machine = client()
    machine.send_data(bytes(300))
    machine.send_data(b"short")
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(size=200), request.sequence), 0.0)
    assert sent(machine, 0.0) == [TransferData(5, b"short")]
    assert drain(machine)[1] == DataFailed(bytes(300), FailureReason.TOO_LONG)


@pytest.mark.parametrize("octets", [b"", bytes(1501)])
def test_data_that_fits_no_tunnel_is_the_callers_mistake(octets: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        client().send_data(octets)


def test_the_queue_has_a_limit() -> None:
    machine = client()
    for _ in range(64):
        machine.send_data(b"x")
    with pytest.raises(LocalProtocolError):
        machine.send_data(b"x")


def test_closing_closes_with_the_device_and_gives_up_what_waits() -> None:
    machine = opened()
    machine.send_data(b"one")
    machine.close()
    assert drain(machine) == [
        DataFailed(b"one", FailureReason.CLOSED),
        TunnelClosed(5, CloseReason.REQUESTED),
    ]
    (close,) = machine.frames_to_send(1.0)
    assert close.command == CloseTunnel(5)
    machine.receive(frame(DefaultResponse(1, 0, TO_CLIENT), close.sequence), 1.0)
    assert machine.state is TunnelState.CLOSED
    assert machine.next_deadline() is None
    machine.open()
    assert sent(machine, 2.0) == [REQUEST]


def test_closing_does_not_wait_for_ever_and_closes_a_late_tunnel() -> None:
    machine = client()
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.close()
    machine.receive(frame(response(), request.sequence), 1.0)
    assert sent(machine, 1.0) == [CloseTunnel(5)]
    machine.handle_deadline(11.0)
    assert machine.next_deadline() is None
    assert machine.state is TunnelState.CLOSED


def test_a_client_may_do_without_reopening() -> None:
    machine = TunnelClient(next_sequence=sequences(), timers=ClientTimers(reopen_after_s=None))
    machine.open()
    (request,) = machine.frames_to_send(0.0)
    machine.receive(frame(response(), request.sequence), 0.0)
    assert machine.next_deadline() is None


@given(st.lists(st.tuples(st.binary(max_size=12), st.sampled_from([0.0, 11.0, 181.0]))))
def test_whatever_the_device_sends_only_events_come_of_it(
    received: list[tuple[bytes, float]],
) -> None:
    machine = opened()
    machine.send_data(b"one")
    now = 0.0
    for octets, passes in received:
        now += passes
        machine.handle_deadline(now)
        machine.frames_to_send(now)
        try:
            received_frame = decode_frame(TUNNELING, octets)
        except DecodeError:
            continue
        machine.receive(received_frame, now)
        drain(machine)
    assert machine.state in TunnelState
