from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import LocalProtocolError, RemoteProtocolError
from meterlink.hdlc import HDLCAddress, HDLCConnection, LinkState, PrimaryStation, SecondaryStation
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, encode_frame
from meterlink.link_events import NEED_DATA

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)

information = st.one_of(
    st.binary(max_size=30),
    st.binary(min_size=1, max_size=10).map(lambda octets: b"\xe6\xe6\x00" + octets),
    st.binary(max_size=10).map(lambda octets: b"\x81\x80" + octets),
    st.just(bytes.fromhex("818014050207EE060207EE070400000007080400000007")),
)
sequences = st.integers(0, 7)


def frames(destination: HDLCAddress, source: HDLCAddress) -> st.SearchStrategy[bytes]:
    return st.builds(
        Frame,
        destination=st.just(destination),
        source=st.just(source),
        kind=st.sampled_from(FrameKind),
        poll_final=st.booleans(),
        send_sequence=sequences,
        receive_sequence=sequences,
        segmented=st.booleans(),
        information=information,
    ).map(encode_frame)


def steps(destination: HDLCAddress, source: HDLCAddress) -> st.SearchStrategy[list[bytes | str]]:
    return st.lists(
        st.one_of(
            frames(destination, source),
            st.binary(max_size=30),
            st.sampled_from(["connect", "disconnect", "send", "wait", "long wait"]),
        ),
        max_size=25,
    )


def drain(station: HDLCConnection) -> None:
    """Take what there is to tell; nothing but the promised error may come out."""
    event: object = None
    while event is not NEED_DATA:
        with contextlib.suppress(RemoteProtocolError):
            event = station.next_event()


def play(station: HDLCConnection, played: list[bytes | str]) -> None:
    """Any state and any event: it moves, refuses, or raises what it promises."""
    now = 0.0
    for step in played:
        match step:
            case bytes():
                station.receive_data(step, now)
            case "wait":
                now += 0.3
            case "long wait":
                now += 500.0
            case _:
                with contextlib.suppress(LocalProtocolError):
                    ask(station, step)
        station.handle_deadline(now)
        drain(station)
        station.data_to_send(now)
        drain(station)
        assert station.state in LinkState
        deadline = station.next_deadline()
        assert deadline is None or deadline >= now - 0.3


def ask(station: HDLCConnection, what: str) -> None:
    if what == "send":
        station.send_message(b"message" * 40)
    elif isinstance(station, PrimaryStation):
        getattr(station, what)()


@given(steps(CLIENT, SERVER))
def test_primary_station_keeps_its_promise_whatever_comes(played: list[bytes | str]) -> None:
    play(PrimaryStation(own=CLIENT, peer=SERVER), ["connect", *played])


@given(steps(SERVER, CLIENT))
def test_secondary_station_keeps_its_promise_whatever_comes(played: list[bytes | str]) -> None:
    play(SecondaryStation(own=SERVER, peer=CLIENT), played)


@given(steps(SERVER, CLIENT))
def test_secondary_station_never_speaks_unasked(played: list[bytes | str]) -> None:
    station = SecondaryStation(own=SERVER, peer=CLIENT)
    for now, step in enumerate(played):
        if isinstance(step, bytes):
            station.receive_data(step, float(now))
        drain(station)
        station.data_to_send(float(now))
        assert station.data_to_send(float(now)) == b""
