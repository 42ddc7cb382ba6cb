"""The emulated radio: an EZSP network co-processor behind ASH, on an emulated air.

The commands it carries out are in the `commands_*` modules; what it does not have, it refuses as
firmware does, with invalidCommand.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import bellows.types as t
from typing_extensions import override

from gbcs.protocol_errors import LocalProtocolError
from meterlink.link_events import NEED_DATA, NeedData, Statistics
from meterstub.radio import ezsp_keys, ezsp_messages, ezsp_network, ezsp_setup
from meterstub.radio.ash import ASHConnection, FrameReceived, HostReset, ResetCode
from meterstub.radio.ezsp_frames import EZSPCodec, EZSPCommand, FrameUnreadable
from meterstub.radio.ezsp_handlers import (
    KeyEstablishment,
    RadioKind,
    RadioSettings,
    eui64_value,
)
from meterstub.radio.zdo_answers import NodeFacts
from meterstub.radio.zigbee_stack import (
    Incoming,
    JoinKind,
    NetworkStatus,
    Stack,
    StackOwner,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlink.link_events import Event
    from meterstub.radio.ezsp_handlers import Handler
    from meterstub.radio.radio_air import Air
    from meterstub.radio.radio_memory import NetworkMemory
    from meterstub.radio.radio_packets import RawFrame

STACK_TYPE: Final = 2
STACK_VERSIONS: Final = {8: 0x6700, 13: 0x7400}
"""EmberZNet releases that speak a version of EZSP."""
_HANDLERS: Final[dict[str, Handler]] = {
    **ezsp_setup.HANDLERS,
    **ezsp_network.HANDLERS,
    **ezsp_keys.HANDLERS,
    **ezsp_messages.HANDLERS,
}
_JOIN_DECISIONS: Final = {
    JoinKind.SECURED_REJOIN: t.EmberJoinDecision.NO_ACTION,
    JoinKind.UNSECURED_JOIN: t.EmberJoinDecision.USE_PRECONFIGURED_KEY,
    JoinKind.LEFT: t.EmberJoinDecision.NO_ACTION,
    JoinKind.UNSECURED_REJOIN: t.EmberJoinDecision.USE_PRECONFIGURED_KEY,
}
_STATUSES: Final = {
    NetworkStatus.UP: t.EmberStatus.NETWORK_UP,
    NetworkStatus.DOWN: t.EmberStatus.NETWORK_DOWN,
    NetworkStatus.JOIN_FAILED: t.EmberStatus.JOIN_FAILED,
    NetworkStatus.NO_BEACONS: t.EmberStatus.NO_BEACONS,
    NetworkStatus.NO_KEY_RECEIVED: t.EmberStatus.NO_NETWORK_KEY_RECEIVED,
}


class EmulatedRadio(StackOwner):
    """A network co-processor; used as a message connection by the host that puts it on a line.

    Args:
        kind: What it is.
        air: Where its antenna is.
        memory: What it keeps over a reset.
        random_octets: Returns that many octets.
    """

    def __init__(
        self,
        kind: RadioKind,
        *,
        air: Air,
        memory: NetworkMemory,
        random_octets: Callable[[int], bytes],
    ) -> None:
        self.kind = kind
        self.air = air
        self.memory = memory
        self.random_octets = random_octets
        self.settings = RadioSettings()
        self.blocks: dict[tuple[int, int, int], Incoming] = {}
        self.key_establishment = KeyEstablishment()
        self.commands = 0
        self._codec = EZSPCodec(kind.version)
        self._ash = ASHConnection()
        self._is_version_set = False
        self._last_sequence = 0
        self._is_answering = False
        self._callbacks: deque[tuple[str, dict[str, Any]]] = deque()
        self.stack = Stack(
            kind.eui64,
            air=air,
            owner=self,
            random_id=lambda: int.from_bytes(random_octets(2), "big"),
            state=memory.kept.network,
        )

    # What the host of the line needs.

    @property
    def statistics(self) -> Statistics:
        """Frames of the line are the radio's own affair; these counts stay at nothing."""
        return Statistics()

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """Nothing is kept for another user of the line."""
        return ()

    def line_taken(self) -> None:
        """Reset what belongs to the last user of the line."""
        self._ash.disconnect()
        if self.kind.announces_reset:
            self.restart(ResetCode.POWER_ON)

    def receive_data(self, data: bytes, now: float) -> None:
        """Process octets from the line."""
        self._ash.receive_data(data, now)
        self._serve(now)

    def handle_deadline(self, now: float) -> None:
        """Run what is due on the air and on the line."""
        self.air.run(now)
        self._ash.handle_deadline(now)
        self._serve(now)

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        deadlines = (self.air.next_deadline(), self._ash.next_deadline())
        return min((each for each in deadlines if each is not None), default=None)

    def data_to_send(self, now: float) -> bytes:
        """Return the octets for the line."""
        return self._ash.data_to_send(now)

    def next_event(self) -> Event | NeedData:
        """Return nothing: a radio has no messages of its own."""
        return NEED_DATA

    def send_message(self, octets: bytes) -> None:
        """Refuse: a radio takes commands only.

        Raises:
            LocalProtocolError: Always.
        """
        raise LocalProtocolError(f"a radio carries no message of {len(octets)} octets")

    # What commands need.

    def restart(self, code: ResetCode) -> None:
        """Start anew, as by a reset of any cause; what is in the memory stays."""
        self.stack.halt()
        self.stack.state = self.memory.kept.network
        self.settings = RadioSettings()
        self.blocks.clear()
        self.key_establishment = KeyEstablishment()
        self._is_version_set = False
        self._callbacks.clear()
        self._ash.reset(code)

    def call_back(self, name: str, **values: Any) -> None:
        """Send the host a callback; a version that has no such callback sends none."""
        if self._codec.has(name) and self._is_version_set:
            self._callbacks.append((name, values))
            self._flush()

    def facts(self) -> NodeFacts:
        """Return what the radio tells of itself to nodes that ask."""
        state = self.stack.state
        assert state is not None
        return NodeFacts(
            self.kind.eui64,
            state.node_id,
            state.node_type,
            int.from_bytes(self.memory.kept.tokens.get(3, b"\x49\x10"), "little"),
            self.settings.endpoints,
        )

    def save(self) -> None:
        """Save the network as it is."""
        self.memory.kept.network = self.stack.state
        self.memory.save()

    # What the stack tells.

    @override
    def network_changed(self, status: NetworkStatus, now: float) -> None:
        del now
        self.save()
        self.call_back("stackStatusHandler", status=_STATUSES[status])

    @override
    def message_received(self, message: Incoming, now: float) -> None:
        ezsp_messages.deliver(self, message, now)

    @override
    def node_changed(self, eui64: int, node_id: int, kind: JoinKind, *, denied: bool) -> None:
        self.save()
        state = self.stack.state
        if state is not None and eui64 in state.sleepy and not denied:
            self.call_back(
                "childJoinHandler",
                index=sorted(state.sleepy).index(eui64),
                joining=True,
                childId=node_id,
                childEui64=eui64_value(eui64),
                childType=t.EmberNodeType.SLEEPY_END_DEVICE,
            )
        decision = t.EmberJoinDecision.DENY_JOIN if denied else _JOIN_DECISIONS[kind]
        self.call_back(
            "trustCenterJoinHandler",
            newNodeId=node_id,
            newNodeEui64=eui64_value(eui64),
            status=t.EmberDeviceUpdate(int(kind)),
            policyDecision=decision,
            parentOfNewNodeId=0,
        )

    @override
    def key_switched(self, sequence: int) -> None:
        self.save()
        self.call_back("switchNetworkKeyHandler", sequenceNumber=sequence)

    @override
    def raw_received(self, frame: RawFrame, source: int, now: float) -> None:
        del source, now
        self.call_back(
            "macPassthroughMessageHandler",
            messageType=t.EmberMacPassthroughType.MAC_PASSTHROUGH_SE_INTERPAN,
            lastHopLqi=255,
            lastHopRssi=-40,
            messageContents=frame.octets,
        )

    # Serving the host.

    def _serve(self, now: float) -> None:
        while (event := self._ash.next_event()) is not None:
            if isinstance(event, HostReset):
                self.restart(ResetCode.SOFTWARE)
            elif isinstance(event, FrameReceived):
                self._receive_frame(event.octets, now)

    def _receive_frame(self, octets: bytes, now: float) -> None:
        self._is_answering = True
        try:
            command = self._codec.decode(octets)
            self._last_sequence = command.sequence
            self.commands += 1
            self._carry_out(command, now)
        except FrameUnreadable as error:
            if error.sequence is not None:
                status = t.EzspStatus.ERROR_TRUNCATED
                if error.is_unknown:
                    status = t.EzspStatus.ERROR_INVALID_FRAME_ID
                self._last_sequence = error.sequence
                self._ash.send(self._codec.encode_invalid(error.sequence, status))
        finally:
            self._is_answering = False
        self._flush()

    def _carry_out(self, command: EZSPCommand, now: float) -> None:
        if command.name == "version":
            self._ash.send(self._codec.encode_response(command, self._tell_version(command)))
            return
        handler = _HANDLERS.get(command.name)
        if not self._is_version_set or handler is None:
            status = t.EzspStatus.ERROR_INVALID_FRAME_ID
            if not self._is_version_set:
                status = t.EzspStatus.ERROR_VERSION_NOT_SET
            self._ash.send(self._codec.encode_invalid(command.sequence, status))
            return
        values = handler(self, command.arguments, now)
        self._ash.send(self._codec.encode_response(command, values))

    def _tell_version(self, command: EZSPCommand) -> dict[str, Any]:
        if command.arguments["desiredProtocolVersion"] == self.kind.version:
            self._is_version_set = True
        return {
            "protocolVersion": self.kind.version,
            "stackType": STACK_TYPE,
            "stackVersion": STACK_VERSIONS[self.kind.version],
        }

    def _flush(self) -> None:
        """Send callbacks, never between a command and its response."""
        while self._callbacks and not self._is_answering:
            name, values = self._callbacks.popleft()
            self._ash.send(self._codec.encode_callback(self._last_sequence, name, values))
