from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.upstream.brokers import PASSWORD, USER, Broker, Subscriber, running
from agent.upstream.certificates import make_tls_files
from agent.upstream.outboxes import HandClock, batch_of, device
from keyrig.base.clock import monotonic
from keyrig.config.settings import MQTTUpstream
from keyrig.upstream.mqtt_target import MQTTTarget, _Publishing
from keyrig.upstream.upstream_target import Answer, Trouble
from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.upstream.certificates import TLSFiles
    from keyrig.upstream.cloud_events import Outgoing


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def password_file(home: Path) -> str:
    path = home / "password"
    path.write_text(PASSWORD)
    path.chmod(0o600)
    return "password"


@contextmanager
def target(broker: Broker, home: Path, **more: Any) -> Iterator[MQTTTarget]:
    settings: dict[str, Any] = {
        "kind": "mqtt",
        "host": "127.0.0.1",
        "port": broker.port,
        "tls": broker.files is not None,
    }
    if broker.files is not None:
        settings |= {
            "ca_file": str(broker.files.ca),
            "client_certificate": str(broker.files.client),
            "client_key": str(broker.files.client_key),
        }
    made = MQTTTarget(
        MQTTUpstream(**(settings | more)), home, client_id="keyrig-test", monotonic=monotonic
    )
    try:
        yield made
    finally:
        made.close()


def first_of_each(messages: list[Any], of: int) -> list[str]:
    """Give the ids of a device's events in the order in which each came first."""
    read = [json.loads(message.payload) for message in messages]
    return list(dict.fromkeys(e["id"] for e in read if e["subject"] == str(device(of))))


def ids(batch: list[Outgoing], of: int) -> list[str]:
    return [str(each.event.id) for each in batch if each.event.device == device(of)]


def test_events_arrive_over_tls_with_certificate_and_password_in_a_session_that_is_kept(
    tmp_path: Path, home: Path, files: TLSFiles, password_file: str
) -> None:
    batch = batch_of(1, 2, 1, 3, 1)
    broker = Broker(tmp_path, files, needs_password=True)
    credentials = {"username": USER, "password": {"file": password_file}}
    with running(broker), Subscriber(broker).listening() as subscriber:
        with target(broker, home, session_expiry_s=600, **credentials) as made:
            assert made.deliver(batch, HANG_S) == Answer(accepted=frozenset(range(1, 6)))
            assert PASSWORD not in repr(made)
        messages = subscriber.wait_for(5)
        with target(broker, home, session_expiry_s=600, **credentials) as made:
            made.deliver(batch[:1], HANG_S)
    message = next(m for m in messages if m.payload == batch[1].octets)
    assert message.topic == f"keyrig/events/{device(2)}/flag"
    assert (message.qos, message.retain) == (1, False)
    assert message.properties.ContentType == "application/cloudevents+json; charset=utf-8"
    assert message.properties.PayloadFormatIndicator == 1
    for n in (1, 2, 3):
        assert first_of_each(messages, n) == ids(batch, n)
    # "p5, c0": MQTT 5, no clean start.
    connected = [line for line in broker.log if " as keyrig-test (" in line]
    assert len(connected) == 2
    assert all("p5, c0" in line for line in connected)


def test_wrong_password_needs_a_person_and_is_not_told(
    tmp_path: Path, home: Path, password_file: str
) -> None:
    (home / password_file).write_text("wr0ng")
    broker = Broker(tmp_path, needs_password=True)
    credentials = {"username": USER, "password": {"file": password_file}}
    with running(broker), target(broker, home, **credentials) as made:
        answer = made.deliver(batch_of(1), HANG_S)
        assert answer.trouble is Trouble.STOPPED
        assert "Not authorized" in answer.reason
        assert "wr0ng" not in answer.reason
        # It is read anew with the next connection.
        (home / password_file).write_text(PASSWORD)
        assert made.deliver(batch_of(1), HANG_S).accepted == {1}


def test_missing_password_file_needs_a_person(home: Path) -> None:
    broker = Broker(home)
    with target(broker, home, username=USER, password={"file": "none"}) as made:
        answer = made.deliver(batch_of(1), HANG_S)
    assert answer.trouble is Trouble.STOPPED
    assert "No such file" in answer.reason


def test_broker_that_nobody_vouches_for_is_told_nothing(
    tmp_path: Path, home: Path, files: TLSFiles
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ca = make_tls_files(other).ca
    with (
        running(Broker(tmp_path, files)) as broker,
        target(broker, home, ca_file=str(ca)) as made,
    ):
        answer = made.deliver(batch_of(1), HANG_S)
    assert answer.trouble is Trouble.AGAIN
    assert "certificate is not accepted" in answer.reason


def test_broker_restarted_and_killed_in_the_midst_gets_everything_in_order(
    tmp_path: Path, home: Path
) -> None:
    batch = batch_of(*[n % 3 for n in range(60)])
    broker = Broker(tmp_path)
    with running(broker), Subscriber(broker).listening() as subscriber:
        with target(broker, home) as made:
            assert made.deliver(batch[:20], HANG_S).trouble is None
            broker.stop()
            answer = made.deliver(batch[20:40], HANG_S)
            assert (answer.trouble, answer.accepted) == (Trouble.AGAIN, frozenset())
            assert answer.reason.startswith(f"127.0.0.1:{broker.port}: ")
            broker.start()
            assert made.deliver(batch[20:40], HANG_S).trouble is None
            subscriber.wait_for(40)
            broker.kill()
            assert made.deliver(batch[40:], HANG_S).trouble is Trouble.AGAIN
            broker.start()
            assert len(made.deliver(batch[40:], HANG_S).accepted) == 20
        messages = subscriber.wait_for(60)
    for n in range(3):
        assert first_of_each(messages, n) == ids(batch, n)


def test_topic_that_the_broker_does_not_allow_needs_a_person(tmp_path: Path, home: Path) -> None:
    access = tmp_path / "access"
    access.write_text(f"topic write keyrig/events/{device(1)}/#\n")
    with (
        running(Broker(tmp_path, options=(f"acl_file {access}",))) as broker,
        target(broker, home) as made,
    ):
        answer = made.deliver(batch_of(1, 2), HANG_S)
    assert answer.accepted == {1}
    assert answer.trouble is Trouble.STOPPED
    assert f"keyrig/events/{device(2)}/flag: the broker refuses it" in answer.reason


def test_no_more_is_in_flight_than_the_broker_takes(tmp_path: Path, home: Path) -> None:
    with (
        running(Broker(tmp_path, options=("max_inflight_messages 3",))) as broker,
        target(broker, home) as made,
    ):
        assert len(made.deliver(batch_of(*range(100)), HANG_S).accepted) == 100
        assert made._line is not None
        assert made._line.in_flight_maximum == 3


def test_event_longer_than_the_brokers_largest_packet_is_refused(
    tmp_path: Path, home: Path
) -> None:
    with (
        running(Broker(tmp_path, options=("max_packet_size 300",))) as broker,
        target(broker, home) as made,
    ):
        answer = made.deliver(batch_of(1, 1), HANG_S)
    assert answer.trouble is None
    assert answer.refused == {1: "longer than the broker's largest packet"}


def test_event_of_the_broker_s_largest_packet_to_the_octet_is_taken_and_one_more_is_not(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    queue = Client._packet_queue

    def count(client: Client, command: int, packet: bytes, *rest: Any) -> Any:
        if command & 0xF0 == 0x30:
            sent.append(len(packet))
        return queue(client, command, packet, *rest)

    batch = batch_of(1)
    with monkeypatch.context() as patch, running(Broker(tmp_path)) as broker:
        patch.setattr(Client, "_packet_queue", count)
        with target(broker, home) as made:
            assert made.deliver(batch, HANG_S).accepted == {1}
    (octets,) = sent
    for name, limit, is_taken in (("fits", octets, True), ("longer", octets - 1, False)):
        (tmp_path / name).mkdir()
        limited = Broker(tmp_path / name, options=(f"max_packet_size {limit}",))
        with running(limited), target(limited, home) as made:
            answer = made.deliver(batch, HANG_S)
        assert (answer.accepted == {1}, answer.trouble) == (is_taken, None)


def test_nobody_there_is_tried_again(home: Path) -> None:
    with target(Broker(home), home) as made:
        answer = made.deliver(batch_of(1), HANG_S)
    assert answer.trouble is Trouble.AGAIN
    assert "refused" in answer.reason


def test_broker_that_says_nothing_or_nonsense_is_left_in_time(home: Path) -> None:
    for octets in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\x7f"):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            broker = Broker(home, port=listening.getsockname()[1])
            with target(broker, home, timeout_s=0.3) as made:
                listening.settimeout(HANG_S)
                if octets:
                    thread = threading.Thread(target=_say, args=(listening, octets))
                    thread.start()
                answer = made.deliver(batch_of(1), HANG_S)
                if octets:
                    thread.join()
        assert answer.trouble is Trouble.AGAIN


def _say(listening: socket.socket, octets: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(octets)


class FakeLine:
    """A line whose acknowledgements a test decides on."""

    in_flight_maximum = 100
    why_down = "down"

    def __init__(self, codes: dict[int, int]) -> None:
        self.codes = codes
        self.sent: list[int] = []
        self.in_flight: dict[int, Outgoing] = {}
        self.monotonic = HandClock().monotonic

    def topic(self, _event: Any) -> str:
        return "topic"

    def is_too_long(self, _each: Outgoing) -> bool:
        return False

    def send(self, each: Outgoing) -> int:
        number = each.event.number
        assert each.event.device not in {e.event.device for e in self.in_flight.values()}
        self.in_flight[number] = each
        self.sent.append(number)
        return number

    def next_acknowledgement(self, within_s: float) -> tuple[int, ReasonCode] | None:
        assert within_s > 0
        number = next(iter(self.in_flight))
        del self.in_flight[number]
        code = ReasonCode(PacketTypes.PUBACK, identifier=self.codes.get(number, 0))
        return number, code


@pytest.mark.parametrize(
    ("code", "trouble", "is_parked"),
    [
        (0x00, None, False),
        (0x10, None, False),
        (0x80, Trouble.AGAIN, False),
        (0x83, Trouble.AGAIN, False),
        (0x87, Trouble.STOPPED, False),
        (0x90, None, True),
        (0x97, Trouble.AGAIN, False),
        (0x99, None, True),
    ],
)
def test_reason_code_of_an_acknowledgement_says_whose_fault_it_is(
    code: int, trouble: Trouble | None, *, is_parked: bool
) -> None:
    line: Any = FakeLine({1: code})
    answer = _Publishing(line, batch_of(1, 2, 1, 2)).carry_out(2000.0, 30.0)
    assert answer.trouble is trouble
    assert bool(answer.refused) is is_parked
    if code < 0x80:
        assert answer.accepted == {1, 2, 3, 4}
    else:
        # What follows of the same device was not sent.
        assert 3 not in line.sent
        assert 2 in answer.accepted
        assert (4 in answer.accepted) is (trouble is None)
