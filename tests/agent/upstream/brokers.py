"""Debian's mosquitto on a free port of loopback, and a subscriber to it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from patience import HANG_S
from programs import needed_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.upstream.certificates import TLSFiles

USER, PASSWORD = "rig", "s3cret-password"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Broker:
    """One broker; it may be stopped or killed, and started again with what it kept."""

    folder: Path
    files: TLSFiles | None = None
    needs_password: bool = False
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    log: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    def start(self) -> None:
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(self._configuration()) + "\n", encoding="utf-8")
        self._process = subprocess.Popen(
            [needed_program("mosquitto"), "-c", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        is_running = threading.Event()
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr, is_running))
        self._reader.start()
        assert is_running.wait(HANG_S), self.log
        assert self._process.poll() is None, self.log

    def stop(self) -> None:
        """End it in order; it keeps sessions and what waits in them."""
        if self._process is not None:
            self._process.terminate()
            self._ended()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait(HANG_S)
        self._reader.join(HANG_S)
        self._process = None

    def _read(self, stream: IO[str], is_running: threading.Event) -> None:
        with stream:
            for line in stream:
                self.log.append(line)
                if line.rstrip().endswith("running"):
                    is_running.set()
        is_running.set()

    def _configuration(self) -> Iterator[str]:
        yield from ("persistence true", f"persistence_location {self.folder}/")
        yield from ("log_dest stderr", "log_type all")
        if os.geteuid() == 0:
            # Otherwise it becomes a user that may not read the test's files.
            yield "user root"
        yield f"listener {self.port} 127.0.0.1"
        if self.files is not None:
            yield f"cafile {self.files.ca}"
            yield f"certfile {self.files.server}"
            yield f"keyfile {self.files.server_key}"
            yield "require_certificate true"
        if self.needs_password:
            passwords = self.folder / "passwords"
            subprocess.run(
                [needed_program("mosquitto_passwd"), "-c", "-b", str(passwords), USER, PASSWORD],
                check=True,
                timeout=HANG_S,
            )
            yield f"password_file {passwords}"
        else:
            yield "allow_anonymous true"
        yield from self.options


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@dataclass
class Subscriber:
    """Takes what is published below a topic, in a session that outlives the broker."""

    broker: Broker
    messages: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_subscribed: bool = False

    @contextmanager
    def listening(self) -> Iterator[Subscriber]:
        client = Client(CallbackAPIVersion.VERSION2, "subscriber", protocol=MQTTv5)
        if self.broker.files is not None:
            client.tls_set(
                str(self.broker.files.ca),
                str(self.broker.files.client),
                str(self.broker.files.client_key),
            )
        if self.broker.needs_password:
            client.username_pw_set(USER, PASSWORD)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type] # takes parts of seconds
        client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        client.loop_start()
        try:
            with self._changed:
                assert self._changed.wait_for(lambda: self._is_subscribed, HANG_S)
            yield self
        finally:
            client.disconnect()
            client.loop_stop()

    def wait_for(self, count: int) -> list[Any]:
        """Give the messages once there are so many different ones."""
        with self._changed:
            enough = self._changed.wait_for(
                lambda: len({message.payload for message in self.messages}) >= count, HANG_S
            )
            assert enough, f"{len(self.messages)} messages instead of {count}"
            return list(self.messages)

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe("keyrig/#", options=SubscribeOptions(qos=1))

    def _on_subscribe(self, *_: Any) -> None:
        with self._changed:
            self._is_subscribed = True
            self._changed.notify_all()

    def _on_message(self, _client: Client, _userdata: Any, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
