"""Events over MQTT 5, with QoS 1 and a session that the broker keeps."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from typing_extensions import override

from gbcs.printable import printable
from keyrig.base.client_tls import client_context
from keyrig.base.errors import SettingsError
from keyrig.upstream.cloud_events import EVENT_CONTENT_TYPE
from keyrig.upstream.upstream_target import Answer, Target, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from paho.mqtt.client import ConnectFlags, DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.settings import MQTTUpstream
    from keyrig.ledger.outbox import Event
    from keyrig.upstream.cloud_events import Outgoing

BATCH_MAXIMUM: Final = 1000
IN_FLIGHT_MAXIMUM: Final = 100
"""The most events in flight; the broker may allow fewer."""

REFUSED_FROM: Final = 0x80
"""The first reason code that is a failure."""
PUBLISH_AT_FAULT: Final = {0x90, 0x99}
"""Topic Name invalid, Payload format invalid: the event's own fault."""
PUBLISH_STOPPED: Final = {0x87}
"""Not authorized: the broker's access list is at fault."""
CONNECT_AGAIN: Final = {0x80, 0x83, 0x88, 0x89, 0x97, 0x9F}
"""Unspecified, implementation specific, unavailable, busy, quota, connection rate: may pass by
themselves. Every other refusal of a connection needs a person."""


class MQTTTarget(Target):
    """Publishes each event at TOPIC/DEVICE/TYPE; a PUBACK without an error acknowledges it.

    One event of each device is in flight at a time, since a broker may refuse an event and
    acknowledge the next. Certificates and password are read anew with each connection.

    Args:
        settings: The upstream.
        data_folder: The folder that relative paths are below.
        client_id: Names the broker's session, unless the settings name one.
        monotonic: Returns seconds that never go back.
    """

    def __init__(
        self,
        settings: MQTTUpstream,
        data_folder: Path,
        *,
        client_id: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._home = data_folder
        self._client_id = settings.client_id or client_id
        self._monotonic = monotonic
        self._line: _Line | None = None

    @property
    @override
    def batch_maximum(self) -> int:
        return BATCH_MAXIMUM

    @override
    def deliver(self, batch: Sequence[Outgoing], within_s: float) -> Answer:
        deadline = self._monotonic() + within_s
        try:
            if self._line is None or not self._line.is_up:
                self.close()
                self._line = self._connected(min(within_s, self._settings.timeout_s))
        except SettingsError as error:
            return Answer(trouble=Trouble.STOPPED, reason=printable(str(error)))
        except _Refused as refusal:
            return Answer(trouble=refusal.trouble, reason=str(refusal))
        except (OSError, ValueError) as error:
            return Answer(trouble=Trouble.AGAIN, reason=self._said(error))
        answer = self._line.publish(batch, deadline, self._settings.timeout_s)
        if answer.trouble is not None:
            # Events that were not acknowledged are in the queue alone: drop paho's copies.
            self.close()
        return answer

    @override
    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _connected(self, within_s: float) -> _Line:
        settings = self._settings
        client = Client(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = within_s
        client.max_inflight_messages = IN_FLIGHT_MAXIMUM
        if settings.tls:
            context = client_context(
                self._home, settings.ca_file, settings.client_certificate, settings.client_key
            )
            context.sslsocket_class = _ClosingSocket
            client.tls_set_context(context)
        if settings.username is not None or settings.password is not None:
            password = settings.password.read(self._home) if settings.password else None
            client.username_pw_set(
                settings.username or "", password.get_secret_value() if password else None
            )
        line = _Line(client, settings, self._monotonic)
        try:
            line.open(within_s)
        except BaseException:
            line.close()
            raise
        return line

    def _said(self, error: OSError | ValueError) -> str:
        where = f"{self._settings.host}:{self._settings.port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{where}: its certificate is not accepted: {printable(error.verify_message)}"
        if isinstance(error, TimeoutError):
            return f"{where}: no answer in time"
        said = error.strerror if isinstance(error, OSError) else str(error)
        return f"{where}: {printable(said or type(error).__name__)}"


class _ClosingSocket(ssl.SSLSocket):
    """A socket that closes when its handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the base's form
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _Refused(Exception):
    """The broker refuses the connection."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble


class _Line:
    """One connection to a broker; paho's thread calls back into it."""

    def __init__(
        self, client: Client, settings: MQTTUpstream, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._settings = settings
        self.monotonic = monotonic
        self._where = f"{settings.host}:{settings.port}"
        self._changed = threading.Condition()
        self._answered: ReasonCode | None = None
        self._down: str | None = None
        self._acknowledged: deque[tuple[int, ReasonCode]] = deque()
        self._in_flight_maximum = IN_FLIGHT_MAXIMUM
        self._packet_maximum: int | None = None
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    @property
    def is_up(self) -> bool:
        """True while the connection is up, as far as is known."""
        with self._changed:
            return self._down is None

    def open(self, within_s: float) -> None:
        """Connect to the broker.

        Raises:
            OSError: The broker cannot be reached.
            _Refused: The broker refuses the connection.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        deadline = self.monotonic() + within_s
        self._client.connect(
            self._settings.host,
            self._settings.port,
            keepalive=self._settings.keep_alive_s,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._answered is not None or self._down is not None,
                max(0.0, deadline - self.monotonic()),
            )
            answered, down = self._answered, self._down
        if answered is not None and answered.value >= REFUSED_FROM:
            again = answered.value in CONNECT_AGAIN
            raise _Refused(
                Trouble.AGAIN if again else Trouble.STOPPED,
                f"{self._where}: the broker refuses the connection: {answered}",
            )
        if answered is None:
            raise _Refused(Trouble.AGAIN, f"{self._where}: {down or 'no answer in time'}")

    def publish(self, batch: Sequence[Outgoing], deadline: float, patience_s: float) -> Answer:
        """Publish a batch, and wait until it is acknowledged, refused or in trouble."""
        return _Publishing(self, batch).carry_out(deadline, patience_s)

    def close(self) -> None:
        """Disconnect; events in flight may arrive or not."""
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, each: Outgoing) -> int | None:
        """Send an event; return its packet identifier, or None where it cannot be sent."""
        event = each.event
        sent = self._client.publish(
            self.topic(event), each.octets, qos=1, retain=False, properties=_publish_properties()
        )
        return sent.mid if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def topic(self, event: Event) -> str:
        """Return the topic that an event is published at."""
        return f"{self._settings.topic}/{event.device}/{event.type.value}"

    def is_too_long(self, each: Outgoing) -> bool:
        """Return True if an event's packet is larger than the broker accepts.

        Source: MQTT 5, 2.1.4 and 3.3: fixed header, topic, packet identifier, properties, payload.
        """
        properties: bytes = _publish_properties().pack()  # type: ignore[no-untyped-call]
        topic = self.topic(each.event).encode()
        octets = 2 + len(topic) + 2 + len(properties) + len(each.octets)
        octets += 1 + next(length for length in range(1, 5) if octets < 128**length)
        return self._packet_maximum is not None and octets > self._packet_maximum

    @property
    def in_flight_maximum(self) -> int:
        """The most events that may be in flight."""
        return self._in_flight_maximum

    def next_acknowledgement(self, within_s: float) -> tuple[int, ReasonCode] | None:
        """Return the next acknowledged packet identifier and reason code; None if none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._acknowledged or self._down is not None, within_s)
            return self._acknowledged.popleft() if self._acknowledged else None

    @property
    def why_down(self) -> str:
        """The reason for which the connection is down."""
        with self._changed:
            return f"{self._where}: {self._down or 'no acknowledgement in time'}"

    def _on_connect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        with self._changed:
            allowed = getattr(properties, "ReceiveMaximum", None) or IN_FLIGHT_MAXIMUM
            self._in_flight_maximum = min(IN_FLIGHT_MAXIMUM, allowed)
            self._packet_maximum = getattr(properties, "MaximumPacketSize", None)
            self._answered = reason_code
            self._changed.notify_all()

    def _on_publish(
        self,
        _client: Client,
        _userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        _properties: Properties,
    ) -> None:
        with self._changed:
            self._acknowledged.append((mid, reason_code))
            self._changed.notify_all()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._changed:
            self._down = f"the connection ended: {printable(str(reason_code))}"
            self._changed.notify_all()


def _publish_properties() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = EVENT_CONTENT_TYPE
    properties.PayloadFormatIndicator = 1
    return properties


class _Publishing:
    """The publishing of one batch."""

    def __init__(self, line: _Line, batch: Sequence[Outgoing]) -> None:
        self._line = line
        self._waiting: dict[EntityIdentifier, deque[Outgoing]] = {}
        for each in batch:
            self._waiting.setdefault(each.event.device, deque()).append(each)
        self._ready = deque(self._waiting)
        self._in_flight: dict[int, Outgoing] = {}
        self._accepted: set[int] = set()
        self._refused: dict[int, str] = {}
        self._trouble: Trouble | None = None
        self._reason = ""

    def carry_out(self, deadline: float, patience_s: float) -> Answer:
        """Publish the batch: each device's next event when its last one is acknowledged.

        Args:
            deadline: When to give up, by the line's monotonic clock.
            patience_s: How long to wait for one acknowledgement.
        """
        line = self._line
        while self._send_more() and self._in_flight:
            left = min(patience_s, deadline - line.monotonic())
            acknowledged = line.next_acknowledgement(max(0.0, left))
            if acknowledged is None:
                self._give_up(Trouble.AGAIN, line.why_down)
                break
            self._take(*acknowledged)
        return Answer(
            accepted=frozenset(self._accepted),
            refused=self._refused,
            trouble=self._trouble,
            reason=self._reason,
        )

    def _send_more(self) -> bool:
        """Send the events that may be in flight; return False if the connection failed."""
        while self._ready and len(self._in_flight) < self._line.in_flight_maximum:
            if self._trouble is not None:
                break
            queue = self._waiting[self._ready.popleft()]
            each = queue.popleft()
            if self._line.is_too_long(each):
                self._refused[each.event.number] = "longer than the broker's largest packet"
                continue
            mid = self._line.send(each)
            if mid is None:
                self._give_up(Trouble.AGAIN, self._line.why_down)
                return False
            self._in_flight[mid] = each
        return True

    def _take(self, mid: int, reason_code: ReasonCode) -> None:
        each = self._in_flight.pop(mid, None)
        if each is None:
            return
        if reason_code.value < REFUSED_FROM:
            self._accepted.add(each.event.number)
            if self._waiting[each.event.device]:
                self._ready.append(each.event.device)
            return
        reason = f"the broker refuses it: {reason_code}"
        if reason_code.value in PUBLISH_AT_FAULT:
            self._refused[each.event.number] = reason
        elif reason_code.value in PUBLISH_STOPPED:
            self._give_up(Trouble.STOPPED, f"{self._line.topic(each.event)}: {reason}")
        else:
            self._give_up(Trouble.AGAIN, reason)

    def _give_up(self, trouble: Trouble, reason: str) -> None:
        if self._trouble is None:
            self._trouble, self._reason = trouble, reason
