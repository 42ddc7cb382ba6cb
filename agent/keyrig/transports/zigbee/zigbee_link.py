"""The link to one device over the rig's ZigBee radio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from gbcs.protocol_errors import LocalProtocolError
from keyrig.base import events
from keyrig.base.errors import LinkClosed
from keyrig.base.observing import Observer, unobserved
from keyrig.session.link import Link, LinkStatistics

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.transports.zigbee.radio_thread import Radio
    from keyrig.transports.zigbee.tunnel_session import Reached


class ZigBeeLink(Link):
    """A link through a tunnel, or for a GSME through its mirror and GET/PUT.

    `send` returns once the device has the whole message. A GSME fetches it when it wakes, so
    there `send` waits for that, up to `wakes_within_s`.

    Args:
        radio: The rig's radio; it is started by the first link that is opened.
        device: The device, whose Entity Identifier is its address.
        link_key: The key that its install code yields.
        sleeps: Whether it sleeps.
        timeout_s: How long joining, key establishment and opening a tunnel may take in all.
        wakes_within_s: How long a device that sleeps may take to fetch a message.
        send_timeout_s: How long another device may take to acknowledge one.
        observe: Called with the event of a device that is waited for.
    """

    def __init__(
        self,
        radio: Radio,
        device: EntityIdentifier,
        *,
        link_key: bytes,
        sleeps: bool,
        timeout_s: float,
        wakes_within_s: float,
        send_timeout_s: float,
        observe: Observer = unobserved,
    ) -> None:
        self._radio = radio
        self._device = device
        self._eui64 = int.from_bytes(device, "big")
        self._link_key = link_key
        self._sleeps = sleeps
        self._timeout_s = timeout_s
        self._wakes_within_s = wakes_within_s
        self._send_timeout_s = send_timeout_s
        self._observe = observe
        self._session: Reached | None = None

    @property
    @override
    def name(self) -> str:
        return f"{self._device} by radio {self._radio.settings.name}"

    @property
    @override
    def statistics(self) -> LinkStatistics:
        # Retransmissions are left to the radio, which does not report them.
        return LinkStatistics(frames=self._session.frames if self._session else 0)

    def open(self) -> None:
        """Start the radio where needed, and bring the device to where messages can be sent to it.

        Raises:
            RadioUnusable: The radio does not start.
            NodeUnreachable: The device did not join, or not establish keys, or has no tunnel.
        """
        if self._session is not None:
            return
        self._radio.start()
        session = self._radio.session(self._eui64, name=self.name, sleeps=self._sleeps)
        self._radio.reach(self._eui64, self._link_key, session, self._timeout_s)
        self._session = session

    @override
    def close(self) -> None:
        # The device stays in the network, and the radio on.
        self._session = None

    @override
    def send(self, message: bytes) -> None:
        session = self._require_open()
        if not message:
            raise LocalProtocolError("a message of no octets")
        timeout_s = self._send_timeout_s
        if self._sleeps:
            timeout_s = self._wakes_within_s
            self._observe(
                events.WaitingForWake(
                    device=str(self._device),
                    link=self.name,
                    at_most_s=self._wakes_within_s,
                )
            )
        self._radio.send(session, message, timeout_s)

    @override
    def receive(self, timeout_s: float) -> bytes:
        return self._radio.receive(self._require_open(), timeout_s)

    def _require_open(self) -> Reached:
        if self._session is None:
            raise LinkClosed(self.name, "not open")
        return self._session
