"""An emulated communications hub on the air, which a handheld terminal may join.

It takes a handheld terminal's identifier and install code by inter-PAN for an hour from its
power-on, lets it join, and relays GBCS messages between it and the devices of the home, which
are behind the hub here and not on the air.

Source: GBCS 10.4 as far as it is known; the rest is in `zse.smart_energy_assumptions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.protocol_errors import DecodeError, ProtocolError
from meterlink.link_events import NeedData
from meterstub.radio import zdo_answers
from meterstub.radio.aps_blocks import LongMessages
from meterstub.radio.emulated_key_establishment import (
    EmulatedSecret,
    emulated_ephemeral_data,
    emulated_identity,
)
from meterstub.radio.radio_packets import APSFrame, RawFrame
from meterstub.radio.zigbee_stack import (
    COORDINATOR_ID,
    Incoming,
    JoinKind,
    JoinPolicy,
    NetworkState,
    NetworkStatus,
    NodeType,
    Stack,
    StackOwner,
)
from zse import smart_energy_assumptions, tunnel
from zse.block_transfer import BlockTransfer, MessageAssembled, needs_block_transfer
from zse.install_code import link_key_of
from zse.inter_pan import InterPanFrame, decode_inter_pan, read_registration
from zse.key_establishment import (
    EphemeralKeyNeeded,
    KeyEstablished,
    Responder,
    SecretNeeded,
)
from zse.routed_block import is_block
from zse.smart_energy_commands import KEY_ESTABLISHMENT, TUNNELING, TransferDataToClient
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE
from zse.tunnel_server import TunnelServer
from zse.zcl_frames import Frame, Outgoing, decode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meterstub.hosts.line_host import Station
    from meterstub.radio.radio_air import Air, Timer
    from meterstub.radio.radio_memory import NetworkMemory

ENDPOINT: Final = 0x7B
"""Not 1, for endpoints are to be asked for."""
ENERGY_SERVICE_INTERFACE: Final = 0x0500
JOIN_TIMEOUT_S: Final = 240.0
WINDOW_CLOSED: Final = "its inter-PAN window is closed"


class _Keys:
    """Key establishment with one partner at a time, by whichever way its frames travel."""

    def __init__(self, eui64: int, random_octets: Callable[[int], bytes]) -> None:
        self._identity = emulated_identity(eui64)
        self._random_octets = random_octets
        self.machine = Responder(own_address=eui64, identity=self._identity)
        self._ephemeral = b""
        self._secret: EmulatedSecret | None = None

    def receive(self, frame: Frame, partner: int, now: float) -> bytes | None:
        """Process a frame; return the link key where it is established by it."""
        self.machine.receive(frame, partner, now)
        key = None
        while not isinstance(event := self.machine.next_event(), NeedData):
            match event:
                case EphemeralKeyNeeded():
                    self._ephemeral = emulated_ephemeral_data(self._random_octets(16))
                    self.machine.provide_ephemeral_key(self._ephemeral, now)
                case SecretNeeded():
                    self._secret = EmulatedSecret(
                        initiator=(event.identity, event.ephemeral_data),
                        responder=(self._identity, self._ephemeral),
                    )
                    self.machine.provide_macs(
                        self._secret.initiator_mac, self._secret.responder_mac, now
                    )
                case KeyEstablished() if self._secret is not None:
                    key = self._secret.link_key
                case _:
                    pass
        return key


class EmulatedHub(StackOwner):
    """A hub; on the air it is the coordinator.

    Args:
        eui64: Its radio's address, which is the GPF's Entity Identifier and the extended PAN ID.
        stations: The devices of the home, by Entity Identifier.
        air: Where it is.
        memory: What it keeps of its network.
        random_octets: Returns that many octets.
        channel: Where it forms its network.
    """

    def __init__(
        self,
        eui64: int,
        stations: Mapping[EntityIdentifier, Station],
        *,
        air: Air,
        memory: NetworkMemory,
        random_octets: Callable[[int], bytes],
        channel: int = 15,
    ) -> None:
        self.eui64 = eui64
        self.air = air
        self.memory = memory
        self._stations = dict(stations)
        self._random_octets = random_octets
        self._channel = channel
        self.window_s = smart_energy_assumptions.INTER_PAN_WINDOW_S
        self._powered_at = 0.0
        self._temporary_keys: dict[int, bytes] = {}
        self._inter_pan_keys = _Keys(eui64, random_octets)
        self._network_keys = _Keys(eui64, random_octets)
        self._sequence = 0
        self._counter = 0
        self._endpoints: dict[int, int] = {}
        self._tick: Timer | None = None
        self.refused: list[str] = []
        self.registered: list[EntityIdentifier] = []
        self.tunnels = TunnelServer(next_sequence=self._next_sequence)
        self._blocks: dict[int, BlockTransfer] = {}
        self.stack = Stack(
            eui64,
            air=air,
            owner=self,
            random_id=lambda: int.from_bytes(random_octets(2), "big"),
            state=memory.kept.network,
        )
        self._long = LongMessages(self.stack)

    def power_on(self, now: float) -> None:
        """Form the network or find it again, and open the inter-PAN window."""
        self._powered_at = now
        self.stack.hears_raw = True
        self.stack.policy = (
            JoinPolicy.ALLOW_JOINS
            | JoinPolicy.ALLOW_UNSECURED_REJOINS
            | JoinPolicy.JOINS_USE_INSTALL_CODE_KEY
        )
        if self.stack.state is None:
            self.stack.form(
                NetworkState(
                    pan_id=int.from_bytes(self._random_octets(2), "big") & 0xFFF7 or 1,
                    extended_pan_id=self.eui64,
                    channel=self._channel,
                    node_id=COORDINATOR_ID,
                    node_type=NodeType.COORDINATOR,
                    network_key=self._random_octets(16),
                    network_key_sequence=0,
                    trust_centre=self.eui64,
                ),
                now,
            )
        else:
            self.stack.resume(now)

    def poll(self, now: float) -> None:
        """Run the devices; what they say goes to whoever has a tunnel."""
        for station in self._stations.values():
            for octets in station.poll():
                for client in set(self.tunnels.tunnels.values()):
                    self._carry(octets, client)
        self._act(now)

    # What the stack tells.

    @override
    def network_changed(self, status: NetworkStatus, now: float) -> None:
        del status, now
        self.memory.kept.network = self.stack.state
        self.memory.save()

    @override
    def node_changed(self, eui64: int, node_id: int, kind: JoinKind, *, denied: bool) -> None:
        del node_id, kind
        if denied:
            self.refused.append(f"{eui64:016X} is not in the Device Log")
        self.memory.save()

    @override
    def key_switched(self, sequence: int) -> None:
        del sequence

    @override
    def raw_received(self, frame: RawFrame, source: int, now: float) -> None:
        try:
            self._receive_inter_pan(decode_inter_pan(frame.octets), source, now)
        except ProtocolError as error:
            self.refused.append(str(error))

    @override
    def message_received(self, message: Incoming, now: float) -> None:
        payload = self._long.receive(message, now)
        if payload is None:
            return
        frame = message.frame
        if frame.profile == 0:
            self._answer_zdo(message, payload, now)
            return
        try:
            command = decode_frame(frame.cluster, payload)
        except DecodeError as error:
            self.refused.append(str(error))
            return
        self._endpoints[message.sender] = frame.source_endpoint
        if frame.cluster == KEY_ESTABLISHMENT:
            key = self._network_keys.receive(command, message.sender, now)
            if key is not None and self.stack.state is not None:
                self.stack.state.link_keys[message.sender] = key
                self.memory.save()
            for outgoing in self._network_keys.machine.frames_to_send(now):
                self._send(message.sender, outgoing, KEY_ESTABLISHMENT, now)
        elif frame.cluster == TUNNELING and message.is_encrypted:
            self.tunnels.receive(command, message.sender, now)
        self._act(now)

    def _answer_zdo(self, message: Incoming, payload: bytes, now: float) -> None:
        description = zdo_answers.EndpointDescription(
            ENDPOINT,
            SMART_ENERGY_PROFILE,
            ENERGY_SERVICE_INTERFACE,
            (KEY_ESTABLISHMENT, TUNNELING),
            (KEY_ESTABLISHMENT, TUNNELING),
        )
        facts = zdo_answers.NodeFacts(
            self.eui64, COORDINATOR_ID, NodeType.COORDINATOR, 0x1049, [description]
        )
        found = zdo_answers.answer(message.frame.cluster, payload, facts)
        if found is not None:
            frame = APSFrame(0, found[0], 0, 0, self.stack.next_counter(), found[1], True)
            self._long.send(message.sender_id, frame, now, _ignored, is_encrypted=False)

    # Inter-PAN.

    def _receive_inter_pan(self, frame: InterPanFrame, source: int, now: float) -> None:
        if now >= self._powered_at + self.window_s:
            self.refused.append(WINDOW_CLOSED)
            return
        if frame.cluster == KEY_ESTABLISHMENT:
            key = self._inter_pan_keys.receive(
                decode_frame(KEY_ESTABLISHMENT, frame.payload), source, now
            )
            if key is not None:
                self._temporary_keys[source] = key
            for outgoing in self._inter_pan_keys.machine.frames_to_send(now):
                self._answer_inter_pan(frame, outgoing.encode(), None, now)
        elif frame.cluster == smart_energy_assumptions.REGISTRATION_CLUSTER and frame.is_secured:
            key = self._temporary_keys.get(source)
            if key is None:
                self.refused.append("a registration without keys")
                return
            entity, code = read_registration(frame.opened(key).payload)
            self.registered.append(EntityIdentifier(entity))
            self.stack.expect(int.from_bytes(entity, "big"), link_key_of(code), now)
            self.stack.permits_until = now + JOIN_TIMEOUT_S
            answer = bytes((smart_energy_assumptions.REGISTRATION_RESPONSE, 0))
            self._answer_inter_pan(frame, answer, key, now)

    def _answer_inter_pan(
        self, asked: InterPanFrame, payload: bytes, key: bytes | None, now: float
    ) -> None:
        state = self.stack.state
        assert state is not None
        self._counter += 1
        answer = InterPanFrame(
            asked.source_pan_id,
            asked.source,
            state.pan_id,
            self.eui64,
            asked.cluster,
            payload,
            sequence=self._counter & 0xFF,
        )
        if key is not None:
            answer = answer.sealed(key, self._counter)
        self.stack.send_raw(RawFrame(answer.encode(), state.pan_id), asked.source, now)

    # Relaying.

    def _relay(self, octets: bytes, client: int) -> None:
        try:
            recipient = Message.parse(octets, lenient_lengths=True).header.recipient
        except DecodeError as error:
            self.refused.append(str(error))
            return
        station = self._stations.get(recipient)
        if station is None:
            self.refused.append(f"no device {recipient}")
            return
        for answer in station.receive_message(octets):
            self._carry(answer, client)

    def _carry(self, octets: bytes, client: int) -> None:
        if needs_block_transfer(octets):
            self._blocks_of(client).send_message(octets)
        else:
            self.tunnels.send_data(octets, client)

    def _blocks_of(self, client: int) -> BlockTransfer:
        return self._blocks.setdefault(client, BlockTransfer())

    def _act(self, now: float) -> None:
        self.tunnels.handle_deadline(now)
        for blocks in self._blocks.values():
            blocks.handle_deadline(now)
        while self._take_events(now) or self._send_some(now):
            pass
        due = [self.tunnels.next_deadline()]
        due += [blocks.next_deadline() for blocks in self._blocks.values()]
        times = [each for each in due if each is not None]
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self.air.call_at(max(now, min(times)), self._act) if times else None

    def _take_events(self, now: float) -> bool:
        event = self.tunnels.next_event()
        if isinstance(event, tunnel.DataReceived) and event.address is not None:
            if is_block(event.octets):
                self._blocks_of(event.address).receive_data(event.octets, now)
            else:
                self._relay(event.octets, event.address)
        found = not isinstance(event, NeedData)
        for client, blocks in list(self._blocks.items()):
            assembled = blocks.next_event()
            if isinstance(assembled, MessageAssembled):
                self._relay(assembled.octets, client)
            found = found or not isinstance(assembled, NeedData)
        return found

    def _send_some(self, now: float) -> bool:
        for client, blocks in self._blocks.items():
            for octets in blocks.data_to_send(now):
                self.tunnels.send_data(octets, client)
        frames = self.tunnels.frames_to_send(now)
        for outgoing in frames:
            assert outgoing.address is not None
            self._send(outgoing.address, outgoing, TUNNELING, now)
        return bool(frames)

    def _send(self, client: int, outgoing: Outgoing, cluster: int, now: float) -> None:
        state = self.stack.state
        node_id = state.addresses.get(client) if state is not None else None
        if node_id is None:
            return

        def on_sent(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
            if isinstance(outgoing.command, TransferDataToClient):
                if is_delivered:
                    self.tunnels.handle_delivered(outgoing.sequence, client)
                else:
                    self.tunnels.handle_undelivered(outgoing.sequence, client)
                self._act(at)

        frame = APSFrame(
            SMART_ENERGY_PROFILE,
            cluster,
            ENDPOINT,
            self._endpoints.get(client, 1),
            self.stack.next_counter(),
            outgoing.encode(),
            wants_acknowledgement=True,
        )
        is_encrypted = cluster != KEY_ESTABLISHMENT
        self._long.send(node_id, frame, now, on_sent, is_encrypted=is_encrypted)

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFF
        return self._sequence


def _ignored(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
    del is_delivered, at
