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
    GetSupportedTunnelProtocols,
    RequestTunnel,
    RequestTunnelResponse,
    SupportedTunnelProtocolsResponse,
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
)
from zse.tunnel_client import TunnelClient
from zse.tunnel_server import ServerLimits, TunnelServer
from zse.zcl_frames import Outgoing, decode_frame

from .tunnelling import HUB, OTHER, drain, exchange, frame, sequences

REQUEST = RequestTunnel(6, 0xFFFF, False, 1500)


def server(**limits: float) -> TunnelServer:
    return TunnelServer(
        next_sequence=sequences(100),
        limits=ServerLimits(**limits),  # type: ignore[arg-type]  # a number stands for each
    )


def answer(
    machine: TunnelServer, command: Command, *, client: int = HUB, now: float = 0.0
) -> Command | DefaultResponse:
    machine.receive(frame(command, 0x42), client, now)
    (found,) = machine.frames_to_send(now)
    assert found.sequence == 0x42
    assert found.address == client
    return found.command


def opened(**limits: float) -> TunnelServer:
    machine = server(**limits)
    assert answer(machine, REQUEST) == RequestTunnelResponse(0, 0, 1500)
    assert drain(machine) == [TunnelOpened(0, 1500, HUB)]
    return machine


def test_request_is_answered_with_the_octets_of_the_companion_specification() -> None:
    machine = server()
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("01 2A 00 06 FFFF 00 DC05")), HUB, 0.0)
    (found,) = machine.frames_to_send(0.0)
    assert found.encode() == bytes.fromhex("19 2A 00 0000 00 DC05")
    assert machine.tunnels == {0: HUB}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (RequestTunnel(0, 0xFFFF, False, 1500), 3),
        (RequestTunnel(6, 0x1234, False, 1500), 3),
        (RequestTunnel(6, 0xFFFF, True, 1500), 4),
    ],
)
def test_other_tunnels_are_refused(request_: RequestTunnel, status: int) -> None:
    machine = server()
    assert answer(machine, request_) == RequestTunnelResponse(0xFFFF, status, 1500)
    assert drain(machine) == []
    assert machine.tunnels == {}


def test_busy() -> None:
    machine = server()
    machine.is_busy = True
    assert answer(machine, REQUEST) == RequestTunnelResponse(0xFFFF, 1, 1500)
    machine.is_busy = False
    assert answer(machine, REQUEST) == RequestTunnelResponse(0, 0, 1500)


def test_the_same_client_is_given_its_tunnel_again() -> None:
    machine = opened()
    assert answer(machine, RequestTunnel(6, 0xFFFF, False, 900)) == RequestTunnelResponse(
        0, 0, 1500
    )
    assert drain(machine) == [TunnelOpened(0, 900, HUB)]


def test_another_client_finds_no_tunnel_id() -> None:
    machine = opened()
    assert answer(machine, REQUEST, client=OTHER) == RequestTunnelResponse(0xFFFF, 2, 1500)


def test_a_device_that_does_not_reuse_runs_out_of_tunnel_ids() -> None:
    machine = opened(reuses_tunnel=False, tunnels=2)
    assert answer(machine, REQUEST) == RequestTunnelResponse(1, 0, 1500)
    assert answer(machine, REQUEST) == RequestTunnelResponse(0xFFFF, 2, 1500)
    assert answer(machine, CloseTunnel(0)) == DefaultResponse(1, 0, Direction.TO_CLIENT)
    assert answer(machine, REQUEST) == RequestTunnelResponse(2, 0, 1500)
    assert machine.tunnels == {1: HUB, 2: HUB}


def test_tunnel_ids_start_again_after_the_last() -> None:
    machine = TunnelServer(
        next_sequence=sequences(), limits=ServerLimits(tunnels=3), first_tunnel_id=0xFFFE
    )
    found = [answer(machine, REQUEST, client=client) for client in (1, 2, 3)]
    assert [each.tunnel_id for each in found if isinstance(each, RequestTunnelResponse)] == [
        0xFFFE,
        0,
        1,
    ]


def test_closing() -> None:
    machine = opened()
    assert answer(machine, CloseTunnel(7)) == DefaultResponse(1, 0x8B, Direction.TO_CLIENT)
    assert answer(machine, CloseTunnel(0), client=OTHER) == DefaultResponse(
        1, 0x7E, Direction.TO_CLIENT
    )
    assert answer(machine, CloseTunnel(0)) == DefaultResponse(1, 0, Direction.TO_CLIENT)
    assert drain(machine) == [TunnelClosed(0, CloseReason.REQUESTED, HUB)]
    assert machine.tunnels == {}
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("11 01 01 0000")), HUB, 0.0)
    assert len(machine.frames_to_send(0.0)) == 1


def test_data_comes_in_and_is_answered() -> None:
    machine = opened()
    assert answer(machine, TransferData(0, b"command")) == DefaultResponse(
        2, 0, Direction.TO_CLIENT
    )
    assert drain(machine) == [DataReceived(b"command", HUB)]
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("11 01 02 0000 AA")), HUB, 0.0)
    assert drain(machine) == [DataReceived(b"\xaa", HUB)]
    assert machine.frames_to_send(0.0) == []


@pytest.mark.parametrize(
    ("command", "client", "expected"),
    [
        (TransferData(9, b"x"), HUB, TransferDataErrorToClient(9, 0)),
        (TransferData(0, b"x"), OTHER, TransferDataErrorToClient(0, 1)),
        (TransferData(0, bytes(1501)), HUB, TransferDataErrorToClient(0, 2)),
        (TransferData(0, b""), HUB, DefaultResponse(2, 0x80, Direction.TO_CLIENT)),
    ],
)
def test_data_that_cannot_be_taken_is_refused(
    command: Command, client: int, expected: Command | DefaultResponse
) -> None:
    machine = opened()
    assert answer(machine, command, client=client) == expected
    (event,) = drain(machine)
    assert isinstance(event, Refused)
    assert event.address == client


def test_the_longest_data_is_taken() -> None:
    machine = opened()
    answer(machine, TransferData(0, bytes(1500)))
    assert drain(machine) == [DataReceived(bytes(1500), HUB)]


def test_protocols_are_told() -> None:
    machine = server()
    assert answer(machine, GetSupportedTunnelProtocols(0)) == SupportedTunnelProtocolsResponse(
        True, ((0xFFFF, 6),)
    )
    assert answer(machine, GetSupportedTunnelProtocols(1)) == SupportedTunnelProtocolsResponse(
        True, ()
    )


def test_data_waits_for_a_tunnel_and_goes_one_at_a_time() -> None:
    machine = server()
    machine.send_data(b"alert", HUB)
    machine.send_data(b"second", HUB)
    assert machine.frames_to_send(0.0) == []
    machine.receive(frame(REQUEST, 0x42), HUB, 0.0)
    response, data = machine.frames_to_send(0.0)
    assert isinstance(response.command, RequestTunnelResponse)
    assert data == Outgoing(TransferDataToClient(0, b"alert"), 100, HUB)
    assert machine.frames_to_send(0.0) == []
    machine.receive(frame(DefaultResponse(1, 0, Direction.TO_SERVER), 100), HUB, 1.0)
    assert drain(machine)[1:] == [DataDelivered(b"alert", HUB)]
    assert machine.waiting(HUB) == (b"second",)
    assert machine.waiting(OTHER) == ()


def test_data_the_client_does_not_know_the_tunnel_of_waits_for_the_next() -> None:
    machine = opened()
    machine.send_data(b"alert", HUB)
    machine.frames_to_send(0.0)
    machine.receive(frame(TransferDataError(0, 0), 100), HUB, 1.0)
    assert drain(machine) == [TunnelClosed(0, CloseReason.NO_SUCH_TUNNEL, HUB)]
    assert machine.frames_to_send(1.0) == []
    machine.receive(frame(REQUEST, 0x43), HUB, 2.0)
    _, data = machine.frames_to_send(2.0)
    assert data.command == TransferDataToClient(1, b"alert")


def test_errors_about_others_tunnels_are_refused() -> None:
    machine = opened()
    machine.receive(frame(TransferDataError(0, 0), 1), OTHER, 1.0)
    machine.receive(frame(TransferDataError(5, 0), 1), HUB, 1.0)
    assert [type(each) for each in drain(machine)] == [Refused, Refused]
    assert machine.tunnels == {0: HUB}
    machine.receive(frame(TransferDataError(0, 1), 1), HUB, 1.0)
    assert drain(machine) == [TunnelClosed(0, CloseReason.WRONG_DEVICE, HUB)]


def test_unanswered_and_undelivered_data_is_told_of() -> None:
    machine = opened()
    machine.send_data(b"one", HUB)
    machine.send_data(b"two", HUB)
    machine.send_data(b"three", HUB)
    machine.frames_to_send(1.0)
    assert machine.next_deadline() == 11.0
    machine.handle_deadline(10.999)
    assert drain(machine) == []
    machine.handle_deadline(11.0)
    assert drain(machine) == [DataFailed(b"one", FailureReason.NO_ANSWER, HUB)]
    (second,) = machine.frames_to_send(11.0)
    machine.handle_undelivered(second.sequence, HUB)
    machine.handle_undelivered(second.sequence, OTHER)
    assert drain(machine) == [DataFailed(b"two", FailureReason.NOT_SENT, HUB)]
    (third,) = machine.frames_to_send(12.0)
    machine.handle_delivered(third.sequence, HUB)
    machine.handle_delivered(third.sequence, OTHER)
    machine.handle_deadline(22.0)
    assert drain(machine) == [DataDelivered(b"three", HUB)]


def test_data_longer_than_the_client_takes_is_given_up() -> None:
    machine = server()
    machine.send_data(bytes(300), HUB)
    machine.receive(frame(RequestTunnel(6, 0xFFFF, False, 200), 1), HUB, 0.0)
    machine.frames_to_send(0.0)
    assert drain(machine)[1] == DataFailed(bytes(300), FailureReason.TOO_LONG, HUB)
    with pytest.raises(LocalProtocolError):
        machine.send_data(b"", HUB)


def test_a_tunnel_is_closed_when_nothing_passes_for_the_time_out() -> None:
    machine = opened()
    assert machine.next_deadline() == 0xFFFF
    answer(machine, TransferData(0, b"x"), now=100.0)
    drain(machine)
    assert machine.next_deadline() == 100.0 + 0xFFFF
    machine.handle_deadline(100.0 + 0xFFFF - 0.001)
    assert drain(machine) == []
    machine.handle_deadline(100.0 + 0xFFFF)
    assert drain(machine) == [TunnelClosed(0, CloseReason.INACTIVE, HUB)]
    assert machine.frames_to_send(100.0 + 0xFFFF) == []


def test_a_closure_may_be_notified() -> None:
    machine = opened(close_tunnel_timeout_s=60.0, notifies_closure=True)
    machine.handle_deadline(60.0)
    (found,) = machine.frames_to_send(60.0)
    assert found.command == TunnelClosureNotification(0)
    assert found.address == HUB


def test_commands_that_a_server_does_not_have_are_answered_so() -> None:
    machine = opened()
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("01 42 05 0000 0000")), HUB, 1.0)
    (found,) = machine.frames_to_send(1.0)
    assert found.command == DefaultResponse(5, 0x81, Direction.TO_CLIENT)
    machine.receive(frame(TransferDataToClient(0, b"x"), 1), HUB, 1.0)
    machine.receive(decode_frame(TUNNELING, bytes.fromhex("00 05 00 0000")), HUB, 1.0)
    assert machine.frames_to_send(1.0) == []
    assert [type(each) for each in drain(machine)] == [Refused] * 3


# Both ends together.


def both(
    limits: ServerLimits, possibly_active: tuple[int, ...] = ()
) -> tuple[TunnelClient, TunnelServer]:
    return (
        TunnelClient(next_sequence=sequences(), possibly_active=possibly_active),
        TunnelServer(next_sequence=sequences(100), limits=limits),
    )


def test_a_command_and_its_response_pass() -> None:
    hub, meter = both(ServerLimits())
    hub.open()
    hub.send_data(b"command")
    exchange(hub, meter, 0.0)
    assert DataReceived(b"command", HUB) in drain(meter)
    meter.send_data(b"response", HUB)
    exchange(hub, meter, 1.0)
    assert drain(hub)[-1] == DataReceived(b"response")
    assert drain(meter) == [DataDelivered(b"response", HUB)]


@pytest.mark.parametrize("reuses", [True, False])
def test_reopening_every_65535_seconds_keeps_one_tunnel(reuses: bool) -> None:  # noqa: FBT001 - a parameter of the test
    hub, meter = both(ServerLimits(reuses_tunnel=reuses))
    hub.open()
    exchange(hub, meter, 0.0)
    now = 0.0
    for _ in range(3):
        now += 0xFFFF
        meter.handle_deadline(now - 1)
        hub.handle_deadline(now)
        exchange(hub, meter, now)
        assert len(meter.tunnels) == 1
        hub.send_data(b"still here")
        exchange(hub, meter, now)
        assert DataReceived(b"still here", HUB) in drain(meter)


def test_a_meter_that_lost_its_power_gets_the_message_all_the_same() -> None:
    hub, meter = both(ServerLimits())
    hub.open()
    exchange(hub, meter, 0.0)
    meter = TunnelServer(next_sequence=sequences(100), first_tunnel_id=1)
    hub.send_data(b"command")
    exchange(hub, meter, 5.0)
    assert DataReceived(b"command", HUB) in drain(meter)
    assert drain(hub)[-1] == DataDelivered(b"command")


def test_a_hub_that_lost_its_power_closes_what_it_knows_of() -> None:
    hub, meter = both(ServerLimits(reuses_tunnel=False))
    hub.open()
    exchange(hub, meter, 0.0)
    again = TunnelClient(next_sequence=sequences(), possibly_active=hub.possibly_active)
    again.open()
    exchange(again, meter, 1.0)
    assert again.tunnel_id == 1
    assert meter.tunnels == {1: HUB}


@given(
    st.lists(
        st.tuples(st.sampled_from([HUB, OTHER]), st.binary(max_size=10), st.floats(0.0, 7e4)),
        max_size=20,
    )
)
def test_whatever_clients_send_only_events_come_of_it(
    received: list[tuple[int, bytes, float]],
) -> None:
    machine = opened(tunnels=2)
    machine.send_data(b"alert", HUB)
    now = 0.0
    for client, octets, passes in received:
        now += passes
        machine.handle_deadline(now)
        machine.frames_to_send(now)
        try:
            received_frame = decode_frame(TUNNELING, octets)
        except DecodeError:
            continue
        machine.receive(received_frame, client, now)
    drain(machine)
    assert len(machine.tunnels) <= 2
