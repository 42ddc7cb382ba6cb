"""An emulated ZigBee device: joins, establishes keys, and carries messages to a station.

What devices have in common is here; how they carry messages is in `mains_node` and
`sleepy_node`. A node lives on the air's time; all its waiting is done by the air's timers.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import zigpy.zdo.types as zdo_types
from typing_extensions import override

from gbcs.protocol_errors import DecodeError, RemoteProtocolError
from meterlink.link_events import NeedData
from meterstub.device_memory import PowerLost
from meterstub.radio import zdo_answers
from meterstub.radio.aps_blocks import LongMessages
from meterstub.radio.node_key_establishment import KeyEstablishing
from meterstub.radio.radio_packets import APSFrame
from meterstub.radio.zigbee_stack import (
    COORDINATOR_ID,
    Incoming,
    JoinKind,
    NetworkStatus,
    NodeType,
    Stack,
    StackOwner,
)
from zse.block_transfer import (
    BlockTransfer,
    MessageAssembled,
    needs_block_transfer,
)
from zse.routed_block import is_block
from zse.smart_energy_commands import KEY_ESTABLISHMENT, METERING, TUNNELING
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE
from zse.zcl_frames import Frame, Outgoing, decode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterstub.hosts.line_host import Station
    from meterstub.radio.radio_air import Air, Timer
    from meterstub.radio.radio_memory import NetworkMemory
    from meterstub.radio.radio_packets import RawFrame
    from zse.key_establishment import KeyEstablishmentFailed

ENDPOINT: Final = 1
BASIC: Final = 0x0000
JOIN_RETRY_S: Final = 1.0
"""How long a node that found no network lets pass until it looks again."""
KEYS_RETRY_S: Final = 2.0
MATCH_REQUEST: Final = int(zdo_types.ZDOCmd.Match_Desc_req)
MATCH_RESPONSE: Final = MATCH_REQUEST | zdo_answers.RESPONSE
MANUFACTURER_CODE: Final = 0x1049
DEVICE_IDS: Final = {"ESME": 0x0501, "GSME": 0x0501, "HCALCS": 0x0504, "PPMID": 0x0502}
"""What devices are within the Smart Energy profile; others are called meters. ZSE 1.4, 5.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """How a node behaves.

    Args:
        eui64: Its address, which is the device's Entity Identifier.
        device_type: Of the device, for what it says it is.
        install_code_key: The link key that its install code gives.
        wake_interval_s: How often a sleeping node wakes.
        join_delay_s: How long it waits before it looks for a network.
    """

    eui64: int
    device_type: str
    install_code_key: bytes
    wake_interval_s: float = 1800.0
    join_delay_s: float = 0.0


class EmulatedNode(StackOwner, abc.ABC):
    """One device on the air.

    Args:
        settings: How it behaves.
        station: The device behind it.
        air: Where it is.
        memory: What it keeps of its network without power.
        random_octets: Returns that many octets.
    """

    node_type: NodeType = NodeType.ROUTER

    def __init__(
        self,
        settings: NodeSettings,
        station: Station,
        *,
        air: Air,
        memory: NetworkMemory,
        random_octets: Callable[[int], bytes],
    ) -> None:
        self.settings = settings
        self.station = station
        self.air = air
        self.memory = memory
        self.failure: PowerLost | None = None
        self.refused: list[RemoteProtocolError] = []
        self.key_failures: list[KeyEstablishmentFailed] = []
        self.stack = Stack(
            settings.eui64,
            air=air,
            owner=self,
            random_id=lambda: int.from_bytes(random_octets(2), "big"),
            state=memory.kept.network,
            join_key=settings.install_code_key,
        )
        self.blocks = BlockTransfer()
        self._long = LongMessages(self.stack)
        self._hub_endpoint: int | None = None
        self._sequence = 0
        self._keys = KeyEstablishing(settings.eui64, random_octets, self._next_sequence)
        self._tick: Timer | None = None

    # Power and time.

    def power_on(self, now: float) -> None:
        """Resume the network that is remembered, or look for one."""
        if self.stack.state is None:
            self.air.call_at(now + self.settings.join_delay_s, self._look_for_network)
        else:
            self.stack.is_up = True
            self.air.call_at(now, lambda at: self.network_changed(NetworkStatus.UP, at))

    def power_off(self) -> None:
        """Detach from the air, as when the power goes."""
        self.stack.halt()
        self.air.detach(self.settings.eui64)

    def poll(self, now: float) -> None:
        """Run the device, and send what it says."""
        if self.failure is None and self.is_ready:
            self._serve(self.station.poll, now)

    def leave(self, now: float) -> None:
        """Leave the network, and look for one again."""
        self.stack.leave(now)

    @property
    def is_ready(self) -> bool:
        """Whether it is in a network and has established keys."""
        state = self.stack.state
        return self.stack.is_up and state is not None and state.trust_centre in state.link_keys

    def _look_for_network(self, now: float) -> None:
        if not self.stack.is_up and self.failure is None:
            self.stack.join(sleeps=self.node_type is NodeType.SLEEPY_END_DEVICE, now=now)

    # What the stack tells.

    @override
    def network_changed(self, status: NetworkStatus, now: float) -> None:
        self.memory.kept.network = self.stack.state
        self.memory.save()
        if status is NetworkStatus.UP:
            self._find_hub(now)
        else:
            self._hub_endpoint = None
            self.network_lost(now)
            retry_s = JOIN_RETRY_S
            if self.stack.state is None:
                self.air.call_at(now + retry_s, self._look_for_network)
            else:
                self.air.call_at(now + retry_s, self._look_for_own_network)

    def _look_for_own_network(self, now: float) -> None:
        """Rejoin the network, with its key first and without it next."""
        if not self.stack.is_up and self.failure is None:
            self.stack.rejoin(now, has_key=False)

    @override
    def message_received(self, message: Incoming, now: float) -> None:
        payload = self._long.receive(message, now)
        if payload is None:
            return
        if message.frame.profile == 0:
            self._receive_zdo(message, payload, now)
            return
        if message.frame.profile != SMART_ENERGY_PROFILE:
            return
        try:
            frame = decode_frame(message.frame.cluster, payload)
        except DecodeError as error:
            self.refused.append(error)
            return
        if message.frame.cluster == KEY_ESTABLISHMENT:
            self._keys.receive(frame, now)
            self._settle_keys(now)
        elif message.is_encrypted and message.frame.cluster == TUNNELING:
            self._hub_endpoint = message.frame.source_endpoint
            self.receive_tunnelling(frame, now)
        elif message.is_encrypted and message.frame.cluster == METERING:
            self.receive_metering(frame, now)
        self.act(now)

    @override
    def node_changed(self, eui64: int, node_id: int, kind: JoinKind, *, denied: bool) -> None:
        """Do nothing: only trust centres see nodes come and go."""
        del eui64, node_id, kind, denied

    @override
    def key_switched(self, sequence: int) -> None:
        del sequence
        self.memory.save()

    @override
    def raw_received(self, frame: RawFrame, source: int, now: float) -> None:
        """Do nothing: devices have no use for such frames."""
        del frame, source, now

    def _receive_zdo(self, message: Incoming, payload: bytes, now: float) -> None:
        cluster = message.frame.cluster
        if cluster == MATCH_RESPONSE and len(payload) > 5 and payload[4]:
            self._hub_endpoint = payload[5]
            self._begin_keys(now)
            return
        state = self.stack.state
        assert state is not None
        facts = zdo_answers.NodeFacts(
            self.settings.eui64,
            state.node_id,
            self.node_type,
            MANUFACTURER_CODE,
            [self._endpoint()],
        )
        found = zdo_answers.answer(cluster, payload, facts)
        if found is not None:
            self._send_zdo(*found, now)

    def _endpoint(self) -> zdo_answers.EndpointDescription:
        return zdo_answers.EndpointDescription(
            ENDPOINT,
            SMART_ENERGY_PROFILE,
            DEVICE_IDS.get(self.settings.device_type, 0x0501),
            *self.clusters(),
        )

    # Keys.

    def _find_hub(self, now: float) -> None:
        """Send the coordinator a match request for the endpoint that has key establishment."""
        state = self.stack.state
        if state is None or not self.stack.is_up:
            return
        if self.is_ready:
            self.keys_established(now)
            return
        request = (
            bytes((self._next_sequence(),))
            + COORDINATOR_ID.to_bytes(2, "little")
            + SMART_ENERGY_PROFILE.to_bytes(2, "little")
            + bytes((1,))
            + KEY_ESTABLISHMENT.to_bytes(2, "little")
            + bytes((0,))
        )
        self._send_zdo(MATCH_REQUEST, request, now)
        self.air.call_at(now + KEYS_RETRY_S, self._retry_keys)

    def _retry_keys(self, now: float) -> None:
        if not self.is_ready and not self._keys.is_under_way and self.failure is None:
            self._find_hub(now)

    def _begin_keys(self, now: float) -> None:
        state = self.stack.state
        if state is not None and not self.is_ready and not self._keys.is_under_way:
            self._keys.begin(state.trust_centre, now)
            self._settle_keys(now)
            self.act(now)

    def _settle_keys(self, now: float) -> None:
        link_key = self._keys.take_link_key()
        state = self.stack.state
        if link_key is not None and state is not None:
            state.link_keys[state.trust_centre] = link_key
            self.memory.save()
            self.keys_established(now)
        elif self._keys.failure is not None:
            failure, self._keys.failure = self._keys.failure, None
            self.key_failures.append(failure)
            self.air.call_at(max(now + KEYS_RETRY_S, failure.wait_until), self._retry_keys)

    # What kinds of node do.

    @abc.abstractmethod
    def clusters(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the clusters of which it is the server, and those of which it is the client."""

    @abc.abstractmethod
    def keys_established(self, now: float) -> None:
        """Start to carry messages."""

    @abc.abstractmethod
    def network_lost(self, now: float) -> None:
        """Stop carrying messages until there is a network again."""

    @abc.abstractmethod
    def receive_tunnelling(self, frame: Frame, now: float) -> None:
        """Process a command of the Tunneling cluster."""

    def receive_metering(self, frame: Frame, now: float) -> None:
        """Process a command of the Metering cluster; a mains-powered device needs none."""
        del frame, now

    @abc.abstractmethod
    def carry(self, octets: bytes) -> None:
        """Queue data for the hub: a message or a block of one."""

    @abc.abstractmethod
    def pump(self, now: float) -> None:
        """Act on what is due, send what is ready, take what came."""

    @abc.abstractmethod
    def deadlines(self) -> list[float | None]:
        """Return when `pump` is due."""

    # Messages.

    def take_data(self, octets: bytes, now: float) -> None:
        """Process data from the hub: a message or a block of one."""
        if is_block(octets):
            self.blocks.receive_data(octets, now)
        else:
            self._serve(lambda: self.station.receive_message(octets), now)

    def _serve(self, ask: Callable[[], list[bytes]], now: float) -> None:
        """Run the device; what it says goes to the hub."""
        try:
            answers = ask()
        except PowerLost as error:
            self.failure = error
            self.power_off()
            return
        for octets in answers:
            if needs_block_transfer(octets):
                self.blocks.send_message(octets)
            else:
                self.carry(octets)
        if answers:
            self.act(now)

    def act(self, now: float) -> None:
        """Carry out all that can be done now, and schedule the rest."""
        if self.failure is not None or not self.stack.is_up:
            return
        self._keys.handle_deadline(now)
        self._settle_keys(now)
        self.blocks.handle_deadline(now)
        for outgoing in self._keys.frames_to_send(now):
            self.send_command(outgoing, KEY_ESTABLISHMENT, now, is_encrypted=False)
        if self.is_ready:
            self._pump_blocks(now)
            self.pump(now)
            self._pump_blocks(now)
        self._arm(now)

    def _pump_blocks(self, now: float) -> None:
        for octets in self.blocks.data_to_send(now):
            self.carry(octets)
        while not isinstance(event := self.blocks.next_event(), NeedData):
            if isinstance(event, MessageAssembled):
                message = event.octets
                self._serve(lambda message=message: self.station.receive_message(message), now)  # type: ignore[misc]

    def _arm(self, now: float) -> None:
        due = [
            each
            for each in (*self.deadlines(), self.blocks.next_deadline(), self._keys.next_deadline())
            if each is not None
        ]
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        if due:
            self._tick = self.air.call_at(max(now, min(due)), self.act)

    # Sending.

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFF
        return self._sequence

    def send_command(
        self,
        outgoing: Outgoing,
        cluster: int,
        now: float,
        *,
        is_encrypted: bool = True,
        on_sent: Callable[[bool, float], None] | None = None,
    ) -> None:
        """Send a command to the hub."""
        self.send_octets(
            outgoing.encode(), cluster, now, is_encrypted=is_encrypted, on_sent=on_sent
        )

    def send_octets(
        self,
        octets: bytes,
        cluster: int,
        now: float,
        *,
        is_encrypted: bool = True,
        on_sent: Callable[[bool, float], None] | None = None,
    ) -> None:
        """Send a ZCL frame to the hub."""
        frame = APSFrame(
            SMART_ENERGY_PROFILE,
            cluster,
            ENDPOINT,
            self._hub_endpoint or ENDPOINT,
            self.stack.next_counter(),
            octets,
            wants_acknowledgement=True,
        )
        self._long.send(COORDINATOR_ID, frame, now, on_sent or _ignored, is_encrypted=is_encrypted)

    def _send_zdo(self, cluster: int, payload: bytes, now: float) -> None:
        frame = APSFrame(0, cluster, 0, 0, self.stack.next_counter(), payload, True)
        self._long.send(COORDINATOR_ID, frame, now, _ignored, is_encrypted=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.device_type} {self.settings.eui64:016X})"


def _ignored(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
    del is_delivered, at
