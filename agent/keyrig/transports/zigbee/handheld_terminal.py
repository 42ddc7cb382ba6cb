"""The radio as a handheld terminal, which joins a hub's network and has the hub relay messages.

zigpy and bellows' controller know coordinators only, so this goes through bellows' EZSP layer.
What GBCS says of it is known in outline; what had to be assumed is in
`zse.smart_energy_assumptions`, except that the handheld terminal is the tunnel's client, which this
module is built on.

Source: GBCS 10.4 (informative text); ZSE 1.4, annexes B and C.
"""

# Much of bellows has no annotations.
# mypy: disable-error-code="misc,no-untyped-call,arg-type"

from __future__ import annotations

import asyncio
import queue
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import bellows.types as t
from bellows.ezsp import EZSP
from typing_extensions import override

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.protocol_errors import DecodeError
from keyrig.base import events
from keyrig.base.errors import NodeUnreachable, RadioError, RadioRefused
from keyrig.base.observing import Observer, unobserved
from keyrig.transports.zigbee.radio_role import FAULTS, RadioRole, RoleSettings, dashed, reason_of
from keyrig.transports.zigbee.smart_energy_ezsp import ENDPOINT, SmartEnergyRadio
from keyrig.transports.zigbee.tunnel_session import MainsSession, Reached
from meterlink.link_events import NeedData
from zse import smart_energy_assumptions
from zse.install_code import link_key_of
from zse.inter_pan import InterPanFrame, decode_inter_pan, registration
from zse.key_establishment import (
    EphemeralKeyNeeded,
    Initiator,
    KeyEstablished,
    KeyEstablishmentFailed,
    SecretNeeded,
)
from zse.smart_energy_commands import KEY_ESTABLISHMENT, TUNNELING
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE
from zse.zcl_frames import Frame, Outgoing, decode_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from keyrig.base.errors import RadioLost

START_TIMEOUT_S: Final = 40.0
ANSWER_TIMEOUT_S: Final = 10.0
"""How long the hub may take to answer a registration, or a request for its endpoint."""
JOIN_TIMEOUT_S: Final = 20.0
SCAN_DURATION: Final = 3
"""2^3 + 1 superframes of 15.36 ms on each channel."""
COORDINATOR_ID: Final = 0x0000
IN_HOME_DISPLAY: Final = 0x0502
"""The device identifier of a handheld terminal in the profile; no source has a number for it."""
MATCH_REQUEST: Final = 0x0006
MATCH_RESPONSE: Final = 0x8006
RAW_MESSAGES_END: Final = 14
"""The first version of EZSP in which bellows knows no raw messages, which inter-PAN needs."""
NO_PAN: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class HandheldSettings:
    """The hub to join, and this terminal's install code.

    Args:
        hub: The GPF Entity Identifier printed on the hub, as an EUI-64; it is the hub's radio
            address and its network's extended PAN ID.
        install_code: The handheld terminal's own, 16 octets.
    """

    hub: int
    install_code: bytes = field(repr=False)


class _Relayed(Reached):
    """A device behind the hub; a message to it is delivered once the hub has it, and relays it."""

    sleeps = False

    def __init__(self, name: str, handheld: Handheld) -> None:
        self.name = name
        self.frames = 0
        self.inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._handheld = handheld

    @override
    async def send_message(self, octets: bytes) -> None:
        await self._handheld.tunnel.send_message(octets)


class _Sorter(queue.SimpleQueue[bytes]):
    """Passes messages that the hub relays to the sessions of the devices that they are from."""

    def __init__(self, sessions: dict[EntityIdentifier, _Relayed], observe: Observer) -> None:
        super().__init__()
        self._sessions = sessions
        self._observe = observe

    @override
    def put(self, item: bytes, block: bool = True, timeout: float | None = None) -> None:
        del block, timeout
        try:
            originator = Message.parse(item, lenient_lengths=True).header.originator
        except DecodeError as error:
            self._observe(events.Noise(link="hub", reason=str(error)))
            return
        session = self._sessions.get(originator)
        if session is not None:
            session.frames += 1
            session.inbox.put(item)


class Handheld(RadioRole):
    """A handheld terminal.

    Args:
        settings: The radio.
        joining: The hub to join.
        observe: Called with each event.
    """

    def __init__(
        self,
        settings: RoleSettings,
        joining: HandheldSettings,
        observe: Observer = unobserved,
    ) -> None:
        super().__init__(settings, observe)
        self._joining = joining
        self._hub = joining.hub
        self._ezsp: EZSP | None = None
        self._radio: SmartEnergyRadio | None = None
        self._own = 0
        self._counter = 0
        self._hub_endpoint = ENDPOINT
        self._sessions: dict[EntityIdentifier, _Relayed] = {}
        self._tunnel: MainsSession | None = None
        self._queue: asyncio.Queue[tuple[Outgoing, int]] = asyncio.Queue()
        self._inter_pan: asyncio.Queue[InterPanFrame] = asyncio.Queue()
        self._keys: asyncio.Queue[Frame] = asyncio.Queue()
        self._matches: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def tunnel(self) -> MainsSession:
        """The tunnel to the hub."""
        assert self._tunnel is not None
        return self._tunnel

    # Start, loss and return of the radio.

    async def _connect(self) -> None:
        settings = self.settings
        device = {
            "path": settings.url,
            "baudrate": settings.baud,
            "flow_control": settings.flow_control,
        }
        ezsp = self._ezsp = EZSP(device, self)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await ezsp.connect(use_thread=False)
                await ezsp.write_config({})
                await self._prepare(ezsp)
                if not await self._resume(ezsp):
                    await self._enter(ezsp)
        except BaseException:
            await self._disconnect()
            raise
        await self._open_tunnel()

    async def _prepare(self, ezsp: EZSP) -> None:
        clusters = [KEY_ESTABLISHMENT, TUNNELING]
        await ezsp.addEndpoint(
            endpoint=ENDPOINT,
            profileId=SMART_ENERGY_PROFILE,
            deviceId=IN_HOME_DISPLAY,
            deviceVersion=0,
            inputClusterCount=len(clusters),
            outputClusterCount=len(clusters),
            inputClusterList=clusters,
            outputClusterList=clusters,
        )
        self._radio = SmartEnergyRadio(ezsp, self.where)
        await self._radio.prepare()
        ezsp.add_callback(self._callback)
        (own,) = await ezsp.getEui64()
        self._own = int.from_bytes(own.serialize(), "little")

    async def _resume(self, ezsp: EZSP) -> bool:
        """Resume the network that the radio remembers; return True if there is one."""
        with ezsp.wait_for_stack_status(t.sl_Status.NETWORK_UP) as up:
            status = await ezsp.initialize_network()
            if status != t.sl_Status.OK:
                return False
            await up
        return True

    async def _enter(self, ezsp: EZSP) -> None:
        """Register with the hub by inter-PAN, join its network, and establish keys there."""
        network = await self._find_network(ezsp)
        self._tell_state(self._hub, "registering by inter-PAN")
        await self._register(ezsp, network)
        self._tell_state(self._hub, "joining")
        await self._join(ezsp, network)
        if smart_energy_assumptions.INTER_PAN_IS_KEYED_ANEW:
            self._hub_endpoint = await self._find_endpoint()
            await self._establish(self._send_keys, self._keys)
        self._observe(events.KeysEstablished(device=dashed(self._hub)))

    async def _find_network(self, ezsp: EZSP) -> Any:
        found = await ezsp.startScan(
            scanType=t.EzspNetworkScanType.ACTIVE_SCAN,
            channelMask=t.Channels.from_channel_list([self.settings.channel]),
            duration=SCAN_DURATION,
        )
        for network, *_ in found:
            if int.from_bytes(network.extendedPanId.serialize(), "little") == self._hub:
                self._observe(
                    events.Network(
                        radio=self.settings.name,
                        channel=int(network.channel),
                        pan_id=f"{int(network.panId):04X}",
                        extended_pan_id=dashed(self._hub),
                        version="",
                    )
                )
                return network
        raise NodeUnreachable(
            f"hub {dashed(self._hub)}",
            f"its network is not heard on channel {self.settings.channel}",
        )

    # Inter-PAN.

    async def _register(self, ezsp: EZSP, network: Any) -> None:
        if ezsp.ezsp_version >= RAW_MESSAGES_END:
            what = f"raw messages, which EZSP {ezsp.ezsp_version} has no more"
            raise RadioRefused(self.where, what)
        await ezsp.setValue(
            valueId=t.EzspValueId.VALUE_MAC_PASSTHROUGH_FLAGS,
            value=bytes((int(t.EmberMacPassthroughType.MAC_PASSTHROUGH_SE_INTERPAN),)),
        )
        await ezsp.setRadioChannel(channel=network.channel)
        pan_id = int(network.panId)
        replies: asyncio.Queue[Frame] = asyncio.Queue()

        async def send(octets: bytes) -> None:
            await self._send_inter_pan(pan_id, KEY_ESTABLISHMENT, octets)

        sorting = asyncio.get_running_loop().create_task(self._sort_inter_pan(replies))
        try:
            await self._establish(send, replies)
        finally:
            sorting.cancel()
        key = await self._link_key(ezsp)
        octets = registration(self._own.to_bytes(8, "big"), self._joining.install_code)
        await self._send_inter_pan(
            pan_id, smart_energy_assumptions.REGISTRATION_CLUSTER, octets, key
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = (await self._inter_pan.get()).opened(key).payload
        except TimeoutError:
            raise self._unreachable("it does not answer the registration") from None
        if answer != bytes((smart_energy_assumptions.REGISTRATION_RESPONSE, 0)):
            raise self._unreachable(f"it refuses the registration ({answer.hex()})")

    async def _sort_inter_pan(self, replies: asyncio.Queue[Frame]) -> None:
        while True:
            frame = await self._inter_pan.get()
            if frame.cluster == KEY_ESTABLISHMENT:
                replies.put_nowait(decode_frame(KEY_ESTABLISHMENT, frame.payload))

    async def _send_inter_pan(
        self, pan_id: int, cluster: int, payload: bytes, key: bytes | None = None
    ) -> None:
        assert self._ezsp is not None
        self._counter += 1
        frame = InterPanFrame(
            pan_id, self._hub, NO_PAN, self._own, cluster, payload, sequence=self._counter & 0xFF
        )
        if key is not None:
            frame = frame.sealed(key, self._counter)
        await self._ezsp.sendRawMessage(messageContents=frame.encode())

    async def _link_key(self, ezsp: EZSP) -> bytes:
        """Return the key that was just established with the hub."""
        async for key in ezsp.read_link_keys():
            if int.from_bytes(key.partner_ieee.serialize(), "little") == self._hub:
                return bytes(key.key.serialize())
        raise self._unreachable("the radio does not give the key that was established with it")

    # The network.

    async def _join(self, ezsp: EZSP, network: Any) -> None:
        bits = t.EmberInitialSecurityBitmask
        key, _ = t.KeyData.deserialize(link_key_of(self._joining.install_code))
        nothing, _ = t.KeyData.deserialize(bytes(16))
        await ezsp.setInitialSecurityState(
            state=t.EmberInitialSecurityState(
                bitmask=bits.HAVE_PRECONFIGURED_KEY | bits.REQUIRE_ENCRYPTED_KEY,
                preconfiguredKey=key,
                networkKey=nothing,
                networkKeySequenceNumber=0,
                preconfiguredTrustCenterEui64=t.EUI64.deserialize(bytes(8))[0],
            )
        )
        parameters = t.EmberNetworkParameters(
            extendedPanId=network.extendedPanId,
            panId=network.panId,
            radioTxPower=8,
            radioChannel=network.channel,
            joinMethod=t.EmberJoinMethod.USE_MAC_ASSOCIATION,
            nwkManagerId=0,
            nwkUpdateId=0,
            channels=t.Channels.from_channel_list([int(network.channel)]),
        )
        sleeps = smart_energy_assumptions.HANDHELD_NODE_TYPE_SLEEPS
        kind = t.EmberNodeType.SLEEPY_END_DEVICE if sleeps else t.EmberNodeType.ROUTER
        with ezsp.wait_for_stack_status(t.sl_Status.NETWORK_UP) as up:
            (status,) = await ezsp.joinNetwork(nodeType=kind, parameters=parameters)
            if t.sl_Status.from_ember_status(status) != t.sl_Status.OK:
                raise self._unreachable(f"the radio does not begin to join ({status.name})")
            try:
                async with asyncio.timeout(JOIN_TIMEOUT_S):
                    await up
            except TimeoutError:
                raise self._unreachable("it does not let this handheld terminal join") from None

    async def _find_endpoint(self) -> int:
        assert self._radio is not None
        question = (
            bytes((self._next_sequence(),))
            + COORDINATOR_ID.to_bytes(2, "little")
            + SMART_ENERGY_PROFILE.to_bytes(2, "little")
            + bytes((1,))
            + KEY_ESTABLISHMENT.to_bytes(2, "little")
            + bytes((0,))
        )
        await self._radio.send(
            COORDINATOR_ID, 0, MATCH_REQUEST, question, is_encrypted=False, profile=0
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._matches.get()
        except TimeoutError:
            raise self._unreachable("it does not say which endpoint establishes keys") from None
        return answer[5]

    async def _send_keys(self, octets: bytes) -> None:
        assert self._radio is not None
        await self._radio.send(
            COORDINATOR_ID, self._hub_endpoint, KEY_ESTABLISHMENT, octets, is_encrypted=False
        )

    async def _establish(
        self, send: Callable[[bytes], Awaitable[None]], incoming: asyncio.Queue[Frame]
    ) -> None:
        """Establish keys with the hub, over inter-PAN or the network as `send` does."""
        radio = self._radio
        assert radio is not None
        machine = Initiator(
            own_address=self._own,
            identity=await radio.own_certificate(),
            next_sequence=self._next_sequence,
        )
        machine.start(self._hub, self._now())
        while True:
            for outgoing in machine.frames_to_send(self._now()):
                await send(outgoing.encode())
            match machine.next_event():
                case EphemeralKeyNeeded():
                    key = await radio.generate_ephemeral_key()
                    machine.provide_ephemeral_key(key, self._now())
                case SecretNeeded(_, is_initiator, identity, ephemeral_data):
                    macs = await radio.calculate_macs(
                        is_initiator=is_initiator,
                        identity=identity,
                        ephemeral_data=ephemeral_data,
                    )
                    machine.provide_macs(*macs, self._now())
                case KeyEstablished():
                    await radio.finish_key_establishment(store=True)
                    return
                case KeyEstablishmentFailed() as failed:
                    await radio.finish_key_establishment(store=False)
                    raise self._unreachable(f"key establishment failed: {failed.why}")
                case NeedData():
                    await self._take_key_frame(machine, incoming)
                case _:
                    pass

    async def _take_key_frame(self, machine: Initiator, incoming: asyncio.Queue[Frame]) -> None:
        due = machine.next_deadline()
        try:
            async with asyncio.timeout_at(due):
                frame = await incoming.get()
        except TimeoutError:
            machine.handle_deadline(self._now())
        else:
            machine.receive(frame, self._hub, self._now())

    def _unreachable(self, why: str) -> NodeUnreachable:
        return NodeUnreachable(f"hub {dashed(self._hub)}", why)

    # Messages.

    async def _open_tunnel(self) -> None:
        if self._tunnel is None:
            self._tunnel = MainsSession(
                f"hub {dashed(self._hub)}",
                next_sequence=self._next_sequence,
                send=lambda outgoing, cluster: self._queue.put_nowait((outgoing, cluster)),
                clock=asyncio.get_running_loop().time,
            )
            self._tunnel.inbox = _Sorter(self._sessions, self._observe)
            self._spawn(self._send_all())
        self._tunnel.begin()

    @override
    def session(self, eui64: int, *, name: str, sleeps: bool) -> Reached:
        # The hub serves the devices that sleep.
        del sleeps
        entity = EntityIdentifier(eui64.to_bytes(8, "big"))
        known = self._sessions.get(entity)
        if known is None:
            known = self._sessions[entity] = _Relayed(name, self)
        return known

    @override
    async def reach(self, eui64: int, link_key: bytes, session: Reached, timeout_s: float) -> None:
        # With the hub's tunnel open; whether the hub knows the device shows by its answers.
        del link_key
        await self.until_up()
        try:
            async with asyncio.timeout(timeout_s):
                await self.tunnel.is_open.wait()
        except TimeoutError:
            why = self.tunnel.trouble or "the hub opens no tunnel"
            raise NodeUnreachable(session.name, why) from None
        self._tell_state(eui64, "relayed by the hub")

    async def _send_all(self) -> None:
        while True:
            outgoing, cluster = await self._queue.get()
            try:
                await self.until_up()
                assert self._radio is not None
                await self._radio.send(
                    COORDINATOR_ID,
                    self._hub_endpoint,
                    cluster,
                    outgoing.encode(),
                    is_encrypted=True,
                )
            except TimeoutError:
                continue
            except (*FAULTS, RadioError) as error:
                self.tunnel.trouble = reason_of(error)
                self.tunnel.handle_sent(outgoing, is_delivered=False)
            else:
                self.tunnel.handle_sent(outgoing, is_delivered=True)

    # Notifications of bellows.

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that the radio is lost; called by bellows."""
        self.radio_lost("the port closed" if exc is None else reason_of(exc))

    def _callback(self, name: str, values: Any) -> None:
        if name == "messageSentHandler" and self._radio is not None:
            self._radio.message_sent(values)
        elif name == "macPassthroughMessageHandler":
            try:
                self._inter_pan.put_nowait(decode_inter_pan(bytes(values[3])))
            except DecodeError as error:
                self._observe(events.Noise(link=self.where, reason=str(error)))
        elif name == "incomingMessageHandler":
            _, frame, _, _, _, _, _, octets = values
            self._receive(frame, bytes(octets))

    def _receive(self, aps: Any, octets: bytes) -> None:
        if aps.profileId == 0 and aps.clusterId == MATCH_RESPONSE:
            if len(octets) > 5 and octets[4]:
                self._matches.put_nowait(octets)
            return
        if aps.profileId != SMART_ENERGY_PROFILE:
            return
        try:
            frame = decode_frame(int(aps.clusterId), octets)
        except DecodeError as error:
            self._observe(events.Noise(link=self.where, reason=str(error)))
            return
        if aps.clusterId == KEY_ESTABLISHMENT:
            self._keys.put_nowait(frame)
        elif aps.options & t.EmberApsOption.APS_OPTION_ENCRYPTION and self._tunnel is not None:
            self._tunnel.receive(int(aps.clusterId), int(aps.sourceEndpoint), frame)

    # Implementation of the role.

    async def _disconnect(self) -> None:
        ezsp, self._ezsp = self._ezsp, None
        if ezsp is not None:
            await ezsp.disconnect()

    def _lost(self) -> None:
        if self._tunnel is not None:
            self._tunnel.radio_losses += 1

    def _back(self) -> None:
        if self._tunnel is not None:
            self._tunnel.begin()

    def _given_up(self, error: RadioLost) -> None:
        if self._tunnel is not None:
            self._tunnel.fail(error)

    def _forget(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None
        self._sessions.clear()
