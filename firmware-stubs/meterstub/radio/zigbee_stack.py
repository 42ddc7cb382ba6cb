"""The ZigBee stack of one emulated node: joining, keys, APS acknowledgements, sleeping children.

The radio's firmware and the devices that it meets both run on it. What it does is told to its
owner, a `StackOwner`. Networks are stars: the coordinator is every node's parent.

Source: ZigBee PRO R21; where it leaves room, as EmberZNet does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from meterstub.radio.radio_air import Air, AirFrame, Timer
from meterstub.radio.radio_packets import (
    COMMAND_OCTETS,
    NETWORK_OCTETS,
    APSAcknowledgement,
    APSFrame,
    AssociationRequest,
    AssociationResponse,
    Beacon,
    BeaconRequest,
    DataRequest,
    EmulatedSeal,
    Leave,
    NetworkFrame,
    NetworkKey,
    RawFrame,
    RejoinRequest,
    RejoinResponse,
    SwitchKey,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ACKNOWLEDGEMENT_WAIT_S: Final = 1.6
SLEEPY_ACKNOWLEDGEMENT_WAIT_S: Final = 7.68
RETRIES: Final = 3
INDIRECT_TIMEOUT_S: Final = 7.68
"""How long a parent keeps a frame for a sleeping child."""
SCAN_S: Final = 0.14
ASSOCIATION_WAIT_S: Final = 0.5
KEY_WAIT_S: Final = 1.7
"""apsSecurityTimeOutPeriod: how long a node that was given an address waits for the key."""
JOIN_KEY_LIFETIME_S: Final = 300.0
"""How long a key given for a node that is to join is kept."""
SEEN_LIMIT: Final = 128
COORDINATOR_ID: Final = 0x0000
NO_NODE_ID: Final = 0xFFFE
EVERYBODY: Final = 0xFFFF_FFFF_FFFF_FFFF
WELL_KNOWN_KEY: Final = b"ZigBeeAlliance09"
DEVICE_ANNOUNCE: Final = 0x0013


class NodeType(enum.IntEnum):
    """What a node is; the numbers are EZSP's."""

    COORDINATOR = 1
    ROUTER = 2
    SLEEPY_END_DEVICE = 4


class JoinPolicy(enum.IntFlag):
    """Whom a trust centre lets in; the bits are EZSP's."""

    ALLOW_JOINS = 0x01
    ALLOW_UNSECURED_REJOINS = 0x02
    JOINS_USE_INSTALL_CODE_KEY = 0x10


class JoinKind(enum.IntEnum):
    """How a node came or went; the numbers are EZSP's (EmberDeviceUpdate)."""

    SECURED_REJOIN = 0
    UNSECURED_JOIN = 1
    LEFT = 2
    UNSECURED_REJOIN = 3


class NetworkStatus(enum.Enum):
    """What became of a node's network."""

    UP = "up"
    DOWN = "down"
    JOIN_FAILED = "join failed"
    NO_BEACONS = "no network to join"
    NO_KEY_RECEIVED = "no network key received"


@dataclass(slots=True)
class NetworkState:
    """What a node keeps of its network over a reset.

    Attributes:
        pan_id: Of the network.
        extended_pan_id: Of the network.
        channel: 11..26.
        node_id: Its own address.
        node_type: What it is.
        network_key: The key in use.
        network_key_sequence: Its number.
        trust_centre: The coordinator's EUI-64.
        link_keys: By partner, keys that replaced those of joining.
        join_keys: By partner, keys that were joined with.
        addresses: Node identifiers, by EUI-64.
        sleepy: EUI-64 of children that sleep.
        next_key: A key that waits for its switch, with its number.
        update_id: Of the network.
        radio_power: dBm.
        frame_counter: Frames sent under the network key.
    """

    pan_id: int
    extended_pan_id: int
    channel: int
    node_id: int
    node_type: NodeType
    network_key: bytes = field(repr=False)
    network_key_sequence: int
    trust_centre: int
    link_keys: dict[int, bytes] = field(default_factory=dict, repr=False)
    join_keys: dict[int, bytes] = field(default_factory=dict, repr=False)
    addresses: dict[int, int] = field(default_factory=dict)
    sleepy: set[int] = field(default_factory=set)
    next_key: tuple[bytes, int] | None = field(default=None, repr=False)
    update_id: int = 0
    radio_power: int = 8
    frame_counter: int = 0

    def link_key(self, partner: int) -> bytes | None:
        """Return the key for APS encryption with a partner."""
        return self.link_keys.get(partner) or self.join_keys.get(partner)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A frame for an endpoint.

    Args:
        sender: EUI-64 of who sent it.
        sender_id: Its node identifier.
        frame: What came, its payload opened.
        payload: The octets.
        is_encrypted: Whether it came under the link key.
        is_broadcast: Whether it was for everybody.
    """

    sender: int
    sender_id: int
    frame: APSFrame
    payload: bytes
    is_encrypted: bool
    is_broadcast: bool


class StackOwner(Protocol):
    """Receives what a stack meets."""

    def network_changed(self, status: NetworkStatus, now: float) -> None:
        """Act on a network that was joined, lost, or not joined."""
        ...

    def message_received(self, message: Incoming, now: float) -> None:
        """Act on a frame that came."""
        ...

    def node_changed(self, eui64: int, node_id: int, kind: JoinKind, *, denied: bool) -> None:
        """Act on a node that a trust centre saw come or go."""
        ...

    def key_switched(self, sequence: int) -> None:
        """Act on another network key, which holds from now."""
        ...

    def raw_received(self, frame: RawFrame, source: int, now: float) -> None:
        """Act on a frame that is none of the network's."""
        ...


@dataclass(slots=True)
class _Unacknowledged:
    frame: APSFrame
    destination: int
    on_sent: Callable[[bool, float], None]
    attempts: int
    timer: Timer


@dataclass(slots=True)
class _Joining:
    extended_pan_id: int | None
    sleeps: bool
    timer: Timer | None = None
    beacons: list[tuple[int, Beacon]] = field(default_factory=list)
    parent: int | None = None
    accepted: AssociationResponse | None = None
    beacon: Beacon | None = None
    has_key: bool = False


class Stack:
    """One node's stack.

    Args:
        eui64: Its address.
        air: Where it is.
        owner: Notified of what happens.
        state: The network that it is in, or None.
        join_key: The link key that it joins with; its install code's.
        random_id: Returns numbers for addresses, 0..0xFFFF.
    """

    def __init__(
        self,
        eui64: int,
        *,
        air: Air,
        owner: StackOwner,
        random_id: Callable[[], int],
        state: NetworkState | None = None,
        join_key: bytes | None = None,
    ) -> None:
        self._eui64 = eui64
        self._air = air
        self._owner = owner
        self._random_id = random_id
        self.state = state
        self.join_key = join_key
        self.policy = JoinPolicy(0)
        self.permits_until = 0.0
        self.is_up = False
        self.is_awake = True
        self.hears_raw = False
        self._transient_keys: dict[int, tuple[bytes, float]] = {}
        self._counter = 0
        self._unacknowledged: dict[tuple[int, int, int | None], _Unacknowledged] = {}
        self._held: dict[int, list[_Held]] = {}
        self._seen: list[tuple[int, int, int | None]] = []
        self._joining: _Joining | None = None
        self.found: list[Beacon] = []
        air.attach(self)

    # What the air needs.

    @property
    def eui64(self) -> int:
        """Its address."""
        return self._eui64

    @property
    def is_listening(self) -> bool:
        """Whether its receiver is on."""
        return self.is_awake or self._joining is not None

    @property
    def channel(self) -> int | None:
        """The channel that it is tuned to; a node without a network hears all."""
        return self.state.channel if self.state is not None and self.is_up else None

    @property
    def is_coordinator(self) -> bool:
        """Whether it formed the network."""
        return self.state is not None and self.state.node_type is NodeType.COORDINATOR

    def receive_frame(self, frame: AirFrame, now: float) -> None:
        """Process a frame from the air."""
        handler = _HANDLERS.get(type(frame.content))
        if handler is not None:
            handler(self, frame.source, frame.content, now)

    # Networks.

    def form(self, state: NetworkState, now: float) -> None:
        """Form a new network, as its coordinator."""
        self.state = state
        self.permits_until = 0.0
        self.resume(now)

    def resume(self, now: float) -> None:
        """Resume the network that is kept in `state`."""
        self.is_up = True
        self._owner.network_changed(NetworkStatus.UP, now)

    def halt(self) -> None:
        """Stop, as by a reset; what is kept in `state` stays."""
        self.is_up = False
        self.permits_until = 0.0
        for each in self._unacknowledged.values():
            each.timer.cancel()
        self._unacknowledged.clear()
        self._held.clear()
        self._transient_keys.clear()
        if self._joining is not None and self._joining.timer is not None:
            self._joining.timer.cancel()
        self._joining = None

    def leave(self, now: float) -> None:
        """Leave the network and remove it from `state`."""
        if self.state is not None and self.is_up:
            self._broadcast_command(Leave(), now)
        self._forget(now)

    def scan(self, now: float, on_done: Callable[[float], None]) -> None:
        """Scan for networks; they are in `found` when `on_done` is called."""
        self.found = []
        self._send(None, BeaconRequest(), COMMAND_OCTETS, now)
        self._air.call_at(now + SCAN_S, on_done)

    def join(self, *, sleeps: bool, now: float, extended_pan_id: int | None = None) -> None:
        """Join a network that permits joining; the owner is notified of the outcome."""
        joining = _Joining(extended_pan_id, sleeps)
        self._joining = joining
        self._send(None, BeaconRequest(), COMMAND_OCTETS, now)
        joining.timer = self._air.call_at(now + SCAN_S, self._choose)

    def rejoin(self, now: float, *, has_key: bool = True) -> None:
        """Rejoin the network in `state` through its coordinator.

        Args:
            now: Monotonic seconds.
            has_key: Whether the node still has the network's key; otherwise it is sent anew.
        """
        state = self.state
        if state is None:
            return
        sleeps = state.node_type is NodeType.SLEEPY_END_DEVICE
        proof = EmulatedSeal(state.network_key, None) if has_key else None
        joining = _Joining(
            state.extended_pan_id, sleeps, parent=state.trust_centre, has_key=has_key
        )
        joining.timer = self._air.call_at(now + KEY_WAIT_S, self._join_failed)
        self._joining = joining
        request = RejoinRequest(state.node_id, sleeps, proof)
        self._send(state.trust_centre, request, COMMAND_OCTETS, now)

    def expect(self, eui64: int, key: bytes, now: float) -> None:
        """Set the key that a node is to join with; `EVERYBODY` for any."""
        self._transient_keys[eui64] = (key, now + JOIN_KEY_LIFETIME_S)

    def forget_expected(self) -> None:
        """Clear the keys of `expect`."""
        self._transient_keys.clear()

    def remove(self, eui64: int, now: float) -> bool:
        """Send a node the command to leave; True if it is known."""
        if self.state is None or eui64 not in self.state.addresses:
            return False
        self._send_sealed(eui64, Leave(), COMMAND_OCTETS, now)
        return True

    def announce_key(self, key: bytes, now: float) -> None:
        """Send every node the next network key."""
        if self.state is None:
            return
        sequence = (self.state.network_key_sequence + 1) & 0xFF
        self.state.next_key = (key, sequence)
        self._broadcast_command(NetworkKey(key, sequence), now)

    def switch_key(self, now: float) -> bool:
        """Switch every node that has it to the next network key; True if there is one."""
        if self.state is None or self.state.next_key is None:
            return False
        sequence = self.state.next_key[1]
        # The word goes out under the old key; this node's own switch follows it.
        sealed = EmulatedSeal(self.state.network_key, SwitchKey(sequence))
        frame = NetworkFrame(self.state.node_id, True, sealed)
        self._send(None, frame, NETWORK_OCTETS + COMMAND_OCTETS, now)
        self._switch(sequence)
        return True

    # APS.

    def next_counter(self) -> int:
        """Return the APS counter of the next message."""
        self._counter = (self._counter + 1) & 0xFF
        return self._counter

    def send_aps(
        self,
        destination_id: int,
        frame: APSFrame,
        now: float,
        on_sent: Callable[[bool, float], None],
        *,
        is_encrypted: bool = False,
    ) -> bool:
        """Send one frame; True if it could be tried.

        Args:
            destination_id: The node.
            frame: Its payload open; no longer than `payload_maximum`.
            now: Monotonic seconds.
            on_sent: Notified of whether the peer, or where no acknowledgement is asked for its
                radio, has it, and when.
            is_encrypted: Whether its payload goes under the link key.
        """
        destination = self.eui64_of(destination_id)
        if destination is None or not self.is_up:
            return False
        sealed = self._seal(frame, destination) if is_encrypted else frame
        if sealed is None:
            return False
        if not frame.wants_acknowledgement:
            self._send_sealed(destination, sealed, sealed.octets, now, on_sent)
            return True
        waiting = _Unacknowledged(sealed, destination, on_sent, 0, Timer(now, 0, None))
        self._unacknowledged[self._key_of(destination, frame.counter, frame.block)] = waiting
        self._try(waiting, now)
        return True

    def broadcast_aps(self, frame: APSFrame, now: float) -> None:
        """Send one frame to everybody."""
        if self.state is None:
            return
        sealed = EmulatedSeal(self.state.network_key, frame)
        packet = NetworkFrame(self.state.node_id, True, sealed)
        self._send(None, packet, NETWORK_OCTETS + frame.octets, now)

    def acknowledge(self, incoming: Incoming, now: float) -> None:
        """Acknowledge a block, which the stack leaves to its owner."""
        self._acknowledge(incoming.sender, incoming.frame, now)

    def send_raw(self, frame: RawFrame, destination: int | None, now: float) -> None:
        """Send a frame that is none of the network's."""
        self._send(destination, frame, len(frame.octets), now)

    def poll(self, now: float) -> None:
        """Request what waits at the parent."""
        if self.state is not None and self.is_up:
            self._send(self.state.trust_centre, DataRequest(), COMMAND_OCTETS, now)

    def eui64_of(self, node_id: int) -> int | None:
        """Return the EUI-64 of a node identifier, or None."""
        if self.state is None:
            return None
        for eui64, known in self.state.addresses.items():
            if known == node_id:
                return eui64
        return None

    # Sending.

    def _send(
        self,
        destination: int | None,
        content: object,
        octets: int,
        now: float,
        on_done: Callable[[bool, float], None] | None = None,
    ) -> None:
        state = self.state
        sleeps = state is not None and self.is_coordinator and destination in state.sleepy
        if sleeps and destination is not None:
            held = _Held(content, octets, on_done)
            held.timer = self._air.call_at(
                now + INDIRECT_TIMEOUT_S, lambda at: self._drop_held(destination, held, at)
            )
            self._held.setdefault(destination, []).append(held)
            return
        self._air.send(AirFrame(self._eui64, destination, content, octets), now, on_done)

    def _drop_held(self, destination: int, held: _Held, now: float) -> None:
        waiting = self._held.get(destination, [])
        if held in waiting:
            waiting.remove(held)
            if held.on_done is not None:
                held.on_done(False, now)

    def _release(self, source: int, request: DataRequest, now: float) -> None:
        del request
        for held in self._held.pop(source, []):
            if held.timer is not None:
                held.timer.cancel()
            frame = AirFrame(self._eui64, source, held.content, held.octets)
            self._air.send(frame, now, held.on_done)

    def _send_sealed(
        self,
        destination: int,
        content: object,
        octets: int,
        now: float,
        on_done: Callable[[bool, float], None] | None = None,
    ) -> None:
        if self.state is None:
            return
        self.state.frame_counter += 1
        sealed = EmulatedSeal(self.state.network_key, content)
        packet = NetworkFrame(self.state.node_id, False, sealed)
        self._send(destination, packet, NETWORK_OCTETS + octets, now, on_done)

    def _broadcast_command(self, command: object, now: float) -> None:
        if self.state is None:
            return
        sealed = EmulatedSeal(self.state.network_key, command)
        packet = NetworkFrame(self.state.node_id, True, sealed)
        self._send(None, packet, NETWORK_OCTETS + COMMAND_OCTETS, now)

    def _seal(self, frame: APSFrame, partner: int) -> APSFrame | None:
        key = self.state.link_key(partner) if self.state is not None else None
        if key is None:
            return None
        return replace(frame, payload=EmulatedSeal(key, frame.payload))

    @staticmethod
    def _key_of(
        destination: int, counter: int, block: tuple[int, int] | None
    ) -> tuple[int, int, int | None]:
        return destination, counter, block[0] if block else None

    def _try(self, waiting: _Unacknowledged, now: float) -> None:
        waiting.attempts += 1
        state = self.state
        is_sleepy = state is not None and waiting.destination in state.sleepy
        wait_s = SLEEPY_ACKNOWLEDGEMENT_WAIT_S if is_sleepy else ACKNOWLEDGEMENT_WAIT_S
        waiting.timer = self._air.call_at(now + wait_s, lambda at: self._overdue(waiting, at))
        self._send_sealed(waiting.destination, waiting.frame, waiting.frame.octets, now)

    def _overdue(self, waiting: _Unacknowledged, now: float) -> None:
        if waiting.attempts <= RETRIES:
            self._try(waiting, now)
            return
        key = self._key_of(waiting.destination, waiting.frame.counter, waiting.frame.block)
        self._unacknowledged.pop(key, None)
        waiting.on_sent(False, now)

    # Receiving.

    def _open(self, source: int, packet: NetworkFrame, now: float) -> None:
        state = self.state
        if state is None or not self.is_up:
            return
        content = packet.sealed.open(
            state.network_key, state.next_key[0] if state.next_key else None
        )
        if content is None:
            return
        if isinstance(content, APSFrame | APSAcknowledgement):
            state.addresses.setdefault(source, packet.source_id)
            self._receive_aps(source, packet, content, now)
        elif isinstance(content, NetworkKey) and source == state.trust_centre:
            state.next_key = (content.key, content.sequence)
        elif isinstance(content, SwitchKey) and source == state.trust_centre:
            self._switch(content.sequence)
        elif isinstance(content, Leave):
            self._leave_received(source, packet, now)

    def _receive_aps(
        self,
        source: int,
        packet: NetworkFrame,
        content: APSFrame | APSAcknowledgement,
        now: float,
    ) -> None:
        if isinstance(content, APSAcknowledgement):
            waiting = self._unacknowledged.pop((source, content.counter, content.block), None)
            if waiting is not None:
                waiting.timer.cancel()
                waiting.on_sent(True, now)
            return
        payload, is_encrypted = content.payload, isinstance(content.payload, EmulatedSeal)
        if isinstance(payload, EmulatedSeal):
            assert self.state is not None
            opened = payload.open(self.state.link_key(source))
            if not isinstance(opened, bytes):
                return
            payload = opened
        is_block = content.block is not None
        if content.wants_acknowledgement and not is_block and not packet.is_broadcast:
            self._acknowledge(source, content, now)
        key = self._key_of(source, content.counter, content.block)
        # An owner that acknowledges blocks must see a repeated one to acknowledge it again.
        if key in self._seen and not is_block:
            return
        self._seen.append(key)
        del self._seen[:-SEEN_LIMIT]
        if content.cluster == DEVICE_ANNOUNCE and content.profile == 0:
            self._learn(payload)
        self._owner.message_received(
            Incoming(
                source,
                packet.source_id,
                replace(content, payload=payload),
                payload,
                is_encrypted,
                packet.is_broadcast,
            ),
            now,
        )

    def _learn(self, announcement: bytes) -> None:
        """Record the address of a node that announced itself."""
        if self.state is not None:
            node_id = int.from_bytes(announcement[1:3], "little")
            self.state.addresses[int.from_bytes(announcement[3:11], "little")] = node_id

    def _acknowledge(self, destination: int, frame: APSFrame, now: float) -> None:
        answer = APSAcknowledgement(
            frame.profile,
            frame.cluster,
            frame.destination_endpoint,
            frame.source_endpoint,
            frame.counter,
            frame.block[0] if frame.block else None,
        )
        self._send_sealed(destination, answer, answer.octets, now)

    def _switch(self, sequence: int) -> None:
        state = self.state
        if state is None or state.next_key is None or state.next_key[1] != sequence:
            return
        state.network_key, state.network_key_sequence = state.next_key
        state.next_key = None
        state.frame_counter = 0
        self._owner.key_switched(sequence)

    def _leave_received(self, source: int, packet: NetworkFrame, now: float) -> None:
        state = self.state
        if state is None:
            return
        if self.is_coordinator:
            self._drop_node(source)
            self._owner.node_changed(source, packet.source_id, JoinKind.LEFT, denied=False)
        elif source == state.trust_centre and not packet.is_broadcast:
            self._broadcast_command(Leave(), now)
            self._forget(now)

    def _drop_node(self, eui64: int) -> None:
        if self.state is not None:
            self.state.addresses.pop(eui64, None)
            self.state.sleepy.discard(eui64)
            self._held.pop(eui64, None)

    def _forget(self, now: float) -> None:
        self.halt()
        self.state = None
        self._owner.network_changed(NetworkStatus.DOWN, now)

    # Joining: the network's side.

    def _show_network(self, source: int, request: BeaconRequest, now: float) -> None:
        del source, request
        state = self.state
        if state is None or not self.is_up or not self.is_coordinator:
            return
        beacon = Beacon(
            state.pan_id,
            state.extended_pan_id,
            state.channel,
            state.update_id,
            self._permits(now),
        )
        self._send(None, beacon, COMMAND_OCTETS, now)

    def _permits(self, now: float) -> bool:
        return now < self.permits_until

    def _associate(self, source: int, request: AssociationRequest, now: float) -> None:
        state = self.state
        if state is None or not self.is_up or not self.is_coordinator or not self._permits(now):
            return
        node_id = self._give_address(source, sleeps=request.sleeps)
        response = AssociationResponse(node_id, state.pan_id, state.extended_pan_id)
        # A node that joins listens, whether or not it will sleep.
        self._air.send(AirFrame(self._eui64, source, response, COMMAND_OCTETS), now)
        key = self._key_for_joining(source, now) if JoinPolicy.ALLOW_JOINS in self.policy else None
        self._hand_key(source, node_id, key, JoinKind.UNSECURED_JOIN, now)

    def _give_address(self, source: int, *, sleeps: bool) -> int:
        state = self.state
        assert state is not None
        taken = set(state.addresses.values()) | {COORDINATOR_ID}
        node_id = state.addresses.get(source, COORDINATOR_ID)
        while node_id in taken and state.addresses.get(source) != node_id:
            node_id = 1 + self._random_id() % 0xFFF0
        state.addresses[source] = node_id
        (state.sleepy.add if sleeps else state.sleepy.discard)(source)
        return node_id

    def _hand_key(
        self, source: int, node_id: int, key: bytes | None, kind: JoinKind, now: float
    ) -> None:
        state = self.state
        assert state is not None
        if key is None:
            self._drop_node(source)
            self._owner.node_changed(source, node_id, kind, denied=True)
            return
        if kind is JoinKind.UNSECURED_JOIN:
            state.join_keys[source] = key
            state.link_keys.pop(source, None)
        transported = EmulatedSeal(key, NetworkKey(state.network_key, state.network_key_sequence))
        self._air.send(AirFrame(self._eui64, source, transported, COMMAND_OCTETS + 35), now)
        self._owner.node_changed(source, node_id, kind, denied=False)

    def _key_for_joining(self, source: int, now: float) -> bytes | None:
        key, expires_at = self._transient_keys.get(source, (None, 0.0))
        if key is not None and now < expires_at:
            return key
        if JoinPolicy.JOINS_USE_INSTALL_CODE_KEY in self.policy:
            return None
        key, expires_at = self._transient_keys.get(EVERYBODY, (None, 0.0))
        return key if key is not None and now < expires_at else None

    def _take_back(self, source: int, request: RejoinRequest, now: float) -> None:
        state = self.state
        if state is None or not self.is_up or not self.is_coordinator:
            return
        is_secured = request.proof is not None
        if request.proof is not None and request.proof.key not in {
            state.network_key,
            state.next_key[0] if state.next_key else None,
        }:
            return
        key = state.link_key(source)
        if not is_secured and (
            JoinPolicy.ALLOW_UNSECURED_REJOINS not in self.policy or key is None
        ):
            self._owner.node_changed(
                source, request.node_id, JoinKind.UNSECURED_REJOIN, denied=True
            )
            return
        node_id = self._give_address(source, sleeps=request.sleeps)
        response = AirFrame(self._eui64, source, RejoinResponse(node_id), COMMAND_OCTETS)
        self._air.send(response, now)
        if is_secured:
            self._owner.node_changed(source, node_id, JoinKind.SECURED_REJOIN, denied=False)
        else:
            self._hand_key(source, node_id, key, JoinKind.UNSECURED_REJOIN, now)

    # Joining: the node's side.

    def _hear_beacon(self, source: int, beacon: Beacon, now: float) -> None:
        del now
        self.found.append(beacon)
        if self._joining is not None and self._joining.parent is None:
            self._joining.beacons.append((source, beacon))

    def _hear_raw(self, source: int, frame: RawFrame, now: float) -> None:
        if self.hears_raw:
            self._owner.raw_received(frame, source, now)

    def _choose(self, now: float) -> None:
        joining = self._joining
        if joining is None:
            return
        for source, beacon in joining.beacons:
            is_wanted = joining.extended_pan_id in {None, beacon.extended_pan_id}
            if beacon.permits_joining and is_wanted:
                joining.parent, joining.beacon = source, beacon
                request = AssociationRequest(joining.sleeps)
                self._send(source, request, COMMAND_OCTETS, now)
                joining.timer = self._air.call_at(now + ASSOCIATION_WAIT_S, self._join_failed)
                return
        self._join_ended(NetworkStatus.NO_BEACONS, now)

    def _associated(self, source: int, response: AssociationResponse, now: float) -> None:
        joining = self._joining
        if joining is None or source != joining.parent:
            return
        joining.accepted = response
        if joining.timer is not None:
            joining.timer.cancel()
        joining.timer = self._air.call_at(now + KEY_WAIT_S, self._no_key)

    def _key_transported(self, source: int, sealed: EmulatedSeal, now: float) -> None:
        joining, state = self._joining, self.state
        if joining is None or source != joining.parent:
            return
        own = state.link_key(source) if state is not None else None
        content = sealed.open(own, self.join_key)
        if not isinstance(content, NetworkKey):
            return
        if joining.accepted is not None and joining.beacon is not None and self.join_key:
            self.state = NetworkState(
                pan_id=joining.accepted.pan_id,
                extended_pan_id=joining.accepted.extended_pan_id,
                channel=joining.beacon.channel,
                node_id=joining.accepted.node_id,
                node_type=NodeType.SLEEPY_END_DEVICE if joining.sleeps else NodeType.ROUTER,
                network_key=content.key,
                network_key_sequence=content.sequence,
                trust_centre=source,
                join_keys={source: self.join_key},
                addresses={source: COORDINATOR_ID},
                update_id=joining.beacon.update_id,
            )
        elif state is not None:
            state.network_key, state.network_key_sequence = content.key, content.sequence
            state.next_key = None
        self._join_ended(NetworkStatus.UP, now)

    def _taken_back(self, source: int, response: RejoinResponse, now: float) -> None:
        del source
        joining, state = self._joining, self.state
        if joining is None or state is None:
            return
        state.node_id = response.node_id
        # A node that sent no proof is in the network once it has the key.
        if joining.has_key:
            self._join_ended(NetworkStatus.UP, now)

    def _no_key(self, now: float) -> None:
        self._join_ended(NetworkStatus.NO_KEY_RECEIVED, now)

    def _join_failed(self, now: float) -> None:
        self._join_ended(NetworkStatus.JOIN_FAILED, now)

    def _join_ended(self, status: NetworkStatus, now: float) -> None:
        joining, self._joining = self._joining, None
        if joining is not None and joining.timer is not None:
            joining.timer.cancel()
        if status is NetworkStatus.UP:
            self.is_up = True
            self._announce(now)
        self._owner.network_changed(status, now)

    def _announce(self, now: float) -> None:
        state = self.state
        if state is None:
            return
        capability = 0x80 if state.node_type is NodeType.SLEEPY_END_DEVICE else 0x8E
        payload = (
            bytes((self._counter,))
            + state.node_id.to_bytes(2, "little")
            + self._eui64.to_bytes(8, "little")
            + bytes((capability,))
        )
        frame = APSFrame(0, DEVICE_ANNOUNCE, 0, 0, self.next_counter(), payload, False)
        self.broadcast_aps(frame, now)


@dataclass(slots=True, eq=False)
class _Held:
    content: object
    octets: int
    on_done: Callable[[bool, float], None] | None
    timer: Timer | None = None


_HANDLERS: Final[dict[type, Callable[[Stack, int, Any, float], None]]] = {
    BeaconRequest: Stack._show_network,  # noqa: SLF001 - the class's own table
    Beacon: Stack._hear_beacon,  # noqa: SLF001
    AssociationRequest: Stack._associate,  # noqa: SLF001
    AssociationResponse: Stack._associated,  # noqa: SLF001
    EmulatedSeal: Stack._key_transported,  # noqa: SLF001
    RejoinRequest: Stack._take_back,  # noqa: SLF001
    RejoinResponse: Stack._taken_back,  # noqa: SLF001
    DataRequest: Stack._release,  # noqa: SLF001
    NetworkFrame: Stack._open,  # noqa: SLF001
    RawFrame: Stack._hear_raw,  # noqa: SLF001
}
